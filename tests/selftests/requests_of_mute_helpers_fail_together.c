// SPDX-License-Identifier: Apache-2.0
/*
 * Helpers that take requests and never answer: after the third of them all that
 * waited fail, and not one request per helper.
 */
#include <fcntl.h>
#include <signal.h>

#include "test.h"

#define SIZE (4ull << 20)
#define WRITERS 6
#define SESSIONS 3

static bool say_nothing(struct helper *h, const struct torus_desc *desc,
			struct torus_completion *completion)
{
	(void)h, (void)desc, (void)completion;
	return false;
}

/*
 * The block layer's own knob: our margin would make this a matter of minutes. But
 * all writers have to be there before the first time is up.
 */
static void have_requests_time_out_soon(uint32_t id)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/torus%u/queue/io_timeout", id);
	CHECK_INT(write_text(path, "2000"), 0);
}

int main(void)
{
	struct setup s = { .config = { .size = SIZE } };
	struct writer writers[WRITERS];
	pid_t helper;
	int i;

	test_begin();
	setup_begin(&s);
	have_requests_time_out_soon(s.id);
	helper_suspend(s.helper);
	for (i = 0; i < WRITERS; i++)
		writer_start(&writers[i], s.fd, 65536u * i);
	helper = s.helper;
	for (i = 1; i < SESSIONS; i++) {
		CHECK(device_wait_state(s.id, TORUS_STATE_RECOVERING, 20000));
		helper_kill(helper);
		helper = helper_spawn(s.world, s.id, say_nothing);
		/* Else the same end of a session would be seen twice. */
		CHECK(device_wait_state(s.id, TORUS_STATE_LIVE, 20000));
	}
	for (i = 0; i < WRITERS; i++)
		CHECK_INT(writer_end(&writers[i]), ETIMEDOUT);
	helper_kill(helper);
	s.helper = helper_spawn(s.world, s.id, NULL);
	writer_start(&writers[0], s.fd, 0);
	CHECK_INT(writer_end(&writers[0]), 0);
	setup_end(&s);
	return 0;
}
