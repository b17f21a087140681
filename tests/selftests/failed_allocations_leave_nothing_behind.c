// SPDX-License-Identifier: Apache-2.0
/*
 * Every allocation from the addition of a device to its deletion fails in turn:
 * the error says so, nothing is left, and the next try succeeds.
 *
 * What is left would be held by a device, and it by the module's count of users,
 * or be an arena; where there is kmemleak, run-faults finds the rest.
 */
#include <fcntl.h>

#include "fault.h"
#include "test.h"

#define SIZE (4ull << 20)
#define SOON 30000
/* A driver that allocates more often is not the one that this test knows. */
#define ALLOCATIONS_MAX 100

/* Kernel stacks and the like come and go; an arena is 8 MiB. */
#define SHMEM_SLACK_KB 4096

static struct world *world;
static unsigned int refused;

static uint32_t add(unsigned int n)
{
	char volume[32];
	struct device_config config = {
		.volume = volume, .size = SIZE, .queues = 2, .depth = 16,
	};
	int id;

	/* A name of its own: what failed last may still be on its way out. */
	snprintf(volume, sizeof(volume), "volume-%u", n);
	id = device_try_add(&config);
	if (id < 0) {
		CHECK_INT(id, -ENOMEM);
		refused++;
		snprintf(volume, sizeof(volume), "volume-%u-again", n);
		id = device_try_add(&config);
	}
	CHECK(id >= 0);
	return id;
}

static void bind_helper(struct helper *h, uint32_t id)
{
	int ret;

	CHECK(!helper_open(h, world, id, 8 << 20));
	ret = helper_bind(h, false);
	if (ret) {
		CHECK_INT(ret, -ENOMEM);
		refused++;
		helper_close(h);
		CHECK(!helper_open(h, world, id, 8 << 20));
		CHECK_INT(helper_bind(h, false), 0);
	}
	CHECK_INT(helper_queues(h, &h->data, 3), 0);
	CHECK_INT(helper_start(h), 0);
}

/* It is live, or says why it never will be. */
static bool wait_ready(uint32_t id)
{
	struct nl_msg answer;
	uint64_t end = now_ms() + SOON;
	uint32_t state;

	do {
		if (device_wait_state(id, TORUS_STATE_LIVE, 100))
			return true;
		CHECK(!device_get(id, &answer));
		state = nl_u32(&answer, TORUS_A_DEV_STATE);
	} while (state != TORUS_STATE_FAILED && now_ms() < end);
	CHECK_INT(state, TORUS_STATE_FAILED);
	CHECK_INT((int32_t)nl_u32(&answer, TORUS_A_DEV_ERROR), -ENOMEM);
	refused++;
	return false;
}

static void use(uint32_t id)
{
	struct writer writer;
	int fd = device_open(id, O_RDWR | O_DIRECT);

	CHECK(fd >= 0);
	writer_start(&writer, fd, 4096);
	CHECK_INT(writer_end(&writer), 0);
	close(fd);
}

/* A whole life, in which allocation n fails. False if there are not so many. */
static bool live(unsigned int n)
{
	struct server server;
	struct helper h;
	char setting[32];
	uint32_t id;

	snprintf(setting, sizeof(setting), "skip=%u", n);
	fault_set("fail_alloc", setting);
	id = add(n);
	bind_helper(&h, id);
	server_start(&server, &h);
	if (wait_ready(id)) {
		use(id);
		CHECK_INT(device_delete_patiently(id), 0);
	} else {
		CHECK_INT(device_delete(id, true), 0);
	}
	CHECK(device_wait_gone(id, SOON));
	server_stop(&server);
	helper_close(&h);
	device_forget();
	return fault_value("fail_alloc", "happened");
}

static long number_in(const char *path, const char *key)
{
	char line[128];
	long value = -1;
	FILE *f = fopen(path, "r");

	CHECK(f);
	while (value < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			value = strtol(line + strlen(key), NULL, 10);
	fclose(f);
	CHECK(value >= 0);
	return value;
}

static long module_users(void)
{
	return number_in("/sys/module/torus/refcnt", "");
}

static long shmem_kb(void)
{
	return number_in("/proc/meminfo", "Shmem:");
}

/* The last user may go a moment after the device; nothing tells when. */
static void check_nothing_left(long shmem)
{
	uint64_t end = now_ms() + SOON;

	while ((module_users() || shmem_kb() > shmem + SHMEM_SLACK_KB) &&
	       now_ms() < end)
		usleep(10000);
	CHECK_INT(module_users(), 0);
	CHECK(shmem_kb() <= shmem + SHMEM_SLACK_KB);
}

int main(void)
{
	unsigned int n = 0, refused_before;
	long shmem;

	test_begin();
	faults_begin();
	world = world_new(SIZE);
	shmem = shmem_kb();
	/* When nothing fails. */
	CHECK(!live(ALLOCATIONS_MAX));
	check_nothing_left(shmem);
	do {
		refused_before = refused;
		CHECK(n < ALLOCATIONS_MAX);
		if (!live(n))
			break;
		/* Whoever asked for the memory was told. */
		CHECK_INT(refused, refused_before + 1);
		n++;
	} while (1);
	CHECK(n > 8);
	fault_set("fail_alloc", "off");
	check_nothing_left(shmem);
	printf("# each of %u allocations has failed\n", n);
	return 0;
}
