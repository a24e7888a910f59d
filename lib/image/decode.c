/* SPDX-License-Identifier: MIT */
/* lib/image/decode.c: see decode.h. What every decoder asks before and while it works. */
#include "lib/image/decode.h"

int decode_check_size(uint64_t width, uint64_t height, struct err *err)
{
	if (width == 0 || height == 0)
		return err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "picture"},
			"the picture of %ju x %ju pixels is empty", (uintmax_t)width, (uintmax_t)height);
	if (width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE)
		return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
			(struct err_about){.field = "picture", .limit = IMAGE_MAX_SIDE},
			"the picture has %ju x %ju pixels: at most %d a side are possible", (uintmax_t)width,
			(uintmax_t)height, IMAGE_MAX_SIDE);
	if (width * height > IMAGE_MAX_PIXELS)
		return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
			(struct err_about){.field = "picture", .limit = IMAGE_MAX_PIXELS},
			"the picture has %ju x %ju pixels: at most %d in all are possible", (uintmax_t)width,
			(uintmax_t)height, IMAGE_MAX_PIXELS);
	return 0;
}

int decode_check_memory(
	const struct decode_job *job, uint64_t need_bytes, const char *what, const char *remedy, struct err *err)
{
	uint64_t limit = job->limits->decode_memory_bytes;
	if (need_bytes <= limit)
		return 0;
	return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
		(struct err_about){.field = DECODE_MEMORY_SETTING, .limit = limit},
		"%s needs %.1f MiB of memory: the limit is %.1f MiB (%s)%s%s", what, (double)need_bytes / (1 << 20),
		(double)limit / (1 << 20), DECODE_MEMORY_SETTING, remedy[0] ? "; " : "", remedy);
}

int decode_check_price(
	const struct decode_job *job, const struct decode_subject *subject, uint64_t price, struct err *err)
{
	enum { MILLION = 1000000 };
	uint64_t limit = job->limits->decode_megapixels;
	if (limit == 0 || price <= limit * MILLION * DECODE_PRICE_PIXEL)
		return 0;
	return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
		(struct err_about){.field = DECODE_MEGAPIXELS_SETTING, .limit = limit},
		"to decode this %s of %u x %u pixels costs as much as %.1f megapixels of plain PNG or more: the "
		"limit is %ju (%s); a smaller picture costs less: %s",
		subject->kind, subject->width, subject->height, (double)price / MILLION / DECODE_PRICE_PIXEL,
		(uintmax_t)limit, DECODE_MEGAPIXELS_SETTING, subject->remedy);
}

int decode_check_stop(const struct decode_job *job, const struct decode_subject *subject, struct err *err)
{
	switch (job->limits->stop ? job->limits->stop(job->limits->stop_ctx) : IMAGE_GO_ON) {
	case IMAGE_GO_ON:
		return 0;
	case IMAGE_STOP_SLOW:
		return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
			(struct err_about){.field = DECODE_SECONDS_SETTING, .limit = job->limits->decode_seconds},
			"to decode this %s of %u x %u pixels takes more than %u s, the limit (%s); a smaller "
			"picture takes less: %s",
			subject->kind, subject->width, subject->height, job->limits->decode_seconds,
			DECODE_SECONDS_SETTING, subject->remedy);
	case IMAGE_STOP_REQUEST:
		break;
	}
	return err_set(err, ERR_DEADLINE_EXCEEDED, "the time for this request was over while its picture was decoded");
}
