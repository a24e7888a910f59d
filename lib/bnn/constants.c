/* SPDX-License-Identifier: MIT */
/* lib/bnn/constants.c: see constants.h. Values are widened exactly or copied, never computed. */
#include "lib/bnn/constants.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "lib/bnn/kernels/kernels.h"

void *constants_alloc(struct constants *c, size_t n, size_t bytes, struct err *err)
{
	size_t total, sum;
	void *p = NULL;
	if (size_mul(n, bytes, &total) && size_add(total, c->bytes, &sum) && sum <= CONSTANTS_MAX_BYTES)
		p = mem_try_aligned(total);
	if (!p) {
		err_set(err, ERR_RESOURCE_EXHAUSTED, "the model's constants take more than %d MiB",
			CONSTANTS_MAX_BYTES >> 20);
		return NULL;
	}
	c->bytes = sum;
	c->blocks = mem_grow(c->blocks, c->n_blocks, sizeof *c->blocks);
	c->blocks[c->n_blocks++] = p;
	return p;
}

/* IEEE half to single, exact; check.c has refused infinities and NaNs. */
static float half_to_float(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3FFu, bits;
	if (exponent) {
		bits = sign | (exponent + 127 - 15) << 23 | mantissa << 13;
	} else { /* subnormal: mantissa * 2^-24 is a normal float */
		float v = (float)mantissa * 0x1p-24f;
		memcpy(&bits, &v, sizeof bits);
		bits |= sign;
	}
	float result;
	memcpy(&result, &bits, sizeof result);
	return result;
}

void tensor_floats(const struct tensor *t, float *ret)
{
	REQUIRE(t->dtype == DTYPE_F32 || t->dtype == DTYPE_F16);
	if (t->dtype == DTYPE_F32)
		memcpy(ret, t->data, t->length);
	else
		for (uint64_t i = 0; i < t->n_elements; i++)
			ret[i] = half_to_float(load_le16(t->data + 2 * i));
}

float *constants_floats(struct constants *c, const struct tensor *t, size_t n, struct err *err)
{
	float *p = constants_alloc(c, (n + KERNEL_PAD - 1) / KERNEL_PAD * KERNEL_PAD, sizeof *p, err);
	if (!p)
		return NULL;
	tensor_floats(t, p);
	for (size_t i = 1; i < n && t->n_elements == 1; i++)
		p[i] = p[0];
	return p;
}

void constants_deinit(struct constants *c)
{
	for (size_t i = 0; i < c->n_blocks; i++)
		free(c->blocks[i]);
	free(c->blocks);
	*c = (struct constants){0};
}
