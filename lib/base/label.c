/* SPDX-License-Identifier: MIT */
/* lib/base/label.c: see label.h. Pure functions. */
#include "lib/base/label.h"

#include <string.h>
#include <strings.h>
#include <utf8proc.h>

static const struct err_about about_label = {.field = "label", .limit = LABEL_MAX_BYTES};

/* A character of at most 4 bytes decomposes into at most 18 (U+FDFA), in the canonical forms used here into 4. */
enum { POINTS_MAX = 4 * LABEL_MAX_BYTES };

/* text in a normal form; false: it does not fit into a label. */
static bool normalize(const uint8_t *text, size_t len_bytes, utf8proc_option_t form, struct label *ret)
{
	utf8proc_int32_t points[POINTS_MAX + 1];
	utf8proc_ssize_t n = utf8proc_decompose(text, (utf8proc_ssize_t)len_bytes, points, POINTS_MAX, form);
	if (n < 0 || n > POINTS_MAX)
		return false;
	n = utf8proc_reencode(points, n, form);
	if (n < 1 || n > LABEL_MAX_BYTES)
		return false;
	memset(ret, 0, sizeof *ret);
	memcpy(ret->bytes, points, (size_t)n); /* re-encoded in place */
	ret->len_bytes = (uint8_t)n;
	return true;
}

static int check_length(const uint8_t *label, size_t len_bytes, struct err *err)
{
	if (len_bytes == 0)
		return err_set_about(err, ERR_INVALID_ARGUMENT, about_label,
			"the label is empty: 1 to %d bytes of UTF-8 are needed", LABEL_MAX_BYTES);
	if (len_bytes > LABEL_MAX_BYTES)
		return err_set_about(err, ERR_INVALID_ARGUMENT, about_label,
			"the label is %zu bytes long: the limit is %d", len_bytes, LABEL_MAX_BYTES);
	if (label[0] == ' ' || label[len_bytes - 1] == ' ')
		return err_set_about(
			err, ERR_INVALID_ARGUMENT, about_label, "the label has a space at its beginning or end");
	return 0;
}

/* kept: control characters alone are refused. */
static int check_points(const uint8_t *label, size_t len_bytes, bool kept, struct err *err)
{
	static const struct {
		const char *before, *after;
	} what[] = {[TEXT_CONTROL] = {"the control character ", ""},
		[TEXT_FORMAT] = {"the format character ", ", which nobody would see"},
		[TEXT_BLANK] = {"the space ", ": no other than the ordinary U+0020 is possible"},
		[TEXT_MARK] = {"the combining mark ", " with nothing before it"},
		[TEXT_PRIVATE] = {"the private character ", ""},
		[TEXT_UNASSIGNED] = {"", ", which is no character in this version of Unicode"}};
	struct text_walk walk = {.text = label, .len_bytes = len_bytes};
	while (text_next(&walk)) {
		if (walk.n_bytes == 0)
			return err_set_about(
				err, ERR_INVALID_ARGUMENT, about_label, "the label is not UTF-8 at byte %zu", walk.at);
		if (walk.kind != TEXT_SHOWN && !(kept && walk.kind != TEXT_CONTROL))
			return err_set_about(err, ERR_INVALID_ARGUMENT, about_label,
				"the label has %sU+%04X at byte %zu%s", what[walk.kind].before, walk.point, walk.at,
				what[walk.kind].after);
	}
	return 0;
}

int label_check_kept(const uint8_t *label, size_t len_bytes, struct label *ret_label, struct err *err)
{
	int r = check_length(label, len_bytes, err);
	if (r == 0)
		r = check_points(label, len_bytes, true, err);
	if (r == 0 && ret_label)
		*ret_label = label_of_bytes(label, len_bytes);
	return r;
}

struct label label_of_bytes(const void *bytes, size_t len_bytes)
{
	size_t n = len_bytes < LABEL_MAX_BYTES ? len_bytes : LABEL_MAX_BYTES;
	struct label label = {.len_bytes = (uint8_t)n};
	if (n > 0)
		memcpy(label.bytes, bytes, n);
	return label;
}

const char *label_shown(char buffer[LABEL_SHOWN_BYTES], const struct label *label)
{
	text_escape(buffer, LABEL_SHOWN_BYTES, label->bytes, label->len_bytes);
	return buffer;
}

bool label_is_reserved(const uint8_t *label, size_t len_bytes)
{
	static const char *const words[] = {"none", "(none)", "unknown", "(unknown)"};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (len_bytes == strlen(words[i]) && strncasecmp((const char *)label, words[i], len_bytes) == 0)
			return true;
	return false;
}

int label_check(const uint8_t *label, size_t len_bytes, struct label *ret_label, struct err *err)
{
	struct label normal;
	int r = check_length(label, len_bytes, err);
	if (r == 0)
		r = check_points(label, len_bytes, false, err);
	if (r == 0 && !normalize(label, len_bytes, UTF8PROC_STABLE | UTF8PROC_COMPOSE, &normal))
		r = err_set_about(err, ERR_INVALID_ARGUMENT, about_label,
			"the label is longer than %d bytes in Unicode's composed form (NFC)", LABEL_MAX_BYTES);
	if (r == 0) /* some characters are two there, and only the first can have variants */
		r = check_points(normal.bytes, normal.len_bytes, false, err);
	if (r == 0 && label_is_reserved(normal.bytes, normal.len_bytes))
		r = err_set_about(err, ERR_INVALID_ARGUMENT, about_label,
			"no class can be called none or unknown: answers say so where no class fits; "
			"pictures of nothing in particular are taught as negatives");
	if (r == 0 && ret_label)
		*ret_label = normal;
	return r;
}

void label_key(const struct label *label, struct label *ret_key)
{
	size_t i = 0;
	while (i < label->len_bytes && label->bytes[i] < 0x80)
		i++;
	if (i == label->len_bytes || !normalize(label->bytes, label->len_bytes,
					     UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_IGNORE, ret_key))
		*ret_key = *label; /* ASCII, or an old one of which nothing or too much would be left */
}

int label_compare(const struct label *a, const struct label *b)
{
	size_t shorter = a->len_bytes < b->len_bytes ? a->len_bytes : b->len_bytes;
	int r = memcmp(a->bytes, b->bytes, shorter);
	return r != 0 ? r : (a->len_bytes > b->len_bytes) - (a->len_bytes < b->len_bytes);
}

bool label_equal(const struct label *a, const struct label *b)
{
	return label_compare(a, b) == 0;
}
