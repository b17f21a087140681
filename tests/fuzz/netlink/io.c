// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/fs.h>

#include "clock.h"
#include "devices.h"
#include "io.h"

#define BUFFER (256u << 10)
#define UNIT 4096u

static void begin(struct io *io)
{
	__atomic_store_n(&io->since, clock_ms(), __ATOMIC_RELEASE);
}

static void end(struct io *io)
{
	__atomic_store_n(&io->since, 0, __ATOMIC_RELEASE);
}

/* The first 16 MiB, or the last bytes. */
static uint64_t some_offset(struct io *io, uint64_t size, uint64_t len)
{
	uint64_t most = size > len ? size - len : 0;

	if (chance_one_in(&io->chance, 8))
		return most / UNIT * UNIT;
	if (most > 16 << 20)
		most = 16 << 20;
	return chance_below(&io->chance, most / UNIT + 1) * UNIT;
}

static ssize_t operate(struct io *io, int fd, uint64_t size, void *buffer)
{
	uint64_t len = UNIT * (1 + chance_below(&io->chance,
			chance_one_in(&io->chance, 4) ? BUFFER / UNIT : 4));
	uint64_t range[2] = { some_offset(io, size, len), len };

	switch (chance_below(&io->chance, 8)) {
	case 0:
		return fdatasync(fd);
	case 1:
		return ioctl(fd, BLKDISCARD, range);
	case 2:
		return ioctl(fd, BLKZEROOUT, range);
	case 3:
	case 4:
		return pread(fd, buffer, len, range[0]);
	}
	return pwrite(fd, buffer, len, range[0]);
}

static void use(struct io *io, int fd, void *buffer)
{
	unsigned int nr = 1 + chance_below(&io->chance, 32);
	uint64_t size = 0;

	if (ioctl(fd, BLKGETSIZE64, &size))
		return;
	while (nr--) {
		ssize_t n;

		begin(io);
		n = operate(io, fd, size, buffer);
		end(io);
		if (n >= 0)
			io->done_ok++;
		else
			io->done_error++;
		/* The device is dead, or gone. */
		if (n < 0 && chance_one_in(&io->chance, 2))
			return;
	}
}

static void *run(void *arg)
{
	struct io *io = arg;
	char path[32];
	void *buffer;
	int id, fd;

	if (posix_memalign(&buffer, UNIT, BUFFER))
		abort();
	while ((id = devices_wait_live(&io->chance)) >= 0) {
		snprintf(path, sizeof(path), "/dev/torus%d", id);
		__atomic_store_n(&io->dev_id, id, __ATOMIC_RELAXED);
		begin(io);
		fd = open(path, O_CLOEXEC | O_DIRECT |
			  (chance_one_in(&io->chance, 8) ? O_RDONLY : O_RDWR));
		end(io);
		if (fd < 0) {
			if (errno != EROFS && errno != EACCES)
				devices_set_live(id, false);
			continue;
		}
		io->opened++;
		use(io, fd, buffer);
		begin(io);
		close(fd);
		end(io);
	}
	free(buffer);
	return NULL;
}

int io_start(struct io *io, uint64_t seed)
{
	/* Numbers that no worker has. */
	chance_init(&io->chance, seed, 1000 + io->index);
	return -pthread_create(&io->thread, NULL, run, io);
}

void io_join(struct io *io)
{
	pthread_join(io->thread, NULL);
}
