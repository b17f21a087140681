// SPDX-License-Identifier: Apache-2.0
/*
 * The life of a volume and its turn.
 *
 * The turn is a timer that volume_kick() arms: it lets every part go on, and
 * then hands to the front end what is owed to it. Nothing else calls the front
 * end, so whatever it does from a callback, submit, detach or free, meets parts
 * at rest. volume_free() from a callback releases all parts at once; only the
 * structure itself stays until the turn has seen that.
 */
#include "volume/volume.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "volume/internal.h"

static void turn(struct env_timer *timer);

/* ---- notes that parts leave ------------------------------------------- */

void volume_kick(struct volume *v)
{
	if (!env_timer_armed(&v->turn))
		env_timer_after(v->env, &v->turn, 0);
}

void volume_finish(struct volume *v, struct volume_request *req, int err)
{
	req->err = err;
	list_add_tail(&req->node, &v->finished);
	volume_kick(v);
}

void volume_fail(struct volume *v, enum volume_failure why,
		 const char *fmt, ...)
{
	va_list args;

	if (v->failing)
		return;
	v->failing = true;
	v->why = why;
	va_start(args, fmt);
	vsnprintf(v->why_text, sizeof(v->why_text), fmt, args);
	va_end(args);
	log_error("%s", v->why_text);
	volume_kick(v);
}

void volume_say(struct volume *v, const char *fmt, ...)
{
	char text[sizeof(v->state_text)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (strcmp(text, v->state_text) == 0)
		return;
	memcpy(v->state_text, text, sizeof(text));
	v->state_changed = true;
	log_info("volume %s: %s", v->cfg.name, text);
	volume_kick(v);
}

/* A peer has seen @epoch, which is above ours. */
static void fenced(void *ctx, uint64_t epoch)
{
	struct volume *v = ctx;

	if (v->attach != NULL && !v->attach_over)
		attach_fenced(v, epoch, "a peer");
	else
		volume_fail(v, VOLUME_FENCED,
			    "volume %s was attached elsewhere with epoch %llu, ours is %llu",
			    v->cfg.name, (unsigned long long)epoch,
			    (unsigned long long)v->epoch);
}

int volume_answer(struct volume *v, const struct peer_call *call)
{
	if (call->err)
		return call->err;
	/* Once our attachment is removed the next owner is welcome. */
	if (call->status == WIRE_EFENCED && v->detach.state < DETACH_SETTLE)
		fenced(v, volume_seen_epoch(call));
	return wire_status_errno(call->status);
}

/* What requests are told once the volume has failed or is gone. */
static int refusal(const struct volume *v)
{
	if (v->failing && v->why == VOLUME_FENCED)
		return -ESTALE;
	return -EIO;
}

/* ---- what others tell us ---------------------------------------------- */

/* Members of an active chunk that are up and have what was acknowledged. */
static uint32_t holders(void *ctx, uint64_t number, struct uuid *out,
			uint32_t max)
{
	struct volume *v = ctx;
	struct active_chunk *chunk = active_find(v, number);
	uint32_t i, count = 0;

	if (chunk == NULL)
		return 0;
	for (i = 0; i < chunk->member_count && count < max; i++)
		if (!chunk->members[i].failed && !chunk->members[i].gone)
			out[count++] = chunk->members[i].id;
	return count;
}

/* Chunks that are not sealed have their writer to look after them. */
static void bad_copy(void *ctx, const struct uuid *peer, uint64_t volume,
		     uint64_t number)
{
	struct volume *v = ctx;

	if (volume != v->doc.id || active_find(v, number) == NULL)
		readrepair_note(&v->readrepair, v->cluster, peer, volume,
				number);
}

static void ring_changed(void *ctx)
{
	struct volume *v = ctx;

	if (v->reader != NULL)
		reader_peers_changed(v->reader);
	tail_peers_changed(v);
}

/*
 * A store that comes back with another incarnation may have lost what it had
 * not synced: its open chunks are short of a replica, whether or not anybody
 * is about to ask it for something.
 */
static void peer_changed(void *ctx, struct peer *peer, int err)
{
	struct volume *v = ctx;
	struct active_chunk *chunk;
	struct active_member *m;

	if (v->reader != NULL)
		reader_peers_changed(v->reader);
	if (!volume_serving(v))
		return;
	if (peer_state(peer) == PEER_UP) {
		list_for_each_entry(chunk, &v->active.chunks, node) {
			m = active_member_of(chunk, peer_id(peer));
			if (m == NULL || chunk->state != ACTIVE_OPEN ||
			    !active_answered(m, peer_incarnation(peer)))
				continue;
			m->failed = true;
			tail_replica_failed(v, &m->id, -ESTALE);
			break;
		}
	}
	if (peer_state(peer) == PEER_UP) {
		sealer_peer_up(v, peer_id(peer));
		reclaim_peer_up(v);
	}
	health_peer_changed(v, peer_id(peer));
}

static const struct cluster_ops cluster_ops = {
	.ring_changed = ring_changed,
	.peer_changed = peer_changed,
};

/* ---- attaching -------------------------------------------------------- */

static void set_defaults(struct volume_config *cfg)
{
	if (cfg->replica_timeout_ns == 0)
		cfg->replica_timeout_ns = 1 * NSEC_PER_SEC;
	if (cfg->io_timeout_ns == 0)
		cfg->io_timeout_ns = 120 * NSEC_PER_SEC;
	if (cfg->map_cache_bytes == 0)
		cfg->map_cache_bytes = 256ull << 20;
	if (cfg->overlay_bytes == 0)
		cfg->overlay_bytes = 64ull << 20;
	if (cfg->checkpoint_log_bytes == 0)
		cfg->checkpoint_log_bytes = 4ull << 30;
	if (cfg->checkpoint_lag_ns == 0)
		cfg->checkpoint_lag_ns = 3600 * NSEC_PER_SEC;
	if (cfg->sync_interval_ns == 0)
		cfg->sync_interval_ns = 5 * NSEC_PER_SEC;
	if (cfg->clean_threshold == 0)
		cfg->clean_threshold = 25;
}

void attach_done(struct volume *v, int err)
{
	v->attach_over = true;
	v->attach_err = err;
	if (err)
		snprintf(v->attach_text, sizeof(v->attach_text), "%s",
			 error_text(err));
	volume_kick(v);
}

int volume_open_reader(struct volume *v)
{
	const struct reader_config cfg = {
		.volume = v->doc.id, .replication = v->doc.replication,
		.io_timeout_ns = v->cfg.io_timeout_ns,
		.replica_timeout_ns = v->cfg.replica_timeout_ns,
		.fenced = fenced, .holders = holders, .bad_copy = bad_copy,
		.ctx = v,
	};

	v->reader = reader_new(v->env, v->cluster, &cfg);
	if (v->reader == NULL)
		return -ENOMEM;
	reader_set_epoch(v->reader, v->epoch);
	return 0;
}

static void cluster_opened(void *ctx, int err)
{
	struct volume *v = ctx;

	if (!err)
		err = attach_start(v);
	if (err)
		attach_done(v, err);
}

/* aligned requests come from here */
static void dispatch(void *ctx, struct volume_request *req);

static void finish(void *ctx, struct volume_request *req, int err)
{
	volume_finish(ctx, req, err);
}

static int init_parts(struct volume *v)
{
	const struct unaligned_config unaligned = {
		.submit = dispatch, .finish = finish, .ctx = v,
	};
	int err = 0;

	metacalls_init(&v->metacalls, v->meta);
	readrepair_init(&v->readrepair, v->env);
	health_init(v);
	active_init(v);
	tail_init(v);
	sync_init(v);
	sealer_init(v);
	lease_init(v);
	detach_init(v);
	err |= docwriter_init(v);
	err |= writer_init(v);
	err |= checkpoint_init(v);
	err |= readpath_init(v);
	err |= cleaner_init(v);
	reclaim_init(v);
	v->unaligned = unaligned_new(&unaligned);
	return err || v->unaligned == NULL ? -ENOMEM : 0;
}

struct volume *volume_attach(struct env *env, struct meta *meta,
			     const struct volume_config *cfg,
			     volume_done_fn done, void *ctx)
{
	struct volume *v = calloc(1, sizeof(*v));
	struct cluster_config cluster = {
		.role = WIRE_ROLE_VOLUME, .ops = &cluster_ops, .ctx = v,
	};

	if (v == NULL)
		return NULL;
	v->env = env;
	v->meta = meta;
	v->cfg = *cfg;
	set_defaults(&v->cfg);
	v->attached = done;
	v->attached_ctx = ctx;
	list_init(&v->early);
	list_init(&v->finished);
	env_timer_init(&v->turn, turn);
	cluster.replica_timeout_ns = v->cfg.replica_timeout_ns;
	if (init_parts(v) == 0)
		v->cluster = cluster_open(env, meta, &cluster, cluster_opened,
					  v);
	if (v->cluster == NULL) {
		volume_free(v);
		return NULL;
	}
	return v;
}

static bool inside(const struct volume *v, const struct volume_request *req)
{
	return req->op == VOLUME_FLUSH ||
	       (req->offset <= v->doc.size &&
		req->length <= v->doc.size - req->offset);
}

/* They were submitted before the size was known. */
static void submit_early(struct volume *v)
{
	struct volume_request *req;

	while (!list_empty(&v->early)) {
		req = list_first_entry(&v->early, struct volume_request, node);
		list_del_init(&req->node);
		if (inside(v, req))
			unaligned_submit(v->unaligned, req);
		else
			volume_finish(v, req, -EINVAL);
	}
}

static void begin_serving(struct volume *v)
{
	v->state = VOLUME_SERVING;
	tail_start(v);
	writer_start(v);
	lease_start(v);
	checkpoint_serve(v);
	if (v->detach.state != DETACH_NONE)
		v->state = VOLUME_DETACHING;
	submit_early(v);
}

/* ---- requests --------------------------------------------------------- */

static void dispatch(void *ctx, struct volume_request *req)
{
	struct volume *v = ctx;

	req->engine = v;
	list_init(&req->node);
	if (v->failing || v->state == VOLUME_FAILED) {
		volume_finish(v, req, refusal(v));
	} else if (req->op == VOLUME_READ) {
		readpath_submit(v, req);
	} else if (req->op == VOLUME_FLUSH) {
		req->sequence = v->end.last.sequence;
		sync_flush(v, req);
	} else if (req->length == 0) {
		volume_finish(v, req, 0);
	} else {
		writer_submit(v, req);
	}
}

static int check(const struct volume *v, const struct volume_request *req)
{
	bool data = req->op == VOLUME_READ || req->op == VOLUME_WRITE;
	uint64_t max = data ? VOLUME_IO_MAX : VOLUME_TRIM_MAX;

	if (req->op == VOLUME_FLUSH)
		return 0;
	if (req->op != VOLUME_READ && v->cfg.read_only)
		return -EROFS;
	if (req->length == 0 || req->length > max ||
	    req->offset % 512 != 0 || req->length % 512 != 0)
		return -EINVAL;
	if (v->state != VOLUME_ATTACHING && !inside(v, req))
		return -EINVAL;
	return 0;
}

static void count(struct volume *v, const struct volume_request *req)
{
	struct volume_stats *s = &v->stats;

	if (req->op == VOLUME_READ) {
		s->reads++;
		s->read_bytes += req->length;
	} else if (req->op == VOLUME_WRITE) {
		s->writes++;
		s->written_bytes += req->length;
	} else if (req->op == VOLUME_FLUSH) {
		s->flushes++;
	} else {
		s->trims++;
	}
}

void volume_submit(struct volume *v, struct volume_request *req)
{
	int err = check(v, req);

	list_init(&req->node);
	req->submitted = env_now(v->env);
	if (err) {
		volume_finish(v, req, err);
		return;
	}
	count(v, req);
	if (v->state == VOLUME_ATTACHING && !v->failing)
		list_add_tail(&req->node, &v->early);
	else if (v->failing || v->state >= VOLUME_DETACHED)
		volume_finish(v, req, refusal(v));
	else
		unaligned_submit(v->unaligned, req);
}

/* ---- the turn --------------------------------------------------------- */

static void stop_parts(struct volume *v)
{
	struct volume_request *req;
	int err = refusal(v);

	v->stopped = true;
	while (!list_empty(&v->early)) {
		req = list_first_entry(&v->early, struct volume_request, node);
		list_del_init(&req->node);
		volume_finish(v, req, err);
	}
	if (v->state == VOLUME_SERVING || v->state == VOLUME_DETACHING) {
		writer_stop(v, err);
		sync_stop(v, err);
		readpath_stop(v, err);
		lease_stop(v);
	}
	detach_stop(v, err);
	if (v->state != VOLUME_ATTACHING)
		v->state = VOLUME_FAILED;
}

static void attach_ended(struct volume *v)
{
	attach_free(v);
	if (!v->attach_err && !v->failing) {
		begin_serving(v);
		return;
	}
	if (!v->attach_err) {
		v->attach_err = refusal(v);
		snprintf(v->attach_text, sizeof(v->attach_text), "%s",
			 v->why_text);
	}
	/* What is under way for the attachment ends where that was. */
	reader_free(v->reader);
	v->reader = NULL;
	readrepair_release(&v->readrepair);
	metacalls_release(&v->metacalls);
	v->failing = true;
	v->failed_told = true;		/* attached() tells it */
	v->state = VOLUME_FAILED;
	stop_parts(v);
	detach_stop(v, v->attach_err);
}

/* Fenced while attaching: attach.c may not have noticed. */
static void check_attach(struct volume *v)
{
	if (v->state != VOLUME_ATTACHING)
		return;
	if (v->failing && !v->attach_over) {
		error_set(refusal(v), "%s", v->why_text);
		attach_done(v, refusal(v));
	}
	if (v->attach_over)
		attach_ended(v);
}

static void run_parts(struct volume *v)
{
	check_attach(v);
	if (v->failing && !v->stopped)
		stop_parts(v);
	if (volume_serving(v)) {
		tail_run(v);
		writer_run(v);
		sync_run(v);
		sealer_run(v);
		readpath_run(v);
		cleaner_run(v);
		checkpoint_run(v);
		reclaim_run(v);
		docwriter_run(v);
		lease_run(v);
		detach_run(v);
	}
	if (v->detach.state == DETACH_OVER && v->state == VOLUME_DETACHING)
		v->state = VOLUME_DETACHED;
}

/* Each of these makes at most one callback; false: nothing (more) is owed. */
static bool tell_attached(struct volume *v)
{
	volume_done_fn done = v->attached;

	if (done == NULL || v->state == VOLUME_ATTACHING)
		return false;
	v->attached = NULL;
	if (v->attach_err)
		error_set(v->attach_err, "%s", v->attach_text);
	done(v->attached_ctx, v->attach_err);
	return true;
}

static bool tell_finished(struct volume *v)
{
	struct volume_request *req;

	if (list_empty(&v->finished))
		return false;
	req = list_first_entry(&v->finished, struct volume_request, node);
	list_del_init(&req->node);
	req->done(req, req->err);
	return true;
}

static bool tell_state(struct volume *v)
{
	if (!v->state_changed)
		return false;
	v->state_changed = false;
	if (v->cfg.ops != NULL && v->cfg.ops->state != NULL)
		v->cfg.ops->state(v->cfg.ctx, v->state_text);
	return true;
}

static bool tell_failed(struct volume *v)
{
	if (!v->failing || v->failed_told)
		return false;
	v->failed_told = true;
	error_set(refusal(v), "%s", v->why_text);
	if (v->cfg.ops != NULL && v->cfg.ops->failed != NULL)
		v->cfg.ops->failed(v->cfg.ctx, v->why);
	return true;
}

static bool tell_detached(struct volume *v)
{
	volume_done_fn done = v->detach.done;

	if (done == NULL || v->detach.state != DETACH_OVER)
		return false;
	v->detach.done = NULL;
	done(v->detach.ctx, v->detach.err);
	return true;
}

static void turn(struct env_timer *timer)
{
	static bool (*const tell[])(struct volume *v) = {
		/* First why, then the requests that fail because of it. */
		tell_attached, tell_failed, tell_finished, tell_state,
		tell_detached,
	};
	struct volume *v = container_of(timer, struct volume, turn);
	size_t i;

	run_parts(v);
	v->in_turn = true;
	for (i = 0; i < ARRAY_SIZE(tell); i++)
		while (!v->released && tell[i](v))
			;
	v->in_turn = false;
	if (v->released)
		free(v);
}

/* ---- the rest of the interface ---------------------------------------- */

void volume_detach(struct volume *v, volume_done_fn done, void *ctx)
{
	if (v->state == VOLUME_SERVING)
		v->state = VOLUME_DETACHING;
	detach_start(v, done, ctx);
	if (v->state >= VOLUME_DETACHED)
		detach_stop(v, refusal(v));
}

void volume_free(struct volume *v)
{
	env_timer_cancel(v->env, &v->turn);
	attach_free(v);
	detach_release(v);
	reclaim_release(v);
	checkpoint_release(v);
	lease_release(v);
	docwriter_release(v);
	tail_release(v);
	health_release(v);
	sealer_release(v);
	sync_release(v);
	writer_release(v);
	active_release(v);
	readpath_release(v);
	readrepair_release(&v->readrepair);
	if (v->reader != NULL)
		reader_free(v->reader);
	cleaner_release(v);
	pages_release(v);
	if (v->unaligned != NULL)
		unaligned_free(v->unaligned);
	metacalls_release(&v->metacalls);
	if (v->cluster != NULL)
		cluster_close(v->cluster);
	v->released = true;
	if (!v->in_turn)
		free(v);
}

const struct volume_doc *volume_doc(const struct volume *v)
{
	return &v->doc;
}

uint64_t volume_size(const struct volume *v)
{
	return v->doc.size;
}

struct log_position volume_acknowledged(const struct volume *v)
{
	return v->changed;
}

struct log_position volume_remembered(const struct volume *v)
{
	return v->remembered;
}

void volume_stats(const struct volume *v, struct volume_stats *stats)
{
	const struct reader_stats *reads;

	*stats = v->stats;
	stats->log_bytes_since_root = v->log_since_root;
	if (v->pages.map != NULL)
		stats->overlay_bytes = map_overlay_bytes(v->pages.map);
	stats->stored_bytes = v->pages.stored_blocks * BLOCK_SIZE;
	stats->live_bytes = MIN(v->pages.live_blocks, v->pages.stored_blocks) *
			    BLOCK_SIZE;
	stats->garbage_bytes = stats->stored_bytes - stats->live_bytes;
	if (v->reader == NULL)
		return;
	reads = reader_stats(v->reader);
	stats->read_retries = reads->retries;
	stats->crc_errors = reads->crc_errors;
	stats->hedged_reads = reads->hedges;
	stats->hedge_wins = reads->hedge_wins;
	stats->read_repairs = v->readrepair.sent;
}
