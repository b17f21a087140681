/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TORUS_MESSAGE_H
#define _TORUS_MESSAGE_H

#include <linux/torus.h>

struct genl_family;
struct genl_info;
struct sk_buff;
struct torus_device;

extern struct genl_family torus_family;

/** torus_message_event - tell the multicast group about a device */
void torus_message_event(struct torus_device *dev, enum torus_state state,
			 int error);

/** torus_message_added - answer to dev-add; 0 or -errno */
int torus_message_added(struct genl_info *info, u32 id, u32 nr_queues);

/** torus_message_device - answer to dev-get; 0 or -errno */
int torus_message_device(struct genl_info *info, struct torus_device *dev);

/**
 * torus_message_fill_device - all that is to be said about a device
 * @skb: has a message begun
 *
 * Return: 0, or -EMSGSIZE.
 */
int torus_message_fill_device(struct sk_buff *skb, struct torus_device *dev);

/** torus_message_bound - answer to a session-bind that asked for @form */
int torus_message_bound(struct genl_info *info, struct torus_device *dev,
			u64 session_id, enum torus_channel form);

#endif /* _TORUS_MESSAGE_H */
