/* SPDX-License-Identifier: MIT */
/* tests/bench/image/bench_decode.c: what pictures of 12 megapixels cost to decode, by format, against the price that
 * image_limits names. The last column should be about the same everywhere: nanoseconds of the thread for a pixel of price.
 * Usage: bench_decode [RUNS]; the shortest run counts. */
#include "tests/unit/image/vectors.h"

#include <stdio.h>
#include <time.h>

#include "tests/unit/image/make_jpeg.h"
#include "tests/unit/image/make_png.h"

enum { WIDTH = 4000, HEIGHT = 3000, MEMORY_BYTES = 1 << 30, PRICE_MAX = 1024 };

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Returns the result; *ret_s: the shortest of that many runs. */
static int decode(const uint8_t *file, size_t n, uint32_t megapixels, int runs, double *ret_s)
{
	static uint8_t pixels[96 * 96 * 3];
	const struct image_picture picture = {.source = IMAGE_ENCODED, .bytes = file, .len_bytes = n};
	const struct image_input input = {.width = 96, .height = 96, .fit = IMAGE_FIT_COVER};
	const struct image_limits limits = {.decode_memory_bytes = MEMORY_BYTES, .decode_megapixels = megapixels};
	int r = 0;
	*ret_s = 1e9;
	for (int i = 0; i < runs; i++) {
		double start = now_s();
		r = image_to_input(&picture, &input, &limits, pixels, NULL);
		double took = now_s() - start;
		*ret_s = took < *ret_s ? took : *ret_s;
	}
	return r;
}

/* Takes the file over. The price is the smallest limit that lets it pass. */
static void measure(const char *name, uint8_t *file, size_t n, int runs)
{
	double took, ignored;
	if (decode(file, n, 0, runs, &took) != 0) {
		printf("%-34s cannot be decoded\n", name);
		free(file);
		return;
	}
	uint32_t low = 0, high = PRICE_MAX;
	while (high - low > 1) {
		uint32_t middle = (low + high) / 2;
		if (decode(file, n, middle, 1, &ignored) == 0)
			high = middle;
		else
			low = middle;
	}
	printf("%-34s %9zu %5u %8.1f %8.1f\n", name, n, high, took * 1e3, took * 1e9 / (high * 1e6));
	free(file);
}

static void measure_png(int runs)
{
	static const struct {
		const char *name;
		uint8_t depth, colour;
		bool interlaced;
	} formats[] = {{"PNG grey 1 bit", 1, 0, false}, {"PNG grey 8 bit", 8, 0, false},
		{"PNG grey 16 bit", 16, 0, false}, {"PNG grey and alpha 8 bit", 8, 4, false},
		{"PNG grey and alpha 16 bit", 16, 4, false}, {"PNG colour 8 bit", 8, 2, false},
		{"PNG colour 16 bit", 16, 2, false}, {"PNG colour and alpha 8 bit", 8, 6, false},
		{"PNG colour and alpha 16 bit", 16, 6, false}, {"PNG colour 8 bit interlaced", 8, 2, true},
		{"PNG colour and alpha 16 bit interl.", 16, 6, true}};
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		/* Paeth's predictor is the dearest; of an interlaced one only zeros are the same in every pass. */
		const struct png_wish wish = {WIDTH, HEIGHT, formats[i].depth, formats[i].colour, formats[i].interlaced,
			HEIGHT + HEIGHT / 8, 0, formats[i].interlaced ? 0 : 4};
		size_t n;
		uint8_t *file = make_png(&wish, &n);
		measure(formats[i].name, file, n, runs);
	}
}

static void measure_jpeg(int runs)
{
	static const struct {
		const char *name;
		enum jpeg_kind kind;
		bool subsampled, flat;
	} formats[] = {{"JPEG 4:2:0 flat", JPEG_BASELINE, true, true}, {"JPEG 4:2:0 noise", JPEG_BASELINE, true, false},
		{"JPEG 4:4:4 noise", JPEG_BASELINE, false, false},
		{"JPEG progressive 4:2:0 flat", JPEG_PROGRESSIVE, true, true},
		{"JPEG progressive 4:2:0 noise", JPEG_PROGRESSIVE, true, false},
		{"JPEG progressive 4:4:4 noise", JPEG_PROGRESSIVE, false, false}};
	uint8_t *noise = noise_make(1, (size_t)WIDTH * HEIGHT * 3);
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		size_t n;
		uint8_t *file;
		make_jpeg(&(struct jpeg_wish){WIDTH, HEIGHT, 3, formats[i].kind, 0, formats[i].flat ? NULL : noise,
				  formats[i].subsampled},
			&file, &n);
		measure(formats[i].name, file, n, runs);
	}
	free(noise);
}

int main(int argc, char **argv)
{
	int runs = argc > 1 ? atoi(argv[1]) : 3;
	printf("%-34s %9s %5s %8s %8s\n", "4000 x 3000 pixels", "bytes", "price", "ms", "ns/price");
	measure_png(runs > 0 ? runs : 1);
	measure_jpeg(runs > 0 ? runs : 1);
	return 0;
}
