/* SPDX-License-Identifier: MIT */
/* lib/store/current.c: which state was changed last, and with which model, so that an upgrade of the default model does
 * not make a device forget. A small text, replaced by write, sync, rename and sync of the directory:
 *
 *   bnnd-current 1
 *   feature_id <64 hex digits>
 *   model <name>
 *
 * What cannot be parsed counts as absent. */
#include "lib/store/store_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CURRENT_MAX_BYTES = 512 };
static const char current_name[] = "current";
static const char first_line[] = "bnnd-current 1\n";

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Cuts prefix off *text; false: it does not begin so. */
static bool skip(const char **text, const char *prefix)
{
	size_t n = strlen(prefix);
	if (strncmp(*text, prefix, n) != 0)
		return false;
	*text += n;
	return true;
}

static bool parse(const char *text, struct store_current *ret_current)
{
	struct store_current current = {0};
	if (!skip(&text, first_line) || !skip(&text, "feature_id "))
		return false;
	for (size_t i = 0; i < STORE_FEATURE_ID_BYTES; i++, text += 2) {
		int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);
		if (low < 0)
			return false;
		current.feature_id[i] = (uint8_t)(high << 4 | low);
	}
	if (!skip(&text, "\nmodel "))
		return false;
	size_t n = strcspn(text, "\n");
	if (n == 0 || n >= sizeof current.model_name || text[n] != '\n' || text[n + 1] != '\0')
		return false;
	memcpy(current.model_name, text, n);
	*ret_current = current;
	return true;
}

int store_current_read(const char *dir, struct store_current *ret_current)
{
	char *path = file_path(dir, current_name);
	uint8_t *bytes = NULL;
	size_t n = 0;
	int r = file_read(path, CURRENT_MAX_BYTES, &bytes, &n, NULL);
	free(path);
	if (r != 0)
		return r > 0 ? STORE_E_NO_CURRENT : STORE_E_BAD_CURRENT;
	bytes[n] = '\0'; /* file_read leaves room */
	bool good = strlen((const char *)bytes) == n && parse((const char *)bytes, ret_current);
	sqlite3_free(bytes);
	return good ? 0 : STORE_E_BAD_CURRENT;
}

bool current_names(const char *dir, const uint8_t feature_id[STORE_FEATURE_ID_BYTES], const char *model_name)
{
	struct store_current current;
	return store_current_read(dir, &current) == 0 &&
	       memcmp(current.feature_id, feature_id, STORE_FEATURE_ID_BYTES) == 0 &&
	       strcmp(current.model_name, model_name) == 0;
}

int current_prepare(struct store *store, enum file_fault *ret_fault, struct err *err)
{
	char text[CURRENT_MAX_BYTES], hex[2 * STORE_FEATURE_ID_BYTES + 1];
	for (size_t i = 0; i < STORE_FEATURE_ID_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", store->feature_id[i]);
	int n = snprintf(text, sizeof text, "%sfeature_id %s\nmodel %s\n", first_line, hex, store->model_name);
	char *to = file_path(store->dir, current_name), *path = file_new_path(to);
	int r = file_write(path, text, (size_t)n, &store->io, ret_fault, err);
	free(path);
	free(to);
	return r;
}

int current_publish(struct store *store, enum file_fault *ret_fault, struct err *err)
{
	char *to = file_path(store->dir, current_name), *from = file_new_path(to);
	int r = 0;
	if (rename(from, to) == 0) {
		r = file_sync_dir(store->dir, &store->io, ret_fault, err);
	} else {
		*ret_fault = errno == EIO ? FILE_FAULT_IO : FILE_FAULT_OTHER;
		r = err_set(err, ERR_UNAVAILABLE, "cannot replace %s: %s", to, strerror(errno));
	}
	store->current_is_ours = r == 0;
	free(from);
	free(to);
	return r;
}
