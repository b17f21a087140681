// SPDX-License-Identifier: Apache-2.0
/*
 * A block device, past the page cache. Its errors are final: a request that
 * only waits for another helper is not one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "target.h"

int device_open(struct target *target, const char *path)
{
	target->fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (target->fd < 0)
		return -errno;
	return ioctl(target->fd, BLKGETSIZE64, &target->size) ? -errno : 0;
}

static int transferred(ssize_t done, uint32_t length)
{
	if (done < 0)
		return -errno;
	return (uint32_t)done == length ? 0 : -EIO;
}

int device_io(struct target *target, enum target_op op, bool fua,
	      uint64_t offset, uint32_t length, void *data)
{
	struct iovec part = { data, length };
	uint64_t range[2] = { offset, length };
	int err;

	switch (op) {
	case TARGET_READ:
		return transferred(pread(target->fd, data, length,
					 (off_t)offset), length);
	case TARGET_WRITE:
		return transferred(pwritev2(target->fd, &part, 1, (off_t)offset,
					    fua ? RWF_DSYNC : 0), length);
	case TARGET_FLUSH:
		return fdatasync(target->fd) ? -errno : 0;
	case TARGET_TRIM:
		return ioctl(target->fd, BLKDISCARD, range) ? -errno : 0;
	case TARGET_ZERO:
		err = ioctl(target->fd, BLKZEROOUT, range) ? -errno : 0;
		return !err && fua && fdatasync(target->fd) ? -errno : err;
	}
	return -EINVAL;
}
