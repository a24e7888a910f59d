/* SPDX-License-Identifier: MIT */
/* client/ctl/test.c: test DIR: how well does it know a folder of folders?
 *
 *   correct   the best class is the folder's, refused or not          accuracy           correct / images
 *   refused   answered as unknown or none                             accuracy_answered  right among those not refused
 *
 * images, correct and refused count the folders whose class is taught. Folders of other names are foreign: each picture
 * of them should be refused; those that are not are foreign_claimed. A folder none is the negatives: correct is what is
 * refused, as none or as unknown. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "lib/base/label.h"
#include "lib/base/memory.h"
#include "lib/base/text.h"

struct tally {
	const char *label; /* "" with none */
	bool none;
	bool taught;
	size_t images, correct, refused, answered_right;
};

struct confusion {
	const struct tally *is;
	char answered[BNND_LABEL_MAX_BYTES + 1]; /* "": refused */
	size_t n;
};

struct test_run {
	struct ctl *ctl;
	size_t n_classes;
	struct tally *classes;
	size_t n_times, times_capacity;
	uint32_t *times_us;
	size_t n_confusions, confusions_capacity;
	struct confusion *confusions;
	uint64_t n_total, n_done;
};

static int by_time(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static int by_count(const void *a, const void *b)
{
	const struct confusion *x = a, *y = b;
	return (x->n < y->n) - (x->n > y->n);
}

static void confuse(struct test_run *run, const struct tally *is, const char *answered)
{
	for (size_t i = 0; i < run->n_confusions; i++)
		if (run->confusions[i].is == is && strcmp(run->confusions[i].answered, answered) == 0) {
			run->confusions[i].n++;
			return;
		}
	if (run->n_confusions == run->confusions_capacity) {
		run->confusions_capacity = run->confusions_capacity ? 2 * run->confusions_capacity : 64;
		run->confusions = mem_realloc(run->confusions, run->confusions_capacity, sizeof *run->confusions);
	}
	struct confusion *c = &run->confusions[run->n_confusions++];
	*c = (struct confusion){.is = is, .n = 1};
	(void)snprintf(c->answered, sizeof c->answered, "%s", answered);
}

static void tally_answer(struct test_run *run, struct tally *tally, const struct bnnd_answer *answer)
{
	bool best_right = tally->none ? !answer->known
				      : answer->n_top > 0 && !answer->top[0].none &&
						strcmp(answer->top[0].label, tally->label) == 0;
	tally->images++;
	tally->correct += best_right;
	tally->refused += !answer->known;
	tally->answered_right += answer->known && best_right;
	if (tally->none ? answer->known : !(answer->known && best_right))
		confuse(run, tally, answer->known ? answer->label : "");
	if (run->n_times == run->times_capacity) {
		run->times_capacity = run->times_capacity ? 2 * run->times_capacity : 1024;
		run->times_us = mem_realloc(run->times_us, run->times_capacity, sizeof *run->times_us);
	}
	run->times_us[run->n_times++] = answer->us.total;
}

static void each_print(struct ctl *ctl, const char *path, const struct tally *is, const struct bnnd_answer *answer)
{
	if (args_has(&ctl->args, ARG_JSON)) {
		struct json json = json_line(stdout);
		ctl_answer_json(&json, ctl, path, answer);
		json_text(&json, "expected", is->none ? NULL : is->label);
		if (is->none)
			json_bool(&json, "expected_none", true);
		json_end_line(&json);
		return;
	}
	char shown[TERM_SHOWN_BYTES], label[TERM_SHOWN_BYTES];
	bool right = is->none ? !answer->known : answer->known && strcmp(answer->label, is->label) == 0;
	progress_clear(&ctl->progress);
	printf("%s%s%s  %s: %s\n", right ? ctl_green(ctl) : ctl_red(ctl), right ? "right" : "wrong", ctl_plain(ctl),
		term_shown(shown, path), ctl_answer_word(label, answer));
}

/* 0 or an exit code (printed): one picture's own trouble is reported and passed over. */
static int ask(struct test_run *run, struct tally *tally, const char *path)
{
	struct bnnd_picture picture;
	struct bnnd_answer answer;
	struct bnnd_error err;
	char why[CTL_ERROR_BYTES];
	progress_at(&run->ctl->progress, run->n_done++);
	if (ctl_picture_load(run->ctl, path, &picture, why) != 0) {
		ctl_bad_file(run->ctl, path, why);
		return 0;
	}
	int r = ctl_infer(run->ctl, &picture, &answer, &err);
	ctl_picture_free(&picture);
	if (r < 0 && ctl_error_is_of_picture(&err)) {
		ctl_bad_file(run->ctl, path, err.message);
		return 0;
	}
	if (r < 0)
		return ctl_fail(run->ctl, &err);
	tally_answer(run, tally, &answer);
	if (args_has(&run->ctl->args, ARG_EACH))
		each_print(run->ctl, path, tally, &answer);
	return 0;
}

/* ---- report ---------------------------------------------------------------------------------------------------- */

struct total {
	struct tally known, foreign;
	uint32_t us_median;
};

static struct total sum(struct test_run *run)
{
	struct total total = {0};
	for (size_t i = 0; i < run->n_classes; i++) {
		const struct tally *tally = &run->classes[i];
		struct tally *to = tally->taught ? &total.known : &total.foreign;
		to->images += tally->images;
		to->correct += tally->correct;
		to->refused += tally->refused;
		to->answered_right += tally->answered_right;
	}
	if (run->n_times > 0) {
		qsort(run->times_us, run->n_times, sizeof *run->times_us, by_time);
		total.us_median = run->times_us[run->n_times / 2];
	}
	if (run->n_confusions > 0)
		qsort(run->confusions, run->n_confusions, sizeof *run->confusions, by_count);
	return total;
}

static void share_json(struct json *json, const char *key, size_t part, size_t whole)
{
	if (whole > 0)
		json_double(json, key, (double)part / (double)whole);
	else
		json_null(json, key);
}

static void tally_json(struct json *json, const struct tally *tally)
{
	json_uint(json, "images", tally->images);
	json_uint(json, "correct", tally->correct);
	json_uint(json, "refused", tally->refused);
	share_json(json, "accuracy", tally->correct, tally->images);
	share_json(json, "accuracy_answered", tally->answered_right, tally->images - tally->refused);
}

static void report_json(const struct test_run *run, const struct total *total)
{
	struct json json = json_line(stdout);
	tally_json(&json, &total->known);
	json_uint(&json, "foreign", total->foreign.images);
	json_uint(&json, "foreign_claimed", total->foreign.images - total->foreign.refused);
	json_array(&json, "per_class");
	for (size_t i = 0; i < run->n_classes; i++) {
		json_object(&json, NULL);
		ctl_label_json(&json, run->classes[i].label, run->classes[i].none);
		json_bool(&json, "taught", run->classes[i].taught);
		tally_json(&json, &run->classes[i]);
		json_end(&json);
	}
	json_end(&json);
	if (args_has(&run->ctl->args, ARG_CONFUSION)) {
		json_array(&json, "confusion");
		for (size_t i = 0; i < run->n_confusions; i++) {
			const struct confusion *c = &run->confusions[i];
			json_object(&json, NULL);
			ctl_label_json(&json, c->is->label, c->is->none);
			json_text(&json, "answered", c->answered[0] ? c->answered : NULL);
			json_uint(&json, "n", c->n);
			json_end(&json);
		}
		json_end(&json);
	}
	json_uint(&json, "us_median", total->us_median);
	json_end_line(&json);
}

static void percent_text(size_t part, size_t whole)
{
	if (whole > 0)
		printf("  %7.1f %%", 100.0 * (double)part / (double)whole);
	else
		printf("  %7s  ", "-");
}

static void row_text(const char *name, const struct tally *tally, size_t columns)
{
	term_left(stdout, name, columns);
	printf("  %8zu  %7zu  %7zu", tally->images, tally->correct, tally->refused);
	percent_text(tally->correct, tally->images);
	percent_text(tally->answered_right, tally->images - tally->refused);
	printf("\n");
}

static const char *tally_shown(char buffer[TERM_SHOWN_BYTES], const struct tally *tally)
{
	return ctl_class_shown(buffer, tally->label, tally->none);
}

static void report_text(const struct test_run *run, const struct total *total)
{
	char shown[TERM_SHOWN_BYTES];
	size_t columns = strlen("total");
	for (size_t i = 0; i < run->n_classes; i++) {
		size_t c = text_columns(tally_shown(shown, &run->classes[i]));
		columns = c > columns ? c : columns;
	}
	term_left(stdout, "class", columns);
	printf("  pictures  correct  refused   accuracy   answered\n");
	for (size_t i = 0; i < run->n_classes; i++)
		if (run->classes[i].taught)
			row_text(tally_shown(shown, &run->classes[i]), &run->classes[i], columns);
	for (size_t i = 0; i < run->n_classes; i++) {
		const struct tally *tally = &run->classes[i];
		if (tally->taught)
			continue;
		term_left(stdout, tally_shown(shown, tally), columns);
		printf("  %8zu  never taught: %zu refused, %zu claimed\n", tally->images, tally->refused,
			tally->images - tally->refused);
	}
	if (args_has(&run->ctl->args, ARG_CONFUSION)) {
		printf("taken for something else, the most frequent first:\n");
		for (size_t i = 0; i < run->n_confusions; i++) {
			printf("  %5zu x %s as ", run->confusions[i].n, tally_shown(shown, run->confusions[i].is));
			printf("%s\n", run->confusions[i].answered[0]
					       ? ctl_label_shown(shown, run->confusions[i].answered)
					       : "unknown");
		}
	}
	row_text("total", &total->known, columns);
	printf("%u.%u ms a picture (median)\n", total->us_median / 1000, total->us_median % 1000 / 100);
}

/* ---- verb ------------------------------------------------------------------------------------------------------ */

static bool key_of(const char *label, struct label *ret_key)
{
	struct label as_given;
	if (label_check_kept((const uint8_t *)label, strlen(label), &as_given, NULL) != 0)
		return false;
	label_key(&as_given, ret_key);
	return true;
}

/* The class that a folder's name means, as the daemon would say: the one of these bytes, else one of the same key. */
static struct tally folder_class(const struct bnnd_class_list *list, const char *name)
{
	struct tally tally = {.label = name, .none = ctl_folder_is_none(name)};
	struct label key, other;
	bool has_key = key_of(name, &key);
	if (tally.none)
		tally.label = "";
	for (size_t i = 0; i < list->n; i++) {
		const char *label = list->classes[i].label;
		if (list->classes[i].none || tally.none)
			tally.taught |= tally.none && list->classes[i].none;
		else if (strcmp(label, name) == 0)
			return (struct tally){.label = label, .taught = true};
		else if (has_key && !tally.taught && key_of(label, &other) && label_equal(&key, &other))
			tally = (struct tally){.label = label, .taught = true};
	}
	return tally;
}

static int test_folders(struct test_run *run, const struct ctl_names *dirs)
{
	struct ctl *ctl = run->ctl;
	struct ctl_names *files = mem_zalloc(dirs->n, sizeof *files);
	size_t total = 0;
	int r = 0;
	for (size_t i = 0; i < dirs->n; i++) {
		if (ctl_list_files(ctl, dirs->names[i], &files[i], NULL) != 0)
			ctl_bad_file(ctl, dirs->names[i], "the folder cannot be read");
		total += files[i].n;
	}
	progress_begin(&ctl->progress, total, true);
	for (size_t i = 0; r == 0 && i < dirs->n; i++)
		for (size_t k = 0; r == 0 && k < files[i].n; k++)
			r = ask(run, &run->classes[i], files[i].names[k]);
	progress_clear(&ctl->progress);
	for (size_t i = 0; i < dirs->n; i++)
		ctl_names_free(&files[i]);
	free(files);
	if (r != 0)
		return r;
	if (run->n_times == 0)
		return ctl_fail_text(ctl, "no picture could be asked about");
	struct total sums = sum(run);
	if (args_has(&ctl->args, ARG_JSON))
		report_json(run, &sums);
	else
		report_text(run, &sums);
	return ctl->file_failed ? CTL_FAILED : CTL_DONE;
}

int ctl_test(struct ctl *ctl)
{
	if (ctl->args.n_operands != 1)
		return ctl_usage(ctl, "test takes one folder, with one subfolder a class");
	struct ctl_names dirs;
	int r = ctl_list_folders(ctl, ctl->args.operands[0], &dirs);
	if (r != 0)
		return r;
	r = ctl_connect(ctl);
	struct bnnd_class_list *list = NULL;
	struct bnnd_error err;
	if (r == 0 && bnnd_classes(ctl->conn, &list, &err) < 0)
		r = ctl_fail(ctl, &err);
	if (r == 0 && list->n == 0)
		fprintf(stderr, "bnnctl: %s\n", CTL_FIRST_WORDS);
	if (r == 0) {
		struct test_run run = {
			.ctl = ctl, .n_classes = dirs.n, .classes = mem_zalloc(dirs.n, sizeof(struct tally))};
		for (size_t i = 0; i < dirs.n; i++)
			run.classes[i] = folder_class(list, ctl_base_name(dirs.names[i]));
		r = test_folders(&run, &dirs);
		free(run.classes);
		free(run.times_us);
		free(run.confusions);
	}
	bnnd_free(list);
	ctl_names_free(&dirs);
	return r;
}
