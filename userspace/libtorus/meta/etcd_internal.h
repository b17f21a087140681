/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the etcd backend share. */
#ifndef TORUS_META_ETCD_INTERNAL_H
#define TORUS_META_ETCD_INTERNAL_H

#include <json-c/json.h>

#include "base/error.h"
#include "base/list.h"
#include "env/http.h"
#include "meta/etcd.h"
#include "meta/etcd_json.h"

#define ETCD_ANSWER_MAX	(64u << 20)	/* bytes of one answer */

/* What may be done when it is not known whether a request was applied. */
enum etcd_kind {
	ETCD_READ,	/* repeat it at the next endpoint (also what is harmless
			 * when done twice) */
	ETCD_WRITE,	/* say -ETIMEDOUT */
};

struct etcd;
struct etcd_request;

/*
 * @err 0: @answer is the JSON object. Else the error text is set. The request
 * is freed after it; what finish() uses is in req->ctx.
 */
typedef void (*etcd_finish_fn)(struct etcd_request *req, int err,
			       struct json_object *answer);

struct etcd_request {
	struct etcd *e;
	struct http_transfer transfer;
	struct list_head node;		/* etcd.requests */
	struct list_head auth_node;	/* etcd.unauthenticated */
	enum etcd_kind kind;
	const char *path;
	char *body;
	etcd_finish_fn finish;
	int endpoint, tried;
	bool authenticated_again;
	char *answer;
	size_t answer_len, answer_room;
	uint64_t started;
	struct curl_slist *headers;
	char why[ERROR_TEXT_MAX];	/* curl's words, or fail's */
	struct env_timer fail;
	int fail_err;

	/* finish()'s own */
	union {
		meta_get_fn get;
		meta_list_fn list;
		meta_txn_fn txn;
		meta_lease_fn lease;
	} done;
	void *ctx;
	meta_lease_lost_fn lost;
	struct etcd_lease *lease;
	unsigned int ttl_s;
	int64_t lease_id;
};

struct etcd {
	struct meta meta;
	struct env *env;
	struct http *http;
	struct meta_settings settings;
	bool tls;
	char *endpoints[ETCD_ENDPOINTS_MAX];	/* "HOST:PORT" */
	int endpoint_count, current;
	char *token;			/* of authentication */
	bool authenticating;
	struct list_head unauthenticated;
	struct list_head requests;
	struct list_head watches;
	struct list_head leases;
	int busy;			/* callbacks that are running */
	bool closed;
};

static inline struct etcd *to_etcd(struct meta *m)
{
	return container_of(m, struct etcd, meta);
}

/* etcd.c: around every callback that leads to the user. */
void etcd_enter(struct etcd *e);
/* False: the store is gone. */
bool etcd_leave(struct etcd *e);
void *etcd_need(void *ptr);

/* etcd_request.c */
struct etcd_request *etcd_request_new(struct etcd *e, enum etcd_kind kind,
				      const char *path, char *body,
				      etcd_finish_fn finish);
/* finish() follows from the loop. */
void etcd_request_submit(struct etcd_request *req);
/* As submit, without waiting for a token. */
void etcd_request_start(struct etcd_request *req);
/* finish() follows from the loop, with @err and the error text of now. */
void etcd_request_fail(struct etcd_request *req, int err);
void etcd_request_free(struct etcd_request *req);
/* A handle with everything but what is done with the answer. */
CURL *etcd_easy(struct etcd *e, int endpoint, const char *path,
		const char *body, struct curl_slist **headers);
/* Error code (0: none) and words of an answer, which may be NULL. */
int etcd_grpc_code(struct json_object *answer, const char **words);
/* After a failure at @endpoint: what comes next begins at another one. */
void etcd_endpoint_failed(struct etcd *e, int endpoint);

#define GRPC_UNAUTHENTICATED 16

/* etcd_auth.c: a token for those who need one. */
static inline bool etcd_needs_token(const struct etcd *e)
{
	return e->settings.user[0] && !e->token;
}
/* Fetch one; then etcd_request_authenticated() and the like are called. */
void etcd_authenticate(struct etcd *e);
void etcd_drop_token(struct etcd *e);
/* etcd_request.c: the wait for a token is over. */
void etcd_requests_authenticated(struct etcd *e, int err, const char *text);

/* etcd_watch.c */
struct meta_watch *etcd_watch(struct meta *m, const char *prefix, int64_t from,
			      meta_watch_fn event, void *ctx);
void etcd_unwatch(struct meta *m, struct meta_watch *watch);
void etcd_watches_sweep(struct etcd *e);
void etcd_watches_end(struct etcd *e);
/* A token is there. */
void etcd_watches_authenticated(struct etcd *e);
/* Move those that read from @endpoint to another one. */
void etcd_watches_leave_endpoint(struct etcd *e, int endpoint);

/* etcd_lease.c */
void etcd_lease_grant(struct meta *m, unsigned int ttl_s, meta_lease_fn done,
		      meta_lease_lost_fn lost, void *ctx);
void etcd_lease_revoke(struct meta *m, int64_t lease, meta_lease_fn done,
		       void *ctx);
void etcd_leases_free(struct etcd *e);

#endif
