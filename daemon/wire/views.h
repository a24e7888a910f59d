/* SPDX-License-Identifier: MIT */
/* daemon/wire/views.h: what is known, as wire messages: made of the published snapshot alone, so it never waits for a lesson
 * or the disk. Messages live in the scratch and in the snapshot. Loop thread. */
#pragma once

#include "daemon/ops/reply.h"

Bnnd__Model *views_model(const struct service *service, struct scratch *scratch);
void views_status(const struct service *service, struct scratch *scratch, Bnnd__DaemonStatus *ret_status);

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
