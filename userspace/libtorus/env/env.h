/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only door between the core (volume engine, chunk store, peers, ring)
 * and the world. One implementation is the reactor (env_uring.c); another is
 * the simulator, where every node of a cluster has an env of its own.
 *
 * One thread owns everything behind an env. Callbacks come from the event
 * loop, never from inside the call that asked for them, so that a caller may
 * hold its state half changed while it submits.
 */
#ifndef TORUS_ENV_ENV_H
#define TORUS_ENV_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "wire/proto.h"

struct env;

/* ---- timers ---------------------------------------------------------- */

#define NSEC_PER_SEC  1000000000ull
#define NSEC_PER_MSEC 1000000ull

/*
 * Embedded in its user, who sets fn once with env_timer_init(). A timer that
 * fires is disarmed before fn is called.
 */
struct env_timer {
	void (*fn)(struct env_timer *timer);
	uint64_t when;		/* ns on the env's clock; valid while armed */
	size_t heap_index;	/* private to the env: 0 = not armed */
	uint64_t order;		/* private to the env: ties fire in arming order */
};

/* ---- network --------------------------------------------------------- */

/* A connection carries whole, checked frames of wire/proto.h. */
struct env_conn;

struct env_conn_ops {
	/* Outgoing connection established. NULL for accepted connections. */
	void (*opened)(void *ctx, struct env_conn *conn);

	/*
	 * A frame with data arrived; its header and body are checked and
	 * complete. Fill at most @max entries of @iov with hdr->data_len bytes
	 * of room and return how many; 0 = let the env receive into scratch
	 * memory of its own, valid during message(); -EAGAIN = no room now:
	 * the env stops reading this connection until env_conn_resume(), then
	 * asks again. May be NULL (= 0).
	 */
	int (*data_room)(void *ctx, struct env_conn *conn,
			 const struct wire_header *hdr, const void *body,
			 struct iovec *iov, int max);

	/* A whole frame is here. @data as given by data_room() or scratch. */
	void (*message)(void *ctx, struct env_conn *conn,
			const struct wire_header *hdr, const void *body,
			const struct iovec *data, int data_count);

	/*
	 * The connection is over (-errno; 0 = the other side closed it;
	 * -ETIME = the other side began a frame and did not go on with it).
	 * Called once, unless the owner called env_conn_close() first. After
	 * it @conn does not exist. All unsent frames have had sent() called.
	 */
	void (*closed)(void *ctx, struct env_conn *conn, int err);
};

/* Called for each accepted connection: return its ops and set *@ctx. */
typedef const struct env_conn_ops *(*env_accept_fn)(void *listen_ctx,
						    struct env_conn *conn,
						    void **ctx);

/*
 * The data of a frame may be reused; called exactly once for each frame sent
 * with a non-NULL sent function, also when the connection dies (@err < 0).
 */
typedef void (*env_sent_fn)(void *arg, int err);

/* ---- files ----------------------------------------------------------- */

/*
 * Paths are relative to the env's directory (torusd's data directory). A
 * write is durable after a later FILE_SYNC of the file that succeeded; a new,
 * renamed or unlinked name after a FILE_SYNC_DIR of its directory.
 */
enum env_file_type {
	FILE_OPEN,	/* path, flags: result = handle */
	FILE_CLOSE,	/* file */
	FILE_READ,	/* file, iov, offset: result = bytes, short at the end */
	FILE_WRITE,	/* file, iov, offset: result = bytes; the env retries
			 * short writes, so fewer means -ENOSPC came */
	FILE_SYNC,	/* file: fdatasync */
	FILE_SYNC_DIR,	/* path: fsync of a directory ("" = the env's own) */
	FILE_UNLINK,	/* path */
	FILE_RENAME,	/* path -> path2, replacing it */
	FILE_MKDIR,	/* path; -EEXIST is reported */
	FILE_PUNCH,	/* file, offset, length: deallocate, size unchanged */
	FILE_LIST,	/* path: entry() per name, before done() */
	FILE_STATFS,	/* total_bytes, free_bytes of the file system */
};

#define FILE_CREATE	1	/* FILE_OPEN: create if absent */
#define FILE_EXCLUSIVE	2	/* FILE_OPEN with FILE_CREATE: -EEXIST */
/*
 * FILE_OPEN: read what is on the disk. After a sync that failed the kernel
 * takes the pages for clean, though the disk does not have them: the cache
 * then shows what will be gone. Clean pages of the file are dropped from it;
 * what is yet to be written stays.
 */
#define FILE_FRESH	4
/*
 * FILE_OPEN: transfers go past the cache, where the file system can. Offset,
 * length and the memory of each piece are multiples of BLOCK_SIZE.
 */
#define FILE_DIRECT	8

struct env_file_op {
	enum env_file_type type;
	int file;
	int flags;
	const char *path, *path2;	/* valid until done() */
	struct iovec *iov;		/* valid until done(); may be modified */
	int iov_count;
	uint64_t offset, length;	/* bytes */
	uint64_t total_bytes, free_bytes;
	void (*entry)(struct env_file_op *op, const char *name, uint64_t size,
		      bool is_directory);
	int64_t result;			/* >= 0, or -errno */
	void (*done)(struct env_file_op *op);
	void *ctx;			/* the submitter's */
	struct list_head node;		/* private to the env */
	uint64_t priv[4];		/* private to the env */
};

/* ---- the interface --------------------------------------------------- */

struct env_ops {
	uint64_t (*now)(struct env *env);
	uint64_t (*realtime)(struct env *env);
	void (*random)(struct env *env, void *buf, size_t len);
	void (*timer_set)(struct env *env, struct env_timer *timer, uint64_t when);
	void (*timer_cancel)(struct env *env, struct env_timer *timer);
	int (*listen)(struct env *env, const char *address,
		      env_accept_fn accept, void *ctx);
	struct env_conn *(*connect)(struct env *env, const char *address,
				    const struct env_conn_ops *ops, void *ctx);
	int (*send)(struct env_conn *conn, const struct wire_header *hdr,
		    const void *body, const struct iovec *data, int data_count,
		    env_sent_fn sent, void *arg);
	void (*resume)(struct env_conn *conn);
	void (*close)(struct env_conn *conn);
	const char *(*conn_name)(const struct env_conn *conn);
	void (*file_submit)(struct env *env, struct env_file_op *op);
};

struct env {
	const struct env_ops *ops;
};

/** env_now() - monotonic nanoseconds; may start anywhere above 0. */
static inline uint64_t env_now(struct env *env)
{
	return env->ops->now(env);
}

/** env_realtime() - nanoseconds since 1970, for people, never for decisions. */
static inline uint64_t env_realtime(struct env *env)
{
	return env->ops->realtime(env);
}

static inline void env_random(struct env *env, void *buf, size_t len)
{
	env->ops->random(env, buf, len);
}

static inline void env_timer_init(struct env_timer *timer,
				  void (*fn)(struct env_timer *timer))
{
	timer->fn = fn;
	timer->when = 0;
	timer->heap_index = 0;
	timer->order = 0;
}

static inline bool env_timer_armed(const struct env_timer *timer)
{
	return timer->heap_index != 0;
}

/** env_timer_set() - call timer->fn at @when; re-arms an armed timer. */
static inline void env_timer_set(struct env *env, struct env_timer *timer,
				 uint64_t when)
{
	env->ops->timer_set(env, timer, when);
}

/** env_timer_set_by() - the same, unless it is armed for then or earlier. */
static inline void env_timer_set_by(struct env *env, struct env_timer *timer,
				    uint64_t when)
{
	if (!env_timer_armed(timer) || when < timer->when)
		env_timer_set(env, timer, when);
}

/** env_timer_after() - as env_timer_set(), @delay_ns from now; 0 = next turn. */
static inline void env_timer_after(struct env *env, struct env_timer *timer,
				   uint64_t delay_ns)
{
	env->ops->timer_set(env, timer, env->ops->now(env) + delay_ns);
}

/** env_timer_cancel() - harmless when the timer is not armed. */
static inline void env_timer_cancel(struct env *env, struct env_timer *timer)
{
	env->ops->timer_cancel(env, timer);
}

/** env_listen() - accept on "HOST:PORT"; 0 or -errno with error text. */
static inline int env_listen(struct env *env, const char *address,
			     env_accept_fn accept, void *ctx)
{
	return env->ops->listen(env, address, accept, ctx);
}

/**
 * env_connect() - start to connect to "HOST:PORT".
 * Returns the connection at once (NULL: out of memory); opened() or closed()
 * follows. Nothing may be sent before opened().
 */
static inline struct env_conn *env_connect(struct env *env, const char *address,
					   const struct env_conn_ops *ops,
					   void *ctx)
{
	return env->ops->connect(env, address, ops, ctx);
}

/**
 * env_conn_send() - queue one frame; frames leave in the order of the calls.
 * @hdr: host view; type, request, status, flags, body_len and data_len are
 *       the caller's, the env encodes and checksums it.
 * @body: hdr->body_len bytes, copied before the call returns.
 * @data: hdr->data_len bytes in @data_count pieces, by reference until @sent.
 * Returns 0, or -ENOMEM (nothing queued, @sent is not called). On a
 * connection that is dying the frame is dropped and @sent gets an error.
 */
static inline int env_conn_send(struct env *env, struct env_conn *conn,
				const struct wire_header *hdr, const void *body,
				const struct iovec *data, int data_count,
				env_sent_fn sent, void *arg)
{
	return env->ops->send(conn, hdr, body, data, data_count, sent, arg);
}

/** env_conn_resume() - data_room() that said -EAGAIN may be asked again. */
static inline void env_conn_resume(struct env *env, struct env_conn *conn)
{
	env->ops->resume(conn);
}

/**
 * env_conn_close() - drop the connection now. No callback of its ops follows,
 * and no byte is read from or written to memory of the caller after the
 * return, except that sent() functions of queued frames are called from the
 * loop later (their memory is not touched by the env any more).
 */
static inline void env_conn_close(struct env *env, struct env_conn *conn)
{
	env->ops->close(conn);
}

/** env_conn_name() - the other side, for messages: "HOST:PORT" in the world. */
static inline const char *env_conn_name(struct env *env,
					const struct env_conn *conn)
{
	return env->ops->conn_name(conn);
}

/** env_file_submit() - start a file operation; op->done() always follows. */
static inline void env_file_submit(struct env *env, struct env_file_op *op)
{
	env->ops->file_submit(env, op);
}

#endif
