/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/sets.h: the parts that choose.c puts sets together from.
 *
 * A part writes its functions into the set and leaves the others as the parts before it set them. So hand-written
 * kernels are one file with one part, that replaces what it does better, and one line in choose.c.
 */
#pragma once

#include "lib/bnn/kernels/kernels.h"

typedef void kernels_part(struct kernels *io_set);

kernels_part kernels_ref; /* all of it, plainly */

/* The portable source, once per instruction set: everything but bits, and then those. Together a whole set. */
kernels_part kernels_portable_floats, kernels_portable_binary;
#if defined(__x86_64__)
kernels_part kernels_portable_avx2_floats, kernels_portable_avx2_binary;     /* AVX2, FMA, POPCNT */
kernels_part kernels_portable_avx512_floats, kernels_portable_avx512_binary; /* AVX-512 F, BW, VL, DQ, VPOPCNTDQ */
#endif
