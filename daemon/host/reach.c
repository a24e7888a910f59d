/* SPDX-License-Identifier: MIT */
/* daemon/host/reach.c: see reach.h. The protections are those of systemd/bnnd.service.in. Asks the kernel only; changes
 * nothing. */
#include "daemon/host/reach.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/memory.h"
#include "lib/base/text.h"

enum { SHOWN_BYTES = 120 };

static const char *const homes[] = {"/home", "/root", "/run/user"};                /* ProtectHome= */
static const char *const private_dirs[] = {"/tmp", "/var/tmp"};                    /* PrivateTmp= */
static const char *const writable[] = {REACH_STATE_DIR, "/run/bnnd", "/etc/bnnd"}; /* StateDirectory= and its like */

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);
	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* The one of the folders that the path lies in, or NULL. */
static const char *one_above(const char *path, const char *const *dirs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_below(path, dirs[i]))
			return dirs[i];
	return NULL;
}
#define ONE_ABOVE(path, dirs) one_above(path, dirs, sizeof(dirs) / sizeof *(dirs))

static bool started_by_systemd(void)
{
	const char *pid = getenv("SYSTEMD_EXEC_PID");
	return pid && strtol(pid, NULL, 10) == getpid();
}

/* ProtectHome=yes lays an empty folder of root that nobody may enter over each home. */
static bool is_masked(const char *dir)
{
	struct stat st;
	return stat(dir, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0 && st.st_uid == 0;
}

static void say_home(const char *home, bool to_write, char ret_text[REACH_TEXT_BYTES])
{
	snprintf(ret_text, REACH_TEXT_BYTES,
		to_write ? "the unit hides %s from the daemon (ProtectHome=yes): choose a folder elsewhere, %s is the "
			   "one made for it"
			 : "the unit hides %s from the daemon (ProtectHome=yes): copy the file to %s, or `systemctl "
			   "edit "
			   "bnnd` with [Service] and ProtectHome=read-only",
		home, to_write ? REACH_STATE_DIR : BNND_MODEL_DIR);
}

static void say_private(const char *dir, char ret_text[REACH_TEXT_BYTES])
{
	snprintf(ret_text, REACH_TEXT_BYTES,
		"the unit gives the daemon a %s of its own (PrivateTmp=yes): choose a place elsewhere, such as %s", dir,
		REACH_STATE_DIR);
}

static void say_strict(const char *path, char ret_text[REACH_TEXT_BYTES])
{
	char shown[SHOWN_BYTES];
	text_escape(shown, sizeof shown, (const uint8_t *)path, strlen(path));
	snprintf(ret_text, REACH_TEXT_BYTES,
		"the unit lets the daemon write below %s alone (ProtectSystem=strict): make the folder, give it to "
		"bnnd, then `systemctl edit bnnd` with [Service] and ReadWritePaths=%s",
		REACH_STATE_DIR, shown);
}

bool reach_unit_obstacle(const char *path, bool to_write, char ret_text[REACH_TEXT_BYTES])
{
	const char *home = ONE_ABOVE(path, homes), *private_dir = ONE_ABOVE(path, private_dirs);
	if (home)
		say_home(home, to_write, ret_text);
	else if (private_dir)
		say_private(private_dir, ret_text);
	else if (to_write && !ONE_ABOVE(path, writable))
		say_strict(path, ret_text);
	else
		return false;
	return true;
}

/* "the daemon's user bnnd may not enter /home/pi" */
static void say_denied(const char *what, const char *path, char ret_text[REACH_TEXT_BYTES])
{
	char shown[SHOWN_BYTES], number[32];
	struct passwd *user = getpwuid(geteuid());
	snprintf(number, sizeof number, "number %u", (unsigned)geteuid());
	text_escape(shown, sizeof shown, (const uint8_t *)path, strlen(path));
	snprintf(ret_text, REACH_TEXT_BYTES, "the daemon's user %.64s may not %s %s", user ? user->pw_name : number,
		what, shown);
}

/* The first folder on the way that may not be entered, its path in at[]; false: none. */
static bool closed_folder(char *at)
{
	for (char *slash = strchr(at + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (access(at, X_OK) != 0)
			return errno == EACCES;
		*slash = '/';
	}
	return false;
}

/* Cuts at[] to the part of it that is there. */
static void existing_part(char *at)
{
	struct stat st;
	while (stat(at, &st) != 0 && errno == ENOENT) {
		char *slash = strrchr(at, '/');
		if (!slash) {
			strcpy(at, "."); /* as long as any name */
			return;
		}
		slash[slash == at] = '\0';
	}
}

static bool obstacle(char *at, const char *path, bool to_write, char ret_text[REACH_TEXT_BYTES])
{
	if (closed_folder(at)) {
		say_denied("enter", at, ret_text);
		return true;
	}
	if (to_write)
		existing_part(at);
	if (access(at, to_write ? W_OK | X_OK : R_OK) == 0)
		return false;
	if (errno == EACCES) {
		say_denied(to_write ? "write into" : "read", at, ret_text);
		return true;
	}
	if (errno != EROFS)
		return false;
	if (started_by_systemd())
		say_strict(path, ret_text);
	else
		snprintf(ret_text, REACH_TEXT_BYTES, "it is on a file system that is mounted read-only");
	return true;
}

bool reach_obstacle(const char *path, bool to_write, char ret_text[REACH_TEXT_BYTES])
{
	const char *home = ONE_ABOVE(path, homes), *private_dir = ONE_ABOVE(path, private_dirs);
	if (home && is_masked(home)) {
		say_home(home, to_write, ret_text);
		return true;
	}
	if (private_dir && !to_write && started_by_systemd() && access(path, F_OK) != 0) {
		say_private(private_dir, ret_text);
		return true;
	}
	char *at = mem_strdup(path);
	bool found = obstacle(at, path, to_write, ret_text);
	free(at);
	return found;
}
