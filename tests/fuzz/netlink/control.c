// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <linux/torus.h>

#include "control.h"

void control_begin(struct message *m, uint8_t cmd)
{
	message_begin(m, spec_find(cmd), port_family());
}

void control_put_u32(struct message *m, uint16_t number, uint32_t value)
{
	message_put(m, NULL, number, &value, sizeof(value));
}

void control_put_u64(struct message *m, uint16_t number, uint64_t value)
{
	message_put(m, NULL, number, &value, sizeof(value));
}

int control_call(struct port *port, const struct message *m,
		 struct answer *answer)
{
	int ret = port_call(port, m, answer, NULL, NULL);

	if (ret)
		return ret;
	return answer->answered ? answer->error : -ENOMSG;
}

uint32_t control_state(struct port *port, uint32_t id)
{
	struct answer answer;
	struct message m;

	control_begin(&m, TORUS_CMD_DEV_GET);
	control_put_u32(&m, TORUS_A_DEV_ID, id);
	if (control_call(port, &m, &answer))
		return TORUS_STATE_DELETED;
	return answer_number(&answer, TORUS_A_DEV_STATE);
}

int control_delete(struct port *port, uint32_t id, bool force)
{
	struct answer answer;
	struct message m;

	control_begin(&m, TORUS_CMD_DEV_DEL);
	control_put_u32(&m, TORUS_A_DEV_ID, id);
	if (force)
		message_put(&m, NULL, TORUS_A_DEV_FORCE, NULL, 0);
	return control_call(port, &m, &answer);
}

int control_dump(struct port *port, struct answer *answer)
{
	struct message m;

	control_begin(&m, TORUS_CMD_DEV_GET);
	m.flags |= NLM_F_DUMP;
	return control_call(port, &m, answer);
}

void control_show_blocked(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "w", 1) == 1)
		printf("# blocked tasks are in the kernel's log\n");
	close(fd);
}
