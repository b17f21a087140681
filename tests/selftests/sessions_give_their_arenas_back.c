// SPDX-License-Identifier: Apache-2.0
/*
 * However a session ends, its arena's memory is free again: refused, never
 * started, taken over, dead under load, ended by the device's delete.
 */
#include <fcntl.h>

#include "stress.h"
#include "test.h"

#define SIZE (4ull << 20)
#define ARENA (8ull << 20)
/* Less than what all rounds would lose, even if only one way did. */
#define TOLERANCE_KB (32ull << 10)

/* The sum of the numbers that follow @what at the start of lines of @path. */
static uint64_t sum(const char *path, const char *what)
{
	unsigned long long n, total = 0;
	char line[256];
	FILE *f = fopen(path, "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line + strspn(line, " "), what, strlen(what)) &&
		    sscanf(strstr(line, what) + strlen(what), "%llu", &n) == 1)
			total += n;
	fclose(f);
	return total;
}

/*
 * What the kernel counts as available leaves out the free pages that each CPU
 * keeps for itself, and that may be as much as we look for.
 */
static uint64_t available_kb(void)
{
	uint64_t kb = sum("/proc/meminfo", "MemAvailable:");

	CHECK(kb);
	return kb + sum("/proc/zoneinfo", "count:") *
	       (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static void begin(struct helper *h, struct world *world, uint32_t id)
{
	CHECK_INT(helper_open(h, world, id, ARENA), 0);
}

/* Sessions that never serve, and one that the delete of its device ends. */
static void idle_sessions(struct world *world)
{
	struct device_config config = { .volume = "idle", .size = SIZE };
	struct helper first, second;
	uint32_t id = device_add(&config);

	begin(&first, world, id);
	begin(&second, world, id);
	CHECK_INT(helper_bind(&first, false), 0);
	CHECK_INT(helper_bind(&second, false), -EBUSY);
	CHECK_INT(helper_bind(&second, true), 0);
	helper_close(&first);
	helper_close(&second);
	begin(&first, world, id);
	CHECK_INT(helper_bind(&first, true), 0);
	CHECK_INT(helper_queues(&first, &first.data, 1), 0);
	CHECK_INT(device_delete(id, false), 0);
	CHECK(device_wait_gone(id, 5000));
	helper_close(&first);
}

static void busy_session(struct world *world, uint32_t id, pid_t *helper)
{
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
	helper_kill(*helper);
	CHECK(device_wait_state(id, TORUS_STATE_RECOVERING, 5000));
	*helper = helper_spawn_with(world, id, NULL, false, ARENA);
}

int main(void)
{
	struct device_config config = { .size = SIZE };
	struct stress stress;
	struct world *world;
	uint64_t before, end;
	unsigned int i, rounds;
	pid_t helper;
	uint32_t id;
	int fd;

	test_begin();
	rounds = test_rounds(6, 50);
	id = device_add(&config);
	world = world_new(SIZE);
	helper = helper_spawn_with(world, id, NULL, false, ARENA);
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	stress_start(&stress, fd, SIZE, 2, 64 << 10);
	stress_wait_ios(&stress, 10, 30000);
	before = available_kb();
	for (i = 0; i < rounds; i++) {
		idle_sessions(world);
		busy_session(world, id, &helper);
		stress_wait_ios(&stress, 10, 30000);
	}
	stress_stop(&stress);
	/* The last session is revoked, and its pages freed, a moment later. */
	for (end = now_ms() + 5000;
	     available_kb() + TOLERANCE_KB < before;) {
		if (now_ms() > end)
			FAIL("%llu kB were available, now %llu kB",
			     (unsigned long long)before,
			     (unsigned long long)available_kb());
		usleep(1000);
	}
	close(fd);
	return 0;
}
