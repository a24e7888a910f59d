/* SPDX-License-Identifier: MIT */
/* client/ctl/class.c: how a class is called, in tables and in JSON, and what a change did to classes. */
#include <inttypes.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "lib/base/label.h"

const char *ctl_label_shown(char buffer[TERM_SHOWN_BYTES], const char *label)
{
	term_shown(buffer, label);
	if (label_is_reserved((const uint8_t *)label, strlen(label))) /* an old class, not an answer */
		(void)snprintf(buffer, TERM_SHOWN_BYTES, "\"%s\"", label);
	return buffer;
}

const char *ctl_class_shown(char buffer[TERM_SHOWN_BYTES], const char *label, bool none)
{
	return none ? "(none)" : ctl_label_shown(buffer, label);
}

void ctl_label_json(struct json *json, const char *label, bool none)
{
	json_text(json, "label", none ? NULL : label);
	if (none)
		json_bool(json, "none", true);
}

void ctl_taught_json(struct json *json, const struct bnnd_taught *classes, size_t n)
{
	json_array(json, "classes");
	for (size_t i = 0; i < n; i++) {
		json_object(json, NULL);
		ctl_label_json(json, classes[i].label, classes[i].none);
		json_uint(json, "samples", classes[i].samples);
		json_bool(json, "new", classes[i].is_new);
		json_end(json);
	}
	json_end(json);
}

const char *ctl_taught_text(char buffer[CTL_TAUGHT_BYTES], const struct bnnd_taught *classes, size_t n)
{
	size_t used = 0;
	buffer[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		char shown[TERM_SHOWN_BYTES], piece[TERM_SHOWN_BYTES + 32];
		int len = snprintf(piece, sizeof piece, "%s%s (%u)", i ? ", " : "",
			ctl_class_shown(shown, classes[i].label, classes[i].none), classes[i].samples);
		if (used + (size_t)len + 32 > CTL_TAUGHT_BYTES) {
			(void)snprintf(buffer + used, CTL_TAUGHT_BYTES - used, " and %zu more", n - i);
			break;
		}
		memcpy(buffer + used, piece, (size_t)len + 1);
		used += (size_t)len;
	}
	return buffer;
}

void ctl_entry_text(const struct bnnd_history_entry *entry, const char *back)
{
	char shown[TERM_SHOWN_BYTES], other[TERM_SHOWN_BYTES], taught[CTL_TAUGHT_BYTES];
	if (strcmp(entry->op, "learn") == 0)
		printf("%s", ctl_taught_text(taught, entry->classes, entry->n_classes));
	else if (strcmp(entry->op, "rename") == 0)
		printf("%s -> %s", ctl_label_shown(shown, entry->label), ctl_label_shown(other, entry->new_label));
	else if (strcmp(entry->op, "forget") == 0)
		printf("%s", ctl_class_shown(shown, entry->label, entry->none));
	else
		printf("%s %" PRIu64, back, entry->restored_seq);
}
