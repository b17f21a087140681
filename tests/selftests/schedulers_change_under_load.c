// SPDX-License-Identifier: Apache-2.0
/* Each scheduler that there is, in turn, while I/O goes on and is verified. */
#include "stress.h"
#include "test.h"

#define SIZE (16ull << 20)

static const char * const schedulers[] = {
	"none", "mq-deadline", "kyber", "bfq",
};

#define SCHEDULERS (sizeof(schedulers) / sizeof(*schedulers))

/* Whether it is there, and then in use. */
static bool use(uint32_t id, const char *scheduler)
{
	char path[64], shown[32];
	int ret;

	snprintf(path, sizeof(path), "/sys/block/torus%u/queue/scheduler", id);
	ret = write_text(path, scheduler);
	if (ret == -EINVAL || ret == -ENOENT)
		return false;
	CHECK_INT(ret, 0);
	snprintf(shown, sizeof(shown), "[%s]", scheduler);
	CHECK(strstr(sysfs(id, "queue/scheduler"), shown));
	return true;
}

int main(void)
{
	struct setup s = { .config = { .size = SIZE, .queues = 2 } };
	unsigned int i, rounds, used = 0;
	struct stress stress;

	test_begin();
	rounds = test_size(1, 2, 40);
	setup_begin(&s);
	stress_start(&stress, s.fd, SIZE, 8, 64 << 10);
	for (i = 0; i < rounds * SCHEDULERS; i++) {
		if (!use(s.id, schedulers[i % SCHEDULERS]))
			continue;
		used |= 1u << i % SCHEDULERS;
		stress_wait_ios(&stress, 50, 30000);
	}
	/* Not only the end of one and the beginning of the next. */
	for (i = 0; i < SCHEDULERS; i++)
		if (used & 1u << i)
			CHECK(use(s.id, schedulers[i]));
	stress_wait_ios(&stress, 50, 30000);
	printf("# %llu I/Os, schedulers %#x\n",
	       (unsigned long long)stress_stop(&stress), used);
	CHECK(used & 1);
	if (used == 1)
		SKIP("no scheduler but none");
	CHECK(use(s.id, "none"));
	setup_end(&s);
	return 0;
}
