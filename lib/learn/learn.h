/* SPDX-License-Identifier: MIT */
/* lib/learn/learn.h: the learner: CWR* with hybrid quantization, and the answers of its head.
 *
 * From q on (the int8 feature), the same lessons in the same order give the same bits on every CPU, with any number of
 * threads. This library does not know where features come from, nor where rows are kept. No function blocks, logs or
 * keeps a static. Sources: CWR* (Lomonaco, Maltoni, Pellegrini 2020), hybrid quantization (Vorabbi, Maltoni, Santi
 * 2023, arXiv 2308.15308); the scale rules are this project's, written down in doc/LEARNER.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum learn_width { LEARN_8_8 = 1, LEARN_8_16, LEARN_8_32, LEARN_FLOAT };
enum learn_preset { LEARN_DEFAULT = 1, LEARN_REFERENCE };
/* By what classes are ranked; lessons do not depend on it. METRIC, MEANS: by rows of the kept pictures (metric.h). */
enum learn_method { LEARN_METRIC = 1, LEARN_MEANS, LEARN_CWR };

/* Hyper-parameters; learn_settings_preset fills them, learn_settings_check names what is out of range (bounds.h). */
struct learn_settings {
	enum learn_preset preset;
	enum learn_width width;
	enum learn_method method; /* of the reference preset: CWR alone */
	uint32_t epochs;          /* passes over a lesson's pictures */
	double eta;               /* learning rate */
	uint32_t minibatch;       /* pictures a step, at most */
	double momentum;          /* of SGD */
	double decay;             /* of weights */
	uint32_t others;          /* M of the default preset */
	uint32_t past_cap;        /* 0: none; of the default preset */
	uint32_t classes_total;   /* C_total of the reference preset, 0: max(known with K, |K| + 1) */
};
void learn_settings_preset(enum learn_preset preset, struct learn_settings *ret_settings);
int learn_settings_check(const struct learn_settings *settings, struct err *err);
/* Names in the order of the enums, the one of value v at v - 1; NULL behind the last. */
extern const char *const learn_preset_names[];
extern const char *const learn_width_names[];
extern const char *const learn_method_names[];
const char *learn_width_name(enum learn_width width);                 /* "8/16", "float/float" */
int learn_width_parse(const char *name, enum learn_width *ret_width); /* 0, or 1: no such width */

/* q = clamp(rint(h * (float)(23 * sqrt(d))), +-127), NaN gives 0. Returns false when q is all zero. */
bool learn_quantize(const float *h, size_t d, int8_t *ret_q);

/* A consolidated row: w_r = m_r 2^(-e), or doubles rounded to f32 for LEARN_FLOAT. Values of the width's master type,
 * d of them, behind the struct's own allocation. Immutable once made; free with learn_row_free. */
struct learn_row;
void learn_row_free(struct learn_row *row); /* NULL allowed */
uint32_t learn_row_past(const struct learn_row *row);
/* How alike the class's own pictures are, of which answers make the class's own threshold (likeness.h). */
struct learn_likeness {
	uint32_t n;  /* pictures taught: near-duplicates of a lesson are one, those of the row none; at most past_cap */
	double r;    /* pictures, all of the same weight, that would make as good a row: 1 to n */
	double mean; /* cosine of two of them, 0 to 1; 0 of one picture */
	double squares; /* sum of squared differences of their cosines with the row from the mean of these; 0 of one */
};
const struct learn_likeness *learn_row_likeness(const struct learn_row *row);
/* The stored form: little-endian {past u32, e i32, likeness: r f64, mean f64, squares f64; master values}; its meaning is
 * named by learn_row_format, "cwr2 8/16 d=512". *ret_bytes belongs to the caller (free). Rows of version 1 are read, too:
 * known_upgrade says what becomes of their numbers. ERR_DATA_LOSS: damage, or another format. */
enum { LEARN_ROW_VERSION = 2, LEARN_ROW_VERSION_OLD = 1 };
void learn_row_encode(const struct learn_row *row, uint8_t **ret_bytes, size_t *ret_len_bytes);
int learn_row_decode(enum learn_width width, size_t d, const char *format, const uint8_t *bytes, size_t len_bytes,
	struct learn_row **ret_row, struct err *err);
void learn_row_format(enum learn_width width, size_t d, int version, char *ret_text, size_t text_bytes);
/* The row as real numbers, for tests and tools. */
void learn_row_values(const struct learn_row *row, double *ret_w);

/* One lesson: n samples of k classes. Everything borrowed. */
struct learn_lesson {
	uint64_t seq; /* of the change: seeds the shuffles */
	size_t d, n, k;
	const int8_t *q;                    /* n x d */
	const uint32_t *y;                  /* n: index of the class in 0..k-1; each class has at least one sample */
	const struct learn_row *const *old; /* k: the class's row, NULL when new */
	/* Near-duplicates among them, as near_find has them (near.h): a group is trained as one picture, and what is told of
	 * the class counts it once. NULL: each picture is one. */
	const struct near_groups *groups;
	double near; /* theta of the model: a group whose cosine with the old row is what that of a picture with
		      * near-duplicates of it would be says nothing new; 0: none does. Of the default preset */
	size_t n_known_others; /* known classes that are not in this lesson (M of the reference preset) */
};
/* What happened, for reports and bench. */
struct learn_report {
	uint64_t updates, lost; /* non-zero velocities, and those of them that moved nothing */
	uint64_t steps;
};
/* Trains and consolidates; ret_rows[k] are new rows in the order of the classes (the caller frees them).
 * stop (NULL allowed) is asked between minibatches. Errors: ERR_INVALID_ARGUMENT (|tw - m| = 0: nothing to learn),
 * ERR_CANCELLED. */
int learn_train(const struct learn_settings *settings, const struct learn_lesson *lesson, bool (*stop)(void *ctx),
	void *stop_ctx, struct learn_row **ret_rows, struct learn_report *ret_report, struct err *err);

/* The forward side of rows, ready to answer. Immutable once made. */
struct learn_head;
/* rows[n] are borrowed for the call alone. ids[n] come back in answers. before: another head of the same settings and d,
 * all of whose rows still live, or NULL: what both have in common (rows at the same addresses) is shared, and costs little
 * where ids ascend. Heads may be freed in any order, on any thread. */
struct learn_head *learn_head_new(const struct learn_settings *settings, size_t d, const struct learn_row *const *rows,
	const uint32_t *ids, size_t n, const struct learn_head *before);
void learn_head_free(struct learn_head *head);
/* Before anybody asks it: it ranks by these rows of the kept pictures, of which it takes a reference, and no longer by its
 * own. They may be of other classes, too. A class that has none there stands to the best of those that have one as their
 * cosines stand; where no class has one, cosines rank. */
struct metric_rows;
void learn_head_rank_by(struct learn_head *head, const struct metric_rows *rows);
/* Before anybody asks it: whether a class is known is decided with the scene taken away (scene.h), of which it takes a
 * reference. rows, ids, before: as for learn_head_new, rows of scene_row_new; the ids ascend, without none. Of a class that
 * is not among them, and of none, it is decided as if there were no scene. Not in the reference preset. */
struct scene;
void learn_head_take_away(struct learn_head *head, struct scene *scene, const struct learn_settings *settings,
	const struct learn_row *const *rows, const uint32_t *ids, size_t n, const struct learn_head *before);

/* Constants of the model, for one strictness (share of known pictures refused). A class is known from its own threshold
 * t_c on, which follows from its learn_likeness and from how alike the classes of the head are: known_threshold. */
struct learn_answer_constants {
	double temperature; /* T */
	double pair_cosine; /* rho_0: cosine of two pictures of a class before its own tell */
	double pair_weight; /* a: how many pictures that is worth */
	double class_share; /* of the cosine of pictures of two classes, what those of one are expected to have at least */
	double deviations;       /* k */
	double few_pictures;     /* h: at so many pictures half of k counts */
	double deviation;        /* sd_0: deviation of a picture's cosine with the row before pictures tell */
	double deviation_weight; /* w_0: how many pictures that is worth */
	/* What a covered or blinded camera shows, d values of q, borrowed, not all 0; NULL: nothing is blank. A picture whose
	 * cosine with it is at least blank_cosine, and that of the class ranked first, is not known. */
	const int8_t *blank;
	double blank_cosine;
	bool never; /* a closed world: the class ranked first passes, and unknown has no share of the scores */
	double metric_temperature; /* T_z, T where a metric ranks; 0: T itself */
};
enum { LEARN_TOP_MAX = 10 };
struct learn_answer {
	bool passes; /* cosine of the class ranked first >= its threshold, and the picture is not blank; before a scene it is more
		       * like that class than like none, too */
	bool known;   /* passes, and it is not id 0 (none) */
	size_t n_top; /* min(n classes, LEARN_TOP_MAX) */
	struct {
		uint32_t id;
		double cosine, score;
	} top[LEARN_TOP_MAX]; /* ranked: by cosine (default), raw logit (reference) or rows of the kept pictures
			       * (learn_head_rank_by); ties: the smaller id first. The cosine is the plain row's */
	/* t_c of the class ranked first, `never` or not (of a blank picture the cosine with what is blank, if that is
	 * greater); `score` is the softmax over {T s_c} and, but for `never`, {T t_c};
	 * where rows of the kept pictures rank over {T_z z_c} and {T_z z + T (t_c - s_c)}, z the first's */
	double threshold;
	double unknown_score; /* 1 when there is no class, or q is of zeros */
};
/* q of d values -> answer. A q of zeros is answered unknown. Thread-safe on one head. */
void learn_head_answer(const struct learn_head *head, const int8_t *q, const struct learn_answer_constants *constants,
	struct learn_answer *ret_answer);
size_t learn_head_classes(const struct learn_head *head);
/* f_c of the i-th class of the head: the mean cosine of a picture of it with one of another class, none not among them. False:
 * there is no other class, or it is none itself. */
bool learn_head_alike(const struct learn_head *head, size_t i, double *ret_alike);
