/* SPDX-License-Identifier: MIT */
/* tests/fuzz/fuzz_state.c: a state file as somebody else left it. A small valid one is changed as the input says: cells,
 * rows and bytes, with check sums made right or not. Then the daemon's own use of it: open, every view of it, undo,
 * rollback, a lesson, and open again. It is served, served in part with the reason, or left alone with the reason.
 *
 *   EDIT...   what (see edit), then its operands; after the first byte edit no others */
#include <math.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/state/teach.h"
#include "daemon/wire/views.h"
#include "lib/base/random.h"
#include "lib/store/store_inside.h"
#include "proto/limits.h"
#include "tests/fuzz/fuzz.h"
#include "tests/testlib/labels.h"

enum { D = 8, EDITS_MAX = 24, TEXT_MAX_BYTES = 300 };

static struct config config;
static char path[128];
static uint8_t *valid;
static size_t valid_n;

/* ---- a state ----------------------------------------------------------------------------------------------------- */

static int open_state(struct learned **ret_learned, struct err *err)
{
	struct learned_options options = {.config = &config,
		.model_name = "tiny",
		.n_features = D,
		.near = 0.7,
		.scene = {.share = 0.75, .cosine = 0.5}};
	memset(options.feature_id, 7, sizeof options.feature_id);
	return learned_open(&options, ret_learned, err);
}

static int teach(struct learned *learned, const char *name, uint64_t seed, struct err *err)
{
	enum { N = 3 };
	int8_t q[N * D];
	const uint32_t y[N] = {0};
	uint8_t digests[N][DIGEST_BYTES];
	struct teach_class class = {.label = label_of(name)};
	struct change_guard guard = {0};
	struct change_outcome outcome;
	uint8_t key[STORE_KEY_BYTES];
	for (size_t i = 0; i < sizeof q; i++)
		q[i] = (int8_t)(seed * 29 % 50 + i % D * 7 % 60 - splitmix64_next(&seed) % 20);
	for (size_t i = 0; i < N * DIGEST_BYTES; i++)
		digests[i / DIGEST_BYTES][i % DIGEST_BYTES] = (uint8_t)splitmix64_next(&seed);
	memset(key, (int)seed, sizeof key);
	guard.key = key;
	struct teach_work work = {.n_classes = 1,
		.classes = &class,
		.n = N,
		.q = q,
		.y = y,
		.digests = (const uint8_t(*)[DIGEST_BYTES])digests};
	int r = learned_teach(learned, &work, &guard, NULL, NULL, &outcome, err);
	if (r == 0)
		change_outcome_deinit(&outcome);
	return r;
}

/* Lets a change that was refused say why, and one that was made go. */
static void finish(int r, struct change_outcome *outcome, const struct err *err)
{
	if (r == 0)
		change_outcome_deinit(outcome);
	else
		fuzz_check_refusal(r, err);
}

static void change_names(struct learned *learned)
{
	struct change_guard guard = {0};
	struct change_outcome outcome;
	struct err err;
	struct label mug = label_of("mug"), cup = label_of("cup"), hat = label_of("hat");
	finish(learned_rename(learned, &mug, &cup, &guard, &outcome, &err), &outcome, &err);
	finish(learned_forget(learned, &hat, &guard, &outcome, &err), &outcome, &err);
	finish(learned_undo(learned, &guard, &outcome, &err), &outcome, &err);
}

static void read_valid(void)
{
	struct stat st;
	FILE *in = fopen(path, "rb");
	FUZZ_CHECK(in && fstat(fileno(in), &st) == 0);
	valid_n = (size_t)st.st_size;
	valid = malloc(valid_n);
	FUZZ_CHECK(valid && fread(valid, 1, valid_n, in) == valid_n);
	fclose(in);
}

static void make_valid(void)
{
	struct learned *learned;
	struct err err;
	struct config_overrides overrides = {.file = "/dev/null", .state = fuzz_folder()};
	FUZZ_CHECK(config_load(&overrides, &config, &err) == 0);
	config.max_classes = 20;
	config.samples_per_class = 4;
	config.learner.method = LEARN_METRIC; /* reads all that cwr does, and more */
	FUZZ_CHECK(open_state(&learned, &err) == 0);
	FUZZ_CHECK(teach(learned, "mug", 1, &err) == 0 && teach(learned, "hat", 2, &err) == 0);
	FUZZ_CHECK(teach(learned, "", 3, &err) == 0 && teach(learned, "mug", 4, &err) == 0);
	change_names(learned);
	learned_close(learned);
	snprintf(path, sizeof path, "%s/state-0707070707070707.db", config.state_dir);
	read_valid();
}

/* ---- edits ------------------------------------------------------------------------------------------------------- */

static int64_t number_of(sqlite3 *db, const char *sql, int64_t id)
{
	sqlite3_stmt *stmt = NULL;
	int64_t n = 0;
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK) {
		sqlite3_bind_int64(stmt, 1, id);
		if (sqlite3_step(stmt) == SQLITE_ROW)
			n = sqlite3_column_int64(stmt, 0);
	}
	sqlite3_finalize(stmt);
	return n;
}

/* A cell of any type. */
static void bind_cell(sqlite3_stmt *stmt, int at, struct fuzz_input *input)
{
	uint8_t type = fuzz_u8(input) % 8;
	uint64_t bits;
	double real;
	size_t n;
	const uint8_t *bytes;
	switch (type) {
	case 0:
		sqlite3_bind_null(stmt, at);
		break;
	case 1:
		bits = fuzz_u64(input);
		memcpy(&real, &bits, sizeof real);
		sqlite3_bind_double(stmt, at, real);
		break;
	case 2:
		bytes = fuzz_bytes(input, fuzz_u8(input), &n);
		sqlite3_bind_text(stmt, at, (const char *)bytes, (int)n, SQLITE_TRANSIENT);
		break;
	case 3:
		bytes = fuzz_bytes(input, fuzz_u8(input), &n);
		sqlite3_bind_blob(stmt, at, bytes, (int)n, SQLITE_TRANSIENT);
		break;
	case 4:
		sqlite3_bind_zeroblob(stmt, at, (int)(fuzz_u16(input)) << fuzz_u8(input) % 8);
		break;
	default:
		sqlite3_bind_int64(stmt, at, fuzz_number(input));
	}
}

static void run(sqlite3 *db, const char *sql, int n_cells, struct fuzz_input *input, int64_t id)
{
	sqlite3_stmt *stmt = NULL;
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return;
	for (int i = 1; i <= n_cells; i++)
		bind_cell(stmt, i, input);
	if (sqlite3_bind_parameter_index(stmt, "?20"))
		sqlite3_bind_int64(stmt, 20, id);
	(void)sqlite3_step(stmt);
	sqlite3_finalize(stmt);
}

static void edit_cell(sqlite3 *db, struct fuzz_input *input)
{
	static const char *const cells[] = {"item SET kind", "item SET class_id", "item SET born", "item SET died",
		"item SET age", "item SET format", "item SET data", "item SET crc", "item SET id", "change SET seq",
		"change SET time", "change SET op", "change SET key", "change SET undo_to", "change SET restored",
		"change SET class_next", "change SET item_first", "change SET file_id", "change SET result",
		"change SET crc", "meta SET feature_id", "meta SET file_id", "meta SET id"};
	enum { N = sizeof cells / sizeof *cells };
	char sql[160];
	const char *cell = cells[fuzz_u8(input) % N];
	int64_t id = fuzz_u8(input) % 48;
	snprintf(sql, sizeof sql, "UPDATE OR REPLACE %s = ?1 WHERE rowid = ?20", cell);
	run(db, sql, 1, input, id);
}

static void edit_row(sqlite3 *db, struct fuzz_input *input)
{
	switch (fuzz_u8(input) % 6) {
	case 0:
		run(db, "INSERT OR REPLACE INTO item VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)", 9, input, 0);
		break;
	case 1:
		run(db, "INSERT OR REPLACE INTO change VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)", 11, input,
			0);
		break;
	case 2:
		run(db, "DELETE FROM item WHERE rowid = ?20", 0, input, fuzz_u8(input) % 48);
		break;
	case 3:
		run(db, "DELETE FROM change WHERE rowid = ?20", 0, input, fuzz_u8(input) % 16);
		break;
	case 4: /* again, under another id: rows that are good but for where they are */
		run(db,
			"INSERT OR REPLACE INTO item SELECT ?1, kind, class_id, born, died, age, format, data, crc "
			"FROM item"
			" WHERE id = ?20",
			1, input, fuzz_u8(input) % 48);
		break;
	default:
		run(db,
			"INSERT OR REPLACE INTO change SELECT ?1, time, op, NULL, undo_to, restored, class_next, "
			"item_first,"
			" file_id, result, crc FROM change WHERE seq = ?20",
			1, input, fuzz_u8(input) % 16);
	}
}

#define endless_view                                                                                                   \
	"CREATE VIEW item AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id, 1 AS "    \
	"kind,"                                                                                                        \
	" i AS class_id, 1 AS born, 9223372036854775807 AS died, i AS age, '' AS format, x'' AS data, 0 AS crc FROM n"

static void edit_schema(sqlite3 *db, struct fuzz_input *input)
{
	static const char *const statements[] = {"DROP TABLE item", "DROP TABLE change", "DROP TABLE meta",
		"DROP INDEX item_died", "DROP INDEX item_label", "DROP INDEX change_restored", "DELETE FROM meta",
		"INSERT INTO meta SELECT 2, feature_id, file_id FROM meta",
		"CREATE TABLE item(id INTEGER PRIMARY KEY, kind, class_id, born, died, age, format, data, crc)",
		endless_view, "CREATE VIEW change AS SELECT 1 AS seq", "ALTER TABLE item RENAME TO items",
		"ALTER TABLE change RENAME TO c", "ALTER TABLE item DROP COLUMN age",
		"ALTER TABLE item ADD COLUMN more", "CREATE TRIGGER t AFTER INSERT ON item BEGIN DELETE FROM item; END",
		"CREATE TABLE other(a)", "PRAGMA user_version=2", "PRAGMA user_version=-1", "PRAGMA application_id=7",
		"PRAGMA journal_mode=DELETE", "PRAGMA journal_mode=WAL", "PRAGMA auto_vacuum=2; VACUUM",
		"PRAGMA encoding='UTF-16'; VACUUM", "PRAGMA page_size=512; VACUUM",
		"CREATE UNIQUE INDEX u ON item(class_id)",
		"CREATE TABLE change(seq, time, op, key, undo_to, restored, class_next, result)"};
	enum { N = sizeof statements / sizeof *statements };
	(void)sqlite3_exec(db, statements[fuzz_u8(input) % N], NULL, NULL, NULL);
}

/* Some of the schema's own text. */
static void edit_schema_text(sqlite3 *db, struct fuzz_input *input)
{
	(void)sqlite3_exec(db, "PRAGMA writable_schema=ON", NULL, NULL, NULL);
	run(db,
		fuzz_u8(input) % 2 ? "UPDATE sqlite_schema SET sql = ?1 WHERE rowid = ?20"
				   : "UPDATE sqlite_schema SET rootpage = ?1 WHERE rowid = ?20",
		1, input, fuzz_u8(input) % 8);
	(void)sqlite3_exec(db, "PRAGMA writable_schema=OFF", NULL, NULL, NULL);
}

/* Makes the check sums of every row right, so that what is wrong is not told by them. */
static void mend(sqlite3 *db)
{
	sqlite3_stmt *stmt = NULL;
	char sql[96];
	int64_t file_id = number_of(db, "SELECT file_id FROM meta", 0);
	if (sqlite3_prepare_v2(db, "SELECT " ITEM_COLUMNS " FROM item LIMIT 200", -1, &stmt, NULL) == SQLITE_OK)
		while (sqlite3_step(stmt) == SQLITE_ROW) {
			const char *format = (const char *)sqlite3_column_text(stmt, 4);
			uint32_t crc = schema_item_crc(file_id, sqlite3_column_int64(stmt, 1),
				sqlite3_column_int64(stmt, 2), format ? format : "", sqlite3_column_blob(stmt, 5),
				(size_t)sqlite3_column_bytes(stmt, 5));
			snprintf(sql, sizeof sql, "UPDATE item SET crc = %u WHERE id = %lld", crc,
				(long long)sqlite3_column_int64(stmt, 0));
			(void)sqlite3_exec(db, sql, NULL, NULL, NULL);
		}
	sqlite3_finalize(stmt);
	stmt = NULL;
	if (sqlite3_prepare_v2(db, "SELECT " CHANGE_COLUMNS " FROM change LIMIT 200", -1, &stmt, NULL) == SQLITE_OK)
		while (sqlite3_step(stmt) == SQLITE_ROW) {
			struct change_row row;
			change_row_read(stmt, file_id, &row);
			row.entry.result = sqlite3_column_blob(stmt, 7);
			row.entry.result_bytes = (size_t)sqlite3_column_bytes(stmt, 7);
			snprintf(sql, sizeof sql, "UPDATE change SET crc = %u WHERE seq = %lld",
				schema_change_crc(file_id, &row), (long long)sqlite3_column_int64(stmt, 0));
			(void)sqlite3_exec(db, sql, NULL, NULL, NULL);
		}
	sqlite3_finalize(stmt);
}

static void edit_bytes(struct fuzz_input *input)
{
	uint8_t which = fuzz_u8(input);
	char name[160];
	size_t n;
	snprintf(name, sizeof name, "%s%s", path, which % 8 == 0 ? "-wal" : "");
	FILE *file = fopen(name, which % 8 == 0 ? "ab" : "r+b");
	FUZZ_CHECK(file);
	/* Pages of 4096 bytes: the page, then the place in it. */
	long at = (long)(which / 8 % 16) * 4096 + fuzz_u16(input) % 4096;
	const uint8_t *bytes = fuzz_bytes(input, 1 + fuzz_u8(input) % 32, &n);
	if (at < (long)valid_n && fseek(file, at, SEEK_SET) == 0)
		fwrite(bytes, 1, n, file);
	fclose(file);
}

static void edit(struct fuzz_input *input)
{
	enum { CELL, ROW = 4, MEND = 7, SCHEMA = 9, SCHEMA_TEXT, CUT, BYTES, KINDS = 16 };
	sqlite3 *db = NULL;
	bool mended = true;
	FUZZ_CHECK(sqlite3_open(path, &db) == SQLITE_OK);
	(void)sqlite3_exec(db, "PRAGMA synchronous=OFF; BEGIN", NULL, NULL, NULL);
	int i = 0;
	for (; i < EDITS_MAX && input->left; i++) {
		unsigned what = *input->at % KINDS;
		if (what >= CUT)
			break;
		fuzz_u8(input);
		if (what < ROW)
			edit_cell(db, input);
		else if (what < MEND)
			edit_row(db, input);
		else if (what < SCHEMA)
			mended = !mended;
		else if (what == SCHEMA)
			edit_schema(db, input);
		else
			edit_schema_text(db, input);
	}
	if (mended)
		mend(db);
	(void)sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	sqlite3_close(db);
	for (; i < EDITS_MAX && input->left; i++) {
		if (fuzz_u8(input) % KINDS == CUT)
			FUZZ_CHECK(truncate(path, (off_t)(fuzz_u32(input) % (valid_n + 1))) == 0);
		else
			edit_bytes(input);
	}
}

/* ---- the daemon's use of it -------------------------------------------------------------------------------------- */

static void check_page(const ProtobufCMessage *message, struct scratch *scratch)
{
	FUZZ_CHECK(protobuf_c_message_get_packed_size(message) <= FRAME_BODY_MAX_BYTES);
	scratch_free(scratch);
}

/* Every page of every view fits into a frame and follows on the one before. */
static void check_views(const struct snapshot *snapshot)
{
	struct scratch scratch = SCRATCH_INIT;
	struct err err;
	struct label after = {0};
	uint64_t before_seq = 0;
	bool more = true;
	for (size_t pages = 0; more; pages++) {
		Bnnd__ClassList list = BNND__CLASS_LIST__INIT;
		views_classes(snapshot, &after, 0, &scratch, &list);
		more = list.more;
		FUZZ_CHECK(pages <= snapshot->n_classes && (!more || list.n_classes > 0));
		if (more) {
			const Bnnd__Class *last = list.classes[list.n_classes - 1];
			after = label_of_bytes(last->label.data, last->label.len);
		}
		check_page(&list.base, &scratch);
	}
	for (size_t i = 0; i <= snapshot->n_classes; i++) {
		Bnnd__ClassInfo info = BNND__CLASS_INFO__INIT;
		const struct label *label = i < snapshot->n_classes ? &snapshot->classes[i]->label : &(struct label){0};
		int r = views_class(snapshot, label, &scratch, &info, &err);
		FUZZ_CHECK(r == 0 || (i == snapshot->n_classes && !snapshot->none));
		check_page(&info.base, &scratch);
	}
	more = true;
	for (size_t pages = 0; more; pages++) {
		Bnnd__HistoryList list = BNND__HISTORY_LIST__INIT;
		views_history(snapshot, before_seq, 0, &scratch, &list);
		more = list.more;
		FUZZ_CHECK(pages <= snapshot->n_history && (!more || list.n_entries > 0));
		if (more)
			before_seq = list.entries[list.n_entries - 1]->seq;
		check_page(&list.base, &scratch);
	}
}

static void check_answer(const struct snapshot *snapshot, const struct learn_answer_constants *constants)
{
	struct learn_answer answer;
	int8_t q[D] = {9, -3, 40, 7, 0, 1, -60, 2};
	learn_head_answer(snapshot->head, q, constants, &answer);
	FUZZ_CHECK(answer.n_top <= LEARN_TOP_MAX);
	double sum = answer.unknown_score;
	for (size_t i = 0; i < answer.n_top; i++) {
		FUZZ_CHECK(answer.top[i].id == CLASS_ID_NONE || snapshot_by_id(snapshot, answer.top[i].id));
		sum += answer.top[i].score;
	}
	/* Of more classes than are told the rest is theirs. */
	FUZZ_CHECK(isfinite(answer.threshold) && sum > 0 && sum < 1 + 1e-9);
	FUZZ_CHECK(snapshot->n_classes > LEARN_TOP_MAX - 1 || sum > 1 - 1e-9);
}

static void check_answers(const struct snapshot *snapshot)
{
	const struct learn_answer_constants strict = {.temperature = 8, .pair_cosine = 0.5, .deviations = 2};
	const struct learn_answer_constants loose = {.temperature = 8,
		.deviations = -0.5,
		.few_pictures = 3,
		.deviation = 0.1,
		.deviation_weight = 4,
		.metric_temperature = 300};
	check_answer(snapshot, &strict);
	check_answer(snapshot, &loose);
}

static void check_snapshot(struct learned *learned)
{
	struct snapshot *snapshot = learned_snapshot(learned);
	for (size_t i = 0; i < snapshot->n_reasons; i++)
		FUZZ_CHECK(strlen(snapshot->reasons[i]) > 10 && !strchr(snapshot->reasons[i], '\n'));
	for (size_t i = 0; i < snapshot->n_classes; i++) {
		const struct class_entry *class = snapshot->classes[i];
		FUZZ_CHECK(label_check_kept(class->label.bytes, class->label.len_bytes, NULL, NULL) == 0);
	}
	check_views(snapshot);
	check_answers(snapshot);
	snapshot_unref(snapshot);
}

enum { KEYS_MAX = 16 };
struct keys {
	size_t n;
	uint8_t keys[KEYS_MAX][STORE_KEY_BYTES];
};

static void remember_key(void *ctx, const uint8_t key[STORE_KEY_BYTES])
{
	struct keys *keys = ctx;
	if (keys->n < KEYS_MAX)
		memcpy(keys->keys[keys->n++], key, STORE_KEY_BYTES);
}

static void find_keys(struct learned *learned)
{
	struct keys keys = {0};
	struct change_outcome outcome;
	struct err err;
	int r = learned_keys(learned, remember_key, &keys, &err);
	if (r != 0)
		fuzz_check_refusal(r, &err);
	for (size_t i = 0; i < keys.n; i++)
		if (learned_find_key(learned, keys.keys[i], &outcome, &err) == 0)
			change_outcome_deinit(&outcome);
}

static void use(struct learned *learned)
{
	struct change_guard guard = {0};
	struct change_outcome outcome;
	struct err err;
	check_snapshot(learned);
	find_keys(learned);
	for (int i = 0; i < 3; i++)
		finish(learned_undo(learned, &guard, &outcome, &err), &outcome, &err);
	finish(learned_rollback(learned, 2, &guard, &outcome, &err), &outcome, &err);
	int r = teach(learned, "mug", 5, &err);
	if (r == 0)
		r = teach(learned, "new", 6, &err);
	if (r != 0)
		fuzz_check_refusal(r, &err);
	change_names(learned);
	check_snapshot(learned);
}

static void ignore_line(void *ctx, enum store_line line, const char *sentence)
{
	(void)ctx, (void)line;
	FUZZ_CHECK(strlen(sentence) > 10);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct fuzz_input input = {bytes, n};
	struct learned *learned;
	struct err err = {0};
	if (!valid)
		make_valid();
	(void)fuzz_folder();
	FILE *out = fopen(path, "wb");
	FUZZ_CHECK(out && fwrite(valid, 1, valid_n, out) == valid_n && fclose(out) == 0);
	edit(&input);
	int r = store_check(config.state_dir, ignore_line, NULL, &err);
	if (r < 0)
		fuzz_check_refusal(r, &err);
	for (int i = 0; i < 2; i++) {
		r = open_state(&learned, &err);
		if (r != 0) {
			fuzz_check_refusal(r, &err);
			return 0;
		}
		if (i == 0)
			use(learned);
		else
			check_snapshot(learned);
		learned_close(learned);
	}
	return 0;
}
