// SPDX-License-Identifier: Apache-2.0
/*
 * Attaching: the frame that the phases hang in (recover.h), and what they
 * share: steps, waiting with an end, and calls to peers.
 */
#include "volume/attach.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "volume/recover.h"
#include "volume/sealed.h"

static void (*const phase_step[])(struct attach *a) = {
	[ATTACH_CLAIM] = claim_step,	 [ATTACH_FENCE] = fence_step,
	[ATTACH_ROOT] = rootload_step,	 [ATTACH_WALK] = walk_step,
	[ATTACH_SETTLE] = settle_step,	 [ATTACH_PUBLISH] = publish_step,
	[ATTACH_SEAL] = seal_step,
};

void attach_kick(struct attach *a)
{
	if (!attach_is_over(a) && !env_timer_armed(&a->step))
		env_timer_after(a->volume->env, &a->step, 0);
}

/*
 * A phase that ends moves a->phase on and the next one starts at once; a phase
 * that waits leaves it where it is.
 */
static void attach_step(struct env_timer *timer)
{
	struct attach *a = container_of(timer, struct attach, step);
	enum attach_phase before;

	do {
		before = a->phase;
		if (a->fenced)
			claim_recheck(a);
		else
			phase_step[before](a);
	} while (a->phase != before && !attach_is_over(a));
}

/* Whoever looks at the log while this takes long learns why; once per reason. */
static void tell_reason(struct attach *a)
{
	if (a->told_phase == a->phase && a->told_err == a->waiting_err)
		return;
	a->told_phase = a->phase;
	a->told_err = a->waiting_err;
	log_info("waiting: %s", a->waiting_for);
}

static void attach_retry(struct env_timer *timer)
{
	struct attach *a = container_of(timer, struct attach, retry);

	if (env_now(a->volume->env) >= a->deadline) {
		attach_fail(a, a->waiting_err, "%s", a->waiting_for);
		return;
	}
	tell_reason(a);
	if (a->phase > ATTACH_CLAIM && !a->fenced)
		fence_retry(a);
	attach_kick(a);
}

static void finish(struct attach *a, int err)
{
	struct volume *v = a->volume;

	a->phase = ATTACH_OVER;
	env_timer_cancel(v->env, &a->step);
	env_timer_cancel(v->env, &a->retry);
	attach_done(v, err);
}

void attach_fail(struct attach *a, int err, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	va_list ap;

	if (attach_is_over(a))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (a->claimed && err != -ESTALE && !a->volume->cfg.surviving)
		claim_release(a);
	error_set(err, "%s", text);
	finish(a, err);
}

void attach_wait(struct attach *a, int err, const char *fmt, ...)
{
	struct volume *v = a->volume;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(a->waiting_for, sizeof(a->waiting_for), fmt, ap);
	va_end(ap);
	a->waiting_err = err;
	if (!env_timer_armed(&a->retry))
		env_timer_after(v->env, &a->retry, ATTACH_RETRY_NS);
}

void attach_progress(struct attach *a)
{
	a->deadline = env_now(a->volume->env) + a->volume->cfg.io_timeout_ns;
}

/* ---- peers ------------------------------------------------------------- */

bool attach_peer_ready(struct attach_peer *p)
{
	return !p->busy && env_now(p->attach->volume->env) >= p->retry_at;
}

void attach_peer_call(struct attach_peer *p, enum wire_type type,
		      const void *body, void (*done)(struct peer_call *call))
{
	struct volume *v = p->attach->volume;

	memset(&p->call, 0, sizeof(p->call));
	p->call.type = type;
	p->call.body = body;
	p->call.timeout_ns = v->cfg.replica_timeout_ns;
	p->call.done = done;
	p->call.ctx = p;
	p->busy = true;
	peer_call(p->peer, &p->call);
}

void attach_fenced(struct volume *v, uint64_t epoch, const char *peer)
{
	struct attach *a = v->attach;

	if (a->fenced)
		return;
	a->fenced = true;
	a->fenced_epoch = epoch;
	snprintf(a->fenced_by, sizeof(a->fenced_by), "%s", peer);
	attach_kick(a);
}

int attach_peer_answer(struct attach_peer *p)
{
	struct volume *v = p->attach->volume;

	p->busy = false;
	p->err = 0;
	if (p->call.err) {
		p->err = p->call.err;
		p->retry_at = env_now(v->env) + ATTACH_RETRY_NS;
	} else if (p->call.status == WIRE_EFENCED) {
		p->err = -ESTALE;
		attach_fenced(v, volume_seen_epoch(&p->call),
			      peer_address(p->peer));
	} else if (p->call.status) {
		p->err = wire_status_errno(p->call.status);
		p->retry_at = env_now(v->env) + ATTACH_RETRY_NS;
	}
	attach_kick(p->attach);
	return p->err;
}

struct attach_peer *attach_peer_find(struct attach *a, const struct uuid *id)
{
	for (uint32_t i = 0; i < a->peer_count; i++)
		if (uuid_equal(&a->peers[i].id, id))
			return &a->peers[i];
	return NULL;
}

/* ---- what people can do ------------------------------------------------ */

#define NAMES_MAX 3u

/* "; start ...: A B", or what holds where all have answered. */
static const char *way_out(struct attach *a, uint64_t chunk,
			   const char *all_answered)
{
	uint32_t missing = 0;
	size_t at;

	at = (size_t)snprintf(a->way_out, sizeof(a->way_out),
			      "; start the peers that do not answer:");
	for (uint32_t i = 0; i < a->peer_count; i++) {
		const struct attach_peer *p = &a->peers[i];

		if (p->fenced && (!chunk || walk_stat_current(p, chunk)))
			continue;
		if (missing++ < NAMES_MAX && at < sizeof(a->way_out))
			at += (size_t)snprintf(a->way_out + at,
					       sizeof(a->way_out) - at, " %s",
					       peer_address(p->peer));
	}
	if (missing > NAMES_MAX && at < sizeof(a->way_out))
		snprintf(a->way_out + at, sizeof(a->way_out) - at, " and %u more",
			 missing - NAMES_MAX);
	if (!missing)
		snprintf(a->way_out, sizeof(a->way_out), "%s", all_answered);
	return a->way_out;
}

const char *attach_way_out(struct attach *a, uint64_t chunk)
{
	return way_out(a, chunk, "; all peers have answered: only a backup has it, or 'torusctl recover --truncate' shows what would be lost without it");
}

const char *attach_root_way_out(struct attach *a)
{
	return way_out(a, 0, "; all peers have answered: only one that was removed, or a backup of a peer's directory, has it: start a torusd on that; 'torusctl status' shows what else is lost");
}

/* ---- what the claimed document says ------------------------------------ */

bool attach_in_tail(const struct attach *a, uint64_t chunk)
{
	const struct tail *t = &a->volume->doc.tail;

	return t->last && chunk >= t->first && chunk <= t->last &&
	       !sealed_find(&a->volume->doc, chunk);
}

/* ---- life --------------------------------------------------------------- */

int attach_start(struct volume *v)
{
	struct attach *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->volume = v;
	a->phase = ATTACH_CLAIM;
	a->must_read = true;
	env_timer_init(&a->step, attach_step);
	env_timer_init(&a->retry, attach_retry);
	v->attach = a;
	attach_progress(a);
	attach_kick(a);
	return 0;
}

static void cancel_peer_calls(struct attach *a)
{
	for (uint32_t i = 0; i < a->peer_count; i++)
		if (a->peers[i].busy) {
			peer_call_cancel(&a->peers[i].call);
			a->peers[i].busy = false;
		}
}

void attach_free(struct volume *v)
{
	struct attach *a = v->attach;

	if (!a)
		return;
	a->phase = ATTACH_OVER;
	env_timer_cancel(v->env, &a->step);
	env_timer_cancel(v->env, &a->retry);
	cancel_peer_calls(a);
	rootload_release(a);
	walk_release(a);
	settle_release(a);
	free(a->attempt_json);
	free(a->peers);
	free(a);
	v->attach = NULL;
}
