/* SPDX-License-Identifier: MIT */
/* daemon/state/learned.h: the learned state and its changes: where lib/learn and lib/store meet.
 *
 * Owned by the learn thread; nothing here is called from elsewhere, but for learned_open and learned_close (before it
 * starts, after it ended). Each change: check -> compute -> one transaction -> new snapshot. When a function returns 0
 * the change is on the disk and learned_snapshot has it; when it fails nothing that was learned has changed, but the
 * snapshot may have (a disk that broke makes it not writable): publish learned_snapshot after either.
 */
#pragma once

#include "daemon/config/config.h"
#include "daemon/state/snapshot.h"
#include "lib/base/err.h"
#include "lib/learn/metric.h"
#include "lib/learn/scene.h"

struct learned;

struct learned_options {
	const struct config *config; /* lives as long as the state */
	uint8_t feature_id[STORE_FEATURE_ID_BYTES];
	const char *model_name;
	size_t n_features;
	struct metric_shape shape; /* the groups that the features fall into; of no group: one of all */
	double near; /* of the model: cosine from which on pictures of a lesson are near-duplicates; 0: none are */
	struct scene_constants scene; /* of the model */
};
/* A state that cannot be used (foreign, newer, locked, unreadable) is no error: an empty snapshot that is not writable,
 * with the reason. Another row width than the configuration's is: ERR_FAILED_PRECONDITION, naming both. */
int learned_open(const struct learned_options *options, struct learned **ret_learned, struct err *err);
void learned_close(struct learned *learned);
/* While the snapshot says that it mends: has what stood in the way passed? LEARNED_OPENED: the state was opened anew, with
 * other keys; 0: perhaps, learned_snapshot says. */
enum { LEARNED_OPENED = 1 };
int learned_try_again(struct learned *learned, struct err *err);
/* The newest state; the caller gets a reference. */
struct snapshot *learned_snapshot(struct learned *learned);

/* Every key whose change is remembered: for the loop's index, so that asking again is seen without the disk. */
typedef void learned_key_fn(void *ctx, const uint8_t key[STORE_KEY_BYTES]);
int learned_keys(struct learned *learned, learned_key_fn *fn, void *ctx, struct err *err);

/* What every change may carry. */
struct change_guard {
	const uint8_t *key; /* STORE_KEY_BYTES or NULL */
	bool has_if_seq;
	uint64_t if_seq; /* ERR_ABORTED when the newest change is another */
	bool dry_run;
};
/* What came of it. entry is owned by the outcome: change_outcome_deinit. */
struct change_outcome {
	struct change_entry *entry;
	struct change_entry *undid; /* undo: what it took back, or NULL */
	bool written;               /* a change was made: not by a dry run, a repeated key, a lesson of nothing new */
	bool repeated;              /* the key was known: entry is the first result */
	bool undone;                /* and it was undone since */
};
void change_outcome_deinit(struct change_outcome *outcome);

/* A lesson is teach.h. label len 0: the negatives. ERR_NOT_FOUND names no class but says so. */
int learned_forget(struct learned *learned, const struct label *label, const struct change_guard *guard,
	struct change_outcome *ret_outcome, struct err *err);
int learned_rename(struct learned *learned, const struct label *old_label, const struct label *new_label,
	const struct change_guard *guard, struct change_outcome *ret_outcome, struct err *err);
int learned_undo(
	struct learned *learned, const struct change_guard *guard, struct change_outcome *ret_outcome, struct err *err);
int learned_rollback(struct learned *learned, uint64_t seq, const struct change_guard *guard,
	struct change_outcome *ret_outcome, struct err *err);

/* The first result of a key: positive outcome 1: not known. */
int learned_find_key(struct learned *learned, const uint8_t key[STORE_KEY_BYTES], struct change_outcome *ret_outcome,
	struct err *err);
