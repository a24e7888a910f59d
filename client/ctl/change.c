/* SPDX-License-Identifier: MIT */
/* client/ctl/change.c: changes other than lessons: forget, rename, undo, rollback. Each carries a key, so that it is
 * asked again after a lost connection without being made twice. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"

struct bnnd_change_options ctl_change_options(struct ctl *ctl, uint8_t key_memory[BNND_KEY_BYTES])
{
	if (args_has(&ctl->args, ARG_KEY))
		memcpy(key_memory, ctl->args.key, BNND_KEY_BYTES);
	else
		bnnd_key_random(key_memory);
	return (struct bnnd_change_options){
		.key = key_memory, .has_if_seq = args_has(&ctl->args, ARG_IF_SEQ), .if_seq = ctl->args.if_seq};
}

static void undid_json(struct json *json, const struct bnnd_history_entry *undid)
{
	char time[TERM_TIME_BYTES];
	json_object(json, "undid");
	json_uint(json, "seq", undid->seq);
	json_text(json, "time", term_time_utc(time, undid->time_ms));
	json_text(json, "op", undid->op);
	if (undid->n_classes > 0)
		ctl_taught_json(json, undid->classes, undid->n_classes);
	if (undid->label[0] || undid->none)
		json_text(json, "label", undid->none ? NULL : undid->label);
	if (undid->new_label[0])
		json_text(json, "new_label", undid->new_label);
	json_end(json);
}

static void change_json(struct json *json, const struct bnnd_change *change)
{
	json_text(json, "op", change->op);
	json_uint(json, "seq", change->seq);
	if (change->label[0] || change->none)
		ctl_label_json(json, change->label, change->none);
	if (change->new_label[0])
		json_text(json, "new_label", change->new_label);
	if (strcmp(change->op, "undo") == 0 || strcmp(change->op, "rollback") == 0)
		json_uint(json, "restored_seq", change->restored_seq);
	if (change->undid)
		undid_json(json, change->undid);
	if (change->repeated)
		json_bool(json, "repeated", true);
	if (change->undone)
		json_bool(json, "undone", true);
	if (change->hint[0])
		json_text(json, "hint", change->hint);
	json_uint(json, "us", change->us);
}

static void undid_text(const struct bnnd_history_entry *undid)
{
	printf("undid change %" PRIu64 ": %s ", undid->seq, undid->op);
	ctl_entry_text(undid, "to change");
}

static void change_text(const struct bnnd_change *change)
{
	char shown[TERM_SHOWN_BYTES], other[TERM_SHOWN_BYTES];
	if (strcmp(change->op, "forget") == 0)
		printf("forgot %s (bnnctl undo takes it back)", ctl_class_shown(shown, change->label, change->none));
	else if (strcmp(change->op, "rename") == 0)
		printf("%s is now called %s", ctl_label_shown(shown, change->label),
			ctl_label_shown(other, change->new_label));
	else if (strcmp(change->op, "undo") == 0 && change->undid)
		undid_text(change->undid);
	else
		printf("%s: as after change %" PRIu64, term_shown(shown, change->op), change->restored_seq);
	printf("; change %" PRIu64 "%s%s\n", change->seq, change->repeated ? ", made before with this key" : "",
		change->undone ? ", and undone since" : "");
}

typedef int change_fn(struct ctl *ctl, const struct bnnd_change_options *options, struct bnnd_change **ret_change,
	struct bnnd_error *err);

static int change_run(struct ctl *ctl, change_fn *fn)
{
	int r = ctl_connect(ctl);
	if (r != 0)
		return r;
	uint8_t key[BNND_KEY_BYTES];
	struct bnnd_change_options options = ctl_change_options(ctl, key);
	struct bnnd_change *change;
	struct bnnd_error err;
	r = fn(ctl, &options, &change, &err);
	if (r < 0 && ctl_reconnect(ctl, &err) == 0)
		r = fn(ctl, &options, &change, &err);
	if (r < 0)
		return ctl_fail(ctl, &err);
	if (args_has(&ctl->args, ARG_JSON)) {
		struct json json = json_line(stdout);
		change_json(&json, change);
		json_end_line(&json);
	} else {
		change_text(change);
	}
	bnnd_free(change);
	return CTL_DONE;
}

static int do_forget(struct ctl *ctl, const struct bnnd_change_options *options, struct bnnd_change **ret_change,
	struct bnnd_error *err)
{
	const char *label = args_has(&ctl->args, ARG_NONE) ? NULL : ctl->args.operands[0];
	return bnnd_forget(ctl->conn, label, options, ret_change, err);
}

int ctl_forget(struct ctl *ctl)
{
	bool none = args_has(&ctl->args, ARG_NONE);
	if (ctl->args.n_operands != (none ? 0 : 1))
		return ctl_usage(
			ctl, none ? "--none takes no name" : "which class? one name, or --none for the negatives");
	return change_run(ctl, do_forget);
}

static int do_rename(struct ctl *ctl, const struct bnnd_change_options *options, struct bnnd_change **ret_change,
	struct bnnd_error *err)
{
	return bnnd_rename(ctl->conn, ctl->args.operands[0], ctl->args.operands[1], options, ret_change, err);
}

int ctl_rename(struct ctl *ctl)
{
	if (ctl->args.n_operands != 2)
		return ctl_usage(ctl, "rename takes the old name and the new one");
	return change_run(ctl, do_rename);
}

static int do_undo(struct ctl *ctl, const struct bnnd_change_options *options, struct bnnd_change **ret_change,
	struct bnnd_error *err)
{
	return bnnd_undo(ctl->conn, options, ret_change, err);
}

int ctl_undo(struct ctl *ctl)
{
	if (ctl->args.n_operands > 0)
		return ctl_usage(
			ctl, "undo takes back the newest change and no other: bnnctl rollback SEQ goes further");
	return change_run(ctl, do_undo);
}

static int do_rollback(struct ctl *ctl, const struct bnnd_change_options *options, struct bnnd_change **ret_change,
	struct bnnd_error *err)
{
	return bnnd_rollback(ctl->conn, strtoull(ctl->args.operands[0], NULL, 10), options, ret_change, err);
}

int ctl_rollback(struct ctl *ctl)
{
	if (ctl->args.n_operands != 1 || ctl->args.operands[0][0] == '\0' || strlen(ctl->args.operands[0]) > 18 ||
		strspn(ctl->args.operands[0], "0123456789") != strlen(ctl->args.operands[0]))
		return ctl_usage(ctl, "to which change? a number of bnnctl history; 0: nothing learned");
	return change_run(ctl, do_rollback);
}
