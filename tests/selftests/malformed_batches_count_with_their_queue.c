// SPDX-License-Identifier: Apache-2.0
/* debugfs tells on which queue's socket a batch came that was refused. */
#include <sys/mount.h>

#include "test.h"

#define SIZE (4ull << 20)

/* The counter "malformed" of a queue, from its line in debugfs. */
static long long malformed(uint32_t id, unsigned int queue)
{
	long long value = -1;
	char path[64], line[256];
	unsigned int index;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/debug/torus/torus%u/queues",
		 id);
	f = fopen(path, "r");
	if (!f)
		SKIP("no %s", path);
	while (fgets(line, sizeof(line), f)) {
		long long n;

		if (sscanf(line, "%u %*d %*d %*d %*d %*d %*d %*d %lld", &index,
			   &n) == 2 && index == queue)
			value = n;
	}
	fclose(f);
	return value;
}

static void send_malformed(struct helper *h, struct nl *nl, int error)
{
	struct torus_completion entry = { .queue = h->queues };

	CHECK_INT(helper_complete(h, nl, &entry, 1, true), error);
}

int main(void)
{
	struct device_config config = { .size = SIZE, .queues = 2 };
	struct helper first, second;
	struct server servers[2];
	struct world *world;
	struct nl socket;
	uint32_t id;

	test_begin();
	use_messages();
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	id = device_add(&config);
	world = world_new(SIZE);
	CHECK_INT(helper_open(&first, world, id, 4 << 20), 0);
	CHECK_INT(helper_bind(&first, false), 0);
	if (first.queues != 2)
		SKIP("one CPU has one queue");
	CHECK_INT(helper_queues(&first, &first.data, 1), 0);
	CHECK_INT(helper_lane(&second, &first, 2), 0);
	CHECK_INT(helper_start(&first), 0);
	server_start(&servers[0], &first);
	server_start(&servers[1], &second);
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
	server_stop(&servers[0]);
	server_stop(&servers[1]);

	send_malformed(&second, &second.data, -EINVAL);
	send_malformed(&second, &second.data, -EINVAL);
	CHECK_INT(malformed(id, 0), 0);
	CHECK_INT(malformed(id, 1), 2);
	/* One that belongs to no queue is counted, too. */
	CHECK_INT(nl_open(&socket), 0);
	send_malformed(&first, &socket, -EINVAL);
	CHECK_INT(malformed(id, 0), 1);
	CHECK_INT(device_counter(id, TORUS_A_DEV_MALFORMED), 3);
	CHECK_INT(device_delete(id, true), 0);
	CHECK(device_wait_gone(id, 5000));
	nl_close(&socket);
	helper_lane_close(&second);
	helper_close(&first);
	return 0;
}
