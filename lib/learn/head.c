/* SPDX-License-Identifier: MIT */
/* lib/learn/head.c: the published rows, ready to answer.
 *
 * A class's row answers as its forward side F (8 bits), so a cosine is one exact integer dot over two square roots;
 * float/float answers with its f32 row in double, in index order. Invariant: immutable once made but for the counts, so
 * any number of threads may ask. A q of zeros and an empty head are answered unknown.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "lib/learn/integer.h"
#include "lib/learn/bounds.h"
#include "lib/learn/known.h"
#include "lib/learn/metric.h"
#include "lib/learn/row.h"
#include "lib/learn/scene.h"

enum { ROWS_AT_ONCE = 4, BLOCK_ROWS = 8, ID_NONE = 0 };
#define NOWHERE SIZE_MAX

/* Rows one after the other whose ids are neighbours: equal in id / BLOCK_ROWS. Heads share the blocks that they have in
 * common, so that one row that changed costs a block, not all. */
struct block {
	atomic_uint refs;
	uint32_t place; /* id / BLOCK_ROWS */
	size_t n;
	const struct learn_row *rows[BLOCK_ROWS]; /* what it was made of: compared, never read again */
	uint32_t ids[BLOCK_ROWS];
	int8_t *f;               /* n x d; NULL for float/float */
	float *w;                /* n x d for float/float; NULL otherwise */
	double norm[BLOCK_ROWS]; /* |F| or |w| */
	double unit[BLOCK_ROWS]; /* what one step of F is worth in the raw logit; integer widths */
	struct learn_likeness likeness[BLOCK_ROWS];
};

struct learn_head {
	enum learn_preset preset;
	size_t d, n;
	uint32_t *ids; /* n */
	size_t n_blocks;
	struct block **blocks;       /* in the order of the rows */
	struct metric_rows *ranking; /* NULL: its own rows rank */
	size_t *place;               /* n: of the class in `ranking`; NOWHERE */
	/* How alike the classes are: d, the sum over them, without none, of their rows at the length of the mean of
	 * their pictures. */
	double *sum;
	size_t n_summed;
	/* NULL: known is decided of the picture as it is. Else of what is before the scene, by a head of rows of that, which
	 * need not have all classes. */
	struct scene *scene;
	struct learn_head *before_scene;
};

/* ---- blocks ---- */

static struct block *block_new(
	bool is_float, size_t d, const struct learn_row *const *rows, const uint32_t *ids, size_t n)
{
	struct block *block = mem_zalloc(1, sizeof *block);
	atomic_init(&block->refs, 1);
	block->place = ids[0] / BLOCK_ROWS;
	block->n = n;
	block->f = is_float ? NULL : mem_aligned(n * d);
	block->w = is_float ? mem_zalloc(n * d, sizeof *block->w) : NULL;
	for (size_t j = 0; j < n; j++) {
		const struct learn_row *row = rows[j];
		block->rows[j] = row;
		block->ids[j] = ids[j];
		block->likeness[j] = row->likeness;
		if (is_float) {
			double sum = 0;
			for (size_t i = 0; i < d; i++)
				sum += (double)row->master.f32[i] * (double)row->master.f32[i];
			memcpy(block->w + j * d, row->master.f32, d * sizeof *block->w);
			block->norm[j] = sqrt(sum);
			continue;
		}
		int8_t *f = block->f + j * d;
		learn_row_forward(row, f);
		block->norm[j] = sqrt((double)dot_i8(f, f, d));
		block->unit[j] = row->zero ? 0 : learn_pow2(learn_width_bits(row->width) - 8 - row->e);
	}
	return block;
}

static void block_unref(struct block *block)
{
	if (atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(block->f);
	free(block->w);
	free(block);
}

/* How many of the first of n rows make a block. */
static size_t block_rows(const uint32_t *ids, size_t n)
{
	size_t rows = 1;
	while (rows < n && rows < BLOCK_ROWS && ids[rows] / BLOCK_ROWS == ids[0] / BLOCK_ROWS)
		rows++;
	return rows;
}

/* The block of these rows in a head, from *at on (places ascend as ids do), or NULL. */
static struct block *block_find(
	const struct learn_head *head, size_t *at, const struct learn_row *const *rows, const uint32_t *ids, size_t n)
{
	uint32_t place = ids[0] / BLOCK_ROWS;
	while (*at < head->n_blocks && head->blocks[*at]->place < place)
		++*at;
	struct block *block = *at < head->n_blocks ? head->blocks[*at] : NULL;
	bool same = block && block->n == n && memcmp(block->rows, rows, n * sizeof *rows) == 0 &&
		    memcmp(block->ids, ids, n * sizeof *ids) == 0;
	return same ? block : NULL;
}

/* ---- how alike the classes are ---- */

/* The sum counts in steps of 2^-24, each class's share a whole number of them: 65,535 classes come to 2^40, so it is exact,
 * whatever the order, and what a block gave can be taken away again. */
#define SUM_UNIT 0x1p24

static double to_whole(double x) /* |x| < 2^51; half to even, in a vector too */
{
	const double rounder = 0x1.8p52;
	return (x + rounder) - rounder;
}

static void add_whole(double *restrict sum, const int8_t *restrict f, size_t d, double scale, double sign)
{
	for (size_t i = 0; i < d; i++)
		sum[i] += sign * to_whole(f[i] * scale);
}

/* Adds the block's classes to the sum, or takes them away: sign 1 or -1. */
static void sum_block(struct learn_head *head, const struct block *block, double sign)
{
	const size_t d = head->d;
	for (size_t j = 0; j < block->n; j++) {
		if (block->ids[j] == ID_NONE)
			continue;
		const struct learn_likeness *own = &block->likeness[j];
		head->n_summed = sign > 0 ? head->n_summed + 1 : head->n_summed - 1;
		if (!(block->norm[j] > 0))
			continue;
		const double scale = SUM_UNIT * known_length(own->mean, own->r) / block->norm[j];
		if (block->f)
			add_whole(head->sum, block->f + j * d, d, scale, sign);
		for (size_t i = 0; block->w && i < d; i++)
			head->sum[i] += sign * to_whole((double)block->w[j * d + i] * scale);
	}
}

/* Blocks that both heads have are in the sum of the one before already. */
static void sum_classes(struct learn_head *head, const struct learn_head *before)
{
	const size_t n_before = before ? before->n_blocks : 0;
	head->sum = before ? mem_dup(before->sum, head->d * sizeof *head->sum) : mem_zalloc(head->d, sizeof *head->sum);
	head->n_summed = before ? before->n_summed : 0;
	for (size_t i = 0, k = 0; i < head->n_blocks || k < n_before;) {
		const struct block *new = i < head->n_blocks ? head->blocks[i] : NULL;
		const struct block *old = k < n_before ? before->blocks[k] : NULL;
		const bool take_old = old && (!new || old->place <= new->place),
			   take_new = new && (!old || new->place <= old->place);
		if (new != old && take_old)
			sum_block(head, old, -1);
		if (new != old && take_new)
			sum_block(head, new, 1);
		i += take_new;
		k += take_old;
	}
}

/* ---- heads ---- */

struct learn_head *learn_head_new(const struct learn_settings *settings, size_t d, const struct learn_row *const *rows,
	const uint32_t *ids, size_t n, const struct learn_head *before)
{
	REQUIRE(d >= 1 && d <= LEARN_FEATURES_MAX);
	struct learn_head *head = mem_zalloc(1, sizeof *head);
	*head = (struct learn_head){.preset = settings->preset, .d = d, .n = n, .ids = mem_dup(ids, n * sizeof *ids)};
	size_t at = 0;
	for (size_t c = 0, k = 0; c < n; c += k) {
		k = block_rows(ids + c, n - c);
		struct block *block = before ? block_find(before, &at, rows + c, ids + c, k) : NULL;
		if (block)
			atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
		else
			block = block_new(settings->width == LEARN_FLOAT, d, rows + c, ids + c, k);
		head->blocks = mem_grow(head->blocks, head->n_blocks, sizeof(struct block *));
		head->blocks[head->n_blocks++] = block;
	}
	sum_classes(head, before);
	return head;
}

void learn_head_free(struct learn_head *head)
{
	if (!head)
		return;
	for (size_t i = 0; i < head->n_blocks; i++)
		block_unref(head->blocks[i]);
	metric_rows_free(head->ranking);
	scene_free(head->scene);
	learn_head_free(head->before_scene);
	free(head->place);
	free(head->sum);
	free(head->blocks);
	free(head->ids);
	free(head);
}

size_t learn_head_classes(const struct learn_head *head)
{
	return head->n;
}

/* Where id is among n that ascend; NOWHERE. */
static size_t place_of(const uint32_t *ids, size_t n, uint32_t id)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (ids[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && ids[low] == id ? low : NOWHERE;
}

void learn_head_rank_by(struct learn_head *head, const struct metric_rows *rows)
{
	REQUIRE(!head->ranking);
	head->place = mem_zalloc(head->n + 1, sizeof *head->place);
	size_t found = 0;
	for (size_t c = 0; c < head->n; c++) {
		head->place[c] = place_of(metric_rows_ids(rows), metric_rows_classes(rows), head->ids[c]);
		found += head->place[c] != NOWHERE;
	}
	if (found > 0)
		head->ranking = metric_rows_ref(rows);
}

void learn_head_take_away(struct learn_head *head, struct scene *scene, const struct learn_settings *settings,
	const struct learn_row *const *rows, const uint32_t *ids, size_t n, const struct learn_head *before)
{
	const struct learn_settings of_scene = scene_settings(settings);
	REQUIRE(!head->scene && head->preset == LEARN_DEFAULT);
	for (size_t c = 0; c < n; c++)
		REQUIRE(ids[c] != ID_NONE && (c == 0 || ids[c - 1] < ids[c]));
	head->scene = scene_ref(scene);
	head->before_scene = learn_head_new(&of_scene, head->d, rows, ids, n, before ? before->before_scene : NULL);
}

/* ret_dots[n] = row . q in index order; exact for the integer widths. */
static void dots(const struct block *block, size_t d, const int8_t *q, double *ret_dots)
{
	size_t c = 0;
	if (block->f) {
		for (; c < block->n; c++)
			ret_dots[c] = dot_i8(block->f + c * d, q, d);
		return;
	}
	for (; c + ROWS_AT_ONCE <= block->n; c += ROWS_AT_ONCE) {
		const float *w = block->w + c * d;
		double sum[ROWS_AT_ONCE] = {0};
		for (size_t i = 0; i < d; i++)
			for (size_t j = 0; j < ROWS_AT_ONCE; j++)
				sum[j] += (double)w[j * d + i] * q[i];
		memcpy(ret_dots + c, sum, sizeof sum);
	}
	for (; c < block->n; c++) {
		double sum = 0;
		for (size_t i = 0; i < d; i++)
			sum += (double)block->w[c * d + i] * q[i];
		ret_dots[c] = sum;
	}
}

/* ret_cosine[n] and ret_logit[n] of every row. */
static void compare(
	const struct learn_head *head, const int8_t *q, double q_norm, double *ret_cosine, double *ret_logit)
{
	size_t c = 0;
	for (size_t i = 0; i < head->n_blocks; i++) {
		const struct block *block = head->blocks[i];
		dots(block, head->d, q, ret_cosine + c);
		for (size_t j = 0; j < block->n; j++, c++) {
			double length = block->norm[j] * q_norm, dot = ret_cosine[c];
			ret_logit[c] = block->f ? dot * block->unit[j] : dot; /* exact: a power of two */
			ret_cosine[c] = length > 0 ? dot / length : 0;
		}
	}
}

/* The best LEARN_TOP_MAX classes by key, the greatest first; of equals the smaller id first. Returns how many. */
static size_t rank(const struct learn_head *head, const double *key, size_t ret_best[LEARN_TOP_MAX])
{
	size_t n_best = 0;
	for (size_t c = 0; c < head->n; c++) {
		size_t at = n_best;
		while (at > 0 &&
			(key[c] > key[ret_best[at - 1]] ||
				(key[c] == key[ret_best[at - 1]] && head->ids[c] < head->ids[ret_best[at - 1]])))
			at--;
		if (at == LEARN_TOP_MAX)
			continue;
		n_best += n_best < LEARN_TOP_MAX;
		memmove(ret_best + at + 1, ret_best + at, (n_best - 1 - at) * sizeof *ret_best);
		ret_best[at] = c;
	}
	return n_best;
}

/* The block that class c of the head is in; *c becomes its place there. */
static const struct block *block_of(const struct learn_head *head, size_t *c)
{
	size_t i = 0;
	while (*c >= head->blocks[i]->n)
		*c -= head->blocks[i++]->n;
	return head->blocks[i];
}

/* sum . row in index order. */
static double sum_dot(const struct learn_head *head, const struct block *block, size_t c)
{
	const size_t d = head->d;
	double dot = 0;
	for (size_t i = 0; block->f && i < d; i++)
		dot += head->sum[i] * block->f[c * d + i];
	for (size_t i = 0; block->w && i < d; i++)
		dot += head->sum[i] * (double)block->w[c * d + i];
	return dot;
}

/* f_c. False: there is no other class. None is what is not wanted, as mixed as it was made: it tells nothing of classes, nor
 * they of it. */
static bool alike(const struct learn_head *head, const struct block *block, size_t c, double *ret_alike)
{
	if (block->ids[c] == ID_NONE || head->n_summed < 2)
		return false;
	const struct learn_likeness *own = &block->likeness[c];
	const double length = known_length(own->mean, own->r), norm = block->norm[c];
	*ret_alike = 0;
	if (norm > 0)
		*ret_alike = (length * (sum_dot(head, block, c) / (SUM_UNIT * norm)) - length * length) /
			     (double)(head->n_summed - 1);
	return true;
}

bool learn_head_alike(const struct learn_head *head, size_t i, double *ret_alike)
{
	const struct block *block = block_of(head, &i);
	return alike(head, block, i, ret_alike);
}

/* t_c of a class of the head. */
static double threshold_of(const struct learn_head *head, size_t c, const struct learn_answer_constants *constants)
{
	const struct block *block = block_of(head, &c);
	const struct learn_likeness *own = &block->likeness[c];
	double others = 0;
	const bool has_others = own->n == 1 && alike(head, block, c, &others);
	return known_threshold(own, has_others, others, constants);
}

/* ret_z[n]: z of those that have a row; of the others, so that one stands before the best of those just where its cosine
 * is greater, the line through that one's z and cosine. */
static void rank_by_rows(const struct learn_head *head, const int8_t *q, const double *cosine, double *ret_z)
{
	double *z = mem_zalloc(metric_rows_classes(head->ranking), sizeof *z);
	size_t best = NOWHERE;
	metric_rows_rank(head->ranking, q, z);
	for (size_t c = 0; c < head->n; c++) {
		if (head->place[c] == NOWHERE)
			continue;
		ret_z[c] = z[head->place[c]];
		best = best == NOWHERE || ret_z[c] > ret_z[best] ? c : best;
	}
	free(z);
	const double steep = fabs(ret_z[best] / cosine[best]); /* of a q of zeros NaN */
	for (size_t c = 0; c < head->n; c++)
		if (head->place[c] == NOWHERE)
			ret_z[c] = ret_z[best] + (isnormal(steep) ? steep : 1) * (cosine[c] - cosine[best]);
}

/* Is it like what a covered camera shows, and no less like that than like the class ranked first, which may have been taught
 * such pictures? *ret_cosine is set where it is. */
static bool blank_picture(const struct learn_head *head, const int8_t *q, double q_norm, double of_first,
	const struct learn_answer_constants *constants, double *ret_cosine)
{
	const int8_t *blank = constants->blank;
	if (!blank || constants->never)
		return false;
	const double norm = sqrt((double)dot_i8(blank, blank, head->d));
	*ret_cosine = dot_i8(blank, q, head->d) / (norm * q_norm);
	return *ret_cosine >= constants->blank_cosine && *ret_cosine >= of_first;
}

/* What classes are scored by: the softmax over {t value} and, but for `never`, {t unknown}. */
struct scale {
	double t, unknown;
	const double *value;
};

static void score(const struct learn_head *head, const struct scale *scale, bool never, bool asked,
	const size_t best[LEARN_TOP_MAX], struct learn_answer *answer)
{
	double largest = never && asked ? scale->value[0] : scale->unknown;
	for (size_t c = 0; c < head->n; c++)
		largest = scale->value[c] > largest ? scale->value[c] : largest;
	double unknown = never ? 0 : learn_exp(scale->t * (scale->unknown - largest)), sum = unknown;
	for (size_t c = 0; c < head->n; c++)
		sum += learn_exp(scale->t * (scale->value[c] - largest));
	answer->unknown_score = asked ? unknown / sum : 1;
	for (size_t i = 0; i < answer->n_top; i++)
		answer->top[i].score = asked ? learn_exp(scale->t * (scale->value[best[i]] - largest)) / sum : 0;
}

/* With the scene taken away: cosines of the best and the threshold of the class ranked first become those of what is before
 * it. False: the first has no row there (it is none, or no picture of it is kept), and nothing has changed for it. */
static bool take_away(const struct learn_head *head, const int8_t *q, const struct learn_answer_constants *constants,
	struct learn_answer *answer)
{
	const struct learn_head *rows = head->before_scene;
	const size_t d = head->d;
	bool first = false;
	int8_t *left = mem_zalloc(d, sizeof *left);
	scene_take_away(head->scene, q, left);
	const double norm = sqrt((double)dot_i8(left, left, d));
	for (size_t i = 0; i < answer->n_top; i++) {
		const size_t at = place_of(rows->ids, rows->n, answer->top[i].id);
		size_t j = at;
		if (at == NOWHERE)
			continue;
		const struct block *block = block_of(rows, &j);
		const double length = block->norm[j] * norm;
		answer->top[i].cosine = length > 0 ? dot_i8(block->f + j * d, left, d) / length : 0;
		if (i > 0)
			continue;
		first = true;
		answer->threshold = threshold_of(rows, at, constants);
	}
	free(left);
	return first;
}

/* Decides whether the class ranked first passes, and fills its threshold, and the cosines of the best. Returns by how much
 * its cosine would have to be greater, by which unknown stands above it: below 0, or 0, where it passes. */
static double judge(const struct learn_head *head, const int8_t *q, double q_norm, const double *cosine,
	const size_t best[LEARN_TOP_MAX], const struct learn_answer_constants *constants, struct learn_answer *answer)
{
	const double first = cosine[best[0]]; /* with all that is in the picture */
	double blank = 0;
	answer->threshold = threshold_of(head, best[0], constants);
	const bool away = head->scene && take_away(head, q, constants, answer);
	const size_t none = away ? place_of(head->ids, head->n, ID_NONE) : NOWHERE;
	const double s = answer->top[0].cosine;
	const bool is_blank = q_norm > 0 && blank_picture(head, q, q_norm, s, constants, &blank);
	if (is_blank)
		answer->threshold = fmax(answer->threshold, blank);
	answer->passes = s >= answer->threshold && !is_blank;
	double lack = answer->threshold - s;
	if (none != NOWHERE) { /* with nothing before it, what is left of the scene is as like one row as another */
		answer->passes = answer->passes && first > cosine[none];
		lack = fmax(lack, cosine[none] - first);
	}
	return lack;
}

void learn_head_answer(const struct learn_head *head, const int8_t *q, const struct learn_answer_constants *constants,
	struct learn_answer *ret_answer)
{
	const double q_norm = sqrt((double)dot_i8(q, q, head->d));
	double *cosine = mem_zalloc(head->n + 1, sizeof *cosine), *key = mem_zalloc(head->n + 1, sizeof *key);
	compare(head, q, q_norm, cosine, key);
	if (head->ranking)
		rank_by_rows(head, q, cosine, key);
	struct learn_answer answer = {0};
	size_t best[LEARN_TOP_MAX];
	answer.n_top = rank(head, head->ranking || head->preset == LEARN_REFERENCE ? key : cosine, best);
	const bool asked = head->n > 0 && q_norm > 0;
	for (size_t i = 0; i < answer.n_top; i++) {
		answer.top[i].id = head->ids[best[i]];
		answer.top[i].cosine = cosine[best[i]];
	}
	const double lack = answer.n_top > 0 ? judge(head, q, q_norm, cosine, best, constants, &answer) : 0;
	struct scale scale = {.t = constants->temperature, .unknown = answer.threshold, .value = cosine};
	if (head->scene && asked)
		scale.unknown = cosine[best[0]] + lack;
	if (head->ranking) { /* unknown stands to the class ranked first as cosines have it */
		if (!metric_rows_are_means(head->ranking) && constants->metric_temperature > 0)
			scale.t = constants->metric_temperature;
		scale.value = key;
		scale.unknown = key[best[0]] + constants->temperature / scale.t * lack;
	}
	score(head, &scale, constants->never, asked, best, &answer);
	answer.passes = asked && (constants->never || answer.passes);
	answer.known = answer.passes && answer.top[0].id != ID_NONE;
	*ret_answer = answer;
	free(cosine);
	free(key);
}
