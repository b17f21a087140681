// SPDX-License-Identifier: Apache-2.0
#include "lookup.h"

#include <errno.h>
#include <stdio.h>

#include "base/error.h"

static void got_volume(void *ctx, int err, int64_t revision,
		       const struct meta_kv *kv)
{
	struct lookup *l = ctx;
	struct volume_doc doc;

	(void)revision;
	if (!err && !kv)
		err = error_set(-ENOENT, "there is no volume '%s'; 'torusctl volume list' shows those that exist",
				l->name);
	if (!err)
		err = volume_doc_decode(kv->key, kv->value, &doc);
	l->done(l->ctx, err, &doc);
}

static void got_cluster(void *ctx, int err, int64_t revision,
			const struct meta_kv *kv)
{
	struct lookup *l = ctx;
	struct cluster_doc cluster;
	char key[META_KEY_MAX];

	(void)revision;
	if (!err && !kv)
		err = error_set(-ENOENT, "there is no cluster in this metadata store: make one with 'torusctl init', or, if its content was lost, rebuild it with 'torusctl recover'");
	if (!err)
		err = cluster_doc_decode(kv->key, kv->value, &cluster);
	if (err) {
		l->done(l->ctx, err, NULL);
		return;
	}
	key_volume(&cluster.id, l->name, key);
	l->meta->ops->get(l->meta, key, got_volume, l);
}

void lookup_start(struct lookup *l, struct meta *meta, const char *name,
		  lookup_fn done, void *ctx)
{
	l->meta = meta;
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->done = done;
	l->ctx = ctx;
	meta->ops->get(meta, KEY_CLUSTER, got_cluster, l);
}
