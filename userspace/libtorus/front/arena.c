// SPDX-License-Identifier: Apache-2.0
/*
 * The order matters: the file gets its length, is mapped for writing, gets its
 * pages, and is sealed last. F_SEAL_FUTURE_WRITE then permits this mapping and
 * no other, and the driver takes only pages that are in memory at bind.
 */
#include "front/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/torus.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

int arena_check_size(uint64_t size, uint32_t io_size_max)
{
	uint64_t least = 2ull * io_size_max;

	if (size < least || size > TORUS_ARENA_SIZE_LIMIT ||
	    size % (uint64_t)sysconf(_SC_PAGESIZE))
		return error_set(-EINVAL, "an arena has between %llu KiB (two of the largest requests) and 1 GiB, in whole pages",
				 (unsigned long long)least / 1024);
	return 0;
}

/* Kernels before 6.3 do not know the flag, later ones may insist on it. */
static int make_file(void)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("torus-arena", flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("torus-arena", flags);
	return fd < 0 ? -errno : fd;
}

/* Without the right to lock, touching gets the pages, as long as they stay. */
static void populate(struct arena *arena)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (mlock(arena->memory, arena->size) < 0) {
		log_warning("the arena cannot be locked in memory: %s (needs CAP_IPC_LOCK or LimitMEMLOCK=infinity)",
			    strerror(errno));
	}
	for (size_t at = 0; at < arena->size; at += page)
		((volatile uint8_t *)arena->memory)[at] = 0;
}

static int map_and_seal(struct arena *arena, size_t size)
{
	void *memory;

	if (ftruncate(arena->fd, (off_t)size) < 0)
		return -errno;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, arena->fd,
		      0);
	if (memory == MAP_FAILED)
		return -errno;
	arena->memory = memory;
	arena->size = size;
	if (madvise(memory, size, MADV_DONTFORK) < 0 ||
	    madvise(memory, size, MADV_DONTDUMP) < 0)
		return -errno;
	populate(arena);
	if (fcntl(arena->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW |
		  F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	return 0;
}

int arena_init(struct arena *arena, size_t size)
{
	int err;

	arena_clear(arena);
	err = make_file();
	if (err >= 0) {
		arena->fd = err;
		err = map_and_seal(arena, size);
	}
	if (err) {
		arena_release(arena);
		return error_set(err, "arena of %zu KiB: %s", size / 1024,
				 strerror(-err));
	}
	return 0;
}

void arena_release(struct arena *arena)
{
	if (arena->memory)
		munmap(arena->memory, arena->size);
	if (arena->fd >= 0)
		close(arena->fd);
	arena_clear(arena);
}
