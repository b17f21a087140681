// SPDX-License-Identifier: Apache-2.0
/* debugfs lists a request that a helper keeps; tracepoints tell its transitions. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mount.h>

#include "test.h"

#define SIZE (4ull << 20)
#define TRACING "/sys/kernel/tracing/"

static int fd;

static void *write_one(void *unused)
{
	uint8_t *buf = alloc_aligned(4096);

	(void)unused;
	CHECK_INT(pwrite(fd, buf, 4096, 8192), 4096);
	free(buf);
	return NULL;
}

static bool keep(struct helper *h, const struct torus_desc *desc,
		 struct torus_completion *completion)
{
	(void)completion;
	if (desc->op != TORUS_OP_WRITE || desc->offset != 8192)
		return true;
	sem_post(&h->world->asked);
	sem_wait(&h->world->told);
	return true;
}

static char *read_file(const char *path)
{
	static char buf[65536];
	size_t len = 0;
	ssize_t n;
	int file = open(path, O_RDONLY | O_NONBLOCK);

	if (file < 0)
		SKIP("no %s", path);
	while (len < sizeof(buf) - 1 &&
	       (n = read(file, buf + len, sizeof(buf) - 1 - len)) > 0)
		len += n;
	close(file);
	buf[len] = 0;
	return buf;
}

static void write_file(const char *path, const char *text)
{
	int file = open(path, O_WRONLY);

	if (file < 0)
		SKIP("no %s", path);
	CHECK_INT(write(file, text, strlen(text)), strlen(text));
	close(file);
}

int main(void)
{
	static const char * const events[] = {
		"torus_session_active", "torus_queued", "torus_sent",
		"torus_completed", "torus_session_dead",
	};
	struct device_config config = { .size = SIZE };
	struct world *world;
	pthread_t writer;
	char path[64];
	pid_t helper;
	uint32_t id;
	char *text;

	test_begin();
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	write_file(TRACING "trace", "");
	write_file(TRACING "events/torus/enable", "1");
	id = device_add(&config);
	world = world_new(SIZE);
	helper = helper_spawn(world, id, keep);
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	CHECK(!pthread_create(&writer, NULL, write_one, NULL));
	CHECK(!sem_wait(&world->asked));

	snprintf(path, sizeof(path), "/sys/kernel/debug/torus/torus%u/requests",
		 id);
	CHECK(strstr(read_file(path), " sent "));
	snprintf(path, sizeof(path), "/sys/kernel/debug/torus/torus%u/queues",
		 id);
	CHECK(strstr(read_file(path), "\n0 1 0 "));
	sem_post(&world->told);
	pthread_join(writer, NULL);
	CHECK(strstr(read_file(path), "\n0 0 0 "));

	helper_kill(helper);
	CHECK(device_wait_state(id, TORUS_STATE_RECOVERING, 5000));
	text = read_file(TRACING "trace");
	for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++)
		if (!strstr(text, events[i]))
			FAIL("no event %s in the trace", events[i]);
	write_file(TRACING "events/torus/enable", "0");
	close(fd);
	return 0;
}
