/* SPDX-License-Identifier: MIT */
/* client/ctl/main.c: bnnctl: the table of verbs, and nothing that one of them does. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/ctl.h"

#define PICTURE_FLAGS (ARG_BIT(ARG_RAW) | ARG_BIT(ARG_ROI) | ARG_BIT(ARG_ROTATE))
#define CHANGE_FLAGS  (ARG_BIT(ARG_KEY) | ARG_BIT(ARG_IF_SEQ))

static const struct verb verbs[] = {
	{"status", "", "Says whether the daemon is ready, with which model, and what it has learned", "",
		"  bnnctl status\n  bnnctl --json status\n"
		"  bnnctl status --check || mail -s \"bnnd needs a look\" root\n",
		ARG_BIT(ARG_CHECK), ctl_status},
	{"learn", "NAME FILE... | --none FILE... | --dir DIR", "Teaches a class from pictures, durably when it returns",
		"Ten to twenty pictures of one thing, from several sides, are a good start; teach it again later "
		"with\n"
		"more. A picture that was taught before under the same name counts nothing. A file that is no picture "
		"is\n"
		"reported and left out (exit 1), the others are learned. FILE - is one picture from standard input.\n\n"
		"--dir teaches each subfolder as the class of its name, in name order, one lesson a class; a subfolder "
		"called\n"
		"none or background as --none. It takes the files in the subfolders themselves (hidden files, files "
		"whose\n"
		"extension is not a picture's and folders of systems such as @eaDir are passed over); running it "
		"again\n"
		"teaches only what is new.\n",
		"  bnnctl learn mug mug-*.jpg\n"
		"  bnnctl learn --none empty-table-*.jpg        # nothing in particular: answered as none\n"
		"  bnnctl learn --dir photos                    # photos/mug/*.jpg, photos/cup/*.jpg, ...\n"
		"  bnnctl learn mug --raw 640x480x3 frame.rgb   # pixels without a header\n"
		"  rpicam-still -o - | bnnctl learn mug -\n",
		PICTURE_FLAGS | CHANGE_FLAGS | ARG_BIT(ARG_DIR) | ARG_BIT(ARG_TOGETHER) | ARG_BIT(ARG_NONE) |
			ARG_BIT(ARG_DRY_RUN),
		ctl_learn},
	{"infer", "FILE...", "Says what is in each picture, or unknown",
		"One line a picture, in the order of the arguments. FILE - is one picture from standard input.\n",
		"  bnnctl infer photo.jpg\n"
		"  bnnctl --json infer *.jpg | jq -r '[.source, .label // \"unknown\"] | @tsv'\n"
		"  bnnctl infer --fail-unknown door.jpg && echo \"somebody known\"\n"
		"  bnnctl infer --roi 0.25,0,0.5,1 --rotate 90 door.jpg\n",
		PICTURE_FLAGS | ARG_BIT(ARG_REFUSE) | ARG_BIT(ARG_TOP) | ARG_BIT(ARG_FAIL_UNKNOWN), ctl_infer_files},
	{"test", "DIR", "Measures accuracy on a folder of folders, named like the classes",
		"correct: the best class is the right one, refused or not; refused: answered as unknown; answered: "
		"the\n"
		"accuracy among those that were not refused. Folders that are no class of the daemon count apart: all "
		"of\n"
		"their pictures should be refused. Of a folder none or background, correct is what is refused, as none "
		"or as\n"
		"unknown. The last line is the total.\n",
		"  bnnctl test photos-never-taught\n  bnnctl test --refuse 0.01 --confusion DIR\n  bnnctl --json test "
		"DIR | tail -1\n",
		PICTURE_FLAGS | ARG_BIT(ARG_REFUSE) | ARG_BIT(ARG_EACH) | ARG_BIT(ARG_CONFUSION), ctl_test},
	{"embed", "FILE...", "Prints the feature vector of each picture, as integers", "",
		"  bnnctl --json embed photo.jpg\n", PICTURE_FLAGS, ctl_embed},
	{"look", "FILE -o PNG", "Writes exactly what the network sees of a picture",
		"Helps to find out why an answer is wrong: what you show may be too small, cut off or turned.\n",
		"  bnnctl look photo.jpg -o seen.png\n", PICTURE_FLAGS | ARG_BIT(ARG_OUTPUT), ctl_look},
	{"classes", "[NAME | --none]", "Lists what is taught, or the lessons of one class", "",
		"  bnnctl classes\n  bnnctl classes mug\n", ARG_BIT(ARG_NONE), ctl_classes},
	{"history", "", "Lists every change, the newest first", "", "  bnnctl history --limit 10\n", ARG_BIT(ARG_LIMIT),
		ctl_history},
	{"forget", "NAME | --none", "Forgets a class; undo takes it back", "",
		"  bnnctl forget mug\n  bnnctl forget --none    # the negatives\n", CHANGE_FLAGS | ARG_BIT(ARG_NONE),
		ctl_forget},
	{"rename", "OLD NEW", "Gives a class another name", "", "  bnnctl rename mug \"blue mug\"\n", CHANGE_FLAGS,
		ctl_rename},
	{"undo", "", "Takes back the newest change; again: the one before", "",
		"  bnnctl undo\n  bnnctl undo --if-seq 12    # only if nobody changed anything since\n", CHANGE_FLAGS,
		ctl_undo},
	{"rollback", "SEQ", "Makes the state after a change of history again; undo takes that back", "",
		"  bnnctl history\n  bnnctl rollback 7\n  bnnctl rollback 0    # nothing learned\n", CHANGE_FLAGS,
		ctl_rollback},
};
enum { N_VERBS = sizeof verbs / sizeof *verbs };

static bool wants_color(void)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");
	return isatty(STDOUT_FILENO) && !(no && no[0]) && !(term && strcmp(term, "dumb") == 0);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct err err;
	if (args_parse(argc, argv, verbs, N_VERBS, &ctl->args, &err) != 0)
		return ctl_usage(ctl, "%s", err.text);
	if (args_has(&ctl->args, ARG_VERSION)) {
		printf("bnnctl " BNND_VERSION "\n");
		return CTL_DONE;
	}
	if (args_has(&ctl->args, ARG_HELP)) {
		args_help(stdout, verbs, N_VERBS, ctl->args.verb);
		return CTL_DONE;
	}
	if (!ctl->args.verb) {
		args_help(stderr, verbs, N_VERBS, NULL);
		return CTL_USAGE;
	}
	return ctl->args.verb->run(ctl);
}

int main(int argc, char **argv)
{
	struct ctl ctl = {.color = wants_color()};
	int exit_code = run(&ctl, argc, argv);
	progress_clear(&ctl.progress);
	bnnd_close(ctl.conn);
	free(ctl.args.operands);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "bnnctl: standard output could not be written: %s\n", strerror(errno));
		exit_code = exit_code == CTL_DONE ? CTL_FAILED : exit_code;
	}
	return exit_code;
}
