/* SPDX-License-Identifier: MIT */
/* tests/testlib/labels.h: labels in few words. */
#pragma once

#include <string.h>

#include "lib/base/label.h"

static inline struct label label_of(const char *text)
{
	return label_of_bytes(text, strlen(text));
}
