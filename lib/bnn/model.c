/* SPDX-License-Identifier: MIT */
/* lib/bnn/model.c: a .bnn file -> a model: header, digest, then graph, check, plan. bnn.h's public functions.
 *
 * Invariant: the file is read once, while loading; the model keeps copies of what it needs and the mapping is given
 * back, so a file that is replaced or cut later changes nothing. Refuses with one sentence, never half a model.
 */
#include "lib/bnn/model.h"

#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/bnn/kernels/choose.h"

enum {
	HEADER_BYTES = 64,
	FORMAT_MAJOR = 1,
	FORMAT_MINOR = 1,
	MINOR_OF_ANSWERS = 1, /* their groups with factors, and the constants of *known* */
	DIGEST_AT = 32,
	KERNEL_NAMES_BYTES = 160,
};

static const uint8_t magic[8] = {0x89, 'B', 'N', 'N', 'D', '\r', '\n', 0x1a};

/* What files say that are older than these constants. They were fitted on photo96-4, beside which older ones lie near. */
static const struct bnn_known known_of_older_files = {.near_duplicate = 0.70,
	.pair_cosine = 0.118,
	.pair_weight = 0.5,
	.class_share = 0.6,
	.few_pictures = 2.7,
	.metric_temperature = 600,
	.scene_share = 0.75,
	.scene_cosine = 0.5};

/* Their k counts whole at any number of pictures, that of today by n / (n + h): equal at 20, where they were checked. */
static double older_deviations(double k)
{
	const double n = 20;
	return k * (n + known_of_older_files.few_pictures) / n;
}

const double bnn_refuse_share[BNN_REFUSE_SHARES] = {0.01, 0.02, 0.05, 0.10, 0.20};

struct sections {
	const uint8_t *message, *data;
	size_t message_bytes;
	uint64_t data_bytes;
};

static bool all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

static int check_format(const uint8_t *bytes, size_t len_bytes, struct err *err)
{
	if (len_bytes < sizeof magic || memcmp(bytes, magic, sizeof magic) != 0)
		return err_set(err, ERR_INVALID_ARGUMENT, "it does not begin as a .bnn file does");
	if (len_bytes < HEADER_BYTES)
		return err_set(err, ERR_INVALID_ARGUMENT, "it is cut: %zu bytes are less than its header", len_bytes);
	unsigned major = load_le16(bytes + 8), minor = load_le16(bytes + 10);
	if (major != FORMAT_MAJOR || minor > FORMAT_MINOR)
		return err_set(err, ERR_UNIMPLEMENTED, "its format is %u.%u, this version reads %d.%d", major, minor,
			FORMAT_MAJOR, FORMAT_MINOR);
	if (!all_zero(bytes + 24, 8))
		return err_set(err, ERR_UNIMPLEMENTED, "a reserved byte of its header is not zero");
	return 0;
}

static bool uses_1_1(const struct graph *g)
{
	return g->n_groups > 0 || g->n_group_factors > 0 || g->has_known;
}

/* One file has one form: the header, which the digest is not of, says neither more nor less than what is used. */
static int check_minor(const uint8_t *bytes, const struct graph *g, struct err *err)
{
	const unsigned minor = load_le16(bytes + 10), used = uses_1_1(g) ? MINOR_OF_ANSWERS : 0;
	if (minor == used)
		return 0;
	return err_set(err, ERR_INVALID_ARGUMENT, "its format is %d.%u where what is in it is %d.%u", FORMAT_MAJOR,
		minor, FORMAT_MAJOR, used);
}

static int split(const uint8_t *bytes, size_t len_bytes, struct sections *ret, struct err *err)
{
	int r = check_format(bytes, len_bytes, err);
	if (r)
		return r;
	size_t message_bytes = load_le32(bytes + 12);
	uint64_t data_bytes = load_le64(bytes + 16);
	if (message_bytes > GRAPH_MESSAGE_MAX_BYTES)
		return err_set(
			err, ERR_RESOURCE_EXHAUSTED, "its graph is larger than %d MiB", GRAPH_MESSAGE_MAX_BYTES >> 20);
	if (data_bytes > GRAPH_DATA_MAX_BYTES)
		return err_set(
			err, ERR_RESOURCE_EXHAUSTED, "its data are larger than %d MiB", GRAPH_DATA_MAX_BYTES >> 20);
	size_t message_end = HEADER_BYTES + message_bytes;
	size_t data_at = (message_end + MEM_ALIGN_BYTES - 1) / MEM_ALIGN_BYTES * MEM_ALIGN_BYTES;
	if (len_bytes != data_at + data_bytes)
		return err_set(err, ERR_INVALID_ARGUMENT, "it is %s: %zu bytes where its header says %llu",
			len_bytes < data_at + data_bytes ? "cut" : "too long", len_bytes,
			(unsigned long long)(data_at + data_bytes));
	if (!all_zero(bytes + message_end, data_at - message_end))
		return err_set(err, ERR_INVALID_ARGUMENT, "a byte between its graph and its data is not zero");
	*ret = (struct sections){bytes + HEADER_BYTES, bytes + data_at, message_bytes, data_bytes};
	return 0;
}

static int check_digest(const uint8_t *bytes, size_t len_bytes, struct err *err)
{
	SHA2_CTX sha;
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA256Init(&sha);
	SHA256Update(&sha, bytes + HEADER_BYTES, len_bytes - HEADER_BYTES);
	SHA256Final(digest, &sha);
	if (memcmp(digest, bytes + DIGEST_AT, sizeof digest) != 0)
		return err_set(err, ERR_INVALID_ARGUMENT, "its SHA-256 does not fit its content: damaged on the way?");
	return 0;
}

static void fill_info(struct bnn_model *model, const struct graph *g)
{
	const struct tensor *in = &g->tensors[g->input];
	const struct plan *plan = &model->plan;
	model->name = mem_strdup(g->card_name);
	model->card = mem_strdup(g->card_text);
	model->info = (struct bnn_info){.name = model->name,
		.card = model->card,
		.kernels = plan->kernels->name,
		.width = in->shape[1],
		.height = in->shape[0],
		.fit = g->fit,
		.image_rules = g->image_rules,
		.n_features = g->tensors[g->features].shape[2],
		.has_answers = g->has_answers,
		.temperature = g->temperature,
		.arena_bytes = plan->arena_bytes,
		.multiply_adds = plan->multiply_adds,
		.binary_multiply_adds = plan->binary_multiply_adds};
	memcpy(model->info.background, g->background, sizeof g->background);
	model->info.deviation = g->deviation;
	model->info.deviation_weight = g->deviation_weight;
	model->blank = g->blank ? mem_dup(g->blank, g->n_blank) : NULL;
	model->info.blank = model->blank;
	model->info.blank_cosine = g->blank_cosine;
	model->info.known = g->has_known ? g->known : known_of_older_files;
	for (size_t i = 0; i < BNN_REFUSE_SHARES && g->has_answers; i++) {
		model->info.deviations[i] = g->has_known ? g->deviations[i] : older_deviations(g->deviations[i]);
	}
	model->info.n_groups = g->n_groups ? (uint32_t)g->n_groups : 1;
	model->info.group_width[0] = model->info.n_features;
	model->info.group_factor[0] = 1;
	for (size_t i = 0; i < g->n_groups; i++) {
		model->info.group_width[i] = g->groups[i];
		model->info.group_factor[i] = g->n_group_factors ? g->group_factors[i] : 1;
	}
	graph_feature_id(g, model->info.feature_id);
}

static int load(const uint8_t *bytes, size_t len_bytes, bool verify_digest, const struct kernels *kernels,
	struct bnn_model **ret_model, struct err *err)
{
	struct sections s = {0};
	int r = split(bytes, len_bytes, &s, err);
	if (!r && verify_digest)
		r = check_digest(bytes, len_bytes, err);
	if (r)
		return r;
	struct graph graph;
	struct bnn_model *model = mem_zalloc(1, sizeof *model);
	r = graph_unpack(s.message, s.message_bytes, s.data, s.data_bytes, &graph, err);
	if (!r)
		r = graph_check(&graph, err);
	if (!r)
		r = check_minor(bytes, &graph, err);
	if (!r)
		r = plan_init(&model->plan, &graph, kernels, err);
	if (!r)
		fill_info(model, &graph);
	graph_deinit(&graph);
	if (r) {
		bnn_model_free(model);
		return r;
	}
	*ret_model = model;
	return 0;
}

static int choose(const struct kernels **ret_kernels, struct err *err)
{
	char names[KERNEL_NAMES_BYTES] = "";
	const char *forced = getenv("BNND_KERNELS");
	*ret_kernels = kernels_choose(forced, names, sizeof names);
	if (*ret_kernels)
		return 0;
	return err_set(err, ERR_INVALID_ARGUMENT, "BNND_KERNELS is '%.40s'; this machine has: %s", forced, names);
}

int bnn_model_from_bytes(
	const uint8_t *bytes, size_t len_bytes, bool verify_digest, struct bnn_model **ret_model, struct err *err)
{
	struct err unheard;
	const struct kernels *kernels;
	int r = choose(&kernels, err ? err : &unheard);
	return r ? r : load(bytes, len_bytes, verify_digest, kernels, ret_model, err ? err : &unheard);
}

static int open_error(const char *path, struct err *err)
{
	enum err_code code = errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND
			     : errno == EACCES || errno == EPERM ? ERR_PERMISSION_DENIED
								 : ERR_UNAVAILABLE;
	return err_set(err, code, "model %s: %s", path, strerror(errno));
}

int bnn_model_open(const char *path, struct bnn_model **ret_model, struct err *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return open_error(path, err);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0) {
		close(fd);
		return err_set(err, ERR_INVALID_ARGUMENT, "model %s: not a file, or an empty one", path);
	}
	void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	int saved = errno;
	close(fd);
	errno = saved;
	if (bytes == MAP_FAILED)
		return open_error(path, err);
	int r = bnn_model_from_bytes(bytes, (size_t)st.st_size, true, ret_model, err);
	munmap(bytes, (size_t)st.st_size);
	if (r)
		err_prefix(err, "model %s", path);
	return r;
}

void bnn_model_free(struct bnn_model *model)
{
	if (!model)
		return;
	plan_deinit(&model->plan);
	free(model->name);
	free(model->card);
	free(model->blank);
	free(model);
}

const struct bnn_info *bnn_model_info(const struct bnn_model *model)
{
	return &model->info;
}
