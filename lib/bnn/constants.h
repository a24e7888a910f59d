/* SPDX-License-Identifier: MIT */
/* lib/bnn/constants.h: a file's constants as a plan keeps them: floats, aligned, padded, in memory of their own.
 *
 * The file is given back when loading is over, so whatever a kernel reads lies in here until constants_deinit.
 */
#pragma once

#include <stddef.h>

#include "lib/base/err.h"
#include "lib/bnn/graph.h"

enum { CONSTANTS_MAX_BYTES = 256 << 20 };

struct constants {
	void **blocks;
	size_t n_blocks, bytes;
};

/* n * bytes of zeroed memory, aligned to MEM_ALIGN_BYTES, that lives as long as `c`; NULL with a sentence
 * (ERR_RESOURCE_EXHAUSTED) when all of them would take more than CONSTANTS_MAX_BYTES. */
void *constants_alloc(struct constants *c, size_t n, size_t bytes, struct err *err);

/* An F32 or F16 constant as floats, zeros up to a multiple of KERNEL_PAD; a single value is repeated n times. NULL as
 * above. */
float *constants_floats(struct constants *c, const struct tensor *t, size_t n, struct err *err);
void constants_deinit(struct constants *c);

/* The same without keeping: F32 or F16 constant -> t->n_elements floats, exactly. */
void tensor_floats(const struct tensor *t, float *ret);
