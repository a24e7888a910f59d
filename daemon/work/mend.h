/* SPDX-License-Identifier: MIT */
/* daemon/work/mend.h: while something that may pass stands in the way of changes (another process has the state, the disk is
 * full, the directory was moved away), the learn lane is asked every MEND_MS whether it has passed. An idle daemon in good
 * order is never woken. */
#pragma once

struct service;

/* After every publication: the clock runs only while the snapshot says that it may mend. */
void mend_watch(struct service *service);
