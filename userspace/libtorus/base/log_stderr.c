// SPDX-License-Identifier: Apache-2.0
/*
 * The usual sink. Whoever reads standard error may have stopped reading, and
 * a process that serves a block device must not wait for it: a line that does
 * not fit at once is dropped, and the number of dropped lines is said with
 * the next one that gets through.
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What systemd's journal understands at the start of a line (sd-daemon(3)). */
static const char *const journal_prefix[] = {
	[LOG_LEVEL_ERROR] = "<3>",
	[LOG_LEVEL_WARNING] = "<4>",
	[LOG_LEVEL_INFO] = "<6>",
	[LOG_LEVEL_DEBUG] = "<7>",
};

/* No writer of this process ever blocks here. */
static bool write_now(const char *text, size_t len)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };
	ssize_t n;

	n = send(STDERR_FILENO, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n >= 0 || errno != ENOTSOCK)
		return n == (ssize_t)len;
	/* A pipe that polls writable takes PIPE_BUF bytes without waiting. */
	if (poll(&pfd, 1, 0) != 1)
		return false;
	return write(STDERR_FILENO, text, len) == (ssize_t)len;
}

void log_sink_stderr(enum log_level level, const char *line)
{
	static unsigned long dropped;
	static int journal = -1;
	char text[2304];
	const char *prefix;
	int n;

	if (journal < 0)
		journal = getenv("JOURNAL_STREAM") != NULL;
	prefix = journal ? journal_prefix[level] : "";
	if (dropped > 0)
		n = snprintf(text, sizeof(text),
			     "%s%s (%lu earlier lines were dropped)\n",
			     prefix, line, dropped);
	else
		n = snprintf(text, sizeof(text), "%s%s\n", prefix, line);
	if (n >= (int)sizeof(text))
		n = sizeof(text) - 1;
	if (write_now(text, (size_t)n))
		dropped = 0;
	else
		dropped++;
}
