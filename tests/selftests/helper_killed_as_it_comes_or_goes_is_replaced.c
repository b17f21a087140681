// SPDX-License-Identifier: Apache-2.0
/*
 * A helper dies at each step of its start and of the end of a session, and
 * while the disk is made; the next one gets the device. It dies while the
 * device is deleted, and the device goes all the same.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fault.h"
#include "stress.h"
#include "test.h"

#define SIZE (4ull << 20)
#define SOON 30000

/* A helper that is to die on its way, and then serves until it does. */
static pid_t spawn_doomed(struct world *world, uint32_t id)
{
	static struct helper h;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (helper_open(&h, world, id, 8 << 20) || helper_bind(&h, false) ||
	    helper_queues(&h, &h.data, 3) || helper_start(&h))
		_exit(1);
	while (1)
		helper_serve_once(&h, -1);
}

/* The driver has killed it; nobody else has. */
static void wait_killed(pid_t pid)
{
	siginfo_t info;

	CHECK(!waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	if (info.si_code != CLD_KILLED || info.si_status != SIGKILL)
		FAIL("the helper was to be killed, and ended with %d, %d",
		     info.si_code, info.si_status);
	helper_kill(pid);
}

static void use(uint32_t id)
{
	struct stress stress;
	int fd = device_open(id, O_RDWR | O_DIRECT);

	CHECK(fd >= 0);
	stress_start_some(&stress, fd, SIZE, 2, 16 << 10, 20);
	stress_wait_total(&stress, 40, SOON);
	stress_stop(&stress);
	close(fd);
}

static void delete(uint32_t id)
{
	CHECK_INT(device_delete_patiently(id), 0);
	CHECK(device_wait_gone(id, SOON));
}

/* The first helper of a device dies; the next one makes it live. */
static void die_at_first_start(const char *point)
{
	struct device_config config = { .size = SIZE, .queues = 2 };
	struct world *world = world_new(SIZE);
	uint32_t id = device_add(&config);
	pid_t helper;

	fault_set(point, "kill=1");
	wait_killed(spawn_doomed(world, id));
	CHECK_INT(fault_value(point, "happened"), 1);
	helper = helper_spawn(world, id, NULL);
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, SOON));
	use(id);
	delete(id);
	helper_kill(helper);
	world_free(world);
}

/* What the table of sessions shows while the driver stops in a revoke. */
static void check_sessions(uint32_t id, pid_t ended)
{
	char path[64], line[128], channel[16], state[16];
	bool found = false;
	int pid;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/debug/torus/torus%u/sessions",
		 id);
	f = fopen(path, "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f))
		found |= sscanf(line, "%*u %d %15s %15s", &pid, channel,
				state) == 3 &&
			 pid == ended && !strcmp(state, "ending") &&
			 !strcmp(channel, sysfs(id, "torus/channel"));
	fclose(f);
	CHECK(found);
}

/* The second one dies while the driver still ends the session of the first. */
static void die_during_revoke(void)
{
	struct setup s = { .config = { .size = SIZE, .queues = 2 } };
	struct stress stress;
	pid_t second;

	setup_begin(&s);
	stress_start(&stress, s.fd, SIZE, 4, 16 << 10);
	stress_wait_ios(&stress, 10, SOON);
	fault_set("in_revoke", "ms=60000");
	helper_kill(s.helper);
	fault_wait("in_revoke", SOON);
	second = helper_spawn(s.world, s.id, NULL);
	check_sessions(s.id, s.helper);
	helper_kill(second);
	CHECK_INT(fault_value("in_revoke", "waiting"), 1);
	s.helper = helper_spawn(s.world, s.id, NULL);
	fault_set("in_revoke", "off");
	stress_wait_ios(&stress, 10, SOON);
	stress_stop(&stress);
	setup_end(&s);
}

/* Nothing that is left of a delete needs the helper. */
static void die_during_delete(const char *point)
{
	struct setup s = { .config = { .size = SIZE, .queues = 2 } };

	setup_begin(&s);
	close(s.fd);
	fault_set(point, "kill=1");
	CHECK_INT(device_delete_patiently(s.id), 0);
	CHECK(device_wait_gone(s.id, SOON));
	CHECK_INT(fault_value(point, "happened"), 1);
	wait_killed(s.helper);
	world_free(s.world);
}

/* A forced delete waits for who is just carrying out a completion. */
static void force_delete_at(const char *point)
{
	struct setup s = { .config = { .size = SIZE, .queues = 2 } };
	struct stress stress;
	int err;

	setup_begin(&s);
	stress_start(&stress, s.fd, SIZE, 4, 16 << 10);
	fault_set(point, "ms=60000 skip=5");
	fault_wait(point, SOON);
	CHECK_INT(device_delete(s.id, true), 0);
	CHECK(!device_wait_gone(s.id, 200));
	CHECK_INT(fault_value(point, "waiting"), 1);
	fault_set(point, "off");
	CHECK(device_wait_gone(s.id, SOON));
	err = stress_stop_error(&stress);
	/* A disk that is gone has no room: what comes later is told that. */
	CHECK(err == EIO || err == ENOSPC);
	close(s.fd);
	helper_kill(s.helper);
	world_free(s.world);
}

int main(void)
{
	test_begin();
	faults_begin();
	die_at_first_start("before_bind");
	die_at_first_start("after_bind");
	die_at_first_start("after_start");
	die_at_first_start("before_activate");
	die_at_first_start("before_add_disk");
	die_during_revoke();
	die_during_delete("before_delete");
	die_during_delete("after_delete");
	force_delete_at("before_claim");
	force_delete_at("after_claim");
	force_delete_at("before_end");
	return 0;
}
