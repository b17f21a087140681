// SPDX-License-Identifier: Apache-2.0
/* File operations of the reactor, in a temporary directory. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "env/env_uring.h"

static struct env *env;
static char root[] = "/tmp/torus-env-file-XXXXXX";
static int pending;

static int setup(void **state)
{
	assert_non_null(mkdtemp(root));
	env = env_uring_new(&(struct env_uring_config){ .root = root });
	assert_non_null(env);
	return 0;
}

static int teardown(void **state)
{
	env_uring_free(env);
	return rmdir(root);
}

static void one_done(struct env_file_op *op)
{
	if (--pending == 0)
		env_uring_stop(env);
}

static int64_t run(struct env_file_op *op)
{
	op->done = one_done;
	pending = 1;
	op->result = 12345;
	env_file_submit(env, op);
	assert_int_equal(pending, 1);
	assert_int_equal(env_uring_run(env), 0);
	return op->result;
}

static int64_t path_op(enum env_file_type type, const char *path,
		       const char *path2, int flags)
{
	struct env_file_op op = { .type = type, .path = path, .path2 = path2,
				  .flags = flags };

	return run(&op);
}

static int64_t file_op(enum env_file_type type, int file)
{
	struct env_file_op op = { .type = type, .file = file };

	return run(&op);
}

static int64_t transfer(enum env_file_type type, int file, struct iovec *iov,
			int count, uint64_t offset)
{
	struct env_file_op op = { .type = type, .file = file, .iov = iov,
				  .iov_count = count, .offset = offset };

	return run(&op);
}

static int create(const char *path)
{
	int64_t file = path_op(FILE_OPEN, path, NULL, FILE_CREATE);

	assert_true(file >= 0);
	return file;
}

static void remove_file(const char *path, int file)
{
	assert_int_equal(file_op(FILE_CLOSE, file), 0);
	assert_int_equal(path_op(FILE_UNLINK, path, NULL, 0), 0);
}

static void written_pieces_are_read_back(void **state)
{
	char a[100], b[5000], got[6000];
	struct iovec out[] = { { a, 100 }, { b, 0 }, { b, 5000 } };
	struct iovec in[] = { { got, 1 }, { got + 1, sizeof(got) - 1 } };
	int file = create("f");

	memset(a, 'a', sizeof(a));
	memset(b, 'b', sizeof(b));
	assert_int_equal(transfer(FILE_WRITE, file, out, 3, 10), 5100);
	assert_int_equal(file_op(FILE_SYNC, file), 0);
	assert_int_equal(path_op(FILE_SYNC_DIR, "", NULL, 0), 0);
	/* Short at the end of the file. */
	assert_int_equal(transfer(FILE_READ, file, in, 2, 10), 5100);
	assert_memory_equal(got, a, 100);
	assert_memory_equal(got + 100, b, 5000);
	in[0] = (struct iovec){ got, 10 };
	assert_int_equal(transfer(FILE_READ, file, in, 1, 6000), 0);
	in[0] = (struct iovec){ got, 0 };
	assert_int_equal(transfer(FILE_READ, file, in, 1, 0), 0);
	remove_file("f", file);
}

static void more_pieces_than_one_call_takes(void **state)
{
	enum { PIECES = IOV_MAX + 500 };
	static struct iovec iov[PIECES];
	static uint8_t out[PIECES * 3], in[PIECES * 3];
	int i, file = create("f");

	for (i = 0; i < PIECES * 3; i++)
		out[i] = i * 7;
	for (i = 0; i < PIECES; i++)
		iov[i] = (struct iovec){ out + 3 * i, 3 };
	assert_int_equal(transfer(FILE_WRITE, file, iov, PIECES, 0),
			 PIECES * 3);
	for (i = 0; i < PIECES; i++)
		iov[i] = (struct iovec){ in + 3 * i, 3 };
	assert_int_equal(transfer(FILE_READ, file, iov, PIECES, 0), PIECES * 3);
	assert_memory_equal(in, out, sizeof(out));
	remove_file("f", file);
}

/* Whether the first page of the file is in the page cache. */
static bool is_cached(int file)
{
	char page[4096];
	struct iovec iov = { page, sizeof(page) };
	ssize_t n = preadv2(file, &iov, 1, 0, RWF_NOWAIT);

	assert_true(n == sizeof(page) || (n < 0 && errno == EAGAIN));
	return n > 0;
}

static void fresh_open_reads_from_the_disk(void **state)
{
	static char bytes[16 * 4096];
	struct iovec iov = { bytes, sizeof(bytes) };
	struct statfs fs;
	int file, again;

	assert_int_equal(statfs(root, &fs), 0);
	if (fs.f_type == TMPFS_MAGIC)
		skip();
	file = create("f");
	if (preadv2(file, &iov, 1, 0, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP) {
		remove_file("f", file);
		skip();
	}
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(transfer(FILE_WRITE, file, &iov, 1, 0), sizeof(bytes));
	assert_int_equal(file_op(FILE_SYNC, file), 0);
	again = (int)path_op(FILE_OPEN, "f", NULL, 0);
	assert_true(is_cached(file));
	assert_int_equal(file_op(FILE_CLOSE, again), 0);
	again = (int)path_op(FILE_OPEN, "f", NULL, FILE_FRESH);
	assert_true(again >= 0);
	assert_false(is_cached(file));
	iov = (struct iovec){ bytes, sizeof(bytes) };
	assert_int_equal(transfer(FILE_READ, again, &iov, 1, 0), sizeof(bytes));
	assert_int_equal(bytes[sizeof(bytes) - 1], 'x');
	assert_int_equal(file_op(FILE_CLOSE, again), 0);
	remove_file("f", file);
	assert_int_equal(path_op(FILE_OPEN, "f", NULL, FILE_FRESH), -ENOENT);
}

static void direct_file_is_not_cached(void **state)
{
	static char page[4096], in[8192];
	char *bytes = aligned_alloc(4096, 8192);
	struct iovec iov = { bytes, 8192 };
	struct statfs fs;
	int file = (int)path_op(FILE_OPEN, "f", NULL,
				FILE_CREATE | FILE_DIRECT);
	bool cached_only;

	assert_true(file >= 0);
	assert_int_equal(statfs(root, &fs), 0);
	/* tmpfs is nothing but a cache, and others may refuse. */
	cached_only = fs.f_type == TMPFS_MAGIC ||
		      !(fcntl(file, F_GETFL) & O_DIRECT);
	memset(bytes, 'x', 8192);
	assert_int_equal(transfer(FILE_WRITE, file, &iov, 1, 0), 8192);
	if (!cached_only) {
		int again = (int)path_op(FILE_OPEN, "f", NULL, 0);

		assert_false(is_cached(again));
		assert_int_equal(file_op(FILE_CLOSE, again), 0);
	}
	/* What a disk cannot do goes through the cache after all. */
	iov = (struct iovec){ page, 100 };
	memset(page, 'y', 100);
	assert_int_equal(transfer(FILE_WRITE, file, &iov, 1, 8192), 100);
	iov = (struct iovec){ in, 8192 };
	assert_int_equal(transfer(FILE_READ, file, &iov, 1, 4096), 4196);
	assert_int_equal(in[0], 'x');
	assert_int_equal(in[4096 + 99], 'y');
	free(bytes);
	remove_file("f", file);
}

static void names_are_managed(void **state)
{
	int file;

	assert_int_equal(path_op(FILE_MKDIR, "d", NULL, 0), 0);
	assert_int_equal(path_op(FILE_MKDIR, "d", NULL, 0), -EEXIST);
	assert_int_equal(path_op(FILE_OPEN, "d/x", NULL, 0), -ENOENT);
	file = create("d/x");
	assert_int_equal(path_op(FILE_OPEN, "d/x", NULL,
				 FILE_CREATE | FILE_EXCLUSIVE), -EEXIST);
	assert_int_equal(path_op(FILE_RENAME, "d/x", "d/y", 0), 0);
	assert_int_equal(path_op(FILE_RENAME, "d/x", "d/y", 0), -ENOENT);
	assert_int_equal(path_op(FILE_SYNC_DIR, "d", NULL, 0), 0);
	assert_int_equal(path_op(FILE_SYNC_DIR, "no", NULL, 0), -ENOENT);
	assert_int_equal(path_op(FILE_UNLINK, "d", NULL, 0), -ENOTEMPTY);
	remove_file("d/y", file);
	assert_int_equal(path_op(FILE_UNLINK, "d", NULL, 0), 0);
	assert_int_equal(path_op(FILE_UNLINK, "d", NULL, 0), -ENOENT);
	assert_int_equal(file_op(FILE_SYNC, 9999), -EBADF);
}

static int names_seen;

static void entry(struct env_file_op *op, const char *name, uint64_t size,
		  bool is_directory)
{
	names_seen++;
	if (strcmp(name, "sub") == 0) {
		assert_true(is_directory);
	} else {
		assert_string_equal(name, "file");
		assert_false(is_directory);
		assert_int_equal(size, 7);
	}
}

static void directory_is_listed(void **state)
{
	struct env_file_op op = { .type = FILE_LIST, .path = "",
				  .entry = entry };
	struct iovec iov = { "1234567", 7 };
	int file = create("file");

	assert_int_equal(transfer(FILE_WRITE, file, &iov, 1, 0), 7);
	assert_int_equal(path_op(FILE_MKDIR, "sub", NULL, 0), 0);
	names_seen = 0;
	assert_int_equal(run(&op), 0);
	assert_int_equal(names_seen, 2);
	op.path = "sub";
	assert_int_equal(run(&op), 0);
	assert_int_equal(names_seen, 2);
	op.path = "none";
	assert_int_equal(run(&op), -ENOENT);
	assert_int_equal(path_op(FILE_UNLINK, "sub", NULL, 0), 0);
	remove_file("file", file);
}

static void punched_range_reads_zeros(void **state)
{
	static char buf[16384], zero[4096];
	struct env_file_op op = { .type = FILE_PUNCH, .offset = 4096,
				  .length = 4096 };
	struct iovec iov = { buf, sizeof(buf) };
	int64_t result;
	int file = create("f");

	memset(buf, 'x', sizeof(buf));
	assert_int_equal(transfer(FILE_WRITE, file, &iov, 1, 0), sizeof(buf));
	op.file = file;
	result = run(&op);
	if (result == -EOPNOTSUPP) {
		remove_file("f", file);
		skip();
	}
	assert_int_equal(result, 0);
	iov = (struct iovec){ buf, sizeof(buf) };
	assert_int_equal(transfer(FILE_READ, file, &iov, 1, 0), sizeof(buf));
	assert_memory_equal(buf + 4096, zero, 4096);
	assert_int_equal(buf[4095], 'x');
	assert_int_equal(buf[8192], 'x');
	remove_file("f", file);
}

static void file_system_is_measured(void **state)
{
	struct env_file_op op = { .type = FILE_STATFS };

	assert_int_equal(run(&op), 0);
	assert_true(op.total_bytes > 0);
	assert_true(op.free_bytes <= op.total_bytes);
}

static void full_medium_gives_a_short_write(void **state)
{
	struct rlimit old, limit;
	static char buf[8192];
	struct iovec iov = { buf, sizeof(buf) };
	int file = create("f");

	/* A limit on the size cuts the write, then refuses: as ENOSPC does. */
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = 4096;
	setrlimit(RLIMIT_FSIZE, &limit);
	assert_int_equal(transfer(FILE_WRITE, file, &iov, 1, 0), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	remove_file("f", file);
}

#define MANY 2000

static void many_operations_at_once(void **state)
{
	static struct env_file_op op[MANY];
	static struct iovec iov[MANY];
	static uint32_t out[MANY], in[MANY];
	int i, file = create("f");

	pending = MANY;
	for (i = 0; i < MANY; i++) {
		out[i] = i * 2654435761u;
		iov[i] = (struct iovec){ &out[i], 4 };
		op[i] = (struct env_file_op){ .type = FILE_WRITE, .file = file,
			.iov = &iov[i], .iov_count = 1, .offset = 4 * i,
			.done = one_done };
		env_file_submit(env, &op[i]);
	}
	assert_int_equal(pending, MANY);
	assert_int_equal(env_uring_run(env), 0);
	for (i = 0; i < MANY; i++)
		assert_int_equal(op[i].result, 4);
	iov[0] = (struct iovec){ in, sizeof(in) };
	assert_int_equal(transfer(FILE_READ, file, iov, 1, 0), sizeof(in));
	assert_memory_equal(in, out, sizeof(in));
	remove_file("f", file);
}

static void missing_directory_is_named(void **state)
{
	assert_null(env_uring_new(&(struct env_uring_config){
		.root = "/nonexistent/torus" }));
	assert_int_equal(errno, ENOENT);
	assert_non_null(strstr(error_text(-ENOENT), "/nonexistent/torus"));
}

static void freed_reactor_leaves_operations_silent(void **state)
{
	struct env *other = env_uring_new(&(struct env_uring_config){
		.root = root });
	static char buf[1 << 20];
	struct env_file_op op = { .type = FILE_OPEN, .path = "g",
				  .flags = FILE_CREATE, .done = one_done };

	assert_non_null(other);
	pending = 1;
	memset(buf, 1, sizeof(buf));
	env_file_submit(other, &op);
	assert_int_equal(env_uring_turn(other, 0), 0);
	env_uring_free(other);
	path_op(FILE_UNLINK, "g", NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_pieces_are_read_back),
		cmocka_unit_test(more_pieces_than_one_call_takes),
		cmocka_unit_test(fresh_open_reads_from_the_disk),
		cmocka_unit_test(direct_file_is_not_cached),
		cmocka_unit_test(names_are_managed),
		cmocka_unit_test(directory_is_listed),
		cmocka_unit_test(punched_range_reads_zeros),
		cmocka_unit_test(file_system_is_measured),
		cmocka_unit_test(full_medium_gives_a_short_write),
		cmocka_unit_test(many_operations_at_once),
		cmocka_unit_test(missing_directory_is_named),
		cmocka_unit_test(freed_reactor_leaves_operations_silent),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
