// SPDX-License-Identifier: Apache-2.0
/*
 * 64 devices at once with small arenas, served by one process and all under
 * load, and all of them in a dump; then devices that are added, started and
 * deleted in a row, while others look.
 */
#include <fcntl.h>
#include <pthread.h>

#include "stress.h"
#include "test.h"

#define DEVICES 64
#define IOS 30
#define SIZE (1ull << 20)

/* Dumps all devices and counts how often each is named. */
static void dump(struct nl *nl, unsigned int *seen)
{
	const struct nlmsghdr *hdr;
	struct nl_msg msg;
	uint32_t id;
	int len;

	nl_begin(nl, &msg, TORUS_CMD_DEV_GET, NLM_F_DUMP);
	CHECK(!nl_send(nl, &msg));
	for (;;) {
		CHECK(!nl_receive(nl, &msg, 10000));
		len = msg.len;
		for (hdr = (void *)msg.data; NLMSG_OK(hdr, len);
		     hdr = NLMSG_NEXT(hdr, len)) {
			if (hdr->nlmsg_type == NLMSG_DONE)
				return;
			CHECK(hdr->nlmsg_type != NLMSG_ERROR);
			memcpy(&id, nl_data(nl_attr_at(hdr, TORUS_A_DEV_ID)),
			       sizeof(id));
			CHECK(id < TORUS_DEVICES_MAX);
			seen[id]++;
		}
	}
}

static void check_dump(const uint32_t *ids)
{
	static unsigned int seen[TORUS_DEVICES_MAX];

	dump(&test_nl, seen);
	for (int i = 0; i < DEVICES; i++)
		CHECK_INT(seen[ids[i]], 1);
}

static bool looked_enough;

static void *look(void *unused)
{
	static unsigned int seen[TORUS_DEVICES_MAX];
	struct nl nl, events;
	struct nl_msg msg;

	(void)unused;
	CHECK(!nl_open(&nl));
	CHECK(!nl_open(&events) && !nl_join(&events));
	while (!__atomic_load_n(&looked_enough, __ATOMIC_SEQ_CST)) {
		nl_receive(&events, &msg, 100);
		dump(&nl, seen);
	}
	nl_close(&nl);
	nl_close(&events);
	return NULL;
}

static void add_and_delete(struct world *world)
{
	struct device_config config = {
		.volume = "cycle", .size = SIZE, .depth = 8,
		.io_size_max = 256 << 10,
	};
	pid_t helper;
	uint32_t id;
	int i, cycles = test_rounds(9, 60);

	for (i = 0; i < cycles; i++) {
		id = device_add(&config);
		helper = helper_spawn_with(world, id, NULL, false, SIZE);
		if (i % 2)
			CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
		CHECK_INT(i % 3 ? device_delete_patiently(id) :
			  device_delete(id, true), 0);
		CHECK(device_wait_gone(id, 20000));
		helper_kill(helper);
	}
}

int main(void)
{
	struct device_config config = {
		.size = SIZE, .depth = 8, .io_size_max = 256 << 10,
	};
	static struct stress stress[DEVICES];
	struct world *worlds[DEVICES];
	struct helper_config how = { .arena_size = SIZE };
	uint32_t ids[DEVICES];
	char names[DEVICES][16];
	int fds[DEVICES], i;
	uint64_t begin;
	pthread_t looker;
	pid_t helper;

	test_begin();
	begin = now_ms();
	for (i = 0; i < DEVICES; i++) {
		snprintf(names[i], sizeof(names[i]), "many-%d", i);
		config.volume = names[i];
		ids[i] = device_add(&config);
		worlds[i] = world_new(SIZE);
	}
	helper = helper_spawn_many(worlds, ids, DEVICES, &how);
	printf("# added and bound after %llu ms\n",
	       (unsigned long long)(now_ms() - begin));
	for (i = 0; i < DEVICES; i++) {
		CHECK(device_wait_state(ids[i], TORUS_STATE_LIVE, 30000));
		fds[i] = device_open(ids[i], O_RDWR | O_DIRECT);
		CHECK(fds[i] >= 0);
		stress_start_some(&stress[i], fds[i], SIZE, 1, 64 << 10, IOS);
	}
	check_dump(ids);
	for (i = 0; i < DEVICES; i++)
		stress_wait_total(&stress[i], IOS, 60000);
	printf("# %d I/Os on each of %d devices after %llu ms\n", IOS, DEVICES,
	       (unsigned long long)(now_ms() - begin));
	for (i = 0; i < DEVICES; i++) {
		stress_stop(&stress[i]);
		close(fds[i]);
		CHECK_INT(device_delete_patiently(ids[i]), 0);
	}
	for (i = 0; i < DEVICES; i++)
		CHECK(device_wait_gone(ids[i], 30000));
	helper_kill(helper);
	printf("# deleted after %llu ms\n",
	       (unsigned long long)(now_ms() - begin));
	CHECK(!pthread_create(&looker, NULL, look, NULL));
	add_and_delete(worlds[0]);
	__atomic_store_n(&looked_enough, true, __ATOMIC_SEQ_CST);
	pthread_join(looker, NULL);
	return 0;
}
