// SPDX-License-Identifier: Apache-2.0
/*
 * The local metadata store: the loop's side.
 *
 * SQLite can only wait, for the disk and for other processes' locks. So one
 * thread per store runs the statements (local_db.c), one request after the
 * other; requests go to it through a queue, and come back through
 * env_uring_post(). Everything else is the loop's alone.
 *
 * Watches: a commit, of whatever process, is the unlink of the journal, and
 * inotify reports it. Then the changes since the oldest revision that a watch
 * has not seen are read from the log, and given to the watches. Several
 * commits during a read cost one further read.
 *
 * Callbacks may call anything, also unwatch and close: while one runs (busy),
 * what is removed is only marked, and swept afterwards.
 */
#include "meta/lease_end.h"
#include "meta/local.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "env/env_uring.h"
#include "meta/local_db.h"
#include "meta/txn_copy.h"

#define WORKER_STACK	(512u << 10)
#define KEEP_RETRY	NSEC_PER_SEC

struct local {
	struct meta meta;
	struct env *env;
	struct list_head requests;	/* all that are not finished */
	struct list_head watches;
	struct list_head leases;
	int busy;
	bool closed;
	bool fetching, fetch_again;
	struct env_timer expiry;	/* of the next lease of anybody */
	int inotify_fd;
	struct env_watch inotify;
	char journal[NAME_MAX + 1];

	pthread_t thread;
	pthread_mutex_t lock;		/* protects queue, stop */
	pthread_cond_t wake;
	struct list_head queue;
	bool stop;
	struct local_db db;		/* the thread's */
};

struct watch {
	struct list_head node;
	char *prefix;
	int64_t next;			/* revision to see next; 0: from now */
	meta_watch_fn event;		/* NULL: unwatched */
	void *ctx;
};

struct lease {
	struct list_head node;
	struct local *l;
	int64_t id;
	unsigned int ttl_s;
	uint64_t deadline;		/* env_now() */
	struct lease_times times;
	struct env_timer keep;
	struct request *keeping;
	meta_lease_lost_fn lost;
	void *ctx;
};

/* Arguments are set by the loop, results by the thread, callbacks by nobody. */
struct request {
	struct local *l;
	struct list_head node;		/* local.requests */
	struct list_head queue_node;	/* local.queue */
	struct env_post post;
	void (*run)(struct request *req);	/* in the thread */
	void (*finish)(struct request *req);	/* in the loop */
	int err;
	char text[ERROR_TEXT_MAX];

	char *key;
	struct meta_txn *txn;
	int64_t from, lease_id;
	unsigned int ttl_s;
	uint64_t started;
	struct lease *lease;		/* NULL: revoked meanwhile */
	union {
		meta_get_fn get;
		meta_list_fn list;
		meta_txn_fn txn;
		meta_lease_fn lease;
	} done;
	meta_lease_lost_fn lost;
	void *ctx;

	struct db_rows rows;
	struct db_changes changes;
	int64_t revision;
	bool succeeded;
};

static struct local *to_local(struct meta *m)
{
	return container_of(m, struct local, meta);
}

/* The callback is promised: without memory for a request there is no way on. */
static void *need(void *ptr)
{
	if (!ptr) {
		log_error("out of memory for a request to the metadata store");
		abort();
	}
	return ptr;
}

/* ---- the thread ------------------------------------------------------------- */

static struct request *next_request(struct local *l)
{
	struct request *req = NULL;

	pthread_mutex_lock(&l->lock);
	while (!l->stop && list_empty(&l->queue))
		pthread_cond_wait(&l->wake, &l->lock);
	if (!l->stop) {
		req = list_first_entry(&l->queue, struct request, queue_node);
		list_del_init(&req->queue_node);
	}
	pthread_mutex_unlock(&l->lock);
	return req;
}

static void *work(void *arg)
{
	struct local *l = arg;
	struct request *req;

	while ((req = next_request(l))) {
		error_clear();
		req->run(req);
		if (req->err)
			snprintf(req->text, sizeof(req->text), "%s",
				 error_text(req->err));
		env_uring_post(l->env, &req->post);
	}
	return NULL;
}

static int start_thread(struct local *l)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int err;

	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->wake, NULL);
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORKER_STACK);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&l->thread, &attr, work, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return err ? error_set(-err, "thread: %s", strerror(err)) : 0;
}

static void stop_thread(struct local *l)
{
	l->db.stopping = true;
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	pthread_cond_destroy(&l->wake);
	pthread_mutex_destroy(&l->lock);
}

/* ---- requests ---------------------------------------------------------------- */

static void request_free(struct request *req)
{
	list_del_init(&req->node);
	free(req->key);
	free(req->txn);
	db_rows_release(&req->rows);
	db_rows_release(&req->changes.rows);
	free(req);
}

static void local_free(struct local *l);
static void sweep(struct local *l);

static void leave(struct local *l)
{
	if (--l->busy)
		return;
	if (l->closed)
		local_free(l);
	else
		sweep(l);
}

static void came_back(struct env_post *post)
{
	struct request *req = container_of(post, struct request, post);
	struct local *l = req->l;

	list_del_init(&req->node);
	l->busy++;
	if (req->err)
		error_set(req->err, "%s", req->text);
	else
		error_clear();
	req->finish(req);
	request_free(req);
	leave(l);
}

static struct request *request_new(struct local *l,
				   void (*run)(struct request *),
				   void (*finish)(struct request *))
{
	struct request *req = need(calloc(1, sizeof(*req)));

	req->l = l;
	req->run = run;
	req->finish = finish;
	req->post.fn = came_back;
	req->started = env_now(l->env);
	list_init(&req->post.node);
	list_init(&req->queue_node);
	list_add_tail(&req->node, &l->requests);
	return req;
}

static void submit(struct request *req)
{
	struct local *l = req->l;

	pthread_mutex_lock(&l->lock);
	list_add_tail(&req->queue_node, &l->queue);
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
}

/* ---- get and list ------------------------------------------------------------- */

static void run_get(struct request *req)
{
	req->err = db_list(&req->l->db, req->key, false, &req->rows,
			   &req->revision);
}

static void run_list(struct request *req)
{
	req->err = db_list(&req->l->db, req->key, true, &req->rows,
			   &req->revision);
}

static struct meta_kv kv_of(const struct db_row *row)
{
	return (struct meta_kv){ row->key, row->value, row->revision,
				 row->lease };
}

static void finish_get(struct request *req)
{
	struct meta_kv kv;

	if (!req->err && req->rows.count)
		kv = kv_of(&req->rows.row[0]);
	req->done.get(req->ctx, req->err, req->revision,
		      !req->err && req->rows.count ? &kv : NULL);
}

static void finish_list(struct request *req)
{
	size_t count = req->err ? 0 : req->rows.count, i;
	CLEANUP_FREE struct meta_kv *kv = need(calloc(count + 1, sizeof(*kv)));

	for (i = 0; i < count; i++)
		kv[i] = kv_of(&req->rows.row[i]);
	req->done.list(req->ctx, req->err, req->revision, kv, count);
}

static void local_get(struct meta *m, const char *key, meta_get_fn done,
		      void *ctx)
{
	struct request *req = request_new(to_local(m), run_get, finish_get);

	req->key = need(strdup(key));
	req->done.get = done;
	req->ctx = ctx;
	submit(req);
}

static void local_list(struct meta *m, const char *prefix, meta_list_fn done,
		       void *ctx)
{
	struct request *req = request_new(to_local(m), run_list, finish_list);

	req->key = need(strdup(prefix));
	req->done.list = done;
	req->ctx = ctx;
	submit(req);
}

/* ---- transactions ---------------------------------------------------------------- */

static void run_txn(struct request *req)
{
	req->err = txn_check(req->txn);
	if (!req->err)
		req->err = db_txn(&req->l->db, req->txn, &req->succeeded,
				  &req->revision);
}

static void finish_txn(struct request *req)
{
	req->done.txn(req->ctx, req->err, !req->err && req->succeeded,
		      req->revision);
}

static void local_txn(struct meta *m, const struct meta_txn *txn,
		      meta_txn_fn done, void *ctx)
{
	struct request *req = request_new(to_local(m), run_txn, finish_txn);

	req->txn = need(txn_copy(txn));
	req->done.txn = done;
	req->ctx = ctx;
	submit(req);
}

/* ---- watches ------------------------------------------------------------------------ */

static void fetch(struct local *l);

static void send_events(struct watch *w, const struct db_rows *rows)
{
	size_t len = strlen(w->prefix), i;
	struct meta_kv kv;

	for (i = 0; i < rows->count && w->event; i++) {
		if (rows->row[i].revision < w->next ||
		    strncmp(rows->row[i].key, w->prefix, len) != 0)
			continue;
		kv = kv_of(&rows->row[i]);
		w->event(w->ctx, kv.value ? META_EVENT_PUT : META_EVENT_DELETE,
			 &kv);
	}
}

static void serve_watch(struct watch *w, int64_t from,
			const struct db_changes *changes)
{
	int64_t after = changes->revision + 1;

	if (!w->event)
		return;
	if (!w->next) {
		w->next = after;
	} else if (w->next <= changes->compacted || w->next > after) {
		/* Forgotten, or the file went back in time. */
		w->next = after;
		w->event(w->ctx, META_EVENT_RESET, NULL);
	} else if (w->next >= from) {
		send_events(w, &changes->rows);
		w->next = MAX(w->next, changes->upto + 1);
	}
}

static void run_fetch(struct request *req)
{
	req->err = db_changes(&req->l->db, req->from, &req->changes);
}

static void finish_fetch(struct request *req)
{
	struct local *l = req->l;
	struct db_changes *changes = &req->changes;
	struct watch *w;
	bool again;

	l->fetching = false;
	again = l->fetch_again || changes->upto < changes->revision;
	if (req->err) {
		log_warning("metadata watch: %s; trying again in 1 s",
			    req->text);
		env_timer_after(l->env, &l->expiry, NSEC_PER_SEC);
		return;
	}
	if (changes->lease_ms >= 0)
		env_timer_after(l->env, &l->expiry,
				(changes->lease_ms + 1) * NSEC_PER_MSEC);
	/* Only sweep() takes watches off the list. */
	list_for_each_entry(w, &l->watches, node) {
		if (!l->closed)
			serve_watch(w, req->from, changes);
	}
	if (again && !l->closed)
		fetch(l);
}

static void fetch(struct local *l)
{
	struct request *req;
	struct watch *w;

	if (list_empty(&l->watches))
		return;
	if (l->fetching) {
		l->fetch_again = true;
		return;
	}
	l->fetching = true;
	l->fetch_again = false;
	req = request_new(l, run_fetch, finish_fetch);
	req->from = INT64_MAX;
	list_for_each_entry(w, &l->watches, node) {
		if (w->next)
			req->from = MIN(req->from, w->next);
	}
	submit(req);
}

static struct meta_watch *local_watch(struct meta *m, const char *prefix,
				      int64_t from, meta_watch_fn event,
				      void *ctx)
{
	struct local *l = to_local(m);
	struct watch *w = need(calloc(1, sizeof(*w)));

	w->prefix = need(strdup(prefix));
	w->next = MAX(from, (int64_t)0);
	w->event = event;
	w->ctx = ctx;
	list_add_tail(&w->node, &l->watches);
	fetch(l);
	return (struct meta_watch *)w;
}

static void watch_free(struct watch *w)
{
	list_del_init(&w->node);
	free(w->prefix);
	free(w);
}

static void local_unwatch(struct meta *m, struct meta_watch *watch)
{
	struct local *l = to_local(m);
	struct watch *w = (struct watch *)watch;

	w->event = NULL;
	if (!l->busy)
		watch_free(w);
}

static void sweep(struct local *l)
{
	struct watch *w, *tmp;

	list_for_each_entry_safe(w, tmp, &l->watches, node) {
		if (!w->event)
			watch_free(w);
	}
}

/* Somebody's lease may be over: the read that follows removes it. */
static void expiry_due(struct env_timer *timer)
{
	fetch(container_of(timer, struct local, expiry));
}

static void directory_changed(struct env_watch *watch, uint32_t revents)
{
	struct local *l = watch->ctx;
	char buf[8192] __attribute__((aligned(8)));
	const struct inotify_event *ev;
	bool committed = false;
	ssize_t n, at;

	while ((n = read(l->inotify_fd, buf, sizeof(buf))) > 0) {
		for (at = 0; at < n; at += sizeof(*ev) + ev->len) {
			ev = (const struct inotify_event *)(buf + at);
			committed |= ev->mask & IN_Q_OVERFLOW ||
				(ev->len && strcmp(ev->name, l->journal) == 0);
		}
	}
	if (committed)
		fetch(l);
}

static int watch_directory(struct local *l)
{
	CLEANUP_FREE char *path = realpath(l->db.path, NULL);
	char *slash = path ? strrchr(path, '/') : NULL;

	if (!slash)
		return error_set(-errno, "metadata file %s: %s", l->db.path,
				 strerror(errno));
	snprintf(l->journal, sizeof(l->journal), "%.200s-journal", slash + 1);
	slash[slash == path] = 0;
	l->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (l->inotify_fd < 0 ||
	    inotify_add_watch(l->inotify_fd, path, IN_DELETE) < 0)
		return error_set(-errno, "directory %s: cannot be watched: %s (see /proc/sys/fs/inotify)",
				 path, strerror(errno));
	l->inotify.fn = directory_changed;
	l->inotify.ctx = l;
	return env_uring_watch_fd(l->env, &l->inotify, l->inotify_fd, POLLIN);
}

/* ---- leases ---------------------------------------------------------------------------- */

static void lease_free(struct lease *lease)
{
	list_del_init(&lease->node);
	env_timer_cancel(lease->l->env, &lease->keep);
	if (lease->keeping)
		lease->keeping->lease = NULL;
	free(lease);
}

static void run_keep(struct request *req)
{
	req->err = db_lease_keep(&req->l->db, req->lease_id, req->ttl_s);
}

static void finish_keep(struct request *req)
{
	struct lease *lease = req->lease;
	struct env *env = req->l->env;
	meta_lease_lost_fn lost;
	void *ctx;

	if (!lease)
		return;
	lease->keeping = NULL;
	if (!req->err) {
		lease->deadline = req->started + lease->ttl_s * NSEC_PER_SEC;
		lease_times_kept(&lease->times, env_now(env),
				 env_realtime(env));
		env_timer_after(env, &lease->keep,
				lease->ttl_s * NSEC_PER_SEC / 3);
		return;
	}
	log_warning("metadata lease: %s", req->text);
	if (req->err != -ENOENT && env_now(env) < lease->deadline) {
		env_timer_after(env, &lease->keep, KEEP_RETRY);
		return;
	}
	lost = lease->lost;
	ctx = lease->ctx;
	lease_end_explain(&lease->times, env_now(env), env_realtime(env),
			  lease->ttl_s);
	lease_free(lease);
	if (lost)
		lost(ctx, req->lease_id);
}

static void keep_due(struct env_timer *timer)
{
	struct lease *lease = container_of(timer, struct lease, keep);
	struct request *req = request_new(lease->l, run_keep, finish_keep);

	lease_times_due(&lease->times, env_now(lease->l->env), timer->when);
	req->lease = lease;
	req->lease_id = lease->id;
	req->ttl_s = lease->ttl_s;
	lease->keeping = req;
	submit(req);
}

static void run_grant(struct request *req)
{
	req->err = db_lease_grant(&req->l->db, req->ttl_s, &req->lease_id);
}

static void finish_grant(struct request *req)
{
	struct local *l = req->l;
	struct lease *lease;

	if (req->err) {
		req->done.lease(req->ctx, req->err, 0);
		return;
	}
	lease = need(calloc(1, sizeof(*lease)));
	lease->l = l;
	lease->id = req->lease_id;
	lease->ttl_s = req->ttl_s;
	lease->deadline = req->started + req->ttl_s * NSEC_PER_SEC;
	lease_times_kept(&lease->times, env_now(l->env), env_realtime(l->env));
	lease->lost = req->lost;
	lease->ctx = req->ctx;
	env_timer_init(&lease->keep, keep_due);
	env_timer_after(l->env, &lease->keep, req->ttl_s * NSEC_PER_SEC / 3);
	list_add_tail(&lease->node, &l->leases);
	req->done.lease(req->ctx, 0, lease->id);
}

static void local_lease_grant(struct meta *m, unsigned int ttl_s,
			      meta_lease_fn done, meta_lease_lost_fn lost,
			      void *ctx)
{
	struct request *req = request_new(to_local(m), run_grant,
					  finish_grant);

	req->ttl_s = MAX(ttl_s, 1u);
	req->done.lease = done;
	req->lost = lost;
	req->ctx = ctx;
	submit(req);
}

static void run_revoke(struct request *req)
{
	req->err = db_lease_revoke(&req->l->db, req->lease_id);
}

static void finish_revoke(struct request *req)
{
	if (req->done.lease)
		req->done.lease(req->ctx, req->err, req->lease_id);
}

static void local_lease_revoke(struct meta *m, int64_t id, meta_lease_fn done,
			       void *ctx)
{
	struct local *l = to_local(m);
	struct request *req = request_new(l, run_revoke, finish_revoke);
	struct lease *lease, *tmp;

	list_for_each_entry_safe(lease, tmp, &l->leases, node) {
		if (lease->id == id)
			lease_free(lease);
	}
	req->lease_id = id;
	req->done.lease = done;
	req->ctx = ctx;
	submit(req);
}

/* ---- life --------------------------------------------------------------------------------- */

static void local_free(struct local *l)
{
	struct request *req, *tmp_req;
	struct lease *lease, *tmp_lease;
	struct watch *w, *tmp_watch;

	list_for_each_entry_safe(req, tmp_req, &l->requests, node) {
		env_uring_unpost(l->env, &req->post);
		request_free(req);
	}
	list_for_each_entry_safe(lease, tmp_lease, &l->leases, node)
		lease_free(lease);
	list_for_each_entry_safe(w, tmp_watch, &l->watches, node)
		watch_free(w);
	free(l);
}

static void local_close(struct meta *m)
{
	struct local *l = to_local(m);
	struct watch *w;

	if (l->closed)
		return;
	l->closed = true;
	stop_thread(l);
	db_close(&l->db);
	env_timer_cancel(l->env, &l->expiry);
	env_uring_unwatch(l->env, &l->inotify);
	close(l->inotify_fd);
	list_for_each_entry(w, &l->watches, node)
		w->event = NULL;
	if (!l->busy)
		local_free(l);
}

static const struct meta_ops local_ops = {
	.get = local_get,
	.list = local_list,
	.txn = local_txn,
	.watch = local_watch,
	.unwatch = local_unwatch,
	.lease_grant = local_lease_grant,
	.lease_revoke = local_lease_revoke,
	.close = local_close,
};

static int local_init(struct local *l, struct env *env, const char *path,
		      bool create)
{
	int err;

	l->meta.ops = &local_ops;
	l->env = env;
	l->inotify_fd = -1;
	list_init(&l->requests);
	list_init(&l->watches);
	list_init(&l->leases);
	list_init(&l->queue);
	env_timer_init(&l->expiry, expiry_due);
	err = db_open(&l->db, path, create);
	if (err)
		return err;
	err = watch_directory(l);
	if (!err)
		err = start_thread(l);
	if (!err)
		return 0;
	env_uring_unwatch(env, &l->inotify);
	if (l->inotify_fd >= 0)
		close(l->inotify_fd);
	db_close(&l->db);
	return err;
}

int meta_local_open(struct env *env, const char *path, bool create,
		    struct meta **meta)
{
	struct local *l = calloc(1, sizeof(*l));
	int err = l ? local_init(l, env, path, create) : -ENOMEM;

	if (err) {
		free(l);
		return err;
	}
	*meta = &l->meta;
	return 0;
}

void meta_local_set_history(struct meta *meta, int64_t revisions)
{
	to_local(meta)->db.history = revisions;
}
