/* SPDX-License-Identifier: MIT */
/* client/ctl/learn.c: learn: files or folders into lessons.
 *
 * A lesson has one key from its first try to its last, so a daemon that dies while it is committed is simply asked
 * again. A picture that the daemon refuses is left out and reported; a busy daemon gets it again later. */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "client/ctl/ctl.h"
#include "lib/base/label.h"
#include "lib/base/memory.h"

enum item_state { ITEM_TODO, ITEM_SENT, ITEM_AGAIN, ITEM_BAD };

struct item {
	const char *path;
	const char *label; /* NULL: none */
	enum item_state state;
	struct bnnd_picture kept; /* of standard input, which cannot be read twice */
};

struct lesson {
	struct ctl *ctl;
	size_t n;
	struct item *items;
	size_t n_used; /* accepted or taught before */
	uint32_t retry_after_ms;
	struct bnnd_error fatal; /* code 0: none. Not a picture's own trouble: the lesson cannot go on */
	size_t progress_before;  /* pictures of earlier lessons */
	size_t n_answered;
};

static size_t count(const struct lesson *lesson, enum item_state state)
{
	size_t n = 0;
	for (size_t i = 0; i < lesson->n; i++)
		n += lesson->items[i].state == state;
	return n;
}

static void bad_item(struct lesson *lesson, struct item *item, const char *why)
{
	item->state = ITEM_BAD;
	ctl_bad_file(lesson->ctl, item->path, why);
}

static void on_added(void *ctx, const struct bnnd_added *added)
{
	struct lesson *lesson = ctx;
	struct item *item = &lesson->items[added->tag];
	if (added->code == 0) {
		lesson->n_used++;
	} else if (added->error->retry_after_ms != 0) {
		item->state = ITEM_AGAIN;
		if (added->error->retry_after_ms > lesson->retry_after_ms)
			lesson->retry_after_ms = added->error->retry_after_ms;
		return;
	} else if (ctl_error_is_of_picture(added->error)) {
		bad_item(lesson, item, added->error->message);
	} else if (lesson->fatal.code == 0) {
		lesson->fatal = *added->error;
	}
	progress_at(&lesson->ctl->progress, lesson->progress_before + ++lesson->n_answered);
}

/* 0, or negative with err: the lesson cannot go on. */
static int add_item(struct lesson *lesson, struct bnnd_lesson *open, size_t i, struct bnnd_error *err)
{
	struct item *item = &lesson->items[i];
	struct bnnd_picture picture = item->kept;
	bool keep = strcmp(item->path, "-") == 0;
	char why[CTL_ERROR_BYTES];
	if (!picture.data && ctl_picture_load(lesson->ctl, item->path, &picture, why) != 0) {
		bad_item(lesson, item, why);
		return 0;
	}
	if (keep)
		item->kept = picture;
	item->state = ITEM_SENT;
	int r = bnnd_lesson_add(open, item->label, &picture, i, err);
	if (!keep)
		ctl_picture_free(&picture);
	if (r < 0 && ctl_error_is_of_picture(err)) {
		bad_item(lesson, item, err->message);
		return 0;
	}
	return r;
}

/* Every picture once, and those that met a busy daemon again until the timeout. */
static int add_all(struct lesson *lesson, struct bnnd_lesson *open, struct bnnd_error *err)
{
	int64_t end = lesson->ctl->args.timeout_ms == BNND_NO_TIMEOUT ? INT64_MAX
								      : term_now_ms() + lesson->ctl->args.timeout_ms;
	for (;;) {
		for (size_t i = 0; i < lesson->n; i++) {
			int r = 0;
			if (lesson->items[i].state == ITEM_TODO && lesson->fatal.code == 0)
				r = add_item(lesson, open, i, err);
			if (r != 0)
				return r;
		}
		int r = bnnd_lesson_wait(open, err);
		if (r == 0 && lesson->fatal.code != 0) {
			*err = lesson->fatal;
			return -err->code;
		}
		if (r != 0 || count(lesson, ITEM_AGAIN) == 0)
			return r;
		if (term_now_ms() + lesson->retry_after_ms > end) {
			*err = (struct bnnd_error){.code = BNND_RESOURCE_EXHAUSTED,
				.origin = BNND_ORIGIN_DAEMON,
				.retry_after_ms = lesson->retry_after_ms,
				.message = "the daemon stayed busy; nothing was learned"};
			return -err->code;
		}
		(void)poll(NULL, 0, (int)lesson->retry_after_ms);
		lesson->retry_after_ms = 0;
		for (size_t i = 0; i < lesson->n; i++)
			if (lesson->items[i].state == ITEM_AGAIN)
				lesson->items[i].state = ITEM_TODO;
	}
}

enum { TEACH_NOTHING = 1 };

/* One try. TEACH_NOTHING: no picture could be used. */
static int teach_once(struct lesson *lesson, const struct bnnd_change_options *change_options,
	struct bnnd_change **ret_change, struct bnnd_error *err)
{
	struct bnnd_lesson_options options = {.change = *change_options,
		.dry_run = args_has(&lesson->ctl->args, ARG_DRY_RUN),
		.on_added = on_added,
		.ctx = lesson};
	struct bnnd_lesson *open;
	lesson->n_used = 0;
	lesson->fatal.code = 0;
	lesson->n_answered = 0;
	for (size_t i = 0; i < lesson->n; i++)
		if (lesson->items[i].state != ITEM_BAD)
			lesson->items[i].state = ITEM_TODO;
	int r = bnnd_lesson_begin(lesson->ctl->conn, &options, &open, ret_change, err);
	if (r != 0)
		return r == BNND_LESSON_DONE_BEFORE ? 0 : r;
	r = add_all(lesson, open, err);
	if (r != 0 || lesson->n_used == 0) {
		bnnd_lesson_abort(open);
		return r != 0 ? r : TEACH_NOTHING;
	}
	return bnnd_lesson_commit(open, ret_change, err);
}

/* ---- what came of it ------------------------------------------------------------------------------------------- */

static void lesson_json(const struct lesson *lesson, const struct bnnd_change *change, size_t skipped)
{
	struct json json = json_line(stdout);
	json_text(&json, "op", "learn");
	json_uint(&json, "seq", change->seq);
	ctl_taught_json(&json, change->classes, change->n_classes);
	json_uint(&json, "skipped", skipped);
	json_uint(&json, "already_known", change->already_known);
	if (args_has(&lesson->ctl->args, ARG_DRY_RUN))
		json_bool(&json, "dry_run", true);
	if (change->repeated)
		json_bool(&json, "repeated", true);
	if (change->undone)
		json_bool(&json, "undone", true);
	if (change->hint[0])
		json_text(&json, "hint", change->hint);
	json_uint(&json, "us", change->us);
	json_end_line(&json);
}

static bool one_label(const struct lesson *lesson)
{
	return lesson->items[0].label == lesson->items[lesson->n - 1].label;
}

static void lesson_text(const struct lesson *lesson, const struct bnnd_change *change, size_t skipped)
{
	const struct ctl *ctl = lesson->ctl;
	bool dry = args_has(&ctl->args, ARG_DRY_RUN);
	char shown[TERM_SHOWN_BYTES];
	for (size_t i = 0; i < change->n_classes; i++) {
		const struct bnnd_taught *taught = &change->classes[i];
		printf("%s %s%s%s: %u picture%s%s\n", dry ? "would learn" : "learned", ctl_green(ctl),
			ctl_class_shown(shown, taught->label, taught->none), ctl_plain(ctl), taught->samples,
			taught->samples == 1 ? "" : "s", taught->is_new && !taught->none ? ", a new class" : "");
	}
	if (change->n_classes == 0)
		printf("nothing new%s%s\n", one_label(lesson) ? " for " : "",
			one_label(lesson) ? ctl_class_shown(shown, lesson->items[0].label ? lesson->items[0].label : "",
						    !lesson->items[0].label)
					  : "");
	printf("  ");
	if (dry)
		printf("dry run, nothing is kept; ");
	else
		printf("%schange %" PRIu64 "; ", change->n_classes == 0 ? "still " : "", change->seq);
	printf("%" PRIu64 ".%" PRIu64 " ms", change->us / 1000, change->us % 1000 / 100);
	if (change->already_known > 0)
		printf("; %u taught before", change->already_known);
	if (skipped > 0)
		printf("; %zu skipped", skipped);
	if (change->repeated)
		printf("; learned before with this key%s", change->undone ? ", and undone since" : "");
	printf("\n");
	if (change->hint[0])
		printf("  %s\n", change->hint);
}

static int check_limits(struct lesson *lesson)
{
	const struct bnnd_hello *hello = bnnd_hello(lesson->ctl->conn);
	if (lesson->n > hello->lesson_max_pictures)
		return ctl_fail_text(lesson->ctl, "%zu pictures in one lesson: the limit is %u; teach them in parts",
			lesson->n, hello->lesson_max_pictures);
	uint32_t n_labels = 0;
	for (size_t i = 0; i < lesson->n; i++) /* one label's pictures stand together */
		n_labels += i == 0 || lesson->items[i].label != lesson->items[i - 1].label;
	if (n_labels > hello->lesson_max_classes)
		return ctl_fail_text(lesson->ctl, "%u classes in one lesson: the limit is %u; leave out --together",
			n_labels, hello->lesson_max_classes);
	return 0;
}

/* Teaches one lesson and prints it; *if_seq follows. Returns an exit code. */
static int teach(struct lesson *lesson, struct bnnd_change_options *options)
{
	struct ctl *ctl = lesson->ctl;
	struct bnnd_change *change = NULL;
	struct bnnd_error err;
	int r = check_limits(lesson);
	if (r != 0)
		return r;
	r = teach_once(lesson, options, &change, &err);
	if (r < 0 && ctl_reconnect(ctl, &err) == 0)
		r = teach_once(lesson, options, &change, &err);
	if (r == TEACH_NOTHING)
		return lesson->n == 1
			       ? ctl_fail_text(ctl, "the picture could not be used: nothing was learned")
			       : ctl_fail_text(
					 ctl, "none of the %zu pictures could be used: nothing was learned", lesson->n);
	if (r < 0)
		return ctl_fail(ctl, &err);
	progress_clear(&ctl->progress);
	size_t skipped = count(lesson, ITEM_BAD);
	if (args_has(&ctl->args, ARG_JSON))
		lesson_json(lesson, change, skipped);
	else
		lesson_text(lesson, change, skipped);
	if (!args_has(&ctl->args, ARG_DRY_RUN))
		options->if_seq = change->seq;
	bnnd_free(change);
	return CTL_DONE;
}

/* ---- learn NAME FILE... ---------------------------------------------------------------------------------------- */

static void items_free(struct lesson *lesson)
{
	for (size_t i = 0; i < lesson->n; i++)
		ctl_picture_free(&lesson->items[i].kept);
	free(lesson->items);
}

/* `learn mug-*.jpg`, the name forgotten, would teach a class called mug-1.jpg. */
static bool is_picture_file(const char *name)
{
	struct stat st;
	const char *dot = strrchr(name, '.');
	return dot && stat(name, &st) == 0 && S_ISREG(st.st_mode);
}

/* The word after --none that is no picture but a name: `learn --none mug mug.jpg` would teach the mug as nothing in
 * particular. NULL: there is none. */
static const char *name_after_none(const struct args *args)
{
	for (size_t i = 0; i < args->n_operands; i++) {
		const char *word = args->operands[i];
		struct stat st;
		bool is_file = strcmp(word, "-") == 0 || (stat(word, &st) == 0 && !S_ISDIR(st.st_mode));
		if (!is_file && !strchr(word, '/') && !ctl_is_picture_name(word))
			return word;
	}
	return NULL;
}

static int check_none(struct ctl *ctl)
{
	char shown[TERM_SHOWN_BYTES];
	const char *name = name_after_none(&ctl->args);
	if (ctl->args.n_operands == 0)
		return ctl_usage(ctl, "which pictures? name files");
	if (!name)
		return 0;
	term_shown(shown, name);
	return ctl_usage(ctl,
		"--none is taught without a name, and '%.200s' is no file; nothing was taught. To teach a class: "
		"bnnctl learn '%.200s' FILE...",
		shown, shown);
}

static int check_name(struct ctl *ctl, const char *name)
{
	struct err err;
	if (strcasecmp(name, "none") == 0 || strcasecmp(name, "(none)") == 0)
		return ctl_usage(ctl,
			"no class can be called %s. Pictures of nothing in particular: "
			"bnnctl learn --none FILE...",
			name);
	if (is_picture_file(name))
		return ctl_usage(ctl, "%s is a file: the name of the class comes first, then its pictures", name);
	if (label_check((const uint8_t *)name, strlen(name), NULL, &err) != 0)
		return ctl_usage(ctl, "%s", err.text);
	return 0;
}

static int learn_files(struct ctl *ctl)
{
	bool none = args_has(&ctl->args, ARG_NONE);
	size_t first = none ? 0 : 1, n = ctl->args.n_operands;
	if (n == 1 && !none && is_picture_file(ctl->args.operands[0]))
		return check_name(ctl, ctl->args.operands[0]);
	if (!none && n < 2)
		return ctl_usage(ctl, n == 0 ? "what is it called, and which pictures?"
					     : "which pictures? name files after the class, or use --dir");
	const char *name = none ? NULL : ctl->args.operands[0];
	int r = none ? check_none(ctl) : check_name(ctl, name);
	for (size_t i = first, n_standard = 0; r == 0 && i < n; i++) {
		n_standard += strcmp(ctl->args.operands[i], "-") == 0;
		if (n_standard > 1)
			r = ctl_usage(ctl, "- is named twice: standard input can be read once");
	}
	if (r == 0)
		r = ctl_connect(ctl);
	if (r != 0)
		return r;
	struct lesson lesson = {.ctl = ctl, .n = n - first, .items = mem_zalloc(n - first, sizeof(struct item))};
	for (size_t i = 0; i < lesson.n; i++)
		lesson.items[i] = (struct item){.path = ctl->args.operands[first + i], .label = name};
	uint8_t key[BNND_KEY_BYTES];
	struct bnnd_change_options options = ctl_change_options(ctl, key);
	progress_begin(&ctl->progress, lesson.n, true);
	r = teach(&lesson, &options);
	items_free(&lesson);
	return r;
}

/* ---- learn --dir DIR ------------------------------------------------------------------------------------------- */

struct folder {
	const char *label; /* NULL: the negatives */
	struct ctl_names files;
};

static void say_none(const char *dir)
{
	char shown[TERM_SHOWN_BYTES];
	fprintf(stderr,
		"bnnctl: %s: taught as none, pictures of nothing in particular, and not as a class of that name\n",
		term_shown(shown, dir));
}

/* The folders that can be classes, with their files. Returns how many. */
static size_t read_folders(struct ctl *ctl, const struct ctl_names *dirs, struct folder *folders)
{
	size_t n = 0, n_passed_all = 0;
	for (size_t i = 0; i < dirs->n; i++) {
		struct err err;
		size_t n_passed = 0;
		const char *name = ctl_base_name(dirs->names[i]);
		struct folder folder = {.label = ctl_folder_is_none(name) ? NULL : name};
		if (folder.label && label_check((const uint8_t *)name, strlen(name), NULL, &err) != 0) {
			ctl_bad_file(ctl, dirs->names[i], err.text);
			continue;
		}
		if (ctl_list_files(ctl, dirs->names[i], &folder.files, &n_passed) != 0) {
			ctl_bad_file(ctl, dirs->names[i], "the folder cannot be read");
			continue;
		}
		n_passed_all += n_passed;
		if (folder.files.n == 0) {
			ctl_bad_file(ctl, dirs->names[i], "no pictures in this folder");
			continue;
		}
		if (!folder.label)
			say_none(dirs->names[i]);
		folders[n++] = folder;
	}
	if (n_passed_all > 0)
		fprintf(stderr, "bnnctl: %zu file%s passed over that %s by name no picture\n", n_passed_all,
			n_passed_all == 1 ? "" : "s", n_passed_all == 1 ? "is" : "are");
	return n;
}

static size_t add_folder(struct lesson *lesson, const struct folder *folder)
{
	for (size_t i = 0; i < folder->files.n; i++)
		lesson->items[lesson->n++] = (struct item){.path = folder->files.names[i], .label = folder->label};
	return folder->files.n;
}

static int teach_folders(struct ctl *ctl, const struct folder *folders, size_t n)
{
	bool together = args_has(&ctl->args, ARG_TOGETHER);
	size_t total = 0, done = 0;
	for (size_t i = 0; i < n; i++)
		total += folders[i].files.n;
	struct item *items = mem_zalloc(total + 1, sizeof *items);
	uint8_t key[BNND_KEY_BYTES];
	struct bnnd_change_options options = ctl_change_options(ctl, key);
	int worst = CTL_DONE;
	progress_begin(&ctl->progress, total, true);
	for (size_t i = 0; i < n;) {
		struct lesson lesson = {.ctl = ctl, .items = items, .progress_before = done};
		do
			done += add_folder(&lesson, &folders[i++]);
		while (together && i < n);
		int r = teach(&lesson, &options);
		/* A folder without one good picture is no reason to stop; anything else is. */
		if (r > CTL_FAILED || (r == CTL_FAILED && lesson.n_used > 0)) {
			worst = r;
			break;
		}
		worst = r > worst ? r : worst;
		if (!args_has(&ctl->args, ARG_KEY))
			bnnd_key_random(key);
	}
	progress_clear(&ctl->progress);
	free(items);
	return worst;
}

static int learn_dir(struct ctl *ctl)
{
	if (ctl->args.n_operands > 0)
		return ctl_usage(ctl, "--dir takes the names from the folders: no others are possible");
	if (args_has(&ctl->args, ARG_NONE))
		return ctl_usage(ctl, "--dir and --none do not go together: bnnctl learn --none FILE...");
	if (args_has(&ctl->args, ARG_KEY) && !args_has(&ctl->args, ARG_TOGETHER))
		return ctl_usage(ctl, "--key is for one lesson: with --dir, add --together");
	struct ctl_names dirs;
	int r = ctl_list_folders(ctl, ctl->args.dir, &dirs);
	if (r != 0)
		return r;
	r = ctl_connect(ctl);
	if (r == 0) {
		struct folder *folders = mem_zalloc(dirs.n, sizeof *folders);
		size_t n = read_folders(ctl, &dirs, folders);
		r = n > 0 ? teach_folders(ctl, folders, n)
			  : ctl_fail_text(ctl, "no folder has a picture: nothing was learned");
		for (size_t i = 0; i < n; i++)
			ctl_names_free(&folders[i].files);
		free(folders);
	}
	ctl_names_free(&dirs);
	return r;
}

int ctl_learn(struct ctl *ctl)
{
	if (args_has(&ctl->args, ARG_TOGETHER) && !args_has(&ctl->args, ARG_DIR))
		return ctl_usage(ctl, "--together is for --dir");
	int r = args_has(&ctl->args, ARG_DIR) ? learn_dir(ctl) : learn_files(ctl);
	progress_clear(&ctl->progress);
	return r == CTL_DONE && ctl->file_failed ? CTL_FAILED : r;
}
