/* SPDX-License-Identifier: MIT */
/* lib/image/png_chunks.h: inside lib/image only. The chunks of a PNG file: walked and checked before libspng sees a byte,
 * then handed to it without those that make no pixels.
 *
 *   signature  IHDR  [PLTE]  [tRNS]  IDAT IDAT ...  IEND      and anything else between them, but not between IDATs
 *
 * Nothing here reads the header: what size the picture has is libspng's to say, so that nobody else can say otherwise. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum { PNG_SIGNATURE_BYTES = 8 };

struct png_chunks {
	const uint8_t *bytes; /* of the file, borrowed */
	size_t len_bytes;
	size_t end;               /* behind the last chunk that is whole: nothing behind it is handed over */
	unsigned exif;            /* orientation, 1 to 8 */
	bool has_transparency;    /* a tRNS */
	size_t next, next_bounds; /* what is handed over next, and where its chunk ends */
};

/* Checks every chunk up to IEND or to the end of the file: place, length and checksum. A chunk that makes no pixels and
 * has a wrong checksum is passed over. A file that is cut off passes: its rows will tell whether something is missing.
 * bytes begin with the signature. ERR_INVALID_ARGUMENT with the name and the place of the chunk. */
int png_chunks_check(const uint8_t *bytes, size_t len_bytes, struct png_chunks *ret_chunks, struct err *err);

/* Copies the next n bytes of the signature and of the chunks that make pixels. false: there are not so many. */
bool png_chunks_take(struct png_chunks *chunks, void *dest, size_t n);
