/* SPDX-License-Identifier: MIT */
/* bnnd.h: talk to bnnd, the daemon that is taught classes of pictures and asked about pictures.
 *
 * The simplest program:
 *
 *	struct bnnd_conn *conn;
 *	struct bnnd_error err;
 *	struct bnnd_answer answer;
 *	if (bnnd_connect(NULL, &conn, &err) < 0 ||
 *	    bnnd_infer(conn, &(struct bnnd_picture){.data = jpeg, .len_bytes = n}, NULL, &answer, &err) < 0)
 *		printf("%s\n", err.message);
 *	else
 *		printf("%s\n", answer.known ? answer.label : "unknown");
 *	bnnd_close(conn);
 *
 * and teaching it a class over the same connection (each picture is answered before the next is sent; see
 * bnnd_lesson_options for the fast way):
 *
 *	struct bnnd_lesson *lesson;
 *	struct bnnd_change *change = NULL;
 *	int r = bnnd_lesson_begin(conn, NULL, &lesson, NULL, &err);
 *	for (size_t i = 0; r >= 0 && i < n_pictures; i++)
 *		r = bnnd_lesson_add(lesson, "mug", &pictures[i], 0, &err);
 *	if (r >= 0)
 *		r = bnnd_lesson_commit(lesson, &change, &err);
 *	else
 *		bnnd_lesson_abort(lesson);
 *	if (r < 0)
 *		printf("%s\n", err.message);
 *	bnnd_free(change);
 *
 * Results. 0 is success. A negative result is minus one of enum bnnd_code; *err then has the sentence for people. A
 * positive result is one of the function's own outcomes, described with it. err may be NULL. A pointer in ret_... is NULL
 * unless the call succeeded, so that what releases it (bnnd_close, bnnd_free, bnnd_lesson_abort) may be called in any
 * case; other results in ret_... are written on success only.
 *
 * Lifetimes. Structures that the caller passes in (answers, errors) are plain memory. What a function returns by a
 * pointer it allocated is one block with everything in it: release it with bnnd_free. Pictures are borrowed for the
 * length of the call; when it returns the memory is the caller's to reuse.
 *
 * Threads. One connection belongs to one thread at a time; several connections are independent. No global state, no
 * signals (SIGPIPE is never raised), no threads of its own. Descriptors are close-on-exec: after fork() use the
 * connection in one of the two processes only.
 *
 * Waiting. Every call returns within the connection's timeout (30 s; bnnd_set_timeout), but for the 1 s in which it
 * hears the daemon's own "too late". "Busy" answers with an advice when to ask again are followed inside that time.
 *
 * A lost connection (err.origin BNND_ORIGIN_LOST) stays lost: every further call fails at once; bnnd_close it and
 * connect again. A change whose reply was lost may have been made: ask again with the same key (bnnd_key_random), which
 * never does it twice.
 */
#ifndef BNND_H
#define BNND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BNND_API            __attribute__((visibility("default")))
#define BNND_DEFAULT_SOCKET "/run/bnnd/bnnd.sock"

enum {
	BNND_LABEL_MAX_BYTES = 128,
	BNND_KEY_BYTES = 16,
	BNND_TOP_MAX = 10,
	BNND_DEFAULT_TIMEOUT_MS = 30000,
};

/* The canonical gRPC numbers. */
enum bnnd_code {
	BNND_CANCELLED = 1,
	BNND_UNKNOWN_ERROR = 2,
	BNND_INVALID_ARGUMENT = 3,  /* a broken picture, a bad label: asking again does not help */
	BNND_DEADLINE_EXCEEDED = 4, /* not done in time; a commit may be done all the same */
	BNND_NOT_FOUND = 5,         /* no such class or change */
	BNND_ALREADY_EXISTS = 6,
	BNND_PERMISSION_DENIED = 7,
	BNND_RESOURCE_EXHAUSTED = 8,  /* busy (retry_after_ms), or a limit was met (limit) */
	BNND_FAILED_PRECONDITION = 9, /* not now, not in this state */
	BNND_ABORTED = 10,            /* if_seq: somebody else changed something; a key in use elsewhere */
	BNND_OUT_OF_RANGE = 11,
	BNND_UNIMPLEMENTED = 12, /* the daemon is older than this library */
	BNND_INTERNAL = 13,
	BNND_UNAVAILABLE = 14, /* no daemon, a lost connection, or a daemon that cannot write */
	BNND_DATA_LOSS = 15,
};
/* "INVALID_ARGUMENT" and so on; "UNKNOWN" for a number that is none. Static string. */
BNND_API const char *bnnd_code_name(int code);

enum bnnd_origin {
	BNND_ORIGIN_CALL = 0, /* refused by this library: the arguments, or out of time */
	BNND_ORIGIN_DAEMON,   /* the daemon answered so; the connection is fine unless a call says otherwise */
	BNND_ORIGIN_CONNECT,  /* no connection came about: no daemon, no permission, not a bnnd */
	BNND_ORIGIN_LOST,     /* the connection ended or broke: close it */
};

struct bnnd_error {
	int code; /* enum bnnd_code */
	enum bnnd_origin origin;
	int sys_errno;           /* BNND_ORIGIN_CONNECT, BNND_ORIGIN_LOST: what the system said, or 0 */
	uint32_t retry_after_ms; /* 0: no advice */
	uint64_t limit;          /* the limit that was met, 0: none */
	char field[48];          /* what was wrong: "label", "picture.roi"; "": nothing in particular */
	char message[512];       /* a sentence, printable UTF-8, no newline */
};

/* Releases what a function of this library returned in a ret_... pointer. NULL allowed. */
BNND_API void bnnd_free(void *result);

/* ---- connection ----------------------------------------------------------------------------------------------- */

struct bnnd_conn;

/* Connects and exchanges hellos. path NULL: the environment's BNND_SOCKET, else BNND_DEFAULT_SOCKET.
 * Errors: BNND_UNAVAILABLE (nobody answers there; err.sys_errno ENOENT, ECONNREFUSED), BNND_PERMISSION_DENIED,
 * BNND_INVALID_ARGUMENT (path too long), BNND_FAILED_PRECONDITION (another protocol version),
 * BNND_DEADLINE_EXCEEDED. */
BNND_API int bnnd_connect(const char *path, struct bnnd_conn **ret_conn, struct bnnd_error *err);

struct bnnd_connect_options {
	uint32_t timeout_ms;  /* for this and later calls; 0: BNND_DEFAULT_TIMEOUT_MS, BNND_NO_TIMEOUT: for ever */
	const char *software; /* who you are, for the daemon's log; NULL: "libbnnd VERSION" */
};
#define BNND_NO_TIMEOUT UINT32_MAX
BNND_API int bnnd_connect_with(const char *path, const struct bnnd_connect_options *options,
	struct bnnd_conn **ret_conn, struct bnnd_error *err);
/* The same over a connected stream socket, which the connection owns from now on, also when this fails. */
BNND_API int bnnd_connect_fd(
	int fd, const struct bnnd_connect_options *options, struct bnnd_conn **ret_conn, struct bnnd_error *err);
/* Ends the connection; an open lesson is dropped by the daemon and its handle is gone. NULL allowed. */
BNND_API void bnnd_close(struct bnnd_conn *conn);

/* For each later call, its retries included. BNND_NO_TIMEOUT: wait for ever. */
BNND_API void bnnd_set_timeout(struct bnnd_conn *conn, uint32_t timeout_ms);

struct bnnd_model {
	char name[128];
	uint8_t feature_id[32]; /* what was learned belongs to this backbone */
	uint32_t features;      /* numbers in a feature vector */
	uint32_t width, height; /* of the network's input */
	char fit[16];           /* "cover", "contain", "stretch" */
};

struct bnnd_hello {
	uint32_t major, minor; /* of the protocol, as the daemon speaks it */
	char software[64];
	struct bnnd_model model;
	char role[8];                                     /* "use", "teach", "admin" */
	uint64_t seq;                                     /* of the newest change, when the connection was made */
	uint32_t payload_max_bytes;                       /* the largest picture */
	uint32_t in_flight;                               /* requests at once on a connection */
	uint32_t lesson_max_pictures, lesson_max_classes; /* of one lesson */
	uint32_t lesson_idle_ms;                          /* an open lesson that waits longer is dropped */
	uint32_t max_classes;
};
/* What the daemon said of itself; lives as long as the connection. */
BNND_API const struct bnnd_hello *bnnd_hello(const struct bnnd_conn *conn);
/* The descriptor, for poll() (has the daemon gone?); never read or write it. */
BNND_API int bnnd_fd(const struct bnnd_conn *conn);

/* ---- pictures and answers ------------------------------------------------------------------------------------- */

struct bnnd_picture {
	const void *data;
	size_t len_bytes;
	/* All 0: data is a whole JPEG or PNG file. Else height x width x channels bytes, rows packed, 1 grey, 3 R G B. */
	uint32_t raw_width, raw_height, raw_channels;
	uint32_t rotate; /* degrees clockwise before anything else: 0, 90, 180, 270 */
	bool has_roi;    /* use a part of the (rotated) picture only: fractions of its width and height */
	double roi_x, roi_y, roi_width, roi_height;
};

#define BNND_REFUSE_NEVER (-1.0)

struct bnnd_infer_options {
	uint32_t top; /* labels wanted, 0: 3; at most BNND_TOP_MAX */
	/* Share of known pictures refused: 0.01, 0.02, 0.05, 0.10, 0.20; BNND_REFUSE_NEVER: the class ranked first is always
	 * the answer; 0: the daemon's default. */
	double refuse;
};

struct bnnd_scored {
	char label[BNND_LABEL_MAX_BYTES + 1]; /* "" with none */
	bool none;                            /* the class of negatives */
	double score;
	double cosine;
};

enum bnnd_reason { BNND_KNOWN = 0, BNND_UNKNOWN, BNND_NONE /* looks like the negatives that were taught */ };

struct bnnd_times { /* microseconds in the daemon; total: from the last byte of the request to the reply */
	uint32_t queue, image, backbone, head, total;
};

struct bnnd_answer {
	bool known;
	char label[BNND_LABEL_MAX_BYTES + 1]; /* "" unless known */
	enum bnnd_reason reason;
	double unknown_score;
	double margin; /* between the first two of top */
	uint32_t n_top;
	struct bnnd_scored top[BNND_TOP_MAX]; /* the best first; empty when nothing is taught */
	uint64_t seq;                         /* of the learned state that answered */
	struct bnnd_times us;
};

/* What is this? options NULL: defaults. A picture of nothing that was taught is no error: known is false. */
BNND_API int bnnd_infer(struct bnnd_conn *conn, const struct bnnd_picture *picture,
	const struct bnnd_infer_options *options, struct bnnd_answer *ret_answer, struct bnnd_error *err);

struct bnnd_embedding {
	size_t n;
	const int8_t *features; /* value times 64 */
	struct bnnd_times us;
};
/* The feature vector that the learner sees; bnnd_free it. */
BNND_API int bnnd_embed(struct bnnd_conn *conn, const struct bnnd_picture *picture,
	struct bnnd_embedding **ret_embedding, struct bnnd_error *err);

struct bnnd_look {
	uint32_t width, height;
	size_t png_bytes;
	const uint8_t *png;
};
/* Exactly what the network sees of a picture, as a PNG file; bnnd_free it. */
BNND_API int bnnd_look(struct bnnd_conn *conn, const struct bnnd_picture *picture, struct bnnd_look **ret_look,
	struct bnnd_error *err);

/* ---- what a change did ---------------------------------------------------------------------------------------- */

struct bnnd_taught {
	char label[BNND_LABEL_MAX_BYTES + 1]; /* "" with none */
	bool none;
	uint32_t samples;
	bool is_new;
};

struct bnnd_history_entry {
	uint64_t seq;
	int64_t time_ms; /* UTC since 1970 */
	char op[16];     /* "learn", "forget", "rename", "undo", "rollback" */
	bool undone;
	size_t n_classes;
	const struct bnnd_taught *classes;    /* learn */
	char label[BNND_LABEL_MAX_BYTES + 1]; /* forget, rename */
	bool none;                            /* forget: the negatives */
	char new_label[BNND_LABEL_MAX_BYTES + 1];
	uint64_t restored_seq; /* undo, rollback: whose state is in force again */
};

struct bnnd_change {
	uint64_t seq; /* 0: a dry run. A lesson in which nothing was new: the current one */
	char op[16];
	size_t n_classes;
	const struct bnnd_taught *classes;
	uint32_t already_known; /* pictures that were taught before and count nothing */
	char hint[768];         /* sentences about what the lesson lacks, or "" */
	uint64_t us;            /* training and writing */
	bool repeated;          /* the key was known: this is the first result again */
	bool undone;            /* and it was undone since */
	char label[BNND_LABEL_MAX_BYTES + 1];
	bool none;
	char new_label[BNND_LABEL_MAX_BYTES + 1];
	uint64_t restored_seq;
	const struct bnnd_history_entry *undid; /* undo: what it took back, or NULL */
};

/* What each change may carry; NULL: nothing, and a random key. */
struct bnnd_change_options {
	const uint8_t *key; /* BNND_KEY_BYTES; NULL: a random one */
	bool has_if_seq;    /* BNND_ABORTED unless if_seq is the newest change */
	uint64_t if_seq;
};
/* 16 random bytes. A key protects one change against being made twice. */
BNND_API void bnnd_key_random(uint8_t ret_key[BNND_KEY_BYTES]);

/* ---- lessons -------------------------------------------------------------------------------------------------- */

struct bnnd_lesson;

struct bnnd_added {
	uint64_t tag;       /* as given to bnnd_lesson_add */
	int code;           /* 0: accepted; else enum bnnd_code, and error says why */
	bool already_known; /* accepted, but taught before: counts nothing */
	struct bnnd_times us;
	const struct bnnd_error *error; /* NULL when accepted; gone after the call */
};
typedef void bnnd_added_fn(void *ctx, const struct bnnd_added *added);

struct bnnd_lesson_options {
	struct bnnd_change_options change;
	bool dry_run; /* everything but the writing; its key is not remembered */
	/* The fast way: with on_added, bnnd_lesson_add returns when the picture is sent, and what became of it comes here,
	 * from a later bnnd_lesson_... call on the same connection, in any order. It must not call the library. A busy
	 * daemon (code BNND_RESOURCE_EXHAUSTED with retry_after_ms) wants the picture again later. */
	bnnd_added_fn *on_added;
	void *ctx;
};

enum { BNND_LESSON_DONE_BEFORE = 1 };

/* Opens a lesson; one at a time on a connection. options NULL: defaults.
 * BNND_LESSON_DONE_BEFORE: a lesson with this key is committed already; *ret_first (NULL allowed) is what it did, no
 * lesson is open and *ret_lesson is NULL. */
BNND_API int bnnd_lesson_begin(struct bnnd_conn *conn, const struct bnnd_lesson_options *options,
	struct bnnd_lesson **ret_lesson, struct bnnd_change **ret_first, struct bnnd_error *err);

/* Adds a picture of a class; label NULL: of nothing in particular (a negative). Which labels there can be, and which two
 * name one class, is in PROTOCOL.md, "Labels"; answers have the one that was taught first. The first add of a label makes the
 * class when the lesson is committed. Without on_added this waits for the answer: 0 accepted, or BNND_LESSON_KNOWN (the
 * very picture was taught before, and counts nothing), or an error; a refused picture leaves the lesson open. */
enum { BNND_LESSON_KNOWN = 1 };
BNND_API int bnnd_lesson_add(struct bnnd_lesson *lesson, const char *label, const struct bnnd_picture *picture,
	uint64_t tag, struct bnnd_error *err);

/* With on_added: waits until every add was answered. */
BNND_API int bnnd_lesson_wait(struct bnnd_lesson *lesson, struct bnnd_error *err);

/* Trains and writes: when this returns 0 the lesson is on the disk and answers use it. Waits for outstanding adds
 * first; refused ones are simply not part of it. The lesson's handle is gone afterwards, whatever is returned.
 * A lesson with nothing new in it changes nothing; its seq is the current one. After BNND_DEADLINE_EXCEEDED or a lost
 * connection the lesson may be done: begin again with the same key. */
BNND_API int bnnd_lesson_commit(struct bnnd_lesson *lesson, struct bnnd_change **ret_change, struct bnnd_error *err);

/* Drops it; the handle is gone. NULL allowed. */
BNND_API void bnnd_lesson_abort(struct bnnd_lesson *lesson);

/* ---- the learned state ---------------------------------------------------------------------------------------- */

struct bnnd_class {
	char label[BNND_LABEL_MAX_BYTES + 1]; /* "" with none */
	bool none;
	uint64_t samples; /* pictures taught in all */
	uint32_t lessons;
	int64_t first_ms, last_ms; /* UTC since 1970 */
};
struct bnnd_class_list {
	size_t n;
	const struct bnnd_class *classes; /* in label order; the negatives, if any were taught, first */
	uint64_t seq;
};
/* All of them; bnnd_free it. */
BNND_API int bnnd_classes(struct bnnd_conn *conn, struct bnnd_class_list **ret_list, struct bnnd_error *err);

struct bnnd_class_lesson {
	uint64_t seq;
	int64_t time_ms;
	uint32_t samples;
};
struct bnnd_class_info {
	struct bnnd_class summary;
	size_t n_lessons;
	const struct bnnd_class_lesson *lessons; /* the newest first; the daemon tells a page of them */
};
/* label NULL: the negatives. BNND_NOT_FOUND when there is no such class; bnnd_free it. */
BNND_API int bnnd_class_info(
	struct bnnd_conn *conn, const char *label, struct bnnd_class_info **ret_info, struct bnnd_error *err);

struct bnnd_history {
	size_t n;
	const struct bnnd_history_entry *entries; /* the newest first */
};
/* The newest max changes, 0: all that the daemon remembers; bnnd_free it. */
BNND_API int bnnd_history(
	struct bnnd_conn *conn, uint32_t max, struct bnnd_history **ret_history, struct bnnd_error *err);

/* Each of these is one durable change when it returns 0; bnnd_free the result. options NULL: defaults.
 * They are retried with their key over a lost connection by calling again with the same options.key. */
BNND_API int bnnd_forget(struct bnnd_conn *conn, const char *label /* NULL: the negatives */,
	const struct bnnd_change_options *options, struct bnnd_change **ret_change, struct bnnd_error *err);
BNND_API int bnnd_rename(struct bnnd_conn *conn, const char *old_label, const char *new_label,
	const struct bnnd_change_options *options, struct bnnd_change **ret_change, struct bnnd_error *err);
/* Takes back the newest change that is not undone; again: the one before. */
BNND_API int bnnd_undo(struct bnnd_conn *conn, const struct bnnd_change_options *options,
	struct bnnd_change **ret_change, struct bnnd_error *err);
/* Makes the state of change seq again (0: nothing learned); can be undone itself. */
BNND_API int bnnd_rollback(struct bnnd_conn *conn, uint64_t seq, const struct bnnd_change_options *options,
	struct bnnd_change **ret_change, struct bnnd_error *err);

struct bnnd_status {
	char state[16]; /* "ready", "degraded", "stopping" */
	size_t n_reasons;
	const char *const *reasons; /* sentences: why it is degraded */
	char version[32];
	struct bnnd_model model;
	char kernels[64];
	uint32_t classes;
	uint32_t negatives; /* pictures of nothing in particular */
	uint64_t seq;
	uint64_t uptime_ms;
	uint32_t infer_threads;
	char widths[16]; /* "8/16" */
	char preset[16];
	uint64_t memory_bound_bytes;
	double refuse;       /* a share; 0: never */
	char method[16];     /* what ranks classes: "metric", "means", "cwr" */
	char no_metric[160]; /* a sentence: why nothing but cwr can rank; "" */
	bool scene;          /* known is decided with the scene taken away that the negatives show */
	char no_scene[192];  /* a sentence: why it is not or never is, or for how many classes not; "" */
	char waiting[512]; /* a sentence, where classes that another model was taught wait in the state directory; "" */
};
/* Never waits for an inference or a lesson; bnnd_free it. */
BNND_API int bnnd_status(struct bnnd_conn *conn, struct bnnd_status **ret_status, struct bnnd_error *err);

#ifdef __cplusplus
}
#endif
#endif
