// SPDX-License-Identifier: GPL-2.0
/* The module: registers, and unwinds. */
#include <linux/init.h>
#include <linux/module.h>
#include <net/genetlink.h>
#include <linux/torus.h>

#include "channel.h"
#include "debugfs.h"
#include "lifecycle.h"
#include "netlink.h"
#include "session.h"

static int __init torus_init(void)
{
	int ret;

	ret = torus_channel_init();
	if (ret)
		return ret;
	ret = torus_lifecycle_init();
	if (ret)
		return ret;
	ret = torus_session_init();
	if (ret)
		goto exit_lifecycle;
	torus_debugfs_init();
	/* Last: from here on there may be devices. */
	ret = torus_netlink_init();
	if (ret)
		goto exit_session;
	return 0;

exit_session:
	torus_debugfs_exit();
	torus_session_exit();
exit_lifecycle:
	torus_lifecycle_exit();
	return ret;
}

static void __exit torus_exit(void)
{
	torus_netlink_exit();
	torus_session_exit();
	torus_lifecycle_exit();
	torus_debugfs_exit();
}

module_init(torus_init);
module_exit(torus_exit);

MODULE_AUTHOR("The Torus authors");
MODULE_DESCRIPTION("Block devices served by a process over generic netlink");
MODULE_LICENSE("GPL");
MODULE_VERSION(TORUS_VERSION);
MODULE_ALIAS_GENL_FAMILY(TORUS_FAMILY_NAME);
