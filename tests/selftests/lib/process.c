// SPDX-License-Identifier: Apache-2.0
/*
 * Processes and threads of a test: helpers that serve until they are killed,
 * in processes of their own so that they can die like real ones, and threads
 * that serve or that wait for an I/O.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "test.h"

#define HELPERS_MAX 128
#define ARENA_SIZE (10u << 20)
/* What remains open in a helper but its own: where it says that it started. */
#define STARTED_FD 3

static pid_t helpers[HELPERS_MAX];
static int nr_helpers;
static pid_t owner_pid;

static int bind_lanes(struct helper *h, struct helper *lanes)
{
	int ret = helper_queues(h, &h->data, 1);

	for (unsigned int i = 1; !ret && i < h->queues; i++)
		ret = helper_lane(&lanes[i], h, 1ull << i);
	return ret;
}

static int start(struct helper *h, struct helper *lanes, struct world *world,
		 uint32_t dev_id, const struct helper_config *how)
{
	int ret;

	ret = helper_open(h, world, dev_id, how->arena_size);
	h->hook = how->hook;
	if (!ret)
		ret = helper_bind(h, how->takeover);
	if (!ret && how->lane_per_queue)
		ret = bind_lanes(h, lanes);
	else if (!ret)
		ret = helper_queues(h, &h->data,
				    h->queues == 64 ? ~0ull :
				    (1ull << h->queues) - 1);
	if (!ret)
		ret = helper_start(h);
	if (ret)
		printf("# helper cannot start: %s (%s%s)\n", strerror(-ret),
		       h->control.error, h->data.error);
	return ret;
}

static void tell_started(void)
{
	if (write(STARTED_FD, "", 1) != 1)
		_exit(1);
	close(STARTED_FD);
}

static int serve(struct helper *h)
{
	int ret;

	do {
		ret = helper_serve_once(h, -1);
	} while (!ret || ret == -EINTR || ret == -EAGAIN);
	return ret == -ESTALE || ret == -ENODEV ? 0 : 1;
}

static void *serve_lane(void *arg)
{
	_exit(serve(arg));
}

static void serve_one(struct world *world, uint32_t dev_id,
		      const struct helper_config *how)
{
	static struct helper h, lanes[TORUS_QUEUES_MAX];
	pthread_t thread;

	if (start(&h, lanes, world, dev_id, how))
		_exit(1);
	for (unsigned int i = 1; how->lane_per_queue && i < h.queues; i++)
		if (pthread_create(&thread, NULL, serve_lane, &lanes[i]))
			_exit(1);
	tell_started();
	_exit(serve(&h));
}

static void serve_many(struct world **worlds, const uint32_t *dev_ids,
		       unsigned int nr, const struct helper_config *how)
{
	static struct helper all[HELPER_MANY_MAX];
	int ret;

	CHECK(!how->lane_per_queue);
	for (unsigned int i = 0; i < nr; i++)
		if (start(&all[i], NULL, worlds[i], dev_ids[i], how))
			_exit(1);
	tell_started();
	do {
		ret = helper_serve_many(all, nr, -1, -1);
	} while (!ret || ret == -EINTR || ret == -EAGAIN);
	_exit(1);
}

static void wait_started(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char byte;

	if (poll(&pfd, 1, 60000) != 1)
		FAIL("the helper did not start in time");
	if (read(fd, &byte, 1) != 1)
		FAIL("the helper ended before it had started");
	close(fd);
}

pid_t helper_spawn_many(struct world **worlds, const uint32_t *dev_ids,
			unsigned int nr, const struct helper_config *how)
{
	struct helper_config config = *how;
	int started[2];
	pid_t pid;

	if (!config.arena_size)
		config.arena_size = ARENA_SIZE;
	fflush(stdout);
	CHECK(nr <= HELPER_MANY_MAX && !pipe2(started, O_CLOEXEC));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(started[1], STARTED_FD);
		/* Not the test's open device, nor its sockets. */
		syscall(SYS_close_range, STARTED_FD + 1u, ~0u, 0u);
		if (nr == 1)
			serve_one(worlds[0], dev_ids[0], &config);
		serve_many(worlds, dev_ids, nr, &config);
	}
	owner_pid = getpid();
	if (nr_helpers < HELPERS_MAX)
		helpers[nr_helpers++] = pid;
	close(started[1]);
	wait_started(started[0]);
	return pid;
}

pid_t helper_spawn_config(struct world *world, uint32_t dev_id,
			  const struct helper_config *how)
{
	return helper_spawn_many(&world, &dev_id, 1, how);
}

pid_t helper_spawn_with(struct world *world, uint32_t dev_id, helper_hook *hook,
			bool takeover, size_t arena_size)
{
	struct helper_config how = {
		.hook = hook, .takeover = takeover, .arena_size = arena_size,
	};

	return helper_spawn_config(world, dev_id, &how);
}

pid_t helper_spawn(struct world *world, uint32_t dev_id, helper_hook *hook)
{
	return helper_spawn_with(world, dev_id, hook, false, 0);
}

void helper_suspend(pid_t pid)
{
	int status;

	CHECK(!kill(pid, SIGSTOP));
	CHECK_INT(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
}

void helper_kill(pid_t pid)
{
	int i;

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (i = 0; i < nr_helpers; i++)
		if (helpers[i] == pid)
			helpers[i] = helpers[--nr_helpers];
}

void helper_cleanup(void)
{
	if (owner_pid != getpid())
		return;
	while (nr_helpers)
		helper_kill(helpers[nr_helpers - 1]);
}

static void begin_served(struct setup *s)
{
	s->fd = -1;
	s->id = device_add(&s->config);
	s->world = world_new(s->world_size ? s->world_size : s->config.size);
	s->helper = helper_spawn_config(s->world, s->id, &s->how);
	if (!device_wait_state(s->id, TORUS_STATE_LIVE, 20000))
		FAIL("the device is not live, but in state %u",
		     device_state(s->id));
}

uint32_t device_serve(const struct device_config *config, struct world **world,
		      pid_t *helper)
{
	struct setup s = { .config = *config };

	begin_served(&s);
	*world = s.world;
	*helper = s.helper;
	return s.id;
}

void setup_begin(struct setup *s)
{
	begin_served(s);
	s->fd = device_open(s->id, O_RDWR | O_DIRECT);
	if (s->fd < 0)
		FAIL("cannot open the device: %s", strerror(-s->fd));
}

void setup_end(struct setup *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	CHECK_INT(device_delete_patiently(s->id), 0);
	CHECK(device_wait_gone(s->id, 10000));
	helper_kill(s->helper);
	world_free(s->world);
}

static void *serve_until_stopped(void *arg)
{
	struct server *server = arg;
	int ret = 0;

	while (!__atomic_load_n(&server->stop, __ATOMIC_SEQ_CST) &&
	       (!ret || ret == -EAGAIN))
		ret = helper_serve_once(server->helper, 20);
	if (ret && ret != -EAGAIN && ret != -ESTALE)
		printf("# a helper gave up: %s\n", strerror(-ret));
	return NULL;
}

void server_start(struct server *server, struct helper *helper)
{
	server->helper = helper;
	server->stop = false;
	CHECK(!pthread_create(&server->thread, NULL, serve_until_stopped,
			      server));
}

void server_stop(struct server *server)
{
	__atomic_store_n(&server->stop, true, __ATOMIC_SEQ_CST);
	pthread_join(server->thread, NULL);
}

static void *write_block(void *arg)
{
	struct writer *writer = arg;
	uint8_t *buf = alloc_aligned(4096);
	ssize_t n = pwrite(writer->fd, buf, 4096, writer->offset);

	__atomic_store_n(&writer->error, n == 4096 ? 0 : n < 0 ? errno : EIO,
			 __ATOMIC_SEQ_CST);
	free(buf);
	return NULL;
}

void writer_start(struct writer *writer, int fd, uint64_t offset)
{
	writer->fd = fd;
	writer->offset = offset;
	writer->error = -1;
	CHECK(!pthread_create(&writer->thread, NULL, write_block, writer));
}

int writer_end(struct writer *writer)
{
	pthread_join(writer->thread, NULL);
	return writer->error;
}
