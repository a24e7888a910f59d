/* SPDX-License-Identifier: MIT */
/* tests/fuzz/fuzz.c: see fuzz.h. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t take(struct fuzz_input *input, size_t n)
{
	uint64_t v = 0;
	for (size_t i = 0; i < n; i++) {
		v = v << 8 | (input->left ? *input->at : 0);
		if (input->left) {
			input->at++;
			input->left--;
		}
	}
	return v;
}

uint8_t fuzz_u8(struct fuzz_input *input)
{
	return (uint8_t)take(input, 1);
}

uint16_t fuzz_u16(struct fuzz_input *input)
{
	return (uint16_t)take(input, 2);
}

uint32_t fuzz_u32(struct fuzz_input *input)
{
	return (uint32_t)take(input, 4);
}

uint64_t fuzz_u64(struct fuzz_input *input)
{
	return take(input, 8);
}

int64_t fuzz_number(struct fuzz_input *input)
{
	static const int64_t ends[] = {-1, INT64_MIN, INT64_MAX, INT32_MIN, INT32_MAX, UINT32_MAX,
		(int64_t)UINT32_MAX + 1, INT64_MAX - 1, INT64_MIN + 1, UINT16_MAX, 1 << 16, 1 << 20, (1 << 20) + 1,
		1 << 30, -2, 4096};
	enum { SMALL = 200, N_ENDS = sizeof ends / sizeof *ends };
	uint8_t first = fuzz_u8(input);
	if (first < SMALL)
		return first;
	if (first < SMALL + N_ENDS)
		return ends[first - SMALL];
	return (int64_t)take(input, first % 2 ? 8 : 2);
}

const uint8_t *fuzz_bytes(struct fuzz_input *input, size_t n, size_t *ret_n)
{
	static const uint8_t nothing[1];
	const uint8_t *bytes = input->at ? input->at : nothing;
	n = n < input->left ? n : input->left;
	*ret_n = n;
	input->left -= n;
	if (n)
		input->at += n;
	return bytes;
}

void fuzz_check_refusal(int r, const struct err *err)
{
	FUZZ_CHECK(r < 0 && err->code == -r && err->code <= ERR_DATA_LOSS);
	FUZZ_CHECK(memchr(err->text, '\0', sizeof err->text) && strlen(err->text) > 10 && strchr(err->text, ' '));
	FUZZ_CHECK(!strchr(err->text, '\n'));
}

int fuzz_poll(int fd, short events, int timeout_ms, short *ret_events)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n;
	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	FUZZ_CHECK(n >= 0);
	*ret_events = p.revents;
	return n;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static char folder[64];

static void folder_empty(void)
{
	char path[512];
	DIR *dir = opendir(folder);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlink(path);
	}
	if (dir)
		closedir(dir);
}

static void folder_remove(void)
{
	folder_empty();
	rmdir(folder);
}

const char *fuzz_folder(void)
{
	if (folder[0]) {
		folder_empty();
		return folder;
	}
	strcpy(folder, "/dev/shm/bnnd-fuzz-XXXXXX");
	if (!mkdtemp(folder)) {
		strcpy(folder, "/tmp/bnnd-fuzz-XXXXXX");
		FUZZ_CHECK(mkdtemp(folder));
	}
	atexit(folder_remove);
	return folder;
}

uint8_t *fuzz_source_file(const char *name, size_t *ret_n)
{
	char path[4096];
	const char *root = getenv("BNND_SOURCE_DIR");
	struct stat st;
	snprintf(path, sizeof path, "%s/%s", root ? root : ".", name);
	FILE *in = fopen(path, "rb");
	if (!in || fstat(fileno(in), &st) != 0) {
		fprintf(stderr, "%s cannot be read: run this in the source folder, or set BNND_SOURCE_DIR\n", path);
		exit(2);
	}
	size_t n = (size_t)st.st_size;
	uint8_t *bytes = malloc(n + 1);
	FUZZ_CHECK(bytes && fread(bytes, 1, n, in) == n);
	fclose(in);
	*ret_n = n;
	return bytes;
}
