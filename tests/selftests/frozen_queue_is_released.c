// SPDX-License-Identifier: Apache-2.0
/*
 * A queue that is being frozen waits for the requests in flight. Whatever ends
 * those ends the freeze, too: another helper, the dead timeout, a forced delete.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "test.h"

#define SIZE (4ull << 20)

enum end { END_NEW_HELPER, END_DEAD_TIMEOUT, END_FORCED_DELETE };

static char path[64];
static int freeze_error;
static long freezer_tid;

/* Takes the write, and keeps it. */
static bool keep(struct helper *h, const struct torus_desc *desc,
		 struct torus_completion *completion)
{
	(void)completion;
	if (desc->op != TORUS_OP_WRITE)
		return true;
	sem_post(&h->world->asked);
	return false;
}

/* Changing the number of requests freezes the queue. */
static void *freeze(void *arg)
{
	int file = open(path, O_WRONLY);

	CHECK(file >= 0);
	freezer_tid = syscall(SYS_gettid);
	sem_post(arg);
	freeze_error = write(file, "64", 2) == 2 ? 0 : errno;
	close(file);
	return NULL;
}

/* Until the thread waits in the kernel for the requests in flight. */
static void wait_freezing(void)
{
	uint64_t end = now_ms() + 10000;
	char stat[64], state = 0;
	FILE *f;

	snprintf(stat, sizeof(stat), "/proc/self/task/%ld/stat", freezer_tid);
	while (state != 'D') {
		CHECK(now_ms() < end);
		f = fopen(stat, "r");
		CHECK(f && fscanf(f, "%*d %*s %c", &state) == 1);
		fclose(f);
	}
}

static void end_it(enum end end, uint32_t id, struct world *world)
{
	switch (end) {
	case END_NEW_HELPER:
		helper_spawn(world, id, NULL);
		return;
	case END_DEAD_TIMEOUT:
		CHECK_INT(device_set(id, TORUS_A_DEV_DEAD_TIMEOUT_MS, 50), 0);
		CHECK(device_wait_state(id, TORUS_STATE_FAILED, 5000));
		return;
	case END_FORCED_DELETE:
		CHECK_INT(device_delete(id, true), 0);
		CHECK(device_wait_gone(id, 5000));
		return;
	}
}

static void try(enum end end)
{
	struct setup s = {
		.config = { .size = SIZE }, .how = { .hook = keep },
	};
	struct writer writer;
	pthread_t freezer;
	uint64_t start;
	int io_error;

	setup_begin(&s);
	snprintf(path, sizeof(path), "/sys/block/torus%u/queue/nr_requests",
		 s.id);
	writer_start(&writer, s.fd, 0);
	CHECK(!sem_wait(&s.world->asked));
	CHECK(!pthread_create(&freezer, NULL, freeze, &s.world->told));
	CHECK(!sem_wait(&s.world->told));
	wait_freezing();
	helper_kill(s.helper);
	CHECK(device_wait_state(s.id, TORUS_STATE_RECOVERING, 5000));

	start = now_ms();
	end_it(end, s.id, s.world);
	io_error = writer_end(&writer);
	pthread_join(freezer, NULL);
	CHECK(now_ms() - start < 10000);
	CHECK_INT(io_error, end == END_NEW_HELPER ? 0 : EIO);
	if (end == END_NEW_HELPER) {
		CHECK_INT(freeze_error, 0);
		CHECK(!strcmp(sysfs(s.id, "queue/nr_requests"), "64"));
	}
	close(s.fd);
	if (end != END_FORCED_DELETE) {
		CHECK_INT(device_delete(s.id, true), 0);
		CHECK(device_wait_gone(s.id, 5000));
	}
}

int main(void)
{
	test_begin();
	try(END_NEW_HELPER);
	try(END_DEAD_TIMEOUT);
	try(END_FORCED_DELETE);
	return 0;
}
