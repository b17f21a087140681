// SPDX-License-Identifier: Apache-2.0
/*
 * The module cannot be unloaded from add to the last close, also of a deleted
 * disk; sockets alone do not keep it.
 */
#include <fcntl.h>
#include <sys/syscall.h>

#include "test.h"

#define SIZE (4ull << 20)

static void check_stays(const char *when)
{
	if (!syscall(SYS_delete_module, "torus", O_NONBLOCK))
		FAIL("the module could be unloaded %s", when);
	CHECK_INT(errno, EWOULDBLOCK);
}

static int module_users(void)
{
	FILE *f = fopen("/sys/module/torus/refcnt", "r");
	int n = -1;

	CHECK(f && fscanf(f, "%d", &n) == 1);
	fclose(f);
	return n;
}

/* Open sockets, also one that listens, hold nothing: the module goes and comes. */
static void check_goes_with_open_sockets(void)
{
	const char *module = getenv("TORUS_MODULE");
	struct nl_msg msg;
	struct nl events;
	int file;

	if (!module)
		return;
	CHECK(!nl_open(&events) && !nl_join(&events));
	file = open(module, O_RDONLY | O_CLOEXEC);
	CHECK(file >= 0);
	CHECK_INT(syscall(SYS_delete_module, "torus", O_NONBLOCK), 0);
	nl_begin(&test_nl, &msg, TORUS_CMD_DEV_GET, 0);
	nl_put_u32(&msg, TORUS_A_DEV_ID, 0);
	CHECK_INT(nl_call(&test_nl, &msg, NULL), -ENOENT);
	CHECK_INT(syscall(SYS_finit_module, file, "", 0), 0);
	close(file);
	nl_close(&events);
	/* The family has another number now. */
	nl_close(&test_nl);
	CHECK_INT(nl_open(&test_nl), 0);
}

int main(void)
{
	struct device_config config = { .size = SIZE };
	struct world *world;
	pid_t helper;
	uint64_t end;
	uint8_t *buf;
	uint32_t id;
	int fd;

	test_begin();
	buf = alloc_aligned(4096);
	id = device_add(&config);
	check_stays("with a new device");
	CHECK_INT(device_delete(id, false), 0);
	CHECK(device_wait_gone(id, 5000));

	id = device_serve(&config, &world, &helper);
	check_stays("with a live device");
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	CHECK_INT(device_delete(id, true), 0);
	CHECK(device_wait_gone(id, 5000));
	check_stays("with a deleted disk still open");
	CHECK(pread(fd, buf, 4096, 0) <= 0);
	close(fd);
	helper_kill(helper);
	/* The last reference goes after the last event, and untold. */
	for (end = now_ms() + 5000; module_users();) {
		CHECK(now_ms() < end);
		usleep(1000);
	}
	check_goes_with_open_sockets();
	return 0;
}
