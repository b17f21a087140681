// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "target.h"

const char *target_op_name(enum target_op op)
{
	static const char *const names[] = { "read", "write", "trim", "zero",
					     "flush" };

	return names[op];
}

int target_open(struct target *target, const char *path)
{
	struct stat status;
	int err;

	if (stat(path, &status))
		return -errno;
	target->is_nbd = S_ISSOCK(status.st_mode);
	err = target->is_nbd ? nbd_open(target, path) :
			       device_open(target, path);
	if (err)
		target_close(target);
	return err;
}

void target_close(struct target *target)
{
	int fd = atomic_exchange(&target->fd, -1);

	if (fd >= 0)
		close(fd);
}

int target_io(struct target *target, enum target_op op, bool fua,
	      uint64_t offset, uint32_t length, void *data)
{
	if (target->aborted)
		return -ENOTCONN;
	if (target->is_nbd)
		return nbd_io(target, op, fua, offset, length, data);
	return device_io(target, op, fua, offset, length, data);
}

void target_abort(struct target *target)
{
	int fd = target->fd;

	target->aborted = true;
	if (target->is_nbd && fd >= 0)
		shutdown(fd, SHUT_RDWR);
}
