/* SPDX-License-Identifier: MIT */
/* lib/store/check.c: a look at states that are not open: the offline check, and how much another backbone's holds.
 * Works on copies in RAM: nothing is written, locked or created. Refuses a file that a process has open. */
#include "lib/store/store_inside.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "lib/base/text.h"

/* Without the negatives. */
static int count_classes(sqlite3 *db, int64_t *ret_n, struct err *err)
{
	return sql_int(db,
		"SELECT count(DISTINCT class_id) FROM item WHERE died = ?1 AND kind = " SQL_KIND_ROW
		" AND class_id > 0",
		SQL_ARGS(ALIVE), 0, ret_n, err);
}

uint32_t store_peek_classes(const char *dir, const uint8_t feature_id[STORE_FEATURE_ID_BYTES])
{
	char name[32];
	file_state_name(feature_id, name);
	char *path = file_path(dir, name);
	struct file_probe probe;
	struct store_identity identity;
	struct sql_budget budget;
	sqlite3 *db = NULL;
	int64_t n = 0;
	if (file_probe(path, &probe, NULL) == 0 && probe.exists && !probe.locked &&
		schema_check_header(probe.header, name, NULL) == 0 && image_open(path, &budget, &db, NULL) == 0 &&
		schema_identify(db, name, &identity, NULL) == 0 &&
		memcmp(identity.feature_id, feature_id, sizeof identity.feature_id) == 0)
		count_classes(db, &n, NULL);
	sqlite3_close(db);
	free(path);
	return (uint32_t)n;
}

enum { CHECK_FINDINGS = 20 }; /* of SQLite's own, a file */

struct check {
	store_line_fn *fn;
	void *ctx;
	const char *name; /* of the file looked at */
	sqlite3 *db;
	struct sql_budget budget;
	struct store_identity identity;
	struct verified verified;
	size_t n_findings;
};

static void say(struct check *check, enum store_line line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void say(struct check *check, enum store_line line, const char *format, ...)
{
	char text[ERR_TEXT_BYTES + 64];
	va_list ap;
	int n = snprintf(text, sizeof text, "%s: ", check->name);
	va_start(ap, format);
	vsnprintf(text + n, sizeof text - (size_t)n, format, ap);
	va_end(ap);
	text_make_printable(text);
	check->n_findings += line == STORE_FINDS;
	check->fn(check->ctx, line, text);
}
#define find(check, ...) say(check, STORE_FINDS, __VA_ARGS__)

static void find_of_file(void *ctx, enum finding finding, const char *sentence)
{
	(void)finding;
	find(ctx, "%s", sentence);
}

static void time_text(int64_t time_ms, char *ret_text, size_t n)
{
	const int64_t year_10000_ms = INT64_C(253402300800000);
	time_t seconds = (time_t)(time_ms / 1000);
	struct tm tm;
	if (time_ms < 0 || time_ms >= year_10000_ms || !gmtime_r(&seconds, &tm) ||
		strftime(ret_text, n, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(ret_text, n, "no date");
}

/* "3 classes, 5 lessons; the newest change is 9 (learn), of 2026-11-26 20:01:02 UTC" */
static void say_summary(struct check *check)
{
	const struct verified *v = &check->verified;
	int64_t n_classes = 0;
	uint64_t n_lessons = 0;
	struct err err;
	char date[64];
	if (count_classes(check->db, &n_classes, &err) < 0 ||
		history_count_lessons(check->db, v->seq, &n_lessons, &err) < 0) {
		find(check, "%s", err.text);
		return;
	}
	time_text(v->newest_time_ms, date, sizeof date);
	if (v->seq == 0)
		say(check, STORE_SAYS, "nothing was taught");
	else
		say(check, STORE_SAYS, "%lld class%s, %llu lesson%s; the newest change is %llu (%s), of %s",
			(long long)n_classes, n_classes == 1 ? "" : "es", (unsigned long long)n_lessons,
			n_lessons == 1 ? "" : "s", (unsigned long long)v->seq,
			v->newest_op ? store_op_name(v->newest_op) : "damaged", date);
}

static void check_whole(struct check *check)
{
	struct err err;
	if (verify_file(check->db, check->identity.file_id, CHECK_FINDINGS, find_of_file, check, &check->verified,
		    &err) < 0)
		find(check, "%s", err.text);
	else
		say_summary(check);
}

/* What is not in the db may be in the -wal, which bnnd never deletes. */
static void check_wal(struct check *check, const char *path)
{
	char *wal_path = NULL;
	struct stat st;
	unsigned long long seq = check->verified.seq;
	REQUIRE(asprintf(&wal_path, "%s-wal", path) > 0);
	if (stat(wal_path, &st) != 0 && errno == ENOENT)
		find(check,
			"its -wal is missing, which bnnd leaves beside it even when it is empty: if the file was "
			"copied "
			"from a bnnd that ran or was killed, changes behind change %llu are lost with it",
			seq);
	else if (image_wal_lost(path))
		find(check, "its -wal is damaged: changes behind change %llu were acknowledged and are lost", seq);
	free(wal_path);
}

static void check_file(struct check *check, const char *path)
{
	struct file_probe probe;
	struct err err;
	char owner[64], own_name[32];
	if (file_probe(path, &probe, &err) != 0) {
		find(check, "%s", err.text);
		return;
	}
	if (probe.locked) {
		file_owner_text(&probe, owner, sizeof owner);
		find(check, "%s: stop it to check the file", owner);
		return;
	}
	if (file_has_journal(path))
		find(check, "there is a rollback journal beside it, which bnnd never writes");
	if (schema_check_header(probe.header, check->name, &err) != 0 ||
		image_open(path, &check->budget, &check->db, &err) != 0) {
		find(check, "%s", err.text);
		return;
	}
	if (schema_identify(check->db, check->name, &check->identity, &err) != 0) {
		find(check, "%s", err.text);
	} else {
		file_state_name(check->identity.feature_id, own_name);
		if (strcmp(own_name, check->name) != 0)
			find(check, "it belongs to another backbone than its name says (%s)", own_name);
		check_whole(check);
		check_wal(check, path);
	}
	sqlite3_close(check->db);
	check->db = NULL;
}

static void check_current(struct check *check, const char *dir)
{
	struct store_current current;
	if (store_current_read(dir, &current) == STORE_E_BAD_CURRENT) {
		check->name = "current";
		find(check, "it cannot be read: the default model will be used");
	}
}

static int is_state_name(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);
	return strncmp(entry->d_name, "state-", 6) == 0 && n > 9 && strcmp(entry->d_name + n - 3, ".db") == 0;
}

int store_check(const char *dir, store_line_fn *fn, void *ctx, struct err *err)
{
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, is_state_name, alphasort);
	if (n < 0)
		return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
			"the state directory %s cannot be read: %s", dir, strerror(errno));
	struct check check = {.fn = fn, .ctx = ctx};
	for (int i = 0; i < n; i++) {
		char *path = file_path(dir, entries[i]->d_name);
		check.name = entries[i]->d_name;
		check_file(&check, path);
		free(path);
		free(entries[i]);
	}
	free(entries);
	if (n == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no state in %s: it has no file state-*.db", dir);
	check_current(&check, dir);
	return check.n_findings > 0 ? 1 : 0;
}
