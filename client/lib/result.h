/* SPDX-License-Identifier: MIT */
/* client/lib/result.h: replies into the structures of bnnd.h. What comes back by pointer is one block (bnnd_free). Counts
 * and lengths are the reply's; texts are made printable here, labels are left as they are (bytes to compare). */
#pragma once

#include "client/lib/conn.h"

void result_hello(const Bnnd__HelloReply *hello, struct bnnd_hello *ret_hello);

/* All conn_convert_fn: ret is what is named behind each. */
conn_convert_fn result_answer;       /* struct bnnd_answer */
conn_convert_fn result_embedding;    /* struct bnnd_embedding * */
conn_convert_fn result_look;         /* struct bnnd_look * */
conn_convert_fn result_begun;        /* struct result_begun */
conn_convert_fn result_change;       /* struct bnnd_change * */
conn_convert_fn result_class_page;   /* struct result_classes: appends */
conn_convert_fn result_class_info;   /* struct bnnd_class_info * */
conn_convert_fn result_history_page; /* struct result_history: appends */
conn_convert_fn result_status;       /* struct bnnd_status * */

struct result_begun {
	uint64_t lesson;
	struct bnnd_change *first; /* or NULL */
};

struct result_classes {
	struct bnnd_class_list *list; /* NULL before the first page */
	size_t n_page;                /* rows of the last page */
	bool more;
};

struct result_history {
	size_t n, n_taught, n_page;
	struct bnnd_history_entry *entries; /* n; classes not set yet: they are the next n_classes of taught */
	struct bnnd_taught *taught;
	bool more;
};
/* Both arrays as one block; frees them. NULL when there is no memory. */
struct bnnd_history *result_history_join(struct result_history *pages);

struct bnnd_times result_times(const Bnnd__Times *us);
