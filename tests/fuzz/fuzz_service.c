/* SPDX-License-Identifier: MIT */
/* tests/fuzz/fuzz_service.c: frames and requests through the whole daemon: its own loop, lanes and state, and up to four
 * clients, driven by one input. A fresh state and a fresh daemon each time.
 *
 *   STEP...     bits 0-1 which client, bit 2 do not wait for the answer, bits 3-7 what (see step); a client that is not
 *               connected is, with a proper hello
 *
 * However the clients behave: who was lawful gets one answer to each request, and afterwards the daemon is ready, lists
 * its classes, stops in order, and finds in its state what it acknowledged. */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/state/learned.h"
#include "daemon/server.h"
#include "lib/base/random.h"
#include "proto/frame.h"
#include "tests/fuzz/peer.h"

enum { PEERS = 4, STEPS_MAX = 80, PICTURE_MAX_BYTES = 4096 };

/* ---- the daemon -------------------------------------------------------------------------------------------------- */

static struct config config;
static struct bnn_model *model;
static char socket_path[96];

struct daemon {
	pthread_t thread;
	struct learned *learned;
	struct sigaction term, interrupt; /* as libFuzzer has them */
};

static void open_state(struct learned **ret_learned)
{
	const struct bnn_info *info = bnn_model_info(model);
	struct learned_options options = {.config = &config, .model_name = info->name, .n_features = info->n_features};
	struct err err;
	memcpy(options.feature_id, info->feature_id, sizeof options.feature_id);
	FUZZ_CHECK(learned_open(&options, ret_learned, &err) == 0);
}

static void *run_daemon(void *ctx)
{
	struct daemon *daemon = ctx;
	struct err err;
	struct server_parts parts = {.config = &config, .model = model, .learned = daemon->learned};
	FUZZ_CHECK(server_run(&parts, &err) == 0);
	return NULL;
}

static void start(struct daemon *daemon)
{
	const char *folder = fuzz_folder();
	struct err err;
	if (!model) {
		size_t n;
		uint8_t *bytes = fuzz_source_file("tests/vectors/models/tiny.bnn", &n);
		FUZZ_CHECK(bnn_model_from_bytes(bytes, n, true, &model, &err) == 0);
		free(bytes);
		snprintf(socket_path, sizeof socket_path, "%s/s", folder);
		struct config_overrides overrides = {.file = "/dev/null", .socket = socket_path, .state = folder};
		FUZZ_CHECK(config_load(&overrides, &config, &err) == 0);
		config.infer_threads = 1;
		config.max_classes = 6; /* so that limits are met */
		config.lesson_max_classes = 4;
		config.lesson_max_pictures = 12;
		config.samples_per_class = 5;
		config.learner.method = LEARN_METRIC; /* reads all that cwr does, and more */
	}
	sigaction(SIGTERM, NULL, &daemon->term);
	sigaction(SIGINT, NULL, &daemon->interrupt);
	open_state(&daemon->learned);
	FUZZ_CHECK(pthread_create(&daemon->thread, NULL, run_daemon, daemon) == 0);
}

static void stop(struct daemon *daemon)
{
	FUZZ_CHECK(kill(getpid(), SIGTERM) == 0);
	FUZZ_CHECK(pthread_join(daemon->thread, NULL) == 0);
	sigaction(SIGTERM, &daemon->term, NULL);
	sigaction(SIGINT, &daemon->interrupt, NULL);
	learned_close(daemon->learned);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* Everything that one request may hold, so that its parts live while it is packed. */
struct made {
	Bnnd__Request request;
	Bnnd__Picture picture;
	Bnnd__RawPicture raw;
	Bnnd__Roi roi;
	Bnnd__Refuse refuse;
	Bnnd__Guard guard;
	Bnnd__GetStatus status;
	Bnnd__Infer infer;
	Bnnd__Embed embed;
	Bnnd__Look look;
	Bnnd__LessonBegin begin;
	Bnnd__LessonAdd add;
	Bnnd__LessonCommit commit;
	Bnnd__LessonAbort abort;
	Bnnd__Classes classes;
	Bnnd__ClassDetail detail;
	Bnnd__History history;
	Bnnd__Forget forget;
	Bnnd__Rename rename;
	Bnnd__Undo undo;
	Bnnd__Rollback rollback;
	uint8_t key[16];
	uint8_t pixels[PICTURE_MAX_BYTES];
	const uint8_t *payload;
	size_t payload_bytes;
};

static ProtobufCBinaryData take_label(struct fuzz_input *input, const struct told *told)
{
	static const char *const labels[] = {"mug", "cup", "a", "b", "c", "d", "e", "f"};
	uint8_t which = fuzz_u8(input);
	size_t n;
	if (which < 224) {
		const char *label = labels[which % 8];
		return (ProtobufCBinaryData){strlen(label), (uint8_t *)label};
	}
	if (which < 240)
		return (ProtobufCBinaryData){told->label_bytes, (uint8_t *)told->label};
	const uint8_t *bytes = fuzz_bytes(input, fuzz_u8(input), &n);
	return (ProtobufCBinaryData){n, (uint8_t *)bytes};
}

/* One of few keys, so that they come again; sometimes none, or one that is cut. */
static ProtobufCBinaryData take_key(struct fuzz_input *input, struct made *m)
{
	uint8_t which = fuzz_u8(input);
	memset(m->key, 1 + which % 32, sizeof m->key);
	return (ProtobufCBinaryData){which < 128 ? sizeof m->key : which % 2 ? 0 : which % 32, m->key};
}

static Bnnd__Guard *take_guard(struct fuzz_input *input, struct made *m, const struct told *told)
{
	uint8_t which = fuzz_u8(input);
	bnnd__guard__init(&m->guard);
	m->guard.if_seq = which < 200 ? told->seq : (uint64_t)fuzz_number(input);
	return which < 128 ? NULL : &m->guard;
}

/* Mostly a raw picture of a plain colour and noise, which can be taught; else bytes as they come, or one that lies. */
static Bnnd__Picture *take_picture(struct fuzz_input *input, struct made *m)
{
	static const uint32_t turns[] = {0, 0, 0, 0, 90, 180, 270, 45};
	uint8_t how = fuzz_u8(input);
	uint64_t seed = fuzz_u8(input);
	bnnd__picture__init(&m->picture);
	bnnd__raw_picture__init(&m->raw);
	bnnd__roi__init(&m->roi);
	m->picture.rotate = turns[how % 8];
	if (how >= 240) {
		m->payload = fuzz_bytes(input, fuzz_u16(input), &m->payload_bytes);
		return how % 2 ? &m->picture : NULL;
	}
	m->raw.width = 1 + how / 8 % 5 * 4;
	m->raw.height = 1 + how / 40 * 3;
	m->raw.channels = how % 2 ? 3 : 1;
	m->payload_bytes = (size_t)m->raw.width * m->raw.height * m->raw.channels;
	uint64_t base = seed;
	for (size_t i = 0; i < m->payload_bytes; i++)
		m->pixels[i] = (uint8_t)(splitmix64_next(&seed) % 32 + base * 41 * (i % 3));
	m->payload = m->pixels;
	m->picture.raw = &m->raw;
	if (how >= 220) {
		m->roi.x = fuzz_u8(input) / 200.0;
		m->roi.y = fuzz_u8(input) / 200.0;
		m->roi.width = fuzz_u8(input) / 200.0;
		m->roi.height = fuzz_u8(input) / 200.0;
		m->picture.roi = &m->roi;
	}
	if (how >= 230)
		m->raw.height = (uint32_t)fuzz_number(input);
	return &m->picture;
}

static void make_lesson(struct fuzz_input *input, struct peer *peer, unsigned op, struct made *m)
{
	uint8_t which = op == BNND__REQUEST__OP_LESSON_BEGIN ? 0 : fuzz_u8(input);
	uint64_t lesson = which < 240 ? peer->lesson : (uint64_t)fuzz_number(input);
	switch (op) {
	case BNND__REQUEST__OP_LESSON_BEGIN:
		bnnd__lesson_begin__init(&m->begin);
		m->begin.key = take_key(input, m);
		m->begin.guard = take_guard(input, m, peer->told);
		m->begin.dry_run = m->begin.key.len && m->key[0] > 30;
		m->request.lesson_begin = &m->begin;
		break;
	case BNND__REQUEST__OP_LESSON_ADD:
		bnnd__lesson_add__init(&m->add);
		m->add.lesson = lesson;
		m->add.picture = take_picture(input, m);
		m->add.what_case = which % 8 ? BNND__LESSON_ADD__WHAT_LABEL : BNND__LESSON_ADD__WHAT_NONE;
		if (which % 8)
			m->add.label = take_label(input, peer->told);
		else
			m->add.none = which % 16 == 0;
		m->request.lesson_add = &m->add;
		break;
	case BNND__REQUEST__OP_LESSON_COMMIT:
		bnnd__lesson_commit__init(&m->commit);
		m->commit.lesson = lesson;
		m->commit.added = which < 200 ? peer->accepted : fuzz_u8(input);
		m->request.lesson_commit = &m->commit;
		break;
	default:
		bnnd__lesson_abort__init(&m->abort);
		m->abort.lesson = lesson;
		m->request.lesson_abort = &m->abort;
	}
}

static void make_change(struct fuzz_input *input, struct peer *peer, unsigned op, struct made *m)
{
	switch (op) {
	case BNND__REQUEST__OP_FORGET:
		bnnd__forget__init(&m->forget);
		m->forget.key = take_key(input, m);
		m->forget.guard = take_guard(input, m, peer->told);
		m->forget.what_case = fuzz_u8(input) % 4 ? BNND__FORGET__WHAT_LABEL : BNND__FORGET__WHAT_NONE;
		if (m->forget.what_case == BNND__FORGET__WHAT_LABEL)
			m->forget.label = take_label(input, peer->told);
		else
			m->forget.none = true;
		m->request.forget = &m->forget;
		break;
	case BNND__REQUEST__OP_RENAME:
		bnnd__rename__init(&m->rename);
		m->rename.key = take_key(input, m);
		m->rename.guard = take_guard(input, m, peer->told);
		m->rename.old_label = take_label(input, peer->told);
		m->rename.new_label = take_label(input, peer->told);
		m->request.rename = &m->rename;
		break;
	case BNND__REQUEST__OP_UNDO:
		bnnd__undo__init(&m->undo);
		m->undo.key = take_key(input, m);
		m->undo.guard = take_guard(input, m, peer->told);
		m->request.undo = &m->undo;
		break;
	default:
		bnnd__rollback__init(&m->rollback);
		m->rollback.key = take_key(input, m);
		m->rollback.guard = take_guard(input, m, peer->told);
		m->rollback.seq = (uint64_t)fuzz_number(input);
		m->request.rollback = &m->rollback;
	}
}

static void make_question(struct fuzz_input *input, struct peer *peer, unsigned op, struct made *m)
{
	static const double shares[] = {0.01, 0.02, 0.05, 0.1, 0.2, 0, -1, 7};
	switch (op) {
	case BNND__REQUEST__OP_INFER:
		bnnd__infer__init(&m->infer);
		bnnd__refuse__init(&m->refuse);
		m->infer.picture = take_picture(input, m);
		m->infer.top = fuzz_u8(input) % 12;
		m->refuse.share = shares[fuzz_u8(input) % 8];
		m->refuse.never = m->refuse.share <= 0;
		m->infer.refuse = m->infer.top % 2 ? &m->refuse : NULL;
		m->request.infer = &m->infer;
		break;
	case BNND__REQUEST__OP_EMBED:
		bnnd__embed__init(&m->embed);
		m->embed.picture = take_picture(input, m);
		m->request.embed = &m->embed;
		break;
	case BNND__REQUEST__OP_LOOK:
		bnnd__look__init(&m->look);
		m->look.picture = take_picture(input, m);
		m->request.look = &m->look;
		break;
	case BNND__REQUEST__OP_CLASSES:
		bnnd__classes__init(&m->classes);
		m->classes.after = take_label(input, peer->told);
		m->classes.limit = (uint32_t)fuzz_number(input);
		m->request.classes = &m->classes;
		break;
	case BNND__REQUEST__OP_CLASS_DETAIL:
		bnnd__class_detail__init(&m->detail);
		m->detail.none = fuzz_u8(input) % 4 == 0;
		if (!m->detail.none)
			m->detail.label = take_label(input, peer->told);
		m->request.class_detail = &m->detail;
		break;
	case BNND__REQUEST__OP_HISTORY:
		bnnd__history__init(&m->history);
		m->history.before_seq = fuzz_u8(input) % 2 ? peer->told->before_seq : (uint64_t)fuzz_number(input);
		m->history.limit = (uint32_t)fuzz_number(input);
		m->request.history = &m->history;
		break;
	default:
		bnnd__get_status__init(&m->status);
		m->request.status = &m->status;
	}
}

static void ask(struct fuzz_input *input, struct peer *peer, unsigned op)
{
	static struct made m;
	static uint8_t body[FRAME_BODY_MAX_BYTES];
	bnnd__request__init(&m.request);
	m.request.op_case = (Bnnd__Request__OpCase)op;
	m.payload_bytes = 0;
	m.payload = m.pixels;
	if (op >= BNND__REQUEST__OP_LESSON_BEGIN && op <= BNND__REQUEST__OP_LESSON_ABORT)
		make_lesson(input, peer, op, &m);
	else if (op >= BNND__REQUEST__OP_FORGET)
		make_change(input, peer, op, &m);
	else
		make_question(input, peer, op, &m);
	size_t n = bnnd__request__pack(&m.request, body);
	peer_ask(peer, body, n, m.payload, m.payload_bytes);
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* A proper frame, whose body and payload are anything. */
static void ask_bytes(struct fuzz_input *input, struct peer *peer)
{
	size_t body_n, payload_n, want_body = fuzz_u16(input), want_payload = fuzz_u8(input);
	const uint8_t *body = fuzz_bytes(input, want_body, &body_n);
	const uint8_t *payload = fuzz_bytes(input, want_payload, &payload_n);
	peer_ask(peer, body, body_n, payload, payload_n);
}

static void send_cancel(struct fuzz_input *input, struct peer *peer)
{
	uint8_t header[FRAME_HEADER_BYTES];
	frame_header_encode(
		&(struct frame_header){.request_id = peer->last_id - fuzz_u8(input) % 4, .kind = FRAME_CANCEL}, header);
	peer_send(peer, header, sizeof header);
}

static void send_bytes(struct fuzz_input *input, struct peer *peer)
{
	size_t n;
	const uint8_t *bytes = fuzz_bytes(input, fuzz_u16(input), &n);
	peer->lawful = false;
	peer_send(peer, bytes, n);
}

/* Any header, and less behind it than it says. */
static void send_header(struct fuzz_input *input, struct peer *peer)
{
	uint8_t header[FRAME_HEADER_BYTES];
	const uint32_t words[4] = {(uint32_t)fuzz_number(input), (uint32_t)fuzz_number(input),
		(uint32_t)fuzz_number(input), (uint32_t)(fuzz_u8(input) % 8) << 16 | fuzz_u8(input) % 4};
	for (size_t i = 0; i < sizeof header; i++)
		header[i] = (uint8_t)(words[i / 4] >> (24 - 8 * (i % 4)));
	peer->lawful = false;
	peer_send(peer, header, sizeof header);
	send_bytes(input, peer);
}

static void step(struct fuzz_input *input, struct peer *peers)
{
	enum { OPEN, CLOSE, WAIT, CANCEL, END_WRITING, BYTES, HEADER, ASK_BYTES, FIRST_ASKED, ADDS = 23, BEGINS = 28 };
	uint8_t how = fuzz_u8(input);
	struct peer *peer = &peers[how % PEERS];
	unsigned what = how >> 3;
	if (what == OPEN) {
		uint8_t hello = fuzz_u8(input);
		peer_open(peer, socket_path, hello < 200 ? PROTOCOL_MAJOR : hello < 225 ? -1 : hello);
		return;
	}
	if (peer->fd < 0)
		peer_open(peer, socket_path, PROTOCOL_MAJOR);
	switch (what) {
	case CLOSE:
		peer_close(peer);
		return;
	case WAIT:
		peer_wait(peer);
		return;
	case CANCEL:
		send_cancel(input, peer);
		break;
	case END_WRITING:
		peer_end_writing(peer);
		break;
	case BYTES:
		send_bytes(input, peer);
		break;
	case HEADER:
		send_header(input, peer);
		break;
	case ASK_BYTES:
		ask_bytes(input, peer);
		break;
	default:
		ask(input, peer,
			what < ADDS     ? BNND__REQUEST__OP_STATUS + what - FIRST_ASKED
			: what < BEGINS ? BNND__REQUEST__OP_LESSON_ADD
			: what % 2      ? BNND__REQUEST__OP_LESSON_COMMIT
					: BNND__REQUEST__OP_LESSON_BEGIN);
	}
	if (!(how & 4))
		peer_wait(peer);
}

/* ---- afterwards -------------------------------------------------------------------------------------------------- */

/* Somebody new is served: status, and all pages of the classes. */
static void check_alive(struct told *told)
{
	struct peer peer = {.fd = -1, .told = told};
	struct fuzz_input nothing = {NULL, 0};
	uint8_t body[256];
	peer_open_patiently(&peer, socket_path);
	ask(&nothing, &peer, BNND__REQUEST__OP_STATUS);
	peer_wait(&peer);
	FUZZ_CHECK(peer.status == 0);
	told_forget_classes(told);
	do {
		Bnnd__Classes classes = BNND__CLASSES__INIT;
		Bnnd__Request request = BNND__REQUEST__INIT;
		classes.after = (ProtobufCBinaryData){told->label_bytes, told->label};
		classes.limit = 2;
		request.op_case = BNND__REQUEST__OP_CLASSES;
		request.classes = &classes;
		peer_ask(&peer, body, bnnd__request__pack(&request, body), NULL, 0);
		peer_wait(&peer);
		FUZZ_CHECK(peer.status == 0);
	} while (told->more);
	peer_close(&peer);
}

static void check_state(const struct told *told)
{
	struct learned *learned;
	open_state(&learned);
	struct snapshot *snapshot = learned_snapshot(learned);
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	FUZZ_CHECK(out);
	if (snapshot->none)
		fprintf(out, "\n");
	for (size_t i = 0; i < snapshot->n_classes; i++) {
		const struct label *label = &snapshot->classes[i]->label;
		fprintf(out, "%.*s\n", (int)label->len_bytes, (const char *)label->bytes);
	}
	fclose(out);
	FUZZ_CHECK(snapshot->n_reasons == 0 && snapshot->writable && snapshot->seq >= told->seq);
	if (!told->open_end)
		FUZZ_CHECK(n == told->classes_n && (n == 0 || memcmp(text, told->classes, n) == 0));
	free(text);
	snapshot_unref(snapshot);
	learned_close(learned);
}

static void print_line(void *ctx, enum store_line line, const char *sentence)
{
	(void)ctx;
	if (line == STORE_FINDS)
		fprintf(stderr, "%s\n", sentence);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct fuzz_input input = {bytes, n};
	struct told told = {0};
	struct peer peers[PEERS];
	struct daemon daemon;
	struct err err;
	start(&daemon);
	for (int i = 0; i < PEERS; i++)
		peers[i] = (struct peer){.fd = -1, .told = &told};
	for (int i = 0; i < STEPS_MAX && input.left; i++)
		step(&input, peers);
	for (int i = 0; i < PEERS; i++) {
		if (peers[i].lawful)
			peer_wait(&peers[i]);
		peer_close(&peers[i]);
	}
	check_alive(&told);
	stop(&daemon);
	check_state(&told);
	if (told.seq > 0)
		FUZZ_CHECK(store_check(config.state_dir, print_line, NULL, &err) == 0);
	told_forget_classes(&told);
	return 0;
}
