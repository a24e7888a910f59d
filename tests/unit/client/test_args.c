/* SPDX-License-Identifier: MIT */
/* bnnctl's command line: lines that mean something, and lines that are refused with a hint. */
#include "tests/unit/client/tests.h"

#include "client/ctl/args.h"

enum { WORDS_MAX = 16 };

static const struct verb verbs[] = {
	{"status", "", "Status", "", "", 0, NULL},
	{"learn", "NAME FILE...", "Learns", "", "",
		ARG_BIT(ARG_DIR) | ARG_BIT(ARG_TOGETHER) | ARG_BIT(ARG_NONE) | ARG_BIT(ARG_DRY_RUN) | ARG_BIT(ARG_KEY) |
			ARG_BIT(ARG_IF_SEQ) | ARG_BIT(ARG_RAW) | ARG_BIT(ARG_ROI) | ARG_BIT(ARG_ROTATE),
		NULL},
	{"infer", "FILE...", "Infers", "", "",
		ARG_BIT(ARG_RAW) | ARG_BIT(ARG_ROI) | ARG_BIT(ARG_ROTATE) | ARG_BIT(ARG_REFUSE) | ARG_BIT(ARG_TOP) |
			ARG_BIT(ARG_FAIL_UNKNOWN),
		NULL},
	{"look", "FILE", "Looks", "", "", ARG_BIT(ARG_OUTPUT), NULL},
	{"history", "", "History", "", "", ARG_BIT(ARG_LIMIT), NULL},
};
enum { N_VERBS = sizeof verbs / sizeof *verbs };

/* Splits at '|', so that words can have spaces. */
static int parse(const char *line, char *memory, struct args *ret_args, struct err *err)
{
	char *argv[WORDS_MAX + 1] = {(char *)"bnnctl"};
	int argc = 1;
	(void)strcpy(memory, line);
	for (char *word = strtok(memory, "|"); word && argc < WORDS_MAX; word = strtok(NULL, "|"))
		argv[argc++] = strcmp(word, "''") == 0 ? (char *)"" : word;
	return args_parse(argc, argv, verbs, N_VERBS, ret_args, err);
}

void test_args_good(void **state)
{
	(void)state;
	char memory[512];
	struct args a;
	struct err err;
	assert_int_equal(
		parse("--json|learn|-n|mug|--roi|0.25,0,.5,1|a b.jpg|--rotate=270|--|--c.jpg|-", memory, &a, &err), 0);
	assert_string_equal(a.verb->name, "learn");
	assert_int_equal(a.n_operands, 4);
	assert_string_equal(a.operands[1], "a b.jpg");
	assert_string_equal(a.operands[2], "--c.jpg");
	assert_string_equal(a.operands[3], "-");
	assert_true(args_has(&a, ARG_JSON) && args_has(&a, ARG_DRY_RUN) && args_has(&a, ARG_ROI));
	assert_false(args_has(&a, ARG_NONE));
	assert_true(a.roi[0] == 0.25 && a.roi[2] == 0.5 && a.roi[3] == 1.0 && a.rotate == 270);
	assert_int_equal(a.timeout_ms, BNND_DEFAULT_TIMEOUT_MS);
	free(a.operands);

	assert_int_equal(parse("infer|-t2.5|-s|/x y|--raw|640x480x3|--top|10|--refuse|.2|-j|f", memory, &a, &err), 0);
	assert_int_equal(a.timeout_ms, 2500);
	assert_string_equal(a.socket, "/x y");
	assert_int_equal(a.raw_width, 640);
	assert_int_equal(a.raw_channels, 3);
	assert_int_equal(a.top, 10);
	assert_true(a.refuse == 0.20);
	free(a.operands);
	assert_int_equal(parse("infer|--refuse|never|f", memory, &a, &err), 0);
	assert_true(a.refuse == BNND_REFUSE_NEVER);
	free(a.operands);

	assert_int_equal(parse("learn|--key|00112233445566778899AabBcCdDeEfF|--if-seq|0|x", memory, &a, &err), 0);
	static const uint8_t key[] = {
		0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF};
	assert_memory_equal(a.key, key, sizeof key);
	assert_true(args_has(&a, ARG_IF_SEQ) && a.if_seq == 0);
	free(a.operands);

	assert_int_equal(parse("--timeout|0|status", memory, &a, &err), 0);
	assert_int_equal(a.timeout_ms, BNND_NO_TIMEOUT);
	free(a.operands);
	/* 0.7 + 0.3 is more than 1 in floating point. */
	assert_int_equal(parse("infer|--roi|0.7,0.1,0.3,0.9|x", memory, &a, &err), 0);
	free(a.operands);
	assert_int_equal(parse("--help", memory, &a, &err), 0);
	assert_null(a.verb);
	free(a.operands);
}

void test_args_bad(void **state)
{
	(void)state;
	static const struct {
		const char *line, *says;
	} table[] = {
		{"lern|mug", "did you mean learn?"},
		{"xyzzy", "bnnctl --help"},
		{"''", "unknown verb"},
		{"learn|--dryrun", "did you mean --dry-run?"},
		{"learn|--dry", "did you mean --dry-run?"},
		{"learn|--frobnicate", "bnnctl learn --help"},
		{"--sokcet|x", "did you mean --socket?"},
		{"status|--raw|1x1x1", "status takes no --raw"},
		{"--top|3|status", "status takes no --top"},
		{"infer|-q|x", "unknown flag -q"},
		{"infer|--top", "--top needs N"},
		{"infer|-t", "-t needs S"},
		{"infer|--json=1", "takes no value"},
		{"infer|--top|0", "--top 0"},
		{"infer|--top|11", "1 to 10"},
		{"infer|--top|-3", "--top -3"},
		{"infer|--top|3x", "--top 3x"},
		{"infer|--refuse|0.5", "0.01, 0.02"},
		{"infer|--refuse|5%", "0.01, 0.02"},
		{"infer|--refuse|-1", "0.01, 0.02"},
		{"infer|--raw|640x480", "640x480x3"},
		{"infer|--raw|640x480x4", "640x480x3"},
		{"infer|--raw|0x480x3", "640x480x3"},
		{"infer|--raw|640x480x3x", "640x480x3"},
		{"infer|--raw|-1x2x3", "640x480x3"},
		{"infer|--raw|99999999999999999999x1x1", "640x480x3"},
		{"infer|--roi|0,0,1", "four fractions"},
		{"infer|--roi|0,0,1,1,1", "four fractions"},
		{"infer|--roi|0.5,0,0.6,1", "at most 1"},
		{"infer|--roi|0,0,0,1", "four fractions"},
		{"infer|--roi|nan,0,1,1", "four fractions"},
		{"infer|--roi|0,0,1,inf", "four fractions"},
		{"infer|--rotate|45", "0, 90, 180 or 270"},
		{"infer|--rotate|360", "0, 90, 180 or 270"},
		{"learn|--key|00", "32 hex digits"},
		{"learn|--key|0011223344556677889900112233445g", "32 hex digits"},
		{"learn|--if-seq|-1", "number of a change"},
		{"learn|--if-seq|18446744073709551616", "number of a change"},
		{"status|--timeout|soon", "seconds"},
		{"status|--timeout|1e9", "seconds"},
		{"status|--socket|''", "a path"},
		{"history|--limit|0", "from 1"},
		{"learn|--dir|''", "a folder"},
		{"infer|--roi|\x1b[2J", "\\x1B[2J"},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		char memory[512];
		struct args a;
		struct err err = {0};
		int r = parse(table[i].line, memory, &a, &err);
		free(a.operands);
		if (r != -ERR_INVALID_ARGUMENT || !strstr(err.text, table[i].says))
			fail_msg("%s: %d, \"%s\"", table[i].line, r, err.text);
	}
}

void test_args_nearest(void **state)
{
	(void)state;
	static const char *const names[] = {"learn", "forget", "classes", "undo"};
	assert_string_equal(args_nearest("lern", names, 4), "learn");
	assert_string_equal(args_nearest("forgett", names, 4), "forget");
	assert_string_equal(args_nearest("class", names, 4), "classes");
	assert_string_equal(args_nearest("udno", names, 4), "undo");
	assert_null(args_nearest("xyzzy", names, 4));
	assert_null(args_nearest("", names, 4));
	assert_null(args_nearest("a-word-that-is-longer-than-any-name-could-be", names, 4));
}
