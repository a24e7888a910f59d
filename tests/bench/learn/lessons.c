/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/lessons.c: lessons in the order of a file, then answers; what each lesson cost and lost. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learn_bench.h"
#include "lib/base/clock.h"
#include "lib/base/endian.h"
#include "lib/learn/learn.h"
#include "lib/learn/metric.h"

enum { CLASSES_MAX = 4096, LESSON_MAX = 10000, LINE_BYTES = 1 << 20, ANSWER_BYTES = 32 };

struct bench {
	struct learn_settings settings;
	struct learn_answer_constants constants;
	struct bench_file q;
	struct learn_row *rows[CLASSES_MAX]; /* by class; NULL: not taught */
	struct metric *metric;               /* of all pictures taught, one group; of the methods that need it */
	size_t n_known;
	uint64_t seq;
};

static double now_us(void)
{
	return (double)clock_ns() / 1e3;
}

static enum learn_method method_of(const char *name)
{
	for (int m = 0; learn_method_names[m]; m++)
		if (strcmp(name, learn_method_names[m]) == 0)
			return (enum learn_method)(m + 1);
	bench_die("%s: no such method", name);
}

static void set(struct bench *b, const char *text)
{
	struct learn_settings *s = &b->settings;
	const char *value = strchr(text, '=');
	if (!value)
		bench_die("%s is no SETTING=VALUE", text);
	size_t n = (size_t)(value++ - text);
	double x = strtod(value, NULL);
#define IS(name) (n == strlen(name) && strncmp(text, name, n) == 0)
	if (IS("preset"))
		learn_settings_preset(strcmp(value, "reference") == 0 ? LEARN_REFERENCE : LEARN_DEFAULT, s);
	else if (IS("width") && learn_width_parse(value, &s->width) == 0)
		return;
	else if (IS("method"))
		s->method = method_of(value);
	else if (IS("metric_temperature"))
		b->constants.metric_temperature = x;
	else if (IS("epochs"))
		s->epochs = (uint32_t)x;
	else if (IS("eta"))
		s->eta = x;
	else if (IS("minibatch"))
		s->minibatch = (uint32_t)x;
	else if (IS("momentum"))
		s->momentum = x;
	else if (IS("decay"))
		s->decay = x;
	else if (IS("others"))
		s->others = (uint32_t)x;
	else if (IS("past_cap"))
		s->past_cap = (uint32_t)x;
	else if (IS("classes_total"))
		s->classes_total = (uint32_t)x;
	else if (IS("temperature"))
		b->constants.temperature = x;
	else if (IS("unknown_cosine"))
		b->constants.unknown_cosine = x;
	else if (IS("deviations"))
		b->constants.deviations = x;
	else if (IS("deviation"))
		b->constants.deviation = x;
	else if (IS("deviation_weight"))
		b->constants.deviation_weight = x;
	else if (IS("seq"))
		b->seq = strtoull(value, NULL, 10);
	else
		bench_die("%s: no such setting", text);
#undef IS
}

/* Of a row and the mean of the pictures of class 0: where a one-class row points. */
static double cosine_with_mean(const struct learn_row *row, size_t d, const int8_t *q, const uint32_t *y, size_t n)
{
	double *w = malloc(d * sizeof *w), dot = 0, ww = 0, mm = 0;
	learn_row_values(row, w);
	for (size_t i = 0; i < d; i++) {
		double mean = 0;
		for (size_t j = 0; j < n; j++)
			mean += y[j] == 0 ? q[j * d + i] : 0;
		dot += w[i] * mean;
		ww += w[i] * w[i];
		mm += mean * mean;
	}
	free(w);
	return dot / sqrt(ww * mm);
}

/* One line of LESSONS. */
static void teach(struct bench *b, char *line)
{
	static int8_t *q;
	static uint32_t y[LESSON_MAX], class_of[LESSON_MAX];
	const size_t d = b->q.shape[0];
	size_t n = 0, k = 0, n_old = 0;
	q = realloc(q, LESSON_MAX * d);
	for (char *save = NULL, *word = strtok_r(line, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		unsigned class, index;
		if (n == LESSON_MAX || sscanf(word, "%u:%u", &class, &index) != 2 || class >= CLASSES_MAX ||
			index >= b->q.n)
			bench_die("%s is no class:index", word);
		size_t c = 0;
		while (c < k && class_of[c] != class)
			c++;
		if (c == k)
			class_of[k++] = class;
		memcpy(q + n * d, b->q.data + index * d, d);
		y[n++] = (uint32_t)c;
	}
	const struct learn_row *old[LESSON_MAX];
	struct learn_row *made[LESSON_MAX];
	for (size_t c = 0; c < k; c++) {
		old[c] = b->rows[class_of[c]];
		n_old += old[c] != NULL;
	}
	struct learn_lesson lesson = {.seq = ++b->seq,
		.d = d,
		.n = n,
		.k = k,
		.q = q,
		.y = y,
		.old = old,
		.n_known_others = b->n_known - n_old};
	struct learn_report report;
	struct err err;
	const double from_us = now_us();
	if (learn_train(&b->settings, &lesson, NULL, NULL, made, &report, &err) != 0)
		bench_die("%s", err.text);
	const double us = now_us() - from_us;
	printf("%zu %zu %llu %llu %llu %.0f %.6f\n", k, n, (unsigned long long)report.steps,
		(unsigned long long)report.updates, (unsigned long long)report.lost, us,
		cosine_with_mean(made[0], d, q, y, n));
	for (size_t i = 0; b->metric && i < n; i++)
		if (metric_add(b->metric, class_of[y[i]] + 1, q + i * d, 1, &err) != 0)
			bench_die("%s", err.text);
	for (size_t c = 0; c < k; c++) {
		learn_row_free(b->rows[class_of[c]]);
		b->rows[class_of[c]] = made[c];
	}
	b->n_known += k - n_old;
}

static struct learn_head *make_head(const struct bench *b)
{
	static const struct learn_row *rows[CLASSES_MAX];
	static uint32_t ids[CLASSES_MAX];
	size_t n = 0;
	for (uint32_t c = 0; c < CLASSES_MAX; c++) {
		if (!b->rows[c])
			continue;
		rows[n] = b->rows[c];
		ids[n++] = c + 1;
	}
	struct learn_head *head = learn_head_new(&b->settings, b->q.shape[0], rows, ids, n, NULL);
	if (b->metric) {
		const double from_us = now_us();
		struct metric_rows *ranking =
			b->settings.method == LEARN_MEANS ? metric_rows_means(b->metric) : metric_rows_new(b->metric);
		fprintf(stderr, "%zu rows by %s in %.1f ms\n", metric_rows_classes(ranking),
			learn_method_names[b->settings.method - 1], (now_us() - from_us) / 1e3);
		learn_head_rank_by(head, ranking);
		metric_rows_free(ranking);
	}
	return head;
}

static void answer_all(const struct bench *b, const char *asked_path, const char *out_path)
{
	struct bench_file asked;
	bench_read(asked_path, "BNQX", &asked);
	if (asked.shape[0] != b->q.shape[0])
		bench_die("%s has other features", asked_path);
	FILE *out = fopen(out_path, "wb");
	if (!out)
		bench_die("cannot write %s", out_path);
	struct learn_head *head = make_head(b);
	double us = 0;
	for (size_t i = 0; i < asked.n; i++) {
		struct learn_answer a;
		double from_us = now_us();
		learn_head_answer(head, (const int8_t *)asked.data + i * asked.shape[0], &b->constants, &a);
		us += now_us() - from_us;
		uint8_t record[ANSWER_BYTES] = {0};
		if (a.n_top > 0) {
			store_le32(record, a.top[0].id);
			memcpy(record + 8, &a.top[0].cosine, sizeof(double));
			memcpy(record + 16, &a.top[0].score, sizeof(double));
			memcpy(record + 24, &a.threshold, sizeof(double));
		}
		fwrite(record, 1, sizeof record, out);
	}
	if (fclose(out) != 0)
		bench_die("cannot write %s", out_path);
	fprintf(stderr, "%zu classes, %.1f us an answer\n", learn_head_classes(head), asked.n ? us / asked.n : 0);
	learn_head_free(head);
	free(asked.data);
}

int bench_lessons(int argc, char **argv)
{
	static struct bench b = {.constants = {.temperature = 10, .unknown_cosine = 0.2, .metric_temperature = 600}};
	learn_settings_preset(LEARN_DEFAULT, &b.settings);
	int i = 0;
	for (; i < argc && strcmp(argv[i], "--") != 0; i++)
		set(&b, argv[i]);
	if (argc - i != 5)
		bench_die("lessons takes SETTING=VALUE... -- Q LESSONS ASKED OUT");
	argv += i + 1;
	bench_read(argv[0], "BNQX", &b.q);
	if (b.settings.method != LEARN_CWR)
		b.metric = metric_new(&(struct metric_shape){.n_groups = 1, .width = {b.q.shape[0]}, .factor = {1}});
	FILE *lessons = fopen(argv[1], "r");
	if (!lessons)
		bench_die("cannot open %s", argv[1]);
	char *line = malloc(LINE_BYTES);
	while (fgets(line, LINE_BYTES, lessons))
		teach(&b, line);
	fclose(lessons);
	answer_all(&b, argv[2], argv[3]);
	for (size_t c = 0; c < CLASSES_MAX; c++)
		learn_row_free(b.rows[c]);
	metric_free(b.metric);
	free(line);
	free(b.q.data);
	return 0;
}
