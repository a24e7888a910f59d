/* SPDX-License-Identifier: MIT */
/* daemon/ops/asked.h: a request that a lane works for: the job and who waits for it. A lane knows neither. Loop thread. */
#pragma once

#include "daemon/ops/op.h"
#include "daemon/work/learn.h"
#include "daemon/work/look.h"

struct asked_look {
	struct look_job look;
	struct ops *ops;
	struct request *request;
	uint32_t n_top;         /* ANSWER */
	uint64_t lesson, order; /* ADD: where its features go */
};

/* Takes the payload of the input over. picture NULL: the payload is a whole file. */
struct asked_look *asked_look_new(struct request *request, enum look_what what, const Bnnd__Picture *picture,
	struct op_input *input, void (*done)(struct job *job));
static inline struct asked_look *asked_look_of(struct job *job)
{
	return LIST_ENTRY(job, struct asked_look, look.job);
}
/* Into the infer lane. */
void asked_look_push(struct asked_look *asked);
/* 0, or why its result cannot be told. */
int asked_look_result(const struct asked_look *asked, struct err *err);
void asked_look_free(struct asked_look *asked);

struct asked_learn {
	struct learn_job learn;
	struct ops *ops;
	struct request *request;
	uint64_t lesson; /* TEACH, FIND_KEY: its number */
};

struct asked_learn *asked_learn_new(
	struct ops *ops, struct request *request, enum learn_what what, void (*done)(struct job *job));
static inline struct asked_learn *asked_learn_of(struct job *job)
{
	return LIST_ENTRY(job, struct asked_learn, learn.job);
}
/* Into the learn lane. */
void asked_learn_push(struct asked_learn *asked);
/* First thing when it is done: what it changed is published. */
void asked_learn_publish(struct asked_learn *asked);
/* Answers its request with what it did, or why not. */
void asked_learn_answer(struct asked_learn *asked);
void asked_learn_free(struct asked_learn *asked);
