// SPDX-License-Identifier: Apache-2.0
#include "front/control.h"

#include <errno.h>
#include <netlink/genl/genl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "front/netlink.h"

/* A dump that devices keep disturbing is repeated so many times. */
#define LIST_TRIES 16

struct control {
	struct netlink nl;
};

static const struct nla_policy device_policy[TORUS_A_DEV_MAX + 1] = {
	[TORUS_A_DEV_ID] = { .type = NLA_U32 },
	[TORUS_A_DEV_VOLUME] = { .type = NLA_STRING,
				 .maxlen = CONTROL_VOLUME_MAX },
	[TORUS_A_DEV_SIZE] = { .type = NLA_U64 },
	[TORUS_A_DEV_BLOCK_SIZE] = { .type = NLA_U32 },
	[TORUS_A_DEV_QUEUES] = { .type = NLA_U32 },
	[TORUS_A_DEV_DEPTH] = { .type = NLA_U32 },
	[TORUS_A_DEV_IO_SIZE_MAX] = { .type = NLA_U32 },
	[TORUS_A_DEV_IO_TIMEOUT_MS] = { .type = NLA_U32 },
	[TORUS_A_DEV_DEAD_TIMEOUT_MS] = { .type = NLA_U32 },
	[TORUS_A_DEV_READ_ONLY] = { .type = NLA_U8 },
	[TORUS_A_DEV_INCARNATION] = { .minlen = TORUS_INCARNATION_LEN,
				      .maxlen = TORUS_INCARNATION_LEN },
	[TORUS_A_DEV_STATE] = { .type = NLA_U32 },
	[TORUS_A_DEV_ERROR] = { .type = NLA_U32 },
	[TORUS_A_DEV_HELPER_PID] = { .type = NLA_U32 },
	[TORUS_A_DEV_SESSION_ID] = { .type = NLA_U64 },
	[TORUS_A_DEV_SEQUENCE] = { .type = NLA_U64 },
	[TORUS_A_DEV_HEADER_CRC] = { .type = NLA_U32 },
	[TORUS_A_DEV_IN_FLIGHT] = { .type = NLA_U32 },
	[TORUS_A_DEV_SENT] = { .type = NLA_U64 },
	[TORUS_A_DEV_COMPLETED] = { .type = NLA_U64 },
	[TORUS_A_DEV_LATE] = { .type = NLA_U64 },
	[TORUS_A_DEV_MALFORMED] = { .type = NLA_U64 },
	[TORUS_A_DEV_REQUEUED] = { .type = NLA_U64 },
	[TORUS_A_DEV_OVERFLOWS] = { .type = NLA_U64 },
	[TORUS_A_DEV_OPENERS] = { .type = NLA_U32 },
};

int control_open(struct control **control)
{
	struct control *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return error_set(-ENOMEM, "out of memory");
	err = netlink_open(&c->nl);
	if (err) {
		free(c);
		return err;
	}
	*control = c;
	return 0;
}

void control_close(struct control *control)
{
	if (!control)
		return;
	netlink_close(&control->nl);
	free(control);
}

/* ---- parsing ------------------------------------------------------------ */

static uint32_t get_u32(struct nlattr **attrs, int type)
{
	return attrs[type] ? nla_get_u32(attrs[type]) : 0;
}

static uint64_t get_u64(struct nlattr **attrs, int type)
{
	return attrs[type] ? nla_get_u64(attrs[type]) : 0;
}

static void fill_fixed(struct nlattr **attrs, struct control_device *d)
{
	d->id = get_u32(attrs, TORUS_A_DEV_ID);
	d->size = get_u64(attrs, TORUS_A_DEV_SIZE);
	d->block_size = get_u32(attrs, TORUS_A_DEV_BLOCK_SIZE);
	d->queues = get_u32(attrs, TORUS_A_DEV_QUEUES);
	d->depth = get_u32(attrs, TORUS_A_DEV_DEPTH);
	d->io_size_max = get_u32(attrs, TORUS_A_DEV_IO_SIZE_MAX);
	d->io_timeout_ms = get_u32(attrs, TORUS_A_DEV_IO_TIMEOUT_MS);
	d->dead_timeout_ms = get_u32(attrs, TORUS_A_DEV_DEAD_TIMEOUT_MS);
	if (attrs[TORUS_A_DEV_READ_ONLY])
		d->read_only = nla_get_u8(attrs[TORUS_A_DEV_READ_ONLY]);
}

static void fill_state(struct nlattr **attrs, struct control_device *d)
{
	d->state = get_u32(attrs, TORUS_A_DEV_STATE);
	d->error = (int32_t)get_u32(attrs, TORUS_A_DEV_ERROR);
	d->helper_pid = get_u32(attrs, TORUS_A_DEV_HELPER_PID);
	d->session_id = get_u64(attrs, TORUS_A_DEV_SESSION_ID);
	d->remembered.sequence = get_u64(attrs, TORUS_A_DEV_SEQUENCE);
	d->remembered.header_crc = get_u32(attrs, TORUS_A_DEV_HEADER_CRC);
	d->openers = get_u32(attrs, TORUS_A_DEV_OPENERS);
}

static void fill_counters(struct nlattr **attrs, struct control_device *d)
{
	d->in_flight = get_u32(attrs, TORUS_A_DEV_IN_FLIGHT);
	d->sent = get_u64(attrs, TORUS_A_DEV_SENT);
	d->completed = get_u64(attrs, TORUS_A_DEV_COMPLETED);
	d->late = get_u64(attrs, TORUS_A_DEV_LATE);
	d->malformed = get_u64(attrs, TORUS_A_DEV_MALFORMED);
	d->requeued = get_u64(attrs, TORUS_A_DEV_REQUEUED);
	d->overflows = get_u64(attrs, TORUS_A_DEV_OVERFLOWS);
}

int control_parse_device(struct nlmsghdr *hdr, struct control_device *device)
{
	struct nlattr *attrs[TORUS_A_DEV_MAX + 1];

	memset(device, 0, sizeof(*device));
	if (genlmsg_parse(hdr, 0, attrs, TORUS_A_DEV_MAX, device_policy) < 0 ||
	    !attrs[TORUS_A_DEV_ID] || !attrs[TORUS_A_DEV_VOLUME] ||
	    !attrs[TORUS_A_DEV_STATE] || !attrs[TORUS_A_DEV_INCARNATION])
		return error_set(-EBADMSG, "an answer of the torus driver is not understood: helper and module do not fit");
	nla_strlcpy(device->volume, attrs[TORUS_A_DEV_VOLUME],
		    sizeof(device->volume));
	memcpy(device->incarnation.byte,
	       nla_data(attrs[TORUS_A_DEV_INCARNATION]),
	       sizeof(device->incarnation.byte));
	fill_fixed(attrs, device);
	fill_state(attrs, device);
	fill_counters(attrs, device);
	return 0;
}

const char *control_state_name(uint32_t state)
{
	static const char *const names[] = {
		[TORUS_STATE_NEW] = "new",
		[TORUS_STATE_STARTING] = "starting",
		[TORUS_STATE_LIVE] = "live",
		[TORUS_STATE_RECOVERING] = "recovering",
		[TORUS_STATE_FAILED] = "failed",
		[TORUS_STATE_DELETING] = "deleting",
		[TORUS_STATE_DELETED] = "deleted",
	};

	if (state < TORUS_STATE_NEW || state > TORUS_STATE_DELETED)
		return "unknown";
	return names[state];
}

/* ---- commands ----------------------------------------------------------- */

/* Frees a message that lacks something; netlink_call() then says so. */
static struct nl_msg *checked(struct nl_msg *msg, int err)
{
	if (err && msg) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static int put_add(struct nl_msg *msg, const struct control_add *add)
{
	int err = 0;

	if (add->id >= 0)
		err |= nla_put_u32(msg, TORUS_A_DEV_ID, (uint32_t)add->id);
	err |= nla_put_string(msg, TORUS_A_DEV_VOLUME, add->volume);
	err |= nla_put_u64(msg, TORUS_A_DEV_SIZE, add->size);
	err |= nla_put_u32(msg, TORUS_A_DEV_BLOCK_SIZE, add->block_size);
	err |= nla_put_u32(msg, TORUS_A_DEV_QUEUES, add->queues);
	err |= nla_put_u32(msg, TORUS_A_DEV_DEPTH, add->depth);
	err |= nla_put_u32(msg, TORUS_A_DEV_IO_SIZE_MAX, add->io_size_max);
	err |= nla_put_u32(msg, TORUS_A_DEV_IO_TIMEOUT_MS, add->io_timeout_ms);
	if (add->dead_timeout_ms >= 0)
		err |= nla_put_u32(msg, TORUS_A_DEV_DEAD_TIMEOUT_MS,
				   (uint32_t)add->dead_timeout_ms);
	err |= nla_put_u8(msg, TORUS_A_DEV_READ_ONLY, add->read_only);
	err |= nla_put(msg, TORUS_A_DEV_INCARNATION, TORUS_INCARNATION_LEN,
		       add->incarnation.byte);
	return err;
}

struct added {
	bool known;
	uint32_t id, queues;
};

static void take_added(void *ctx, struct nlmsghdr *hdr)
{
	struct nlattr *attrs[TORUS_A_DEV_MAX + 1];
	struct added *added = ctx;

	if (genlmsg_parse(hdr, 0, attrs, TORUS_A_DEV_MAX, device_policy) < 0 ||
	    !attrs[TORUS_A_DEV_ID] || !attrs[TORUS_A_DEV_QUEUES])
		return;
	added->known = true;
	added->id = nla_get_u32(attrs[TORUS_A_DEV_ID]);
	added->queues = nla_get_u32(attrs[TORUS_A_DEV_QUEUES]);
}

int control_add(struct control *control, const struct control_add *add,
		uint32_t *id, uint32_t *queues)
{
	struct nl_msg *msg = netlink_message(&control->nl, TORUS_CMD_DEV_ADD, 0);
	struct added added = { 0 };
	int err;

	if (msg)
		msg = checked(msg, put_add(msg, add));
	err = netlink_call(&control->nl, msg, take_added, &added);
	if (err)
		return err;
	if (!added.known)
		return error_set(-EBADMSG, "the torus driver did not say which device it made");
	*id = added.id;
	*queues = added.queues;
	return 0;
}

/* A command about one device, with nothing but its id yet. */
static struct nl_msg *about(struct control *control, uint8_t command,
			    uint32_t id)
{
	struct nl_msg *msg = netlink_message(&control->nl, command, 0);

	if (!msg)
		return NULL;
	return checked(msg, nla_put_u32(msg, TORUS_A_DEV_ID, id));
}

int control_delete(struct control *control, uint32_t id, bool force)
{
	struct nl_msg *msg = about(control, TORUS_CMD_DEV_DEL, id);

	if (msg && force)
		msg = checked(msg, nla_put_flag(msg, TORUS_A_DEV_FORCE));
	return netlink_call(&control->nl, msg, NULL, NULL);
}

struct got {
	struct control_device *device;
	int err;
};

static void take_device(void *ctx, struct nlmsghdr *hdr)
{
	struct got *got = ctx;

	got->err = control_parse_device(hdr, got->device);
}

int control_get(struct control *control, uint32_t id,
		struct control_device *device)
{
	struct got got = { device, -EBADMSG };
	int err = netlink_call(&control->nl,
			       about(control, TORUS_CMD_DEV_GET, id),
			       take_device, &got);

	if (!err && got.err)
		err = error_set(got.err, "the torus driver did not tell about device %u",
				id);
	return err;
}

struct list {
	struct control_device *devices;
	size_t count, room;
	int err;
};

static void take_listed(void *ctx, struct nlmsghdr *hdr)
{
	struct list *l = ctx;
	struct control_device *more;

	if (l->err)
		return;
	if (l->count == l->room) {
		l->room = l->room ? 2 * l->room : 16;
		more = reallocarray(l->devices, l->room, sizeof(*more));
		if (!more) {
			l->err = -ENOMEM;
			return;
		}
		l->devices = more;
	}
	l->err = control_parse_device(hdr, &l->devices[l->count]);
	if (!l->err)
		l->count++;
}

int control_list(struct control *control, struct control_device **devices,
		 size_t *count)
{
	struct list l = { 0 };
	int err = -EAGAIN;

	for (int i = 0; err == -EAGAIN && i < LIST_TRIES; i++) {
		l.count = 0;
		err = netlink_call(&control->nl,
				   netlink_message(&control->nl,
						   TORUS_CMD_DEV_GET,
						   NLM_F_DUMP),
				   take_listed, &l);
	}
	if (!err)
		err = l.err;
	if (err) {
		free(l.devices);
		return err;
	}
	*devices = l.devices;
	*count = l.count;
	return 0;
}

int control_find(struct control *control, const char *volume,
		 struct control_device *device)
{
	struct control_device *all;
	size_t count;
	int err = control_list(control, &all, &count);

	if (err)
		return err;
	err = -ENOENT;
	for (size_t i = 0; err && i < count; i++)
		if (strcmp(all[i].volume, volume) == 0) {
			*device = all[i];
			err = 0;
		}
	free(all);
	return err;
}

static int put_changes(struct nl_msg *msg, const struct control_set *set)
{
	int err = 0;

	if (set->set_size)
		err |= nla_put_u64(msg, TORUS_A_DEV_SIZE, set->size);
	if (set->set_io_timeout)
		err |= nla_put_u32(msg, TORUS_A_DEV_IO_TIMEOUT_MS,
				   set->io_timeout_ms);
	if (set->set_dead_timeout)
		err |= nla_put_u32(msg, TORUS_A_DEV_DEAD_TIMEOUT_MS,
				   set->dead_timeout_ms);
	if (set->set_read_only)
		err |= nla_put_u8(msg, TORUS_A_DEV_READ_ONLY, set->read_only);
	if (set->fail)
		err |= nla_put_flag(msg, TORUS_A_DEV_FAIL);
	return err;
}

int control_change(struct control *control, uint32_t id,
		   const struct control_set *set)
{
	struct nl_msg *msg = about(control, TORUS_CMD_DEV_SET, id);

	if (msg)
		msg = checked(msg, put_changes(msg, set));
	return netlink_call(&control->nl, msg, NULL, NULL);
}
