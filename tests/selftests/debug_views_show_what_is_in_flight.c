// SPDX-License-Identifier: Apache-2.0
/* debugfs lists a request that a helper keeps; tracepoints tell its transitions. */
#include <fcntl.h>
#include <sys/mount.h>

#include "test.h"

#define SIZE (4ull << 20)
#define TRACING "/sys/kernel/tracing/"

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
	int ret = write_text(path, text);

	if (ret == -ENOENT)
		SKIP("no %s", path);
	CHECK_INT(ret, 0);
}

int main(void)
{
	static const char * const events[] = {
		"torus_session_active", "torus_queued", "torus_sent",
		"torus_completed", "torus_session_lost",
	};
	struct setup s = {
		.config = { .size = SIZE }, .how = { .hook = keep },
	};
	struct writer writer;
	char path[64];
	char *text;

	test_begin();
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	write_file(TRACING "trace", "\n");
	write_file(TRACING "events/torus/enable", "1");
	setup_begin(&s);
	writer_start(&writer, s.fd, 8192);
	CHECK(!sem_wait(&s.world->asked));

	snprintf(path, sizeof(path), "/sys/kernel/debug/torus/torus%u/requests",
		 s.id);
	CHECK(strstr(read_file(path), " sent "));
	snprintf(path, sizeof(path), "/sys/kernel/debug/torus/torus%u/queues",
		 s.id);
	CHECK(strstr(read_file(path), "\n0 1 0 "));
	sem_post(&s.world->told);
	CHECK_INT(writer_end(&writer), 0);
	CHECK(strstr(read_file(path), "\n0 0 0 "));

	helper_kill(s.helper);
	CHECK(device_wait_state(s.id, TORUS_STATE_RECOVERING, 5000));
	text = read_file(TRACING "trace");
	for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++)
		if (!strstr(text, events[i]))
			FAIL("no event %s in the trace", events[i]);
	write_file(TRACING "events/torus/enable", "0");
	close(s.fd);
	return 0;
}
