/* SPDX-License-Identifier: MIT */
/* lib/image/encode_png.c: the PNG that `look` answers with; see image.h. Refuses sizes beyond the limits of a picture
 * that could be read back. */
#include <stdlib.h>

#include <spng.h>

#include "lib/image/decode.h"
#include "lib/image/image.h"

static int encode(
	spng_ctx *ctx, const uint8_t *pixels, uint32_t width, uint32_t height, uint8_t **ret_png, size_t *ret_len_bytes)
{
	struct spng_ihdr header = {
		.width = width, .height = height, .bit_depth = 8, .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
	int code = spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1);
	if (code == 0)
		code = spng_set_ihdr(ctx, &header);
	if (code == 0)
		code = spng_encode_image(ctx, pixels, (size_t)width * height * 3, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
	if (code != 0)
		return code;
	size_t len_bytes = 0;
	uint8_t *png = spng_get_png_buffer(ctx, &len_bytes, &code);
	if (!png)
		return code ? code : SPNG_EMEM;
	*ret_png = png;
	*ret_len_bytes = len_bytes;
	return 0;
}

int image_png_encode(const uint8_t *pixels, uint32_t width, uint32_t height, uint8_t **ret_png, size_t *ret_len_bytes,
	struct err *err)
{
	int r = decode_check_size(width, height, err);
	if (r < 0)
		return r;
	spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
	int code = ctx ? encode(ctx, pixels, width, height, ret_png, ret_len_bytes) : SPNG_EMEM;
	spng_ctx_free(ctx);
	if (code != 0)
		return err_set(err, ERR_RESOURCE_EXHAUSTED, "no PNG could be made: %s", spng_strerror(code));
	return 0;
}
