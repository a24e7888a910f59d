/* SPDX-License-Identifier: MIT */
/* daemon/state/hint.c: see hint.h. No sentence names a class: a class may be forgotten, and the hint stays in the history. */
#include "daemon/state/hint.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FEW_PICTURES = 5 };

/* Pictures of two classes that are so alike, and nearly as alike as those of one, show one scene. */
#define SCENE_COSINE 0.5
#define SCENE_SHARE  0.75

__attribute__((format(printf, 2, 3))) static void say(char text[HINT_MAX_BYTES], const char *format, ...)
{
	size_t n = strlen(text);
	if (n > 0)
		n += (size_t)snprintf(text + n, HINT_MAX_BYTES - n, "; ");
	va_list ap;
	va_start(ap, format);
	vsnprintf(text + n, HINT_MAX_BYTES - n, format, ap);
	va_end(ap);
}

enum lack { LACK_NOTHING, LACK_OTHERS, LACK_VIEWS, LACK_PICTURES, N_LACKS };

/* Negatives may well be one empty scene. */
static enum lack lack_of(const struct hint_class *class)
{
	if (class->is_none || class->told >= FEW_PICTURES)
		return LACK_NOTHING;
	return class->pictures < 2 ? LACK_OTHERS : class->told < class->pictures ? LACK_VIEWS : LACK_PICTURES;
}

static void say_views(char *text, const struct hint_class *first, size_t n)
{
	const char *more = "teach some from another distance, angle or light";
	char as[16] = "one";
	if (first->told > 1)
		snprintf(as, sizeof as, "%u", first->told);
	if (n > 1)
		say(text, "the pictures of %zu classes are as alike as one or few: %s", n, more);
	else if (first->is_new)
		say(text, "these %llu pictures are as alike as %s: %s", (unsigned long long)first->pictures, as, more);
	else
		say(text, "the %llu pictures taught so far are as alike as %s: %s", (unsigned long long)first->pictures,
			as, more);
}

static bool looks_like_a_scene(const struct hint_class *class)
{
	return class->between >= SCENE_COSINE && class->between >= SCENE_SHARE * class->within;
}

void hint_of_lesson(const struct hint_class *classes, size_t n_classes, const struct hint_world *world,
	char ret_text[HINT_MAX_BYTES])
{
	size_t n[N_LACKS] = {0}, n_scene = 0;
	const struct hint_class *first[N_LACKS] = {NULL};
	ret_text[0] = '\0';
	for (size_t i = 0; i < n_classes; i++) {
		const enum lack lack = lack_of(&classes[i]);
		/* of those with few pictures the fewest */
		if (n[lack]++ == 0 || classes[i].told < first[lack]->told)
			first[lack] = &classes[i];
		n_scene += classes[i].is_new && looks_like_a_scene(&classes[i]); /* said once a class */
	}
	if (n[LACK_OTHERS] > 0)
		say(ret_text, "one picture does not show how different pictures of it look: teach others, too");
	if (n[LACK_VIEWS] > 0)
		say_views(ret_text, first[LACK_VIEWS], n[LACK_VIEWS]);
	if (n[LACK_PICTURES] > 0)
		say(ret_text,
			"%u pictures of a class are few: ten or more, from several sides and in several lights, are "
			"better",
			first[LACK_PICTURES]->told);
	if (world->closed || world->has_none)
		return;
	if (n_scene > 0)
		say(ret_text, "these look like one scene: if something else can come before the camera, teach the "
			      "empty scene "
			      "(bnnctl learn --none FILE...); if nothing can, ask with --refuse never, or put "
			      "answers.refuse: "
			      "never into the settings");
	else if (world->first)
		say(ret_text, "if the camera does not move, teach the empty scene, too: bnnctl learn --none FILE...");
}
