// SPDX-License-Identifier: Apache-2.0
/* A fenced helper says LOST: its session ends and the next one gets the request. */
#include "stress.h"
#include "test.h"

#define SIZE (16ull << 20)

/* After some writes the volume is lost: nothing is carried out any more. */
static bool lose(struct helper *h, const struct torus_desc *desc,
		 struct torus_completion *completion)
{
	(void)desc;
	if (__atomic_load_n(&h->world->order, __ATOMIC_RELAXED))
		completion->result = TORUS_RESULT_LOST;
	return true;
}

int main(void)
{
	struct setup s = {
		.config = { .size = SIZE }, .how = { .hook = lose },
	};
	struct stress stress;
	int i;

	test_begin();
	setup_begin(&s);
	stress_start(&stress, s.fd, SIZE, 4, 64 << 10);
	for (i = 0; i < 4; i++) {
		stress_wait_ios(&stress, 30, 30000);
		__atomic_store_n(&s.world->order, 1, __ATOMIC_RELAXED);
		CHECK(device_wait_state(s.id, TORUS_STATE_RECOVERING, 10000));
		__atomic_store_n(&s.world->order, 0, __ATOMIC_RELAXED);
		helper_spawn(s.world, s.id, lose);
	}
	stress_wait_ios(&stress, 30, 30000);
	stress_stop(&stress);
	CHECK(device_counter(s.id, TORUS_A_DEV_REQUEUED) > 0);
	close(s.fd);
	return 0;
}
