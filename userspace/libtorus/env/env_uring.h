/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reactor: struct env over io_uring. One thread owns a reactor and all
 * state behind it: the thread that first calls env_uring_run() or
 * env_uring_turn(). Everything here and in env.h is called by that thread
 * (before the first run: by the one that sets things up), but for
 * env_uring_post(). Descriptors, timers and files may be registered before
 * the first run; nothing is started before it.
 *
 *	struct env *env = env_uring_new(&(struct env_uring_config){ 0 });
 *
 *	env_uring_on_signal(env, SIGTERM, on_term, ctx);
 *	...			// listen, connect, arm timers
 *	err = env_uring_run(env);	// until a callback calls env_uring_stop()
 *	env_uring_free(env);
 */
#ifndef TORUS_ENV_ENV_URING_H
#define TORUS_ENV_ENV_URING_H

#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"
#include "env/env.h"

struct env_uring_config {
	const char *root;		/* directory of file operations, or NULL */
	unsigned int connections_max;	/* accepted ones; 0 = 4096 */
	unsigned int frames_max;	/* queued on one connection; 0 = 16384 */
	uint64_t busy_wait_ns;		/* see struct env_poller; 0 = not at all */
};

/**
 * env_uring_new() - make a reactor.
 * Returns NULL with error text (and errno) when the kernel refuses a ring or
 * @cfg->root cannot be opened. Signals that env_uring_on_signal() is to
 * deliver must be registered before any other thread is started.
 */
struct env *env_uring_new(const struct env_uring_config *cfg);

/**
 * env_uring_free() - end everything: connections are dropped without
 * callbacks, file operations in flight are waited for (their done() is not
 * called). By the thread that ran it, not from a callback.
 */
void env_uring_free(struct env *env);

/** env_uring_run() - serve until env_uring_stop(); 0 or -errno. */
int env_uring_run(struct env *env);

/** env_uring_stop() - let env_uring_run() return after this turn. */
void env_uring_stop(struct env *env);

/**
 * env_uring_turn() - one turn: wait up to @max_wait_ns (0: not at all) for
 * something to happen, and handle what did. 0 or -errno.
 */
int env_uring_turn(struct env *env, uint64_t max_wait_ns);

/* ---- calls from other threads ---------------------------------------- */

/* Embedded in its sender's memory, in use from env_uring_post() to fn(). */
struct env_post {
	void (*fn)(struct env_post *post);
	struct list_head node;		/* private */
};

/**
 * env_uring_post() - have post->fn() called by the reactor's thread. From any
 * thread; posts of one thread keep their order. Wakes the reactor once for
 * as many posts as have come by then.
 */
void env_uring_post(struct env *env, struct env_post *post);

/**
 * env_uring_unpost() - take back a post that was made and whose fn() has not
 * been called. By the reactor's thread.
 */
void env_uring_unpost(struct env *env, struct env_post *post);

/* ---- descriptors ----------------------------------------------------- */

/*
 * Readiness of a descriptor that somebody else reads and writes (netlink,
 * curl). Level-triggered: fn() is called again as long as the condition
 * holds. Embedded in its user.
 */
struct env_watch {
	/* @revents: of poll(2); POLLERR and POLLHUP come unasked. */
	void (*fn)(struct env_watch *watch, uint32_t revents);
	void *ctx;			/* the user's */
	struct uring_watch *priv;	/* NULL = not watched */
};

/**
 * env_uring_watch_fd() - call watch->fn() when @fd is ready for @events
 * (POLLIN, POLLOUT). Watching an already watched one changes its events.
 * Returns 0 or -ENOMEM.
 */
int env_uring_watch_fd(struct env *env, struct env_watch *watch, int fd,
		       uint32_t events);

/**
 * env_uring_unwatch() - fn() is not called any more; watch and descriptor are
 * the caller's to reuse or close at once. Harmless when not watched.
 */
void env_uring_unwatch(struct env *env, struct env_watch *watch);

/**
 * env_uring_recvmsg(), env_uring_sendmsg() - without waiting; bytes or
 * -errno, -EAGAIN for "watch it".
 */
int env_uring_recvmsg(int fd, struct msghdr *msg, int flags);
int env_uring_sendmsg(int fd, const struct msghdr *msg, int flags);

/* ---- around a turn ---------------------------------------------------- */

/*
 * fn() is called once in each turn, after all callbacks and before the
 * reactor submits and sleeps: the place to send what was gathered during the
 * turn. What it arms or queues is seen before the reactor sleeps.
 */
struct env_hook {
	void (*fn)(struct env_hook *hook);
	struct list_head node;		/* private */
};

void env_uring_add_hook(struct env *env, struct env_hook *hook);
void env_uring_remove_hook(struct env *env, struct env_hook *hook);

/* ---- memory that somebody else writes ---------------------------------- */

/*
 * A source of work that is found by looking, such as a ring shared with the
 * kernel. It is looked at in each turn, before the hooks. When nothing happens
 * the reactor goes on looking for a while, if work has mostly come in less than
 * env_uring_config.busy_wait_ns lately; then it sleeps. An idle reactor so
 * uses no CPU, and one that waits only for what takes long does not spin.
 */
struct env_poller {
	/* Take what is there; whether there was anything. */
	bool (*poll)(struct env_poller *poller);

	/*
	 * The reactor is about to sleep: have it woken (by a watch) when there
	 * is something. False if there is already.
	 */
	bool (*sleep)(struct env_poller *poller);

	/* It has woken, or did not sleep after all. */
	void (*wake)(struct env_poller *poller);

	struct list_head node;		/* private */
};

void env_uring_add_poller(struct env *env, struct env_poller *poller);

/** env_uring_remove_poller() - harmless when it was not added. */
void env_uring_remove_poller(struct env *env, struct env_poller *poller);

/* ---- signals --------------------------------------------------------- */

/**
 * env_uring_on_signal() - block @signo in this thread (and those it will
 * start) and call @fn from the loop when it comes. One handler per signal;
 * @fn NULL takes it away, the signal stays blocked.
 * Returns 0 or -errno.
 */
int env_uring_on_signal(struct env *env, int signo,
			void (*fn)(void *ctx, int signo), void *ctx);

/* ---- connections ------------------------------------------------------ */

/** env_uring_port() - port of the newest listener: for "HOST:0". 0 = none. */
uint16_t env_uring_port(struct env *env);

/** env_uring_conn_queued() - bytes queued and not yet given to the kernel. */
uint64_t env_uring_conn_queued(const struct env_conn *conn);

#endif
