// SPDX-License-Identifier: Apache-2.0
#include "front/session.h"

#include <errno.h>
#include <linux/torus_io.h>
#include <netlink/genl/genl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"

static const struct nla_policy session_policy[TORUS_A_SESSION_MAX + 1] = {
	[TORUS_A_SESSION_DEV_ID] = { .type = NLA_U32 },
	[TORUS_A_SESSION_ID] = { .type = NLA_U64 },
	[TORUS_A_SESSION_RCVBUF_MIN] = { .type = NLA_U32 },
	[TORUS_A_SESSION_RING_ENTRIES] = { .type = NLA_U32 },
	[TORUS_A_SESSION_RING_STRIDE] = { .type = NLA_U32 },
	[TORUS_A_SESSION_VOLUME] = { .type = NLA_STRING,
				     .maxlen = CONTROL_VOLUME_MAX },
	[TORUS_A_SESSION_SIZE] = { .type = NLA_U64 },
	[TORUS_A_SESSION_BLOCK_SIZE] = { .type = NLA_U32 },
	[TORUS_A_SESSION_QUEUES] = { .type = NLA_U32 },
	[TORUS_A_SESSION_DEPTH] = { .type = NLA_U32 },
	[TORUS_A_SESSION_IO_SIZE_MAX] = { .type = NLA_U32 },
	[TORUS_A_SESSION_READ_ONLY] = { .type = NLA_U8 },
	[TORUS_A_SESSION_INCARNATION] = { .minlen = TORUS_INCARNATION_LEN,
					  .maxlen = TORUS_INCARNATION_LEN },
	[TORUS_A_SESSION_SEQUENCE] = { .type = NLA_U64 },
	[TORUS_A_SESSION_HEADER_CRC] = { .type = NLA_U32 },
	[TORUS_A_SESSION_STATE] = { .type = NLA_U32 },
};

/* All of them are in every answer. */
static const int session_required[] = {
	TORUS_A_SESSION_DEV_ID, TORUS_A_SESSION_ID, TORUS_A_SESSION_RCVBUF_MIN,
	TORUS_A_SESSION_VOLUME, TORUS_A_SESSION_SIZE,
	TORUS_A_SESSION_BLOCK_SIZE, TORUS_A_SESSION_QUEUES,
	TORUS_A_SESSION_DEPTH, TORUS_A_SESSION_IO_SIZE_MAX,
	TORUS_A_SESSION_READ_ONLY, TORUS_A_SESSION_INCARNATION,
	TORUS_A_SESSION_SEQUENCE, TORUS_A_SESSION_HEADER_CRC,
	TORUS_A_SESSION_STATE,
};

static int not_understood(void)
{
	return error_set(-EBADMSG, "the torus driver's answer to bind is not understood: helper and module do not fit");
}

/* Powers of two, room for all requests, and both rings in the stride. */
static bool sane_rings(const struct session_device *d)
{
	uint64_t bytes = TORUS_RING_DESCS + (uint64_t)d->ring_entries *
			 (TORUS_DESC_SIZE + TORUS_COMPLETION_SIZE);

	if (!d->ring_entries && !d->ring_stride)
		return true;
	return !(d->ring_entries & (d->ring_entries - 1)) &&
	       d->ring_entries >= d->depth && bytes <= d->ring_stride &&
	       d->ring_stride % TORUS_ARENA_UNIT == 0;
}

/* What the channel will index and allocate by. */
static bool sane(const struct session_device *d)
{
	return d->size && (d->block_size == TORUS_BLOCK_SIZE_MIN ||
			   d->block_size == TORUS_BLOCK_SIZE_LIMIT) &&
	       d->queues >= 1 && d->queues <= TORUS_QUEUES_MAX &&
	       d->depth >= 1 && d->depth <= TORUS_DEPTH_MAX &&
	       d->io_size_max >= TORUS_IO_SIZE_MIN &&
	       d->io_size_max <= TORUS_IO_SIZE_LIMIT && sane_rings(d);
}

static void fill_device(struct nlattr **attrs, struct session_device *d)
{
	d->id = nla_get_u32(attrs[TORUS_A_SESSION_DEV_ID]);
	nla_strlcpy(d->volume, attrs[TORUS_A_SESSION_VOLUME],
		    sizeof(d->volume));
	d->size = nla_get_u64(attrs[TORUS_A_SESSION_SIZE]);
	d->block_size = nla_get_u32(attrs[TORUS_A_SESSION_BLOCK_SIZE]);
	d->queues = nla_get_u32(attrs[TORUS_A_SESSION_QUEUES]);
	d->depth = nla_get_u32(attrs[TORUS_A_SESSION_DEPTH]);
	d->io_size_max = nla_get_u32(attrs[TORUS_A_SESSION_IO_SIZE_MAX]);
	d->read_only = nla_get_u8(attrs[TORUS_A_SESSION_READ_ONLY]);
	memcpy(d->incarnation.byte, nla_data(attrs[TORUS_A_SESSION_INCARNATION]),
	       sizeof(d->incarnation.byte));
	d->remembered.sequence = nla_get_u64(attrs[TORUS_A_SESSION_SEQUENCE]);
	d->remembered.header_crc =
		nla_get_u32(attrs[TORUS_A_SESSION_HEADER_CRC]);
	d->state = nla_get_u32(attrs[TORUS_A_SESSION_STATE]);
	d->rcvbuf_min = nla_get_u32(attrs[TORUS_A_SESSION_RCVBUF_MIN]);
	if (attrs[TORUS_A_SESSION_RING_ENTRIES])
		d->ring_entries =
			nla_get_u32(attrs[TORUS_A_SESSION_RING_ENTRIES]);
	if (attrs[TORUS_A_SESSION_RING_STRIDE])
		d->ring_stride =
			nla_get_u32(attrs[TORUS_A_SESSION_RING_STRIDE]);
}

int session_parse_device(struct nlmsghdr *hdr, uint64_t *id,
			 struct session_device *device)
{
	struct nlattr *attrs[TORUS_A_SESSION_MAX + 1];
	size_t i;

	memset(device, 0, sizeof(*device));
	if (genlmsg_parse(hdr, 0, attrs, TORUS_A_SESSION_MAX, session_policy) < 0)
		return not_understood();
	for (i = 0; i < sizeof(session_required) / sizeof(int); i++)
		if (!attrs[session_required[i]])
			return not_understood();
	*id = nla_get_u64(attrs[TORUS_A_SESSION_ID]);
	fill_device(attrs, device);
	return sane(device) ? 0 : not_understood();
}

struct bound {
	struct session *session;
	int err;
};

static void take_bound(void *ctx, struct nlmsghdr *hdr)
{
	struct bound *bound = ctx;

	bound->err = session_parse_device(hdr, &bound->session->id,
					  &bound->session->device);
}

static struct nl_msg *bind_message(struct session *session, uint32_t device,
				   enum torus_channel form, int arena_fd,
				   bool takeover)
{
	struct nl_msg *msg = netlink_message(&session->owner,
					     TORUS_CMD_SESSION_BIND, 0);

	if (!msg)
		return NULL;
	if (nla_put_u32(msg, TORUS_A_SESSION_DEV_ID, device) ||
	    nla_put_u32(msg, TORUS_A_SESSION_CHANNEL, form) ||
	    nla_put_s32(msg, TORUS_A_SESSION_ARENA_FD, arena_fd) ||
	    (takeover && nla_put_flag(msg, TORUS_A_SESSION_TAKEOVER))) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

int session_bind(struct session *session, uint32_t device,
		 enum torus_channel form, int arena_fd, bool takeover)
{
	struct bound bound = { session, -EBADMSG };
	struct nl_msg *msg;
	int err;

	memset(session, 0, sizeof(*session));
	err = netlink_open(&session->owner);
	if (err)
		return err;
	msg = bind_message(session, device, form, arena_fd, takeover);
	err = netlink_call(&session->owner, msg, take_bound, &bound);
	if (!err && (bound.err || (form == TORUS_CHANNEL_RING) !=
				  !!session->device.ring_entries))
		err = not_understood();
	if (err)
		session_release(session);
	return err;
}

/* A command about this session, from @from. */
static struct nl_msg *about(struct session *session, struct netlink *from,
			    uint8_t command)
{
	struct nl_msg *msg = netlink_message(from, command, 0);

	if (!msg)
		return NULL;
	if (nla_put_u32(msg, TORUS_A_SESSION_DEV_ID, session->device.id) ||
	    nla_put_u64(msg, TORUS_A_SESSION_ID, session->id)) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

/*
 * Descriptors that do not fit would wait for the driver's retry, so there is
 * room for all. Connected to the kernel, a netlink socket takes from no other.
 */
static int prepare_socket(int fd, uint64_t bytes)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int one = 1, half;

	if (bytes > INT32_MAX)
		return error_set(-ENOBUFS, "the driver wants a receive buffer of %llu bytes: use fewer queues or less depth",
				 (unsigned long long)bytes);
	half = (int)((bytes + 1) / 2);	/* the kernel doubles what it is told */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &half, sizeof(half)) ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one)) ||
	    connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)))
		return error_set(-errno, "data socket: %s", strerror(errno));
	return 0;
}

int session_bind_queues(struct session *session, struct netlink *data,
			uint64_t mask)
{
	uint64_t bytes = (uint64_t)session->device.rcvbuf_min *
			 (unsigned int)__builtin_popcountll(mask);
	struct nl_msg *msg;
	int err = prepare_socket(netlink_fd(data), bytes);

	if (err)
		return err;
	msg = about(session, data, TORUS_CMD_SESSION_QUEUE);
	if (msg && nla_put_u64(msg, TORUS_A_SESSION_QUEUE_MASK, mask)) {
		nlmsg_free(msg);
		msg = NULL;
	}
	return netlink_call(data, msg, NULL, NULL);
}

/*
 * What the recovered log has at the sequence that the driver remembers; the
 * driver compares. Where recovery began after that record there is nothing to
 * compare: the incarnation alone vouches for the root that it began with.
 */
uint32_t session_check_crc(const struct session *session,
			   struct log_position found)
{
	const struct log_position *remembered = &session->device.remembered;

	if (!found.sequence)
		return remembered->header_crc;
	return found.sequence == remembered->sequence ? found.header_crc :
							~remembered->header_crc;
}

int session_start(struct session *session, struct log_position recovered,
		  struct log_position found, const struct uuid *incarnation)
{
	struct nl_msg *msg = about(session, &session->owner,
				   TORUS_CMD_SESSION_START);

	if (msg && (nla_put(msg, TORUS_A_SESSION_INCARNATION,
			    TORUS_INCARNATION_LEN, incarnation->byte) ||
		    nla_put_u64(msg, TORUS_A_SESSION_SEQUENCE,
				recovered.sequence) ||
		    nla_put_u32(msg, TORUS_A_SESSION_HEADER_CRC,
				recovered.header_crc) ||
		    nla_put_u32(msg, TORUS_A_SESSION_CHECK_CRC,
				session_check_crc(session, found)))) {
		nlmsg_free(msg);
		msg = NULL;
	}
	return netlink_call(&session->owner, msg, NULL, NULL);
}

void session_release(struct session *session)
{
	netlink_close(&session->owner);
}
