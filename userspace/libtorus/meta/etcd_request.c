// SPDX-License-Identifier: Apache-2.0
/*
 * One request to etcd, at one endpoint after the other.
 *
 * The rule: a write that may have been applied is never sent again, it is
 * answered -ETIMEDOUT. It surely was not applied if not a byte of it was sent,
 * or if etcd says why it refused. Everything else is not known: a time-out, a
 * connection that ended, "leader changed", "request timed out".
 *
 * Because curl repeats a request by itself when a kept connection turns out
 * to be closed, writes get a connection of their own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "meta/etcd_internal.h"

#define TIMEOUT_MS	5000
#define CONNECT_MS	2000

enum grpc_code {
	GRPC_INVALID = 3, GRPC_NOT_FOUND = 5, GRPC_PERMISSION = 7,
	GRPC_EXHAUSTED = 8, GRPC_PRECONDITION = 9, GRPC_OUT_OF_RANGE = 11,
};

/* ---- handles --------------------------------------------------------------------- */

static void add_header(struct curl_slist **list, const char *header)
{
	*list = etcd_need(curl_slist_append(*list, header));
}

static struct curl_slist *make_headers(struct etcd *e)
{
	struct curl_slist *list = NULL;
	CLEANUP_FREE char *line = NULL;
	size_t size;

	add_header(&list, "Content-Type: application/json");
	/* Sent at once, without asking whether it may be. */
	add_header(&list, "Expect:");
	if (!e->token)
		return list;
	size = strlen(e->token) + sizeof("Authorization: ");
	line = etcd_need(malloc(size));
	snprintf(line, size, "Authorization: %s", e->token);
	add_header(&list, line);
	return list;
}

static void set_tls(struct etcd *e, CURL *easy)
{
	const struct meta_settings *s = &e->settings;

	if (s->ca[0])
		curl_easy_setopt(easy, CURLOPT_CAINFO, s->ca);
	if (!s->cert[0])
		return;
	curl_easy_setopt(easy, CURLOPT_SSLCERT, s->cert);
	curl_easy_setopt(easy, CURLOPT_SSLKEY, s->key);
}

CURL *etcd_easy(struct etcd *e, int endpoint, const char *path,
		const char *body, struct curl_slist **headers)
{
	CURL *easy = etcd_need(curl_easy_init());
	char url[512];

	snprintf(url, sizeof(url), "%s://%s%s", e->tls ? "https" : "http",
		 e->endpoints[endpoint], path);
	curl_slist_free_all(*headers);
	*headers = make_headers(e);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, *headers);
	curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 10L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
	set_tls(e, easy);
	return easy;
}

void etcd_endpoint_failed(struct etcd *e, int endpoint)
{
	if (e->current != endpoint || e->endpoint_count < 2)
		return;
	e->current = (endpoint + 1) % e->endpoint_count;
	/* A server that is paused would keep its watches silent for ever. */
	etcd_watches_leave_endpoint(e, endpoint);
}

/* ---- errors ------------------------------------------------------------------------ */

/* {"error":"...","code":5}, or within a stream {"error":{"grpc_code":5,...}} */
int etcd_grpc_code(struct json_object *answer, const char **words)
{
	struct json_object *error = etcd_field(answer, "error");

	*words = "";
	if (!error)
		return 0;
	if (json_object_is_type(error, json_type_object)) {
		*words = etcd_text(error, "message");
		return etcd_int(error, "grpc_code");
	}
	*words = etcd_text(answer, "error");
	return etcd_int(answer, "code");
}

/* A reason for which nothing was done; 0: it is none. */
static int refusal(int code, const char *words)
{
	/* etcd's answer to a request without a token. */
	if (strstr(words, "user name is empty"))
		return -EACCES;
	switch (code) {
	case GRPC_INVALID:
	case GRPC_PRECONDITION:
		return -EINVAL;
	case GRPC_NOT_FOUND:
		return -ENOENT;
	case GRPC_PERMISSION:
	case GRPC_UNAUTHENTICATED:
		return -EACCES;
	case GRPC_EXHAUSTED:
		return -ENOSPC;
	case GRPC_OUT_OF_RANGE:
		return -ERANGE;
	default:
		return 0;
	}
}

static int curl_errno(struct etcd_request *req, CURLcode result)
{
	long os_errno = 0;

	switch (result) {
	case CURLE_COULDNT_CONNECT:
		curl_easy_getinfo(req->transfer.easy, CURLINFO_OS_ERRNO,
				  &os_errno);
		return os_errno ? -(int)os_errno : -ECONNREFUSED;
	case CURLE_COULDNT_RESOLVE_HOST:
		return -EHOSTUNREACH;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		return -EACCES;
	case CURLE_WRITE_ERROR:
		return -EMSGSIZE;
	default:
		return -ECONNRESET;
	}
}

/* What is said when no endpoint is left, or none may be tried. */
static int give_up(struct etcd_request *req, int err, bool maybe_applied,
		   const char *words)
{
	const char *endpoint = req->e->endpoints[req->endpoint];

	if (req->kind == ETCD_WRITE && maybe_applied)
		return error_set(-ETIMEDOUT, "etcd at %s: %s (it is not known whether the change was made)",
				 endpoint, words);
	/* -ETIMEDOUT is only for what may have been applied. */
	if (req->kind == ETCD_WRITE && err == -ETIMEDOUT)
		err = -EHOSTUNREACH;
	return error_set(err, "etcd at %s: %s%s", endpoint, words,
			 req->tried > 1 ? " (and no other endpoint answers)" :
			 "");
}

/* ---- life ---------------------------------------------------------------------------- */

static size_t keep_answer(char *data, size_t size, size_t count, void *ctx)
{
	struct etcd_request *req = ctx;
	size_t len = size * count, room;

	if (req->answer_len + len > ETCD_ANSWER_MAX)
		return 0;
	if (req->answer_len + len + 1 > req->answer_room) {
		room = MAX(req->answer_room * 2, req->answer_len + len + 1);
		req->answer = etcd_need(realloc(req->answer, room));
		req->answer_room = room;
	}
	memcpy(req->answer + req->answer_len, data, len);
	req->answer_len += len;
	req->answer[req->answer_len] = 0;
	return len;
}

static void drop_easy(struct etcd_request *req)
{
	if (!req->transfer.easy)
		return;
	http_cancel(req->e->http, &req->transfer);
	curl_easy_cleanup(req->transfer.easy);
	req->transfer.easy = NULL;
}

static void start(struct etcd_request *req)
{
	struct etcd *e = req->e;
	long timeout = e->settings.timeout_ms ? e->settings.timeout_ms :
		TIMEOUT_MS;
	CURL *easy;

	drop_easy(req);
	req->endpoint = e->current;
	req->answer_len = 0;
	req->why[0] = 0;
	easy = etcd_easy(e, req->endpoint, req->path, req->body,
			 &req->headers);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep_answer);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, req);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, req->why);
	if (req->kind == ETCD_WRITE)
		curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	req->transfer.easy = easy;
	if (http_start(e->http, &req->transfer) < 0)
		etcd_need(NULL);
}

static void finish(struct etcd_request *req, int err,
		   struct json_object *answer)
{
	list_del_init(&req->node);
	if (!err)
		error_clear();
	if (!req->e->closed)
		req->finish(req, err, answer);
	etcd_request_free(req);
}

/* Whether the request is under way again. */
static bool try_next(struct etcd_request *req)
{
	etcd_endpoint_failed(req->e, req->endpoint);
	if (req->tried >= req->e->endpoint_count)
		return false;
	req->tried++;
	start(req);
	return true;
}

/* There is no answer of this endpoint. */
static void unanswered(struct etcd_request *req, int err, const char *words)
{
	bool maybe_applied;
	long sent = 0;

	curl_easy_getinfo(req->transfer.easy, CURLINFO_REQUEST_SIZE, &sent);
	maybe_applied = sent > 0;
	if ((req->kind == ETCD_READ || !maybe_applied) && try_next(req))
		return;
	if (maybe_applied && req->kind == ETCD_WRITE)
		etcd_endpoint_failed(req->e, req->endpoint);
	finish(req, give_up(req, err, maybe_applied, words), NULL);
}

static void curl_failed(struct etcd_request *req, CURLcode result)
{
	unanswered(req, curl_errno(req, result),
		   req->why[0] ? req->why : curl_easy_strerror(result));
}

static void etcd_failed(struct etcd_request *req, struct json_object *answer)
{
	const char *words;
	int code = etcd_grpc_code(answer, &words);
	int err = refusal(code, words);

	if (code == GRPC_UNAUTHENTICATED && req->e->settings.user[0] &&
	    !req->authenticated_again) {
		req->authenticated_again = true;
		etcd_drop_token(req->e);
		etcd_request_submit(req);
		return;
	}
	if (!*words)
		words = "an error without a reason";
	if (!err && req->kind == ETCD_READ && try_next(req))
		return;
	finish(req, give_up(req, err ? err : -EHOSTUNREACH, !err, words),
	       NULL);
}

static void answered(struct etcd_request *req)
{
	struct json_object *answer = NULL;
	curl_off_t length = -1;
	long status = 0;

	curl_easy_getinfo(req->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(req->transfer.easy,
			  CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	if (req->answer_len)
		answer = json_tokener_parse(req->answer);
	if (status == 200 && json_object_is_type(answer, json_type_object) &&
	    !etcd_field(answer, "error"))
		finish(req, 0, answer);
	else if (json_object_is_type(answer, json_type_object) || status >= 500)
		etcd_failed(req, answer);
	else if (status == 200 && !req->answer_len && length != 0)
		/* What curl makes of a connection lost within the headers. */
		unanswered(req, -ECONNRESET, "connection lost");
	else
		finish(req, error_set(-EBADMSG, "etcd at %s: answer not understood (HTTP status %ld); is it etcd 3.4 or newer?",
				      req->e->endpoints[req->endpoint],
				      status), NULL);
	json_object_put(answer);
}

static void transfer_done(struct http_transfer *transfer, CURLcode result)
{
	struct etcd_request *req = container_of(transfer, struct etcd_request,
						transfer);
	struct etcd *e = req->e;

	etcd_enter(e);
	if (result == CURLE_OK)
		answered(req);
	else
		curl_failed(req, result);
	etcd_leave(e);
}

static void fail_due(struct env_timer *timer)
{
	struct etcd_request *req = container_of(timer, struct etcd_request,
						fail);
	struct etcd *e = req->e;

	etcd_enter(e);
	finish(req, error_set(req->fail_err, "%s", req->why), NULL);
	etcd_leave(e);
}

void etcd_request_fail(struct etcd_request *req, int err)
{
	req->fail_err = err;
	snprintf(req->why, sizeof(req->why), "%s", error_text(err));
	env_timer_after(req->e->env, &req->fail, 0);
}

struct etcd_request *etcd_request_new(struct etcd *e, enum etcd_kind kind,
				      const char *path, char *body,
				      etcd_finish_fn fn)
{
	struct etcd_request *req = etcd_need(calloc(1, sizeof(*req)));

	req->e = e;
	req->kind = kind;
	req->path = path;
	req->body = etcd_need(body);
	req->finish = fn;
	req->started = env_now(e->env);
	req->transfer.done = transfer_done;
	env_timer_init(&req->fail, fail_due);
	list_init(&req->auth_node);
	list_add_tail(&req->node, &e->requests);
	return req;
}

void etcd_request_start(struct etcd_request *req)
{
	req->tried = 1;
	start(req);
}

void etcd_request_submit(struct etcd_request *req)
{
	struct etcd *e = req->e;

	req->tried = 1;
	if (!etcd_needs_token(e)) {
		start(req);
		return;
	}
	list_add_tail(&req->auth_node, &e->unauthenticated);
	etcd_authenticate(e);
}

void etcd_requests_authenticated(struct etcd *e, int err, const char *text)
{
	struct list_head now;

	list_init(&now);
	list_splice_tail_init(&e->unauthenticated, &now);
	while (!list_empty(&now)) {
		struct etcd_request *req = list_first_entry(
			&now, struct etcd_request, auth_node);

		list_del_init(&req->auth_node);
		if (!err)
			start(req);
		else
			finish(req, error_set(err, "%s", text), NULL);
	}
}

void etcd_request_free(struct etcd_request *req)
{
	list_del_init(&req->node);
	list_del_init(&req->auth_node);
	env_timer_cancel(req->e->env, &req->fail);
	drop_easy(req);
	curl_slist_free_all(req->headers);
	free(req->answer);
	free(req->body);
	free(req);
}
