// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/torus.yaml */
/* YNL-GEN kernel source */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "genl.h"

#include <uapi/linux/torus.h>

/* Integer value ranges */
static struct netlink_range_validation torus_a_dev_io_size_max_range = {
	.min	= 4096ULL,
	.max	= 4194304ULL,
};

static struct netlink_range_validation torus_a_dev_io_timeout_ms_range = {
	.min	= 1ULL,
	.max	= 86400000ULL,
};

static struct netlink_range_validation torus_a_dev_dead_timeout_ms_range = {
	.max	= 86400000ULL,
};

/* TORUS_CMD_DEV_ADD - do */
const struct nla_policy torus_dev_add_nl_policy[TORUS_A_DEV_INCARNATION + 1] = {
	[TORUS_A_DEV_ID] = NLA_POLICY_MAX(NLA_U32, 4095),
	[TORUS_A_DEV_VOLUME] = { .type = NLA_NUL_STRING, .len = 255, },
	[TORUS_A_DEV_SIZE] = { .type = NLA_U64, },
	[TORUS_A_DEV_BLOCK_SIZE] = NLA_POLICY_RANGE(NLA_U32, 512, 4096),
	[TORUS_A_DEV_QUEUES] = NLA_POLICY_RANGE(NLA_U32, 1, 64),
	[TORUS_A_DEV_DEPTH] = NLA_POLICY_RANGE(NLA_U32, 1, 1024),
	[TORUS_A_DEV_IO_SIZE_MAX] = NLA_POLICY_FULL_RANGE(NLA_U32, &torus_a_dev_io_size_max_range),
	[TORUS_A_DEV_IO_TIMEOUT_MS] = NLA_POLICY_FULL_RANGE(NLA_U32, &torus_a_dev_io_timeout_ms_range),
	[TORUS_A_DEV_DEAD_TIMEOUT_MS] = NLA_POLICY_FULL_RANGE(NLA_U32, &torus_a_dev_dead_timeout_ms_range),
	[TORUS_A_DEV_READ_ONLY] = NLA_POLICY_MAX(NLA_U8, 1),
	[TORUS_A_DEV_INCARNATION] = NLA_POLICY_EXACT_LEN(16),
};

/* TORUS_CMD_DEV_DEL - do */
const struct nla_policy torus_dev_del_nl_policy[TORUS_A_DEV_FORCE + 1] = {
	[TORUS_A_DEV_ID] = NLA_POLICY_MAX(NLA_U32, 4095),
	[TORUS_A_DEV_FORCE] = { .type = NLA_FLAG, },
};

/* TORUS_CMD_DEV_GET - do */
const struct nla_policy torus_dev_get_nl_policy[TORUS_A_DEV_ID + 1] = {
	[TORUS_A_DEV_ID] = NLA_POLICY_MAX(NLA_U32, 4095),
};

/* TORUS_CMD_DEV_SET - do */
const struct nla_policy torus_dev_set_nl_policy[TORUS_A_DEV_FAIL + 1] = {
	[TORUS_A_DEV_ID] = NLA_POLICY_MAX(NLA_U32, 4095),
	[TORUS_A_DEV_SIZE] = { .type = NLA_U64, },
	[TORUS_A_DEV_IO_TIMEOUT_MS] = NLA_POLICY_FULL_RANGE(NLA_U32, &torus_a_dev_io_timeout_ms_range),
	[TORUS_A_DEV_DEAD_TIMEOUT_MS] = NLA_POLICY_FULL_RANGE(NLA_U32, &torus_a_dev_dead_timeout_ms_range),
	[TORUS_A_DEV_READ_ONLY] = NLA_POLICY_MAX(NLA_U8, 1),
	[TORUS_A_DEV_FAIL] = { .type = NLA_FLAG, },
};

/* TORUS_CMD_SESSION_BIND - do */
const struct nla_policy torus_session_bind_nl_policy[TORUS_A_SESSION_TAKEOVER + 1] = {
	[TORUS_A_SESSION_DEV_ID] = NLA_POLICY_MAX(NLA_U32, 4095),
	[TORUS_A_SESSION_CHANNEL] = NLA_POLICY_RANGE(NLA_U32, 1, 2),
	[TORUS_A_SESSION_ARENA_FD] = NLA_POLICY_MIN(NLA_S32, 0),
	[TORUS_A_SESSION_TAKEOVER] = { .type = NLA_FLAG, },
};

/* TORUS_CMD_SESSION_QUEUE - do */
const struct nla_policy torus_session_queue_nl_policy[TORUS_A_SESSION_QUEUE_MASK + 1] = {
	[TORUS_A_SESSION_DEV_ID] = NLA_POLICY_MAX(NLA_U32, 4095),
	[TORUS_A_SESSION_ID] = { .type = NLA_U64, },
	[TORUS_A_SESSION_QUEUE_MASK] = { .type = NLA_U64, },
};

/* TORUS_CMD_SESSION_START - do */
const struct nla_policy torus_session_start_nl_policy[TORUS_A_SESSION_CHECK_CRC + 1] = {
	[TORUS_A_SESSION_DEV_ID] = NLA_POLICY_MAX(NLA_U32, 4095),
	[TORUS_A_SESSION_ID] = { .type = NLA_U64, },
	[TORUS_A_SESSION_INCARNATION] = NLA_POLICY_EXACT_LEN(16),
	[TORUS_A_SESSION_SEQUENCE] = { .type = NLA_U64, },
	[TORUS_A_SESSION_HEADER_CRC] = { .type = NLA_U32, },
	[TORUS_A_SESSION_CHECK_CRC] = { .type = NLA_U32, },
};

/* TORUS_CMD_SESSION_END - do */
const struct nla_policy torus_session_end_nl_policy[TORUS_A_SESSION_ID + 1] = {
	[TORUS_A_SESSION_DEV_ID] = NLA_POLICY_MAX(NLA_U32, 4095),
	[TORUS_A_SESSION_ID] = { .type = NLA_U64, },
};

/* TORUS_CMD_COMPLETE - do */
const struct nla_policy torus_complete_nl_policy[TORUS_A_IO_COMPLETIONS + 1] = {
	[TORUS_A_IO_DEV_ID] = NLA_POLICY_MAX(NLA_U32, 4095),
	[TORUS_A_IO_SESSION_ID] = { .type = NLA_U64, },
	[TORUS_A_IO_COMPLETIONS] = { .type = NLA_BINARY, },
};

/* TORUS_CMD_DRAIN - do */
const struct nla_policy torus_drain_nl_policy[TORUS_A_IO_SESSION_ID + 1] = {
	[TORUS_A_IO_DEV_ID] = NLA_POLICY_MAX(NLA_U32, 4095),
	[TORUS_A_IO_SESSION_ID] = { .type = NLA_U64, },
};

/* Ops table for torus */
const struct genl_ops torus_nl_ops[10] = {
	{
		.cmd		= TORUS_CMD_DEV_ADD,
		.doit		= torus_nl_dev_add_doit,
		.policy		= torus_dev_add_nl_policy,
		.maxattr	= TORUS_A_DEV_INCARNATION,
	},
	{
		.cmd		= TORUS_CMD_DEV_DEL,
		.doit		= torus_nl_dev_del_doit,
		.policy		= torus_dev_del_nl_policy,
		.maxattr	= TORUS_A_DEV_FORCE,
	},
	{
		.cmd		= TORUS_CMD_DEV_GET,
		.doit		= torus_nl_dev_get_doit,
		.dumpit		= torus_nl_dev_get_dumpit,
		.policy		= torus_dev_get_nl_policy,
		.maxattr	= TORUS_A_DEV_ID,
	},
	{
		.cmd		= TORUS_CMD_DEV_SET,
		.doit		= torus_nl_dev_set_doit,
		.policy		= torus_dev_set_nl_policy,
		.maxattr	= TORUS_A_DEV_FAIL,
	},
	{
		.cmd		= TORUS_CMD_SESSION_BIND,
		.doit		= torus_nl_session_bind_doit,
		.policy		= torus_session_bind_nl_policy,
		.maxattr	= TORUS_A_SESSION_TAKEOVER,
	},
	{
		.cmd		= TORUS_CMD_SESSION_QUEUE,
		.doit		= torus_nl_session_queue_doit,
		.policy		= torus_session_queue_nl_policy,
		.maxattr	= TORUS_A_SESSION_QUEUE_MASK,
	},
	{
		.cmd		= TORUS_CMD_SESSION_START,
		.doit		= torus_nl_session_start_doit,
		.policy		= torus_session_start_nl_policy,
		.maxattr	= TORUS_A_SESSION_CHECK_CRC,
	},
	{
		.cmd		= TORUS_CMD_SESSION_END,
		.doit		= torus_nl_session_end_doit,
		.policy		= torus_session_end_nl_policy,
		.maxattr	= TORUS_A_SESSION_ID,
	},
	{
		.cmd		= TORUS_CMD_COMPLETE,
		.doit		= torus_nl_complete_doit,
		.policy		= torus_complete_nl_policy,
		.maxattr	= TORUS_A_IO_COMPLETIONS,
	},
	{
		.cmd		= TORUS_CMD_DRAIN,
		.doit		= torus_nl_drain_doit,
		.policy		= torus_drain_nl_policy,
		.maxattr	= TORUS_A_IO_SESSION_ID,
	},
};

const struct genl_multicast_group torus_nl_mcgrps[] = {
	[TORUS_NLGRP_STATE] = { "state", },
};
