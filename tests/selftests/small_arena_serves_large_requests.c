// SPDX-License-Identifier: Apache-2.0
/*
 * The smallest arena there may be, shared by small and the largest requests,
 * and by the rings of the default depth if there are rings.
 */
#include <fcntl.h>

#include "stress.h"
#include "test.h"

#define SIZE (64ull << 20)
#define RINGS (12u << 10)

int main(void)
{
	struct setup s = {
		.config = { .size = SIZE }, .how = { .arena_size = 2 << 20 },
	};
	struct stress large, small;
	int again;

	test_begin();
	if (helper_form() == TORUS_CHANNEL_RING)
		s.how.arena_size += RINGS;
	setup_begin(&s);
	again = device_open(s.id, O_RDWR | O_DIRECT);
	CHECK(again >= 0);
	stress_start(&large, s.fd, SIZE, 4, 1 << 20);
	stress_wait_ios(&large, 100, 60000);
	stress_stop(&large);

	memset(s.world->data, 0, SIZE);
	stress_start(&small, again, SIZE, 24, 8 << 10);
	stress_wait_ios(&small, 1000, 60000);
	stress_stop(&small);
	CHECK_INT(device_counter(s.id, TORUS_A_DEV_IN_FLIGHT), 0);
	close(s.fd);
	close(again);
	return 0;
}
