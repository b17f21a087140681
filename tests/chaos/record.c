// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <time.h>

#include "record.h"

static FILE *file;

uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int record_open(const char *path)
{
	file = fopen(path, "ae");
	return file ? 0 : -errno;
}

/* stdio locks the stream; its error is sticky, record_close() tells it. */
void record_event(const struct event *event)
{
	fwrite(event, sizeof(*event), 1, file);
}

int record_close(void)
{
	int err = ferror(file) ? -EIO : 0;

	if (fclose(file) && !err)
		err = -errno;
	return err;
}
