/* SPDX-License-Identifier: MIT */
/* tests/unit/store/fixture.c: see fixture.h. */
#include "tests/unit/store/fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/testlib/faulty_vfs.h"

const uint8_t feature_a[STORE_FEATURE_ID_BYTES] = {0xaa, 1, 2, 3, 4, 5, 6, 7, 8};
const uint8_t feature_b[STORE_FEATURE_ID_BYTES] = {0xbb, 1, 2, 3, 4, 5, 6, 7, 8};

static void heal_disk(void)
{
	faulty_vfs_set(&(struct faulty_plan){0});
}

int fixture_set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	/* Memory: what is tested is the order of writes and syncs, not the speed of the disk under /tmp. */
	bool shm = access("/dev/shm", W_OK) == 0;
	snprintf(fixture->dir, sizeof fixture->dir, "%s/bnnd-test-store-XXXXXX", shm ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(fixture->dir));
	fixture->options = (struct store_options){.dir = fixture->dir, .model_name = "photo", .format = FORMAT};
	memcpy(fixture->options.feature_id, feature_a, sizeof feature_a);
	heal_disk();
	*state = fixture;
	return 0;
}

int fixture_tear_down(void **state)
{
	struct fixture *fixture = *state;
	heal_disk();
	store_close(fixture->store);
	DIR *dir = opendir(fixture->dir);
	for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
		char *path = path_in(fixture, entry->d_name);
		if (unlink(path) != 0)
			rmdir(path);
		free(path);
	}
	if (dir)
		closedir(dir);
	rmdir(fixture->dir);
	free(fixture);
	return 0;
}

int fixture_open(struct fixture *fixture, struct err *err)
{
	fixture_close(fixture);
	return store_open(&fixture->options, &fixture->store, err);
}

void fixture_reopen(struct fixture *fixture)
{
	struct err err = {0};
	if (fixture_open(fixture, &err) != 0)
		fail_msg("open: %s", err.text);
	if (store_mode(fixture->store) != STORE_READ_WRITE)
		fail_msg("not read-write: %s", store_why(fixture->store));
	assert_string_equal(store_why(fixture->store), "");
}

void fixture_close(struct fixture *fixture)
{
	store_close(fixture->store);
	fixture->store = NULL;
}

char *path_in(const struct fixture *fixture, const char *name)
{
	char *path = NULL;
	assert_true(asprintf(&path, "%s/%s", fixture->dir, name) > 0);
	return path;
}

char *db_path(const struct fixture *fixture)
{
	char name[64];
	int n = snprintf(name, sizeof name, "state-");
	for (int i = 0; i < 8; i++)
		n += snprintf(name + n, sizeof name - (size_t)n, "%02x", fixture->options.feature_id[i]);
	snprintf(name + n, sizeof name - (size_t)n, ".db");
	return path_in(fixture, name);
}

char *wal_path(const struct fixture *fixture)
{
	char *db = db_path(fixture), *path = NULL;
	assert_true(asprintf(&path, "%s-wal", db) > 0);
	free(db);
	return path;
}

void write_file(const char *path, const void *data, size_t n)
{
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, n, file), n);
	assert_int_equal(fclose(file), 0);
}

uint8_t *read_file(const char *path, size_t *ret_n)
{
	FILE *file = fopen(path, "re");
	*ret_n = 0;
	if (!file)
		return NULL;
	fseek(file, 0, SEEK_END);
	*ret_n = (size_t)ftell(file);
	rewind(file);
	uint8_t *data = malloc(*ret_n + 1);
	assert_int_equal(fread(data, 1, *ret_n, file), *ret_n);
	fclose(file);
	return data;
}

void copy_file(const char *from, const char *to)
{
	size_t n;
	uint8_t *data = read_file(from, &n);
	assert_non_null(data);
	write_file(to, data, n);
	free(data);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char *dir_fingerprint(const char *dir_path)
{
	char *lines[64], *text = NULL;
	size_t n_lines = 0, n_text = 0;
	DIR *dir = opendir(dir_path);
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (strcmp(entry->d_name, "..") == 0)
			continue;
		char path[512];
		struct stat st;
		snprintf(path, sizeof path, "%s/%s", dir_path, entry->d_name);
		assert_int_equal(lstat(path, &st), 0); /* a link may lead nowhere */
		uint64_t hash = 14695981039346656037u;
		size_t n = 0;
		uint8_t *data = S_ISREG(st.st_mode) ? read_file(path, &n) : NULL;
		for (size_t i = 0; i < n; i++)
			hash = (hash ^ data[i]) * 1099511628211u;
		free(data);
		assert_true(n_lines < 64);
		assert_true(asprintf(&lines[n_lines++], "%s %llu %lld.%09ld %llx\n", entry->d_name,
				    (unsigned long long)st.st_ino, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
				    (unsigned long long)hash) > 0);
	}
	closedir(dir);
	qsort(lines, n_lines, sizeof *lines, by_name);
	FILE *out = open_memstream(&text, &n_text);
	for (size_t i = 0; i < n_lines; i++) {
		fputs(lines[i], out);
		free(lines[i]);
	}
	fclose(out);
	return text;
}

void run_sql(const char *path, const char *sql)
{
	sqlite3 *db = NULL;
	char *message = NULL;
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "unix"), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", sql, message);
	sqlite3_close(db);
}

int try_learn(struct store *store, uint32_t class_id, const char *row, const char *label, const char *samples,
	const char *key, struct err *err)
{
	struct store_put puts[66];
	size_t n = 0;
	puts[n++] = (struct store_put){STORE_ROW, class_id, (const uint8_t *)row, strlen(row), FORMAT};
	if (label)
		puts[n++] = (struct store_put){STORE_LABEL, class_id, (const uint8_t *)label, strlen(label), NULL};
	for (size_t i = 0; i < strlen(samples); i++)
		puts[n++] = (struct store_put){STORE_SAMPLE, class_id, (const uint8_t *)samples + i, 1, "q1"};
	struct store_change change = {
		.op = STORE_OP_LEARN,
		.time_ms = 1000 + (int64_t)store_seq(store),
		.key = (const uint8_t *)key,
		.result = (const uint8_t *)row,
		.result_bytes = strlen(row),
		.puts = puts,
		.n_puts = n,
		.samples_per_class = 5,
	};
	uint64_t seq = 0, before = store_seq(store);
	int r = store_commit(store, &change, &seq, err);
	if (r == 0) {
		assert_int_equal(seq, before + 1);
		assert_int_equal(store_seq(store), seq);
	} else {
		assert_int_equal(store_seq(store), before);
	}
	return r;
}

uint64_t learn(struct store *store, uint32_t class_id, const char *row, const char *label, const char *samples)
{
	struct err err = {0};
	if (try_learn(store, class_id, row, label, samples, NULL, &err) != 0)
		fail_msg("learn: %s", err.text);
	return store_seq(store);
}

uint64_t forget(struct store *store, uint32_t class_id)
{
	struct err err = {0};
	uint64_t seq = 0;
	struct store_change change = {.op = STORE_OP_FORGET, .drop_classes = &class_id, .n_drop_classes = 1};
	if (store_commit(store, &change, &seq, &err) != 0)
		fail_msg("forget: %s", err.text);
	return seq;
}

uint64_t undo(struct store *store)
{
	struct err err = {0};
	uint64_t seq = 0, target = 0;
	struct store_change change = {.op = STORE_OP_UNDO};
	if (store_undo_target(store, &target, &err) != 0 || store_restore(store, target, &change, &seq, &err) != 0)
		fail_msg("undo: %s", err.text);
	return seq;
}

uint64_t rollback(struct store *store, uint64_t target)
{
	struct err err = {0};
	uint64_t seq = 0;
	struct store_change change = {.op = STORE_OP_ROLLBACK};
	if (store_restore(store, target, &change, &seq, &err) != 0)
		fail_msg("rollback: %s", err.text);
	return seq;
}

static int print_item(void *ctx, const struct store_item *item)
{
	fprintf(ctx, "%u%c=%.*s ", item->class_id, "?rlsn"[item->kind], (int)item -> len_bytes,
		(const char *)item -> data);
	return 0;
}

static void print_damage(void *ctx, const struct store_damage *damage)
{
	fprintf(ctx, "!%u%c@%llu>%llu ", damage->class_id, "?rlsn"[damage->kind], (unsigned long long)damage -> bad_seq,
		(unsigned long long)damage -> restored_seq);
}

static char *finish_text(FILE *out, char **text)
{
	fclose(out);
	size_t n = strlen(*text);
	if (n > 0 && (*text)[n - 1] == ' ')
		(*text)[n - 1] = '\0';
	return *text;
}

char *state_text(struct store *store)
{
	char *text = NULL;
	size_t n = 0;
	struct err err = {0};
	FILE *out = open_memstream(&text, &n);
	if (store_load(store, print_item, print_damage, out, &err) != 0)
		fprintf(out, "error %d: %s", err.code, err.text);
	return finish_text(out, &text);
}

static int print_entry(void *ctx, const struct store_entry *entry)
{
	fprintf(ctx, "%llu", (unsigned long long)entry->seq);
	if (entry->op == STORE_OP_UNDO || entry->op == STORE_OP_ROLLBACK)
		fprintf(ctx, "%c>%llu", entry->op == STORE_OP_UNDO ? 'u' : 'b', (unsigned long long)entry->restored);
	fprintf(ctx, "%s ", entry->undone ? "*" : "");
	return 0;
}

char *history_text(struct store *store)
{
	char *text = NULL;
	size_t n = 0;
	struct err err = {0};
	FILE *out = open_memstream(&text, &n);
	if (store_history(store, 0, 1000, print_entry, out, &err) != 0)
		fprintf(out, "error %d: %s", err.code, err.text);
	return finish_text(out, &text);
}

void assert_state(struct store *store, const char *expected)
{
	char *text = state_text(store);
	assert_string_equal(text, expected);
	free(text);
}

void assert_history(struct store *store, const char *expected)
{
	char *text = history_text(store);
	assert_string_equal(text, expected);
	free(text);
}

const char taught_state[] = "1r=rowAAAA2 1l=cup 1s=x 1s=y 2r=rowBBBB1 2l=mug 2s=z";

void teach(struct fixture *f, bool unclean)
{
	char *db = db_path(f), *wal = wal_path(f), *db_copy = path_in(f, "db.copy"), *wal_copy = path_in(f, "wal.copy");
	fixture_reopen(f);
	learn(f->store, 1, "rowAAAA1", "cup", "x");
	learn(f->store, 2, "rowBBBB1", "mug", "z");
	if (unclean)
		fixture_reopen(f);
	learn(f->store, 1, "rowAAAA2", NULL, "y");
	if (unclean) { /* as after kill -9 */
		copy_file(db, db_copy);
		copy_file(wal, wal_copy);
	}
	fixture_close(f);
	if (unclean) {
		assert_int_equal(rename(db_copy, db), 0);
		assert_int_equal(rename(wal_copy, wal), 0);
	}
	free(db);
	free(wal);
	free(db_copy);
	free(wal_copy);
}

void spoil_bytes(const char *path, size_t at, size_t n, uint8_t value)
{
	size_t size;
	uint8_t *data = read_file(path, &size);
	assert_true(at + n <= size);
	memset(data + at, value, n);
	write_file(path, data, size);
	free(data);
}

void print_finding(void *ctx, enum store_line line, const char *sentence)
{
	fprintf(ctx, "%s%s\n", line == STORE_SAYS ? "(" : "", sentence);
}
