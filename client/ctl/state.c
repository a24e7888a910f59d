/* SPDX-License-Identifier: MIT */
/* client/ctl/state.c: what there is: status, classes, history. Reads only. */
#include <inttypes.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "lib/base/text.h"

static void hex(const uint8_t *bytes, size_t n, char *ret_text)
{
	for (size_t i = 0; i < n; i++)
		(void)snprintf(ret_text + 2 * i, 3, "%02x", bytes[i]);
}

static void status_json(const struct bnnd_status *status)
{
	char id[2 * sizeof status->model.feature_id + 1];
	hex(status->model.feature_id, sizeof status->model.feature_id, id);
	struct json json = json_line(stdout);
	json_text(&json, "state", status->state);
	json_array(&json, "reasons");
	for (size_t i = 0; i < status->n_reasons; i++)
		json_text(&json, NULL, status->reasons[i]);
	json_end(&json);
	json_text(&json, "version", status->version);
	json_object(&json, "model");
	json_text(&json, "id", id);
	json_text(&json, "name", status->model.name);
	json_uint(&json, "features", status->model.features);
	json_object(&json, "input");
	json_uint(&json, "width", status->model.width);
	json_uint(&json, "height", status->model.height);
	json_text(&json, "fit", status->model.fit);
	json_end(&json);
	json_end(&json);
	json_text(&json, "kernels", status->kernels);
	json_uint(&json, "classes", status->classes);
	json_uint(&json, "negatives", status->negatives);
	json_uint(&json, "seq", status->seq);
	json_uint(&json, "uptime_s", status->uptime_ms / 1000);
	json_uint(&json, "infer_threads", status->infer_threads);
	json_text(&json, "preset", status->preset);
	json_text(&json, "widths", status->widths);
	json_text(&json, "method", status->method);
	json_text(&json, "no_metric", status->no_metric[0] ? status->no_metric : NULL);
	json_bool(&json, "scene", status->scene);
	json_text(&json, "no_scene", status->no_scene[0] ? status->no_scene : NULL);
	json_double(&json, "refuse", status->refuse);
	json_uint(&json, "memory_bound_bytes", status->memory_bound_bytes);
	json_text(&json, "waiting", status->waiting[0] ? status->waiting : NULL);
	json_end_line(&json);
}

static void status_text(const struct ctl *ctl, const struct bnnd_status *status)
{
	char id[2 * sizeof status->model.feature_id + 1], up[TERM_TIME_BYTES];
	bool ready = strcmp(status->state, "ready") == 0;
	hex(status->model.feature_id, sizeof status->model.feature_id, id);
	printf("bnnd %s is %s%s%s, up %s\n", status->version, ready ? ctl_green(ctl) : ctl_red(ctl), status->state,
		ctl_plain(ctl), term_duration(up, status->uptime_ms));
	for (size_t i = 0; i < status->n_reasons; i++)
		printf("  why        %s\n", status->reasons[i]);
	printf("  model      %s: %u x %u pixels in (%s), %u features out, id %.16s\n", status->model.name,
		status->model.width, status->model.height, status->model.fit, status->model.features, id);
	printf("  kernels    %s, %u thread%s\n", status->kernels, status->infer_threads,
		status->infer_threads == 1 ? "" : "s");
	printf("  learner    %s, %s bits, ranks by %s, ", status->preset, status->widths, status->method);
	if (status->refuse > 0)
		printf("refuses %.0f %% of known pictures\n", status->refuse * 100.0);
	else
		puts("never answers unknown");
	if (status->no_metric[0])
		printf("             %s\n", status->no_metric);
	printf("  memory     at most %" PRIu64 " MiB\n", status->memory_bound_bytes >> 20);
	printf("  learned    %u class%s, change %" PRIu64 "\n", status->classes, status->classes == 1 ? "" : "es",
		status->seq);
	if (status->negatives > 0)
		printf("             and %u picture%s of nothing in particular\n", status->negatives,
			status->negatives == 1 ? "" : "s");
	if (status->scene)
		puts("             which are one scene: what is known is decided with it taken away");
	if (status->no_scene[0])
		printf("             %s\n", status->no_scene);
	if (status->waiting[0])
		printf("             %s\n", status->waiting);
	else if (status->classes == 0 && status->n_reasons == 0)
		printf("  %s\n", CTL_FIRST_WORDS);
}

int ctl_status(struct ctl *ctl)
{
	if (ctl->args.n_operands > 0)
		return ctl_usage(ctl, "status takes no more words");
	int r = ctl_connect(ctl);
	if (r != 0)
		return r;
	struct bnnd_status *status;
	struct bnnd_error err;
	if (bnnd_status(ctl->conn, &status, &err) < 0)
		return ctl_fail(ctl, &err);
	if (args_has(&ctl->args, ARG_JSON))
		status_json(status);
	else
		status_text(ctl, status);
	bool wrong = args_has(&ctl->args, ARG_CHECK) && strcmp(status->state, "ready") != 0;
	bnnd_free(status);
	return wrong ? CTL_DEGRADED : CTL_DONE;
}

/* ---- classes --------------------------------------------------------------------------------------------------- */

static void class_keys(struct json *json, const struct bnnd_class *class)
{
	char time[TERM_TIME_BYTES];
	ctl_label_json(json, class->label, class->none);
	json_uint(json, "samples", class->samples);
	json_uint(json, "lessons", class->lessons);
	json_text(json, "first", term_time_utc(time, class->first_ms));
	json_text(json, "time", term_time_utc(time, class->last_ms));
}

static void classes_text(const struct bnnd_class_list *list)
{
	char shown[TERM_SHOWN_BYTES], time[TERM_TIME_BYTES];
	size_t columns = strlen("class");
	for (size_t i = 0; i < list->n; i++) {
		size_t c = text_columns(ctl_class_shown(shown, list->classes[i].label, list->classes[i].none));
		columns = c > columns ? c : columns;
	}
	if (list->n == 0) {
		printf("%s\n", CTL_FIRST_WORDS);
		return;
	}
	term_left(stdout, "class", columns);
	printf("  pictures  lessons  last taught\n");
	for (size_t i = 0; i < list->n; i++) {
		const struct bnnd_class *class = &list->classes[i];
		term_left(stdout, ctl_class_shown(shown, class->label, class->none), columns);
		printf("  %8" PRIu64 "  %7u  %s\n", class->samples, class->lessons,
			term_time_local(time, class->last_ms));
	}
}

static int classes_all(struct ctl *ctl)
{
	struct bnnd_class_list *list;
	struct bnnd_error err;
	if (bnnd_classes(ctl->conn, &list, &err) < 0)
		return ctl_fail(ctl, &err);
	if (!args_has(&ctl->args, ARG_JSON)) {
		classes_text(list);
	} else {
		for (size_t i = 0; i < list->n; i++) {
			struct json json = json_line(stdout);
			class_keys(&json, &list->classes[i]);
			json_end_line(&json);
		}
	}
	bnnd_free(list);
	return CTL_DONE;
}

static void class_json(const struct bnnd_class_info *info)
{
	char time[TERM_TIME_BYTES];
	struct json json = json_line(stdout);
	class_keys(&json, &info->summary);
	json_array(&json, "history");
	for (size_t i = 0; i < info->n_lessons; i++) {
		json_object(&json, NULL);
		json_uint(&json, "seq", info->lessons[i].seq);
		json_text(&json, "time", term_time_utc(time, info->lessons[i].time_ms));
		json_uint(&json, "samples", info->lessons[i].samples);
		json_end(&json);
	}
	json_end(&json);
	json_end_line(&json);
}

static void class_text(const struct bnnd_class_info *info)
{
	char shown[TERM_SHOWN_BYTES], time[TERM_TIME_BYTES];
	printf("%s: %" PRIu64 " picture%s in %u lesson%s\n",
		ctl_class_shown(shown, info->summary.label, info->summary.none), info->summary.samples,
		info->summary.samples == 1 ? "" : "s", info->summary.lessons, info->summary.lessons == 1 ? "" : "s");
	for (size_t i = 0; i < info->n_lessons; i++)
		printf("  change %-6" PRIu64 "  %s  %u picture%s\n", info->lessons[i].seq,
			term_time_local(time, info->lessons[i].time_ms), info->lessons[i].samples,
			info->lessons[i].samples == 1 ? "" : "s");
}

int ctl_classes(struct ctl *ctl)
{
	bool none = args_has(&ctl->args, ARG_NONE);
	if (ctl->args.n_operands + none > 1)
		return ctl_usage(ctl, "classes takes one name or --none, or nothing for all of them");
	int r = ctl_connect(ctl);
	if (r != 0)
		return r;
	if (ctl->args.n_operands == 0 && !none)
		return classes_all(ctl);
	struct bnnd_class_info *info;
	struct bnnd_error err;
	if (bnnd_class_info(ctl->conn, none ? NULL : ctl->args.operands[0], &info, &err) < 0)
		return ctl_fail(ctl, &err);
	if (args_has(&ctl->args, ARG_JSON))
		class_json(info);
	else
		class_text(info);
	bnnd_free(info);
	return CTL_DONE;
}

/* ---- history --------------------------------------------------------------------------------------------------- */

static void entry_json(const struct bnnd_history_entry *entry)
{
	char time[TERM_TIME_BYTES];
	struct json json = json_line(stdout);
	json_uint(&json, "seq", entry->seq);
	json_text(&json, "time", term_time_utc(time, entry->time_ms));
	json_text(&json, "op", entry->op);
	json_bool(&json, "undone", entry->undone);
	if (strcmp(entry->op, "learn") == 0) {
		uint64_t samples = 0;
		for (size_t i = 0; i < entry->n_classes; i++)
			samples += entry->classes[i].samples;
		json_uint(&json, "samples", samples);
		ctl_taught_json(&json, entry->classes, entry->n_classes);
	}
	if (entry->label[0] || entry->none)
		ctl_label_json(&json, entry->label, entry->none);
	if (entry->new_label[0])
		json_text(&json, "new_label", entry->new_label);
	if (strcmp(entry->op, "undo") == 0 || strcmp(entry->op, "rollback") == 0)
		json_uint(&json, "restored_seq", entry->restored_seq);
	json_end_line(&json);
}

static void entry_text(const struct ctl *ctl, const struct bnnd_history_entry *entry)
{
	char time[TERM_TIME_BYTES];
	printf("%6" PRIu64 "  %s  %-8s  ", entry->seq, term_time_local(time, entry->time_ms), entry->op);
	ctl_entry_text(entry, "as after change");
	printf("%s%s%s\n", entry->undone ? ctl_yellow(ctl) : "", entry->undone ? "  (undone)" : "",
		entry->undone ? ctl_plain(ctl) : "");
}

int ctl_history(struct ctl *ctl)
{
	if (ctl->args.n_operands > 0)
		return ctl_usage(ctl, "history takes no names: bnnctl classes NAME lists the lessons of one class");
	int r = ctl_connect(ctl);
	if (r != 0)
		return r;
	struct bnnd_history *history;
	struct bnnd_error err;
	if (bnnd_history(ctl->conn, ctl->args.limit, &history, &err) < 0)
		return ctl_fail(ctl, &err);
	bool json = args_has(&ctl->args, ARG_JSON);
	for (size_t i = 0; i < history->n; i++) {
		if (json)
			entry_json(&history->entries[i]);
		else
			entry_text(ctl, &history->entries[i]);
	}
	if (history->n == 0 && !json)
		printf("%s\n", CTL_FIRST_WORDS);
	bnnd_free(history);
	return CTL_DONE;
}
