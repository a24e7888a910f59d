/* SPDX-License-Identifier: MIT */
/* *Known* as people teach: from a burst, from one picture, one picture a lesson, one more than a minibatch. In a world made
 * up for it: things have a direction of their own, their views another, frames of one burst little beside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/random.h"
#include "lib/learn/known.h"
#include "lib/learn/near.h"

enum { D = 256, ASKED = 200, PICTURES_MAX = 40, THINGS_MAX = 8 };
#define ALIKE 0.25 /* cosine of two views of a thing */
#define SHAKE 0.05 /* squared length of what differs between frames of a burst */
#define NEAR  0.7

static const struct learn_answer_constants rule = {.temperature = 40,
	.pair_cosine = 0.118,
	.pair_weight = 0.5,
	.class_share = 0.6,
	.deviations = 2.1,
	.few_pictures = 2.7,
	.deviation = 0.0808,
	.deviation_weight = 2};

/* ---- the world ---- */

static void direction(uint64_t seed, float *ret)
{
	double sum = 0;
	for (size_t i = 0; i < D; i++) {
		double x = -6; /* nearly normal */
		for (int k = 0; k < 12; k++)
			x += (double)splitmix64_below(&seed, 1 << 20) / (1 << 20);
		ret[i] = (float)x;
		sum += x * x;
	}
	for (size_t i = 0; i < D; i++)
		ret[i] = (float)((double)ret[i] / sqrt(sum));
}

/* Frame `frame` of view `view` of a thing. */
static void picture(unsigned thing, unsigned view, unsigned frame, int8_t *ret_q)
{
	float of_thing[D], of_view[D], of_frame[D], h[D];
	direction(thing * UINT64_C(1000003), of_thing);
	direction(thing * UINT64_C(1000003) + view * UINT64_C(7919) + 1, of_view);
	direction(thing * UINT64_C(1000003) + view * UINT64_C(7919) + frame * UINT64_C(104729) + 2, of_frame);
	const double a = sqrt(ALIKE), b = sqrt(1 - ALIKE - SHAKE), c = sqrt(SHAKE);
	for (size_t i = 0; i < D; i++)
		h[i] = (float)(a * (double)of_thing[i] + b * (double)of_view[i] + c * (double)of_frame[i]);
	assert_true(learn_quantize(h, D, ret_q));
}

/* ---- teaching and asking ---- */

struct world {
	struct learn_settings settings;
	uint64_t seq;
	struct learn_row *rows[THINGS_MAX]; /* of thing 1, 2, ... */
	size_t n_things;
};

static struct world new_world(void)
{
	struct world w = {0};
	learn_settings_preset(LEARN_DEFAULT, &w.settings);
	return w;
}

static void end_world(struct world *w)
{
	for (size_t i = 0; i < w->n_things; i++)
		learn_row_free(w->rows[i]);
}

/* A lesson of one thing: n views from `view` on, each in so many frames. */
static void teach(struct world *w, unsigned thing, unsigned view, unsigned n, unsigned frames)
{
	static int8_t q[PICTURES_MAX][D];
	static uint32_t y[PICTURES_MAX];
	struct near_groups groups;
	assert_true(n * frames <= PICTURES_MAX);
	for (unsigned i = 0; i < n * frames; i++)
		picture(thing, view + i / frames, i % frames, q[i]);
	assert_int_equal(near_find(&w->settings, NEAR, q[0], y, n * frames, D, NULL, NULL, &groups), 0);
	const struct learn_row *old = w->rows[thing - 1];
	struct learn_row *row;
	const struct learn_lesson lesson = {.seq = ++w->seq,
		.d = D,
		.n = n * frames,
		.k = 1,
		.q = q[0],
		.y = y,
		.old = &old,
		.groups = &groups,
		.near = NEAR};
	assert_int_equal(learn_train(&w->settings, &lesson, NULL, NULL, &row, NULL, NULL), 0);
	near_groups_deinit(&groups);
	learn_row_free(w->rows[thing - 1]);
	w->rows[thing - 1] = row;
	w->n_things = thing > w->n_things ? thing : w->n_things;
}

static struct learn_head *head_of(const struct world *w)
{
	const uint32_t ids[THINGS_MAX] = {1, 2, 3, 4, 5, 6, 7, 8};
	return learn_head_new(&w->settings, D, (const struct learn_row *const *)w->rows, ids, w->n_things, NULL);
}

/* Share of other views of a thing that are known, whatever as. */
static double known_share(const struct world *w, unsigned thing)
{
	struct learn_head *head = head_of(w);
	unsigned known = 0;
	for (unsigned i = 0; i < ASKED; i++) {
		int8_t q[D];
		struct learn_answer answer;
		picture(thing, 1000 + i, 0, q);
		learn_head_answer(head, q, &rule, &answer);
		known += answer.known;
	}
	learn_head_free(head);
	return (double)known / ASKED;
}

static double threshold_of(const struct world *w, unsigned thing)
{
	struct learn_head *head = head_of(w);
	struct learn_answer answer;
	int8_t q[D];
	picture(thing, 0, 0, q);
	learn_head_answer(head, q, &rule, &answer);
	learn_head_free(head);
	assert_int_equal(answer.top[0].id, thing);
	return answer.threshold;
}

/* ---- tests ---- */

/* Twenty frames of one view are one picture: other views of the thing are known, other things are not. */
static void test_a_burst(void **state)
{
	(void)state;
	struct world w = new_world();
	teach(&w, 1, 0, 1, 20);
	assert_int_equal(learn_row_past(w.rows[0]), 1);
	assert_true(known_share(&w, 1) > 0.9);
	assert_true(known_share(&w, 99) < 0.25);
	/* the same as one of its frames, nearly */
	struct world single = new_world();
	teach(&single, 1, 0, 1, 1);
	assert_true(fabs(threshold_of(&w, 1) - threshold_of(&single, 1)) < 1e-12);
	end_world(&single);
	/* bursts and single pictures in one lesson: each view is one */
	teach(&w, 2, 0, 3, 10);
	assert_int_equal(learn_row_past(w.rows[1]), 3);
	end_world(&w);
}

/* What is like the row by chance, as a black frame is, is not claimed by a class of one picture or burst. */
static void test_one_picture(void **state)
{
	(void)state;
	struct world w = new_world();
	teach(&w, 1, 0, 1, 1);
	assert_true(known_share(&w, 99) < 0.25);
	assert_true(known_share(&w, 1) > 0.9);
	for (unsigned thing = 2; thing <= 5; thing++)
		teach(&w, thing, 0, 1, 1);
	assert_true(known_share(&w, 99) < 0.6);
	end_world(&w);
}

/* A lesson of frames that the row knows already changes what is told of the class in nothing but how old it is. */
static void test_taught_again(void **state)
{
	(void)state;
	struct world w = new_world();
	teach(&w, 1, 0, 1, 4);
	const double before = threshold_of(&w, 1);
	for (int i = 0; i < 5; i++)
		teach(&w, 1, 0, 1, 20);
	const struct learn_likeness *own = learn_row_likeness(w.rows[0]);
	assert_true(own->n == 1 && own->r == 1 && own->mean == 0 && own->squares == 0);
	assert_true(threshold_of(&w, 1) == before);
	end_world(&w);
}

/* Many lessons of one picture say what one lesson of them all says. */
static void test_one_picture_a_lesson(void **state)
{
	(void)state;
	enum { N = 20 };
	for (unsigned thing = 1; thing <= 3; thing++) {
		struct world together = new_world(), alone = new_world();
		teach(&together, thing, 0, N, 1);
		for (unsigned i = 0; i < N; i++)
			teach(&alone, thing, i, 1, 1);
		for (unsigned other = 1; other < thing; other++) { /* worlds have all things up to theirs */
			teach(&together, other, 0, N, 1);
			teach(&alone, other, 0, N, 1);
		}
		const struct learn_likeness *a = learn_row_likeness(together.rows[thing - 1]),
					    *b = learn_row_likeness(alone.rows[thing - 1]);
		assert_true(a->n == N && b->n == N && a->r == N);
		assert_true(b->r > 0.4 * N && b->r <= N); /* newer lessons weigh more, which makes a row of fewer */
		assert_true(fabs(a->mean - ALIKE) < 0.03 && fabs(b->mean - ALIKE) < 0.03);
		assert_true(fabs(known_share(&together, thing) - known_share(&alone, thing)) <= 0.03);
		assert_true(known_share(&alone, thing) > 0.9);
		assert_true(fabs(known_share(&together, 99) - known_share(&alone, 99)) <= 0.03);
		end_world(&together);
		end_world(&alone);
	}
}

/* Nothing steps where a minibatch is full. */
static void test_one_more_than_a_minibatch(void **state)
{
	(void)state;
	struct world w = new_world();
	teach(&w, 1, 0, 32, 1);
	const double full = threshold_of(&w, 1), own = known_share(&w, 1), foreign = known_share(&w, 99);
	struct world more = new_world();
	teach(&more, 1, 0, 33, 1);
	assert_true(fabs(threshold_of(&more, 1) - full) < 0.01);
	assert_true(fabs(known_share(&more, 1) - own) <= 0.03 && fabs(known_share(&more, 99) - foreign) <= 0.01);
	end_world(&w);
	end_world(&more);
}

/* The two ways between the cosine of two pictures and that with a row, and a row's length. */
static void test_pair_and_row(void **state)
{
	(void)state;
	for (double pair = 0; pair <= 1; pair += 1.0 / 64)
		for (double r = 1; r <= 1 << 20; r *= 1.7) {
			const double cosine = known_cosine(pair, r);
			assert_true(cosine >= pair - 1e-15 && cosine <= 1 + 1e-15);
			assert_true(fabs(known_pair(cosine, r) - pair) < 1e-9);
			/* the sum of r pictures has the length r l, and with each of them the sum 1 + (r - 1) pair */
			assert_true(fabs(r * known_length(pair, r) - sqrt(r + r * (r - 1) * pair)) < 1e-9 * r);
		}
	assert_true(known_pair(-0.5, 3) == 0 && known_pair(0, 3) == 0 && known_pair(1.5, 3) == 1);
	assert_true(known_cosine(0, 5) == 0 && known_cosine(0.25, 1) == 0.25);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_burst),
		cmocka_unit_test(test_one_picture),
		cmocka_unit_test(test_taught_again),
		cmocka_unit_test(test_one_picture_a_lesson),
		cmocka_unit_test(test_one_more_than_a_minibatch),
		cmocka_unit_test(test_pair_and_row),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
