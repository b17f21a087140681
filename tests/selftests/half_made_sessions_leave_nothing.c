// SPDX-License-Identifier: Apache-2.0
/*
 * A helper stops at each step of its start: the control socket open, bound, one
 * queue with a socket, all of them, started. It leaves by closing its control
 * socket, its data socket, by END, or it is killed. The device is free for the
 * next one at once, which serves it, and the kernel has kept nothing.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "leaks.h"
#include "test.h"

#define SIZE (1ull << 20)
#define ARENA (256 << 10)

enum step { OPENED, BOUND, ONE_QUEUE, ALL_QUEUES, STARTED, STEPS };
enum leave { CLOSE_CONTROL, CLOSE_DATA, END, KILLED, LEAVES };

static const char * const step_names[] = {
	"opened", "bound", "one queue", "all queues", "started",
};
static const char * const leave_names[] = {
	"control socket closed", "data socket closed", "ended", "killed",
};

static int go(struct helper *h, struct world *world, uint32_t id,
	      enum step step)
{
	int ret = helper_open(h, world, id, ARENA);

	if (!ret && step >= BOUND)
		ret = helper_bind(h, false);
	if (!ret && step == ONE_QUEUE)
		ret = helper_queues(h, &h->data, 1);
	if (!ret && step >= ALL_QUEUES)
		ret = helper_queues(h, &h->data, (1ull << h->queues) - 1);
	if (!ret && step >= STARTED)
		ret = helper_start(h);
	return ret;
}

static int end(struct helper *h)
{
	struct nl_msg msg;

	nl_begin(&h->control, &msg, TORUS_CMD_SESSION_END, 0);
	nl_put_u32(&msg, TORUS_A_SESSION_DEV_ID, h->dev_id);
	nl_put_u64(&msg, TORUS_A_SESSION_ID, h->session_id);
	return nl_call(&h->control, &msg, NULL);
}

/* Goes so far in a process, which is killed there. */
static void be_killed(struct world *world, uint32_t id, enum step step)
{
	struct helper h;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		if (go(&h, world, id, step))
			_exit(1);
		raise(SIGKILL);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status));
}

static void leave_early(struct world *world, uint32_t id, enum step step,
			enum leave leave)
{
	struct helper h;

	if (leave == KILLED) {
		be_killed(world, id, step);
		return;
	}
	CHECK_INT(go(&h, world, id, step), 0);
	if (leave == CLOSE_CONTROL)
		nl_close(&h.control);
	else if (leave == CLOSE_DATA)
		nl_close(&h.data);
	else if (step >= BOUND)
		CHECK_INT(end(&h), 0);
	/* A data socket without queues is nothing to the session. */
	if (leave == CLOSE_DATA && step == BOUND)
		nl_close(&h.control);
	CHECK_INT(device_counter(id, TORUS_A_DEV_SESSION_ID), 0);
	helper_close(&h);
}

/* Bound without a takeover: nobody has it. */
static void check_free(const struct setup *s, enum step step, enum leave leave)
{
	struct helper next;

	if (go(&next, s->world, s->id, BOUND))
		FAIL("%s, %s: the next one cannot have it: %s",
		     step_names[step], leave_names[leave],
		     next.control.error);
	helper_close(&next);
}

static void try(struct setup *s, enum step step, enum leave leave)
{
	uint32_t state;

	s->id = device_add(&s->config);
	leave_early(s->world, s->id, step, leave);
	state = device_state(s->id);
	if (step < STARTED)
		CHECK_INT(state, TORUS_STATE_NEW);
	else if (state == TORUS_STATE_LIVE)
		FAIL("live without a helper");
	check_free(s, step, leave);
	s->helper = helper_spawn_config(s->world, s->id, &s->how);
	if (!device_wait_state(s->id, TORUS_STATE_LIVE, 20000))
		FAIL("%s, %s: not live, but in state %u", step_names[step],
		     leave_names[leave], device_state(s->id));
	CHECK_INT(device_counter(s->id, TORUS_A_DEV_MALFORMED), 0);
	CHECK_INT(device_delete_patiently(s->id), 0);
	CHECK(device_wait_gone(s->id, 10000));
	helper_kill(s->helper);
}

/* Two sessions each, on a device that never gets a disk. */
static unsigned int bind_and_leave(struct setup *s, unsigned int rounds)
{
	unsigned int n = 0;

	while (rounds--)
		for (enum step step = BOUND; step < STARTED; step++)
			for (enum leave leave = 0; leave < LEAVES; leave++) {
				leave_early(s->world, s->id, step, leave);
				check_free(s, step, leave);
				n += 2;
			}
	return n;
}

int main(void)
{
	struct setup s = {
		.config = {
			.size = SIZE, .depth = 8, .io_size_max = 16 << 10,
			.queues = 2,
		},
		.how = { .arena_size = ARENA },
	};
	static struct leaks before;
	unsigned int n, skip;

	test_begin();
	skip = test_size(2, 1, 1);
	s.world = world_new(SIZE);
	for (enum step step = OPENED; step < STEPS; step++)
		for (enum leave leave = step % skip; leave < LEAVES;
		     leave += skip)
			try(&s, step, leave);

	s.id = device_add(&s.config);
	bind_and_leave(&s, 1);
	leaks_look(&before);
	n = bind_and_leave(&s, test_size(3, 15, 200));
	printf("# %u sessions\n", n);
	leaks_check(&before, n);
	CHECK_INT(device_state(s.id), TORUS_STATE_NEW);
	CHECK_INT(device_delete(s.id, false), 0);
	CHECK(device_wait_gone(s.id, 5000));
	return 0;
}
