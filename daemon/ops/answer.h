/* SPDX-License-Identifier: MIT */
/* daemon/ops/answer.h: the one reply of a request, which ends it. */
#pragma once

#include "daemon/session/session.h"
#include "daemon/work/look.h"
#include "proto/bnnd.pb-c.h"

/* Answers the request and ends it. payload (NULL: none) is taken over. */
void answer_send(struct request *request, const Bnnd__Reply *reply, uint8_t *payload, size_t payload_bytes);
/* The same with why it failed; err->code 0 would be a bug and is told as INTERNAL. */
void answer_error(struct request *request, const struct err *err);

/* The times of a reply that is about to be sent. */
void answer_times(const struct look_job *job, Bnnd__Times *ret_times);
