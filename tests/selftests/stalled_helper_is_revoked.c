// SPDX-License-Identifier: Apache-2.0
/*
 * A helper that takes a request and never answers loses its session after its
 * I/O timeout and the driver's margin of 10 s; the next one gets the request.
 * Whatever the first one says then is refused. The timeout may be set while the
 * device is in use, by netlink or in sysfs.
 */
#include <signal.h>

#include "test.h"

#define SIZE (4ull << 20)

static int store(uint32_t id, const char *name, const char *value)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/torus%u/torus/%s", id, name);
	return write_text(path, value);
}

static void set_timeouts(uint32_t id)
{
	CHECK_INT(store(id, "io_timeout_ms", "0"), -ERANGE);
	CHECK_INT(store(id, "io_timeout_ms", "86400001"), -ERANGE);
	CHECK_INT(store(id, "io_timeout_ms", "soon"), -EINVAL);
	CHECK_INT(store(id, "dead_timeout_ms", "-1"), -EINVAL);
	CHECK_INT(store(id, "abort", "0"), -EINVAL);
	CHECK(!strcmp(sysfs(id, "torus/io_timeout_ms"), "120000"));
	CHECK_INT(store(id, "dead_timeout_ms", "50000"), 0);
	CHECK_INT(device_set(id, TORUS_A_DEV_IO_TIMEOUT_MS, 500), 0);
	CHECK(!strcmp(sysfs(id, "torus/io_timeout_ms"), "500"));
	CHECK(!strcmp(sysfs(id, "torus/dead_timeout_ms"), "50000"));
}

int main(void)
{
	struct setup s = { .config = { .size = SIZE } };
	struct writer writer;
	uint64_t start;

	test_begin();
	setup_begin(&s);
	set_timeouts(s.id);
	helper_suspend(s.helper);
	start = now_ms();
	writer_start(&writer, s.fd, 0);
	CHECK(device_wait_state(s.id, TORUS_STATE_RECOVERING, 30000));
	CHECK(now_ms() - start >= 10000);
	helper_spawn(s.world, s.id, NULL);
	CHECK_INT(writer_end(&writer), 0);
	/* It wakes up and answers into nothing. */
	kill(s.helper, SIGCONT);
	CHECK(device_wait_state(s.id, TORUS_STATE_LIVE, 5000));
	close(s.fd);
	return 0;
}
