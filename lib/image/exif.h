/* SPDX-License-Identifier: MIT */
/* lib/image/exif.h: inside lib/image only. The one fact that is read from EXIF: how the camera was held. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The orientation 1 to 8 of a JPEG file (its first APP1 segment that is EXIF); 1 when there is none or it makes no
 * sense: a wrong tag in a good picture is not an error. Every byte may be hostile; time is linear in the segments. */
unsigned exif_orientation_of_jpeg(const uint8_t *bytes, size_t len_bytes);

/* The same of a bare TIFF structure, as PNG's eXIf chunk has it. */
unsigned exif_orientation_of_tiff(const uint8_t *bytes, size_t len_bytes);
