/* SPDX-License-Identifier: MIT */
/* daemon/session/outbox.c: see outbox.h. */
#include "daemon/session/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"

enum { OUTBOX_VECTORS = 16 };

void outbox_init(struct outbox *out)
{
	memset(out, 0, sizeof *out);
	list_init(&out->frames);
}

void outbox_deinit(struct outbox *out)
{
	for (struct list *node; (node = list_take(&out->frames));)
		frame_free(LIST_ENTRY(node, struct frame, link));
	outbox_init(out);
}

void outbox_put(struct outbox *out, struct frame *frame)
{
	list_append(&out->frames, &frame->link);
	out->bytes += frame->head_bytes + frame->payload_bytes;
}

static void add_vector(struct iovec *v, int *n, uint8_t *from, size_t bytes, size_t *skip)
{
	if (*skip >= bytes) {
		*skip -= bytes;
		return;
	}
	v[(*n)++] = (struct iovec){.iov_base = from + *skip, .iov_len = bytes - *skip};
	*skip = 0;
}

static void outbox_written(struct outbox *out, size_t n)
{
	REQUIRE(n <= out->bytes);
	out->bytes -= n;
	out->sent += n;
	while (!list_empty(&out->frames)) {
		struct frame *frame = LIST_ENTRY(out->frames.next, struct frame, link);
		size_t whole = frame->head_bytes + frame->payload_bytes;
		if (out->sent < whole)
			return;
		out->sent -= whole;
		list_remove(&frame->link);
		frame_free(frame);
	}
}

int outbox_write(struct outbox *out, int fd)
{
	while (out->bytes) {
		struct iovec vectors[OUTBOX_VECTORS];
		struct msghdr message = {.msg_iov = vectors};
		int n = 0;
		size_t skip = out->sent;
		LIST_EACH(node, &out->frames)
		{
			struct frame *frame = LIST_ENTRY(node, struct frame, link);
			if (n + 2 > OUTBOX_VECTORS)
				break;
			add_vector(vectors, &n, frame->head, frame->head_bytes, &skip);
			if (frame->payload)
				add_vector(vectors, &n, frame->payload, frame->payload_bytes, &skip);
		}
		message.msg_iovlen = (size_t)n;
		ssize_t written = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? OUTBOX_E_FULL : -errno;
		outbox_written(out, (size_t)written);
	}
	return 0;
}
