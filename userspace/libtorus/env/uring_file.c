// SPDX-License-Identifier: Apache-2.0
/*
 * File operations.
 *
 * Life of an operation: submitted -> waiting (more than FILES_IN_FLIGHT are in
 * flight) -> in flight, one request of io_uring at a time -> done list ->
 * done() in the next turn. Operations are independent: the kernel may run
 * them in any order, and whoever needs an order waits for done().
 *
 * LIST and STATFS have no request in io_uring. They run in the loop when
 * their turn comes; LIST is for start-up, STATFS does not touch the disk.
 *
 * Private state: priv[0] bytes moved so far, priv[1] index of the first piece
 * of the iov that is not finished, priv[2] step of an operation that has
 * several, priv[3] a descriptor or result that such steps carry. OPEN with
 * FILE_FRESH has two, SYNC_DIR three.
 *
 * FILE_DIRECT is set on the open file, not asked of the open: a file system that
 * refuses it does so after it has created the file. One that takes it and then
 * cannot do a transfer loses it again, and the transfer is repeated.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "env/memcheck.h"
#include "env/uring_internal.h"

#define FILES_IN_FLIGHT 256

#define OP_MOVED	priv[0]
#define OP_PIECE	priv[1]
#define OP_STEP		priv[2]
#define OP_CARRY	priv[3]

/* ---- one request of an operation -------------------------------------- */

static void prep_open(struct uring *u, struct env_file_op *op,
		      struct io_uring_sqe *sqe)
{
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;

	if (op->OP_STEP) {
		io_uring_prep_fadvise(sqe, op->OP_CARRY, 0, 0,
				      POSIX_FADV_DONTNEED);
		return;
	}
	if (op->flags & FILE_CREATE)
		flags |= O_CREAT;
	if (op->flags & FILE_EXCLUSIVE)
		flags |= O_EXCL;
	io_uring_prep_openat(sqe, u->root_fd, op->path, flags, 0600);
}

static void prep_transfer(struct env_file_op *op, struct io_uring_sqe *sqe)
{
	struct iovec *iov = op->iov + op->OP_PIECE;
	unsigned int count = MIN(op->iov_count - op->OP_PIECE,
				 (uint64_t)IOV_MAX);
	uint64_t offset = op->offset + op->OP_MOVED;
	unsigned int i;

	if (op->type == FILE_READ) {
		io_uring_prep_readv(sqe, op->file, iov, count, offset);
		return;
	}
	for (i = 0; i < count; i++)
		memcheck_read(iov[i].iov_base, iov[i].iov_len);
	io_uring_prep_writev(sqe, op->file, iov, count, offset);
}

enum sync_dir_step { SYNC_DIR_OPEN, SYNC_DIR_SYNC, SYNC_DIR_CLOSE };

static void prep_sync_dir(struct uring *u, struct env_file_op *op,
			  struct io_uring_sqe *sqe)
{
	switch (op->OP_STEP) {
	case SYNC_DIR_OPEN:
		io_uring_prep_openat(sqe, u->root_fd,
				     op->path[0] ? op->path : ".",
				     O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
		break;
	case SYNC_DIR_SYNC:
		io_uring_prep_fsync(sqe, op->OP_CARRY, 0);
		break;
	default:
		io_uring_prep_close(sqe, op->OP_CARRY);
		break;
	}
}

static void start_request(struct uring *u, struct env_file_op *op)
{
	struct io_uring_sqe *sqe = uring_sqe(u, TAG_FILE, op);

	switch (op->type) {
	case FILE_OPEN:
		prep_open(u, op, sqe);
		break;
	case FILE_CLOSE:
		io_uring_prep_close(sqe, op->file);
		break;
	case FILE_SYNC:
		io_uring_prep_fsync(sqe, op->file, IORING_FSYNC_DATASYNC);
		break;
	case FILE_SYNC_DIR:
		prep_sync_dir(u, op, sqe);
		break;
	case FILE_UNLINK:
		io_uring_prep_unlinkat(sqe, u->root_fd, op->path,
				       op->OP_STEP ? AT_REMOVEDIR : 0);
		break;
	case FILE_RENAME:
		io_uring_prep_renameat(sqe, u->root_fd, op->path, u->root_fd,
				       op->path2, 0);
		break;
	case FILE_MKDIR:
		io_uring_prep_mkdirat(sqe, u->root_fd, op->path, 0700);
		break;
	case FILE_PUNCH:
		io_uring_prep_fallocate(sqe, op->file, FALLOC_FL_PUNCH_HOLE |
					FALLOC_FL_KEEP_SIZE, op->offset,
					op->length);
		break;
	default:	/* FILE_READ, FILE_WRITE */
		prep_transfer(op, sqe);
		break;
	}
}

/* ---- what runs in the loop itself ------------------------------------- */

static void list_entry_of(struct env_file_op *op, DIR *dir, const char *name)
{
	struct stat st;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return;
	/* Unlinked since: not in the directory any more. */
	if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	op->entry(op, name, st.st_size, S_ISDIR(st.st_mode));
}

static int list_directory(struct uring *u, struct env_file_op *op)
{
	struct dirent *de;
	DIR *dir;
	int fd, err;

	fd = openat(u->root_fd, op->path[0] ? op->path : ".",
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		err = -errno;
		close(fd);
		return err;
	}
	for (errno = 0; (de = readdir(dir)); errno = 0)
		list_entry_of(op, dir, de->d_name);
	err = -errno;
	closedir(dir);
	return err;
}

static int stat_file_system(struct uring *u, struct env_file_op *op)
{
	struct statvfs st;

	if (fstatvfs(u->root_fd, &st) < 0)
		return -errno;
	op->total_bytes = (uint64_t)st.f_blocks * st.f_frsize;
	op->free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

/* ---- steps ------------------------------------------------------------- */

/* Take @n bytes off the front of the iov; whether anything is left. */
static bool advance(struct env_file_op *op, size_t n)
{
	op->OP_MOVED += n;
	while (op->OP_PIECE < (uint64_t)op->iov_count) {
		struct iovec *iov = op->iov + op->OP_PIECE;
		size_t part = MIN(n, iov->iov_len);

		if (op->type == FILE_READ)
			memcheck_filled(iov->iov_base, part);
		iov->iov_base = (uint8_t *)iov->iov_base + part;
		iov->iov_len -= part;
		n -= part;
		if (iov->iov_len)
			return true;
		op->OP_PIECE++;
	}
	return false;
}

/* Whether the file was direct and is not any more. */
static bool give_up_direct(int file)
{
	int flags = fcntl(file, F_GETFL);

	return flags >= 0 && (flags & O_DIRECT) &&
	       fcntl(file, F_SETFL, flags & ~O_DIRECT) == 0;
}

/* Where it is refused, the cache is used: slower, and all else is the same. */
static void make_direct(int file)
{
	int flags = fcntl(file, F_GETFL);

	if (flags < 0 || fcntl(file, F_SETFL, flags | O_DIRECT) < 0)
		log_debug("a file is not written directly: %s",
			  strerror(errno));
}

/* Whether the operation goes on with another request. */
static bool transfer_step(struct env_file_op *op, int res)
{
	if (res == -EINTR || res == -EAGAIN)
		return true;
	if (res == -EINVAL && give_up_direct(op->file))
		return true;
	if (res > 0 && advance(op, res))
		return true;
	/* A file system that runs full in the middle: say how far it came. */
	if (res < 0 && !(res == -ENOSPC && op->OP_MOVED))
		op->result = res;
	else
		op->result = op->OP_MOVED;
	return false;
}

/* Advice is never needed for the file to be used: its result is not ours. */
static bool open_step(struct env_file_op *op, int res)
{
	if (op->OP_STEP)
		return false;
	op->result = res;
	op->OP_CARRY = res;
	op->OP_STEP = 1;
	if (res >= 0 && (op->flags & FILE_DIRECT))
		make_direct(res);
	return res >= 0 && (op->flags & FILE_FRESH);
}

static bool sync_dir_step(struct env_file_op *op, int res)
{
	switch (op->OP_STEP) {
	case SYNC_DIR_OPEN:
		op->result = res;
		op->OP_CARRY = res;
		op->OP_STEP = SYNC_DIR_SYNC;
		return res >= 0;
	case SYNC_DIR_SYNC:
		op->result = res;
		op->OP_STEP = SYNC_DIR_CLOSE;
		return true;
	default:
		return false;
	}
}

static bool next_step(struct env_file_op *op, int res)
{
	switch (op->type) {
	case FILE_OPEN:
		return open_step(op, res);
	case FILE_READ:
	case FILE_WRITE:
		return transfer_step(op, res);
	case FILE_SYNC_DIR:
		return sync_dir_step(op, res);
	case FILE_UNLINK:
		op->result = res;
		return res == -EISDIR && !op->OP_STEP++;
	default:
		op->result = res;
		return false;
	}
}

/* ---- life -------------------------------------------------------------- */

static void start_waiting(struct uring *u)
{
	while (u->file_in_flight < FILES_IN_FLIGHT &&
	       !list_empty(&u->file_waiting)) {
		struct env_file_op *op = list_first_entry(
			&u->file_waiting, struct env_file_op, node);

		list_del_init(&op->node);
		u->file_in_flight++;
		start_request(u, op);
	}
}

void uring_file_complete(struct uring *u, struct env_file_op *op, int res)
{
	if (next_step(op, res)) {
		start_request(u, op);
		return;
	}
	u->file_in_flight--;
	start_waiting(u);
	op->done(op);
}

/* Results and operations of the loop itself; called once a turn. */
void uring_file_run(struct uring *u)
{
	struct list_head now;

	list_init(&now);
	list_splice_tail_init(&u->file_done, &now);
	while (!list_empty(&now)) {
		struct env_file_op *op =
			list_first_entry(&now, struct env_file_op, node);

		list_del_init(&op->node);
		if (op->type == FILE_LIST && !op->result)
			op->result = list_directory(u, op);
		else if (op->type == FILE_STATFS && !op->result)
			op->result = stat_file_system(u, op);
		op->done(op);
	}
}

static bool runs_in_loop(const struct env_file_op *op)
{
	return op->type == FILE_LIST || op->type == FILE_STATFS;
}

static bool is_empty_transfer(const struct env_file_op *op)
{
	size_t left = 0;
	int i;

	if (op->type != FILE_READ && op->type != FILE_WRITE)
		return false;
	for (i = 0; i < op->iov_count; i++)
		left += op->iov[i].iov_len;
	return left == 0;
}

void uring_file_submit(struct env *env, struct env_file_op *op)
{
	struct uring *u = to_uring(env);

	memset(op->priv, 0, sizeof(op->priv));
	op->result = u->root_fd < 0 ? -EBADF : 0;
	if (op->result || runs_in_loop(op) || is_empty_transfer(op)) {
		list_add_tail(&op->node, &u->file_done);
		return;
	}
	list_add_tail(&op->node, &u->file_waiting);
	start_waiting(u);
}
