/* SPDX-License-Identifier: MIT */
/* daemon/config/config_print.c: the settings in force, as a file: config.h. */
#include <string.h>

#include "daemon/config/config_keys.h"
#include "daemon/config/threads.h"

void config_print(const struct config *config, FILE *out)
{
	char section[32] = "";
	fprintf(out,
		"# bnnd's settings, as they are in force. A key that is left out has its default.\n"
		"# Precedence: flag, environment (BNND_CONFIG, BNND_SOCKET, BNND_STATE, BNND_MODEL), file, default.\n");
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *key = &config_keys[i];
		int n = (int)strcspn(key->path, ".");
		if (strncmp(section, key->path, (size_t)n) != 0 || section[n] != '\0') {
			snprintf(section, sizeof section, "%.*s", n, key->path);
			fprintf(out, "\n%s:\n", section);
		}
		fprintf(out, "  # %s\n  %s: ", key->help, key->path + n + 1);
		config_key_print(key, config, out);
		fputc('\n', out);
	}
	fprintf(out, "\n# The daemon's own limits allow it at most %llu MiB, and each thread its model's arena.\n",
		(unsigned long long)(threads_memory_bound(config, threads_choose(config, 0), 0) >> 20));
}
