// SPDX-License-Identifier: Apache-2.0
/*
 * The metadata store says which cluster this is. A directory that knows its
 * cluster is not kept waiting for that longer than PATIENCE_NS: volumes go on
 * while etcd is away. An empty directory has to wait.
 *
 * What an operator must repair (a password, a certificate, a store that has
 * lost its content) ends a torusd on an empty directory. One that has data
 * serves it and goes on asking: those who use the data need no etcd, and a
 * restart of each torusd, one after the other, must not take it from them.
 */
#include <errno.h>

#include "base/error.h"
#include "base/log.h"
#include "torusd.h"

#define PATIENCE_NS NSEC_PER_SEC

static void got_cluster(void *ctx, int err, int64_t revision,
			const struct meta_kv *kv);

static void ask(struct torusd *d)
{
	d->meta->ops->get(d->meta, KEY_CLUSTER, got_cluster, d);
}

static void ask_again(struct env_timer *timer)
{
	struct retry *retry = container_of(timer, struct retry, timer);

	ask(container_of(retry, struct torusd, link));
}

static void unreachable(struct torusd *d, int err)
{
	log_warning("metadata store %s: %s; trying again%s", d->settings.url,
		    error_text(err),
		    d->dir.has_identity ? ", serving meanwhile" : "");
	retry_later(&d->link);
	if (d->dir.has_identity)
		torusd_open_store(d, NULL);
}

static int no_cluster(const struct torusd *d)
{
	return error_set(-ENOENT, "%s", d->dir.has_identity ?
			 "holds no cluster, although this directory belongs to one: wrong --meta, or its content was lost: 'torusctl recover' rebuilds it from the peers" :
			 "there is no cluster yet; make one with 'torusctl init'");
}

static void got_cluster(void *ctx, int err, int64_t revision,
			const struct meta_kv *kv)
{
	struct torusd *d = ctx;

	if (d->stopping)
		return;
	if (err == 0 && kv == NULL)
		err = no_cluster(d);
	if (!d->dir.has_identity && (err == -ENOENT || err == -EACCES ||
				     err == -EPROTONOSUPPORT)) {
		torusd_fail(d, d->settings.url, err);
		return;
	}
	if (err < 0) {
		unreachable(d, err);
		return;
	}
	err = cluster_doc_decode(kv->key, kv->value, &d->cluster);
	if (err < 0)
		torusd_fail(d, d->settings.url, err);
	else
		torusd_cluster_known(d);
}

static void waited_enough(struct env_timer *timer)
{
	struct torusd *d = container_of(timer, struct torusd, patience);

	if (d->stopping || d->listening)
		return;
	log_info("metadata store %s: no answer yet, serving meanwhile",
		 d->settings.url);
	torusd_open_store(d, NULL);
}

void link_start(struct torusd *d)
{
	retry_init(&d->link, d->env, ask_again);
	env_timer_init(&d->patience, waited_enough);
	if (d->dir.has_identity)
		env_timer_after(d->env, &d->patience, PATIENCE_NS);
	ask(d);
}
