/* SPDX-License-Identifier: MIT */
/* tests/fuzz/test_state_bits.c: any bit of a state file flips, and the daemon uses the file all the same.
 *
 *   test_state_bits random COUNT [SEED]      COUNT bits at random
 *   test_state_bits all [FIRST [STRIDE]]     every STRIDE-th bit from FIRST on; goes on where another run stopped
 *
 * A state with every kind of change and item is made once. Each flip then is opened, loaded, asked, taught, renamed,
 * undone, rolled back, closed and opened again, in a child process. It must end in the same facts, in a state that says
 * why it is degraded, or in an error with a sentence: never in a crash, a hang or silently in other facts. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/state/teach.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/base/require.h"
#include "tests/testlib/labels.h"

enum {
	D = 8,
	BITS_A_CHILD = 512,
	CHILDREN_A_REPORT = 16,
	HANG_S = 60,     /* of wall time, on a loaded machine under sanitizers */
	START_MAX_S = 5, /* of CPU time until loaded; the release build needs below 1 */
	SHOWN_MAX = 40,
	PICTURES_MAX = 8,
};

enum outcome { SAME, DEGRADED, REFUSED, OTHER_FACTS, SLOW, CRASHED, N_OUTCOMES };
static const char *const outcome_names[] = {"same facts", "degraded with why", "refused with a sentence",
	"SILENTLY OTHER FACTS", "SLOW START", "CRASH OR HANG"};

static struct shared { /* between parent and child */
	uint64_t bit;  /* that is tried now */
	uint64_t count[N_OUTCOMES];
	double slowest_s;
	uint64_t slowest_bit;
	char what[400]; /* how the last one ended */
} * shared;

static char dir[64], db_path[128];
static struct config config;
static uint8_t *file; /* the whole file */
static size_t file_bytes;

static const uint8_t known_key[STORE_KEY_BYTES] = "a key, 16 bytes";
static const struct change_guard plain;

static int try_open(struct learned **ret, struct err *err)
{
	struct learned_options options = {.config = &config, .model_name = "tiny", .n_features = D};
	memset(options.feature_id, 7, sizeof options.feature_id);
	return learned_open(&options, ret, err);
}

static int teach(
	struct learned *learned, const char *name, uint32_t from, uint32_t n, const uint8_t *key, struct err *err)
{
	struct teach_class class = {.label = label_of(name)};
	int8_t q[PICTURES_MAX * D];
	uint32_t y[PICTURES_MAX] = {0};
	uint8_t digests[PICTURES_MAX][DIGEST_BYTES];
	uint64_t seed = from;
	for (const char *c = name; *c; c++)
		seed = seed * 131 + (uint8_t)*c;
	for (uint32_t i = 0; i < n * D; i++)
		q[i] = (int8_t)((int)splitmix64_below(&seed, 201) - 100);
	for (uint32_t i = 0; i < n * DIGEST_BYTES; i++)
		digests[i / DIGEST_BYTES][i % DIGEST_BYTES] = (uint8_t)splitmix64_next(&seed);
	struct teach_work work = {.n_classes = 1,
		.classes = &class,
		.n = n,
		.q = q,
		.y = y,
		.digests = (const uint8_t(*)[DIGEST_BYTES])digests};
	struct change_guard guard = {.key = key};
	struct change_outcome outcome = {0};
	int r = learned_teach(learned, &work, &guard, NULL, NULL, &outcome, err);
	change_outcome_deinit(&outcome);
	return r;
}

static int rename_class(struct learned *learned, const char *from, const char *to, struct err *err)
{
	struct label a = label_of(from), b = label_of(to);
	struct change_outcome outcome = {0};
	int r = learned_rename(learned, &a, &b, &plain, &outcome, err);
	change_outcome_deinit(&outcome);
	return r;
}

static int forget(struct learned *learned, const char *name, struct err *err)
{
	struct label label = label_of(name);
	struct change_outcome outcome = {0};
	int r = learned_forget(learned, &label, &plain, &outcome, err);
	change_outcome_deinit(&outcome);
	return r;
}

static int undo(struct learned *learned, struct err *err)
{
	struct change_outcome outcome = {0};
	int r = learned_undo(learned, &plain, &outcome, err);
	change_outcome_deinit(&outcome);
	return r;
}

static int rollback(struct learned *learned, uint64_t seq, struct err *err)
{
	struct change_outcome outcome = {0};
	int r = learned_rollback(learned, seq, &plain, &outcome, err);
	change_outcome_deinit(&outcome);
	return r;
}

static void count_key(void *ctx, const uint8_t key[STORE_KEY_BYTES])
{
	*(uint64_t *)ctx += key[0] + 1;
}

/* ---- facts ---- */

static void print_history(FILE *out, const struct snapshot *s)
{
	for (size_t i = 0; i < s->n_history; i++) {
		const struct change_entry *e = s->history[i].entry;
		fprintf(out, "change %llu %s undone %d restored %llu known %u hint '%s'", (unsigned long long)e->seq,
			store_op_name(e->op), s->history[i].undone, (unsigned long long)e->restored_seq,
			e->already_known, e->hint ? e->hint : "");
		for (size_t k = 0; k < e->n_classes; k++)
			fprintf(out, " %u %.*s(%u,%d)", e->classes[k].id, e->classes[k].label.len_bytes,
				e->classes[k].label.bytes, e->classes[k].samples, e->classes[k].is_new);
		fprintf(out, " -> %.*s\n", e->new_label.len_bytes, e->new_label.bytes);
	}
}

static void print_answers(FILE *out, const struct snapshot *s)
{
	struct learn_answer_constants constants = {
		.temperature = 10, .pair_cosine = 0.3, .deviations = 1, .deviation = 0.1, .deviation_weight = 4};
	uint64_t seed = 3;
	for (int i = 0; i < 3; i++) {
		struct learn_answer answer;
		int8_t q[D];
		for (size_t k = 0; k < D; k++)
			q[k] = (int8_t)((int)splitmix64_below(&seed, 201) - 100);
		learn_head_answer(s->head, q, &constants, &answer);
		fprintf(out, "known %d threshold %.17g unknown %.17g", answer.known, answer.threshold,
			answer.unknown_score);
		for (size_t k = 0; k < answer.n_top; k++)
			fprintf(out, " %u %.17g", answer.top[k].id, answer.top[k].cosine);
		fprintf(out, "\n");
	}
}

/* Everything that a client could learn of it. *ret_reasons: is it degraded? */
static char *facts(struct learned *learned, size_t *ret_reasons)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct snapshot *s = learned_snapshot(learned);
	fprintf(out, "seq %llu\n", (unsigned long long)s->seq);
	for (size_t i = 0; i < s->n_classes + (s->none ? 1 : 0); i++) {
		const struct class_entry *c = i < s->n_classes ? s->classes[i] : s->none;
		fprintf(out, "class %u %.*s samples %llu:", c->id, c->label.len_bytes, c->label.bytes,
			(unsigned long long)class_samples(c));
		for (const struct class_lesson *l = c->newest; l; l = l->before)
			fprintf(out, " %llu/%u", (unsigned long long)l->seq, l->samples);
		for (size_t k = 0; k < c->n_digests; k++)
			fprintf(out, " %02x%02x", c->digests[k][0], c->digests[k][15]);
		fprintf(out, "\n");
		REQUIRE(snapshot_by_id(s, c->id) == c);
	}
	print_history(out, s);
	print_answers(out, s);
	for (size_t i = 0; i < s->n_reasons; i++)
		REQUIRE(s->reasons[i][0] != '\0');
	REQUIRE(s->writable || s->n_reasons > 0);
	*ret_reasons = s->n_reasons;
	snprintf(shared->what, sizeof shared->what, "%s", s->n_reasons ? s->reasons[0] : "");
	snapshot_unref(s);
	fclose(out);
	return text;
}

/* ---- one flip ---- */

/* Everything that a client may ask for. Errors are fine, if they say something. */
static void use(struct learned *learned)
{
	struct change_outcome outcome = {0};
	uint64_t keys = 0;
	struct err err[9] = {0};
	int r[9] = {
		learned_keys(learned, count_key, &keys, &err[0]),
		teach(learned, "anew", 1000, 3, NULL, &err[1]),
		teach(learned, "mug", 2000, 3, (const uint8_t *)"another, 16 byte", &err[2]),
		undo(learned, &err[3]),
		undo(learned, &err[4]),
		rename_class(learned, "mug", "beaker", &err[5]),
		rollback(learned, 3, &err[6]),
		forget(learned, "mug", &err[7]),
	};
	r[8] = learned_find_key(learned, known_key, &outcome, &err[8]);
	change_outcome_deinit(&outcome);
	for (size_t i = 0; i < sizeof r / sizeof *r; i++)
		REQUIRE(r[i] >= 0 || err[i].text[0] != '\0');
}

static double cpu_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void write_whole(const char *path, const void *data, size_t n)
{
	FILE *out = fopen(path, "we");
	REQUIRE(out && fwrite(data, 1, n, out) == n && fclose(out) == 0);
}

static void put_file(void)
{
	char path[160];
	snprintf(path, sizeof path, "%s-wal", db_path);
	write_whole(path, "", 0); /* as an orderly stop leaves it */
	write_whole(db_path, file, file_bytes);
}

/* ret_facts: at the start, and at the end of use(); kept when the pointers are NULL, compared when they are not. */
static enum outcome try_state(char *known[2])
{
	struct learned *learned = NULL;
	struct err err = {0};
	size_t degraded = 0, degraded_then = 0;
	put_file();
	double began = cpu_s();
	if (try_open(&learned, &err) < 0) {
		snprintf(shared->what, sizeof shared->what, "%s", err.text);
		return err.text[0] ? REFUSED : OTHER_FACTS;
	}
	double took = cpu_s() - began;
	if (took > shared->slowest_s) {
		shared->slowest_s = took;
		shared->slowest_bit = shared->bit;
	}
	char *now[2] = {facts(learned, &degraded), NULL};
	use(learned);
	now[1] = facts(learned, &degraded_then);
	learned_close(learned);
	enum outcome outcome = took > START_MAX_S ? SLOW : degraded || degraded_then ? DEGRADED : SAME;
	for (int i = 0; i < 2; i++) {
		if (!known[i])
			known[i] = mem_strdup(now[i]);
		if ((i ? degraded_then : degraded) == 0 && !degraded && strcmp(known[i], now[i]) != 0) {
			outcome = OTHER_FACTS;
			snprintf(shared->what, sizeof shared->what, "%s", i ? "after use" : "at start");
			if (getenv("BNND_BITS_SHOW"))
				printf("--- expected\n%s--- found\n%s", known[i], now[i]);
		}
		free(now[i]);
	}
	if (try_open(&learned, &err) == 0) /* what it left can be opened, too */
		learned_close(learned);
	return outcome;
}

/* ---- all of them ---- */

static uint64_t (*next_bit)(uint64_t number);
static uint64_t n_bits, first, stride = 1, seed = 1;

static uint64_t next_of_all(uint64_t number)
{
	return first + number * stride;
}

static uint64_t next_random(uint64_t number)
{
	uint64_t state = seed * 1000003 + number;
	return splitmix64_next(&state) % n_bits;
}

static void show(enum outcome outcome, uint64_t number)
{
	static int shown;
	shared->count[outcome]++;
	if (outcome >= OTHER_FACTS && shown++ < SHOWN_MAX)
		printf("%s: bit %llu (byte %llu of page %llu, bit %u), number %llu: %s\n", outcome_names[outcome],
			(unsigned long long)shared->bit, (unsigned long long)(shared->bit / 8 % 4096),
			(unsigned long long)(shared->bit / 8 / 4096 + 1), (unsigned)(shared->bit % 8),
			(unsigned long long)number, shared->what);
	fflush(stdout);
}

static void run_child(char *known[2], uint64_t from, uint64_t to, uint64_t *ret_number)
{
	for (uint64_t number = from; number < to; number++) {
		*ret_number = number;
		shared->bit = next_bit(number);
		alarm(HANG_S);
		file[shared->bit / 8] ^= (uint8_t)(1u << shared->bit % 8);
		enum outcome outcome = try_state(known);
		file[shared->bit / 8] ^= (uint8_t)(1u << shared->bit % 8);
		show(outcome, number);
	}
	*ret_number = to;
}

/* A child for some of them; when it dies, the next goes on behind what killed it. */
static void run_all(char *known[2], uint64_t n)
{
	uint64_t *number = mmap(NULL, sizeof *number, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(number != MAP_FAILED);
	for (uint64_t from = 0; from < n;) {
		uint64_t to = from + BITS_A_CHILD < n ? from + BITS_A_CHILD : n;
		int status = 0;
		fflush(stdout);
		pid_t child = fork();
		REQUIRE(child >= 0);
		if (child == 0) {
			run_child(known, from, to, number);
			exit(0);
		}
		REQUIRE(waitpid(child, &status, 0) == child);
		if (status != 0) {
			snprintf(shared->what, sizeof shared->what, "wait status 0x%x", (unsigned)status);
			show(CRASHED, *number);
			from = *number + 1;
		} else {
			from = to;
		}
		if (from / BITS_A_CHILD % CHILDREN_A_REPORT == 0) {
			printf("%llu of %llu done\n", (unsigned long long)from, (unsigned long long)n);
			fflush(stdout);
		}
	}
}

/* Every kind of change and item, living and dead; long labels, so that pages are full. */
static void make_state(void)
{
	struct learned *learned = NULL;
	struct err err = {0};
	char name[100], other[LABEL_MAX_BYTES + 1];
	REQUIRE(try_open(&learned, &err) == 0);
	REQUIRE(teach(learned, "mug", 0, 3, known_key, &err) == 0 && teach(learned, "", 10, 2, NULL, &err) == 0);
	for (unsigned i = 0; i < 5; i++) {
		uint8_t key[STORE_KEY_BYTES] = {(uint8_t)(i + 1), 0x55, 0xaa};
		snprintf(name, sizeof name, "a thing with a long name, of which there are some: number %u", i);
		snprintf(other, sizeof other, "%s, called otherwise", name);
		REQUIRE(teach(learned, name, 20 + i, 4, i % 2 ? key : NULL, &err) == 0);
		REQUIRE(rename_class(learned, name, other, &err) == 0 && undo(learned, &err) == 0);
		REQUIRE(teach(learned, "mug", 40 + i, 2, key, &err) == 0);
	}
	REQUIRE(forget(learned, name, &err) == 0 && undo(learned, &err) == 0 && undo(learned, &err) == 0);
	REQUIRE(rollback(learned, 18, &err) == 0 && rollback(learned, 12, &err) == 0);
	REQUIRE(rename_class(learned, "mug", "cup", &err) == 0 && rename_class(learned, "cup", "mug", &err) == 0);
	learned_close(learned);
	FILE *in = fopen(db_path, "re");
	REQUIRE(in && fseek(in, 0, SEEK_END) == 0);
	file_bytes = (size_t)ftell(in);
	file = mem_zalloc(1, file_bytes);
	rewind(in);
	REQUIRE(fread(file, 1, file_bytes, in) == file_bytes);
	fclose(in);
}

int main(int argc, char **argv)
{
	char *known[2] = {NULL, NULL}, command[128];
	bool all = argc >= 2 && strcmp(argv[1], "all") == 0;
	if (!all && !(argc >= 3 && strcmp(argv[1], "random") == 0)) {
		fprintf(stderr, "usage: %s random COUNT [SEED] | all [FIRST [STRIDE]]\n", argv[0]);
		return 2;
	}
	snprintf(dir, sizeof dir, "%s/bnnd-bits-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	REQUIRE(mkdtemp(dir));
	snprintf(db_path, sizeof db_path, "%s/state-0707070707070707.db", dir);
	config = (struct config){
		.state_dir = dir, .keep = CONFIG_KEEP_FEATURES, .max_classes = 40, .samples_per_class = 5};
	learn_settings_preset(LEARN_DEFAULT, &config.learner);
	config.learner.method = LEARN_METRIC; /* reads all that cwr does, and more */
	config.learner.epochs = 1;
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(shared != MAP_FAILED);
	make_state();
	n_bits = 8 * (uint64_t)file_bytes;
	REQUIRE(try_state(known) == SAME); /* nothing flipped: what is known */

	uint64_t n = strtoull(argv[2] ? argv[2] : "0", NULL, 10);
	if (all) {
		first = n;
		stride = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
		n = stride > 0 && first < n_bits ? (n_bits - first + stride - 1) / stride : 0;
		next_bit = next_of_all;
	} else {
		seed = argc > 3 ? strtoull(argv[3], NULL, 10) : seed;
		next_bit = next_random;
	}
	shared->slowest_s = 0;
	run_all(known, n);
	printf("%llu flips of %llu bits in %zu bytes\n", (unsigned long long)n, (unsigned long long)n_bits, file_bytes);
	for (int i = 0; i < N_OUTCOMES; i++)
		printf("%10llu %s\n", (unsigned long long)shared->count[i], outcome_names[i]);
	printf("slowest start: %.3f s of CPU time (bit %llu)\n", shared->slowest_s,
		(unsigned long long)shared->slowest_bit);
	snprintf(command, sizeof command, "rm -r '%s'", dir);
	int r = system(command);
	free(known[0]);
	free(known[1]);
	free(file);
	return r == 0 && n > 0 && shared->count[OTHER_FACTS] + shared->count[SLOW] + shared->count[CRASHED] == 0 ? 0
														 : 1;
}
