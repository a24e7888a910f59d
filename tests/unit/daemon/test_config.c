/* SPDX-License-Identifier: MIT */
/* daemon/config: a table of files, the sentence each gives, and that what is printed is read back as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/config/config_keys.h"
#include "daemon/config/threads.h"
#include "daemon/host/reach.h"

static int load(const char *text, struct config *config, struct err *err)
{
	char name[] = "/tmp/bnnd-config-XXXXXX";
	int fd = mkstemp(name);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	struct config_overrides overrides = {.file = name};
	int r = config_load(&overrides, config, err);
	unlink(name);
	return r;
}

static void test_good(void **state)
{
	(void)state;
	struct config config;
	struct err err;
	assert_int_equal(load("", &config, &err), 0);
	assert_int_equal(config.lesson_idle_s, 60);
	assert_int_equal(config.learner.preset, LEARN_DEFAULT);
	assert_int_equal(config.learner.method, LEARN_METRIC);
	assert_null(config_no_metric(&config));
	config_deinit(&config);
	/* The preset sets defaults wherever it stands in the file. */
	assert_int_equal(load("learner:\n  epochs: 7\n  width: 8/32\n  preset: reference\nlesson:\n  # nothing\n"
			      "socket:\n  mode: 0640\n  path: /tmp/x y.sock\nanswers: {refuse: 0.10}\n",
				 &config, &err),
		0);
	assert_int_equal(config.learner.preset, LEARN_REFERENCE);
	assert_int_equal(config.learner.width, LEARN_8_32);
	assert_int_equal(config.learner.method, LEARN_CWR);
	assert_int_equal(config.learner.epochs, 7);
	assert_int_equal(config.learner.minibatch, 128);
	assert_int_equal(config.socket_mode, 0640);
	assert_string_equal(config.socket_path, "/tmp/x y.sock");
	assert_true(config.refuse == 0.10);
	config_deinit(&config);
	/* Who keeps nothing and does not say what ranks has nothing amiss; who asks for a metric is told. */
	assert_int_equal(load("learner:\n  keep: none\n", &config, &err), 0);
	assert_int_equal(config.learner.method, LEARN_CWR);
	config_deinit(&config);
	assert_int_equal(load("learner:\n  method: metric\n  keep: none\n", &config, &err), 0);
	assert_int_equal(config.learner.method, LEARN_METRIC);
	assert_non_null(config_no_metric(&config));
	config_deinit(&config);
	assert_int_equal(load("answers.refuse: never\n", &config, &err), 0);
	assert_true(config.refuse == 0);
	config_deinit(&config);
}

static void test_bad(void **state)
{
	(void)state;
	static const struct {
		const char *text, *where, *what;
	} bad[] = {
		{"learner:\n  epocs: 3\n", ":2:3: ", "unknown key 'learner.epocs'; the nearest is 'learner.epochs'"},
		{"lerner:\n  epochs: 3\n", ":1:1: ", "unknown key 'lerner'; the nearest is 'learner."},
		{"Answers:\n  refuse: 0.1\n", ":1:1: ", "unknown key 'Answers'; the nearest is 'answers.refuse'"},
		{"threads: 1\n", ":1:1: ", "unknown key 'threads'; the nearest is 'infer.threads'"},
		{"learner: {epochs: 3}\n---\nlearner: {epochs: 4}\n", ":3:1: ", "a second YAML document begins here"},
		{"learner: {epochs: 3}\n...\nlearner: [\n", ":3:1: ", ""},
		{"learner: {epochs: [[[[[[[1]]]]]]]}\n", ":1:21: ", "nested more deeply than any setting is"},
		{"\"learner.epochs\\0x\": 3\n", ":1:1: ", "the key has a NUL in it"},
		{"learner:\n  epochs: 0\n", ":2:11: ", "learner.epochs must be a whole number of 1 to 100"},
		{"learner:\n  epochs: -1\n", ":2:11: ", "learner.epochs must be"},
		{"learner:\n  epochs: 1e3\n", ":2:11: ", "learner.epochs must be"},
		{"learner:\n  epochs: [1]\n", ":2:11: ", "expected one value here"},
		{"learner:\n  eta: nan\n", ":2:8: ", "learner.eta must be a number of 0.0001 to 0.1"},
		{"learner:\n  width: 8/64\n", ":2:10: ", "learner.width must be one of 8/8, 8/16, 8/32, float/float"},
		{"learner:\n  epochs: 1\n  epochs: 2\n", ":3:3: ", "this key was given before"},
		{"learner:\n  epochs: 1\nlearner.epochs: 2\n", ":3:1: ", "this key was given before"},
		{"learner.epochs: 2\nlearner:\n  eta: 0.05\n  epochs: 1\n", ":4:3: ", "this key was given before"},
		{"learner.preset: default\nlearner: {preset: default}\n", ":2:11: ", "this key was given before"},
		{"learner.epochs: 2\nlearner.epochs: 2\n", ":2:1: ", "this key was given before"},
		{"learner.epochs: 0\n", ":1:17: ", "learner.epochs must be a whole number of 1 to 100"},
		{"learner.epochs: {a: 1}\n", ":1:17: ", "expected one value here"},
		{"learner.epocs: 2\n", ":1:1: ", "unknown key 'learner.epocs'; the nearest is 'learner.epochs'"},
		{"learner: {learner.epochs: 2}\n", ":1:11: ", "unknown key 'learner.learner.epochs'; the nearest"},
		{"state:\n  dir: ~/bnnd\n", ":2:8: ", "state.dir begins with ~, which only a shell understands"},
		{"model.path: ~pi/x.bnn\n", ":1:13: ", "model.path begins with ~"},
		{"learner: 3\n", ":1:10: ", "expected 'key: value' lines here"},
		{"- 1\n", ":1:1: ", "expected 'key: value' lines here"},
		{"answers:\n  refuse: 0.07\n",
			":2:11: ", "answers.refuse must be 0.01, 0.02, 0.05, 0.1 or 0.2, or never"},
		{"learner:\n  method: metric\n  preset: reference\n",
			":2:11: ", "learner.method must be cwr where learner.preset is reference"},
		{"answers:\n  refuse: 0\n", ":2:11: ", "answers.refuse must be 0.01, 0.02, 0.05, 0.1 or 0.2, or never"},
		{"answers:\n  refuse: Never\n", ":2:11: ", "or never"},
		{"socket:\n  mode: 888\n", ":2:9: ", "octal"},
		{"socket:\n  path: \"\"\n", ":2:9: ", "socket.path must have 1 to 107 bytes, not 0"},
		{"state: {dir: *x}\n", ":1:14: ", "undefined alias"},
		{"a: [\n", ":2:1: ", ""},
		{"? [a]\n: b\n", ":1:3: ", "a key must be plain text"},
		{"\"\\e[2J\": 1\n", ":1:1: ", "unknown key '\\x1B[2J'"},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct config config;
		struct err err;
		assert_int_equal(load(bad[i].text, &config, &err), -ERR_INVALID_ARGUMENT);
		if (!strstr(err.text, bad[i].where) || !strstr(err.text, bad[i].what))
			fail_msg("%s -> %s", bad[i].text, err.text);
	}
}

static int load_learner(const struct config_key *key, double value, struct err *err)
{
	struct config config;
	char text[200];
	snprintf(text, sizeof text, "learner:\n  %s: %.17g\n", strchr(key->path, '.') + 1, value);
	int r = load(text, &config, err);
	if (r == 0)
		config_deinit(&config);
	return r;
}

/* What the file may say is what the learner takes, and a number beyond is refused where it stands. */
static void test_ranges_of_the_learner(void **state)
{
	(void)state;
	struct err err;
	size_t n = 0;
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *key = &config_keys[i];
		bool is_real = key->type == CONFIG_REAL;
		if (strncmp(key->path, "learner.", 8) != 0 || (!is_real && key->type != CONFIG_UINT))
			continue;
		n++;
		if (load_learner(key, key->low, &err) != 0 || load_learner(key, key->high, &err) != 0)
			fail_msg("%s: %s", key->path, err.text);
		const double beyond[] = {
			is_real ? key->low - 1e-5 : key->low - 1, is_real ? key->high * 1.001 : key->high + 1};
		for (size_t side = 0; side < 2; side++) {
			assert_int_equal(load_learner(key, beyond[side], &err), -ERR_INVALID_ARGUMENT);
			if (!strstr(err.text, ":2:") || !strstr(err.text, key->path))
				fail_msg("%s: %s", key->path, err.text);
		}
	}
	assert_int_equal(n, 10);
	assert_int_equal(load("learner:\n  classes_total: 500000\n", &(struct config){0}, &err), -ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(err.text, ":2:18: learner.classes_total must be a whole number of 0 to 10000"));
}

static void test_missing_and_overrides(void **state)
{
	(void)state;
	struct config config;
	struct err err;
	struct config_overrides missing = {.file = "/nonexistent/bnnd.yaml"};
	assert_int_equal(config_load(&missing, &config, &err), -ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(err.text, "/nonexistent/bnnd.yaml: No such file"));
	struct config_overrides given = {.socket = "/tmp/a.sock", .state = "/tmp/s", .model = "/tmp/m.bnn"};
	assert_int_equal(config_load(&given, &config, &err), 0);
	assert_string_equal(config.socket_path, "/tmp/a.sock");
	assert_string_equal(config.state_dir, "/tmp/s");
	assert_string_equal(config.model, "/tmp/m.bnn");
	config_deinit(&config);
	char longest[200];
	memset(longest, 'a', sizeof longest);
	longest[108] = '\0';
	given.socket = longest;
	assert_int_equal(config_load(&given, &config, &err), -ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(err.text, "107"));
}

static void test_print_reads_back(void **state)
{
	(void)state;
	struct config config, again;
	struct err err;
	char *text[2];
	size_t len[2];
	assert_int_equal(load("learner:\n  preset: reference\n  eta: 0.05\n", &config, &err), 0);
	FILE *out = open_memstream(&text[0], &len[0]);
	config_print(&config, out);
	fclose(out);
	assert_int_equal(load(text[0], &again, &err), 0);
	out = open_memstream(&text[1], &len[1]);
	config_print(&again, out);
	fclose(out);
	assert_string_equal(text[0], text[1]);
	assert_true(config_memory_bound(&config) > 1 << 20);
	free(text[0]);
	free(text[1]);
	config_deinit(&config);
	config_deinit(&again);
}

/* Whatever a value is: what YAML reads otherwise is escaped, and no digit is lost. */
static void test_any_value_reads_back(void **state)
{
	(void)state;
	static const char *const files[] = {
		"socket:\n  group: ?bnnd\"\n",
		"state:\n  dir: 'C:\\new \"x\"'\n",
		"state:\n  dir: \"a\\nb\\tc\\x01\\x7f\\x85\\u2028\\ufeff\\U0001F600\\L\"\n",
		"model:\n  path: \"gr\303\266\303\237e # no comment\"\n",
		"learner:\n  eta: 0.0123456789012345678\n  decay: 1.23456789e-5\n  momentum: 0.1234567\n",
	};
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		struct config config, again;
		struct err err;
		char *text;
		size_t len;
		if (load(files[i], &config, &err) != 0)
			fail_msg("%s", err.text);
		FILE *out = open_memstream(&text, &len);
		config_print(&config, out);
		fclose(out);
		if (load(text, &again, &err) != 0)
			fail_msg("%s\n%s", err.text, text);
		assert_string_equal(again.state_dir, config.state_dir);
		assert_string_equal(
			again.socket_group ? again.socket_group : "", config.socket_group ? config.socket_group : "");
		assert_string_equal(again.model ? again.model : "", config.model ? config.model : "");
		assert_true(again.learner.eta == config.learner.eta && again.learner.decay == config.learner.decay);
		assert_true(again.learner.momentum == config.learner.momentum);
		free(text);
		config_deinit(&config);
		config_deinit(&again);
	}
}

/* A key may be written with its dot, as the documentation names it. */
static void test_dotted(void **state)
{
	(void)state;
	struct config config;
	struct err err;
	assert_int_equal(load("model.path: /usr/share/bnnd/models/nano64-3.bnn\nlearner.epochs: 7\n"
			      "learner.preset: reference\nlearner:\n  eta: 0.05\n",
				 &config, &err),
		0);
	assert_string_equal(config.model, "/usr/share/bnnd/models/nano64-3.bnn");
	assert_int_equal(config.learner.preset, LEARN_REFERENCE);
	assert_int_equal(config.learner.epochs, 7);
	assert_true(config.learner.eta == 0.05);
	config_deinit(&config);
}

/* What the installed unit stands in the way of, by the path alone. Written in two parts for tests/rules. */
static void test_unit_obstacles(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		bool to_write;
		const char *what; /* NULL: nothing in the way */
	} rows[] = {
		{"/home"
		 "/pi/mine.bnn",
			false, "hides /home from the daemon (ProtectHome=yes): copy the file to /"},
		{"/root"
		 "/mine.bnn",
			false, "hides /root"},
		{"/run/user/1000/mine.bnn", false, "hides /run/user"},
		{"/homely/mine.bnn", false, NULL},
		{"/tmp/mine.bnn", false, "a /tmp of its own (PrivateTmp=yes)"},
		{"/usr/share/bnnd/models/default.bnn", false, NULL},
		{"/mnt/disk/mine.bnn", false, NULL},
		{"/var/lib/bnnd", true, NULL},
		{"/var/lib/bnnd/second", true, NULL},
		{"/var/lib/bnnd2", true, "ReadWritePaths=/var/lib/bnnd2"},
		{"/mnt/disk/state", true, "with [Service] and ReadWritePaths=/mnt/disk/state"},
		{"/home"
		 "/pi/state",
			true, "hides /home from the daemon (ProtectHome=yes): choose a folder elsewhere"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char text[REACH_TEXT_BYTES] = "";
		bool found = reach_unit_obstacle(rows[i].path, rows[i].to_write, text);
		if (found != (rows[i].what != NULL) || (found && !strstr(text, rows[i].what)))
			fail_msg("%s: %s", rows[i].path, text);
	}
}

/* However many cores: the threads fit the limit, and are one less than the cores where all of them do. */
static void test_threads_fit(void **state)
{
	(void)state;
	enum { ARENA = 2 << 20, UNIT_LIMIT = 512 << 20 };
	struct config config;
	struct err err;
	assert_int_equal(load("", &config, &err), 0);
	assert_true(
		threads_memory_bound(&config, 3, ARENA) < UNIT_LIMIT); /* a Pi in the installed unit: all it wants */
	for (uint32_t cores = 1; cores <= 256; cores++) {
		uint32_t n = threads_fit(&config, ARENA, cores, UNIT_LIMIT);
		assert_true(threads_memory_bound(&config, n, ARENA) <= UNIT_LIMIT);
		assert_true(
			n == (cores > 1 ? cores - 1 : 1) || threads_memory_bound(&config, n + 1, ARENA) > UNIT_LIMIT);
		assert_int_equal(threads_fit(&config, ARENA, cores, UINT64_MAX), cores > 1 ? cores - 1 : 1);
		assert_int_equal(threads_fit(&config, ARENA, cores, 1), 1);
	}
	config_deinit(&config);
	assert_int_equal(load("infer.threads: 9\n", &config, &err), 0);
	assert_int_equal(threads_fit(&config, ARENA, 2, 1), 9);
	config_deinit(&config);
}

static void value_text(const struct config_key *key, const struct config *config, char *text, size_t text_bytes)
{
	FILE *out = fmemopen(text, text_bytes, "w");
	assert_non_null(out);
	config_key_print(key, config, out);
	assert_int_equal(fclose(out), 0);
}

/* The file that is installed: it loads, changes nothing, and names every key with its default. */
static void test_installed_file(void **state)
{
	(void)state;
	char path[4200], installed[16384] = {0}, value[4200], value_of_defaults[4200], line[4400];
	struct config_overrides overrides = {.file = path};
	struct config config, defaults;
	struct err err;
	snprintf(path, sizeof path, "%s/systemd/bnnd.yaml", getenv("BNND_SOURCE_DIR"));
	assert_int_equal(config_load(&overrides, &config, &err), 0);
	assert_int_equal(load("", &defaults, &err), 0);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(installed, 1, sizeof installed - 1, file) > 0);
	fclose(file);
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *key = &config_keys[i];
		value_text(key, &config, value, sizeof value);
		value_text(key, &defaults, value_of_defaults, sizeof value_of_defaults);
		assert_string_equal(value, value_of_defaults);
		/* These three depend on who starts the daemon and where it is installed. */
		bool fixed = strcmp(key->path, "socket.mode") != 0 && strcmp(key->path, "socket.group") != 0 &&
			     strcmp(key->path, "model.dir") != 0;
		snprintf(line, sizeof line, "  # %s\n  #%s: %s%s", key->help, strchr(key->path, '.') + 1,
			fixed ? value : "", fixed ? "\n" : "");
		if (!strstr(installed, line))
			fail_msg("systemd/bnnd.yaml lacks:\n%s", line);
	}
	config_deinit(&config);
	config_deinit(&defaults);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_dotted),
		cmocka_unit_test(test_unit_obstacles),
		cmocka_unit_test(test_threads_fit),
		cmocka_unit_test(test_ranges_of_the_learner),
		cmocka_unit_test(test_missing_and_overrides),
		cmocka_unit_test(test_print_reads_back),
		cmocka_unit_test(test_any_value_reads_back),
		cmocka_unit_test(test_installed_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
