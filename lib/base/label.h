/* SPDX-License-Identifier: MIT */
/* lib/base/label.h: names of classes: what a new one may be, and which two names are one class.
 *
 * A label is kept as it was given, in Unicode's form NFC. Two labels are one class when their keys are equal: the same
 * letters, whether composed or not (NFC and NFD), with or without joiners and variation selectors, which can be invisible.
 * States of older versions hold labels that no new class may have: they are read by label_check_kept, found by their own
 * bytes or by their key, and shown through text_escape. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/text.h"

enum { LABEL_MAX_BYTES = 128 };

struct label {
	uint8_t bytes[LABEL_MAX_BYTES];
	uint8_t len_bytes; /* 0: none */
};

/* May a class be named so? 1 to LABEL_MAX_BYTES bytes of UTF-8, as given and in NFC; no space at either end; only what
 * text_kind calls TEXT_SHOWN; not a word that answers use (label_is_reserved). Returns 0, with the label in NFC, or
 * ERR_INVALID_ARGUMENT with what is wrong; the label itself never enters the sentence. ret_label may be NULL. Any thread. */
int label_check(const uint8_t *label, size_t len_bytes, struct label *ret_label, struct err *err);

/* Can this be a label that was kept, by whatever version? Length, UTF-8, no control characters, no space at either end.
 * 0, with the label as it is; ret_label may be NULL. */
int label_check_kept(const uint8_t *label, size_t len_bytes, struct label *ret_label, struct err *err);

/* These bytes, whatever they are, to look for; what is behind LABEL_MAX_BYTES is left out. */
struct label label_of_bytes(const void *bytes, size_t len_bytes);

/* What two labels of one class have in common. label is one that was checked, by either rule. */
void label_key(const struct label *label, struct label *ret_key);
bool label_equal(const struct label *a, const struct label *b); /* byte for byte */
/* By bytes, the shorter first: <0, 0, >0. */
int label_compare(const struct label *a, const struct label *b);

/* As a sentence has it (text_escape); returns buffer. */
enum { LABEL_SHOWN_BYTES = TEXT_ESCAPED_BYTES(LABEL_MAX_BYTES) };
const char *label_shown(char buffer[LABEL_SHOWN_BYTES], const struct label *label);

/* "none" and "unknown", with brackets or without, in whatever case: what programs print in place of a label. */
bool label_is_reserved(const uint8_t *label, size_t len_bytes);
