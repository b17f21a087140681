// SPDX-License-Identifier: Apache-2.0
/*
 * A device grows while it is in use: each time udev is told, the new end can be
 * written at once, and what goes on elsewhere does not notice. So also while
 * there is no helper. Shrinking is refused.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <linux/fs.h>

#include "stress.h"
#include "test.h"
#include "uevent.h"

#define SIZE (8ull << 20)
#define STEP (4096 * 37ull)

static uint64_t size_of(int fd)
{
	uint64_t size;

	CHECK(!ioctl(fd, BLKGETSIZE64, &size));
	return size;
}

static void use_end(const struct setup *s, uint64_t size, unsigned int step)
{
	uint8_t *buf = alloc_aligned(4096);

	memset(buf, 1 + step, 4096);
	CHECK(pwrite(s->fd, buf, 4096, size) < 0);
	CHECK_INT(pwrite(s->fd, buf, 4096, size - 4096), 4096);
	CHECK(!memcmp(s->world->data + size - 4096, buf, 4096));
	free(buf);
}

static void grow(const struct setup *s, int uevents, uint64_t size)
{
	CHECK_INT(device_set(s->id, TORUS_A_DEV_SIZE, size), 0);
	uevent_wait_resize(uevents, s->id);
	CHECK_INT(size_of(s->fd), size);
}

int main(void)
{
	unsigned int i, steps;
	struct setup s = {
		.config = { .size = SIZE, .queues = 2 },
		.world_size = 4 * SIZE,
	};
	struct stress stress;
	uint64_t size = SIZE;
	int uevents;

	test_begin();
	steps = test_size(4, 12, 100);
	setup_begin(&s);
	uevents = uevent_open();
	stress_start(&stress, s.fd, SIZE, 6, 64 << 10);
	for (i = 0; i < steps; i++) {
		stress_wait_ios(&stress, 20, 30000);
		size += STEP;
		grow(&s, uevents, size);
		use_end(&s, size, i);
		CHECK_INT(device_set(s.id, TORUS_A_DEV_SIZE, size - 4096),
			  -EBUSY);
	}
	helper_kill(s.helper);
	CHECK(device_wait_state(s.id, TORUS_STATE_RECOVERING, 5000));
	size += STEP;
	grow(&s, uevents, size);
	s.helper = helper_spawn(s.world, s.id, NULL);
	use_end(&s, size, i);
	stress_wait_ios(&stress, 20, 30000);
	stress_stop(&stress);
	CHECK_INT(size_of(s.fd), size);
	close(uevents);
	setup_end(&s);
	return 0;
}
