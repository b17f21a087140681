/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/torus.yaml */
/* YNL-GEN kernel header */

#ifndef _LINUX_TORUS_GEN_H
#define _LINUX_TORUS_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/linux/torus.h>

extern const struct nla_policy torus_dev_add_nl_policy[TORUS_A_DEV_INCARNATION + 1];

extern const struct nla_policy torus_dev_del_nl_policy[TORUS_A_DEV_FORCE + 1];

extern const struct nla_policy torus_dev_get_nl_policy[TORUS_A_DEV_ID + 1];

extern const struct nla_policy torus_dev_set_nl_policy[TORUS_A_DEV_FAIL + 1];

extern const struct nla_policy torus_session_bind_nl_policy[TORUS_A_SESSION_TAKEOVER + 1];

extern const struct nla_policy torus_session_queue_nl_policy[TORUS_A_SESSION_QUEUE_MASK + 1];

extern const struct nla_policy torus_session_start_nl_policy[TORUS_A_SESSION_CHECK_CRC + 1];

extern const struct nla_policy torus_session_end_nl_policy[TORUS_A_SESSION_ID + 1];

extern const struct nla_policy torus_complete_nl_policy[TORUS_A_IO_COMPLETIONS + 1];

extern const struct nla_policy torus_drain_nl_policy[TORUS_A_IO_SESSION_ID + 1];

/* Ops table for torus */
extern const struct genl_ops torus_nl_ops[10];

int torus_nl_dev_add_doit(struct sk_buff *skb, struct genl_info *info);
int torus_nl_dev_del_doit(struct sk_buff *skb, struct genl_info *info);
int torus_nl_dev_get_doit(struct sk_buff *skb, struct genl_info *info);
int torus_nl_dev_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int torus_nl_dev_set_doit(struct sk_buff *skb, struct genl_info *info);
int torus_nl_session_bind_doit(struct sk_buff *skb, struct genl_info *info);
int torus_nl_session_queue_doit(struct sk_buff *skb, struct genl_info *info);
int torus_nl_session_start_doit(struct sk_buff *skb, struct genl_info *info);
int torus_nl_session_end_doit(struct sk_buff *skb, struct genl_info *info);
int torus_nl_complete_doit(struct sk_buff *skb, struct genl_info *info);
int torus_nl_drain_doit(struct sk_buff *skb, struct genl_info *info);

extern const struct genl_multicast_group torus_nl_mcgrps[1];

enum {
	TORUS_NLGRP_STATE,
};

#endif /* _LINUX_TORUS_GEN_H */
