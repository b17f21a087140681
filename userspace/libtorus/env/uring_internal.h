/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the reactor share; not for anyone else. */
#ifndef TORUS_ENV_URING_INTERNAL_H
#define TORUS_ENV_URING_INTERNAL_H

/* <liburing.h> brings <linux/fs.h>, whose BLOCK_SIZE is not that of record.h. */
#pragma push_macro("BLOCK_SIZE")
#undef BLOCK_SIZE
#include <liburing.h>
#undef BLOCK_SIZE
#pragma pop_macro("BLOCK_SIZE")

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>

#include "base/list.h"
#include "env/env_uring.h"
#include "env/timer_heap.h"
#include "wire/proto.h"

/* What a completion belongs to, in the low bits of its user data. */
enum uring_tag { TAG_NONE, TAG_POLL, TAG_FILE, TAG_MASK = 3 };

/* A one-shot poll. Its memory stays in place while it is armed. */
struct uring_poll {
	void (*fn)(struct uring_poll *poll, int res);
	bool armed;
};

/* Work for the next turn: what must not happen inside a submission call. */
struct uring_task {
	struct list_head node;
	void (*fn)(struct uring_task *task);
};

/* What the pollers have been through lately; see uring_poller.c. */
struct uring_idle {
	uint64_t since;			/* when work ended; 0 = there is some */
	uint64_t usual;			/* how long it takes until more comes */
	bool asleep;
};

#define URING_SIGNALS 64

struct uring {
	struct env env;
	struct io_uring ring;
	bool enabled, stopping;
	int root_fd;
	unsigned int connections_max, frames_max;
	struct timer_heap timers;
	struct list_head tasks;		/* uring_task: run in the next turn */
	struct list_head hooks;		/* env_hook */
	struct list_head pollers;	/* env_poller */
	struct uring_idle idle;
	uint64_t busy_wait_ns;

	struct list_head watches;	/* uring_watch, also dying ones */
	struct list_head listeners;
	uint16_t port;
	struct list_head conns;		/* all that have memory */
	unsigned int conn_count;
	struct list_head flush;		/* conns that have frames to send */
	struct list_head orphans;	/* frames whose sent() is due */
	struct list_head frame_pool;
	unsigned int frame_pool_count;

	struct list_head file_waiting;	/* env_file_op: over FILES_IN_FLIGHT */
	struct list_head file_done;	/* env_file_op: done() is due */
	unsigned int file_in_flight;

	pthread_mutex_t post_lock;	/* protects posts */
	struct list_head posts;
	int event_fd;
	struct env_watch event_watch;

	int signal_fd;
	sigset_t signal_set;
	struct env_watch signal_watch;
	struct {
		void (*fn)(void *ctx, int signo);
		void *ctx;
	} signals[URING_SIGNALS + 1];
};

static inline struct uring *to_uring(struct env *env)
{
	return container_of(env, struct uring, env);
}

/* env_uring.c */
struct io_uring_sqe *uring_sqe(struct uring *u, enum uring_tag tag, void *ptr);
void uring_task_add(struct uring *u, struct uring_task *task);

/* uring_watch.c */
void uring_poll_arm(struct uring *u, struct uring_poll *poll, int fd,
		    uint32_t events);
void uring_poll_cancel(struct uring *u, struct uring_poll *poll);
void uring_watches_free(struct uring *u);

/* uring_poller.c */

/** uring_pollers_run() - look at all; whether there was work. */
bool uring_pollers_run(struct uring *u);

/** uring_pollers_worked() - there was something to do in this turn. */
void uring_pollers_worked(struct uring *u);

/** uring_pollers_sleep() - whether the loop may sleep: it is woken then. */
bool uring_pollers_sleep(struct uring *u);

/** uring_pollers_wake() - the loop is awake. */
void uring_pollers_wake(struct uring *u);

/* uring_signal.c */
void uring_signals_free(struct uring *u);

/* uring_post.c */
int uring_post_init(struct uring *u);
void uring_post_free(struct uring *u);

/* uring_file.c */
void uring_file_submit(struct env *env, struct env_file_op *op);
void uring_file_complete(struct uring *u, struct env_file_op *op, int res);
void uring_file_run(struct uring *u);

/* uring_tcp.c, uring_listen.c */
struct env_conn *uring_connect(struct env *env, const char *address,
			       const struct env_conn_ops *ops, void *ctx);
void uring_conn_close(struct env_conn *conn);
const char *uring_conn_name(const struct env_conn *conn);
int uring_listen(struct env *env, const char *address, env_accept_fn accept,
		 void *ctx);
void uring_listeners_free(struct uring *u);
void uring_conns_free(struct uring *u);

/* uring_send.c */
int uring_conn_send(struct env_conn *conn, const struct wire_header *hdr,
		    const void *body, const struct iovec *data, int data_count,
		    env_sent_fn sent, void *arg);
void uring_send_run(struct uring *u);
void uring_send_free(struct uring *u);

/* uring_recv.c */
void uring_conn_resume(struct env_conn *conn);

#endif
