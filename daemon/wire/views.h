/* SPDX-License-Identifier: MIT */
/* daemon/wire/views.h: what is known, as wire messages: made of the published snapshot alone, so it never waits for a lesson
 * or the disk. Messages live in the scratch and in the snapshot. Loop thread. */
#pragma once

#include "daemon/state/health.h"
#include "daemon/state/learned.h"
#include "daemon/wire/scratch.h"
#include "lib/bnn/bnn.h"
#include "proto/bnnd.pb-c.h"

Bnnd__Model *views_model(const struct bnn_info *info, struct scratch *scratch);
/* State, reasons and what was learned; settings and model are the caller's to add. */
void views_status(const struct health *health, struct scratch *scratch, Bnnd__DaemonStatus *ret_status);
/* At most n_top rows of what the head answered; ids are those of the snapshot whose head it was. */
void views_answer(const struct learn_answer *answer, size_t n_top, const struct snapshot *snapshot,
	struct scratch *scratch, Bnnd__Answer *ret_answer);

/* A page after this label (len 0: the first), at most limit rows (0: a page). The negatives are the first row. */
void views_classes(const struct snapshot *snapshot, const struct label *after, uint32_t limit, struct scratch *scratch,
	Bnnd__ClassList *ret_list);
/* label len 0: the negatives. ERR_NOT_FOUND. */
int views_class(const struct snapshot *snapshot, const struct label *label, struct scratch *scratch,
	Bnnd__ClassInfo *ret_info, struct err *err);
/* A page below this seq (0: from the newest); cut where the frame would be full. */
void views_history(const struct snapshot *snapshot, uint64_t before_seq, uint32_t limit, struct scratch *scratch,
	Bnnd__HistoryList *ret_list);
/* What a change did. */
void views_changed(const struct change_outcome *outcome, struct scratch *scratch, Bnnd__Changed *ret_changed);
