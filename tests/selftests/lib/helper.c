// SPDX-License-Identifier: Apache-2.0
/*
 * A helper whose volume is memory, shared with the test and with the helpers
 * that come after it. Every operation that changes data appends a record to an
 * imagined log: a number that grows, and a CRC made from it.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <linux/memfd.h>

#include "test.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

struct world *world_new(uint64_t size)
{
	struct world *world = mmap(NULL, sizeof(*world) + size,
				   PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(world != MAP_FAILED);
	world->size = size;
	CHECK(!sem_init(&world->asked, 1, 0) && !sem_init(&world->told, 1, 0));
	return world;
}

void world_free(struct world *world)
{
	munmap(world, sizeof(*world) + world->size);
}

uint32_t world_crc(uint64_t sequence)
{
	return sequence ? (uint32_t)(sequence * 2654435761u) ^ 0x5eed : 0;
}

int arena_new(size_t size, void **map)
{
	int fd = memfd_create("arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, size))
		return -errno;
	*map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*map == MAP_FAILED || mlock(*map, size))
		return -errno;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW |
		  F_SEAL_FUTURE_WRITE | F_SEAL_SEAL))
		return -errno;
	return fd;
}

/* The whole suite runs in both forms: the environment says which. */
enum torus_channel helper_form(void)
{
	const char *form = getenv("TORUS_CHANNEL");

	return form && !strcmp(form, "messages") ? TORUS_CHANNEL_MESSAGES :
						   TORUS_CHANNEL_RING;
}

void use_messages(void)
{
	CHECK(!setenv("TORUS_CHANNEL", "messages", 1));
}

int helper_open(struct helper *h, struct world *world, uint32_t dev_id,
		size_t arena_size)
{
	void *map;
	int ret;

	memset(h, 0, sizeof(*h));
	h->world = world;
	h->dev_id = dev_id;
	h->arena_size = arena_size;
	h->data.fd = -1;
	h->form = helper_form();
	ret = nl_open(&h->control);
	if (ret)
		return ret;
	ret = nl_open(&h->data);
	if (ret)
		return ret;
	h->arena_fd = arena_new(arena_size, &map);
	if (h->arena_fd < 0)
		return h->arena_fd;
	h->arena = map;
	return 0;
}

void helper_close(struct helper *h)
{
	nl_close(&h->control);
	nl_close(&h->data);
	if (h->arena) {
		munmap(h->arena, h->arena_size);
		close(h->arena_fd);
		h->arena = NULL;
	}
}

int helper_bind(struct helper *h, bool takeover)
{
	struct nl_msg msg, answer;
	int ret;

	nl_begin(&h->control, &msg, TORUS_CMD_SESSION_BIND, 0);
	nl_put_u32(&msg, TORUS_A_SESSION_DEV_ID, h->dev_id);
	nl_put_u32(&msg, TORUS_A_SESSION_CHANNEL, h->form);
	nl_put_u32(&msg, TORUS_A_SESSION_ARENA_FD, h->arena_fd);
	if (takeover)
		nl_put_flag(&msg, TORUS_A_SESSION_TAKEOVER);
	ret = nl_call(&h->control, &msg, &answer);
	if (ret)
		return ret;
	h->session_id = nl_u64(&answer, TORUS_A_SESSION_ID);
	h->rcvbuf_min = nl_u32(&answer, TORUS_A_SESSION_RCVBUF_MIN);
	h->queues = nl_u32(&answer, TORUS_A_SESSION_QUEUES);
	h->depth = nl_u32(&answer, TORUS_A_SESSION_DEPTH);
	h->remembered = nl_u64(&answer, TORUS_A_SESSION_SEQUENCE);
	h->remembered_crc = nl_u32(&answer, TORUS_A_SESSION_HEADER_CRC);
	CHECK_INT(nl_u32(&answer, TORUS_A_SESSION_CHANNEL), h->form);
	if (h->form == TORUS_CHANNEL_RING) {
		h->ring_entries = nl_u32(&answer, TORUS_A_SESSION_RING_ENTRIES);
		h->ring_stride = nl_u32(&answer, TORUS_A_SESSION_RING_STRIDE);
	}
	return 0;
}

int helper_queues(struct helper *h, struct nl *nl, uint64_t mask)
{
	/* The kernel doubles what it is told. */
	int bytes = (uint64_t)h->rcvbuf_min *
		    __builtin_popcountll(mask) / 2, one = 1;
	struct nl_msg msg;

	if (setsockopt(nl->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes,
		       sizeof(bytes)))
		return -errno;
	setsockopt(nl->fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	if (nl == &h->data)
		h->mask |= mask;
	nl_begin(nl, &msg, TORUS_CMD_SESSION_QUEUE, 0);
	nl_put_u32(&msg, TORUS_A_SESSION_DEV_ID, h->dev_id);
	nl_put_u64(&msg, TORUS_A_SESSION_ID, h->session_id);
	nl_put_u64(&msg, TORUS_A_SESSION_QUEUE_MASK, mask);
	return nl_call(nl, &msg, NULL);
}

int helper_start(struct helper *h)
{
	uint64_t sequence = h->world->sequence;
	struct nl_msg msg;

	nl_begin(&h->control, &msg, TORUS_CMD_SESSION_START, 0);
	nl_put_u32(&msg, TORUS_A_SESSION_DEV_ID, h->dev_id);
	nl_put_u64(&msg, TORUS_A_SESSION_ID, h->session_id);
	nl_put(&msg, TORUS_A_SESSION_INCARNATION, test_incarnation,
	       sizeof(test_incarnation));
	nl_put_u64(&msg, TORUS_A_SESSION_SEQUENCE, sequence);
	nl_put_u32(&msg, TORUS_A_SESSION_HEADER_CRC, world_crc(sequence));
	nl_put_u32(&msg, TORUS_A_SESSION_CHECK_CRC, world_crc(h->remembered));
	return nl_call(&h->control, &msg, NULL);
}

int helper_lane(struct helper *lane, const struct helper *h, uint64_t mask)
{
	int ret;

	*lane = *h;
	lane->mask = 0;
	lane->nr_ready = 0;
	ret = nl_open(&lane->data);
	return ret ? ret : helper_queues(lane, &lane->data, mask);
}

void helper_lane_close(struct helper *lane)
{
	nl_close(&lane->data);
}

static uint64_t append_record(struct world *world)
{
	return __atomic_add_fetch(&world->sequence, 1, __ATOMIC_SEQ_CST);
}

void helper_do(struct helper *h, const struct torus_desc *desc,
	       struct torus_completion *completion)
{
	struct world *world = h->world;

	memset(completion, 0, sizeof(*completion));
	completion->queue = desc->queue;
	completion->tag = desc->tag;
	completion->generation = desc->generation;
	completion->length = desc->length;
	if (desc->offset + desc->length > world->size ||
	    desc->op > TORUS_OP_WRITE_ZEROES) {
		completion->result = TORUS_RESULT_IO_ERROR;
		return;
	}
	__atomic_add_fetch(&world->ops[desc->op], 1, __ATOMIC_RELAXED);
	switch (desc->op) {
	case TORUS_OP_READ:
		memcpy(h->arena + desc->arena_offset,
		       world->data + desc->offset, desc->length);
		return;
	case TORUS_OP_WRITE:
		memcpy(world->data + desc->offset,
		       h->arena + desc->arena_offset, desc->length);
		if (desc->flags & TORUS_IO_FLAG_FUA)
			__atomic_add_fetch(&world->fua, 1, __ATOMIC_RELAXED);
		break;
	case TORUS_OP_DISCARD:
	case TORUS_OP_WRITE_ZEROES:
		memset(world->data + desc->offset, 0, desc->length);
		break;
	}
	completion->sequence = append_record(world);
	completion->header_crc = world_crc(completion->sequence);
}

static int publish_and_drain(struct helper *h, struct nl *nl,
			     const struct torus_completion *completions,
			     unsigned int nr, bool ack)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		ring_publish(h, completions[i].queue, &completions[i]);
	return ring_drain(h, nl, ack);
}

int helper_complete(struct helper *h, struct nl *nl,
		    const struct torus_completion *completions,
		    unsigned int nr, bool ack)
{
	struct nl_msg msg;

	if (h->form == TORUS_CHANNEL_RING)
		return publish_and_drain(h, nl, completions, nr, ack);
	nl_begin(nl, &msg, TORUS_CMD_COMPLETE, 0);
	nl_put_u32(&msg, TORUS_A_IO_DEV_ID, h->dev_id);
	nl_put_u64(&msg, TORUS_A_IO_SESSION_ID, h->session_id);
	nl_put(&msg, TORUS_A_IO_COMPLETIONS, completions,
	       nr * sizeof(*completions));
	return ack ? nl_call(nl, &msg, NULL) : nl_send(nl, &msg);
}

static int flush_ready(struct helper *h)
{
	unsigned int nr = h->nr_ready;

	h->nr_ready = 0;
	return nr ? helper_complete(h, &h->data, h->ready, nr, false) : 0;
}

static int take_descriptor(struct helper *h, const struct torus_desc *desc)
{
	struct torus_completion *c = &h->ready[h->nr_ready];

	helper_do(h, desc, c);
	if (h->hook && !h->hook(h, desc, c))
		return 0;
	return ++h->nr_ready < TORUS_COMPLETION_BATCH ? 0 : flush_ready(h);
}

static int take_message(struct helper *h, const struct nl_msg *msg)
{
	const struct nlmsghdr *hdr = (const void *)msg->data;
	const struct nlattr *attr;
	unsigned int i;
	int ret = 0;

	if (hdr->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *err = NLMSG_DATA(hdr);

		return err->error;
	}
	attr = nl_attr(msg, TORUS_A_IO_DESCRIPTORS);
	if (!attr || nl_u64(msg, TORUS_A_IO_SESSION_ID) != h->session_id)
		return 0;
	for (i = 0; !ret && i < nl_len(attr) / sizeof(struct torus_desc); i++) {
		struct torus_desc desc;

		memcpy(&desc, (const char *)nl_data(attr) + i * sizeof(desc),
		       sizeof(desc));
		ret = take_descriptor(h, &desc);
	}
	return ret;
}

/* Whether there was any; @ret gets 0 or -errno. */
static bool take_from_rings(struct helper *h, int *ret)
{
	struct torus_desc desc;
	bool any = false;

	*ret = 0;
	while (!*ret && ring_next(h, &desc, ret)) {
		any = true;
		*ret = take_descriptor(h, &desc);
	}
	return any;
}

/* Doorbells, and what the driver says about our messages. */
static int hear(struct helper *h, int timeout_ms)
{
	struct nl_msg msg;
	int ret = nl_receive(&h->data, &msg, timeout_ms);

	return ret ? ret : take_message(h, &msg);
}

static int serve_rings_once(struct helper *h, int timeout_ms)
{
	int ret, heard = -EAGAIN;

	if (!take_from_rings(h, &ret) && !ret) {
		heard = hear(h, ring_sleep(h) ? timeout_ms : 0);
		ring_wake(h);
		take_from_rings(h, &ret);
	}
	if (!ret)
		ret = flush_ready(h);
	while (!heard)
		heard = hear(h, 0);
	return ret ? ret : heard == -EAGAIN ? 0 : heard;
}

int helper_serve_once(struct helper *h, int timeout_ms)
{
	struct nl_msg msg;
	int ret;

	if (h->form == TORUS_CHANNEL_RING)
		return serve_rings_once(h, timeout_ms);
	ret = nl_receive(&h->data, &msg, timeout_ms);
	while (!ret) {
		ret = take_message(h, &msg);
		if (!ret)
			ret = nl_receive(&h->data, &msg, 0);
	}
	if (ret != -EAGAIN)
		return ret;
	ret = flush_ready(h);
	return ret ? ret : 0;
}

int helper_serve_many(struct helper *helpers, unsigned int nr, int other_fd,
		      int timeout_ms)
{
	struct pollfd fds[HELPER_MANY_MAX + 1];
	unsigned int i;
	int ret, n;

	CHECK(nr <= HELPER_MANY_MAX);
	for (i = 0; i < nr; i++) {
		fds[i] = (struct pollfd) {
			.fd = helpers[i].data.fd, .events = POLLIN,
		};
		if (helpers[i].form == TORUS_CHANNEL_RING &&
		    helpers[i].data.fd >= 0 && !ring_sleep(&helpers[i]))
			timeout_ms = 0;
	}
	fds[nr] = (struct pollfd) { .fd = other_fd, .events = POLLIN };
	n = poll(fds, nr + 1, timeout_ms);
	if (n < 0 || (!n && timeout_ms))
		return n ? -errno : -EAGAIN;
	for (i = 0; i < nr; i++) {
		if (!fds[i].revents && (helpers[i].form != TORUS_CHANNEL_RING ||
					helpers[i].data.fd < 0))
			continue;
		ret = helper_serve_once(&helpers[i], 0);
		/* Its device is gone, or another has it. */
		if (ret && ret != -EAGAIN)
			helper_close(&helpers[i]);
	}
	return 0;
}
