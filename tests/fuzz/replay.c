/* SPDX-License-Identifier: MIT */
/* tests/fuzz/replay.c: runs a target once for each file that it is given, without libFuzzer, so under any compiler and
 * sanitizer. A folder stands for the files in it. Each name is printed before its input runs. */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

static size_t replay_file(const char *path)
{
	struct stat st;
	FILE *in = fopen(path, "rb");
	if (!in || fstat(fileno(in), &st) != 0) {
		perror(path);
		exit(2);
	}
	size_t n = (size_t)st.st_size;
	/* No byte more than the input has, so that a sanitizer sees a step behind it. */
	uint8_t *bytes = malloc(n ? n : 1);
	FUZZ_CHECK(bytes && fread(bytes, 1, n, in) == n);
	fclose(in);
	printf("%s\n", path);
	fflush(stdout);
	(void)LLVMFuzzerTestOneInput(bytes, n);
	free(bytes);
	return 1;
}

static size_t replay_folder(const char *path)
{
	struct dirent **entries;
	char name[4096];
	size_t done = 0;
	int n = scandir(path, &entries, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			done += replay_file(name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return done;
}

int main(int argc, char **argv)
{
	struct stat st;
	size_t done = 0;
	for (int i = 1; i < argc; i++)
		done += stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode) ? replay_folder(argv[i]) : replay_file(argv[i]);
	printf("%zu inputs\n", done);
	if (done == 0)
		fprintf(stderr, "usage: %s FILE|FOLDER...\n", argv[0]);
	return done ? 0 : 2;
}
