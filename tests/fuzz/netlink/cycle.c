// SPDX-License-Identifier: Apache-2.0
/*
 * The helper is a second thread, the server, that lives as long as the session;
 * the first one is the user: it commands, and does the I/O.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "cycle.h"
#include "devices.h"
#include "session.h"

#define SIZE (1u << 20)
#define DEPTH 8
#define IO_SIZE (64u << 10)
#define CYCLE_MS 3000
/* A busy machine may emulate this one. */
#define PATIENCE_MS 100000

static const uint8_t incarnation[TORUS_INCARNATION_LEN] = "a clean cycle";

struct life {
	uint32_t id;
	uint64_t deadline;
	struct port events;
	struct port port;
	struct session session;
	pthread_t server;
	bool serving;
	int stop_fd;
	/* an event has said so of the delete */
	bool refused;
	uint32_t waits;
	uint8_t *store;
	char error[160];
};

static int fail(struct life *l, const char *what, int error)
{
	snprintf(l->error, sizeof(l->error), "%s: %s", what, strerror(-error));
	return error ? error : -EIO;
}

/* ---- the helper --------------------------------------------------------------- */

static void carry_out(struct life *l, const struct torus_desc *d)
{
	uint8_t *arena = l->session.arena + d->arena_offset;

	if (d->offset > SIZE || d->length > SIZE - d->offset)
		return;
	if (d->op == TORUS_OP_READ)
		memcpy(arena, l->store + d->offset, d->length);
	else if (d->op == TORUS_OP_WRITE)
		memcpy(l->store + d->offset, arena, d->length);
	else if (d->op != TORUS_OP_FLUSH)
		memset(l->store + d->offset, 0, d->length);
}

static void answer_all(struct life *l)
{
	struct session_pending *pending = &l->session.pending[0];
	struct torus_completion array[TORUS_COMPLETION_BATCH];
	bool rings = l->session.form == TORUS_CHANNEL_RING;
	struct answer answer;
	unsigned int nr = 0;
	struct message m;

	while (pending->nr && nr < TORUS_COMPLETION_BATCH) {
		carry_out(l, &pending->descs[0]);
		session_finish(&l->session, pending, 0, &array[nr]);
		if (rings)
			session_publish(&l->session, &array[nr]);
		nr++;
	}
	control_begin(&m, rings ? TORUS_CMD_DRAIN : TORUS_CMD_COMPLETE);
	control_put_u32(&m, TORUS_A_IO_DEV_ID, l->id);
	control_put_u64(&m, TORUS_A_IO_SESSION_ID, l->session.id);
	if (!rings)
		message_put(&m, NULL, TORUS_A_IO_COMPLETIONS, array,
			    nr * sizeof(*array));
	port_call(&l->session.data[0], &m, &answer, session_event, &l->session);
}

/* As Documentation/channel.md wants it: say so, then look once more. */
static void say_that_we_sleep(struct life *l)
{
	struct torus_ring *ring = session_ring(&l->session, 0);

	if (!ring)
		return;
	__atomic_store_n(&ring->helper_waits, ++l->waits, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	session_take(&l->session);
}

static void *serve(void *arg)
{
	struct life *l = arg;
	struct pollfd fds[] = {
		{ .fd = l->session.data[0].fd, .events = POLLIN },
		{ .fd = l->stop_fd, .events = POLLIN },
	};

	while (!(fds[1].revents & POLLIN)) {
		session_take(&l->session);
		if (!l->session.pending[0].nr)
			say_that_we_sleep(l);
		if (l->session.pending[0].nr)
			answer_all(l);
		else if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
	}
	return NULL;
}

/* ---- the user ------------------------------------------------------------------- */

/* Until the state is that; the events only tell when to look. */
static int wait_state(struct life *l, uint32_t state)
{
	struct pollfd pfd = { .fd = l->events.fd, .events = POLLIN };

	for (;;) {
		uint64_t now = clock_ms();

		if (control_state(&l->port, l->id) == state)
			return 0;
		if (now >= l->deadline)
			return -ETIMEDOUT;
		poll(&pfd, 1, l->deadline - now);
		port_take(&l->events, 0, NULL, NULL, NULL);
	}
}

static int add(struct life *l)
{
	struct answer answer;
	struct message m;
	char name[24];

	snprintf(name, sizeof(name), "cycle-%u", l->id);
	control_begin(&m, TORUS_CMD_DEV_ADD);
	control_put_u32(&m, TORUS_A_DEV_ID, l->id);
	message_put(&m, NULL, TORUS_A_DEV_VOLUME, name, strlen(name) + 1);
	control_put_u64(&m, TORUS_A_DEV_SIZE, SIZE);
	message_put(&m, NULL, TORUS_A_DEV_INCARNATION, incarnation,
		    sizeof(incarnation));
	control_put_u32(&m, TORUS_A_DEV_DEPTH, DEPTH);
	control_put_u32(&m, TORUS_A_DEV_IO_SIZE_MAX, IO_SIZE);
	return control_call(&l->port, &m, &answer);
}

static int bind_session(struct life *l, uint32_t form)
{
	struct session_device dev = {
		.id = l->id, .queues = 1, .depth = DEPTH,
		.io_size_max = IO_SIZE,
	};
	struct answer answer;
	struct message m;
	int ret;

	ret = session_open(&l->session, &dev, form);
	if (ret)
		return ret;
	control_begin(&m, TORUS_CMD_SESSION_BIND);
	control_put_u32(&m, TORUS_A_SESSION_DEV_ID, l->id);
	control_put_u32(&m, TORUS_A_SESSION_CHANNEL, form);
	control_put_u32(&m, TORUS_A_SESSION_ARENA_FD, l->session.arena_fd);
	ret = control_call(&l->session.control, &m, &answer);
	if (!ret)
		session_bound(&l->session, &answer);
	return ret;
}

static int bind_queue(struct life *l)
{
	struct answer answer;
	struct message m;
	int ret = session_make_room(&l->session, &l->session.data[0], 1);

	if (ret)
		return ret;
	control_begin(&m, TORUS_CMD_SESSION_QUEUE);
	control_put_u32(&m, TORUS_A_SESSION_DEV_ID, l->id);
	control_put_u64(&m, TORUS_A_SESSION_ID, l->session.id);
	control_put_u64(&m, TORUS_A_SESSION_QUEUE_MASK, 1);
	ret = control_call(&l->session.data[0], &m, &answer);
	if (!ret)
		l->session.masks[0] = 1;
	return ret;
}

static int start(struct life *l)
{
	struct answer answer;
	struct message m;
	int ret;

	control_begin(&m, TORUS_CMD_SESSION_START);
	control_put_u32(&m, TORUS_A_SESSION_DEV_ID, l->id);
	control_put_u64(&m, TORUS_A_SESSION_ID, l->session.id);
	message_put(&m, NULL, TORUS_A_SESSION_INCARNATION, incarnation,
		    sizeof(incarnation));
	control_put_u64(&m, TORUS_A_SESSION_SEQUENCE, 0);
	control_put_u32(&m, TORUS_A_SESSION_HEADER_CRC, 0);
	ret = control_call(&l->session.control, &m, &answer);
	if (ret)
		return ret;
	l->session.state = SESSION_STARTED;
	ret = -pthread_create(&l->server, NULL, serve, l);
	l->serving = !ret;
	return ret;
}

static int write_and_read(int fd, uint8_t *buffer)
{
	memset(buffer, 0x5a, IO_SIZE);
	if (pwrite(fd, buffer, IO_SIZE, IO_SIZE) != IO_SIZE || fdatasync(fd))
		return errno ? -errno : -EIO;
	memset(buffer, 0, IO_SIZE);
	if (pread(fd, buffer, IO_SIZE, IO_SIZE) != IO_SIZE)
		return errno ? -errno : -EIO;
	for (unsigned int i = 0; i < IO_SIZE; i++)
		if (buffer[i] != 0x5a)
			return -EILSEQ;
	return 0;
}

static int do_io(struct life *l)
{
	void *buffer;
	char path[32];
	int fd, ret;

	snprintf(path, sizeof(path), "/dev/torus%u", l->id);
	fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (posix_memalign(&buffer, 4096, IO_SIZE))
		abort();
	ret = write_and_read(fd, buffer);
	free(buffer);
	close(fd);
	return ret;
}

static void take_event(void *ctx, const struct nlmsghdr *hdr)
{
	struct life *l = ctx;

	if (port_u32(hdr, TORUS_A_DEV_ID) == l->id)
		l->refused = (int)port_u32(hdr, TORUS_A_DEV_ERROR) == -EBUSY;
}

/*
 * Somebody who looks at new disks may have it open for a moment: then it is
 * refused, at once or by an event.
 */
static int delete_device(struct life *l)
{
	struct pollfd pfd = { .fd = l->events.fd, .events = POLLIN };
	uint64_t now;
	int ret = -EBUSY;

	while ((now = clock_ms()) < l->deadline) {
		if (ret == -EBUSY || l->refused)
			ret = control_delete(&l->port, l->id, false);
		if (ret && ret != -EBUSY)
			return ret;
		if (control_state(&l->port, l->id) == TORUS_STATE_DELETED)
			return 0;
		l->refused = false;
		poll(&pfd, 1, ret ? 10 : (int)(l->deadline - now));
		port_take(&l->events, 0, NULL, take_event, l);
	}
	return -ETIMEDOUT;
}

static int live(struct life *l, uint32_t form)
{
	int ret = add(l);

	if (ret)
		return fail(l, "add", ret);
	ret = bind_session(l, form);
	if (ret)
		return fail(l, "bind", ret);
	ret = bind_queue(l);
	if (ret)
		return fail(l, "queue", ret);
	ret = start(l);
	if (ret)
		return fail(l, "start", ret);
	ret = wait_state(l, TORUS_STATE_LIVE);
	if (ret)
		return fail(l, "becoming live", ret);
	ret = do_io(l);
	if (ret)
		return fail(l, "write and read", ret);
	ret = delete_device(l);
	return ret ? fail(l, "delete", ret) : 0;
}

static int open_life(struct life *l)
{
	int ret;

	session_init(&l->session);
	l->port.fd = l->events.fd = -1;
	l->deadline = clock_ms() + PATIENCE_MS;
	l->stop_fd = eventfd(0, EFD_CLOEXEC);
	l->store = calloc(1, SIZE);
	if (l->stop_fd < 0 || !l->store)
		return -ENOMEM;
	ret = port_open(&l->port);
	if (!ret)
		ret = port_open(&l->events);
	return ret ? ret : port_join(&l->events);
}

static void close_life(struct life *l)
{
	uint64_t one = 1;

	if (l->serving && write(l->stop_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(l->server, NULL);
	session_close(&l->session);
	port_close(&l->port);
	port_close(&l->events);
	if (l->stop_fd >= 0)
		close(l->stop_fd);
	free(l->store);
}

static void one_cycle(struct cycle *c)
{
	uint32_t form = c->with_rings && c->done % 2 ? TORUS_CHANNEL_RING :
						       TORUS_CHANNEL_MESSAGES;
	struct life *l = calloc(1, sizeof(*l));
	uint64_t begun = clock_ms();
	int ret;

	if (!l)
		abort();
	l->id = DEVICES_CYCLE + c->done % DEVICES_NR_CYCLE;
	ret = open_life(l);
	if (!ret)
		ret = live(l, form);
	if (ret) {
		printf("# FAULT: clean cycle %u (%s): %s; state %u\n", c->done,
		       form == TORUS_CHANNEL_RING ? "ring" : "messages",
		       l->error[0] ? l->error : strerror(-ret),
		       l->port.fd < 0 ? 0 : control_state(&l->port, l->id));
		control_show_blocked();
		c->failed++;
		if (l->port.fd >= 0)
			control_delete(&l->port, l->id, true);
	}
	close_life(l);
	free(l);
	c->done++;
	if (clock_ms() - begun > c->longest_ms)
		c->longest_ms = clock_ms() - begun;
}

static bool wait_for_next(struct cycle *c)
{
	uint64_t until = clock_ms() + CYCLE_MS;
	struct timespec at = {
		.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000,
	};
	bool stop;

	pthread_mutex_lock(&c->lock);
	while (!c->stop &&
	       !pthread_cond_timedwait(&c->woken, &c->lock, &at))
		;
	stop = c->stop;
	pthread_mutex_unlock(&c->lock);
	return !stop;
}

static void *run(void *arg)
{
	struct cycle *c = arg;

	do {
		__atomic_store_n(&c->busy_since, clock_ms(), __ATOMIC_RELEASE);
		one_cycle(c);
		__atomic_store_n(&c->busy_since, 0, __ATOMIC_RELEASE);
	} while (wait_for_next(c));
	__atomic_store_n(&c->ended, true, __ATOMIC_RELEASE);
	return NULL;
}

int cycle_start(struct cycle *c)
{
	pthread_condattr_t clock;

	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&c->woken, &clock);
	return -pthread_create(&c->thread, NULL, run, c);
}

void cycle_stop(struct cycle *c)
{
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->woken);
	pthread_mutex_unlock(&c->lock);
}

void cycle_join(struct cycle *c)
{
	pthread_join(c->thread, NULL);
}
