// SPDX-License-Identifier: Apache-2.0
#include <sched.h>

#include "cpu.h"
#include "test.h"

void cpu_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (cpu < 0 || i == cpu)
			CPU_SET(i, &set);
	CHECK(!sched_setaffinity(0, sizeof(set), &set));
}

/* A list of numbers, with commas and spaces between them. */
static bool has_number(const char *list, unsigned int number)
{
	char *end;

	while (*list) {
		if (strtoul(list, &end, 10) == number && end != list)
			return true;
		list = *end ? end + 1 : end;
	}
	return false;
}

unsigned int cpu_queue(uint32_t id, unsigned int cpu)
{
	char path[64], name[64];

	for (unsigned int queue = 0;; queue++) {
		snprintf(path, sizeof(path), "/sys/block/torus%u/mq/%u", id,
			 queue);
		if (access(path, F_OK))
			FAIL("no queue of torus%u serves CPU %u", id, cpu);
		snprintf(name, sizeof(name), "mq/%u/cpu_list", queue);
		if (has_number(sysfs(id, name), cpu))
			return queue;
	}
}

int cpu_set_online(unsigned int cpu, bool online)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/online",
		 cpu);
	return write_text(path, online ? "1" : "0");
}
