/* SPDX-License-Identifier: MIT */
/* daemon/host/reach.h: what stands between the daemon and a path that its settings name.
 *
 * "Permission denied" and "No such file" are no help where the systemd unit hides or protects a path that everybody sees
 * in a shell: here the protection is named, and what opens it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define REACH_STATE_DIR "/var/lib/bnnd" /* what the unit lets the daemon write */

enum { REACH_TEXT_BYTES = 320 };

/* Is something in the way of reading a file, or of making a directory and writing into it? The sentence goes into ret_text
 * (no class of error that errno tells well enough: a missing file in a folder that can be seen is no obstacle). */
bool reach_obstacle(const char *path, bool to_write, char ret_text[REACH_TEXT_BYTES]);

/* Would something be in the way of a daemon that the shipped unit starts? Goes by the path alone. */
bool reach_unit_obstacle(const char *path, bool to_write, char ret_text[REACH_TEXT_BYTES]);
