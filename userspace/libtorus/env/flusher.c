// SPDX-License-Identifier: Apache-2.0
#include "env/flusher.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* The most that glibc permits; larger ones are few, and kept by their users. */
#define HEAP_PIECE_MAX	(32 << 20)
#define STACK_BYTES	(128u << 10)

static int refused(const char *what, const char *needs, int err)
{
	log_warning("%s refused: %s (%s)", what, strerror(err), needs);
	return 1;
}

static int declare_flusher(void)
{
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
		return refused("PR_SET_IO_FLUSHER", "needs CAP_SYS_RESOURCE and Linux 5.6",
			       errno);
	return 0;
}

/*
 * Without the limit lifted, MCL_FUTURE would make later allocations fail: then
 * rather no lock at all. ONFAULT: memory that is reserved and never used (a
 * thread's stack) does not count.
 */
static int lock_memory(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 &&
	    (getrlimit(RLIMIT_MEMLOCK, &limit) < 0 ||
	     limit.rlim_cur != RLIM_INFINITY))
		return refused("locking memory", "needs LimitMEMLOCK=infinity or CAP_SYS_RESOURCE",
			       EPERM);
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		return refused("mlockall", "needs CAP_IPC_LOCK or LimitMEMLOCK=infinity",
			       errno);
	return 0;
}

static int spare_from_oom(void)
{
	static const char score[] = "-1000";
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	int err = fd < 0 ? errno : 0;

	if (fd >= 0) {
		if (write(fd, score, strlen(score)) < 0)
			err = errno;
		close(fd);
	}
	if (err)
		return refused("oom_score_adj -1000", "needs CAP_SYS_RESOURCE, or OOMScoreAdjust=-1000 of systemd",
			       err);
	return 0;
}

static int forbid_core_dump(void)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return refused("PR_SET_DUMPABLE", "core dumps stay possible",
			       errno);
	return 0;
}

int flusher_declare(const struct flusher_config *cfg)
{
	int count = declare_flusher();

	/* Before no_core_dump: /proc/self then belongs to root. */
	if (cfg->spare_from_oom)
		count += spare_from_oom();
	if (cfg->lock_memory)
		count += lock_memory();
	if (cfg->no_core_dump)
		count += forbid_core_dump();
	return count;
}

static void touch(volatile uint8_t *memory, size_t bytes)
{
	size_t at, page = (size_t)sysconf(_SC_PAGESIZE);

	for (at = 0; at < bytes; at += page)
		memory[at] = 0;
}

static void __attribute__((noinline)) touch_stack(void)
{
	uint8_t room[STACK_BYTES];

	touch(room, sizeof(room));
}

int flusher_reserve(size_t bytes)
{
	uint8_t *memory;

	/* Else pieces of 128 KiB are mapped for each use, and faulted in again. */
	mallopt(M_MMAP_THRESHOLD, HEAP_PIECE_MAX);
	mallopt(M_TRIM_THRESHOLD, -1);
	memory = malloc(bytes);
	if (memory == NULL)
		return -ENOMEM;
	touch(memory, bytes);
	free(memory);
	touch_stack();
	return 0;
}
