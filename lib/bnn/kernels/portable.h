/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/portable.h: what the two halves of the portable source share. Compiled once per instruction set: names
 * that the linker sees begin with the set's. */
#pragma once

#include "lib/bnn/kernels/pack.h"
#include "lib/bnn/kernels/sets.h"
#include "lib/bnn/kernels/vector.h"

#define PORTABLE_JOIN(set, name) set##_##name
#define PORTABLE_NAME(set, name) PORTABLE_JOIN(set, name)
#define PORTABLE(name)           PORTABLE_NAME(KERNELS_SET, name)

#define UNROLL _Pragma("GCC unroll 8")
