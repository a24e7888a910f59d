/* SPDX-License-Identifier: MIT */
/* client/ctl/file.c: files and folders into pictures. The daemon decides what a picture is; here only what cannot be
 * sent is refused: too large, empty, not the size that --raw says. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ctl/ctl.h"
#include "client/ctl/picture_end.h"
#include "lib/base/memory.h"
#include "lib/base/text.h"

enum { READ_STEP_BYTES = 256 << 10 };

/* The path as a shell word. */
static void shell_word(char *dest, size_t dest_bytes, const char *path)
{
	char quoted[TERM_SHOWN_BYTES];
	size_t used = 0;
	quoted[used++] = '\'';
	for (; *path && used + 6 < sizeof quoted; path++) {
		if (*path == '\'') {
			memcpy(quoted + used, "'\\''", 4);
			used += 4;
		} else {
			quoted[used++] = *path;
		}
	}
	quoted[used++] = '\'';
	text_escape(dest, dest_bytes, (const uint8_t *)quoted, used);
}

static int too_large(struct ctl *ctl, const char *path, unsigned long long size, char *ret_error)
{
	unsigned limit = bnnd_hello(ctl->conn)->payload_max_bytes;
	char word[TERM_SHOWN_BYTES / 2];
	if (args_has(&ctl->args, ARG_RAW) || strcmp(path, "-") == 0) {
		(void)snprintf(ret_error, CTL_ERROR_BYTES, "more than the limit of %u bytes", limit);
		return -1;
	}
	shell_word(word, sizeof word, path);
	(void)snprintf(ret_error, CTL_ERROR_BYTES,
		"%llu bytes, the limit is %u: make it smaller first: convert %.400s -auto-orient -resize '1920x1920>' "
		"small.jpg",
		size, limit, word);
	return -1;
}

static int system_error(char *ret_error)
{
	(void)snprintf(ret_error, CTL_ERROR_BYTES, "%s", strerror(errno));
	return -1;
}

/* Everything up to limit + 1 bytes. */
static int read_all(int fd, size_t size_hint, size_t limit, uint8_t **ret_bytes, size_t *ret_n)
{
	size_t capacity = size_hint < limit ? size_hint + 1 : READ_STEP_BYTES, n = 0;
	uint8_t *bytes = mem_realloc(NULL, capacity, 1);
	for (;;) {
		if (n == capacity) {
			capacity += READ_STEP_BYTES;
			bytes = mem_realloc(bytes, capacity, 1);
		}
		ssize_t got = read(fd, bytes + n, capacity - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			free(bytes);
			return -1;
		}
		n += (size_t)got;
		if (got == 0 || n > limit)
			break;
	}
	*ret_bytes = bytes;
	*ret_n = n;
	return 0;
}

static int open_picture(const char *path, struct stat *ret_stat, char *ret_error)
{
	bool standard = strcmp(path, "-") == 0;
	int fd = standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return system_error(ret_error);
	if (fstat(fd, ret_stat) != 0) {
		int r = system_error(ret_error);
		(void)close(fd);
		return r;
	}
	if (S_ISDIR(ret_stat->st_mode)) {
		(void)snprintf(ret_error, CTL_ERROR_BYTES,
			"is a folder; name its pictures (FOLDER/*), or use learn --dir or test with a folder of "
			"folders");
		(void)close(fd);
		return -1;
	}
	if (standard && isatty(fd)) {
		(void)snprintf(ret_error, CTL_ERROR_BYTES, "standard input is a terminal: pipe a picture into it");
		(void)close(fd);
		return -1;
	}
	return fd;
}

static int check_raw_size(const struct args *args, size_t n, char *ret_error)
{
	size_t want = (size_t)args->raw_width * args->raw_height * args->raw_channels;
	if (n == want)
		return 0;
	(void)snprintf(ret_error, CTL_ERROR_BYTES,
		"%zu bytes, but --raw %ux%ux%u is %zu: a file holds exactly one frame", n, args->raw_width,
		args->raw_height, args->raw_channels, want);
	return -1;
}

/* Standard input is one picture: what follows it is not looked at, and that is said. Returns the length to use. */
static size_t first_picture(struct ctl *ctl, const uint8_t *bytes, size_t n)
{
	size_t end = picture_end(bytes, n);
	if (end == 0)
		return n;
	progress_clear(&ctl->progress);
	(void)fflush(stdout);
	fputs("bnnctl: standard input has more than one picture: the first was used, the rest was not looked at\n",
		stderr);
	return end;
}

int ctl_picture_load(
	struct ctl *ctl, const char *path, struct bnnd_picture *ret_picture, char ret_error[CTL_ERROR_BYTES])
{
	const struct args *args = &ctl->args;
	size_t limit = bnnd_hello(ctl->conn)->payload_max_bytes;
	struct stat st;
	int fd = open_picture(path, &st, ret_error);
	if (fd < 0)
		return -1;
	bool raw = args_has(args, ARG_RAW), regular = S_ISREG(st.st_mode);
	if (regular && (uint64_t)st.st_size > limit) {
		(void)close(fd);
		if (raw && check_raw_size(args, (size_t)st.st_size, ret_error) != 0)
			return -1;
		return too_large(ctl, path, (unsigned long long)st.st_size, ret_error);
	}
	uint8_t *bytes = NULL;
	size_t n = 0;
	int r = read_all(fd, regular ? (size_t)st.st_size : 0, limit, &bytes, &n);
	if (r != 0)
		r = system_error(ret_error);
	(void)close(fd);
	if (r == 0 && !raw && strcmp(path, "-") == 0)
		n = first_picture(ctl, bytes, n);
	if (r == 0 && n > limit)
		r = too_large(ctl, path, n, ret_error);
	if (r == 0 && n == 0) {
		(void)snprintf(ret_error, CTL_ERROR_BYTES, "the file is empty");
		r = -1;
	}
	if (r == 0 && raw)
		r = check_raw_size(args, n, ret_error);
	if (r != 0) {
		free(bytes);
		return -1;
	}
	*ret_picture = (struct bnnd_picture){
		.data = bytes,
		.len_bytes = n,
		.raw_width = args->raw_width,
		.raw_height = args->raw_height,
		.raw_channels = args->raw_channels,
		.rotate = args->rotate,
		.has_roi = args_has(args, ARG_ROI),
		.roi_x = args->roi[0],
		.roi_y = args->roi[1],
		.roi_width = args->roi[2],
		.roi_height = args->roi[3],
	};
	return 0;
}

void ctl_picture_free(struct bnnd_picture *picture)
{
	free((void *)picture->data);
	picture->data = NULL;
}

/* ---- folders --------------------------------------------------------------------------------------------------- */

const char *ctl_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

bool ctl_is_picture_name(const char *name)
{
	static const char *const extensions[] = {"jpg", "jpeg", "jpe", "jfif", "png", "heic", "heif", "webp", "avif",
		"gif", "bmp", "tif", "tiff", "jp2", "jxl", "ppm", "pgm", "dng", "cr2", "nef", "arw"};
	const char *dot = strrchr(name, '.');
	for (size_t i = 0; dot && i < sizeof extensions / sizeof *extensions; i++)
		if (strcasecmp(dot + 1, extensions[i]) == 0)
			return true;
	return false;
}

/* What file managers, archives and network storage leave in folders of pictures; hidden names are passed over anyway. */
static bool is_of_a_system(const char *name)
{
	static const char *const names[] = {"@eaDir", "@Recycle", "@Recently-Snapshot", "#recycle", "#snapshot",
		"__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found", "Icon\r"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

bool ctl_folder_is_none(const char *name)
{
	return strcasecmp(name, "none") == 0 || strcasecmp(name, "(none)") == 0 || strcasecmp(name, "background") == 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

enum want { WANT_FILES, WANT_FOLDERS };

/* Entries of a folder of one type, symbolic links followed, hidden ones left out, sorted by bytes. */
static int list(const char *dir, enum want want, bool any_name, struct ctl_names *ret_names, size_t *ret_n_passed)
{
	DIR *stream = opendir(dir);
	if (!stream)
		return -1;
	struct ctl_names names = {0};
	size_t capacity = 0, n_passed = 0, dir_len = strlen(dir);
	bool slash = dir_len > 0 && dir[dir_len - 1] == '/';
	const struct dirent *entry;
	while ((entry = readdir(stream))) {
		struct stat st;
		if (entry->d_name[0] == '.' || fstatat(dirfd(stream), entry->d_name, &st, 0) != 0)
			continue;
		if (want == WANT_FOLDERS ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
			continue;
		/* A file without an extension may be a picture. */
		bool other = want == WANT_FILES && !any_name && strchr(entry->d_name, '.') &&
			     !ctl_is_picture_name(entry->d_name);
		if (other || is_of_a_system(entry->d_name)) {
			n_passed++;
			continue;
		}
		if (names.n == capacity) {
			capacity = capacity ? 2 * capacity : 64;
			names.names = mem_realloc(names.names, capacity, sizeof *names.names);
		}
		size_t bytes = dir_len + strlen(entry->d_name) + 2;
		char *path = mem_zalloc(bytes, 1);
		(void)snprintf(path, bytes, "%s%s%s", dir, slash ? "" : "/", entry->d_name);
		names.names[names.n++] = path;
	}
	(void)closedir(stream);
	if (names.n > 0)
		qsort(names.names, names.n, sizeof *names.names, by_name);
	*ret_names = names;
	if (ret_n_passed)
		*ret_n_passed = n_passed;
	return 0;
}

int ctl_list_files(struct ctl *ctl, const char *dir, struct ctl_names *ret_names, size_t *ret_n_passed)
{
	return list(dir, WANT_FILES, args_has(&ctl->args, ARG_RAW), ret_names, ret_n_passed);
}

int ctl_list_folders(struct ctl *ctl, const char *dir, struct ctl_names *ret_names)
{
	char shown[TERM_SHOWN_BYTES];
	size_t n_passed = 0;
	if (list(dir, WANT_FOLDERS, true, ret_names, &n_passed) != 0)
		return ctl_fail_text(ctl, "%s: %s", term_shown(shown, dir), strerror(errno));
	if (n_passed > 0)
		fprintf(stderr, "bnnctl: %zu folder%s passed over that %s a system's own\n", n_passed,
			n_passed == 1 ? "" : "s", n_passed == 1 ? "is" : "are");
	if (ret_names->n > 0)
		return 0;
	return ctl_fail_text(ctl, "%s has no folders: wanted is a folder with one subfolder a class, named like it",
		term_shown(shown, dir));
}

void ctl_names_free(struct ctl_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->names[i]);
	free(names->names);
	*names = (struct ctl_names){0};
}
