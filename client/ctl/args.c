/* SPDX-License-Identifier: MIT */
/* client/ctl/args.c: see args.h. Parsing has no effects: nothing is opened, printed or connected here. */
#include "client/ctl/args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/text.h"

enum { NAME_MAX_BYTES = 32, TIMEOUT_S_MAX = 86400, RAW_SIDE_MAX = 16384 };

static const uint32_t global_flags =
	ARG_BIT(ARG_SOCKET) | ARG_BIT(ARG_TIMEOUT) | ARG_BIT(ARG_JSON) | ARG_BIT(ARG_HELP) | ARG_BIT(ARG_VERSION);

static const struct {
	const char *name;
	char letter;
	const char *value; /* NULL: takes none */
	const char *help;
	const char *wanted; /* of the value, after "wanted: " */
} table[ARG_FLAGS] = {
	[ARG_SOCKET] = {"socket", 's', "PATH", "the daemon's socket (else BNND_SOCKET, else " BNND_DEFAULT_SOCKET ")",
		"a path"},
	[ARG_TIMEOUT] = {"timeout", 't', "S", "seconds to wait for one request, retries included (30; 0: for ever)",
		"seconds from 0.001 to 86400, or 0"},
	[ARG_JSON] = {"json", 'j', NULL, "one JSON object a line instead of tables"},
	[ARG_HELP] = {"help", 'h', NULL, "this text; after a verb, its own"},
	[ARG_VERSION] = {"version", 'V', NULL, "print the version"},
	[ARG_DIR] = {"dir", 'd', "DIR", "teach a folder of folders: one class a subfolder, in name order", "a folder"},
	[ARG_TOGETHER] = {"together", 0, NULL, "with --dir: all classes in one lesson"},
	[ARG_NONE] = {"none", 0, NULL, "the negatives: pictures of nothing in particular"},
	[ARG_DRY_RUN] = {"dry-run", 'n', NULL, "do everything but keep it"},
	[ARG_KEY] = {"key", 0, "HEX32", "16 bytes as 32 hex digits: the same key never changes anything twice",
		"32 hex digits"},
	[ARG_IF_SEQ] = {"if-seq", 0, "N", "only if the newest change is number N", "the number of a change"},
	[ARG_RAW] = {"raw", 0, "WxHxC", "files without a header: one frame of W x H pixels, C = 1 grey or 3 RGB bytes",
		"width x height x channels like 640x480x3, channels 1 or 3"},
	[ARG_ROI] = {"roi", 0, "X,Y,W,H", "use this part of each picture only, in fractions of its width and height",
		"four fractions from 0 to 1 like 0.25,0,0.5,1; X + W and Y + H are at most 1"},
	[ARG_ROTATE] = {"rotate", 0, "DEG", "turn each picture clockwise first: 0, 90, 180 or 270",
		"0, 90, 180 or 270"},
	[ARG_REFUSE] = {"refuse", 0, "SHARE",
		"strictness: refuse this share of known pictures: 0.01, 0.02, 0.05, 0.10 or 0.20; or never",
		"0.01, 0.02, 0.05, 0.10, 0.20 or never"},
	[ARG_TOP] = {"top", 0, "N", "labels to list (3, at most 10)", "a number from 1 to 10"},
	[ARG_FAIL_UNKNOWN] = {"fail-unknown", 0, NULL, "exit 5 when a picture is unknown"},
	[ARG_OUTPUT] = {"output", 'o', "FILE", "where the PNG goes (-: standard output)", "a file name"},
	[ARG_LIMIT] = {"limit", 0, "N", "the newest N only", "a number from 1"},
	[ARG_EACH] = {"each", 0, NULL, "a line for each picture, too"},
	[ARG_CONFUSION] = {"confusion", 0, NULL, "what was taken for what"},
	[ARG_CHECK] = {"check", 0, NULL, "exit 7 when the daemon is degraded: for a monitor"},
};

/* ---- nearest --------------------------------------------------------------------------------------------------- */

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;
	return m < c ? m : c;
}

/* Edits (one letter inserted, dropped or changed) from a to b; both at most NAME_MAX_BYTES long. */
static size_t distance(const char *a, const char *b)
{
	size_t n = strlen(b), row[NAME_MAX_BYTES + 1];
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t above = row[j];
			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[n];
}

const char *args_nearest(const char *word, const char *const *names, size_t n)
{
	const char *best = NULL;
	size_t best_distance = 3, len = strlen(word);
	if (len == 0 || len > NAME_MAX_BYTES)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t d = len >= 3 && strncmp(word, names[i], len) == 0 ? 1 : distance(word, names[i]);
		if (d < best_distance && d < strlen(names[i])) {
			best_distance = d;
			best = names[i];
		}
	}
	return best;
}

/* Usage error: "WHAT "WORD"; did you mean NEAREST?". */
static int unknown_word(struct err *err, const char *what, const char *word, const char *prefix,
	const char *const *names, size_t n, const char *see)
{
	char shown[80];
	text_escape(shown, sizeof shown, (const uint8_t *)word, strlen(word));
	const char *nearest = args_nearest(word, names, n);
	if (nearest)
		return err_set(
			err, ERR_INVALID_ARGUMENT, "%s %s%s: did you mean %s%s?", what, prefix, shown, prefix, nearest);
	return err_set(err, ERR_INVALID_ARGUMENT, "%s %s%s: see %s", what, prefix, shown, see);
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

static bool parse_u64(const char *s, uint64_t max, uint64_t *ret)
{
	if (s[0] < '0' || s[0] > '9')
		return false;
	char *end;
	errno = 0;
	unsigned long long v = strtoull(s, &end, 10);
	if (errno != 0 || *end || v > max)
		return false;
	*ret = v;
	return true;
}

static bool parse_u32(const char *s, uint32_t max, uint32_t *ret)
{
	uint64_t v;
	if (!parse_u64(s, max, &v))
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool parse_fraction(const char *s, char **ret_end, double *ret)
{
	if (!((s[0] >= '0' && s[0] <= '9') || s[0] == '.'))
		return false;
	double v = strtod(s, ret_end);
	if (!(v >= 0.0 && v <= 1e6))
		return false;
	*ret = v;
	return true;
}

static bool parse_timeout(const char *s, struct args *args)
{
	double v;
	char *end;
	if (!parse_fraction(s, &end, &v) || *end || v > TIMEOUT_S_MAX)
		return false;
	args->timeout_ms = v == 0.0 ? BNND_NO_TIMEOUT : v < 0.001 ? 1 : (uint32_t)(v * 1000.0);
	return true;
}

static bool parse_raw(const char *s, struct args *args)
{
	char *end;
	unsigned long v[3];
	for (int i = 0; i < 3; i++) {
		if (*s < '0' || *s > '9')
			return false;
		v[i] = strtoul(s, &end, 10);
		if (v[i] == 0 || v[i] > RAW_SIDE_MAX || *end != (i < 2 ? 'x' : '\0'))
			return false;
		s = end + 1;
	}
	if (v[2] != 1 && v[2] != 3)
		return false;
	args->raw_width = (uint32_t)v[0];
	args->raw_height = (uint32_t)v[1];
	args->raw_channels = (uint32_t)v[2];
	return true;
}

static bool parse_roi(const char *s, struct args *args)
{
	const double slack = 1e-9; /* 0.7 + 0.3 may come to more than 1 */
	char *end;
	for (int i = 0; i < 4; i++) {
		if (!parse_fraction(s, &end, &args->roi[i]) || *end != (i < 3 ? ',' : '\0'))
			return false;
		s = end + 1;
	}
	return args->roi[2] > 0.0 && args->roi[3] > 0.0 && args->roi[0] + args->roi[2] <= 1.0 + slack &&
	       args->roi[1] + args->roi[3] <= 1.0 + slack;
}

static bool parse_rotate(const char *s, struct args *args)
{
	return parse_u32(s, 270, &args->rotate) && args->rotate % 90 == 0;
}

static bool parse_refuse(const char *s, struct args *args)
{
	static const double shares[] = {0.01, 0.02, 0.05, 0.10, 0.20};
	double v;
	char *end;
	if (strcmp(s, "never") == 0) {
		args->refuse = BNND_REFUSE_NEVER;
		return true;
	}
	if (!parse_fraction(s, &end, &v) || *end)
		return false;
	for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
		if (v > shares[i] - 1e-9 && v < shares[i] + 1e-9) {
			args->refuse = shares[i];
			return true;
		}
	return false;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

static bool parse_key(const char *s, struct args *args)
{
	if (strlen(s) != 2 * BNND_KEY_BYTES)
		return false;
	for (size_t i = 0; i < BNND_KEY_BYTES; i++) {
		int high = hex_digit(s[2 * i]), low = hex_digit(s[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		args->key[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool parse_value(enum arg_flag flag, const char *s, struct args *args)
{
	switch (flag) {
	case ARG_SOCKET:
		args->socket = s;
		return s[0] != '\0';
	case ARG_DIR:
		args->dir = s;
		return s[0] != '\0';
	case ARG_OUTPUT:
		args->output = s;
		return s[0] != '\0';
	case ARG_TIMEOUT:
		return parse_timeout(s, args);
	case ARG_KEY:
		return parse_key(s, args);
	case ARG_IF_SEQ:
		return parse_u64(s, INT64_MAX, &args->if_seq);
	case ARG_RAW:
		return parse_raw(s, args);
	case ARG_ROI:
		return parse_roi(s, args);
	case ARG_ROTATE:
		return parse_rotate(s, args);
	case ARG_REFUSE:
		return parse_refuse(s, args);
	case ARG_TOP:
		return parse_u32(s, BNND_TOP_MAX, &args->top) && args->top > 0;
	case ARG_LIMIT:
		return parse_u32(s, 1000000, &args->limit) && args->limit > 0;
	default:
		return false;
	}
}

/* ---- the line -------------------------------------------------------------------------------------------------- */

static int set_flag(enum arg_flag flag, const char *value, struct args *args, struct err *err)
{
	if (table[flag].value && !parse_value(flag, value, args)) {
		char shown[80];
		text_escape(shown, sizeof shown, (const uint8_t *)value, strlen(value));
		return err_set(err, ERR_INVALID_ARGUMENT, "--%s %s is not possible; wanted: %s", table[flag].name,
			shown, table[flag].wanted);
	}
	args->given |= ARG_BIT(flag);
	return 0;
}

/* The flag with this name, or ARG_FLAGS. */
static enum arg_flag find_flag(const char *name, size_t len)
{
	for (int i = 0; i < ARG_FLAGS; i++)
		if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
			return (enum arg_flag)i;
	return ARG_FLAGS;
}

static int unknown_flag(const char *name, const struct verb *verb, struct err *err)
{
	const char *names[ARG_FLAGS];
	size_t n = 0;
	uint32_t known = global_flags | (verb ? verb->flags : ~UINT32_C(0));
	for (int i = 0; i < ARG_FLAGS; i++)
		if (known & ARG_BIT(i))
			names[n++] = table[i].name;
	char see[64];
	(void)snprintf(see, sizeof see, "bnnctl %s%s--help", verb ? verb->name : "", verb ? " " : "");
	char word[NAME_MAX_BYTES + 2];
	(void)snprintf(word, sizeof word, "%.*s", (int)strcspn(name, "="), name);
	return unknown_word(err, "unknown flag", word, "--", names, n, see);
}

static int long_flag(int argc, char **argv, int *i, const struct verb *verb, struct args *args, struct err *err)
{
	const char *name = argv[*i] + 2;
	size_t len = strcspn(name, "=");
	enum arg_flag flag = find_flag(name, len);
	if (flag == ARG_FLAGS)
		return unknown_flag(name, verb, err);
	if (!table[flag].value) {
		if (name[len])
			return err_set(err, ERR_INVALID_ARGUMENT, "--%s takes no value", table[flag].name);
		return set_flag(flag, NULL, args, err);
	}
	if (name[len])
		return set_flag(flag, name + len + 1, args, err);
	if (*i + 1 >= argc)
		return err_set(err, ERR_INVALID_ARGUMENT, "--%s needs %s: %s", table[flag].name, table[flag].value,
			table[flag].help);
	return set_flag(flag, argv[++*i], args, err);
}

static int short_flags(int argc, char **argv, int *i, struct args *args, struct err *err)
{
	for (const char *p = argv[*i] + 1; *p; p++) {
		enum arg_flag flag = 0;
		while (flag < ARG_FLAGS && table[flag].letter != *p)
			flag++;
		if (flag == ARG_FLAGS) {
			char shown[80];
			text_escape(shown, sizeof shown, (const uint8_t *)argv[*i], strlen(argv[*i]));
			return err_set(err, ERR_INVALID_ARGUMENT,
				"unknown flag %s: see bnnctl --help (a file of that name: ./%s)", shown, shown);
		}
		if (!table[flag].value) {
			int r = set_flag(flag, NULL, args, err);
			if (r != 0)
				return r;
			continue;
		}
		if (p[1])
			return set_flag(flag, p + 1, args, err);
		if (*i + 1 >= argc)
			return err_set(
				err, ERR_INVALID_ARGUMENT, "-%c needs %s: %s", *p, table[flag].value, table[flag].help);
		return set_flag(flag, argv[++*i], args, err);
	}
	return 0;
}

static int find_verb(const char *word, const struct verb *verbs, size_t n_verbs, struct args *args, struct err *err)
{
	for (size_t i = 0; i < n_verbs; i++)
		if (strcmp(verbs[i].name, word) == 0) {
			args->verb = &verbs[i];
			return 0;
		}
	const char **names = mem_zalloc(n_verbs + 1, sizeof *names);
	for (size_t i = 0; i < n_verbs; i++)
		names[i] = verbs[i].name;
	int r = unknown_word(err, "unknown verb", word, "", names, n_verbs, "bnnctl --help");
	free(names);
	return r;
}

int args_parse(int argc, char **argv, const struct verb *verbs, size_t n_verbs, struct args *ret_args, struct err *err)
{
	struct args *args = ret_args;
	*args = (struct args){.timeout_ms = BNND_DEFAULT_TIMEOUT_MS};
	args->operands = mem_zalloc((size_t)argc + 1, sizeof *args->operands);
	bool flags_over = false;
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];
		int r = 0;
		if (flags_over || word[0] != '-' || word[1] == '\0') {
			if (args->verb)
				args->operands[args->n_operands++] = word;
			else
				r = find_verb(word, verbs, n_verbs, args, err);
		} else if (strcmp(word, "--") == 0) {
			flags_over = true;
		} else if (word[1] == '-') {
			r = long_flag(argc, argv, &i, args->verb, args, err);
		} else {
			r = short_flags(argc, argv, &i, args, err);
		}
		if (r != 0)
			return r;
	}
	if (!args->verb)
		return 0;
	uint32_t refused = args->given & ~(global_flags | args->verb->flags);
	for (int i = 0; i < ARG_FLAGS; i++)
		if (refused & ARG_BIT(i))
			return err_set(err, ERR_INVALID_ARGUMENT, "%s takes no --%s: see bnnctl %s --help",
				args->verb->name, table[i].name, args->verb->name);
	return 0;
}

/* ---- help ------------------------------------------------------------------------------------------------------ */

static void help_flags(FILE *out, uint32_t flags)
{
	for (int i = 0; i < ARG_FLAGS; i++) {
		if (!(flags & ARG_BIT(i)))
			continue;
		char left[48];
		(void)snprintf(left, sizeof left, "--%s%s%s", table[i].name, table[i].value ? " " : "",
			table[i].value ? table[i].value : "");
		char letter[4] = "   ";
		if (table[i].letter)
			(void)snprintf(letter, sizeof letter, "-%c,", table[i].letter);
		fprintf(out, "  %s %-16s %s\n", letter, left, table[i].help);
	}
}

void args_help(FILE *out, const struct verb *verbs, size_t n_verbs, const struct verb *verb)
{
	if (verb) {
		fprintf(out, "usage: bnnctl %s%s%s\n\n%s.\n%s%s\n", verb->name, verb->operands[0] ? " " : "",
			verb->operands, verb->summary, verb->help[0] ? "\n" : "", verb->help);
		if (verb->flags) {
			fprintf(out, "flags:\n");
			help_flags(out, verb->flags);
			fprintf(out, "\n");
		}
		fprintf(out, "examples:\n%s", verb->examples);
		fprintf(out, "\nGlobal flags, exit codes: bnnctl --help\n");
		return;
	}
	fprintf(out, "usage: bnnctl [--socket PATH] [--timeout S] [--json] VERB ...\n\n"
		     "Teaches bnnd classes of pictures and asks it about pictures.\n\nverbs:\n");
	for (size_t i = 0; i < n_verbs; i++) {
		char left[96];
		(void)snprintf(left, sizeof left, "%s %s", verbs[i].name, verbs[i].operands);
		if (strlen(left) > 22)
			fprintf(out, "  %s\n  %-22s %s\n", left, "", verbs[i].summary);
		else
			fprintf(out, "  %-22s %s\n", left, verbs[i].summary);
	}
	fprintf(out, "\nglobal flags:\n");
	help_flags(out, global_flags);
	fprintf(out, "\nexit codes:\n"
		     "  0 done          1 failed (a picture that cannot be read, too)   2 usage   3 no daemon\n"
		     "  4 not allowed   5 not found (unknown, with --fail-unknown)      6 busy or timed out\n"
		     "  7 degraded (with status --check)\n"
		     "\nfirst steps:\n"
		     "  bnnctl status\n"
		     "  bnnctl learn mug mug-*.jpg\n"
		     "  bnnctl infer photo.jpg\n"
		     "\nMore on a verb: bnnctl VERB --help\n");
}
