/* SPDX-License-Identifier: Apache-2.0 */
/* Starts a helper in the background, and waits until it is ready or has ended. */
#ifndef TORUSCTL_HELPER_SPAWN_H
#define TORUSCTL_HELPER_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#define SPAWN_TEXT_MAX 1024
#define SPAWN_ARGS_MAX 16
#define SPAWN_LOGS "/run/torus"

struct spawn {
	const char *volume;
	const char *program;		/* NULL: beside torusctl, else in PATH */
	char *args[SPAWN_ARGS_MAX];	/* after the program's name; ends with NULL */
	int timeout_s;

	/* Results. */
	pid_t pid;
	char device[64];		/* "/dev/torus0" */
	char status[SPAWN_TEXT_MAX];	/* the helper's last word */
	bool failed;			/* which says why it failed */
	char log[128];
};

/**
 * spawn_helper() - returns 0 with @s->device; or -errno with error text, and
 * then no helper runs any more.
 */
int spawn_helper(struct spawn *s);

#endif
