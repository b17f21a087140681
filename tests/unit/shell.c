// SPDX-License-Identifier: Apache-2.0
#include "shell.h"

#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int shell(const char *format, ...)
{
	char command[4096];
	char *argv[] = { "sh", "-c", command, NULL };
	int status;
	va_list ap;
	pid_t pid;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) != 0 ||
	    waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}
