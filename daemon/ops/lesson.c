/* SPDX-License-Identifier: MIT */
/* daemon/ops/lesson.c: lessons between the wire and the lanes; the rules themselves are lesson.c. Loop thread.
 *
 * Invariants: a connection has at most one lesson; a lesson that no connection owns is in the learn lane; a commit is
 * sealed only when all adds that came before it are done. */
#include "daemon/ops/lesson.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "daemon/ops/answer.h"
#include "daemon/ops/asked.h"
#include "daemon/wire/from_wire.h"
#include "daemon/wire/scratch.h"
#include "daemon/wire/views.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/require.h"

enum { TICK_MS = 100 /* how exactly lesson.idle_s is kept */ };

/* lesson->caller: whose it is, what its user is charged, and the commit that waits for the adds. */
struct conversation {
	struct connection *owner; /* NULL: the connection is gone */
	struct quota_charge charge, features;
	struct request *commit;
	uint32_t commit_added;
};

static struct conversation *conversation_of(const struct lesson *lesson)
{
	return lesson->caller;
}

/* ---- the clock of idle ones -------------------------------------------------------------------------------------- */

struct lesson_clock {
	uv_timer_t timer;
};

static void watch_lessons(struct ops *ops);

/* Ends a lesson, however it came to that. why NULL: it was committed. */
static void end_lesson(struct ops *ops, struct lesson *lesson, const char *why)
{
	struct conversation *talk = conversation_of(lesson);
	if (talk->owner) {
		talk->owner->lesson = 0;
		talk->owner->lesson_gone = lesson->number;
		talk->owner->lesson_gone_why = why ? why : "it is committed";
	}
	quota_release(&talk->features);
	quota_release(&talk->charge);
	free(talk);
	lesson_end(&ops->lessons, lesson);
	watch_lessons(ops);
}

static void on_tick(uv_timer_t *timer)
{
	struct ops *ops = timer->data;
	uint64_t now = clock_us();
	LIST_EACH(node, &ops->lessons.open)
	{
		struct lesson *lesson = LIST_ENTRY(node, struct lesson, link);
		if (lesson_idle(&ops->lessons, lesson, now))
			end_lesson(ops, lesson, "it was left alone for longer than lesson.idle_s and was dropped");
	}
}

static void watch_lessons(struct ops *ops)
{
	bool any = !list_empty(&ops->lessons.open) && !ops->health->stopping;
	uv_timer_t *timer = &ops->lesson_clock->timer;
	if (any == (bool)uv_is_active((uv_handle_t *)timer))
		return;
	if (any)
		uv_timer_start(timer, on_tick, TICK_MS, TICK_MS);
	else
		uv_timer_stop(timer);
}

void lesson_clock_init(struct ops *ops, uv_loop_t *loop)
{
	ops->lesson_clock = mem_zalloc(1, sizeof *ops->lesson_clock);
	REQUIRE(uv_timer_init(loop, &ops->lesson_clock->timer) == 0);
	ops->lesson_clock->timer.data = ops;
}

void lesson_clock_free(struct ops *ops)
{
	free(ops->lesson_clock);
	ops->lesson_clock = NULL;
}

/* ---- begin ------------------------------------------------------------------------------------------------------- */

static void answer_begun(struct request *request, uint64_t number, const Bnnd__Changed *first)
{
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Begun begun = BNND__BEGUN__INIT;
	begun.lesson = number;
	begun.first = (Bnnd__Changed *)first;
	reply.result_case = BNND__REPLY__RESULT_BEGUN;
	reply.begun = &begun;
	answer_send(request, &reply, NULL, 0);
}

/* May a lesson be opened now? Asked when it is sure that the key is new. */
static int may_open(const struct ops *ops, bool has_if_seq, uint64_t if_seq, struct err *err)
{
	uint64_t seq = ops->published->now->seq;
	int r = health_may_change(ops->health, err);
	if (r == 0 && has_if_seq && if_seq != seq)
		r = err_set_about(err, ERR_ABORTED, (struct err_about){.field = "guard.if_seq"},
			"the newest change is %llu, not %llu: look again before you teach", (unsigned long long)seq,
			(unsigned long long)if_seq);
	return r;
}

static void lookup_done(struct job *job)
{
	struct asked_learn *asked = asked_learn_of(job);
	struct ops *ops = asked->ops;
	struct lesson *lesson = lesson_find(&ops->lessons, asked->lesson);
	struct scratch scratch = SCRATCH_INIT;
	struct err err = job->err;
	Bnnd__Changed changed;
	asked_learn_publish(asked);
	if (asked->learn.has_outcome) {
		if (lesson)
			end_lesson(ops, lesson, NULL);
		views_changed(&asked->learn.outcome, &scratch, &changed);
		answer_begun(asked->request, 0, &changed);
	} else if (!lesson) {
		if (!err.code)
			err_set(&err, ERR_CANCELLED, "the connection was closed");
		answer_error(asked->request, &err);
	} else if (err.code || may_open(ops, lesson->has_if_seq, lesson->if_seq, &err) != 0) {
		end_lesson(ops, lesson, "it did not begin");
		answer_error(asked->request, &err);
	} else {
		lesson_opened(lesson, clock_us());
		answer_begun(asked->request, lesson->number, NULL);
	}
	scratch_free(&scratch);
	asked_learn_free(asked);
}

/* The key may be committed: only the store can tell. */
static void lookup_ask(struct ops *ops, struct request *request, struct lesson *lesson)
{
	struct err err;
	if (request_charge(request, &err) != 0) {
		end_lesson(ops, lesson, "it did not begin");
		answer_error(request, &err);
		return;
	}
	struct asked_learn *asked = asked_learn_new(ops, request, LEARN_FIND_KEY, lookup_done);
	memcpy(asked->learn.key, lesson->key, STORE_KEY_BYTES);
	asked->lesson = lesson->number;
	asked_learn_push(asked);
}

static int begin(struct ops *ops, struct session *session, const Bnnd__LessonBegin *ask, struct lesson **ret_lesson,
	struct err *err)
{
	struct connection *connection = session->context;
	struct change_guard guard = guard_from(ask->guard);
	uint8_t key[STORE_KEY_BYTES];
	struct lesson_options options = {
		.key = key, .dry_run = ask->dry_run, .has_if_seq = guard.has_if_seq, .if_seq = guard.if_seq};
	struct quota_charge charge = {0};
	bool has_key;
	int r = key_from(&ask->key, false, &has_key, key, err);
	if (r != 0)
		return r;
	if (connection->lesson)
		return err_set(err, ERR_FAILED_PRECONDITION,
			"this connection has an open lesson already: commit or abort it first");
	if (!keyset_has(&ops->lessons.committed, key))
		r = may_open(ops, options.has_if_seq, options.if_seq, err);
	if (r == 0)
		r = quota_charge(&ops->sessions->quota, session->peer.uid, QUOTA_LESSONS, 1, &charge, err);
	if (r != 0)
		return r;
	r = lesson_begin(&ops->lessons, &options, clock_us(), ret_lesson, err);
	if (r != 0) {
		quota_release(&charge);
		return r;
	}
	struct conversation *talk = mem_zalloc(1, sizeof *talk);
	talk->charge = charge;
	talk->owner = connection;
	(*ret_lesson)->caller = talk;
	connection->lesson = (*ret_lesson)->number;
	watch_lessons(ops);
	return 0;
}

void op_lesson_begin(struct request *request, struct op_input *input)
{
	struct lesson *lesson;
	struct err err;
	if (begin(input->ops, request->session, input->message->lesson_begin, &lesson, &err) != 0)
		answer_error(request, &err);
	else if (lesson->state == LESSON_LOOKUP)
		lookup_ask(input->ops, request, lesson);
	else
		answer_begun(request, lesson->number, NULL);
}

/* ---- commit ------------------------------------------------------------------------------------------------------ */

/* The connection's own lesson, or why there is none. */
static struct lesson *own_lesson(struct ops *ops, const struct request *request, uint64_t number, struct err *err)
{
	const struct connection *connection = request->session->context;
	const struct err_about about = {.field = "lesson"};
	if (number && connection->lesson == number)
		return lesson_find(&ops->lessons, number);
	if (number && connection->lesson_gone == number)
		err_set_about(err, ERR_NOT_FOUND, about, "lesson %llu is not open: %s", (unsigned long long)number,
			connection->lesson_gone_why);
	else
		err_set_about(
			err, ERR_NOT_FOUND, about, "this connection has no lesson %llu", (unsigned long long)number);
	return NULL;
}

static void teach_done(struct job *job)
{
	struct asked_learn *asked = asked_learn_of(job);
	struct lesson *lesson = lesson_find(&asked->ops->lessons, asked->lesson);
	asked_learn_publish(asked);
	if (lesson)
		end_lesson(asked->ops, lesson, asked->learn.has_outcome ? NULL : "its commit failed");
	asked_learn_answer(asked);
	asked_learn_free(asked);
}

/* All adds are done: to the learn lane with it, or back to open. */
static void commit_go(struct ops *ops, struct lesson *lesson)
{
	struct conversation *talk = conversation_of(lesson);
	struct request *request = talk->commit;
	struct err err;
	talk->commit = NULL;
	lesson->state = LESSON_OPEN;
	request->stop = NULL;
	int r = request->session ? request_expired(request, &err)
				 : err_set(&err, ERR_CANCELLED, "the connection was closed");
	if (r == 0)
		r = lesson_seal(lesson, talk->commit_added, clock_us(), &err);
	if (r != 0) {
		answer_error(request, &err);
		return;
	}
	struct asked_learn *asked = asked_learn_new(ops, request, LEARN_TEACH, teach_done);
	struct learn_job *learn = &asked->learn;
	learn->has_key = true;
	memcpy(learn->key, lesson->key, STORE_KEY_BYTES);
	learn->guard = (struct change_guard){
		.has_if_seq = lesson->has_if_seq, .if_seq = lesson->if_seq, .dry_run = lesson->dry_run};
	asked->lesson = lesson->number;
	lesson_take(lesson, ops->lessons.limits.n_features, &learn->material);
	asked_learn_push(asked);
}

static void commit_stop(struct request *request, const struct err *why)
{
	struct lesson *lesson = request->work;
	conversation_of(lesson)->commit = NULL;
	lesson->state = LESSON_OPEN;
	answer_error(request, why);
}

void op_lesson_commit(struct request *request, struct op_input *input)
{
	const Bnnd__LessonCommit *ask = input->message->lesson_commit;
	struct err err;
	struct lesson *lesson = own_lesson(input->ops, request, ask->lesson, &err);
	if (!lesson) {
		answer_error(request, &err);
		return;
	}
	if (lesson->state != LESSON_OPEN) {
		err_set(&err, ERR_FAILED_PRECONDITION,
			lesson->state == LESSON_LOOKUP ? "the lesson has not begun: wait for the answer to begin"
						       : "the lesson is being committed already");
		answer_error(request, &err);
		return;
	}
	struct conversation *talk = conversation_of(lesson);
	lesson->state = LESSON_WAITS;
	talk->commit = request;
	talk->commit_added = ask->added;
	request->stop = commit_stop;
	request->work = lesson;
	if (lesson->n_pending == 0)
		commit_go(input->ops, lesson);
}

/* ---- abort and other ends ---------------------------------------------------------------------------------------- */

void op_lesson_abort(struct request *request, struct op_input *input)
{
	struct err err;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	struct ops *ops = input->ops;
	struct lesson *lesson = own_lesson(ops, request, input->message->lesson_abort->lesson, &err);
	if (!lesson) {
		answer_error(request, &err);
		return;
	}
	if (lesson->state == LESSON_LEARNS || lesson->state == LESSON_LOOKUP) {
		err_set(&err, ERR_FAILED_PRECONDITION, "the lesson is being committed: it cannot be aborted any more");
		answer_error(request, &err);
		return;
	}
	if (conversation_of(lesson)->commit) {
		err_set(&err, ERR_CANCELLED, "the lesson was aborted while its commit waited for the adds");
		commit_stop(conversation_of(lesson)->commit, &err);
	}
	end_lesson(ops, lesson, "it was aborted");
	answer_send(request, &reply, NULL, 0);
}

static void drop(struct ops *ops, struct lesson *lesson, const char *why)
{
	struct conversation *talk = conversation_of(lesson);
	struct err err;
	if (lesson->state == LESSON_LEARNS) {
		/* The learn lane has it: it ends when that is done. */
		if (talk->owner)
			talk->owner->lesson = 0;
		talk->owner = NULL;
		return;
	}
	if (talk->commit) {
		err_set(&err, ERR_UNAVAILABLE, "the lesson was dropped: %s", why);
		commit_stop(talk->commit, &err);
	}
	end_lesson(ops, lesson, why);
}

void lesson_drop(struct ops *ops, struct connection *connection, const char *why)
{
	struct lesson *lesson = connection->lesson ? lesson_find(&ops->lessons, connection->lesson) : NULL;
	if (lesson)
		drop(ops, lesson, why);
}

void lesson_drop_all(struct ops *ops, const char *why)
{
	LIST_EACH(node, &ops->lessons.open)
	drop(ops, LIST_ENTRY(node, struct lesson, link), why);
}

/* ---- add --------------------------------------------------------------------------------------------------------- */

static void answer_added(struct asked_look *asked, bool known, uint32_t accepted)
{
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Added added = BNND__ADDED__INIT;
	Bnnd__Times us;
	answer_times(&asked->look, &us);
	added.already_known = known;
	added.accepted = accepted;
	added.us = &us;
	reply.result_case = BNND__REPLY__RESULT_ADDED;
	reply.added = &added;
	answer_send(asked->request, &reply, NULL, 0);
}

static void add_done(struct job *job)
{
	struct asked_look *asked = asked_look_of(job);
	const struct look_job *look = &asked->look;
	struct ops *ops = asked->ops;
	struct lesson *lesson = lesson_find(&ops->lessons, asked->lesson);
	struct err err;
	int r = asked_look_result(asked, &err);
	if (!lesson) {
		if (r == 0)
			err_set(&err, ERR_CANCELLED, "the lesson ended before this picture was done");
		answer_error(asked->request, &err);
	} else {
		enum lesson_added outcome = r != 0 ? LESSON_REFUSED : look->known ? LESSON_KNOWN : LESSON_ACCEPTED;
		outcome = lesson_add_done(
			&ops->lessons, lesson, asked->order, outcome, look->q, look->digest, clock_us());
		if (outcome != LESSON_ACCEPTED)
			quota_shrink(&conversation_of(lesson)->features, ops->lessons.limits.n_features);
		if (outcome == LESSON_REFUSED)
			answer_error(asked->request, &err);
		else
			answer_added(asked, outcome == LESSON_KNOWN, lesson->n_accepted);
	}
	if (lesson && lesson->state == LESSON_WAITS && lesson->n_pending == 0)
		commit_go(ops, lesson);
	asked_look_free(asked);
}

static int add_label(
	const struct snapshot *snapshot, const Bnnd__LessonAdd *ask, struct label *ret_label, struct err *err)
{
	if (ask->what_case == BNND__LESSON_ADD__WHAT_LABEL)
		return label_from(snapshot, &ask->label, "label", ret_label, err);
	if (ask->what_case == BNND__LESSON_ADD__WHAT_NONE && ask->none)
		return 0;
	return err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "label"},
		"what the picture shows is missing: a label, or none");
}

/* A place in the lesson, and its share of what lessons may hold. */
static int add_reserve(
	struct ops *ops, struct lesson *lesson, const struct label *label, uint64_t *ret_order, struct err *err)
{
	struct conversation *talk = conversation_of(lesson);
	size_t bytes = ops->lessons.limits.n_features;
	int r = quota_charge(
		&ops->sessions->quota, talk->charge.user->uid, QUOTA_FEATURES, bytes, &talk->features, err);
	if (r != 0)
		return r;
	r = lesson_add(&ops->lessons, lesson, label, ops->published->now, clock_us(), ret_order, err);
	if (r != 0)
		quota_shrink(&talk->features, bytes);
	return r;
}

void op_lesson_add(struct request *request, struct op_input *input)
{
	const Bnnd__LessonAdd *ask = input->message->lesson_add;
	struct ops *ops = input->ops;
	struct label label = {.len_bytes = 0};
	uint64_t order;
	struct err err;
	struct lesson *lesson = own_lesson(ops, request, ask->lesson, &err);
	int r = lesson ? add_label(ops->published->now, ask, &label, &err) : -err.code;
	if (r == 0)
		r = add_reserve(ops, lesson, &label, &order, &err);
	if (r != 0) {
		answer_error(request, &err);
		return;
	}
	struct asked_look *asked = asked_look_new(request, LOOK_ADD, ask->picture, input, add_done);
	asked->lesson = lesson->number;
	asked->order = order;
	asked->look.label = label;
	asked_look_push(asked);
}
