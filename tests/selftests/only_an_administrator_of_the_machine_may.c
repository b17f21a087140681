// SPDX-License-Identifier: Apache-2.0
/* CAP_NET_ADMIN alone, which containers have, is refused; so is another network. */
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/capability.h>

#include "test.h"

static void keep_only_net_admin(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = {};

	data[0].effective = 1 << CAP_NET_ADMIN;
	data[0].permitted = 1 << CAP_NET_ADMIN;
	CHECK(!syscall(SYS_capset, &header, data));
}

static int in_child(int (*f)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		_exit(f());
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int without_sys_admin(void)
{
	static const uint8_t commands[] = {
		TORUS_CMD_DEV_ADD, TORUS_CMD_DEV_DEL, TORUS_CMD_DEV_GET,
		TORUS_CMD_DEV_SET, TORUS_CMD_SESSION_BIND,
		TORUS_CMD_SESSION_QUEUE, TORUS_CMD_SESSION_START,
		TORUS_CMD_SESSION_END, TORUS_CMD_COMPLETE,
	};
	struct nl_msg msg;
	struct nl nl;

	keep_only_net_admin();
	if (nl_open(&nl))
		return 1;
	for (size_t i = 0; i < sizeof(commands); i++) {
		nl_begin(&nl, &msg, commands[i], 0);
		if (nl_call(&nl, &msg, NULL) != -EPERM)
			return 2;
	}
	/* A dump ends with the error, too. */
	nl_begin(&nl, &msg, TORUS_CMD_DEV_GET, NLM_F_DUMP);
	return nl_call(&nl, &msg, NULL) == -EPERM ? 0 : 3;
}

/* The opener's rights do not help a process that has none. */
static struct nl opened_before;

static int with_inherited_socket(void)
{
	struct nl_msg msg;

	keep_only_net_admin();
	nl_begin(&opened_before, &msg, TORUS_CMD_DEV_GET, 0);
	nl_put_u32(&msg, TORUS_A_DEV_ID, 0);
	return nl_call(&opened_before, &msg, NULL) == -EPERM ? 0 : 1;
}

static int in_other_network(void)
{
	struct nl nl;

	if (unshare(CLONE_NEWNET))
		return EXIT_SKIP;
	return nl_open(&nl) == -ENOENT ? 0 : 1;
}

int main(void)
{
	test_begin();
	CHECK_INT(in_child(without_sys_admin), 0);
	CHECK(!nl_open(&opened_before));
	CHECK_INT(in_child(with_inherited_socket), 0);
	CHECK_INT(in_child(in_other_network), 0);
	return 0;
}
