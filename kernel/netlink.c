// SPDX-License-Identifier: GPL-2.0
/*
 * Handlers of the family's commands: check who asks and what, then call.
 *
 * genl holds a lock shared by all families over every handler, and a writer
 * waiting for it blocks further readers. So none of them waits for I/O, for a
 * frozen queue, or for a lock under which somebody does; what takes time is
 * left to work items. Memory is allocated without starting I/O, since that I/O
 * might be ours.
 */
#include <linux/capability.h>
#include <linux/moduleparam.h>
#include <linux/netlink.h>
#include <linux/sched/mm.h>
#include <linux/stringify.h>
#include <net/genetlink.h>

#include "channel.h"
#include "device.h"
#include "genl.h"
#include "lifecycle.h"
#include "message.h"
#include "netlink.h"
#include "queue.h"
#include "session.h"

/* The limit is that of the attribute for which it stands in. */
static int set_dead_timeout(const char *val, const struct kernel_param *kp)
{
	return param_set_uint_minmax(val, kp, 0, TORUS_TIMEOUT_MS_LIMIT);
}

static const struct kernel_param_ops dead_timeout_ops = {
	.set = set_dead_timeout,
	.get = param_get_uint,
};

static unsigned int dead_timeout_ms = TORUS_DEAD_TIMEOUT_MS_DEFAULT;
module_param_cb(dead_timeout_ms, &dead_timeout_ops, &dead_timeout_ms, 0644);
__MODULE_PARM_TYPE(dead_timeout_ms, "uint");
MODULE_PARM_DESC(dead_timeout_ms, "How long requests wait for a new helper, in ms, on devices added without a value (0 to "
		 __stringify(TORUS_TIMEOUT_MS_LIMIT) ", default "
		 __stringify(TORUS_DEAD_TIMEOUT_MS_DEFAULT) ")");

struct genl_family torus_family __ro_after_init = {
	.name = TORUS_FAMILY_NAME,
	.version = TORUS_FAMILY_VERSION,
	.parallel_ops = true,
	.module = THIS_MODULE,
	.ops = torus_nl_ops,
	.n_ops = ARRAY_SIZE(torus_nl_ops),
	.mcgrps = torus_nl_mcgrps,
	.n_mcgrps = ARRAY_SIZE(torus_nl_mcgrps),
};

static u32 get_u32(struct genl_info *info, int attr, u32 otherwise)
{
	return info->attrs[attr] ? nla_get_u32(info->attrs[attr]) : otherwise;
}

/* CAP_NET_ADMIN, which containers have, is not enough. */
static int check_permission(struct sk_buff *skb, struct netlink_ext_ack *extack)
{
	if (netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	NL_SET_ERR_MSG(extack, "CAP_SYS_ADMIN in the initial user namespace is needed");
	return -EPERM;
}

/* Tells by number and by name which attribute a message lacks. */
#define IS_MISSING(info, attr, name) ({					\
	struct genl_info *info_ = (info);				\
	bool missing_ = GENL_REQ_ATTR_CHECK(info_, attr);		\
									\
	if (missing_)							\
		GENL_SET_ERR_MSG(info_, "attribute " name " is missing");	\
	missing_;							\
})

static struct torus_device *find_device(struct genl_info *info, int attr)
{
	struct torus_device *dev;

	if (IS_MISSING(info, attr, "id of the device"))
		return ERR_PTR(-EINVAL);
	dev = torus_device_find(nla_get_u32(info->attrs[attr]));
	if (dev)
		return dev;
	NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[attr],
			    "there is no device with that id");
	return ERR_PTR(-ENODEV);
}

static int fill_config(struct genl_info *info,
		       struct torus_device_config *config)
{
	struct nlattr **attrs = info->attrs;

	if (IS_MISSING(info, TORUS_A_DEV_VOLUME, "volume") ||
	    IS_MISSING(info, TORUS_A_DEV_SIZE, "size") ||
	    IS_MISSING(info, TORUS_A_DEV_INCARNATION, "incarnation"))
		return -EINVAL;
	config->id = attrs[TORUS_A_DEV_ID] ?
		     nla_get_u32(attrs[TORUS_A_DEV_ID]) : -1;
	config->volume = nla_data(attrs[TORUS_A_DEV_VOLUME]);
	config->size = nla_get_u64(attrs[TORUS_A_DEV_SIZE]);
	config->block_size = get_u32(info, TORUS_A_DEV_BLOCK_SIZE,
				     TORUS_BLOCK_SIZE_LIMIT);
	config->nr_queues = get_u32(info, TORUS_A_DEV_QUEUES, 1);
	config->depth = get_u32(info, TORUS_A_DEV_DEPTH, TORUS_DEPTH_DEFAULT);
	config->io_size_max = get_u32(info, TORUS_A_DEV_IO_SIZE_MAX,
				      TORUS_IO_SIZE_DEFAULT);
	config->io_timeout_ms = get_u32(info, TORUS_A_DEV_IO_TIMEOUT_MS,
					TORUS_IO_TIMEOUT_MS_DEFAULT);
	config->dead_timeout_ms = get_u32(info, TORUS_A_DEV_DEAD_TIMEOUT_MS,
					  READ_ONCE(dead_timeout_ms));
	config->read_only = attrs[TORUS_A_DEV_READ_ONLY] &&
			    nla_get_u8(attrs[TORUS_A_DEV_READ_ONLY]);
	nla_memcpy(config->incarnation, attrs[TORUS_A_DEV_INCARNATION],
		   sizeof(config->incarnation));
	return 0;
}

/* A device that its maker has not heard of must not stay. */
static void undo_add(const struct torus_device_config *config)
{
	struct torus_device *dev = torus_device_find(config->id);

	if (!dev)
		return;
	if (!memcmp(dev->incarnation, config->incarnation,
		    TORUS_INCARNATION_LEN))
		torus_device_delete(dev, true, NULL);
	torus_device_put(dev);
}

static int dev_add(struct sk_buff *skb, struct genl_info *info)
{
	struct torus_device_config config;
	int ret;

	ret = fill_config(info, &config);
	if (ret)
		return ret;
	ret = torus_device_add(&config, info->extack);
	if (ret)
		return ret;
	ret = torus_message_added(info, config.id, config.nr_queues);
	if (ret)
		undo_add(&config);
	return ret;
}

static int dev_del(struct sk_buff *skb, struct genl_info *info)
{
	struct torus_device *dev = find_device(info, TORUS_A_DEV_ID);
	int ret;

	if (IS_ERR(dev))
		return PTR_ERR(dev);
	ret = torus_device_delete(dev, info->attrs[TORUS_A_DEV_FORCE],
				  info->extack);
	torus_device_put(dev);
	return ret;
}

static int dev_get(struct sk_buff *skb, struct genl_info *info)
{
	struct torus_device *dev = find_device(info, TORUS_A_DEV_ID);
	int ret;

	if (IS_ERR(dev))
		return PTR_ERR(dev);
	ret = torus_message_device(info, dev);
	torus_device_put(dev);
	return ret;
}

static int set_device(struct torus_device *dev, struct genl_info *info)
{
	struct nlattr **attrs = info->attrs, *attr;
	int ret;

	if (!attrs[TORUS_A_DEV_SIZE] && !attrs[TORUS_A_DEV_READ_ONLY] &&
	    !attrs[TORUS_A_DEV_IO_TIMEOUT_MS] &&
	    !attrs[TORUS_A_DEV_DEAD_TIMEOUT_MS] && !attrs[TORUS_A_DEV_FAIL]) {
		GENL_SET_ERR_MSG(info, "nothing to set");
		return -EINVAL;
	}
	/* The only one that may be refused comes first: all or nothing. */
	if (attrs[TORUS_A_DEV_SIZE]) {
		ret = torus_device_resize(dev,
					  nla_get_u64(attrs[TORUS_A_DEV_SIZE]),
					  info->extack);
		if (ret)
			return ret;
	}
	attr = attrs[TORUS_A_DEV_READ_ONLY];
	if (attr)
		torus_device_set_read_only(dev, nla_get_u8(attr));
	attr = attrs[TORUS_A_DEV_IO_TIMEOUT_MS];
	if (attr)
		torus_device_set_io_timeout(dev, nla_get_u32(attr));
	attr = attrs[TORUS_A_DEV_DEAD_TIMEOUT_MS];
	if (attr)
		torus_device_set_dead_timeout(dev, nla_get_u32(attr));
	if (attrs[TORUS_A_DEV_FAIL])
		torus_device_fail(dev, -EIO);
	return 0;
}

static int dev_set(struct sk_buff *skb, struct genl_info *info)
{
	struct torus_device *dev = find_device(info, TORUS_A_DEV_ID);
	int ret;

	if (IS_ERR(dev))
		return PTR_ERR(dev);
	ret = set_device(dev, info);
	torus_device_put(dev);
	return ret;
}

static struct torus_session_sender sender_of(struct sk_buff *skb,
					     struct genl_info *info)
{
	return (struct torus_session_sender) {
		.sk = NETLINK_CB(skb).sk,
		.portid = info->snd_portid,
	};
}

static int bind_device(struct torus_device *dev, struct sk_buff *skb,
		       struct genl_info *info)
{
	struct torus_session_sender sender = sender_of(skb, info);
	struct nlattr **attrs = info->attrs;
	struct torus_session_claim claim = {
		.form = nla_get_u32(attrs[TORUS_A_SESSION_CHANNEL]),
		.arena_fd = nla_get_s32(attrs[TORUS_A_SESSION_ARENA_FD]),
		.takeover = attrs[TORUS_A_SESSION_TAKEOVER],
	};
	u64 id;
	int ret;

	ret = torus_session_bind(dev, &sender, &claim, &id, info->extack);
	if (ret)
		return ret;
	ret = torus_message_bound(info, dev, id, claim.form);
	/* Without the answer nobody knows the session: it must not stay. */
	if (ret)
		torus_session_end(dev, id, &sender, info->extack);
	return ret;
}

static int session_bind(struct sk_buff *skb, struct genl_info *info)
{
	struct torus_device *dev;
	int ret;

	if (IS_MISSING(info, TORUS_A_SESSION_ARENA_FD, "arena-fd") ||
	    IS_MISSING(info, TORUS_A_SESSION_CHANNEL, "channel"))
		return -EINVAL;
	dev = find_device(info, TORUS_A_SESSION_DEV_ID);
	if (IS_ERR(dev))
		return PTR_ERR(dev);
	ret = bind_device(dev, skb, info);
	torus_device_put(dev);
	return ret;
}

static int session_queue(struct sk_buff *skb, struct genl_info *info)
{
	struct torus_session_sender sender = sender_of(skb, info);
	struct torus_device *dev;
	u64 id, mask;
	int ret;

	if (IS_MISSING(info, TORUS_A_SESSION_ID, "id") ||
	    IS_MISSING(info, TORUS_A_SESSION_QUEUE_MASK, "queue-mask"))
		return -EINVAL;
	id = nla_get_u64(info->attrs[TORUS_A_SESSION_ID]);
	mask = nla_get_u64(info->attrs[TORUS_A_SESSION_QUEUE_MASK]);
	dev = find_device(info, TORUS_A_SESSION_DEV_ID);
	if (IS_ERR(dev))
		return PTR_ERR(dev);
	ret = torus_session_bind_queues(dev, id, &sender, mask, info->extack);
	torus_device_put(dev);
	return ret;
}

static int session_start(struct sk_buff *skb, struct genl_info *info)
{
	struct torus_session_sender sender = sender_of(skb, info);
	struct torus_session_log log;
	struct torus_device *dev;
	int ret;

	if (IS_MISSING(info, TORUS_A_SESSION_ID, "id") ||
	    IS_MISSING(info, TORUS_A_SESSION_INCARNATION, "incarnation") ||
	    IS_MISSING(info, TORUS_A_SESSION_SEQUENCE, "sequence") ||
	    IS_MISSING(info, TORUS_A_SESSION_HEADER_CRC, "header-crc"))
		return -EINVAL;
	nla_memcpy(log.incarnation, info->attrs[TORUS_A_SESSION_INCARNATION],
		   sizeof(log.incarnation));
	log.sequence = nla_get_u64(info->attrs[TORUS_A_SESSION_SEQUENCE]);
	log.header_crc = get_u32(info, TORUS_A_SESSION_HEADER_CRC, 0);
	log.check_crc = get_u32(info, TORUS_A_SESSION_CHECK_CRC, 0);
	log.has_check_crc = info->attrs[TORUS_A_SESSION_CHECK_CRC];
	dev = find_device(info, TORUS_A_SESSION_DEV_ID);
	if (IS_ERR(dev))
		return PTR_ERR(dev);
	ret = torus_session_start(dev,
				  nla_get_u64(info->attrs[TORUS_A_SESSION_ID]),
				  &sender, &log, info->extack);
	torus_device_put(dev);
	return ret;
}

static int session_end(struct sk_buff *skb, struct genl_info *info)
{
	struct torus_session_sender sender = sender_of(skb, info);
	struct torus_device *dev;
	int ret;

	if (IS_MISSING(info, TORUS_A_SESSION_ID, "id"))
		return -EINVAL;
	dev = find_device(info, TORUS_A_SESSION_DEV_ID);
	if (IS_ERR(dev))
		return PTR_ERR(dev);
	ret = torus_session_end(dev,
				nla_get_u64(info->attrs[TORUS_A_SESSION_ID]),
				&sender, info->extack);
	torus_device_put(dev);
	return ret;
}

/*
 * The active session that a message of the data channel is about; to be given
 * back with torus_session_put(). It keeps its device.
 */
static struct torus_session *find_active(struct genl_info *info)
{
	struct torus_session *session;
	struct torus_device *dev;
	u64 id;

	if (IS_MISSING(info, TORUS_A_IO_SESSION_ID, "session-id"))
		return ERR_PTR(-EINVAL);
	id = nla_get_u64(info->attrs[TORUS_A_IO_SESSION_ID]);
	dev = find_device(info, TORUS_A_IO_DEV_ID);
	if (IS_ERR(dev))
		return ERR_CAST(dev);
	session = torus_session_get_active(dev, id);
	torus_device_put(dev);
	if (session)
		return session;
	GENL_SET_ERR_MSG(info, "session has ended");
	return ERR_PTR(-ESTALE);
}

static int complete_requests(struct sk_buff *skb, struct genl_info *info)
{
	struct torus_session *session;
	int ret;

	if (IS_MISSING(info, TORUS_A_IO_COMPLETIONS, "completions"))
		return -EINVAL;
	session = find_active(info);
	if (IS_ERR(session))
		return PTR_ERR(session);
	ret = torus_channel_complete(session, NETLINK_CB(skb).sk,
				     info->attrs[TORUS_A_IO_COMPLETIONS],
				     info->extack);
	torus_session_put(session);
	return ret;
}

static int drain(struct sk_buff *skb, struct genl_info *info)
{
	struct torus_session *session = find_active(info);
	int ret;

	if (IS_ERR(session))
		return PTR_ERR(session);
	ret = torus_channel_drain(session, NETLINK_CB(skb).sk, info->extack);
	torus_session_put(session);
	return ret;
}

/* Calls @handler for a sender that may, without I/O for memory. */
static int handle(struct sk_buff *skb, struct genl_info *info,
		  int (*handler)(struct sk_buff *, struct genl_info *))
{
	unsigned int noio;
	int ret;

	ret = check_permission(skb, info->extack);
	if (ret)
		return ret;
	noio = memalloc_noio_save();
	ret = handler(skb, info);
	memalloc_noio_restore(noio);
	return ret;
}

int torus_nl_dev_add_doit(struct sk_buff *skb, struct genl_info *info)
{
	return handle(skb, info, dev_add);
}

int torus_nl_dev_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	return handle(skb, info, dev_del);
}

int torus_nl_dev_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	return handle(skb, info, dev_get);
}

int torus_nl_dev_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	return handle(skb, info, dev_set);
}

int torus_nl_session_bind_doit(struct sk_buff *skb, struct genl_info *info)
{
	return handle(skb, info, session_bind);
}

int torus_nl_session_queue_doit(struct sk_buff *skb, struct genl_info *info)
{
	return handle(skb, info, session_queue);
}

int torus_nl_session_start_doit(struct sk_buff *skb, struct genl_info *info)
{
	return handle(skb, info, session_start);
}

int torus_nl_session_end_doit(struct sk_buff *skb, struct genl_info *info)
{
	return handle(skb, info, session_end);
}

int torus_nl_complete_doit(struct sk_buff *skb, struct genl_info *info)
{
	return handle(skb, info, complete_requests);
}

int torus_nl_drain_doit(struct sk_buff *skb, struct genl_info *info)
{
	return handle(skb, info, drain);
}

static int dump_device(struct sk_buff *skb, struct netlink_callback *cb,
		       struct torus_device *dev)
{
	void *header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
				   cb->nlh->nlmsg_seq, &torus_family,
				   NLM_F_MULTI, TORUS_CMD_DEV_GET);
	int ret;

	if (!header)
		return -EMSGSIZE;
	genl_dump_check_consistent(cb, header);
	ret = torus_message_fill_device(skb, dev);
	if (ret) {
		genlmsg_cancel(skb, header);
		return ret;
	}
	genlmsg_end(skb, header);
	return 0;
}

/* cb->args[0] is the id to go on with. */
int torus_nl_dev_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct torus_device *dev;
	int ret;

	ret = check_permission(cb->skb, cb->extack);
	if (ret)
		return ret;
	if (nlmsg_attrlen(cb->nlh, GENL_HDRLEN)) {
		NL_SET_ERR_MSG(cb->extack, "a dump is of all devices: it takes no attributes");
		return -EINVAL;
	}
	cb->seq = torus_devices_generation();
	while ((dev = torus_device_next(cb->args[0]))) {
		ret = dump_device(skb, cb, dev);
		if (!ret)
			cb->args[0] = dev->id + 1;
		torus_device_put(dev);
		if (ret)
			return skb->len ? skb->len : ret;
	}
	return skb->len;
}

int torus_netlink_init(void)
{
	return genl_register_family(&torus_family);
}

void torus_netlink_exit(void)
{
	genl_unregister_family(&torus_family);
}
