/* SPDX-License-Identifier: MIT */
/* lib/image/sniff.c: see sniff.h. A table of magic numbers. What a person would send by mistake is refused with the
 * exact command that makes a readable file of it, and with the Debian package that has the command. */
#include "lib/image/sniff.h"

#include <stdbool.h>
#include <string.h>

enum {
	SNIFF_BYTES = 64, /* no magic number lies further back */
	FTYP_BRAND = 8,   /* of an ISO base media file: box length, "ftyp", major brand, minor version, brands */
	FTYP_BRANDS = 16,
};

struct other_format {
	const char *name, *command, *package;
};

static const struct other_format heic = {"HEIC", "heif-convert in.heic out.jpg", "libheif-examples"};
static const struct other_format avif = {"AVIF", "heif-convert in.avif out.jpg", "libheif-examples"};
static const struct other_format video = {"a video", "ffmpeg -i in.mp4 -frames:v 1 out.jpg", "ffmpeg"};

static const struct {
	uint8_t at, len;
	const char *magic;
	struct other_format format;
} others[] = {
	{8, 4, "WEBP", {"WebP", "dwebp in.webp -o out.png", "webp"}},
	{0, 6, "GIF87a", {"GIF", "convert 'in.gif[0]' out.png", "imagemagick"}},
	{0, 6, "GIF89a", {"GIF", "convert 'in.gif[0]' out.png", "imagemagick"}},
	{0, 2, "BM", {"BMP", "convert in.bmp out.png", "imagemagick"}},
	{0, 4, "II*\0", {"TIFF", "convert 'in.tif[0]' out.png", "imagemagick"}},
	{0, 4, "MM\0*", {"TIFF", "convert 'in.tif[0]' out.png", "imagemagick"}},
	{0, 4, "II+\0", {"BigTIFF", "convert 'in.tif[0]' out.png", "imagemagick"}},
	{0, 4, "MM\0+", {"BigTIFF", "convert 'in.tif[0]' out.png", "imagemagick"}},
	{0, 2, "\xFF\x0A", {"JPEG XL", "djxl in.jxl out.png", "libjxl-tools"}},
	{4, 8, "JXL \r\n\x87\n", {"JPEG XL", "djxl in.jxl out.png", "libjxl-tools"}},
	{4, 8, "jP  \r\n\x87\n", {"JPEG 2000", "opj_decompress -i in.jp2 -o out.png", "libopenjp2-tools"}},
	{0, 4, "\xFF\x4F\xFF\x51", {"JPEG 2000", "opj_decompress -i in.j2k -o out.png", "libopenjp2-tools"}},
	{0, 4, "8BPS", {"Photoshop", "convert 'in.psd[0]' out.png", "imagemagick"}},
	{0, 4, "qoif", {"QOI", "ffmpeg -i in.qoi out.png", "ffmpeg"}},
	{0, 4, "\0\0\1\0", {"an icon", "convert 'in.ico[0]' out.png", "imagemagick"}},
	{0, 5, "%PDF-", {"a PDF", "pdftoppm -singlefile -png in.pdf out", "poppler-utils"}},
	{0, 4, "<svg", {"SVG", "rsvg-convert in.svg -o out.png", "librsvg2-bin"}},
	{0, 5, "<?xml", {"SVG or other XML", "rsvg-convert in.svg -o out.png", "librsvg2-bin"}},
	{8, 4, "AVI ", {"a video", "ffmpeg -i in.avi -frames:v 1 out.jpg", "ffmpeg"}},
	{0, 4, "\x1A\x45\xDF\xA3", {"a video", "ffmpeg -i in.mkv -frames:v 1 out.jpg", "ffmpeg"}},
};

static bool starts(const uint8_t *bytes, size_t len_bytes, size_t at, const char *magic, size_t n)
{
	return at + n <= len_bytes && memcmp(bytes + at, magic, n) == 0;
}

/* "P1" to "P7" and white space: the pnm family, common where cameras are read by scripts. */
static bool is_pnm(const uint8_t *bytes, size_t len_bytes)
{
	return len_bytes >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '7' &&
	       (bytes[2] == '\n' || bytes[2] == ' ' || bytes[2] == '\r' || bytes[2] == '\t');
}

/* An ISO base media file says what it is in its brands; "mif1" alone may be both, so every brand is looked at. */
static const struct other_format *sniff_ftyp(const uint8_t *bytes, size_t len_bytes)
{
	static const char heic_brands[][5] = {"heic", "heix", "heim", "heis", "hevc", "hevx"};
	bool is_heif = false;
	for (size_t at = FTYP_BRAND; at + 4 <= len_bytes; at = at == FTYP_BRAND ? FTYP_BRANDS : at + 4) {
		if (starts(bytes, len_bytes, at, "avif", 4) || starts(bytes, len_bytes, at, "avis", 4))
			return &avif;
		for (size_t i = 0; i < sizeof heic_brands / sizeof *heic_brands; i++)
			if (starts(bytes, len_bytes, at, heic_brands[i], 4))
				return &heic;
		is_heif |= starts(bytes, len_bytes, at, "mif1", 4) || starts(bytes, len_bytes, at, "msf1", 4);
	}
	return is_heif ? &heic : &video;
}

static const struct other_format *sniff_other(const uint8_t *bytes, size_t len_bytes)
{
	static const struct other_format pnm = {"PNM", "convert in.pnm out.png", "imagemagick"};
	if (starts(bytes, len_bytes, 4, "ftyp", 4))
		return sniff_ftyp(bytes, len_bytes);
	if (is_pnm(bytes, len_bytes))
		return &pnm;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (starts(bytes, len_bytes, others[i].at, others[i].magic, others[i].len))
			return &others[i].format;
	return NULL;
}

int sniff_format(const uint8_t *bytes, size_t len_bytes, enum sniff_format *ret_format, struct err *err)
{
	if (len_bytes == 0)
		return err_set(err, ERR_INVALID_ARGUMENT, "the picture is empty: 0 bytes");
	if (starts(bytes, len_bytes, 0, "\xFF\xD8\xFF", 3)) {
		*ret_format = SNIFF_JPEG;
		return 0;
	}
	if (starts(bytes, len_bytes, 0, "\x89PNG\r\n\x1A\n", 8)) {
		*ret_format = SNIFF_PNG;
		return 0;
	}
	if (starts(bytes, len_bytes, 0, "\x89PNG", 4))
		return err_set(err, ERR_INVALID_ARGUMENT,
			"the PNG's signature is damaged, as by a transfer in text mode: copy the file again");
	const struct other_format *other = sniff_other(bytes, len_bytes < SNIFF_BYTES ? len_bytes : SNIFF_BYTES);
	if (other)
		return err_set(err, ERR_INVALID_ARGUMENT,
			"this file is %s, but only JPEG and PNG are read; convert it with: %s (Debian package %s)",
			other->name, other->command, other->package);
	return err_set(err, ERR_INVALID_ARGUMENT,
		"this file is neither JPEG nor PNG (it begins with %02x %02x %02x %02x)", bytes[0],
		len_bytes > 1 ? bytes[1] : 0, len_bytes > 2 ? bytes[2] : 0, len_bytes > 3 ? bytes[3] : 0);
}
