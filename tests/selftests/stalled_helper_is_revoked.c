// SPDX-License-Identifier: Apache-2.0
/*
 * A helper that takes a request and never answers loses its session after its
 * I/O timeout and the driver's margin of 10 s; the next one gets the request.
 * Whatever the first one says then is refused. The timeout may be set while the
 * device is in use, by netlink or in sysfs.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "test.h"

#define SIZE (4ull << 20)

static int fd, io_error = -1;

static void *write_one(void *unused)
{
	uint8_t *buf = alloc_aligned(4096);

	(void)unused;
	io_error = pwrite(fd, buf, 4096, 0) == 4096 ? 0 : errno;
	free(buf);
	return NULL;
}

static int store(uint32_t id, const char *name, const char *value)
{
	int file, ret = 0;
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/torus%u/torus/%s", id, name);
	file = open(path, O_WRONLY);
	CHECK(file >= 0);
	if (write(file, value, strlen(value)) < 0)
		ret = -errno;
	close(file);
	return ret;
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
	struct device_config config = { .size = SIZE };
	struct world *world;
	pthread_t writer;
	uint64_t start;
	pid_t stalled;
	uint32_t id;

	test_begin();
	id = device_serve(&config, &world, &stalled);
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	set_timeouts(id);
	kill(stalled, SIGSTOP);
	start = now_ms();
	CHECK(!pthread_create(&writer, NULL, write_one, NULL));
	CHECK(device_wait_state(id, TORUS_STATE_RECOVERING, 30000));
	CHECK(now_ms() - start >= 10000);
	helper_spawn(world, id, NULL);
	pthread_join(writer, NULL);
	CHECK_INT(io_error, 0);
	/* It wakes up and answers into nothing. */
	kill(stalled, SIGCONT);
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, 5000));
	close(fd);
	return 0;
}
