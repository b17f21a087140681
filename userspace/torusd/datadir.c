// SPDX-License-Identifier: Apache-2.0
#include "datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"

/*
 * A store on a device that this very cluster serves would wait for itself as
 * soon as memory gets short.
 */
static int check_device(const char *path, dev_t dev, const char *why)
{
	char link[64], target[512];
	ssize_t len;

	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(dev),
		 minor(dev));
	len = readlink(link, target, sizeof(target) - 1);
	if (len < 0)
		return 0;		/* no block device of its own */
	target[len] = '\0';
	if (strstr(target, "/block/torus") == NULL)
		return 0;
	return error_set(-EXDEV, "%s lies on a torus device: %s", path, why);
}

int datadir_check_log(void)
{
	struct stat st;

	if (fstat(STDERR_FILENO, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	return check_device("standard error", st.st_dev,
			    "a torusd must not wait for a volume to say something");
}

static int take_lock(struct datadir *dir, int fd, const char *path)
{
	char text[32] = "";
	ssize_t len;

	dir->lock = openat(fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (dir->lock < 0)
		return error_set(-errno, "%s/lock: %s", path, strerror(errno));
	if (flock(dir->lock, LOCK_EX | LOCK_NB) < 0) {
		int err = -errno;

		len = read(dir->lock, text, sizeof(text) - 1);
		text[len > 0 ? len : 0] = '\0';
		if (err == -EWOULDBLOCK)
			return error_set(-EBUSY, "%s is in use by another torusd (pid %ld)",
					 path, strtol(text, NULL, 10));
		return error_set(err, "%s/lock: %s", path, strerror(-err));
	}
	len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	errno = ENOSPC;			/* of a write that falls short */
	if (ftruncate(dir->lock, 0) < 0 ||
	    pwrite(dir->lock, text, (size_t)len, 0) != len)
		return error_set(-errno, "%s/lock: cannot write: %s", path,
				 strerror(errno));
	return 0;
}

/* The page cache outlives this process, but neither a reboot nor a mount. */
static int read_boot_id(struct datadir *dir, int fd)
{
	struct statx stx;
	char id[37] = "";
	int proc = open("/proc/sys/kernel/random/boot_id",
			O_RDONLY | O_CLOEXEC);
	ssize_t len = proc >= 0 ? read(proc, id, 36) : -1;

	if (proc >= 0)
		close(proc);
	if (len != 36)
		return error_set(-EIO, "cannot read /proc/sys/kernel/random/boot_id");
	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0 ||
	    !(stx.stx_mask & STATX_MNT_ID))
		return error_set(-EIO, "this kernel does not tell mounts apart");
	snprintf(dir->boot_id, sizeof(dir->boot_id), "%s-%llx", id,
		 (unsigned long long)stx.stx_mnt_id);
	return 0;
}

static int learn(struct datadir *dir, int fd, const char *path)
{
	struct statvfs fs;
	struct stat st;
	int err;

	if (fstat(fd, &st) < 0 || fstatvfs(fd, &fs) < 0)
		return error_set(-errno, "%s: %s", path, strerror(errno));
	err = check_device(path, st.st_dev, "chunks cannot be kept there");
	if (err < 0)
		return err;
	dir->total_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
	dir->has_identity = faccessat(fd, "identity", F_OK, 0) == 0;
	err = read_boot_id(dir, fd);
	return err < 0 ? err : take_lock(dir, fd, path);
}

int datadir_open(struct datadir *dir, const char *path)
{
	int fd, err;

	memset(dir, 0, sizeof(*dir));
	dir->lock = -1;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set(-errno, "cannot make directory %s: %s%s", path,
				 strerror(errno), errno == ENOENT ?
				 " (the one above it must exist: is the disk mounted?)" : "");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(-errno, "%s: %s", path, strerror(errno));
	err = learn(dir, fd, path);
	close(fd);
	return err;
}

void datadir_close(struct datadir *dir)
{
	if (dir->lock >= 0)
		close(dir->lock);
	dir->lock = -1;
}
