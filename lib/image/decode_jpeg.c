/* SPDX-License-Identifier: MIT */
/* lib/image/decode_jpeg.c: JPEG by libjpeg-turbo, see decode.h.
 *
 * The rules (part of IMAGE_RULES): the accurate integer DCT (ISLOW), fancy upsampling, no block smoothing, profiles
 * ignored. Reduced by 8, 4 or 2 where that leaves both sides of the region at least twice the input's side, region and
 * sides as they are in the reduced picture. Four components are CMYK with 255 for no ink, as Adobe writes it and every
 * browser reads it, whether an Adobe marker says so or not: red is c * k / 255 to the nearest.
 *
 * libjpeg warns about broken data and fills in grey, which would then be taught: here such a warning is an error. A file
 * that has lost its end marker is read when not one bit of its picture is missing. What libjpeg may hold is bounded twice: the coefficients that a
 * file of several scans needs are counted before they are allocated, and its own limit is set, too.
 *
 * libjpeg reports errors by a longjmp to read_jpeg(), which therefore keeps nothing in local variables. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <limits.h>

#include <jpeglib.h>
#include <jerror.h>

#include "lib/base/memory.h"
#include "lib/image/decode.h"
#include "lib/image/exif.h"
#include "lib/image/geometry.h"
#include "lib/image/resize.h"

enum {
	REDUCTION_MAX = 8,
	SIDES_PER_INPUT = 2,  /* what a reduction must leave, see above */
	STRAY_BYTES_MAX = 16, /* webcams put a few bytes between the data and the end marker */
	PRICE_SAMPLE = 1,     /* of one scan, or of the reduced picture; see DECODE_PRICE_PIXEL */
};
#define JPEG_REMEDY "convert in.jpg -resize 1600x1600 out.jpg (Debian package imagemagick)"

struct jpeg_reader {
	struct jpeg_decompress_struct jpeg;
	struct jpeg_error_mgr errors;
	struct jpeg_source_mgr source;
	struct jpeg_progress_mgr progress;
	jmp_buf escape;
	const struct decode_job *job;
	struct err *err;
	int result;
	struct decode_subject subject;
	uint64_t price;           /* so far */
	int scan;                 /* the newest that was paid for */
	bool ended;               /* the file's last byte was read, and an end marker put behind it */
	unsigned components_seen; /* a bit for each that had a scan with its DC coefficients */
	struct geometry geometry;
	struct resizer resizer;
	uint8_t *row;  /* as libjpeg gives it */
	uint8_t *line; /* the crop of it as RGB, for CMYK only */
};

_Noreturn static void give_up(struct jpeg_reader *reader, int result)
{
	reader->result = result;
	longjmp(reader->escape, 1);
}

/* "row 12 of 480" or "scan 3": where libjpeg is. */
static void describe_place(const struct jpeg_reader *reader, char *dest, size_t dest_bytes)
{
	const struct jpeg_decompress_struct *jpeg = &reader->jpeg;
	if (!jpeg->src) {
		snprintf(dest, dest_bytes, "at its beginning");
		return;
	}
	size_t byte = reader->job->picture->len_bytes - jpeg->src->bytes_in_buffer;
	int n = snprintf(dest, dest_bytes, "byte %zu of %zu", byte, reader->job->picture->len_bytes);
	if (n < 0 || (size_t)n >= dest_bytes)
		return;
	if (jpeg->output_scanline > 0)
		snprintf(dest + n, dest_bytes - n, ", row %u of %u", jpeg->output_scanline, jpeg->output_height);
	else if (jpeg->input_scan_number > 1)
		snprintf(dest + n, dest_bytes - n, ", scan %d", jpeg->input_scan_number);
}

_Noreturn static void fail_broken(struct jpeg_reader *reader, const char *what)
{
	char place[64];
	describe_place(reader, place, sizeof place);
	give_up(reader, err_set_about(reader->err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "picture"},
				"the JPEG is broken: %s (%s)", what, place));
}

_Noreturn static void fail_truncated(struct jpeg_reader *reader)
{
	fail_broken(reader, "the file ends before the picture does, it is truncated");
}

static struct jpeg_reader *reader_of(j_common_ptr jpeg)
{
	return jpeg->client_data;
}

static void on_error(j_common_ptr jpeg)
{
	struct jpeg_reader *reader = reader_of(jpeg);
	char text[JMSG_LENGTH_MAX];
	jpeg->err->format_message(jpeg, text);
	if (jpeg->err->msg_code == JERR_OUT_OF_MEMORY || jpeg->err->msg_code == JERR_NO_BACKING_STORE) {
		uint64_t limit = reader->job->limits->decode_memory_bytes;
		give_up(reader, err_set_about(reader->err, ERR_RESOURCE_EXHAUSTED,
					(struct err_about){.field = DECODE_MEMORY_SETTING, .limit = limit},
					"decoding this JPEG needs more than %.1f MiB of memory (%s)",
					(double)limit / (1 << 20), DECODE_MEMORY_SETTING));
	}
	if (reader->ended)
		fail_truncated(reader);
	fail_broken(reader, text);
}

/* Warnings are errors, but for those that do not touch a pixel. */
static void on_message(j_common_ptr jpeg, int level)
{
	const struct jpeg_error_mgr *errors = jpeg->err;
	if (level >= 0)
		return;
	switch (errors->msg_code) {
	case JWRN_JFIF_MAJOR:     /* an unknown version of the header */
	case JWRN_ADOBE_XFORM:    /* taken as YCbCr */
	case JWRN_NOT_SEQUENTIAL: /* scan parameters that a sequential file does not use */
		return;
	case JWRN_EXTRANEOUS_DATA:
		if (errors->msg_parm.i[1] == JPEG_EOI && errors->msg_parm.i[0] <= STRAY_BYTES_MAX)
			return;
		break;
	default:
		break;
	}
	on_error(jpeg);
}

static void on_print(j_common_ptr jpeg)
{
	(void)jpeg; /* lib/ never logs */
}

static void source_init(j_decompress_ptr jpeg)
{
	(void)jpeg;
}

/* The whole file is there from the beginning: to ask for more is to run off its end. Once, when scans have begun, there is
 * an end marker: cameras and transfers lose it, and looking one byte ahead asks for it. Whoever then needs a bit of the
 * picture that is not there gets a warning (on_message) or comes here again. The arithmetic decoder does neither: for it,
 * missing bytes are zeros. */
static boolean source_fill(j_decompress_ptr jpeg)
{
	static const JOCTET end[] = {0xFF, JPEG_EOI};
	struct jpeg_reader *reader = reader_of((j_common_ptr)jpeg);
	jpeg->src->bytes_in_buffer = 0;
	if (reader->ended || jpeg->input_scan_number < 1 || jpeg->arith_code)
		fail_truncated(reader);
	reader->ended = true;
	jpeg->src->next_input_byte = end;
	jpeg->src->bytes_in_buffer = sizeof end;
	return TRUE;
}

static void source_skip(j_decompress_ptr jpeg, long n)
{
	if (n <= 0)
		return;
	if ((size_t)n > jpeg->src->bytes_in_buffer) {
		jpeg->src->bytes_in_buffer = 0;
		fail_truncated(reader_of((j_common_ptr)jpeg));
	}
	jpeg->src->next_input_byte += n;
	jpeg->src->bytes_in_buffer -= (size_t)n;
}

static uint64_t samples_of(const jpeg_component_info *component)
{
	return (uint64_t)component->width_in_blocks * component->height_in_blocks * DCTSIZE2;
}

/* A scan that is new is paid for: each walks all of its components, however little it says of them. */
static void pay_scan(struct jpeg_reader *reader)
{
	const struct jpeg_decompress_struct *jpeg = &reader->jpeg;
	if (jpeg->input_scan_number == reader->scan)
		return;
	reader->scan = jpeg->input_scan_number;
	for (int i = 0; i < jpeg->comps_in_scan; i++)
		reader->price += PRICE_SAMPLE * samples_of(jpeg->cur_comp_info[i]);
	int r = decode_check_price(reader->job, &reader->subject, reader->price, reader->err);
	if (r < 0)
		give_up(reader, r);
}

static void note_scan(struct jpeg_reader *reader)
{
	const struct jpeg_decompress_struct *jpeg = &reader->jpeg;
	pay_scan(reader);
	if (jpeg->input_scan_number < 1 || (jpeg->progressive_mode && jpeg->Ss != 0))
		return;
	for (int i = 0; i < jpeg->comps_in_scan; i++)
		reader->components_seen |= 1u << jpeg->cur_comp_info[i]->component_index;
}

/* Called for every row of blocks that is read and for every row that is written. */
static void on_progress(j_common_ptr common)
{
	struct jpeg_reader *reader = reader_of(common);
	int stopped = decode_check_stop(reader->job, &reader->subject, reader->err);
	if (stopped < 0)
		give_up(reader, stopped);
	if (reader->jpeg.input_scan_number > IMAGE_MAX_SCANS)
		give_up(reader, err_set_about(reader->err, ERR_RESOURCE_EXHAUSTED,
					(struct err_about){.field = "picture", .limit = IMAGE_MAX_SCANS},
					"the JPEG has more than %d scans, the limit", IMAGE_MAX_SCANS));
	note_scan(reader);
}

static void choose_output(struct jpeg_reader *reader)
{
	struct jpeg_decompress_struct *jpeg = &reader->jpeg;
	if (jpeg->num_components != 1 && jpeg->num_components != 3 && jpeg->num_components != 4) {
		char text[64];
		snprintf(text, sizeof text, "%d colour components, but 1, 3 and 4 are defined", jpeg->num_components);
		fail_broken(reader, text);
	}
	jpeg->out_color_space = jpeg->num_components == 4 ? JCS_CMYK : JCS_RGB;
	jpeg->dct_method = JDCT_ISLOW;
	jpeg->do_fancy_upsampling = TRUE;
	jpeg->do_block_smoothing = FALSE;
}

/* The largest reduction that leaves enough, and the geometry of the picture so reduced. */
static void choose_reduction(struct jpeg_reader *reader)
{
	const struct decode_job *job = reader->job;
	const struct jpeg_decompress_struct *jpeg = &reader->jpeg;
	unsigned exif = exif_orientation_of_jpeg(job->picture->bytes, job->picture->len_bytes);
	for (uint32_t n = REDUCTION_MAX;; n /= 2) {
		uint32_t width = (jpeg->image_width + n - 1) / n, height = (jpeg->image_height + n - 1) / n;
		geometry_plan(job->picture, job->input, width, height, exif, &reader->geometry);
		if (n == 1 || (reader->geometry.region.width >= SIDES_PER_INPUT * job->input->width &&
				      reader->geometry.region.height >= SIDES_PER_INPUT * job->input->height)) {
			reader->jpeg.scale_num = 1;
			reader->jpeg.scale_denom = n;
			return;
		}
	}
}

/* What is known before any scan: each component comes in one at least, and the reduced picture comes out. */
static void check_price(struct jpeg_reader *reader)
{
	struct jpeg_decompress_struct *jpeg = &reader->jpeg;
	reader->subject = (struct decode_subject){jpeg->progressive_mode ? "progressive JPEG" : "JPEG",
		jpeg->image_width, jpeg->image_height, JPEG_REMEDY};
	uint64_t price = 0;
	for (int i = 0; i < jpeg->num_components; i++)
		price += PRICE_SAMPLE * samples_of(&jpeg->comp_info[i]);
	jpeg_calc_output_dimensions(jpeg);
	reader->price = PRICE_SAMPLE * (uint64_t)jpeg->output_width * jpeg->output_height *
			(uint64_t)jpeg->out_color_components;
	int r = decode_check_price(reader->job, &reader->subject, reader->price + price, reader->err);
	if (r < 0)
		give_up(reader, r);
}

/* A progressive picture gets finer with every scan: with its end, whole scans may be lost without any other trace. */
static bool is_fine(const struct jpeg_decompress_struct *jpeg)
{
	for (int i = 0; jpeg->progressive_mode && i < jpeg->num_components; i++)
		for (int k = 0; k < DCTSIZE2; k++)
			if (jpeg->coef_bits[i][k] != 0)
				return false;
	return true;
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* A file of several scans keeps every coefficient until its last scan is read. */
static void check_memory(struct jpeg_reader *reader)
{
	struct jpeg_decompress_struct *jpeg = &reader->jpeg;
	size_t limit = reader->job->limits->decode_memory_bytes;
	jpeg->mem->max_memory_to_use = limit < LONG_MAX ? (long)limit : LONG_MAX;
	if (!jpeg_has_multiple_scans(jpeg))
		return;
	uint64_t blocks = 0;
	for (int i = 0; i < jpeg->num_components; i++) {
		const jpeg_component_info *c = &jpeg->comp_info[i];
		blocks += round_up(c->width_in_blocks, (uint64_t)c->h_samp_factor) *
			  round_up(c->height_in_blocks, (uint64_t)c->v_samp_factor);
	}
	char what[80];
	snprintf(what, sizeof what, "this progressive JPEG of %u x %u pixels", jpeg->image_width, jpeg->image_height);
	/* -copy all: without it the orientation would be lost. */
	int r = decode_check_memory(reader->job, blocks * sizeof(JBLOCK), what,
		"a baseline JPEG needs little: jpegtran -copy all -outfile out.jpg in.jpg (Debian package "
		"libjpeg-turbo-progs)",
		reader->err);
	if (r < 0)
		give_up(reader, r);
}

/* The crop of the row as RGB. */
static const uint8_t *crop_of_row(struct jpeg_reader *reader)
{
	const struct rect *crop = &reader->geometry.crop;
	if (reader->jpeg.out_color_space == JCS_RGB)
		return reader->row + (size_t)crop->x * 3;
	const uint8_t *cmyk = reader->row + (size_t)crop->x * 4;
	for (size_t i = 0; i < crop->width; i++, cmyk += 4)
		for (size_t k = 0; k < 3; k++)
			reader->line[3 * i + k] = (uint8_t)((cmyk[k] * cmyk[3] + 127) / 255);
	return reader->line;
}

static void read_rows(struct jpeg_reader *reader)
{
	struct jpeg_decompress_struct *jpeg = &reader->jpeg;
	const struct rect *crop = &reader->geometry.crop;
	while (jpeg->output_scanline < jpeg->output_height) {
		uint32_t y = jpeg->output_scanline;
		JSAMPROW rows[] = {reader->row};
		jpeg_read_scanlines(jpeg, rows, 1);
		if (y >= crop->y && y - crop->y < crop->height)
			resizer_row(&reader->resizer, crop_of_row(reader));
	}
	int r = resizer_finish(&reader->resizer, reader->err);
	if (r < 0)
		give_up(reader, r);
}

/* Returns by the end or by longjmp from anything it calls; the caller frees. */
static void read_jpeg(struct jpeg_reader *reader)
{
	struct jpeg_decompress_struct *jpeg = &reader->jpeg;
	if (setjmp(reader->escape))
		return;
	jpeg_create_decompress(jpeg);
	jpeg->client_data = reader;
	jpeg->src = &reader->source;
	jpeg_read_header(jpeg, TRUE);
	int r = decode_check_size(jpeg->image_width, jpeg->image_height, reader->err);
	if (r < 0)
		give_up(reader, r);
	choose_output(reader);
	choose_reduction(reader);
	check_price(reader);
	check_memory(reader);
	r = resizer_init(&reader->resizer, reader->job, &reader->geometry, reader->err);
	if (r < 0)
		give_up(reader, r);
	jpeg->progress = &reader->progress;
	jpeg_start_decompress(jpeg);
	note_scan(reader);
	bool is_all_there = reader->components_seen == (1u << jpeg->num_components) - 1;
	if (reader->ended && !(is_all_there && is_fine(jpeg)))
		fail_truncated(reader);
	if (!is_all_there)
		fail_broken(reader, "it ends before every colour component had its data");
	reader->row = mem_zalloc(jpeg->output_width, 4);
	reader->line = mem_zalloc(jpeg->output_width, 3);
	read_rows(reader);
	jpeg_finish_decompress(jpeg);
}

int decode_jpeg(const struct decode_job *job, struct err *err)
{
	struct jpeg_reader *reader = mem_zalloc(1, sizeof *reader);
	reader->job = job;
	reader->err = err;
	reader->jpeg.err = jpeg_std_error(&reader->errors);
	reader->jpeg.client_data = reader;
	reader->errors.error_exit = on_error;
	reader->errors.emit_message = on_message;
	reader->errors.output_message = on_print;
	reader->progress.progress_monitor = on_progress;
	reader->source = (struct jpeg_source_mgr){
		.next_input_byte = job->picture->bytes,
		.bytes_in_buffer = job->picture->len_bytes,
		.init_source = source_init,
		.fill_input_buffer = source_fill,
		.skip_input_data = source_skip,
		.resync_to_restart = jpeg_resync_to_restart,
		.term_source = source_init,
	};
	read_jpeg(reader);
	int r = reader->result;
	jpeg_destroy_decompress(&reader->jpeg);
	resizer_deinit(&reader->resizer);
	free(reader->row);
	free(reader->line);
	free(reader);
	return r;
}
