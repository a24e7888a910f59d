/* SPDX-License-Identifier: MIT */
/* lib/learn: settings, quantization, stored rows, lessons: what is refused, what is kept, what never depends on what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/random.h"
#include "lib/learn/integer.h"
#include "lib/learn/learn.h"
#include "lib/learn/row.h"
#include "tests/unit/learn/stored_row.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

static void test_settings(void **state)
{
	(void)state;
	struct learn_settings s;
	learn_settings_preset(LEARN_REFERENCE, &s);
	assert_int_equal(learn_settings_check(&s, NULL), 0);
	assert_int_equal(s.epochs, 4);
	assert_int_equal(s.minibatch, 128);
	assert_true(s.eta == 1e-3 && s.momentum == 0.9 && s.decay == 5e-4);
	learn_settings_preset(LEARN_DEFAULT, &s);
	assert_int_equal(learn_settings_check(&s, NULL), 0);
	assert_int_equal(s.width, LEARN_8_16);
	assert_int_equal(s.past_cap, 200);
	const struct learn_settings good = s;
	struct {
		struct learn_settings s;
		const char *field;
	} bad[] = {{good, "epochs"}, {good, "epochs"}, {good, "eta"}, {good, "eta"}, {good, "eta"}, {good, "minibatch"},
		{good, "minibatch"}, {good, "momentum"}, {good, "momentum"}, {good, "decay"}, {good, "others"},
		{good, "preset"}, {good, "width"}, {good, "past_cap"}, {good, "classes_total"}, {good, "method"},
		{good, "method"}};
	bad[0].s.epochs = 0;
	bad[1].s.epochs = 101;
	bad[2].s.eta = 0.11;
	bad[3].s.eta = 0.9e-4;
	bad[4].s.eta = (double)NAN;
	bad[5].s.minibatch = 0;
	bad[6].s.minibatch = 257;
	bad[7].s.momentum = 0.91;
	bad[8].s.momentum = -0.1;
	bad[9].s.decay = 0.02;
	bad[10].s.others = 10001;
	bad[11].s.preset = 0;
	bad[12].s.width = 5;
	bad[13].s.past_cap = 1000001;
	bad[14].s.classes_total = 10001;
	bad[15].s.method = 0;
	learn_settings_preset(LEARN_REFERENCE, &bad[16].s);
	bad[16].s.method = LEARN_METRIC;
	for (size_t i = 0; i < LENGTH(bad); i++) {
		struct err err = {0};
		assert_int_equal(learn_settings_check(&bad[i].s, &err), -ERR_INVALID_ARGUMENT);
		assert_string_equal(err.field, bad[i].field);
		assert_memory_equal(err.text, bad[i].field, strlen(bad[i].field));
	}
}

static void test_width_names(void **state)
{
	(void)state;
	for (enum learn_width w = LEARN_8_8; w <= LEARN_FLOAT; w++) {
		enum learn_width back = 0;
		assert_int_equal(learn_width_parse(learn_width_name(w), &back), 0);
		assert_int_equal(back, w);
	}
	enum learn_width w = LEARN_8_8;
	assert_int_equal(learn_width_parse("8/64", &w), 1);
	assert_int_equal(learn_width_parse("", &w), 1);
	assert_int_equal(w, LEARN_8_8);
}

static void test_quantize(void **state)
{
	(void)state;
	/* d = 4: the scale is exactly 46 */
	const float scale = 46.0f;
	struct {
		float h[4];
		int8_t q[4];
		bool any;
	} rows[] = {
		{{0, -0.0f, 0, 0}, {0, 0, 0, 0}, false},
		{{0.4f / scale, -0.4f / scale, 0, 0}, {0, 0, 0, 0}, false},
		{{NAN, NAN, NAN, NAN}, {0, 0, 0, 0}, false},
		{{INFINITY, -INFINITY, NAN, 1}, {127, -127, 0, 46}, true},
		{{1e30f, -1e30f, 2.8f, -2.8f}, {127, -127, 127, -127}, true},
		{{0.25f, 0.75f, -0.25f, -0.75f}, {12, 34, -12, -34}, true}, /* 11.5 and 34.5: half to even */
		{{1e-45f, 0, 0, -1e-45f}, {0, 0, 0, 0}, false},
	};
	for (size_t i = 0; i < LENGTH(rows); i++) {
		int8_t q[4];
		assert_int_equal(learn_quantize(rows[i].h, 4, q), rows[i].any);
		assert_memory_equal(q, rows[i].q, sizeof q);
	}
}

static void test_integer(void **state)
{
	(void)state;
	static const struct {
		int64_t x;
		int s;
		int64_t want;
	} shifts[] = {{5, 1, 2}, {7, 1, 4}, {-5, 1, -2}, {-7, 1, -4}, {6, 2, 2}, {-6, 2, -2}, {-1, 1, 0}, {-3, 1, -2},
		{INT64_MAX, 62, 2}, {INT64_MIN, 63, -1}, {INT64_MIN, 64, 0}, {INT64_MAX, 63, 1}, {INT64_MAX, 200, 0}};
	for (size_t i = 0; i < LENGTH(shifts); i++)
		assert_true(shift_right_even(shifts[i].x, shifts[i].s) == shifts[i].want);
	assert_true(rshift_saturate(3, -2, 100) == 12);
	assert_true(rshift_saturate(-3, -2, 100) == -12);
	assert_true(rshift_saturate(3, -6, 100) == 100);
	assert_true(rshift_saturate(-3, -600, 100) == -100);
	assert_true(rshift_saturate(0, -600, 100) == 0);
	assert_true(rshift_saturate(-900, 1, 100) == -100);
	static const struct {
		int64_t a, b, want;
	} divisions[] = {
		{7, 2, 4}, {5, 2, 2}, {-5, 2, -2}, {-7, 2, -4}, {10, 3, 3}, {-10, 3, -3}, {-11, 3, -4}, {0, 9, 0}};
	for (size_t i = 0; i < LENGTH(divisions); i++)
		assert_true(divide_even(divisions[i].a, divisions[i].b) == divisions[i].want);
	for (double x = 0; x > -700; x -= 0.37)
		assert_true(fabs(learn_exp(x) / exp(x) - 1) < 1e-15);
	assert_true(learn_exp(0) == 1);
	assert_true(learn_exp(-1e4) == 0);
	assert_true(learn_exp(-(double)INFINITY) == 0);
}

/* Encodes, decodes, and gives the same bytes again. */
static void test_row_round_trip(void **state)
{
	(void)state;
	const double w[3] = {0.5, -0.25, 1e-7};
	for (enum learn_width width = LEARN_8_8; width <= LEARN_FLOAT; width++) {
		struct learn_row *row, *back;
		assert_int_equal(learn_row_from_values(width, 3, w, 9, &row, NULL), 0);
		uint8_t *bytes, *again;
		size_t n, n_again;
		learn_row_encode(row, &bytes, &n);
		assert_int_equal(n, FORM_HEADER + 3 * learn_width_bytes(width));
		assert_int_equal(read_row(width, 3, bytes, n, &back, NULL), 0);
		learn_row_encode(back, &again, &n_again);
		assert_int_equal(n, n_again);
		assert_memory_equal(bytes, again, n);
		assert_int_equal(learn_row_past(back), 9);
		double values[3];
		learn_row_values(back, values);
		double step = width == LEARN_FLOAT ? 1e-7 : ldexp(1, 1 - learn_width_bits(width));
		for (size_t i = 0; i < 3; i++)
			assert_true(fabs(values[i] - w[i]) <= step);
		/* one byte short, one too many, another width, another format */
		struct err err;
		assert_int_equal(learn_row_decode(width, 3, "cwr3 8/16 d=3", bytes, n, &back, &err), -ERR_DATA_LOSS);
		assert_non_null(strstr(err.text, "cwr3"));
		assert_int_equal(read_row(width, 3, bytes, n - 1, &back, &err), -ERR_DATA_LOSS);
		assert_int_equal(read_row(width, 2, bytes, n, &back, &err), -ERR_DATA_LOSS);
		assert_int_equal(read_row(width, 3, bytes, 0, &back, &err), -ERR_DATA_LOSS);
		free(bytes);
		free(again);
		learn_row_free(row);
		learn_row_free(back == row ? NULL : back);
	}
	char text[40];
	learn_row_format(LEARN_8_16, 512, LEARN_ROW_VERSION, text, sizeof text);
	assert_string_equal(text, "cwr2 8/16 d=512");
	learn_row_free(NULL);
}

static int decode(enum learn_width width, uint32_t past, int32_t e, const void *masters, size_t bytes)
{
	uint8_t form[64] = {0};
	store_le32(form, past);
	store_le32(form + 4, (uint32_t)e);
	memcpy(form + 8, &(double){1}, sizeof(double));
	memcpy(form + FORM_HEADER, masters, bytes);
	struct learn_row *row = NULL;
	struct err err = {0};
	int r = read_row(width, bytes / learn_width_bytes(width), form, FORM_HEADER + bytes, &row, &err);
	assert_true(r == 0 ? row != NULL : row == NULL && err.text[0] != 0);
	learn_row_free(row);
	return r;
}

static void test_row_refusals(void **state)
{
	(void)state;
	const int8_t m8[2] = {-127, 127}, low8[2] = {-128, 1}, zero8[2] = {0, 0};
	const int16_t m16[2] = {-32767, 3}, low16[2] = {INT16_MIN, 0};
	const int32_t m32[2] = {INT32_MAX, 0}, low32[2] = {0, INT32_MIN};
	const float f[2] = {1, -2}, nan[2] = {NAN, 0}, inf[2] = {0, -INFINITY};
	assert_int_equal(decode(LEARN_8_8, 1, 40, m8, sizeof m8), 0);
	assert_int_equal(decode(LEARN_8_8, 1, -64, m8, sizeof m8), 0);
	assert_int_equal(decode(LEARN_8_8, 1, 41, m8, sizeof m8), -ERR_DATA_LOSS);
	assert_int_equal(decode(LEARN_8_8, 1, -65, m8, sizeof m8), -ERR_DATA_LOSS);
	assert_int_equal(decode(LEARN_8_8, 0, 7, m8, sizeof m8), -ERR_DATA_LOSS);
	assert_int_equal(decode(LEARN_8_8, 1, 7, low8, sizeof low8), -ERR_DATA_LOSS);
	assert_int_equal(decode(LEARN_8_8, 1, INT32_MIN, zero8, sizeof zero8), 0);
	assert_int_equal(decode(LEARN_8_8, 1, INT32_MIN, m8, sizeof m8), -ERR_DATA_LOSS);
	assert_int_equal(decode(LEARN_8_8, 1, INT32_MAX, m8, sizeof m8), -ERR_DATA_LOSS);
	assert_int_equal(decode(LEARN_8_16, 1, 20, m16, sizeof m16), 0);
	assert_int_equal(decode(LEARN_8_16, 1, 20, low16, sizeof low16), -ERR_DATA_LOSS);
	assert_int_equal(decode(LEARN_8_32, 1, 20, m32, sizeof m32), 0);
	assert_int_equal(decode(LEARN_8_32, 1, 20, low32, sizeof low32), -ERR_DATA_LOSS);
	assert_int_equal(decode(LEARN_FLOAT, 1, 0, f, sizeof f), 0);
	assert_int_equal(decode(LEARN_FLOAT, 1, 1, f, sizeof f), -ERR_DATA_LOSS);
	assert_int_equal(decode(LEARN_FLOAT, 1, INT32_MIN, f, sizeof f), -ERR_DATA_LOSS);
	assert_int_equal(decode(LEARN_FLOAT, 1, 0, nan, sizeof nan), -ERR_DATA_LOSS);
	assert_int_equal(decode(LEARN_FLOAT, 1, 0, inf, sizeof inf), -ERR_DATA_LOSS);
	struct learn_row *row;
	const double huge[2] = {1e30, 0};
	assert_int_equal(learn_row_from_values(LEARN_8_8, 2, huge, 1, &row, NULL), -ERR_INVALID_ARGUMENT);
	const double endless[2] = {(double)INFINITY, 0};
	assert_int_equal(learn_row_from_values(LEARN_FLOAT, 2, endless, 1, &row, NULL), -ERR_INVALID_ARGUMENT);
}

/* Every byte of a stored row, changed to anything: refused, or a row that answers and learns. Sanitizers watch. */
static void test_damaged_rows(void **state)
{
	(void)state;
	enum { D = 5, N = 4 };
	uint64_t seed = 3;
	for (enum learn_width width = LEARN_8_8; width <= LEARN_FLOAT; width++) {
		struct learn_settings s;
		learn_settings_preset(LEARN_REFERENCE, &s);
		s.width = width;
		s.decay = 0.01;
		s.eta = 0.1;
		s.minibatch = 2;
		size_t len = FORM_HEADER + D * learn_width_bytes(width), accepted = 0;
		for (size_t round = 0; round < 3000; round++) {
			uint8_t form[FORM_HEADER + D * 4];
			for (size_t i = 0; i < len; i++)
				form[i] = (uint8_t)splitmix64_next(&seed);
			store_le32(form + 4, splitmix64_below(&seed, 110) - 67);
			const double own[3] = {1 + (double)splitmix64_below(&seed, 900) / 10,
				(double)splitmix64_below(&seed, 1100) / 1000, round % 3 * 0.1};
			memcpy(form + 8, own, sizeof own);
			if (width == LEARN_FLOAT)
				store_le32(form + 4, 0);
			struct learn_row *old, *rows[1];
			if (read_row(width, D, form, len, &old, NULL) != 0)
				continue;
			accepted++;
			int8_t q[N * D];
			uint32_t y[N] = {0};
			for (size_t i = 0; i < N * D; i++)
				q[i] = (int8_t)(splitmix64_below(&seed, 256) - 128);
			struct learn_lesson lesson = {.seq = round,
				.near = (double)(round % 2),
				.d = D,
				.n = N,
				.k = 1,
				.q = q,
				.y = y,
				.old = (const struct learn_row *const *)&old,
				.n_known_others = round % 7};
			struct err err;
			int r = learn_train(&s, &lesson, NULL, NULL, rows, NULL, &err);
			assert_true(r == 0 || r == -ERR_INVALID_ARGUMENT);
			const struct learn_answer_constants constants = {20, 0.3};
			struct learn_answer answer;
			struct learn_head *head = learn_head_new(&s, D,
				(const struct learn_row *const *)(r == 0 ? rows : &old), &(uint32_t){1}, 1, NULL);
			learn_head_answer(head, q, &constants, &answer);
			assert_true(isfinite(answer.top[0].cosine) && isfinite(answer.unknown_score));
			learn_head_free(head);
			if (r == 0)
				learn_row_free(rows[0]);
			learn_row_free(old);
		}
		assert_true(accepted > 500);
	}
}

enum { D = 32 };

/* n pictures of class c around its own direction. */
static void fill(int8_t *q, size_t n, uint64_t c)
{
	uint64_t center = 1000 + c, noise = 77 * c;
	int8_t mean[D];
	for (size_t i = 0; i < D; i++)
		mean[i] = (int8_t)((int)splitmix64_below(&center, 61) - 30);
	for (size_t i = 0; i < n * D; i++)
		q[i] = (int8_t)(mean[i % D] + (int)splitmix64_below(&noise, 41) - 20);
}

static bool stop_after(void *ctx)
{
	int *left = ctx;
	return --*left <= 0;
}

static void test_lesson_stop(void **state)
{
	(void)state;
	int8_t q[12 * D];
	uint32_t y[12] = {0};
	fill(q, 12, 1);
	const struct learn_row *old[1] = {NULL};
	struct learn_lesson lesson = {.seq = 1, .d = D, .n = 12, .k = 1, .q = q, .y = y, .old = old};
	for (enum learn_width w = LEARN_8_8; w <= LEARN_FLOAT; w++) {
		struct learn_settings s;
		learn_settings_preset(LEARN_DEFAULT, &s);
		s.width = w;
		s.minibatch = 4;
		int left = 5;
		struct learn_row *rows[1];
		struct err err;
		assert_int_equal(learn_train(&s, &lesson, stop_after, &left, rows, NULL, &err), -ERR_CANCELLED);
		assert_int_equal(left, 0);
	}
}

static void test_lesson_refusals(void **state)
{
	(void)state;
	/* all values of q equal: tw - m is 0 */
	int8_t q[2 * D];
	memset(q, 20, sizeof q);
	uint32_t y[2] = {0};
	const struct learn_row *old[1] = {NULL};
	struct learn_lesson lesson = {.seq = 1, .d = D, .n = 2, .k = 1, .q = q, .y = y, .old = old};
	struct learn_row *rows[1];
	struct err err;
	for (enum learn_width w = LEARN_8_8; w <= LEARN_FLOAT; w++) {
		struct learn_settings s;
		learn_settings_preset(LEARN_DEFAULT, &s);
		s.width = w;
		assert_int_equal(learn_train(&s, &lesson, NULL, NULL, rows, NULL, &err), -ERR_INVALID_ARGUMENT);
		/* one class and no other: p = 1 from the start, so nothing moves */
		s.others = 0;
		fill(q, 2, 1);
		assert_int_equal(learn_train(&s, &lesson, NULL, NULL, rows, NULL, &err), -ERR_INVALID_ARGUMENT);
		memset(q, 20, sizeof q);
		s.eta = 1;
		assert_int_equal(learn_train(&s, &lesson, NULL, NULL, rows, NULL, &err), -ERR_INVALID_ARGUMENT);
		assert_string_equal(err.field, "eta");
	}
}

/* Cosine of a row and the mean of the n pictures of its lesson, less the mean of all numbers, as rows are. */
static double along_mean(const struct learn_row *row, const int8_t *q, size_t n)
{
	double w[D], mean[D] = {0}, offset = 0, dot = 0, ww = 0, mm = 0;
	learn_row_values(row, w);
	for (size_t i = 0; i < n * D; i++) {
		mean[i % D] += q[i];
		offset += q[i] / (double)D;
	}
	for (size_t i = 0; i < D; i++) {
		dot += w[i] * (mean[i] - offset);
		ww += w[i] * w[i];
		mm += (mean[i] - offset) * (mean[i] - offset);
	}
	return dot / sqrt(ww * mm);
}

/* A one-class row points along the class mean; equal lessons give equal bits, another seq other ones. */
static void test_lesson_direction(void **state)
{
	(void)state;
	enum { N = 20 };
	int8_t q[N * D];
	uint32_t y[N] = {0};
	fill(q, N, 5);
	const struct learn_row *old[1] = {NULL};
	struct learn_settings s;
	learn_settings_preset(LEARN_DEFAULT, &s);
	s.minibatch = 8;
	uint8_t *forms[3];
	size_t bytes[3];
	for (int i = 0; i < 3; i++) {
		struct learn_lesson lesson = {.seq = i == 2 ? 8 : 7,
			.d = D,
			.n = N,
			.k = 1,
			.q = q,
			.y = y,
			.old = old,
			.n_known_others = (size_t)i};
		struct learn_row *row;
		assert_int_equal(learn_train(&s, &lesson, NULL, NULL, &row, NULL, NULL), 0);
		assert_int_equal(learn_row_past(row), N);
		double w[D], ww = 0;
		learn_row_values(row, w);
		for (size_t k = 0; k < D; k++)
			ww += w[k] * w[k];
		assert_true(along_mean(row, q, N) > 0.98);
		assert_true(fabs(ww - 1) < 1e-3);
		learn_row_encode(row, &forms[i], &bytes[i]);
		learn_row_free(row);
	}
	assert_memory_equal(forms[0], forms[1], bytes[0]); /* the default preset does not see how many are known */
	assert_true(memcmp(forms[0], forms[2], bytes[0]) != 0);
	for (int i = 0; i < 3; i++)
		free(forms[i]);
}

/* The largest velocities there are: every picture is far on the wrong side and says so with all its weight, step after
 * step. The integers must not overflow (sanitizers watch) and must move as far as float does; with decay pulling the same
 * way V is clamped, so there the row need only move on. */
static void test_extremes(void **state)
{
	(void)state;
	enum { N = 256, WIDE = 2 };
	int8_t q[N * WIDE];
	uint32_t y[N] = {0};
	for (size_t i = 0; i < N * WIDE; i++)
		q[i] = i % 2 ? -127 : 127;
	const double start[WIDE] = {-1000, 1000};
	for (int decays = 0; decays < 2; decays++) {
		double moved[LEARN_FLOAT + 1] = {0};
		for (enum learn_width width = LEARN_8_8; width <= LEARN_FLOAT; width++) {
			struct learn_settings s;
			learn_settings_preset(LEARN_REFERENCE, &s);
			s.width = width;
			s.epochs = 100;
			s.eta = 0.1;
			s.minibatch = N;
			s.decay = decays ? 0.01 : 0;
			s.classes_total = 10000;
			struct learn_row *old, *row;
			assert_int_equal(learn_row_from_values(width, WIDE, start, 1, &old, NULL), 0);
			struct learn_lesson lesson = {.seq = 1,
				.d = WIDE,
				.n = N,
				.k = 1,
				.q = q,
				.y = y,
				.old = (const struct learn_row *const *)&old};
			assert_int_equal(learn_train(&s, &lesson, NULL, NULL, &row, NULL, NULL), 0);
			double w[WIDE];
			learn_row_values(row, w);
			moved[width] = w[0] - start[0];
			assert_true(width == LEARN_8_8 || moved[width] > 100); /* 2 a step; the step of 8/8 is 8 */
			learn_row_free(old);
			learn_row_free(row);
		}
		if (!decays) {
			assert_true(fabs(moved[LEARN_8_16] / moved[LEARN_FLOAT] - 1) < 1e-2);
			assert_true(fabs(moved[LEARN_8_32] / moved[LEARN_FLOAT] - 1) < 1e-3);
		}
	}
}

/* A lesson that is one picture over a full minibatch: no picture may count more than the others do. */
static void test_lesson_over_a_minibatch(void **state)
{
	(void)state;
	enum { MOST = 129, B = 32 };
	static int8_t q[MOST * D];
	static uint32_t y[MOST];
	const struct learn_row *old = NULL;
	struct learn_settings s;
	fill(q, MOST, 0);
	for (enum learn_width width = LEARN_8_8; width <= LEARN_FLOAT; width++) {
		for (size_t n = 1; n <= MOST; n++) {
			struct learn_lesson lesson = {.seq = n, .d = D, .n = n, .k = 1, .q = q, .y = y, .old = &old};
			struct learn_report report;
			struct learn_row *row;
			learn_settings_preset(LEARN_DEFAULT, &s);
			s.width = width;
			assert_int_equal(learn_train(&s, &lesson, NULL, NULL, &row, &report, NULL), 0);
			assert_int_equal(report.steps, s.epochs * ((n + B - 1) / B));
			if (along_mean(row, q, n) < 0.999)
				fail_msg("%s, %zu pictures: the row is %.3f along their mean", learn_width_name(width),
					n, along_mean(row, q, n));
			learn_row_free(row);
		}
	}
}

/* Several classes of which some are known: the order of the classes in the lesson changes nothing but the order of the
 * rows, pasts add up to the cap, and the negatives' rows are rows like others. */
static void test_lesson_several(void **state)
{
	(void)state;
	enum { K = 3, N = 12 };
	int8_t q[N * D];
	uint32_t y[N], turned[N];
	for (size_t i = 0; i < N; i++) {
		y[i] = (uint32_t)(i % K);
		turned[i] = K - 1 - y[i];
	}
	for (size_t c = 0; c < K; c++) {
		int8_t own[N * D];
		fill(own, N, c);
		for (size_t i = c; i < N; i += K)
			memcpy(q + i * D, own + i * D, D);
	}
	struct learn_settings s;
	learn_settings_preset(LEARN_DEFAULT, &s);
	s.past_cap = 9;
	struct learn_row *rows[K], *again[K], *reversed[K];
	const struct learn_row *none[K] = {0};
	struct learn_lesson lesson = {.seq = 3, .d = D, .n = N, .k = K, .q = q, .y = y, .old = none};
	assert_int_equal(learn_train(&s, &lesson, NULL, NULL, rows, NULL, NULL), 0);
	lesson.y = turned;
	assert_int_equal(learn_train(&s, &lesson, NULL, NULL, reversed, NULL, NULL), 0);
	for (size_t c = 0; c < K; c++) {
		double a[D], b[D], dot = 0, aa = 0, bb = 0;
		learn_row_values(rows[c], a);
		learn_row_values(reversed[K - 1 - c], b);
		for (size_t i = 0; i < D; i++) {
			dot += a[i] * b[i];
			aa += a[i] * a[i];
			bb += b[i] * b[i];
		}
		assert_true(dot / sqrt(aa * bb) > 0.99999);
		assert_int_equal(learn_row_past(rows[c]), N / K);
	}
	lesson.y = y;
	lesson.old = (const struct learn_row *const *)rows;
	struct learn_report report;
	for (uint32_t past = 8; past <= 10; past += 2) {
		assert_int_equal(learn_train(&s, &lesson, NULL, NULL, again, &report, NULL), 0);
		assert_true(report.steps == 10 && report.updates > report.lost);
		for (size_t c = 0; c < K; c++) {
			assert_int_equal(learn_row_past(again[c]), past < 9 ? past : 9);
			learn_row_free(rows[c]);
			rows[c] = again[c];
		}
	}
	for (size_t c = 0; c < K; c++) {
		learn_row_free(rows[c]);
		learn_row_free(reversed[c]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_width_names),
		cmocka_unit_test(test_quantize),
		cmocka_unit_test(test_integer),
		cmocka_unit_test(test_row_round_trip),
		cmocka_unit_test(test_row_refusals),
		cmocka_unit_test(test_damaged_rows),
		cmocka_unit_test(test_lesson_stop),
		cmocka_unit_test(test_lesson_refusals),
		cmocka_unit_test(test_lesson_direction),
		cmocka_unit_test(test_lesson_over_a_minibatch),
		cmocka_unit_test(test_lesson_several),
		cmocka_unit_test(test_extremes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
