// SPDX-License-Identifier: Apache-2.0
/*
 * Everything behind the reactor belongs to its thread: the others only post.
 * A caller's job, on its stack, is the thread's from the post to the semaphore.
 */
#include "engine.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "env/env_uring.h"
#include "front/attachment.h"

struct engine {
	struct engine_config cfg;
	pthread_t thread;
	sem_t told;			/* attached, detached, or failed to */
	int err;
	char text[ERROR_TEXT_MAX];
	uint64_t size;
	struct env_post stop;

	/* The thread's own. */
	struct env *env;
	struct meta *meta;
	struct volume *volume;
};

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) && errno == EINTR)
		;
}

static void tell(struct engine *e, int err)
{
	e->err = err;
	if (err)
		snprintf(e->text, sizeof(e->text), "%s", error_text(err));
	sem_post(&e->told);
}

/* ---- jobs ----------------------------------------------------------------- */

struct job {
	struct engine *engine;
	struct env_post post;
	sem_t done;
	struct volume_request *pieces;
	unsigned int count, left;
	int err;			/* of the first piece that failed */
	struct volume_request one;	/* most jobs need no more */
};

static void piece_done(struct volume_request *req, int err)
{
	struct job *job = req->ctx;

	if (err && !job->err)
		job->err = err;
	if (--job->left == 0)
		sem_post(&job->done);
}

static void run_job(struct env_post *post)
{
	struct job *job = container_of(post, struct job, post);

	for (unsigned int i = 0; i < job->count; i++)
		volume_submit(job->engine->volume, &job->pieces[i]);
}

static void fill_piece(struct job *job, struct volume_request *piece,
		       enum volume_op op, bool fua, uint64_t offset,
		       uint64_t length, void *buffer)
{
	memset(piece, 0, sizeof(*piece));
	piece->op = op;
	piece->fua = fua;
	piece->offset = offset;
	piece->length = length;
	piece->buffer = buffer;
	piece->done = piece_done;
	piece->ctx = job;
}

static int cut(struct job *job, enum volume_op op, bool fua, uint64_t offset,
	       uint64_t length, void *buffer)
{
	bool data = op == VOLUME_READ || op == VOLUME_WRITE;
	uint64_t max = data ? VOLUME_IO_MAX : VOLUME_TRIM_MAX, n;

	job->count = length ? (unsigned int)DIV_ROUND_UP(length, max) : 1;
	job->left = job->count;
	job->pieces = &job->one;
	if (job->count > 1)
		job->pieces = calloc(job->count, sizeof(*job->pieces));
	if (!job->pieces)
		return -ENOMEM;
	for (unsigned int i = 0; i < job->count; i++) {
		n = MIN(length, max);
		fill_piece(job, &job->pieces[i], op, fua, offset, n, buffer);
		offset += n;
		length -= n;
		if (data)
			buffer = (char *)buffer + n;
	}
	return 0;
}

int engine_io(struct engine *e, enum volume_op op, bool fua, uint64_t offset,
	      uint64_t length, void *buffer)
{
	struct job job = { .engine = e, .post.fn = run_job };
	int err = cut(&job, op, fua, offset, length, buffer);

	if (err)
		return err;
	sem_init(&job.done, 0, 0);
	env_uring_post(e->env, &job.post);
	wait_for(&job.done);
	sem_destroy(&job.done);
	if (job.pieces != &job.one)
		free(job.pieces);
	return job.err;
}

/* ---- the thread ----------------------------------------------------------- */

static void on_failed(void *ctx, enum volume_failure why)
{
	struct engine *e = ctx;

	(void)why;
	log_error("volume %s: %s; every request fails from now on",
		  e->cfg.volume, error_text(-EIO));
}

static const struct volume_ops volume_ops = { .failed = on_failed };

static void attached(void *ctx, int err)
{
	struct engine *e = ctx;

	if (!err)
		e->size = volume_size(e->volume);
	else
		env_uring_stop(e->env);
	tell(e, err);
}

static void detached(void *ctx, int err)
{
	struct engine *e = ctx;

	env_uring_stop(e->env);
	tell(e, err);
}

static void begin_detach(struct env_post *post)
{
	struct engine *e = container_of(post, struct engine, stop);

	volume_detach(e->volume, detached, e);
}

static int begin_attach(struct engine *e)
{
	struct volume_config cfg = {
		.read_only = e->cfg.read_only, .force = e->cfg.force,
		.map_cache_bytes = e->cfg.map_cache,
		.overlay_bytes = e->cfg.overlay,
		.io_timeout_ns = e->cfg.io_timeout_ns,
		.ops = &volume_ops, .ctx = e,
	};
	struct uuid incarnation;
	int err = meta_open(e->env, &e->cfg.meta, &e->meta);

	if (err)
		return err;
	incarnation = attachment_incarnation(e->env);
	snprintf(cfg.name, sizeof(cfg.name), "%s", e->cfg.volume);
	attachment_fill(&cfg.attachment, e->env, "nbdkit", &incarnation);
	e->volume = volume_attach(e->env, e->meta, &cfg, attached, e);
	return e->volume ? 0 : error_set(-ENOMEM, "out of memory");
}

/* Callers wait for answers that will not come: better no process than that. */
static void give_up(void)
{
	log_error("the event loop failed: %s", error_text(-EIO));
	abort();
}

static void *thread_main(void *arg)
{
	struct engine *e = arg;
	int err;

	e->env = env_uring_new(&(struct env_uring_config){ 0 });
	err = e->env ? begin_attach(e) : -errno;
	if (err)
		tell(e, err);
	else if (env_uring_run(e->env))
		give_up();
	if (e->volume)
		volume_free(e->volume);
	if (e->meta)
		e->meta->ops->close(e->meta);
	env_uring_free(e->env);
	return NULL;
}

/* nbdkit's own threads get the signals. */
static int start_thread(struct engine *e)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&e->thread, NULL, thread_main, e);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err ? error_set(-err, "cannot start a thread: %s",
			       strerror(err)) : 0;
}

static void free_engine(struct engine *e)
{
	sem_destroy(&e->told);
	free(e);
}

int engine_start(const struct engine_config *cfg, struct engine **engine)
{
	struct engine *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return error_set(-ENOMEM, "out of memory");
	e->cfg = *cfg;
	e->stop.fn = begin_detach;
	sem_init(&e->told, 0, 0);
	err = start_thread(e);
	if (!err) {
		wait_for(&e->told);
		err = e->err;
		if (err) {
			pthread_join(e->thread, NULL);
			error_set(err, "%s", e->text);
		}
	}
	if (err) {
		free_engine(e);
		return err;
	}
	*engine = e;
	return 0;
}

int engine_stop(struct engine *e)
{
	int err;

	env_uring_post(e->env, &e->stop);
	wait_for(&e->told);
	pthread_join(e->thread, NULL);
	err = e->err;
	if (err)
		error_set(err, "%s", e->text);
	free_engine(e);
	return err;
}

uint64_t engine_size(const struct engine *e)
{
	return e->size;
}
