// SPDX-License-Identifier: Apache-2.0
/*
 * The reactor's loop.
 *
 * A turn: run what earlier calls left for the loop (tasks, sent() functions
 * of dropped frames, results of file operations), then the timers that are
 * due, then look at the pollers, then the hooks; write out the frames that all
 * of these queued; then one system call submits every request and sleeps until
 * the next completion or timer; then the completions are dispatched. Frames
 * queued by callbacks so leave together, and an idle reactor makes no system
 * call at all.
 *
 * The ring is created disabled and enabled by the first turn: with
 * IORING_SETUP_SINGLE_ISSUER the thread that enables it is the one that may
 * use it, and set-up may have been done by another.
 */
#include "env/env_uring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/log.h"
#include "env/memcheck.h"
#include "env/uring_internal.h"

#define RING_ENTRIES	1024
#define TIMERS_AT_FIRST	4096
/* Threads of io_uring for file operations that the kernel cannot do at once. */
#define FILE_WORKERS	16

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static uint64_t monotonic(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t uring_now(struct env *env)
{
	return monotonic();
}

static uint64_t uring_realtime(struct env *env)
{
	return clock_ns(CLOCK_REALTIME);
}

static void uring_random(struct env *env, void *buf, size_t len)
{
	uint8_t *at = buf;

	while (len) {
		ssize_t n = getrandom(at, len, 0);

		if (n < 0 && errno != EINTR) {
			log_error("getrandom: %s", strerror(errno));
			abort();
		}
		if (n > 0) {
			at += n;
			len -= n;
		}
	}
}

static void uring_timer_set(struct env *env, struct env_timer *timer,
			    uint64_t when)
{
	/* A timer that silently never fires would be a hang without an end. */
	if (timer_heap_set(&to_uring(env)->timers, timer, when) < 0) {
		log_error("out of memory for timers");
		abort();
	}
}

static void uring_timer_cancel(struct env *env, struct env_timer *timer)
{
	timer_heap_cancel(&to_uring(env)->timers, timer);
}

static const struct env_ops uring_ops = {
	.now = uring_now,
	.realtime = uring_realtime,
	.random = uring_random,
	.timer_set = uring_timer_set,
	.timer_cancel = uring_timer_cancel,
	.listen = uring_listen,
	.connect = uring_connect,
	.send = uring_conn_send,
	.resume = uring_conn_resume,
	.close = uring_conn_close,
	.conn_name = uring_conn_name,
	.file_submit = uring_file_submit,
};

/* ---- the ring --------------------------------------------------------- */

static int ring_init(struct uring *u)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |
			 IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_TASKRUN_FLAG,
	};
	int err;

	/* Deferred work does not wake submit_then_poll(). */
	err = memcheck_runs() ? -EINVAL :
	      io_uring_queue_init_params(RING_ENTRIES, &u->ring, &p);
	if (err == -EINVAL) {	/* or before Linux 6.1 */
		memset(&p, 0, sizeof(p));
		p.flags = IORING_SETUP_R_DISABLED;
		err = io_uring_queue_init_params(RING_ENTRIES, &u->ring, &p);
	}
	if (err < 0)
		return error_set(err, "io_uring: %s (is it disabled? see the sysctl kernel.io_uring_disabled; a container's seccomp profile may forbid it)",
				 strerror(-err));
	if (!(p.features & IORING_FEAT_EXT_ARG)) {
		io_uring_queue_exit(&u->ring);
		return error_set(-ENOSYS, "io_uring of this kernel is too old: Linux 5.11 or newer is needed");
	}
	return 0;
}

static int ring_enable(struct uring *u)
{
	unsigned int workers[2] = { FILE_WORKERS, FILE_WORKERS };
	int err;

	if (u->enabled)
		return 0;
	/* liburing 2.3 declares a function for this, but does not export it. */
	if (syscall(__NR_io_uring_register, u->ring.ring_fd,
		    IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
		return error_set(-errno, "io_uring: %s", strerror(errno));
	u->enabled = true;
	/* Only a bound on threads: refused, there are more of them. */
	err = io_uring_register_iowq_max_workers(&u->ring, workers);
	if (err < 0)
		log_debug("io_uring: number of workers: %s", strerror(-err));
	return 0;
}

struct io_uring_sqe *uring_sqe(struct uring *u, enum uring_tag tag, void *ptr)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	while (!sqe) {
		int err = ring_enable(u);

		if (!err)
			err = io_uring_submit(&u->ring);
		if (err < 0 && err != -EINTR && err != -EAGAIN &&
		    err != -EBUSY) {
			log_error("io_uring: submit: %s", strerror(-err));
			abort();
		}
		sqe = io_uring_get_sqe(&u->ring);
	}
	/* Before the prep function: only some versions of it clear this. */
	memset(sqe, 0, sizeof(*sqe));
	sqe->user_data = (uintptr_t)ptr | tag;
	return sqe;
}

static void dispatch(struct uring *u, uint64_t user_data, int res)
{
	void *ptr = (void *)(uintptr_t)(user_data & ~(uint64_t)TAG_MASK);
	struct uring_poll *poll = ptr;

	switch (user_data & TAG_MASK) {
	case TAG_POLL:
		poll->armed = false;
		poll->fn(poll, res);
		break;
	case TAG_FILE:
		uring_file_complete(u, ptr, res);
		break;
	}
}

/* Bounded by the ring's size, so that timers and tasks get their turn. */
static bool dispatch_all(struct uring *u)
{
	unsigned int budget = 2 * RING_ENTRIES;
	struct io_uring_cqe *cqe;
	bool any = false;

	while (budget-- && io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		any = true;
		uint64_t user_data = cqe->user_data;
		int res = cqe->res;

		io_uring_cqe_seen(&u->ring, cqe);
		dispatch(u, user_data, res);
	}
	return any;
}

/* ---- a turn ----------------------------------------------------------- */

void uring_task_add(struct uring *u, struct uring_task *task)
{
	if (list_empty(&task->node))
		list_add_tail(&task->node, &u->tasks);
}

static void run_tasks(struct uring *u)
{
	struct list_head now;

	list_init(&now);
	list_splice_tail_init(&u->tasks, &now);
	while (!list_empty(&now)) {
		struct uring_task *task =
			list_first_entry(&now, struct uring_task, node);

		list_del_init(&task->node);
		task->fn(task);
	}
}

static void run_timers(struct uring *u)
{
	uint64_t turn = timer_heap_turn(&u->timers);
	struct env_timer *timer;

	/* Mostly nothing is armed that is due: ask the clock only if so. */
	if (!timer_heap_first(&u->timers))
		return;
	while ((timer = timer_heap_pop(&u->timers, uring_now(&u->env), turn)))
		timer->fn(timer);
}

/* A hook may remove itself and any other. */
static void run_hooks(struct uring *u)
{
	struct list_head now;

	list_init(&now);
	list_splice_tail_init(&u->hooks, &now);
	while (!list_empty(&now)) {
		struct env_hook *hook =
			list_first_entry(&now, struct env_hook, node);

		list_move_tail(&hook->node, &u->hooks);
		hook->fn(hook);
	}
}

static bool work_is_left(const struct uring *u)
{
	return u->stopping || !list_empty(&u->tasks) ||
	       !list_empty(&u->flush) || !list_empty(&u->orphans) ||
	       !list_empty(&u->file_done);
}

static uint64_t wait_ns(struct uring *u, uint64_t max_wait_ns)
{
	struct env_timer *first = timer_heap_first(&u->timers);
	uint64_t now;

	if (work_is_left(u))
		return 0;
	if (!first)
		return max_wait_ns;
	now = uring_now(&u->env);
	if (first->when <= now)
		return 0;
	return MIN(max_wait_ns, first->when - now);
}

/* As submit_and_wait(), sleeping where valgrind lets other threads run. */
static int submit_then_poll(struct uring *u, struct __kernel_timespec *wait)
{
	struct pollfd pfd = { .fd = u->ring.ring_fd, .events = POLLIN };
	struct timespec ts = { .tv_sec = 0 };
	int err = io_uring_submit(&u->ring);

	if (err < 0)
		return err;
	if (wait) {
		ts.tv_sec = wait->tv_sec;
		ts.tv_nsec = wait->tv_nsec;
	}
	if (ppoll(&pfd, 1, wait ? &ts : NULL, NULL) < 0)
		return -errno;
	return io_uring_get_events(&u->ring);
}

/* Completions that are there already are seen without asking for them. */
static bool nothing_to_ask(struct uring *u)
{
	unsigned int flags = IO_URING_READ_ONCE(*u->ring.sq.kflags);

	return !io_uring_sq_ready(&u->ring) &&
	       !(flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW));
}

static int submit_and_wait(struct uring *u, uint64_t ns)
{
	struct io_uring_cqe *cqe;
	struct __kernel_timespec ts = {
		.tv_sec = ns / NSEC_PER_SEC,
		.tv_nsec = ns % NSEC_PER_SEC,
	};
	bool for_ever = ns == UINT64_MAX;
	int err;

	if (ns == 0 && nothing_to_ask(u))
		return 0;
	if (ns == 0)
		err = io_uring_submit_and_get_events(&u->ring);
	else if (memcheck_runs())
		err = submit_then_poll(u, for_ever ? NULL : &ts);
	else
		err = io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1,
						       for_ever ? NULL : &ts,
						       NULL);
	if (err >= 0 || err == -ETIME || err == -EINTR || err == -EAGAIN ||
	    err == -EBUSY)
		return 0;
	return error_set(err, "io_uring: %s", strerror(-err));
}

int env_uring_turn(struct env *env, uint64_t max_wait_ns)
{
	struct uring *u = to_uring(env);
	int err = ring_enable(u);
	uint64_t ns;
	bool worked;

	if (err < 0)
		return err;
	run_tasks(u);
	uring_file_run(u);
	run_timers(u);
	worked = uring_pollers_run(u);
	run_hooks(u);
	uring_send_run(u);
	ns = worked ? 0 : wait_ns(u, max_wait_ns);
	if (ns && !uring_pollers_sleep(u))
		ns = 0;
	err = submit_and_wait(u, ns);
	uring_pollers_wake(u);
	if (err < 0)
		return err;
	if (dispatch_all(u) || worked)
		uring_pollers_worked(u);
	return 0;
}

int env_uring_run(struct env *env)
{
	struct uring *u = to_uring(env);
	int err = 0;

	while (!u->stopping && !err)
		err = env_uring_turn(env, UINT64_MAX);
	u->stopping = false;
	return err;
}

void env_uring_stop(struct env *env)
{
	to_uring(env)->stopping = true;
}

void env_uring_add_hook(struct env *env, struct env_hook *hook)
{
	list_add_tail(&hook->node, &to_uring(env)->hooks);
}

void env_uring_remove_hook(struct env *env, struct env_hook *hook)
{
	list_del_init(&hook->node);
}

/* ---- life ------------------------------------------------------------- */

static int open_root(struct uring *u, const char *root)
{
	u->root_fd = -1;
	if (!root)
		return 0;
	u->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (u->root_fd < 0)
		return error_set(-errno, "directory %s: %s", root,
				 strerror(errno));
	return 0;
}

static void init_lists(struct uring *u)
{
	list_init(&u->tasks);
	list_init(&u->hooks);
	list_init(&u->pollers);
	list_init(&u->watches);
	list_init(&u->listeners);
	list_init(&u->conns);
	list_init(&u->flush);
	list_init(&u->orphans);
	list_init(&u->frame_pool);
	list_init(&u->file_waiting);
	list_init(&u->file_done);
	list_init(&u->posts);
}

/* Once in a process, before the first reactor has anything to compute. */
static void calibrate(void)
{
	/* There the instructions are counted, and not these. */
	if (!memcheck_runs())
		crc32c_calibrate(monotonic);
}

static int uring_init(struct uring *u, const struct env_uring_config *cfg)
{
	static pthread_once_t calibrated = PTHREAD_ONCE_INIT;
	int err;

	pthread_once(&calibrated, calibrate);
	u->env.ops = &uring_ops;
	u->busy_wait_ns = cfg->busy_wait_ns;
	u->connections_max = cfg->connections_max ? cfg->connections_max : 4096;
	u->frames_max = cfg->frames_max ? cfg->frames_max : 16384;
	u->signal_fd = -1;
	sigemptyset(&u->signal_set);
	init_lists(u);
	err = open_root(u, cfg->root);
	if (err < 0)
		return err;
	err = timer_heap_init(&u->timers, TIMERS_AT_FIRST);
	if (err < 0)
		goto err_root;
	err = ring_init(u);
	if (err < 0)
		goto err_timers;
	err = uring_post_init(u);
	if (err < 0)
		goto err_ring;
	return 0;

err_ring:
	io_uring_queue_exit(&u->ring);
err_timers:
	timer_heap_free(&u->timers);
err_root:
	if (u->root_fd >= 0)
		close(u->root_fd);
	return err;
}

struct env *env_uring_new(const struct env_uring_config *cfg)
{
	struct uring *u = calloc(1, sizeof(*u));
	int err = u ? uring_init(u, cfg) : -ENOMEM;

	if (!err)
		return &u->env;
	free(u);
	errno = -err;
	return NULL;
}

/* The memory of file operations is the kernel's until they complete. */
static void drain_files(struct uring *u)
{
	struct io_uring_cqe *cqe;
	int err;

	while (u->file_in_flight) {
		/* liburing returns errors, and does not set errno. */
		err = io_uring_submit_and_wait(&u->ring, 1);
		if (err < 0 && err != -EINTR && err != -EAGAIN &&
		    err != -EBUSY)
			return;
		while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
			if ((cqe->user_data & TAG_MASK) == TAG_FILE)
				u->file_in_flight--;
			io_uring_cqe_seen(&u->ring, cqe);
		}
	}
}

void env_uring_free(struct env *env)
{
	struct uring *u;

	if (!env)
		return;
	u = to_uring(env);
	if (u->enabled)
		drain_files(u);
	/* After this nothing completes: what was armed can be freed. */
	io_uring_queue_exit(&u->ring);
	uring_conns_free(u);
	uring_send_free(u);
	uring_watches_free(u);
	uring_listeners_free(u);
	uring_signals_free(u);
	uring_post_free(u);
	timer_heap_free(&u->timers);
	if (u->root_fd >= 0)
		close(u->root_fd);
	free(u);
}
