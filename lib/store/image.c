/* SPDX-License-Identifier: MIT */
/* lib/store/image.c: a db and its -wal as one database in RAM, for a directory that cannot be written, for a look at
 * another backbone's state and for the offline check. Neither file is touched, no lock is taken, nothing is created.
 *
 * SQLite itself cannot: it wants to write a -wal or a -shm, and `immutable=1` leaves the -wal out, with lessons that
 * were acknowledged in it. So the -wal is applied here, by the rules of the file format document (section 4):
 *
 *   header 32 bytes: magic, version, page size, sequence, salt-1, salt-2, checksum-1, checksum-2      big-endian
 *   frame  24 bytes: page number, pages in the db after a commit or 0, salt-1, salt-2, checksum-1, checksum-2; a page
 *
 * A frame counts when its salts are the header's and the running checksum fits; the last commit frame ends the state. */
#include "lib/store/store_inside.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"

enum {
	IMAGE_MAX_BYTES = 256 << 20, /* of a db or a -wal that is taken into RAM */
	WAL_HEADER_BYTES = 32,
	WAL_FRAME_BYTES = 24,
	WAL_VERSION = 3007000,
	AT_WRITE_VERSION = 18,
	AT_READ_VERSION = 19,
};
static const uint32_t wal_magic = 0x377f0682; /* the lowest bit: the checksum reads big-endian words */

struct wal {
	const uint8_t *bytes;
	size_t n_bytes, page_bytes;
	bool big_endian;
	uint32_t sum[2]; /* running checksum */
};

static void wal_sum(struct wal *wal, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		uint32_t a = wal->big_endian ? load_be32(p + i) : load_le32(p + i);
		uint32_t b = wal->big_endian ? load_be32(p + i + 4) : load_le32(p + i + 4);
		wal->sum[0] += a + wal->sum[1];
		wal->sum[1] += b + wal->sum[0];
	}
}

static bool wal_sum_is(const struct wal *wal, const uint8_t *p)
{
	return wal->sum[0] == load_be32(p) && wal->sum[1] == load_be32(p + 4);
}

/* false: the -wal counts as empty. */
static bool wal_init(struct wal *wal, const uint8_t *bytes, size_t n_bytes)
{
	*wal = (struct wal){0};
	if (n_bytes < WAL_HEADER_BYTES || (load_be32(bytes) & ~1u) != wal_magic || load_be32(bytes + 4) != WAL_VERSION)
		return false;
	*wal = (struct wal){.bytes = bytes,
		.n_bytes = n_bytes,
		.page_bytes = load_be32(bytes + 8),
		.big_endian = load_be32(bytes) & 1};
	if (wal->page_bytes < 512 || wal->page_bytes > 65536 || (wal->page_bytes & (wal->page_bytes - 1)))
		return false;
	wal_sum(wal, bytes, WAL_HEADER_BYTES - 8);
	return wal_sum_is(wal, bytes + WAL_HEADER_BYTES - 8);
}

static const uint8_t *wal_frame(const struct wal *wal, size_t i)
{
	size_t at = WAL_HEADER_BYTES + i * (WAL_FRAME_BYTES + wal->page_bytes);
	return at + WAL_FRAME_BYTES + wal->page_bytes <= wal->n_bytes ? wal->bytes + at : NULL;
}

/* How many frames count; *ret_n_pages is the db's size after the last, *ret_n_good how many are whole. */
static size_t wal_committed_frames(struct wal *wal, uint32_t *ret_n_pages, size_t *ret_n_good)
{
	size_t committed = 0, i = 0;
	const uint8_t *frame;
	for (; (frame = wal_frame(wal, i)) != NULL; i++) {
		if (load_be32(frame) == 0 || memcmp(frame + 8, wal->bytes + 16, 8) != 0)
			break;
		wal_sum(wal, frame, 8);
		wal_sum(wal, frame + WAL_FRAME_BYTES, wal->page_bytes);
		if (!wal_sum_is(wal, frame + 16))
			break;
		if (load_be32(frame + 4) != 0) {
			committed = i + 1;
			*ret_n_pages = load_be32(frame + 4);
		}
	}
	*ret_n_good = i;
	return committed;
}

/* A header of ours in which one field is damaged: its pages, and that the first frame has its salts, still say so. */
static bool wal_header_nearly_ours(const uint8_t *bytes, size_t n_bytes)
{
	if (n_bytes < WAL_HEADER_BYTES + WAL_FRAME_BYTES + STORE_PAGE_BYTES)
		return false;
	bool salts = memcmp(bytes + 16, bytes + WAL_HEADER_BYTES + 8, 8) == 0;
	return ((load_be32(bytes) & ~1u) == wal_magic) + (load_be32(bytes + 4) == WAL_VERSION) +
		       (load_be32(bytes + 8) == STORE_PAGE_BYTES) + salts >=
	       3;
}

/* Behind frame `good` whole frames of this -wal follow a commit: that change was synced before the next began. What a
 * torn write leaves is one change without another behind it, and what was there before has other salts. */
static bool wal_goes_on_behind(const struct wal *wal, size_t good, const uint8_t salts[8])
{
	bool commit = false;
	const uint8_t *frame;
	for (size_t i = good; (frame = wal_frame(wal, i)) != NULL; i++) {
		bool ours = load_be32(frame) != 0 && memcmp(frame + 8, salts, 8) == 0;
		if (ours && commit)
			return true;
		if (!ours && i > good)
			return false;
		commit = commit || (ours && load_be32(frame + 4) != 0);
	}
	return false;
}

bool image_wal_lost(const char *path)
{
	uint8_t *bytes = NULL;
	size_t n = 0, good = 0;
	uint32_t n_pages = 0;
	struct wal wal;
	bool lost = false;
	char *wal_path = sqlite3_mprintf("%s-wal", path);
	if (!wal_path || file_read(wal_path, IMAGE_MAX_BYTES, &bytes, &n, NULL) != 0) {
		lost = false;
	} else if (wal_init(&wal, bytes, n)) {
		wal_committed_frames(&wal, &n_pages, &good);
		lost = wal_goes_on_behind(&wal, good, bytes + 16);
	} else if (wal_header_nearly_ours(bytes, n)) {
		wal = (struct wal){.bytes = bytes, .n_bytes = n, .page_bytes = STORE_PAGE_BYTES};
		lost = wal_goes_on_behind(&wal, 0, bytes + WAL_HEADER_BYTES + 8);
	}
	sqlite3_free(wal_path);
	sqlite3_free(bytes);
	return lost;
}

static int wal_apply(struct wal *wal, const char *path, uint8_t **bytes, size_t *n_bytes, struct err *err)
{
	uint32_t n_pages = 0;
	size_t n_good = 0, n_frames = wal_committed_frames(wal, &n_pages, &n_good), size = 0;
	if (n_frames == 0)
		return 0;
	if (wal->page_bytes != STORE_PAGE_BYTES)
		return err_set(err, ERR_DATA_LOSS, "%s-wal has pages of another size: it belongs to another file",
			file_base(path));
	if (!size_mul(n_pages, wal->page_bytes, &size) || size > IMAGE_MAX_BYTES)
		return err_set(err, ERR_RESOURCE_EXHAUSTED, "%s is too large to be read into memory", path);
	uint8_t *grown = sqlite3_realloc64(*bytes, size);
	if (!grown)
		return err_set(err, ERR_RESOURCE_EXHAUSTED, "no memory to read %s (%zu bytes)", path, size);
	if (size > *n_bytes)
		memset(grown + *n_bytes, 0, size - *n_bytes);
	*bytes = grown;
	*n_bytes = size;
	for (size_t i = 0; i < n_frames; i++) {
		const uint8_t *frame = wal_frame(wal, i);
		size_t page = load_be32(frame) - 1;
		if (page < n_pages)
			memcpy(grown + page * wal->page_bytes, frame + WAL_FRAME_BYTES, wal->page_bytes);
	}
	return 0;
}

int image_read(const char *path, uint8_t **ret_bytes, size_t *ret_n, struct err *err)
{
	uint8_t *db = NULL, *wal_bytes = NULL;
	size_t n_db = 0, n_wal = 0;
	int r = file_read(path, IMAGE_MAX_BYTES, &db, &n_db, err);
	if (r > 0)
		r = err_set(err, ERR_NOT_FOUND, "%s does not exist", path);
	if (r != 0)
		return r;
	char *wal_path = sqlite3_mprintf("%s-wal", path);
	r = wal_path ? file_read(wal_path, IMAGE_MAX_BYTES, &wal_bytes, &n_wal, err)
		     : err_set(err, ERR_RESOURCE_EXHAUSTED, "no memory to read %s", path);
	struct wal wal;
	if (r == 0 && wal_init(&wal, wal_bytes, n_wal))
		r = wal_apply(&wal, path, &db, &n_db, err);
	sqlite3_free(wal_path);
	sqlite3_free(wal_bytes);
	if (r < 0) {
		sqlite3_free(db);
		return r;
	}
	*ret_bytes = db;
	*ret_n = n_db;
	return 0;
}

int image_open(const char *path, struct sql_budget *budget, sqlite3 **ret_db, struct err *err)
{
	uint8_t *bytes = NULL;
	size_t n = 0;
	sqlite3 *db = NULL;
	int r = image_read(path, &bytes, &n, err);
	if (r != 0)
		return r;
	if (n < STORE_PAGE_BYTES) {
		sqlite3_free(bytes);
		return err_set(err, ERR_FAILED_PRECONDITION, "%s is not a database, it is left alone", file_base(path));
	}
	bytes[AT_WRITE_VERSION] = bytes[AT_READ_VERSION] = 1; /* a database in RAM has no -wal */
	if (sqlite3_open(":memory:", &db) != SQLITE_OK) {
		sqlite3_free(bytes);
		r = err_set(err, ERR_RESOURCE_EXHAUSTED, "no memory for a copy of the state");
	} else if (sqlite3_deserialize(db, "main", bytes, (sqlite3_int64)n, (sqlite3_int64)n,
			   SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_READONLY) != SQLITE_OK) {
		r = sql_error(db, err); /* it has freed the bytes */
	}
	if (r == 0) {
		sql_budget_attach(db, budget);
		sql_budget_refill(budget, n);
		r = schema_set_up(db, err);
	}
	if (r != 0) {
		sqlite3_close(db);
		return r;
	}
	*ret_db = db;
	return 0;
}
