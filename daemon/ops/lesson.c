/* SPDX-License-Identifier: MIT */
/* daemon/ops/lesson.c: lessons between the wire and the lanes; the rules themselves are lesson.c. Loop thread.
 *
 * Invariants: a connection has at most one lesson; a lesson that no connection owns is in the learn lane; a commit is
 * sealed only when all adds that came before it are done. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "daemon/work/look.h"
#include "daemon/work/learn.h"
#include "daemon/ops/ops.h"
#include "daemon/ops/reply.h"
#include "daemon/wire/views.h"
#include "proto/limits.h"

/* Ends a lesson, however it came to that. why NULL: it was committed. */
static void end_lesson(struct service *service, struct lesson *lesson, const char *why)
{
	if (lesson->owner) {
		lesson->owner->lesson = 0;
		lesson->owner->lesson_gone = lesson->number;
		lesson->owner->lesson_gone_why = why ? why : "it is committed";
	}
	quota_release(&lesson->features);
	quota_release(&lesson->charge);
	lesson_end(&service->lessons, lesson);
	service_watch_lessons(service);
}

/* ---- begin ------------------------------------------------------------------------------------------------------- */

static void reply_begun(struct request *request, uint64_t number, const Bnnd__Changed *first)
{
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Begun begun = BNND__BEGUN__INIT;
	begun.lesson = number;
	begun.first = (Bnnd__Changed *)first;
	reply.result_case = BNND__REPLY__RESULT_BEGUN;
	reply.begun = &begun;
	reply_send(request, &reply, NULL, 0);
}

/* May a lesson be opened now? Asked when it is sure that the key is new. */
static int may_open(const struct service *service, bool has_if_seq, uint64_t if_seq, struct err *err)
{
	int r = changes_allowed(service, err);
	if (r == 0 && has_if_seq && if_seq != service->snapshot->seq) {
		r = err_set(err, ERR_ABORTED, "the newest change is %llu, not %llu: look again before you teach",
			(unsigned long long)service->snapshot->seq, (unsigned long long)if_seq);
		err->field = "guard.if_seq";
	}
	return r;
}

static void lookup_done(struct job *base)
{
	struct learn_job *job = (struct learn_job *)base;
	struct service *service = job->service;
	struct lesson *lesson = lesson_find(&service->lessons, job->lesson);
	struct scratch scratch = SCRATCH_INIT;
	struct err err = job->job.err;
	Bnnd__Changed changed;
	learn_job_publish(job);
	if (job->has_outcome) {
		if (lesson)
			end_lesson(service, lesson, NULL);
		views_changed(&job->outcome, &scratch, &changed);
		reply_begun(job->request, 0, &changed);
	} else if (!lesson) {
		if (!err.code)
			err_set(&err, ERR_CANCELLED, "the connection was closed");
		reply_error(job->request, &err);
	} else if (err.code || may_open(service, lesson->has_if_seq, lesson->if_seq, &err) != 0) {
		end_lesson(service, lesson, "it did not begin");
		reply_error(job->request, &err);
	} else {
		lesson_opened(lesson, clock_us());
		reply_begun(job->request, lesson->number, NULL);
	}
	scratch_free(&scratch);
	learn_job_free(job);
	service_stop_further(service);
}

/* The key may be committed: only the store can tell. */
static void lookup_ask(struct request *request, struct lesson *lesson)
{
	struct service *service = request->service;
	struct learn_job *job = learn_job_new(request, LEARN_FIND_KEY);
	struct err err;
	memcpy(job->key, lesson->key, STORE_KEY_BYTES);
	job->lesson = lesson->number;
	job->job.done = lookup_done;
	if (request_charge(request, &err) != 0) {
		learn_job_free(job);
		end_lesson(service, lesson, "it did not begin");
		reply_error(request, &err);
	} else {
		learn_job_push(job);
	}
}

static int begin(struct request *request, const Bnnd__LessonBegin *ask, struct lesson **ret_lesson, struct err *err)
{
	struct service *service = request->service;
	struct session *session = request->session;
	uint8_t key[STORE_KEY_BYTES];
	struct lesson_options options = {.key = key,
		.dry_run = ask->dry_run,
		.has_if_seq = ask->guard != NULL,
		.if_seq = ask->guard ? ask->guard->if_seq : 0};
	struct quota_charge charge = {0};
	bool has_key;
	int r = key_from(&ask->key, false, &has_key, key, err);
	if (r != 0)
		return r;
	if (session->lesson)
		return err_set(err, ERR_FAILED_PRECONDITION,
			"this connection has an open lesson already: commit or abort it first");
	if (!keyset_has(&service->lessons.committed, key))
		r = may_open(service, options.has_if_seq, options.if_seq, err);
	if (r == 0)
		r = quota_charge(&service->quota, session->peer.uid, QUOTA_LESSONS, 1, &charge, err);
	if (r != 0)
		return r;
	r = lesson_begin(&service->lessons, &options, clock_us(), ret_lesson, err);
	if (r != 0) {
		quota_release(&charge);
		return r;
	}
	(*ret_lesson)->charge = charge;
	(*ret_lesson)->owner = session;
	session->lesson = (*ret_lesson)->number;
	service_watch_lessons(service);
	return 0;
}

void op_lesson_begin(struct request *request, struct op_input *input)
{
	struct lesson *lesson;
	struct err err;
	if (begin(request, input->message->lesson_begin, &lesson, &err) != 0)
		reply_error(request, &err);
	else if (lesson->state == LESSON_LOOKUP)
		lookup_ask(request, lesson);
	else
		reply_begun(request, lesson->number, NULL);
}

/* ---- commit ------------------------------------------------------------------------------------------------------ */

/* The connection's own lesson, or why there is none. */
static struct lesson *own_lesson(const struct request *request, uint64_t number, struct err *err)
{
	const struct session *session = request->session;
	if (number && session->lesson == number)
		return lesson_find(&request->service->lessons, number);
	if (number && session->lesson_gone == number)
		err_set(err, ERR_NOT_FOUND, "lesson %llu is not open: %s", (unsigned long long)number,
			session->lesson_gone_why);
	else
		err_set(err, ERR_NOT_FOUND, "this connection has no lesson %llu", (unsigned long long)number);
	err->field = "lesson";
	return NULL;
}

static void teach_done(struct job *base)
{
	struct learn_job *job = (struct learn_job *)base;
	struct service *service = job->service;
	struct lesson *lesson = lesson_find(&service->lessons, job->lesson);
	learn_job_publish(job);
	if (lesson)
		end_lesson(service, lesson, job->has_outcome ? NULL : "its commit failed");
	learn_job_reply(job);
	learn_job_free(job);
	service_stop_further(service);
}

/* All adds are done: to the learn lane with it, or back to open. */
static void commit_go(struct service *service, struct lesson *lesson)
{
	struct request *request = lesson->commit;
	struct err err;
	lesson->commit = NULL;
	lesson->state = LESSON_OPEN;
	request->stop = NULL;
	int r = request->session ? request_expired(request, &err)
				 : err_set(&err, ERR_CANCELLED, "the connection was closed");
	if (r == 0)
		r = lesson_seal(lesson, lesson->commit_added, clock_us(), &err);
	if (r != 0) {
		reply_error(request, &err);
		return;
	}
	struct learn_job *job = learn_job_new(request, LEARN_TEACH);
	job->has_key = true;
	memcpy(job->key, lesson->key, STORE_KEY_BYTES);
	job->has_if_seq = lesson->has_if_seq;
	job->if_seq = lesson->if_seq;
	job->dry_run = lesson->dry_run;
	job->lesson = lesson->number;
	job->job.done = teach_done;
	lesson_take(lesson, service->lessons.limits.n_features, &job->material);
	learn_job_push(job);
}

static void commit_stop(struct request *request, const struct err *why)
{
	struct lesson *lesson = request->work;
	lesson->commit = NULL;
	lesson->state = LESSON_OPEN;
	reply_error(request, why);
}

void op_lesson_commit(struct request *request, struct op_input *input)
{
	const Bnnd__LessonCommit *ask = input->message->lesson_commit;
	struct err err;
	struct lesson *lesson = own_lesson(request, ask->lesson, &err);
	if (!lesson) {
		reply_error(request, &err);
		return;
	}
	if (lesson->state != LESSON_OPEN) {
		err_set(&err, ERR_FAILED_PRECONDITION,
			lesson->state == LESSON_LOOKUP ? "the lesson has not begun: wait for the answer to begin"
						       : "the lesson is being committed already");
		reply_error(request, &err);
		return;
	}
	lesson->state = LESSON_WAITS;
	lesson->commit = request;
	lesson->commit_added = ask->added;
	request->stop = commit_stop;
	request->work = lesson;
	if (lesson->n_pending == 0)
		commit_go(request->service, lesson);
}

/* ---- abort and other ends ---------------------------------------------------------------------------------------- */

void op_lesson_abort(struct request *request, struct op_input *input)
{
	struct err err;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	struct lesson *lesson = own_lesson(request, input->message->lesson_abort->lesson, &err);
	if (!lesson) {
		reply_error(request, &err);
		return;
	}
	if (lesson->state == LESSON_LEARNS || lesson->state == LESSON_LOOKUP) {
		err_set(&err, ERR_FAILED_PRECONDITION, "the lesson is being committed: it cannot be aborted any more");
		reply_error(request, &err);
		return;
	}
	if (lesson->commit) {
		err_set(&err, ERR_CANCELLED, "the lesson was aborted while its commit waited for the adds");
		commit_stop(lesson->commit, &err);
	}
	end_lesson(request->service, lesson, "it was aborted");
	reply_send(request, &reply, NULL, 0);
}

void ops_drop_lesson(struct session *session, const char *why)
{
	struct service *service = session->service;
	struct lesson *lesson = session->lesson ? lesson_find(&service->lessons, session->lesson) : NULL;
	struct err err;
	if (!lesson)
		return;
	if (lesson->state == LESSON_LEARNS) {
		/* The learn lane has it: it ends when that is done. */
		lesson->owner = NULL;
		session->lesson = 0;
		return;
	}
	if (lesson->commit) {
		err_set(&err, ERR_UNAVAILABLE, "the lesson was dropped: %s", why);
		commit_stop(lesson->commit, &err);
	}
	end_lesson(service, lesson, why);
}

void ops_drop_idle_lessons(struct service *service)
{
	uint64_t now = clock_us();
	LIST_EACH(node, &service->lessons.open)
	{
		struct lesson *lesson = LIST_ENTRY(node, struct lesson, link);
		if (lesson_idle(&service->lessons, lesson, now))
			end_lesson(service, lesson, "it was left alone for longer than lesson.idle_s and was dropped");
	}
}

/* ---- add --------------------------------------------------------------------------------------------------------- */

static void reply_added(struct infer_job *job, bool known, uint32_t accepted)
{
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Added added = BNND__ADDED__INIT;
	Bnnd__Times us;
	infer_job_times(job, &us);
	added.already_known = known;
	added.accepted = accepted;
	added.us = &us;
	reply.result_case = BNND__REPLY__RESULT_ADDED;
	reply.added = &added;
	reply_send(job->request, &reply, NULL, 0);
}

static void add_done(struct job *base)
{
	struct infer_job *job = (struct infer_job *)base;
	struct service *service = job->service;
	struct lesson *lesson = lesson_find(&service->lessons, job->lesson);
	struct err err;
	int r = infer_job_result(job, &err);
	if (!lesson) {
		if (r == 0)
			err_set(&err, ERR_CANCELLED, "the lesson ended before this picture was done");
		reply_error(job->request, &err);
	} else {
		enum lesson_added outcome = r != 0 ? LESSON_REFUSED : job->known ? LESSON_KNOWN : LESSON_ACCEPTED;
		outcome = lesson_add_done(
			&service->lessons, lesson, job->order, outcome, job->q, job->digest, clock_us());
		if (outcome != LESSON_ACCEPTED)
			quota_shrink(&lesson->features, service->lessons.limits.n_features);
		if (outcome == LESSON_REFUSED)
			reply_error(job->request, &err);
		else
			reply_added(job, outcome == LESSON_KNOWN, lesson->n_accepted);
	}
	if (lesson && lesson->state == LESSON_WAITS && lesson->n_pending == 0)
		commit_go(service, lesson);
	infer_job_free(job);
	service_stop_further(service);
}

static int add_label(
	const struct snapshot *snapshot, const Bnnd__LessonAdd *ask, struct label *ret_label, struct err *err)
{
	if (ask->what_case == BNND__LESSON_ADD__WHAT_LABEL)
		return label_from(snapshot, &ask->label, "label", ret_label, err);
	if (ask->what_case == BNND__LESSON_ADD__WHAT_NONE && ask->none)
		return 0;
	int r = err_set(err, ERR_INVALID_ARGUMENT, "what the picture shows is missing: a label, or none");
	err->field = "label";
	return r;
}

/* A place in the lesson, and its share of what lessons may hold. */
static int add_reserve(
	struct service *service, struct lesson *lesson, const struct label *label, uint64_t *ret_order, struct err *err)
{
	size_t bytes = service->lessons.limits.n_features;
	int r = quota_charge(&service->quota, lesson->charge.user->uid, QUOTA_FEATURES, bytes, &lesson->features, err);
	if (r != 0)
		return r;
	r = lesson_add(&service->lessons, lesson, label, service->snapshot, clock_us(), ret_order, err);
	if (r != 0)
		quota_shrink(&lesson->features, bytes);
	return r;
}

void op_lesson_add(struct request *request, struct op_input *input)
{
	const Bnnd__LessonAdd *ask = input->message->lesson_add;
	struct service *service = request->service;
	struct label label = {.len_bytes = 0};
	uint64_t order;
	struct err err;
	struct lesson *lesson = own_lesson(request, ask->lesson, &err);
	int r = lesson ? add_label(service->snapshot, ask, &label, &err) : -err.code;
	if (r == 0)
		r = add_reserve(service, lesson, &label, &order, &err);
	if (r != 0) {
		reply_error(request, &err);
		return;
	}
	struct infer_job *job = infer_job_new(request, INFER_ADD, ask->picture, input);
	job->job.done = add_done;
	job->lesson = lesson->number;
	job->order = order;
	job->label = label;
	infer_job_push(job);
}
