/* SPDX-License-Identifier: MIT */
/* daemon/state/hint.c: what is said after a lesson, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "client/bnnd.h"
#include "daemon/state/hint.h"
#include "daemon/state/snapshot.h"

/* What the daemon says, the library has room for. */
_Static_assert(sizeof((struct bnnd_change *)0)->hint >= HINT_MAX_BYTES, "a hint is not cut");
_Static_assert(sizeof((struct bnnd_status *)0)->no_scene >= sizeof((struct snapshot *)0)->no_scene, "nor a reason");

#define ONE    "one picture does not show how different pictures of it look: teach others, too"
#define FEW(n) n " pictures of a class are few: ten or more, from several sides and in several lights, are better"
#define VIEWS  ": teach some from another distance, angle or light"
#define SCENE                                                                                                          \
	"these look like one scene: if something else can come before the camera, teach the empty scene (bnnctl "      \
	"learn "                                                                                                       \
	"--none FILE...); if nothing can, ask with --refuse never, or put answers.refuse: never into the settings"

#define EMPTY "if the camera does not move, teach the empty scene, too: bnnctl learn --none FILE..."

static void test_what_is_said(void **state)
{
	(void)state;
	static const struct {
		struct hint_class classes[3];
		size_t n;
		const char *text;
	} lessons[] = {
		{{{.is_new = true, .pictures = 1, .told = 1}}, 1, ONE},
		{{{.is_new = true, .pictures = 20, .told = 20}}, 1, ""},
		{{{.is_new = true, .pictures = 3, .told = 3}}, 1, FEW("3")},
		{{{.is_new = true, .pictures = 20, .told = 1}}, 1, "these 20 pictures are as alike as one" VIEWS},
		{{{.is_new = true, .pictures = 30, .told = 3}}, 1, "these 30 pictures are as alike as 3" VIEWS},
		{{{.pictures = 21, .told = 1}}, 1, "the 21 pictures taught so far are as alike as one" VIEWS},
		{{{.pictures = 500, .told = 5}}, 1, ""},
		/* an empty scene is one picture, and that is well */
		{{{.is_none = true, .is_new = true, .pictures = 20, .told = 1}}, 1, ""},
		{{{.is_none = true, .is_new = true, .pictures = 1, .told = 1}}, 1, ""},
		{{{.pictures = 2, .told = 2}, {.pictures = 4, .told = 4}, {.pictures = 9, .told = 9}}, 3, FEW("2")},
		{{{.is_new = true, .pictures = 9, .told = 1}, {.is_new = true, .pictures = 8, .told = 2}}, 2,
			"the pictures of 2 classes are as alike as one or few" VIEWS},
		{{{.is_new = true, .pictures = 1, .told = 1}, {.pictures = 4, .told = 4}}, 2, ONE "; " FEW("4")},
		{{{.is_new = true, .pictures = 9, .told = 9, .within = 0.7, .between = 0.6}}, 1, SCENE},
		{{{.is_new = true, .pictures = 9, .told = 9, .within = 0.9, .between = 0.6}}, 1, ""},
		{{{.is_new = true, .pictures = 9, .told = 9, .within = 0.3, .between = 0.4}}, 1, ""},
		{{{.is_new = true, .pictures = 9, .told = 9, .within = 0.7, .between = 0.6},
			 {.is_new = true, .pictures = 9, .told = 9, .within = 0.7, .between = 0.6}},
			2, SCENE},
		{{{.pictures = 9, .told = 9, .within = 0.7, .between = 0.6}}, 1, ""}, /* said when it was new */
	};
	char text[HINT_MAX_BYTES];
	for (size_t i = 0; i < sizeof lessons / sizeof *lessons; i++) {
		hint_of_lesson(lessons[i].classes, lessons[i].n, &(struct hint_world){0}, text);
		assert_string_equal(text, lessons[i].text);
	}
	hint_of_lesson(lessons[12].classes, 1, &(struct hint_world){.closed = true, .first = true}, text);
	assert_string_equal(text, "");
	hint_of_lesson(lessons[12].classes, 1, &(struct hint_world){.has_none = true}, text);
	assert_string_equal(text, "");
	hint_of_lesson(lessons[0].classes, 1, &(struct hint_world){.first = true}, text);
	assert_string_equal(text, ONE "; " EMPTY);
	hint_of_lesson(lessons[1].classes, 1, &(struct hint_world){.first = true}, text);
	assert_string_equal(text, EMPTY);
}

/* All that can be said at once has room, with numbers as large as they get. */
static void test_all_of_it_fits(void **state)
{
	(void)state;
	const struct hint_class classes[] = {{.pictures = 1, .told = 1}, {.pictures = UINT64_MAX, .told = 4},
		{.is_new = true, .pictures = 3, .told = 3, .within = 0.6, .between = 0.6}};
	char text[HINT_MAX_BYTES];
	hint_of_lesson(classes, 3, &(struct hint_world){.first = true}, text);
	assert_true(strlen(text) + 1 < HINT_MAX_BYTES);
	assert_non_null(strstr(text, "the empty scene"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_said),
		cmocka_unit_test(test_all_of_it_fits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
