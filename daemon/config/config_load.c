/* SPDX-License-Identifier: MIT */
/* daemon/config/config_load.c: see config.h. The only file that knows YAML.
 *
 * The file is a mapping of sections to mappings of scalars; "section.key: value" on the top is the same. Everything else,
 * an unknown or repeated key, a value of the wrong type or out of range is refused with file:line:column. */
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "daemon/config/config_keys.h"
#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "lib/base/text.h"
#include "lib/image/image.h"
#include "proto/limits.h"

const char config_default_file[] = BNND_CONFIG_FILE;

static void set_defaults(struct config *config)
{
	bool root = geteuid() == 0;
	*config = (struct config){
		.socket_path = mem_strdup(CONFIG_DEFAULT_SOCKET),
		.socket_mode = root ? 0660 : 0600,
		.socket_group = root && getgrnam("bnnd") ? mem_strdup("bnnd") : NULL,
		.state_dir = mem_strdup("/var/lib/bnnd"),
		.model_dir = mem_strdup(BNND_MODEL_DIR),
		.refuse = 0.05,
		.decode_memory_mib = IMAGE_DECODE_MEMORY_MIB,
		.decode_megapixels = IMAGE_DECODE_MEGAPIXELS,
		.decode_seconds = IMAGE_DECODE_SECONDS,
		.keep = CONFIG_KEEP_FEATURES,
		.max_classes = CLASSES_MAX,
		.samples_per_class = SAMPLES_PER_CLASS,
		.lesson_idle_s = 60,
		.lesson_starve_ms = 200,
		.lesson_per_uid = LESSONS_PER_UID,
		.lesson_max_pictures = LESSON_MAX_PICTURES,
		.lesson_max_classes = LESSON_MAX_CLASSES,
		.session_stall_s = 30,
		.sessions_max = SESSIONS_MAX,
	};
	learn_settings_preset(LEARN_DEFAULT, &config->learner);
}

/* ---- the file ---- */

struct config_file {
	const char *name;
	yaml_document_t document;
};

static int at(const struct config_file *file, yaml_mark_t mark, const char *sentence, struct err *err)
{
	char name[160];
	text_escape(name, sizeof name, (const uint8_t *)file->name, strlen(file->name));
	return err_set(err, ERR_INVALID_ARGUMENT, "%s:%zu:%zu: %s", name, mark.line + 1, mark.column + 1, sentence);
}

/* Settings are two deep. libyaml compares each token with every open bracket before it, so a file of brackets would keep
 * a start busy for a minute: it is looked at bracket by bracket before it is read as a whole. What is not YAML is told then. */
static int check_depth(const struct config_file *file, const char *text, size_t n, struct err *err)
{
	yaml_parser_t parser;
	yaml_event_t event;
	int depth = 0, r = 0;
	bool more = yaml_parser_initialize(&parser);
	if (more)
		yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
	while (more && r == 0 && yaml_parser_parse(&parser, &event)) {
		depth += event.type == YAML_MAPPING_START_EVENT || event.type == YAML_SEQUENCE_START_EVENT;
		depth -= event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
		more = event.type != YAML_STREAM_END_EVENT;
		if (depth > CONFIG_DEPTH_MAX)
			r = at(file, event.start_mark, "nested more deeply than any setting is", err);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return r;
}

/* What follows the settings: libyaml would read on, we would not, and nobody would know. */
static int check_end(const struct config_file *file, yaml_parser_t *parser, struct err *err)
{
	yaml_document_t more;
	if (!yaml_parser_load(parser, &more))
		return at(file, parser->problem_mark, parser->problem ? parser->problem : "not YAML", err);
	const yaml_node_t *root = yaml_document_get_root_node(&more);
	int r = root ? at(file, root->start_mark, "a second YAML document begins here: settings are in one", err) : 0;
	yaml_document_delete(&more);
	return r;
}

static int parse(struct config_file *file, FILE *in, struct err *err)
{
	yaml_parser_t parser;
	char *text = mem_zalloc(1, CONFIG_FILE_MAX_BYTES + 1);
	size_t n = fread(text, 1, CONFIG_FILE_MAX_BYTES + 1, in);
	int r = 0;
	if (ferror(in))
		r = err_set(err, ERR_INVALID_ARGUMENT, "%s: %s", file->name, strerror(errno));
	else if (n > CONFIG_FILE_MAX_BYTES)
		r = err_set(err, ERR_INVALID_ARGUMENT, "%s: larger than %d bytes", file->name, CONFIG_FILE_MAX_BYTES);
	if (r == 0)
		r = check_depth(file, text, n, err);
	if (r == 0 && yaml_parser_initialize(&parser)) {
		yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
		if (!yaml_parser_load(&parser, &file->document))
			r = at(file, parser.problem_mark, parser.problem ? parser.problem : "not YAML", err);
		else if (yaml_document_get_root_node(&file->document))
			r = check_end(file, &parser, err);
		if (r < 0)
			yaml_document_delete(&file->document);
		yaml_parser_delete(&parser);
	}
	free(text);
	return r;
}

/* "section.key" of a pair; the scalar's text is NUL-terminated by libyaml. */
static int pair_path(const struct config_file *file, const char *section, const yaml_node_t *key, char *ret_path,
	size_t path_bytes, struct err *err)
{
	if (key->type != YAML_SCALAR_NODE)
		return at(file, key->start_mark, "a key must be plain text", err);
	const char *name = (const char *)key->data.scalar.value;
	if (strlen(name) != key->data.scalar.length)
		return at(file, key->start_mark, "the key has a NUL in it", err);
	snprintf(ret_path, path_bytes, "%s%s%s", section, section[0] ? "." : "", name);
	return 0;
}

static int unknown_key(const struct config_file *file, const yaml_node_t *key, const char *path, struct err *err)
{
	char shown[80], sentence[240];
	text_escape(shown, sizeof shown, (const uint8_t *)path, strlen(path));
	snprintf(sentence, sizeof sentence, "unknown key '%s'; the nearest is '%s'", shown, config_key_nearest(path));
	return at(file, key->start_mark, sentence, err);
}

static bool is_section(const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 0; i < config_keys_n; i++)
		if (strncmp(config_keys[i].path, name, n) == 0 && config_keys[i].path[n] == '.')
			return true;
	return false;
}

typedef int pair_fn(
	struct config_file *file, const char *path, yaml_node_t *key, yaml_node_t *value, void *ctx, struct err *err);

/* Calls fn for each pair of a mapping, after refusing what is not one and keys that come twice. */
static int each_pair(
	struct config_file *file, yaml_node_t *node, const char *section, pair_fn *fn, void *ctx, struct err *err)
{
	char path[128], other[128];
	if (node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0)
		return 0; /* a section whose keys are all commented out */
	if (node->type != YAML_MAPPING_NODE)
		return at(file, node->start_mark, "expected 'key: value' lines here", err);
	yaml_node_pair_t *first = node->data.mapping.pairs.start, *top = node->data.mapping.pairs.top;
	for (yaml_node_pair_t *pair = first; pair < top; pair++) {
		yaml_node_t *key = yaml_document_get_node(&file->document, pair->key);
		int r = pair_path(file, section, key, path, sizeof path, err);
		for (yaml_node_pair_t *before = first; r == 0 && before < pair; before++) {
			yaml_node_t *earlier = yaml_document_get_node(&file->document, before->key);
			if (pair_path(file, section, earlier, other, sizeof other, NULL) == 0 &&
				strcmp(path, other) == 0)
				r = at(file, key->start_mark, "this key was given before", err);
		}
		if (r == 0)
			r = fn(file, path, key, yaml_document_get_node(&file->document, pair->value), ctx, err);
		if (r < 0)
			return r;
	}
	return 0;
}

struct applying {
	struct config *config;
	bool preset;    /* first the preset alone, since it sets the defaults of others; then all but it */
	uint64_t given; /* a bit a key that came, nested or with its dot */
};

static int apply_value(
	struct config_file *file, const char *path, yaml_node_t *key, yaml_node_t *value, void *ctx, struct err *err)
{
	struct applying *applying = ctx;
	struct err why;
	const struct config_key *known = config_key_find(path);
	if (!known)
		return unknown_key(file, key, path, err);
	uint64_t bit = UINT64_C(1) << (known - config_keys);
	if (applying->given & bit)
		return at(file, key->start_mark, "this key was given before", err);
	applying->given |= bit;
	if (applying->preset != (strcmp(path, "learner.preset") == 0))
		return 0;
	if (value->type != YAML_SCALAR_NODE)
		return at(file, value->start_mark, "expected one value here", err);
	const char *text = (const char *)value->data.scalar.value;
	if (strlen(text) != value->data.scalar.length)
		return at(file, value->start_mark, "the value has a NUL in it", err);
	if (config_key_set(known, text, applying->config, &why) < 0)
		return at(file, value->start_mark, why.text, err);
	struct learn_settings *learner = &applying->config->learner;
	if (applying->preset)
		learn_settings_preset(learner->preset, learner);
	if (learner->preset == LEARN_REFERENCE && learner->method != LEARN_CWR)
		return at(file, value->start_mark,
			"learner.method must be cwr where learner.preset is reference: its authors rank by trained "
			"rows",
			err);
	return 0;
}

static int apply_section(
	struct config_file *file, const char *path, yaml_node_t *key, yaml_node_t *value, void *ctx, struct err *err)
{
	if (config_key_find(path))
		return apply_value(file, path, key, value, ctx, err);
	if (!is_section(path))
		return unknown_key(file, key, path, err);
	return each_pair(file, value, path, apply_value, ctx, err);
}

static bool was_given(const struct applying *applying, const char *path)
{
	return applying->given >> (config_key_find(path) - config_keys) & 1;
}

static int load_file(const char *name, bool must_exist, struct config *config, struct err *err)
{
	struct config_file file = {.name = name};
	FILE *in = fopen(name, "re");
	if (!in && errno == ENOENT && !must_exist)
		return 0;
	if (!in)
		return err_set(err, ERR_INVALID_ARGUMENT, "%s: %s", name, strerror(errno));
	int r = parse(&file, in, err);
	fclose(in);
	if (r < 0)
		return r;
	REQUIRE(config_keys_n <= 64); /* the bits of applying.given */
	yaml_node_t *root = yaml_document_get_root_node(&file.document);
	struct applying preset = {.config = config, .preset = true}, rest = {.config = config};
	if (root)
		r = each_pair(&file, root, "", apply_section, &preset, err);
	if (root && r == 0)
		r = each_pair(&file, root, "", apply_section, &rest, err);
	yaml_document_delete(&file.document);
	if (config->keep == CONFIG_KEEP_NONE && !was_given(&rest, "learner.method"))
		config->learner.method = LEARN_CWR; /* nothing else can rank, and nobody asked for it */
	return r;
}

static int override(const char *path, const char *text, struct config *config, struct err *err)
{
	return text ? config_key_set(config_key_find(path), text, config, err) : 0;
}

int config_load(const struct config_overrides *overrides, struct config *ret_config, struct err *err)
{
	struct config config;
	set_defaults(&config);
	int r = load_file(
		overrides->file ? overrides->file : config_default_file, overrides->file != NULL, &config, err);
	if (r == 0)
		r = override("socket.path", overrides->socket, &config, err);
	if (r == 0)
		r = override("state.dir", overrides->state, &config, err);
	if (r == 0)
		r = override("model.path", overrides->model, &config, err);
	if (r == 0)
		r = learn_settings_check(&config.learner, err);
	if (r < 0) {
		config_deinit(&config);
		return r;
	}
	*ret_config = config;
	return 0;
}

const char *config_no_metric(const struct config *config)
{
	return config->keep == CONFIG_KEEP_NONE ? "learner.keep is none: no features are kept to rank by, so cwr ranks"
						: NULL;
}

const char *config_no_scene(const struct config *config)
{
	if (config->learner.preset == LEARN_REFERENCE)
		return "learner.preset is reference: known is decided as the paper's rows have it, whatever none shows";
	return config->keep == CONFIG_KEEP_NONE ? "learner.keep is none: no features are kept to take the scene away"
						: NULL;
}

void config_deinit(struct config *config)
{
	free(config->socket_path);
	free(config->socket_group);
	free(config->state_dir);
	free(config->model);
	free(config->model_dir);
	*config = (struct config){0};
}
