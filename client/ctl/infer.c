/* SPDX-License-Identifier: MIT */
/* client/ctl/infer.c: one picture, one answer: infer, embed, look. A bad file is reported in its place and the others go
 * on; a lost daemon ends it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/ctl.h"
#include "lib/base/text.h"

enum { SOURCE_COLUMNS_MAX = 48 };

static struct bnnd_infer_options infer_options(const struct ctl *ctl)
{
	return (struct bnnd_infer_options){.top = ctl->args.top, .refuse = ctl->args.refuse};
}

int ctl_infer(
	struct ctl *ctl, const struct bnnd_picture *picture, struct bnnd_answer *ret_answer, struct bnnd_error *err)
{
	struct bnnd_infer_options options = infer_options(ctl);
	int r = bnnd_infer(ctl->conn, picture, &options, ret_answer, err);
	if (r < 0 && ctl_reconnect(ctl, err) == 0)
		r = bnnd_infer(ctl->conn, picture, &options, ret_answer, err);
	return r;
}

static void scored_json(struct json *json, const struct bnnd_scored *scored)
{
	json_object(json, NULL);
	ctl_label_json(json, scored->label, scored->none);
	json_double(json, "score", scored->score);
	json_end(json);
}

void ctl_answer_json(struct json *json, const struct ctl *ctl, const char *source, const struct bnnd_answer *answer)
{
	static const char *const reasons[] = {NULL, "unknown", "none"};
	char time[TERM_TIME_BYTES];
	json_text(json, "source", source);
	json_text(json, "time", term_time_utc(time, term_now_ms()));
	json_bool(json, "known", answer->known);
	json_text(json, "label", answer->known ? answer->label : NULL);
	json_text(json, "reason", reasons[answer->reason]);
	json_double(json, "score", answer->n_top > 0 ? answer->top[0].score : 0.0);
	json_double(json, "unknown_score", answer->unknown_score);
	json_double(json, "margin", answer->margin);
	json_array(json, "top");
	for (uint32_t i = 0; i < answer->n_top; i++)
		scored_json(json, &answer->top[i]);
	json_end(json);
	json_text(json, "model", bnnd_hello(ctl->conn)->model.name);
	json_uint(json, "seq", answer->seq);
	json_object(json, "us");
	json_uint(json, "queue", answer->us.queue);
	json_uint(json, "image", answer->us.image);
	json_uint(json, "backbone", answer->us.backbone);
	json_uint(json, "head", answer->us.head);
	json_uint(json, "total", answer->us.total);
	json_end(json);
}

/* Why there was nothing to choose from: nothing taught, or a state that cannot be read. buffer: 600 bytes. */
static const char *why_nothing(struct ctl *ctl, char *buffer)
{
	struct bnnd_status *status;
	(void)snprintf(buffer, 600, "%s", CTL_FIRST_WORDS);
	if (bnnd_status(ctl->conn, &status, NULL) < 0)
		return buffer;
	if (strcmp(status->state, "degraded") == 0 && status->classes == 0 && status->n_reasons > 0)
		(void)snprintf(buffer, 600, "the daemon is degraded: %s", status->reasons[0]);
	bnnd_free(status);
	return buffer;
}

struct infer_run {
	size_t columns; /* of the sources */
	bool any_unknown;
	char nothing[600]; /* why_nothing, asked once; "": not yet */
};

const char *ctl_answer_word(char buffer[TERM_SHOWN_BYTES], const struct bnnd_answer *answer)
{
	if (answer->known)
		return ctl_label_shown(buffer, answer->label);
	return answer->reason == BNND_NONE ? "(none)" : "unknown";
}

static void answer_text(struct ctl *ctl, const struct infer_run *run, const char *source, const struct bnnd_answer *a)
{
	char shown[TERM_SHOWN_BYTES], label[TERM_SHOWN_BYTES];
	term_left(stdout, term_shown(shown, source), run->columns);
	const char *word = ctl_answer_word(label, a);
	printf("  %s", a->known ? ctl_green(ctl) : ctl_yellow(ctl));
	term_left(stdout, word, 20);
	printf("%s", ctl_plain(ctl));
	if (a->n_top == 0) {
		printf("  %s\n", run->nothing);
		return;
	}
	for (uint32_t i = 0; i < a->n_top; i++) {
		bool self = i == 0 && a->known;
		printf("%s%s%s%.3f", i == 0 ? "  " : ", ",
			self ? "" : ctl_class_shown(label, a->top[i].label, a->top[i].none), self ? "" : " ",
			a->top[i].score);
	}
	printf(", %s %.3f  %u.%u ms\n", a->n_top > 0 ? "unknown" : "", a->unknown_score, a->us.total / 1000,
		a->us.total % 1000 / 100);
}

static void answer_print(struct ctl *ctl, struct infer_run *run, const char *source, const struct bnnd_answer *answer)
{
	if (answer->n_top == 0 && !run->nothing[0])
		(void)why_nothing(ctl, run->nothing);
	if (!args_has(&ctl->args, ARG_JSON)) {
		answer_text(ctl, run, source, answer);
		return;
	}
	struct json json = json_line(stdout);
	ctl_answer_json(&json, ctl, source, answer);
	if (answer->n_top == 0)
		json_text(&json, "hint", run->nothing);
	json_end_line(&json);
}

static size_t source_columns(const struct args *args)
{
	size_t columns = 0;
	char shown[TERM_SHOWN_BYTES];
	for (size_t i = 0; i < args->n_operands; i++) {
		size_t c = text_columns(term_shown(shown, args->operands[i]));
		if (c > columns && c <= SOURCE_COLUMNS_MAX)
			columns = c;
	}
	return columns;
}

/* Standard input can be read once. */
static int check_files(struct ctl *ctl)
{
	size_t n_standard = 0;
	if (ctl->args.n_operands == 0)
		return ctl_usage(ctl, "which picture? name a file, or - for standard input");
	for (size_t i = 0; i < ctl->args.n_operands; i++)
		n_standard += strcmp(ctl->args.operands[i], "-") == 0;
	return n_standard > 1 ? ctl_usage(ctl, "- is named twice: standard input can be read once") : 0;
}

int ctl_infer_files(struct ctl *ctl)
{
	int r = check_files(ctl);
	if (r == 0)
		r = ctl_connect(ctl);
	if (r != 0)
		return r;
	struct infer_run run = {.columns = source_columns(&ctl->args)};
	progress_begin(&ctl->progress, ctl->args.n_operands, !isatty(STDOUT_FILENO));
	for (size_t i = 0; i < ctl->args.n_operands; i++) {
		const char *source = ctl->args.operands[i];
		struct bnnd_picture picture;
		struct bnnd_answer answer;
		struct bnnd_error err;
		char why[CTL_ERROR_BYTES];
		progress_at(&ctl->progress, i);
		if (ctl_picture_load(ctl, source, &picture, why) != 0) {
			ctl_bad_file(ctl, source, why);
			continue;
		}
		r = ctl_infer(ctl, &picture, &answer, &err);
		ctl_picture_free(&picture);
		if (r < 0 && ctl_error_is_of_picture(&err)) {
			ctl_bad_file(ctl, source, err.message);
			continue;
		}
		if (r < 0)
			return ctl_fail(ctl, &err);
		answer_print(ctl, &run, source, &answer);
		run.any_unknown |= !answer.known;
	}
	progress_clear(&ctl->progress);
	if (ctl->file_failed)
		return CTL_FAILED;
	return run.any_unknown && args_has(&ctl->args, ARG_FAIL_UNKNOWN) ? CTL_NOT_FOUND : CTL_DONE;
}

/* ---- embed ----------------------------------------------------------------------------------------------------- */

static void embedding_print(struct ctl *ctl, const char *source, const struct bnnd_embedding *embedding)
{
	if (args_has(&ctl->args, ARG_JSON)) {
		struct json json = json_line(stdout);
		json_text(&json, "source", source);
		json_array(&json, "features");
		for (size_t i = 0; i < embedding->n; i++)
			json_int(&json, NULL, embedding->features[i]);
		json_end(&json);
		json_end_line(&json);
		return;
	}
	char shown[TERM_SHOWN_BYTES];
	printf("%s", term_shown(shown, source));
	for (size_t i = 0; i < embedding->n; i++)
		printf(" %d", embedding->features[i]);
	printf("\n");
}

int ctl_embed(struct ctl *ctl)
{
	int r = check_files(ctl);
	if (r == 0)
		r = ctl_connect(ctl);
	if (r != 0)
		return r;
	for (size_t i = 0; i < ctl->args.n_operands; i++) {
		const char *source = ctl->args.operands[i];
		struct bnnd_picture picture;
		struct bnnd_embedding *embedding;
		struct bnnd_error err;
		char why[CTL_ERROR_BYTES];
		if (ctl_picture_load(ctl, source, &picture, why) != 0) {
			ctl_bad_file(ctl, source, why);
			continue;
		}
		r = bnnd_embed(ctl->conn, &picture, &embedding, &err);
		if (r < 0 && ctl_reconnect(ctl, &err) == 0)
			r = bnnd_embed(ctl->conn, &picture, &embedding, &err);
		ctl_picture_free(&picture);
		if (r < 0 && ctl_error_is_of_picture(&err)) {
			ctl_bad_file(ctl, source, err.message);
			continue;
		}
		if (r < 0)
			return ctl_fail(ctl, &err);
		embedding_print(ctl, source, embedding);
		bnnd_free(embedding);
	}
	return ctl->file_failed ? CTL_FAILED : CTL_DONE;
}

/* ---- look ------------------------------------------------------------------------------------------------------ */

static int write_png(struct ctl *ctl, const char *path, const struct bnnd_look *look)
{
	char shown[TERM_SHOWN_BYTES];
	bool standard = strcmp(path, "-") == 0;
	FILE *out = standard ? stdout : fopen(path, "wbe");
	if (!out)
		return ctl_fail_text(ctl, "%s: %s", term_shown(shown, path), strerror(errno));
	bool ok = fwrite(look->png, 1, look->png_bytes, out) == look->png_bytes;
	ok = (standard ? fflush(out) : fclose(out)) == 0 && ok;
	if (!ok)
		return ctl_fail_text(ctl, "%s could not be written: %s", term_shown(shown, path), strerror(errno));
	return 0;
}

static int look_report(struct ctl *ctl, const char *source, const struct bnnd_look *look)
{
	char shown[TERM_SHOWN_BYTES];
	const char *path = ctl->args.output;
	int r = write_png(ctl, path, look);
	if (r != 0 || strcmp(path, "-") == 0)
		return r;
	if (args_has(&ctl->args, ARG_JSON)) {
		struct json json = json_line(stdout);
		json_text(&json, "source", source);
		json_text(&json, "output", path);
		json_uint(&json, "width", look->width);
		json_uint(&json, "height", look->height);
		json_end_line(&json);
	} else {
		printf("%s: %u x %u, what the network sees\n", term_shown(shown, path), look->width, look->height);
	}
	return CTL_DONE;
}

int ctl_look(struct ctl *ctl)
{
	if (ctl->args.n_operands != 1)
		return ctl_usage(ctl, "look takes one picture");
	if (!args_has(&ctl->args, ARG_OUTPUT))
		return ctl_usage(ctl, "where should the picture go? add -o seen.png");
	if (strcmp(ctl->args.output, "-") == 0 && isatty(STDOUT_FILENO))
		return ctl_usage(ctl, "standard output is a terminal, which cannot show a PNG: add -o seen.png");
	int r = ctl_connect(ctl);
	if (r != 0)
		return r;
	const char *source = ctl->args.operands[0];
	struct bnnd_picture picture;
	struct bnnd_look *look;
	struct bnnd_error err;
	char why[CTL_ERROR_BYTES];
	if (ctl_picture_load(ctl, source, &picture, why) != 0) {
		ctl_bad_file(ctl, source, why);
		return CTL_FAILED;
	}
	r = bnnd_look(ctl->conn, &picture, &look, &err);
	ctl_picture_free(&picture);
	if (r < 0 && ctl_error_is_of_picture(&err)) {
		ctl_bad_file(ctl, source, err.message);
		return CTL_FAILED;
	}
	if (r < 0)
		return ctl_fail(ctl, &err);
	r = look_report(ctl, source, look);
	bnnd_free(look);
	return r;
}
