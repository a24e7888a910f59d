/* SPDX-License-Identifier: MIT */
/* client/ctl/ctl.h: what bnnctl's verbs share. A verb is one function that returns the exit code. */
#pragma once

#include "client/ctl/args.h"
#include "client/bnnd.h"
#include "client/ctl/json_out.h"
#include "client/ctl/term.h"

enum ctl_exit {
	CTL_DONE = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_NO_DAEMON = 3,
	CTL_NOT_ALLOWED = 4,
	CTL_NOT_FOUND = 5,
	CTL_BUSY = 6,
	CTL_DEGRADED = 7, /* only with status --check: a degraded daemon does what it can */
};

#define CTL_FIRST_WORDS "nothing taught yet: bnnctl learn mug mug-*.jpg"

struct ctl {
	struct args args;
	struct bnnd_conn *conn; /* NULL before ctl_connect */
	bool color;             /* of standard output */
	struct progress progress;
	bool file_failed; /* a bad file was reported: exit 1 at the end */
};

/* ---- error.c: connection, errors ---- */

/* Connects; on failure prints the sentence and the remedy. Returns 0 or the exit code. */
int ctl_connect(struct ctl *ctl);
/* Connects again after err said that the connection was lost, while the daemon restarts. Returns 0, or -1. */
int ctl_reconnect(struct ctl *ctl, const struct bnnd_error *err);
int ctl_exit_code(const struct bnnd_error *err);
/* Prints the error (and what helps) and returns its exit code. */
int ctl_fail(struct ctl *ctl, const struct bnnd_error *err);
/* A failure that is no bnnd_error; exit code 1. */
int ctl_fail_text(struct ctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Wrong usage: the sentence and where the help is; exit code 2. */
int ctl_usage(struct ctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* {source, error}: the others go on. error is printable. */
void ctl_bad_file(struct ctl *ctl, const char *source, const char *error);
/* Is this error the picture's own, so that the next one may do better? */
bool ctl_error_is_of_picture(const struct bnnd_error *err);

/* Colours of standard output, "" without. */
const char *ctl_green(const struct ctl *ctl);
const char *ctl_yellow(const struct ctl *ctl);
const char *ctl_red(const struct ctl *ctl);
const char *ctl_plain(const struct ctl *ctl);

/* ---- file.c: files into pictures ---- */

enum { CTL_ERROR_BYTES = 900 };
/* Reads a file ("-": standard input) as the command line says (--raw, --roi, --rotate). The bytes are free()d through
 * picture.data. Returns 0, or -1 with a sentence. */
int ctl_picture_load(
	struct ctl *ctl, const char *path, struct bnnd_picture *ret_picture, char ret_error[CTL_ERROR_BYTES]);
void ctl_picture_free(struct bnnd_picture *picture);

/* The pictures of one folder, in name order; hidden files are left out, and files whose name says that they are no
 * pictures (counted in *ret_n_passed; with --raw none is). */
struct ctl_names {
	size_t n;
	char **names; /* paths from where we stand: dir/name */
};
int ctl_list_files(struct ctl *ctl, const char *dir, struct ctl_names *ret_names, size_t *ret_n_passed);
/* The subfolders of a folder, in name order. Hidden ones are left out, and those that systems make for themselves
 * (@eaDir, __MACOSX, ...), which is said. 0, or an exit code (printed). */
int ctl_list_folders(struct ctl *ctl, const char *dir, struct ctl_names *ret_names);
/* Are pictures in a folder of this name ("none", "background") the negatives, and no class? */
bool ctl_folder_is_none(const char *name);
/* Has it the extension of a picture, whether the daemon reads it or names what converts it? */
bool ctl_is_picture_name(const char *name);
void ctl_names_free(struct ctl_names *names);
/* The last part of a path. */
const char *ctl_base_name(const char *path);

/* ---- class.c: how a class is called, and what was done to it ---- */

/* In tables: its label, in quotation marks where answers have that word, or "(none)". */
const char *ctl_label_shown(char buffer[TERM_SHOWN_BYTES], const char *label);
const char *ctl_class_shown(char buffer[TERM_SHOWN_BYTES], const char *label, bool none);
/* label, null with none, and then none. */
void ctl_label_json(struct json *json, const char *label, bool none);
/* What a lesson taught: an array of classes; "mug (5), cup (3)" into buffer. */
void ctl_taught_json(struct json *json, const struct bnnd_taught *classes, size_t n);
enum { CTL_TAUGHT_BYTES = 2048 };
const char *ctl_taught_text(char buffer[CTL_TAUGHT_BYTES], const struct bnnd_taught *classes, size_t n);
/* What a change did, printed: "mug (5)", "mug -> cup", "mug", or, of one that went back, `back` and the number. */
void ctl_entry_text(const struct bnnd_history_entry *entry, const char *back);

/* ---- change.c: changes ---- */

/* Key and --if-seq of the command line; the key is random without --key. */
struct bnnd_change_options ctl_change_options(struct ctl *ctl, uint8_t key_memory[BNND_KEY_BYTES]);

/* ---- the answer of one picture: infer.c, used by test.c ---- */

/* Asks again over a new connection when this one is lost. */
int ctl_infer(
	struct ctl *ctl, const struct bnnd_picture *picture, struct bnnd_answer *ret_answer, struct bnnd_error *err);
/* The label, "(none)" or "unknown". */
const char *ctl_answer_word(char buffer[TERM_SHOWN_BYTES], const struct bnnd_answer *answer);
void ctl_answer_json(struct json *json, const struct ctl *ctl, const char *source, const struct bnnd_answer *answer);

/* ---- verbs ---- */

int ctl_status(struct ctl *ctl);
int ctl_learn(struct ctl *ctl);
int ctl_infer_files(struct ctl *ctl);
int ctl_test(struct ctl *ctl);
int ctl_embed(struct ctl *ctl);
int ctl_look(struct ctl *ctl);
int ctl_classes(struct ctl *ctl);
int ctl_history(struct ctl *ctl);
int ctl_forget(struct ctl *ctl);
int ctl_rename(struct ctl *ctl);
int ctl_undo(struct ctl *ctl);
int ctl_rollback(struct ctl *ctl);
