/* SPDX-License-Identifier: MIT */
/* daemon/config/config_keys.c: see config_keys.h. A new setting is a line here, a field in config.h, a
 * default in config_load.c and its lines in systemd/bnnd.yaml (a test compares them). */
#include "daemon/config/config_keys.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/utf8.h"
#include "lib/bnn/bnn.h"
#include "lib/learn/bounds.h"
#include "proto/limits.h"

static const char *const keeps[] = {"features", "none", NULL};

#define AT(field) offsetof(struct config, field)
const struct config_key config_keys[] = {
	{"socket.path", CONFIG_PATH, AT(socket_path), 1, SOCKET_PATH_MAX_BYTES, NULL,
		"where clients connect; unused when systemd passes a socket"},
	{"socket.mode", CONFIG_MODE, AT(socket_mode), 0, 0777, NULL,
		"permissions of the daemon's own socket: who reaches it may do everything"},
	{"socket.group", CONFIG_STRING, AT(socket_group), 0, 64, NULL,
		"group of the daemon's own socket, \"\": leave it"},
	{"state.dir", CONFIG_PATH, AT(state_dir), 1, 4000, NULL, "what was learned: one SQLite file a backbone"},
	{"model.path", CONFIG_PATH, AT(model), 0, 4000, NULL,
		"the backbone (.bnn); \"\": the one that was taught last, else default.bnn in model.dir"},
	{"model.dir", CONFIG_PATH, AT(model_dir), 1, 4000, NULL, "where the installed backbones are"},
	{"infer.threads", CONFIG_UINT, AT(infer_threads), 0, 64, NULL,
		"0: one less than there are cores, at least one"},
	{"answers.refuse", CONFIG_SHARE, AT(refuse), 0, 0, NULL,
		"share of pictures of taught things that may be answered unknown: 0.01, 0.02, 0.05, 0.1, 0.2; or never "
		"(a closed world: a dark or covered camera gets a name, too, unless such frames were taught as none)"},
	{"image.decode_memory_mib", CONFIG_UINT, AT(decode_memory_mib), 1, 1024, NULL,
		"what one picture's decoder may hold, MiB; a progressive JPEG of 12 megapixels needs 35 (4:2:0)"},
	{"image.decode_megapixels", CONFIG_UINT, AT(decode_megapixels), 1, 4096, NULL,
		"what one picture may cost, megapixels of plain PNG; a JPEG costs a tenth, a progressive one half"},
	{"image.decode_seconds", CONFIG_UINT, AT(decode_seconds), 1, 600, NULL,
		"decoding one picture is given up after so long"},
	{"learner.preset", CONFIG_CHOICE, AT(learner.preset), 0, 0, learn_preset_names,
		"default, or reference: CWR* as its authors have it (classes in the order of raw logits, along which "
		"scores need not fall); sets the defaults of what follows"},
	{"learner.width", CONFIG_CHOICE, AT(learner.width), 0, 0, learn_width_names,
		"bits forward/backward; a state keeps the widths it was taught with"},
	{"learner.method", CONFIG_CHOICE, AT(learner.method), 0, 0, learn_method_names,
		"what ranks classes: metric or means of the kept pictures, or the trained rows (cwr: where keep is "
		"none, "
		"or preset reference); may be changed at any start"},
	{"learner.epochs", CONFIG_UINT, AT(learner.epochs), LEARN_EPOCHS_RANGE, NULL,
		"passes over a lesson's pictures. epochs to past_cap act on the trained rows alone: with method metric "
		"or means they change what is known, not the ranking"},
	{"learner.eta", CONFIG_REAL, AT(learner.eta), LEARN_ETA_RANGE, NULL, "learning rate"},
	{"learner.minibatch", CONFIG_UINT, AT(learner.minibatch), LEARN_MINIBATCH_RANGE, NULL,
		"pictures a step, at most"},
	{"learner.momentum", CONFIG_REAL, AT(learner.momentum), LEARN_MOMENTUM_RANGE, NULL, "of SGD"},
	{"learner.decay", CONFIG_REAL, AT(learner.decay), LEARN_DECAY_RANGE, NULL, "weight decay"},
	{"learner.others", CONFIG_UINT, AT(learner.others), LEARN_OTHERS_RANGE, NULL,
		"M, how many absent classes a lesson is taught against (default preset)"},
	{"learner.past_cap", CONFIG_UINT, AT(learner.past_cap), LEARN_PAST_CAP_RANGE, NULL,
		"an old class weighs at most this many pictures when seen again, 0: no cap (default preset)"},
	{"learner.classes_total", CONFIG_UINT, AT(learner.classes_total), LEARN_CLASSES_TOTAL_RANGE, NULL,
		"C_total of the reference preset, 0: the classes known"},
	{"learner.keep", CONFIG_CHOICE, AT(keep), 0, 0, keeps,
		"features: keep the features of taught pictures; none: only a digest, to know them again (then the "
		"trained rows rank, and no scene is taken away)"},
	{"learner.max_classes", CONFIG_UINT, AT(max_classes), 1, CLASSES_MAX, NULL, "classes in all"},
	{"learner.samples_per_class", CONFIG_UINT, AT(samples_per_class), 1, 1000, NULL,
		"kept pictures of a class; the oldest go first"},
	{"lesson.idle_s", CONFIG_UINT, AT(lesson_idle_s), 1, 3600, NULL,
		"an open lesson is dropped after so much silence"},
	{"lesson.starve_ms", CONFIG_UINT, AT(lesson_starve_ms), 1, 60000, NULL,
		"a lesson's picture waits at most so long behind questions of the same user"},
	{"lesson.per_uid", CONFIG_UINT, AT(lesson_per_uid), 1, 64, NULL,
		"open lessons of one user; its share may be less"},
	{"lesson.max_pictures", CONFIG_UINT, AT(lesson_max_pictures), 1, LESSON_MAX_PICTURES, NULL, "of one lesson"},
	{"lesson.max_classes", CONFIG_UINT, AT(lesson_max_classes), 1, LESSON_MAX_CLASSES, NULL, "of one lesson"},
	{"session.max", CONFIG_UINT, AT(sessions_max), 1, 1024, NULL,
		"connections of all users; one alone gets half, an eighth is kept for root and the daemon's own user"},
	{"session.stall_s", CONFIG_UINT, AT(session_stall_s), 1, 3600, NULL,
		"a client that does not read its replies is dropped after so long"},
};
const size_t config_keys_n = sizeof config_keys / sizeof *config_keys;
#undef AT

const struct config_key *config_key_find(const char *path)
{
	for (size_t i = 0; i < config_keys_n; i++)
		if (strcmp(config_keys[i].path, path) == 0)
			return &config_keys[i];
	return NULL;
}

enum { NEAREST_MAX_BYTES = 64 };

/* Levenshtein's distance, two rows. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NEAREST_MAX_BYTES + 1], n = strlen(b);
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 0; a[i] && i < NEAREST_MAX_BYTES; i++) {
		size_t diagonal = row[0];
		row[0] = i + 1;
		for (size_t j = 1; j <= n; j++) {
			size_t best = diagonal + (a[i] != b[j - 1]);
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

/* A name without a dot is a section, or a key whose section was forgotten. */
static size_t distance_to(const char *path, const char *known)
{
	char section[NEAREST_MAX_BYTES + 1];
	size_t whole = distance(path, known);
	if (strchr(path, '.'))
		return whole;
	snprintf(section, sizeof section, "%.*s", (int)strcspn(known, "."), known);
	size_t to_section = distance(path, section), to_key = distance(path, strchr(known, '.') + 1);
	size_t part = to_section < to_key ? to_section : to_key;
	return part < whole ? part : whole;
}

const char *config_key_nearest(const char *path)
{
	const char *nearest = config_keys[0].path;
	for (size_t i = 1; i < config_keys_n; i++)
		if (distance_to(path, config_keys[i].path) < distance_to(path, nearest))
			nearest = config_keys[i].path;
	return nearest;
}

static int wrong(const struct config_key *key, struct err *err, const char *must)
{
	return err_set_about(
		err, ERR_INVALID_ARGUMENT, (struct err_about){.field = key->path}, "%s %s", key->path, must);
}

static int set_string(const struct config_key *key, const char *text, char **at, struct err *err)
{
	char must[80];
	size_t len = strlen(text);
	snprintf(must, sizeof must, "must have %.0f to %.0f bytes, not %zu", key->low, key->high, len);
	if ((double)len < key->low || (double)len > key->high)
		return wrong(key, err, must);
	free(*at);
	*at = len ? mem_strdup(text) : NULL;
	return 0;
}

static int set_uint(const struct config_key *key, const char *text, int base, uint32_t *at, struct err *err)
{
	char must[80], *end;
	errno = 0;
	unsigned long long v = strtoull(text, &end, base);
	snprintf(must, sizeof must,
		base == 8 ? "must be an octal number of 0 to 0%llo" : "must be a whole number of %llu to %llu",
		base == 8 ? (unsigned long long)key->high : (unsigned long long)key->low,
		(unsigned long long)key->high);
	if (!text[0] || *end || text[0] == '-' || errno || (double)v < key->low || (double)v > key->high)
		return wrong(key, err, must);
	*at = (uint32_t)v;
	return 0;
}

static int set_real(const struct config_key *key, const char *text, double *at, struct err *err)
{
	char must[80], *end;
	double v = strtod(text, &end);
	snprintf(must, sizeof must, "must be a number of %g to %g", key->low, key->high);
	if (!text[0] || *end || !(v >= key->low && v <= key->high))
		return wrong(key, err, must);
	*at = v;
	return 0;
}

static const char never[] = "never"; /* of CONFIG_SHARE */

static int set_share(const struct config_key *key, const char *text, double *at, struct err *err)
{
	char *end;
	double v = strtod(text, &end);
	if (strcmp(text, never) == 0) {
		*at = 0;
		return 0;
	}
	for (size_t i = 0; text[0] && !*end && i < BNN_REFUSE_SHARES; i++)
		if (fabs(v - bnn_refuse_share[i]) < 1e-9) {
			*at = bnn_refuse_share[i];
			return 0;
		}
	return wrong(key, err, "must be 0.01, 0.02, 0.05, 0.1 or 0.2, or never");
}

static int set_choice(const struct config_key *key, const char *text, uint32_t *at, struct err *err)
{
	char must[80] = "must be one of";
	for (uint32_t i = 0; key->choices[i]; i++) {
		if (strcmp(text, key->choices[i]) == 0) {
			*at = i + 1;
			return 0;
		}
		snprintf(must + strlen(must), sizeof must - strlen(must), "%s %s", i ? "," : "", key->choices[i]);
	}
	return wrong(key, err, must);
}

int config_key_set(const struct config_key *key, const char *text, struct config *config, struct err *err)
{
	void *at = (char *)config + key->offset;
	switch (key->type) {
	case CONFIG_PATH:
		if (text[0] == '~')
			return wrong(key, err, "begins with ~, which only a shell understands: write the whole path");
		return set_string(key, text, at, err);
	case CONFIG_STRING:
		return set_string(key, text, at, err);
	case CONFIG_UINT:
		return set_uint(key, text, 10, at, err);
	case CONFIG_MODE:
		return set_uint(key, text, 8, at, err);
	case CONFIG_REAL:
		return set_real(key, text, at, err);
	case CONFIG_SHARE:
		return set_share(key, text, at, err);
	case CONFIG_CHOICE:
		return set_choice(key, text, at, err);
	}
	return 0;
}

/* A character that stands for itself between YAML's double quotes. */
static bool is_plain(uint32_t point)
{
	if (point < 0x20 || point == '"' || point == '\\' || (point >= 0x7F && point < 0xA0))
		return false;
	bool breaks_lines = point == 0x2028 || point == 0x2029;
	return !breaks_lines && point != 0xFEFF && point != 0xFFFE && point != 0xFFFF;
}

/* A byte that is no UTF-8 (a path from the command line) has no place in YAML: it is shown, and not read back. */
static void print_string(const char *text, FILE *out)
{
	size_t left = strlen(text);
	fputc('"', out);
	while (left > 0) {
		uint32_t point;
		size_t n = utf8_decode((const uint8_t *)text, left, &point);
		if (n == 0)
			fprintf(out, "\\x%02X", (uint8_t)*text);
		else if (is_plain(point))
			fwrite(text, 1, n, out);
		else
			fprintf(out, "\\u%04X", (unsigned)point);
		n = n ? n : 1;
		text += n;
		left -= n;
	}
	fputc('"', out);
}

/* As short as reads back as the same number. */
static void print_real(double v, FILE *out)
{
	enum { SHORTEST = 6, ALWAYS_ENOUGH = 17 };
	char text[40];
	for (int digits = SHORTEST; digits <= ALWAYS_ENOUGH; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	fputs(text, out);
}

void config_key_print(const struct config_key *key, const struct config *config, FILE *out)
{
	const void *at = (const char *)config + key->offset;
	const char *s;
	switch (key->type) {
	case CONFIG_STRING:
	case CONFIG_PATH:
		s = *(char *const *)at;
		print_string(s ? s : "", out);
		break;
	case CONFIG_UINT:
		fprintf(out, "%u", *(const uint32_t *)at);
		break;
	case CONFIG_MODE:
		fprintf(out, "0%o", *(const uint32_t *)at);
		break;
	case CONFIG_REAL:
		print_real(*(const double *)at, out);
		break;
	case CONFIG_SHARE:
		if (*(const double *)at == 0)
			fputs(never, out);
		else
			print_real(*(const double *)at, out);
		break;
	case CONFIG_CHOICE:
		fputs(key->choices[*(const uint32_t *)at - 1], out);
		break;
	}
}
