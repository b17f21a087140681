// SPDX-License-Identifier: Apache-2.0
/*
 * Not a test: serves a device from memory for scripts. Prints its path when it
 * is live; SIGTERM deletes it. ram_helper SIZE-IN-MIB [VOLUME [QUEUES]]
 */
#include <signal.h>

#include "test.h"

int main(int argc, char **argv)
{
	struct device_config config = { .volume = "ram" };
	struct world *world;
	sigset_t set;
	pid_t helper;
	uint32_t id;
	int sig;

	if (argc < 2 || argc > 4 || !strtoull(argv[1], NULL, 10)) {
		fprintf(stderr, "usage: %s SIZE-IN-MIB [VOLUME [QUEUES]]\n",
			argv[0]);
		return 2;
	}
	config.size = strtoull(argv[1], NULL, 10) << 20;
	if (argc > 2)
		config.volume = argv[2];
	if (argc > 3)
		config.queues = strtoul(argv[3], NULL, 10);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	test_begin();
	id = device_serve(&config, &world, &helper);
	printf("/dev/torus%u\n", id);
	sigwait(&set, &sig);
	CHECK_INT(device_delete_patiently(id), 0);
	CHECK(device_wait_gone(id, 10000));
	return 0;
}
