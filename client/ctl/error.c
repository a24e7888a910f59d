/* SPDX-License-Identifier: MIT */
/* client/ctl/error.c: bnnctl's connection, and every way in which it can fail, with what helps. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "lib/base/text.h"

enum { RECONNECT_MS = 5000, RECONNECT_EVERY_MS = 100, SENTENCE_BYTES = 1024 };

static int try_connect(struct ctl *ctl, struct bnnd_error *err)
{
	struct bnnd_connect_options options = {.timeout_ms = ctl->args.timeout_ms, .software = "bnnctl " BNND_VERSION};
	return bnnd_connect_with(args_has(&ctl->args, ARG_SOCKET) ? ctl->args.socket : NULL, &options, &ctl->conn, err);
}

int ctl_connect(struct ctl *ctl)
{
	struct bnnd_error err;
	return try_connect(ctl, &err) < 0 ? ctl_fail(ctl, &err) : 0;
}

int ctl_reconnect(struct ctl *ctl, const struct bnnd_error *err)
{
	if (err->origin != BNND_ORIGIN_LOST || err->code != BNND_UNAVAILABLE)
		return -1;
	bnnd_close(ctl->conn);
	ctl->conn = NULL;
	struct bnnd_error again;
	for (int waited = 0; waited < RECONNECT_MS; waited += RECONNECT_EVERY_MS) {
		if (try_connect(ctl, &again) == 0)
			return 0;
		if (again.code != BNND_UNAVAILABLE)
			return -1;
		(void)poll(NULL, 0, RECONNECT_EVERY_MS);
	}
	return -1;
}

int ctl_exit_code(const struct bnnd_error *err)
{
	if (err->code == BNND_DEADLINE_EXCEEDED)
		return CTL_BUSY;
	if (err->code == BNND_PERMISSION_DENIED)
		return CTL_NOT_ALLOWED;
	if (err->origin == BNND_ORIGIN_CONNECT || err->origin == BNND_ORIGIN_LOST)
		return err->code == BNND_UNAVAILABLE ? CTL_NO_DAEMON : CTL_FAILED;
	if (err->origin == BNND_ORIGIN_CALL)
		return err->code == BNND_INVALID_ARGUMENT ? CTL_USAGE : CTL_FAILED;
	if (err->code == BNND_NOT_FOUND)
		return CTL_NOT_FOUND;
	return err->retry_after_ms != 0 ? CTL_BUSY : CTL_FAILED;
}

bool ctl_error_is_of_picture(const struct bnnd_error *err)
{
	if (err->origin == BNND_ORIGIN_CALL)
		return err->code == BNND_INVALID_ARGUMENT;
	if (err->origin != BNND_ORIGIN_DAEMON || err->retry_after_ms != 0)
		return false;
	/* A limit of the picture (pixels, memory), not one of the lesson or of all classes. */
	if (err->code == BNND_RESOURCE_EXHAUSTED)
		return strncmp(err->field, "lesson", 6) != 0 && strncmp(err->field, "learner", 7) != 0;
	if (err->code == BNND_INVALID_ARGUMENT)
		return strcmp(err->field, "label") != 0; /* the name is wrong for every picture */
	return err->code == BNND_DATA_LOSS;
}

static void error_json(const char *code, const char *sentence)
{
	struct json json = json_line(stdout);
	json_text(&json, "error", sentence);
	json_text(&json, "code", code);
	json_end_line(&json);
}

static void remedy(const struct ctl *ctl, const struct bnnd_error *err, int exit_code)
{
	(void)ctl;
	if (exit_code == CTL_NO_DAEMON && err->origin == BNND_ORIGIN_LOST)
		fprintf(stderr, "  it stopped or crashed; the reason:  journalctl -u bnnd -n 20\n"
				"  is it back?                         bnnctl status\n");
	else if (exit_code == CTL_NO_DAEMON)
		fprintf(stderr,
			"  the system's daemon:  systemctl status bnnd    start it:  sudo systemctl start bnnd\n"
			"  a private one:        bnnd --socket /tmp/bnnd.sock --state ~/bnnd-state --model FILE.bnn\n"
			"  and then:             bnnctl --socket /tmp/bnnd.sock status    (or set BNND_SOCKET)\n");
	else if (exit_code == CTL_NOT_ALLOWED)
		fprintf(stderr,
			"  join the daemon's group:  sudo usermod -aG bnnd \"$USER\"\n"
			"  then log in again, or for this shell:  newgrp bnnd    (groups you have now:  id -nG)\n");
	else if (exit_code == CTL_BUSY && err->code == BNND_DEADLINE_EXCEEDED)
		fprintf(stderr, "  wait longer:  bnnctl --timeout 120 ...\n");
}

static void say_failed(struct ctl *ctl, const char *code_name, const char *sentence)
{
	progress_clear(&ctl->progress);
	(void)fflush(stdout);
	if (args_has(&ctl->args, ARG_JSON))
		error_json(code_name, sentence);
	fprintf(stderr, "bnnctl: %s\n", sentence);
}

int ctl_fail(struct ctl *ctl, const struct bnnd_error *err)
{
	int exit_code = ctl_exit_code(err);
	say_failed(ctl, bnnd_code_name(err->code), err->message);
	remedy(ctl, err, exit_code);
	return exit_code;
}

int ctl_fail_text(struct ctl *ctl, const char *format, ...)
{
	char sentence[SENTENCE_BYTES];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(sentence, sizeof sentence, format, args);
	va_end(args);
	text_make_printable(sentence);
	say_failed(ctl, "FAILED", sentence);
	return CTL_FAILED;
}

int ctl_usage(struct ctl *ctl, const char *format, ...)
{
	char sentence[SENTENCE_BYTES];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(sentence, sizeof sentence, format, args);
	va_end(args);
	text_make_printable(sentence);
	fprintf(stderr, "bnnctl: %s\n", sentence);
	if (ctl->args.verb)
		fprintf(stderr, "usage: bnnctl %s %s    (more: bnnctl %s --help)\n", ctl->args.verb->name,
			ctl->args.verb->operands, ctl->args.verb->name);
	return CTL_USAGE;
}

void ctl_bad_file(struct ctl *ctl, const char *source, const char *error)
{
	char shown[TERM_SHOWN_BYTES];
	progress_clear(&ctl->progress);
	ctl->file_failed = true;
	if (args_has(&ctl->args, ARG_JSON)) {
		struct json json = json_line(stdout);
		json_text(&json, "source", source);
		json_text(&json, "error", error);
		json_end_line(&json);
		return;
	}
	(void)fflush(stdout);
	fprintf(stderr, "%s: %s\n", term_shown(shown, source), error);
}

static const char *paint(const struct ctl *ctl, const char *escape)
{
	return ctl->color ? escape : "";
}

const char *ctl_green(const struct ctl *ctl)
{
	return paint(ctl, "\033[32m");
}

const char *ctl_yellow(const struct ctl *ctl)
{
	return paint(ctl, "\033[33m");
}

const char *ctl_red(const struct ctl *ctl)
{
	return paint(ctl, "\033[31m");
}

const char *ctl_plain(const struct ctl *ctl)
{
	return paint(ctl, "\033[0m");
}
