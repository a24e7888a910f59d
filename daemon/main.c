/* SPDX-License-Identifier: MIT */
/* daemon/main.c: the command line: settings, model and state are opened here, then the server runs.
 *
 * Exit codes: 0 orderly stop, 1 failed, 2 usage, 78 configuration or model (systemd does not restart after 2 and 78; where
 * clients wait in a socket that it passed, refuse.c tells them why first). */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/config_check.h"
#include "daemon/state/learned.h"
#include "daemon/host/log.h"
#include "daemon/model_choice.h"
#include "daemon/host/reach.h"
#include "daemon/refuse.h"
#include "daemon/server.h"
#include "lib/base/require.h"
#include "lib/base/text.h"
#include "lib/bnn/bnn.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CONFIG = 78 };

enum action { RUN, CHECK_CONFIG, CHECK_STATE, EXPLAIN_MODEL, PRINT_CONFIG };

static const char usage[] =
	"usage: bnnd [--config FILE] [--socket PATH] [--state DIR] [--model FILE]\n"
	"       bnnd --check-config [FILE] | --check-state [DIR] | --explain-model [FILE] | --print-config\n"
	"       bnnd --version | --help\n"
	"\n"
	"bnnd learns and recognises things in pictures, on this machine. It serves a Unix socket; talk to it with "
	"bnnctl.\n"
	"\n"
	"  --config FILE         settings (default: %s, which may be missing)\n"
	"  --socket PATH         where clients connect (default: /run/bnnd/bnnd.sock)\n"
	"  --state DIR           where what was learned is kept (default: /var/lib/bnnd)\n"
	"  --model FILE          the backbone, a .bnn file (default: the one that was taught last)\n"
	"  --check-config [FILE] reads the settings, opens what they name, says what is wrong and exits (0 or 78)\n"
	"  --check-state [DIR]   verifies a state directory of a daemon that is not running\n"
	"  --explain-model [FILE] prints a backbone's card, operations and memory\n"
	"  --print-config        prints all settings in force, with what they mean\n"
	"\n"
	"As an ordinary user: bnnd --socket ./bnnd.sock --state ./state --model models/photo96-5.bnn\n";

struct command {
	enum action action;
	struct config_overrides overrides;
};

static int failed(int code, const struct err *err)
{
	fprintf(stderr, "bnnd: %s\n", err->text);
	return code;
}

/* What is in the way of a path goes behind the sentence. */
static void add_obstacle(struct err *err, const char *path, bool to_write)
{
	char obstacle[REACH_TEXT_BYTES];
	struct err plain = *err;
	if (path && reach_obstacle(path, to_write, obstacle))
		err_set(err, (enum err_code)plain.code, "%.160s: %s", plain.text, obstacle);
}

/* The file of the settings, whether or not it is there. */
static const char *config_file(const struct config_overrides *overrides)
{
	return overrides->file ? overrides->file : config_default_file;
}

/* 0: go on; else the process's exit code + 1. */
static int parse_command(int argc, char **argv, struct command *ret)
{
	enum {
		O_CONFIG = 1,
		O_SOCKET,
		O_STATE,
		O_MODEL,
		O_CHECK_CONFIG,
		O_CHECK_STATE,
		O_EXPLAIN,
		O_PRINT,
		O_VERSION,
		O_HELP
	};
	static const struct option options[] = {
		{"config", required_argument, NULL, O_CONFIG},
		{"socket", required_argument, NULL, O_SOCKET},
		{"state", required_argument, NULL, O_STATE},
		{"model", required_argument, NULL, O_MODEL},
		{"check-config", no_argument, NULL, O_CHECK_CONFIG},
		{"check-state", no_argument, NULL, O_CHECK_STATE},
		{"explain-model", no_argument, NULL, O_EXPLAIN},
		{"print-config", no_argument, NULL, O_PRINT},
		{"version", no_argument, NULL, O_VERSION},
		{"help", no_argument, NULL, O_HELP},
		{0},
	};
	struct command command = {.overrides = {getenv("BNND_CONFIG"), getenv("BNND_SOCKET"), getenv("BNND_STATE"),
					  getenv("BNND_MODEL")}};
	struct config_overrides *o = &command.overrides;
	const char **operand = NULL;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case O_CONFIG:
			o->file = optarg;
			break;
		case O_SOCKET:
			o->socket = optarg;
			break;
		case O_STATE:
			o->state = optarg;
			break;
		case O_MODEL:
			o->model = optarg;
			break;
		case O_CHECK_CONFIG:
			command.action = CHECK_CONFIG;
			operand = &o->file;
			break;
		case O_CHECK_STATE:
			command.action = CHECK_STATE;
			operand = &o->state;
			break;
		case O_EXPLAIN:
			command.action = EXPLAIN_MODEL;
			operand = &o->model;
			break;
		case O_PRINT:
			command.action = PRINT_CONFIG;
			break;
		case O_VERSION:
			puts("bnnd " BNND_VERSION);
			return EXIT_SUCCESS + 1;
		case O_HELP:
			printf(usage, config_default_file);
			return EXIT_SUCCESS + 1;
		default:
			fputs("try: bnnd --help\n", stderr);
			return EXIT_USAGE + 1;
		}
	}
	if (operand && optind < argc)
		*operand = argv[optind++];
	if (optind < argc) {
		fprintf(stderr, "bnnd: unexpected argument: %s\ntry: bnnd --help\n", argv[optind]);
		return EXIT_USAGE + 1;
	}
	*ret = command;
	return 0;
}

static void print_line(void *ctx, enum store_line line, const char *sentence)
{
	(void)ctx, (void)line;
	puts(sentence);
}

static int check_state(const struct config *config)
{
	struct err err;
	int r = store_check(config->state_dir, print_line, NULL, &err);
	if (r < 0)
		return failed(EXIT_FAILED, &err);
	if (r == 0)
		printf("%s: all well\n", config->state_dir);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILED;
}

struct printing {
	const char *file;
	bool of_the_unit;
};

static void print_setting(void *ctx, enum config_finding kind, const char *sentence)
{
	static const char *const before[] = {
		[CONFIG_OF_THE_UNIT] = "in the installed unit: ", [CONFIG_NOTE] = "note: "};
	struct printing *printing = ctx;
	/* What concerns the unit concerns who administers it. */
	if (kind == CONFIG_OF_THE_UNIT && geteuid() != 0 && strcmp(printing->file, config_default_file) != 0)
		return;
	printing->of_the_unit |= kind == CONFIG_OF_THE_UNIT;
	fprintf(kind == CONFIG_FAULT ? stderr : stdout, "%s: %s%s\n", printing->file, before[kind] ? before[kind] : "",
		sentence);
}

static int check_config(const struct config *config, const char *file)
{
	struct printing printing = {file, false};
	if (config_check(config, print_setting, &printing) > 0)
		return EXIT_CONFIG;
	printf("%s: all well%s\n", file, printing.of_the_unit ? ", where the unit allows it" : "");
	return EXIT_SUCCESS;
}

static int explain_model(const struct config *config)
{
	struct bnn_model *model = NULL;
	char *reason = NULL;
	struct err err;
	if (model_choose(config, &model, &reason, &err) < 0)
		return failed(EXIT_CONFIG, &err);
	bnn_model_explain(model, stdout);
	bnn_model_free(model);
	free(reason);
	return EXIT_SUCCESS;
}

/* A fault of model or state that another start would only find again: waiting clients are told, too. */
static int cannot_start(const struct refuse_watch *watch, const struct err *err)
{
	return refuse_clients(err->text, watch, failed(EXIT_CONFIG, err));
}

/* NULL: lessons can be kept. Nothing is made before the first one: a folder that cannot be is told now. */
static char *state_obstacle(const struct config *config)
{
	char obstacle[REACH_TEXT_BYTES], *text = NULL;
	if (!reach_obstacle(config->state_dir, true, obstacle))
		return NULL;
	REQUIRE(asprintf(&text, "%s cannot be written: %s", config->state_dir, obstacle) > 0);
	text_make_printable(text);
	log_line(LOG_WARNING, "%s", text);
	return text;
}

/* Where the settings ask for a metric that cannot be. */
static char *metric_obstacle(const struct config *config)
{
	char *text;
	const enum learn_method method = config->learner.method;
	if (method == LEARN_CWR || !config_no_metric(config))
		return NULL;
	REQUIRE(asprintf(&text, "learner.method is %s, but classes are ranked by cwr: %s",
			learn_method_names[method - 1], config_no_metric(config)) > 0);
	log_line(LOG_WARNING, "%s", text);
	return text;
}

static int serve(
	const struct config *config, const struct bnn_model *model, struct learned *learned, char *model_reason)
{
	struct err err;
	char *waiting = model_waiting(config, model), *obstacle = state_obstacle(config);
	char *no_metric = metric_obstacle(config);
	const char *reasons[2];
	size_t n_reasons = 0;
	if (model_reason)
		reasons[n_reasons++] = model_reason;
	if (no_metric)
		reasons[n_reasons++] = no_metric;
	struct server_parts parts = {.config = config,
		.model = model,
		.learned = learned,
		.n_reasons = n_reasons,
		.reasons = reasons,
		.state_obstacle = obstacle,
		.waiting = waiting};
	if (waiting)
		log_line(LOG_NOTICE, "%s", waiting);
	int code = server_run(&parts, &err) < 0 ? failed(EXIT_FAILED, &err) : EXIT_SUCCESS;
	free(obstacle);
	free(waiting);
	free(no_metric);
	return code;
}

_Static_assert((int)BNN_GROUPS_MAX == (int)METRIC_GROUPS_MAX && (int)BNN_GROUP_FACTOR_MAX == (int)METRIC_FACTOR_MAX,
	"what a model file may say, a metric can be made of");

/* With a model. */
static int run_with(
	const struct config *config, struct bnn_model *model, char *model_reason, const struct refuse_watch *watch)
{
	struct learned *learned = NULL;
	struct err err;
	const struct bnn_info *info = bnn_model_info(model);
	struct learned_options options = {.config = config,
		.model_name = info->name,
		.n_features = info->n_features,
		.near = info->known.near_duplicate,
		.scene = {.share = info->known.scene_share, .cosine = info->known.scene_cosine}};
	memcpy(options.feature_id, info->feature_id, sizeof options.feature_id);
	options.shape.n_groups = info->n_groups;
	for (size_t g = 0; g < info->n_groups; g++) {
		options.shape.width[g] = info->group_width[g];
		options.shape.factor[g] = info->group_factor[g];
	}
	int r = learned_open(&options, &learned, &err);
	if (r == -ERR_FAILED_PRECONDITION) {
		struct err found = err;
		struct stat st; /* of a state of another width; what is no directory has none */
		bool is_dir = stat(config->state_dir, &st) == 0 && S_ISDIR(st.st_mode);
		err_set(&err, ERR_FAILED_PRECONDITION, "%.280s: %schoose another state.dir", found.text,
			is_dir ? "set learner.width to what the state was taught with, or use the bnnd that taught it, "
				 "or "
			       : "");
		return cannot_start(watch, &err);
	}
	if (r < 0)
		return failed(EXIT_FAILED, &err);
	int code = serve(config, model, learned, model_reason);
	learned_close(learned);
	return code;
}

static int run(const struct config *config, struct refuse_watch *watch)
{
	struct bnn_model *model = NULL;
	char *reason = NULL, *fallback = NULL, *current = NULL;
	struct err err = {0};
	REQUIRE(asprintf(&fallback, "%s/default.bnn", config->model_dir) > 0);
	REQUIRE(asprintf(&current, "%s/current", config->state_dir) > 0);
	refuse_watch(watch, config->model ? config->model : fallback);
	refuse_watch(watch, current);
	int code;
	if (model_choose(config, &model, &reason, &err) < 0) {
		add_obstacle(&err, config->model, false);
		code = cannot_start(watch, &err);
	} else {
		code = run_with(config, model, reason, watch);
	}
	bnn_model_free(model);
	free(reason);
	free(fallback);
	free(current);
	return code;
}

int main(int argc, char **argv)
{
	struct command command = {0};
	struct refuse_watch watch = {0};
	struct config config;
	struct err err;
	int code = parse_command(argc, argv, &command);
	if (code == EXIT_USAGE + 1)
		return refuse_clients("its arguments are wrong: journalctl -u bnnd says which", &watch, EXIT_USAGE);
	if (code != 0)
		return code - 1;
	const char *file = config_file(&command.overrides);
	refuse_watch(&watch, file);
	if (config_load(&command.overrides, &config, &err) < 0) {
		add_obstacle(&err, file, false);
		code = failed(EXIT_CONFIG, &err);
		return command.action == RUN ? refuse_clients(err.text, &watch, code) : code;
	}
	switch (command.action) {
	case RUN:
		code = run(&config, &watch);
		break;
	case CHECK_CONFIG:
		code = check_config(&config, file);
		break;
	case CHECK_STATE:
		code = check_state(&config);
		break;
	case EXPLAIN_MODEL:
		code = explain_model(&config);
		break;
	case PRINT_CONFIG:
		config_print(&config, stdout);
		break;
	}
	config_deinit(&config);
	return code;
}
