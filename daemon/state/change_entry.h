/* SPDX-License-Identifier: MIT */
/* daemon/state/change_entry.h: entries of the history as snapshots, outcomes and what is in memory share them. */
#pragma once

#include <stddef.h>

#include "daemon/state/shared.h"
#include "daemon/state/snapshot.h"

/* n_classes zeroed classes, one reference. It never changes once there is a second. */
struct change_entry *change_entry_new(size_t n_classes);
struct change_entry *change_entry_ref(const struct change_entry *entry);
void change_entry_unref(struct change_entry *entry); /* NULL allowed */
/* What a set keeps it by, under its seq. */
struct shared *change_entry_shared(const struct change_entry *entry);
