// SPDX-License-Identifier: Apache-2.0
/* A batch with one impossible entry ends nothing; the good batch after it does. */
#include <fcntl.h>

#include "test.h"

#define SIZE (4ull << 20)

static struct writer writer;
static struct torus_completion held;

/* Answers all but the write at 8192, which it keeps. */
static bool hold(struct helper *h, const struct torus_desc *desc,
		 struct torus_completion *completion)
{
	if (desc->op != TORUS_OP_WRITE || desc->offset != 8192)
		return true;
	held = *completion;
	sem_post(&h->world->asked);
	return false;
}

static void refuse(struct helper *h, const char *what, const void *data,
		   size_t len, struct nl *nl, int error)
{
	struct nl_msg msg;
	int ret;

	nl_begin(nl, &msg, TORUS_CMD_COMPLETE, 0);
	nl_put_u32(&msg, TORUS_A_IO_DEV_ID, h->dev_id);
	nl_put_u64(&msg, TORUS_A_IO_SESSION_ID, h->session_id);
	nl_put(&msg, TORUS_A_IO_COMPLETIONS, data, len);
	ret = nl_call(nl, &msg, NULL);
	if (ret != error)
		FAIL("%s: %d (%s), not %d", what, ret, nl->error, error);
	CHECK_INT(writer.error, -1);
}

static void refuse_all(struct helper *h)
{
	struct torus_completion two[2], many[TORUS_COMPLETION_BATCH + 1];
	struct nl other;
	int i;

	for (i = 0; i <= TORUS_COMPLETION_BATCH; i++)
		many[i] = held;
	two[0] = held;
	refuse(h, "no entry", two, 0, &h->data, -EINVAL);
	refuse(h, "half an entry", two, 48, &h->data, -EINVAL);
	refuse(h, "65 entries", many, sizeof(many), &h->data, -EINVAL);
	two[1] = held;
	two[1].queue = h->queues;
	refuse(h, "a queue too many", two, sizeof(two), &h->data, -EINVAL);
	two[1] = held;
	two[1].tag = h->depth;
	refuse(h, "a tag too many", two, sizeof(two), &h->data, -EINVAL);
	two[1] = held;
	two[1].result = TORUS_RESULT_MAX + 1;
	refuse(h, "unknown result", two, sizeof(two), &h->data, -EINVAL);
	two[1] = held;
	two[1].reserved = 1;
	refuse(h, "reserved bits", two, sizeof(two), &h->data, -EINVAL);
	CHECK(!nl_open(&other));
	refuse(h, "another socket", &held, sizeof(held), &other, -EPERM);
	nl_close(&other);
	refuse(h, "the control socket", &held, sizeof(held), &h->control,
	       -EPERM);
	h->session_id += 1000;
	refuse(h, "another session", &held, sizeof(held), &h->data, -ESTALE);
	h->session_id -= 1000;
}

int main(void)
{
	struct device_config config = { .size = SIZE };
	struct server server;
	struct world *world;
	struct helper h;
	uint32_t id;
	int fd;

	test_begin();
	use_messages();
	id = device_add(&config);
	world = world_new(SIZE);
	CHECK_INT(helper_open(&h, world, id, 4 << 20), 0);
	h.hook = hold;
	CHECK_INT(helper_bind(&h, false), 0);
	CHECK_INT(helper_queues(&h, &h.data, 1), 0);
	CHECK_INT(helper_start(&h), 0);
	server_start(&server, &h);
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	writer_start(&writer, fd, 8192);
	CHECK(!sem_wait(&world->asked));
	server_stop(&server);

	refuse_all(&h);
	CHECK_INT(device_counter(id, TORUS_A_DEV_MALFORMED), 9);
	CHECK_INT(device_counter(id, TORUS_A_DEV_IN_FLIGHT), 1);
	CHECK_INT(helper_complete(&h, &h.data, &held, 1, true), 0);
	CHECK_INT(writer_end(&writer), 0);
	close(fd);
	CHECK_INT(device_delete(id, true), 0);
	CHECK(device_wait_gone(id, 5000));
	helper_close(&h);
	return 0;
}
