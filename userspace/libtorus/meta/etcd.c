// SPDX-License-Identifier: Apache-2.0
/*
 * The etcd backend: keys, transactions, and the life of the store. Requests
 * are in etcd_request.c, watches in etcd_watch.c, leases in etcd_lease.c.
 *
 * Callbacks may call anything, also unwatch and close: while one runs (busy),
 * what is removed is only marked, and swept afterwards.
 */
#include "meta/etcd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "meta/etcd_internal.h"
#include "meta/txn_copy.h"

#define PATH_RANGE	"/v3/kv/range"
#define PATH_TXN	"/v3/kv/txn"

static void etcd_free(struct etcd *e);

/* The callback is promised: without memory for a request there is no way on. */
void *etcd_need(void *ptr)
{
	if (!ptr) {
		log_error("out of memory for a request to etcd");
		abort();
	}
	return ptr;
}

void etcd_enter(struct etcd *e)
{
	e->busy++;
}

bool etcd_leave(struct etcd *e)
{
	if (--e->busy)
		return true;
	if (e->closed) {
		etcd_free(e);
		return false;
	}
	etcd_watches_sweep(e);
	return true;
}

/* ---- keys ------------------------------------------------------------------------- */

static void kvs_release(struct meta_kv *kv, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		etcd_kv_release(&kv[i]);
	free(kv);
}

/* The keys of an answer; -errno. */
static int kvs_read(struct json_object *answer, struct meta_kv **kv,
		    size_t *count)
{
	struct json_object *array = etcd_field(answer, "kvs");
	size_t n = json_object_is_type(array, json_type_array) ?
		json_object_array_length(array) : 0;
	int err;

	*kv = etcd_need(calloc(n + 1, sizeof(**kv)));
	for (*count = 0; *count < n; (*count)++) {
		err = etcd_kv(json_object_array_get_idx(array, *count),
			      &(*kv)[*count]);
		if (err)
			return err;
	}
	return 0;
}

static void got(struct etcd_request *req, int err, struct json_object *answer)
{
	struct meta_kv *kv = NULL;
	size_t count = 0;

	if (!err)
		err = kvs_read(answer, &kv, &count);
	req->done.get(req->ctx, err, etcd_revision(answer),
		      !err && count ? &kv[0] : NULL);
	kvs_release(kv, count);
}

static void listed(struct etcd_request *req, int err,
		   struct json_object *answer)
{
	struct meta_kv *kv = NULL;
	size_t count = 0;

	if (!err)
		err = kvs_read(answer, &kv, &count);
	req->done.list(req->ctx, err, etcd_revision(answer), kv,
		       err ? 0 : count);
	kvs_release(kv, count);
}

static void etcd_get(struct meta *m, const char *key, meta_get_fn done,
		     void *ctx)
{
	struct etcd_request *req = etcd_request_new(to_etcd(m), ETCD_READ,
		PATH_RANGE, etcd_range_body(key, false), got);

	req->done.get = done;
	req->ctx = ctx;
	etcd_request_submit(req);
}

static void etcd_list(struct meta *m, const char *prefix, meta_list_fn done,
		      void *ctx)
{
	struct etcd_request *req = etcd_request_new(to_etcd(m), ETCD_READ,
		PATH_RANGE, etcd_range_body(prefix, true), listed);

	req->done.list = done;
	req->ctx = ctx;
	etcd_request_submit(req);
}

/* ---- transactions ------------------------------------------------------------------- */

static void committed(struct etcd_request *req, int err,
		      struct json_object *answer)
{
	req->done.txn(req->ctx, err, !err && etcd_bool(answer, "succeeded"),
		      etcd_revision(answer));
}

static void etcd_txn(struct meta *m, const struct meta_txn *txn,
		     meta_txn_fn done, void *ctx)
{
	static const struct meta_txn none;
	int err = txn_check(txn);
	struct etcd_request *req;

	req = etcd_request_new(to_etcd(m), ETCD_WRITE, PATH_TXN,
			       etcd_txn_body(err ? &none : txn), committed);
	req->done.txn = done;
	req->ctx = ctx;
	if (err)
		etcd_request_fail(req, err);
	else
		etcd_request_submit(req);
}

/* ---- life ------------------------------------------------------------------------------ */

static void etcd_free(struct etcd *e)
{
	struct etcd_request *req, *tmp;
	int i;

	list_for_each_entry_safe(req, tmp, &e->requests, node)
		etcd_request_free(req);
	etcd_leases_free(e);
	etcd_watches_end(e);
	etcd_watches_sweep(e);
	http_free(e->http);
	for (i = 0; i < e->endpoint_count; i++)
		free(e->endpoints[i]);
	etcd_drop_token(e);
	free(e);
}

static void etcd_close(struct meta *m)
{
	struct etcd *e = to_etcd(m);

	e->closed = true;
	/* Until it is freed nobody may be called. */
	etcd_watches_end(e);
	etcd_leases_free(e);
	if (!e->busy)
		etcd_free(e);
}

static const struct meta_ops etcd_ops = {
	.get = etcd_get,
	.list = etcd_list,
	.txn = etcd_txn,
	.watch = etcd_watch,
	.unwatch = etcd_unwatch,
	.lease_grant = etcd_lease_grant,
	.lease_revoke = etcd_lease_revoke,
	.close = etcd_close,
};

static void add_endpoints(struct etcd *e, const char *list)
{
	size_t len;

	for (; *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		e->endpoints[e->endpoint_count++] =
			etcd_need(strndup(list, len));
	}
}

static int check_readable(const char *setting, const char *path)
{
	if (!path[0] || access(path, R_OK) == 0)
		return 0;
	return error_set(-errno, "%s = %s: %s", setting, path,
			 strerror(errno));
}

static int check_files(const struct meta_settings *s)
{
	int err = check_readable("etcd_ca", s->ca);

	if (!err)
		err = check_readable("etcd_cert", s->cert);
	if (!err)
		err = check_readable("etcd_key", s->key);
	return err;
}

int meta_etcd_open(struct env *env, const struct meta_settings *settings,
		   struct meta **meta)
{
	struct etcd *e;
	int err = check_files(settings);

	if (err)
		return err;
	e = calloc(1, sizeof(*e));
	if (!e)
		return error_set(-ENOMEM, "out of memory");
	e->http = http_new(env);
	if (!e->http) {
		free(e);
		return -EIO;
	}
	e->meta.ops = &etcd_ops;
	e->env = env;
	e->settings = *settings;
	e->tls = settings->ca[0] || settings->cert[0];
	list_init(&e->unauthenticated);
	list_init(&e->requests);
	list_init(&e->watches);
	list_init(&e->leases);
	add_endpoints(e, settings->url + strlen("etcd://"));
	*meta = &e->meta;
	return 0;
}
