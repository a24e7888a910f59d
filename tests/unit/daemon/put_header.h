/* SPDX-License-Identifier: MIT */
/* A frame's header as anybody may write it, within the limits or not. */
#pragma once

#include <stdint.h>

#include "lib/base/endian.h"

static inline void put_header(uint8_t *to, uint32_t body, uint32_t payload, uint32_t id, uint16_t kind, uint16_t flags)
{
	store_be32(to, body);
	store_be32(to + 4, payload);
	store_be32(to + 8, id);
	store_be16(to + 12, kind);
	store_be16(to + 14, flags);
}
