// SPDX-License-Identifier: Apache-2.0
/*
 * Leases, kept alive at a third of their time. One whose time has passed
 * without etcd confirming it counts as lost, although etcd may still have it.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "meta/etcd_internal.h"
#include "meta/lease_end.h"

#define KEEP_RETRY NSEC_PER_SEC

struct etcd_lease {
	struct list_head node;
	struct etcd *e;
	int64_t id;
	unsigned int ttl_s;
	uint64_t deadline;		/* env_now() */
	struct lease_times times;
	struct env_timer keep;
	struct etcd_request *keeping;
	meta_lease_lost_fn lost;
	void *ctx;
};

static void lease_free(struct etcd_lease *lease)
{
	list_del_init(&lease->node);
	env_timer_cancel(lease->e->env, &lease->keep);
	if (lease->keeping)
		lease->keeping->lease = NULL;
	free(lease);
}

static void lose(struct etcd_lease *lease)
{
	meta_lease_lost_fn lost = lease->lost;
	struct env *env = lease->e->env;
	void *ctx = lease->ctx;
	int64_t id = lease->id;

	lease_end_explain(&lease->times, env_now(env), env_realtime(env),
			  lease->ttl_s);
	lease_free(lease);
	if (lost)
		lost(ctx, id);
}

static void kept(struct etcd_request *req, int err, struct json_object *answer)
{
	struct etcd_lease *lease = req->lease;
	struct env *env = req->e->env;

	if (!lease)
		return;
	lease->keeping = NULL;
	if (!err && etcd_int(etcd_field(answer, "result"), "TTL") <= 0) {
		log_warning("etcd: lease %lld has expired",
			    (long long)lease->id);
		lose(lease);
	} else if (!err) {
		lease->deadline = req->started + lease->ttl_s * NSEC_PER_SEC;
		lease_times_kept(&lease->times, env_now(env),
				 env_realtime(env));
		env_timer_after(env, &lease->keep,
				lease->ttl_s * NSEC_PER_SEC / 3);
	} else if (env_now(env) < lease->deadline) {
		log_debug("etcd: keeping a lease: %s", error_text(err));
		env_timer_after(env, &lease->keep, KEEP_RETRY);
	} else {
		log_warning("etcd: lease %lld could not be kept: %s",
			    (long long)lease->id, error_text(err));
		lose(lease);
	}
}

static void keep_due(struct env_timer *timer)
{
	struct etcd_lease *lease = container_of(timer, struct etcd_lease, keep);
	struct etcd_request *req;

	lease_times_due(&lease->times, env_now(lease->e->env), timer->when);
	req = etcd_request_new(lease->e, ETCD_READ, "/v3/lease/keepalive",
			       etcd_lease_body(lease->id), kept);
	req->lease = lease;
	lease->keeping = req;
	etcd_request_submit(req);
}

static int64_t add_lease(struct etcd_request *req, struct json_object *answer)
{
	struct etcd_lease *lease = etcd_need(calloc(1, sizeof(*lease)));
	struct etcd *e = req->e;

	lease->e = e;
	lease->id = etcd_int(answer, "ID");
	/* etcd may give more than was asked for. */
	lease->ttl_s = MAX((unsigned int)etcd_int(answer, "TTL"), 1u);
	lease->deadline = req->started + lease->ttl_s * NSEC_PER_SEC;
	lease_times_kept(&lease->times, env_now(e->env), env_realtime(e->env));
	lease->lost = req->lost;
	lease->ctx = req->ctx;
	env_timer_init(&lease->keep, keep_due);
	env_timer_after(e->env, &lease->keep, lease->ttl_s * NSEC_PER_SEC / 3);
	list_add_tail(&lease->node, &e->leases);
	return lease->id;
}

static void granted(struct etcd_request *req, int err,
		    struct json_object *answer)
{
	if (!err && (etcd_int(answer, "ID") <= 0 ||
		     etcd_int(answer, "TTL") <= 0))
		err = error_set(-EBADMSG, "etcd: no lease in the answer");
	req->done.lease(req->ctx, err, err ? 0 : add_lease(req, answer));
}

/* Granted twice, the first one expires by itself: so it may be repeated. */
void etcd_lease_grant(struct meta *m, unsigned int ttl_s, meta_lease_fn done,
		      meta_lease_lost_fn lost, void *ctx)
{
	struct etcd_request *req;

	ttl_s = MAX(ttl_s, 1u);
	req = etcd_request_new(to_etcd(m), ETCD_READ, "/v3/lease/grant",
			       etcd_grant_body(ttl_s), granted);
	req->done.lease = done;
	req->lost = lost;
	req->ctx = ctx;
	etcd_request_submit(req);
}

static void revoked(struct etcd_request *req, int err,
		    struct json_object *answer)
{
	if (req->done.lease)
		req->done.lease(req->ctx, err == -ENOENT ? 0 : err,
				req->lease_id);
}

void etcd_lease_revoke(struct meta *m, int64_t id, meta_lease_fn done,
		       void *ctx)
{
	struct etcd *e = to_etcd(m);
	struct etcd_lease *lease, *tmp;
	struct etcd_request *req;

	list_for_each_entry_safe(lease, tmp, &e->leases, node) {
		if (lease->id == id)
			lease_free(lease);
	}
	req = etcd_request_new(e, ETCD_READ, "/v3/lease/revoke",
			       etcd_lease_body(id), revoked);
	req->lease_id = id;
	req->done.lease = done;
	req->ctx = ctx;
	etcd_request_submit(req);
}

void etcd_leases_free(struct etcd *e)
{
	struct etcd_lease *lease, *tmp;

	list_for_each_entry_safe(lease, tmp, &e->leases, node)
		lease_free(lease);
}
