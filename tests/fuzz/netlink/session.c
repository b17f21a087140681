// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)
#define PAGE 4096ull

static size_t whole_pages(size_t bytes)
{
	return (bytes + PAGE - 1) / PAGE * PAGE;
}

uint32_t session_crc(uint64_t sequence)
{
	return sequence ? (uint32_t)(sequence * 2654435761u) ^ 0xf022 : 0;
}

int session_arena(size_t size, uint8_t **map)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int ret;

	if (fd < 0)
		return -errno;
	*map = MAP_FAILED;
	if (!ftruncate(fd, size))
		*map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			    0);
	if (*map != MAP_FAILED && !mlock(*map, size) &&
	    !fcntl(fd, F_ADD_SEALS, SEALS))
		return fd;
	ret = -errno;
	if (*map != MAP_FAILED)
		munmap(*map, size);
	close(fd);
	return ret;
}

size_t session_rings_size(uint32_t queues, uint32_t depth)
{
	uint32_t entries = 1;

	while (entries < depth)
		entries *= 2;
	return queues * whole_pages(TORUS_RING_DESCS + entries *
				    (TORUS_DESC_SIZE + TORUS_COMPLETION_SIZE));
}

static int open_ports(struct session *s)
{
	int ret = port_open(&s->control);

	for (int i = 0; i < SESSION_SOCKETS && !ret; i++)
		ret = port_open(&s->data[i]);
	return ret;
}

void session_init(struct session *s)
{
	memset(s, 0, offsetof(struct session, pending));
	s->pending[0].nr = s->pending[1].nr = 0;
	s->control.fd = s->data[0].fd = s->data[1].fd = -1;
	s->arena_fd = -1;
}

int session_open(struct session *s, const struct session_device *dev,
		 uint32_t form)
{
	int ret;

	session_init(s);
	s->dev_id = dev->id;
	s->form = form;
	s->state = SESSION_OPEN;
	s->arena_size = whole_pages(2ull * dev->io_size_max);
	if (form == TORUS_CHANNEL_RING)
		s->arena_size += session_rings_size(dev->queues, dev->depth);
	ret = open_ports(s);
	if (!ret) {
		s->arena_fd = session_arena(s->arena_size, &s->arena);
		ret = s->arena_fd < 0 ? s->arena_fd : 0;
	}
	if (ret)
		session_close(s);
	return ret;
}

void session_close(struct session *s)
{
	if (s->state == SESSION_CLOSED)
		return;
	s->state = SESSION_CLOSED;
	port_close(&s->control);
	for (int i = 0; i < SESSION_SOCKETS; i++)
		port_close(&s->data[i]);
	if (s->arena_fd < 0)
		return;
	munmap(s->arena, s->arena_size);
	close(s->arena_fd);
	s->arena_fd = -1;
}

void session_bound(struct session *s, const struct answer *answer)
{
	const struct nlattr *incarnation =
		answer_attr(answer, TORUS_A_SESSION_INCARNATION);

	/* The rings of one that was bound before are not as they should be. */
	s->rings_spoilt = s->state > SESSION_OPEN;
	s->state = SESSION_BOUND;
	s->pending[0].nr = s->pending[1].nr = 0;
	memset(s->masks, 0, sizeof(s->masks));
	memset(s->heads, 0, sizeof(s->heads));
	memset(s->tails, 0, sizeof(s->tails));
	s->dev_id = answer_number(answer, TORUS_A_SESSION_DEV_ID);
	s->id = answer_number(answer, TORUS_A_SESSION_ID);
	s->form = answer_number(answer, TORUS_A_SESSION_CHANNEL);
	s->rcvbuf_min = answer_number(answer, TORUS_A_SESSION_RCVBUF_MIN);
	s->queues = answer_number(answer, TORUS_A_SESSION_QUEUES);
	s->depth = answer_number(answer, TORUS_A_SESSION_DEPTH);
	s->io_size_max = answer_number(answer, TORUS_A_SESSION_IO_SIZE_MAX);
	s->ring_entries = answer_number(answer, TORUS_A_SESSION_RING_ENTRIES);
	s->ring_stride = answer_number(answer, TORUS_A_SESSION_RING_STRIDE);
	s->remembered = answer_number(answer, TORUS_A_SESSION_SEQUENCE);
	s->remembered_crc = answer_number(answer, TORUS_A_SESSION_HEADER_CRC);
	s->device_size = answer_number(answer, TORUS_A_SESSION_SIZE);
	s->sequence = s->remembered;
	if (incarnation)
		memcpy(s->incarnation, (const char *)incarnation + NLA_HDRLEN,
		       sizeof(s->incarnation));
}

uint64_t session_all_queues(const struct session *s)
{
	return s->queues >= 64 ? ~0ull : (1ull << s->queues) - 1;
}

uint64_t session_free_queues(const struct session *s)
{
	return session_all_queues(s) & ~(s->masks[0] | s->masks[1]);
}

int session_make_room(struct session *s, struct port *port, unsigned int queues)
{
	int bytes = s->rcvbuf_min / 2 * queues, one = 1;

	/* The kernel doubles what it is told. */
	if (setsockopt(port->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes,
		       sizeof(bytes)) ||
	    setsockopt(port->fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one,
		       sizeof(one)))
		return -errno;
	return 0;
}

/* ---- requests ----------------------------------------------------------- */

static void complain(struct session *s, const struct torus_desc *d,
		     const char *what)
{
	if (!s->wrong[0])
		snprintf(s->wrong, sizeof(s->wrong),
			 "%s: op %u queue %u tag %u length %u offset %llu arena %llu",
			 what, d->op, d->queue, d->tag, d->length,
			 (unsigned long long)d->offset,
			 (unsigned long long)d->arena_offset);
}

static void check_desc(struct session *s, const struct torus_desc *d)
{
	bool data = d->op == TORUS_OP_READ || d->op == TORUS_OP_WRITE;
	uint8_t flags = TORUS_IO_FLAG_FUA | TORUS_IO_FLAG_NOUNMAP;

	if (d->op == TORUS_OP_WRITE && s->form == TORUS_CHANNEL_RING)
		flags |= TORUS_IO_FLAG_DEFERRED;
	if (d->op < TORUS_OP_READ || d->op > TORUS_OP_WRITE_ZEROES ||
	    d->reserved || d->flags & ~flags)
		complain(s, d, "unknown operation, flags or reserved bits");
	else if (d->queue >= s->queues || d->tag >= s->depth)
		complain(s, d, "no such queue or tag");
	else if (data && (d->length > s->io_size_max || !d->length ||
			  d->arena_offset % TORUS_ARENA_UNIT ||
			  d->arena_offset + d->length > s->arena_size ||
			  d->arena_offset < (uint64_t)s->queues *
					    s->ring_stride))
		complain(s, d, "outside of the arena");
}

unsigned int session_socket_of(const struct session *s, unsigned int queue)
{
	return s->masks[1] >> queue & 1;
}

static void add_pending(struct session *s, const struct torus_desc *d)
{
	struct session_pending *pending;

	check_desc(s, d);
	if (s->wrong[0])
		return;
	pending = &s->pending[session_socket_of(s, d->queue)];
	if (pending->nr < SESSION_PENDING)
		pending->descs[pending->nr++] = *d;
}

void session_event(void *session, const struct nlmsghdr *hdr)
{
	const struct nlattr *attr = port_attr(hdr, TORUS_A_IO_DESCRIPTORS);
	struct session *s = session;
	struct torus_desc desc;

	if (!attr || port_u64(hdr, TORUS_A_IO_SESSION_ID) != s->id)
		return;
	for (size_t at = NLA_HDRLEN; at + sizeof(desc) <= attr->nla_len;
	     at += sizeof(desc)) {
		memcpy(&desc, (const char *)attr + at, sizeof(desc));
		add_pending(s, &desc);
	}
}

struct torus_ring *session_ring(struct session *s, unsigned int queue)
{
	if (!s->ring_stride || !s->ring_entries || queue >= s->queues ||
	    (uint64_t)s->queues * s->ring_stride > s->arena_size)
		return NULL;
	return (void *)(s->arena + (size_t)queue * s->ring_stride);
}

struct torus_desc *session_descs(struct session *s, unsigned int queue)
{
	struct torus_ring *ring = session_ring(s, queue);

	return ring ? (void *)((uint8_t *)ring + TORUS_RING_DESCS) : NULL;
}

struct torus_completion *session_completions(struct session *s,
					     unsigned int queue)
{
	struct torus_desc *descs = session_descs(s, queue);

	return descs ? (void *)(descs + s->ring_entries) : NULL;
}

static void take_ring(struct session *s, unsigned int queue)
{
	struct torus_ring *ring = session_ring(s, queue);
	struct torus_desc *descs = session_descs(s, queue);
	uint32_t tail, data_tail;

	if (!ring)
		return;
	data_tail = __atomic_load_n(&ring->data_tail, __ATOMIC_ACQUIRE);
	tail = __atomic_load_n(&ring->desc_tail, __ATOMIC_ACQUIRE);
	/* Only ourselves can have spoilt it; then it is not the driver's. */
	if (s->rings_spoilt || tail - s->heads[queue] > s->ring_entries) {
		if (!s->rings_spoilt)
			snprintf(s->wrong, sizeof(s->wrong),
				 "queue %u: desc_tail jumped from %u to %u",
				 queue, s->heads[queue], tail);
		return;
	}
	if ((int32_t)(tail - data_tail) < 0)
		snprintf(s->wrong, sizeof(s->wrong),
			 "queue %u: data_tail %u is beyond desc_tail %u",
			 queue, data_tail, tail);
	for (; s->heads[queue] != tail; s->heads[queue]++)
		add_pending(s, &descs[s->heads[queue] &
				      (s->ring_entries - 1)]);
}

void session_take(struct session *s)
{
	if (s->state != SESSION_STARTED)
		return;
	for (int i = 0; i < SESSION_SOCKETS; i++)
		port_take(&s->data[i], 0, NULL, session_event, s);
	if (s->form != TORUS_CHANNEL_RING)
		return;
	for (unsigned int i = 0; i < s->queues; i++)
		take_ring(s, i);
}

void session_finish(struct session *s, struct session_pending *pending,
		    unsigned int index, struct torus_completion *completion)
{
	struct torus_desc desc = pending->descs[index];

	pending->descs[index] = pending->descs[--pending->nr];
	memset(completion, 0, sizeof(*completion));
	completion->queue = desc.queue;
	completion->tag = desc.tag;
	completion->generation = desc.generation;
	completion->length = desc.length;
	if (desc.op == TORUS_OP_READ)
		return;
	completion->sequence = ++s->sequence;
	completion->header_crc = session_crc(s->sequence);
}

void session_publish(struct session *s, const struct torus_completion *c)
{
	struct torus_completion *array = session_completions(s, c->queue);
	struct torus_ring *ring = session_ring(s, c->queue);

	if (!ring)
		return;
	array[s->tails[c->queue] & (s->ring_entries - 1)] = *c;
	__atomic_store_n(&ring->completion_tail, ++s->tails[c->queue],
			 __ATOMIC_RELEASE);
}
