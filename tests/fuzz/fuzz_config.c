/* SPDX-License-Identifier: MIT */
/* tests/fuzz/fuzz_config.c: a settings file of any bytes is refused with file:line:column and a sentence, or taken; what
 * was taken is printed as a file that is taken again and means the same. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/config/threads.h"
#include "tests/fuzz/fuzz.h"

/* The bytes as a file that has a name. */
static int load(const void *bytes, size_t n, struct config *ret_config, struct err *err)
{
	char name[32];
	int fd = memfd_create("settings", MFD_CLOEXEC);
	FUZZ_CHECK(fd >= 0 && (n == 0 || write(fd, bytes, n) == (ssize_t)n));
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	struct config_overrides overrides = {.file = name};
	int r = config_load(&overrides, ret_config, err);
	close(fd);
	return r;
}

static char *print(const struct config *config, size_t *ret_n)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_n);
	FUZZ_CHECK(out);
	config_print(config, out);
	fclose(out);
	return text;
}

static bool same_text(const char *a, const char *b)
{
	return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

/* What printing could lose; the rest shows in what is printed again. */
static void check_same(const struct config *a, const struct config *b)
{
	FUZZ_CHECK(same_text(a->socket_path, b->socket_path) && same_text(a->socket_group, b->socket_group));
	FUZZ_CHECK(same_text(a->state_dir, b->state_dir) && same_text(a->model, b->model));
	FUZZ_CHECK(same_text(a->model_dir, b->model_dir));
	const struct learn_settings *l = &a->learner, *m = &b->learner;
	FUZZ_CHECK(l->eta == m->eta && l->momentum == m->momentum && l->decay == m->decay && a->refuse == b->refuse);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct config config, again;
	struct err err = {0};
	size_t printed_n, again_n;
	int r = load(bytes, n, &config, &err);
	if (r != 0) {
		fuzz_check_refusal(r, &err);
		return 0;
	}
	(void)config_memory_bound(&config);
	char *printed = print(&config, &printed_n);
	r = load(printed, printed_n, &again, &err);
	if (r != 0)
		fprintf(stderr, "%s\n%s", err.text, printed);
	FUZZ_CHECK(r == 0);
	check_same(&config, &again);
	char *printed_again = print(&again, &again_n);
	FUZZ_CHECK(printed_n == again_n && memcmp(printed, printed_again, printed_n) == 0);
	free(printed);
	free(printed_again);
	config_deinit(&config);
	config_deinit(&again);
	return 0;
}
