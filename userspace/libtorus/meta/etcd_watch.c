// SPDX-License-Identifier: Apache-2.0
/*
 * Watches: one stream of JSON objects each.
 *
 * What arrives is put into a buffer inside curl's callback, and read from
 * there in the next turn of the loop: the events' receivers may end watches,
 * which curl does not allow from within.
 *
 * `next` is the revision to see next; a stream that breaks begins there again,
 * at another endpoint, so that nothing is lost or seen twice. When etcd has
 * forgotten it (compaction) or never had it (restored from a backup), the
 * stream begins again at "now", and RESET is said as soon as "now" is known:
 * whoever lists after that misses nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "meta/etcd_internal.h"

#define RETRY_MIN	(100 * NSEC_PER_MSEC)
#define RETRY_MAX	(5 * NSEC_PER_SEC)
#define LEADER_HEADER	"Grpc-Metadata-hasleader: true"
#define CREATE_LIMIT	(5 * NSEC_PER_SEC)	/* until "created" */

struct watch {
	struct list_head node;
	struct etcd *e;
	char *prefix;
	int64_t next;			/* 0: from now */
	bool reset;			/* to be said when created */
	meta_watch_fn event;		/* NULL: unwatched */
	void *ctx;

	struct http_transfer transfer;
	struct curl_slist *headers;
	int endpoint;
	bool created, wants_token, complained;
	uint64_t retry_ns;
	struct env_timer retry;		/* start again; or "created" is overdue */
	struct env_timer work;		/* there is something in the buffer */
	struct json_tokener *tokener;
	char *buffer;
	size_t len, room;
	size_t partial;			/* bytes of a message in the tokener */
};

static void start(struct watch *w);

static void stop(struct watch *w)
{
	struct etcd *e = w->e;

	env_timer_cancel(e->env, &w->retry);
	env_timer_cancel(e->env, &w->work);
	w->created = false;
	w->len = 0;
	w->partial = 0;
	json_tokener_reset(w->tokener);
	if (!w->transfer.easy)
		return;
	http_cancel(e->http, &w->transfer);
	curl_easy_cleanup(w->transfer.easy);
	w->transfer.easy = NULL;
}

static void watch_free(struct watch *w)
{
	list_del_init(&w->node);
	stop(w);
	curl_slist_free_all(w->headers);
	json_tokener_free(w->tokener);
	free(w->buffer);
	free(w->prefix);
	free(w);
}

static void retry(struct watch *w, const char *why)
{
	if (!w->complained)
		log_warning("etcd at %s: watch of %s: %s; trying again",
			    w->e->endpoints[w->endpoint], w->prefix, why);
	w->complained = true;
	stop(w);
	etcd_endpoint_failed(w->e, w->endpoint);
	env_timer_after(w->e->env, &w->retry, w->retry_ns);
	w->retry_ns = MIN(w->retry_ns * 2, RETRY_MAX);
}

/* ---- messages -------------------------------------------------------------------- */

static void say_reset(struct watch *w)
{
	w->reset = false;
	w->event(w->ctx, META_EVENT_RESET, NULL);
}

/* What was to be seen next is not to be had. */
static void begin_again_at_now(struct watch *w)
{
	w->reset = true;
	w->next = 0;
	stop(w);
	start(w);
}

static void created(struct watch *w, int64_t revision)
{
	if (w->next > revision + 1) {
		log_warning("etcd went back from revision %lld to %lld",
			    (long long)w->next - 1, (long long)revision);
		begin_again_at_now(w);
		return;
	}
	if (w->complained)
		log_info("etcd at %s: watch of %s goes on",
			 w->e->endpoints[w->endpoint], w->prefix);
	w->created = true;
	w->complained = false;
	w->retry_ns = RETRY_MIN;
	env_timer_cancel(w->e->env, &w->retry);
	if (!w->next)
		w->next = revision + 1;
	if (w->reset)
		say_reset(w);
}

/* Revision of the event, or -errno. */
static int64_t one_event(struct watch *w, struct json_object *event)
{
	bool deleted = strcmp(etcd_text(event, "type"), "DELETE") == 0;
	struct meta_kv kv, shown;
	int err = etcd_kv(etcd_field(event, "kv"), &kv);
	int64_t revision = kv.mod_revision;

	if (err)
		return err;
	shown = kv;
	if (deleted)
		shown.value = NULL;
	if (w->event && revision >= w->next)
		w->event(w->ctx, deleted ? META_EVENT_DELETE : META_EVENT_PUT,
			 &shown);
	etcd_kv_release(&kv);
	return revision;
}

/* False: not understood. */
static bool events(struct watch *w, struct json_object *array)
{
	size_t count = json_object_is_type(array, json_type_array) ?
		json_object_array_length(array) : 0, i;
	int64_t last = 0;

	for (i = 0; i < count && w->event; i++) {
		int64_t revision = one_event(w,
				json_object_array_get_idx(array, i));

		if (revision < 0)
			return false;
		last = MAX(last, revision);
	}
	w->next = MAX(w->next, last + 1);
	return true;
}

static void failed(struct watch *w, struct json_object *message)
{
	const char *words;

	if (etcd_grpc_code(message, &words) != GRPC_UNAUTHENTICATED ||
	    !w->e->settings.user[0]) {
		retry(w, *words ? words : "answer not understood");
		return;
	}
	etcd_drop_token(w->e);
	stop(w);
	start(w);
}

static void handle(struct watch *w, struct json_object *message)
{
	struct json_object *result = etcd_field(message, "result");

	if (!result) {
		failed(w, message);
	} else if (etcd_int(result, "compact_revision")) {
		begin_again_at_now(w);
	} else if (etcd_bool(result, "canceled")) {
		retry(w, etcd_text(result, "cancel_reason"));
	} else if (etcd_bool(result, "created")) {
		created(w, etcd_revision(result));
	} else if (!events(w, etcd_field(result, "events"))) {
		w->reset = true;
		w->next = 0;
		retry(w, "an event is not understood");
	}
}

/* The next whole message of the buffer; NULL: there is none, or it is bad. */
static struct json_object *next_message(struct watch *w, bool *bad)
{
	struct json_object *message;
	size_t used;

	*bad = false;
	message = json_tokener_parse_ex(w->tokener, w->buffer, w->len);
	if (!message) {
		w->partial += w->len;
		*bad = json_tokener_get_error(w->tokener) !=
			json_tokener_continue || w->partial > ETCD_ANSWER_MAX;
		w->len = 0;
		return NULL;
	}
	w->partial = 0;
	used = json_tokener_get_parse_end(w->tokener);
	while (used < w->len && strchr(" \r\n", w->buffer[used]))
		used++;
	memmove(w->buffer, w->buffer + used, w->len - used);
	w->len -= used;
	return message;
}

static void read_buffer(struct watch *w)
{
	struct json_object *message;
	bool bad;

	while (w->event && w->len) {
		message = next_message(w, &bad);
		if (bad)
			retry(w, "answer not understood");
		if (!message)
			return;
		handle(w, message);
		json_object_put(message);
	}
}

static void work_due(struct env_timer *timer)
{
	struct watch *w = container_of(timer, struct watch, work);
	struct etcd *e = w->e;

	etcd_enter(e);
	read_buffer(w);
	etcd_leave(e);
}

/* ---- the stream -------------------------------------------------------------------- */

static size_t keep(char *data, size_t size, size_t count, void *ctx)
{
	struct watch *w = ctx;
	size_t len = size * count;

	if (w->len + len > ETCD_ANSWER_MAX)
		return 0;
	if (w->len + len > w->room) {
		w->room = MAX(w->room * 2, w->len + len);
		w->buffer = etcd_need(realloc(w->buffer, w->room));
	}
	memcpy(w->buffer + w->len, data, len);
	w->len += len;
	if (!env_timer_armed(&w->work))
		env_timer_after(w->e->env, &w->work, 0);
	return len;
}

static void stream_ended(struct http_transfer *transfer, CURLcode result)
{
	struct watch *w = container_of(transfer, struct watch, transfer);
	struct etcd *e = w->e;

	etcd_enter(e);
	/* What it says last may be the reason, and begin a new stream. */
	read_buffer(w);
	if (w->event && w->transfer.easy && !w->transfer.running)
		retry(w, result == CURLE_OK ? "etcd ended it" :
		      curl_easy_strerror(result));
	etcd_leave(e);
}

static void start(struct watch *w)
{
	CLEANUP_FREE char *body = NULL;
	struct etcd *e = w->e;
	CURL *easy;

	w->wants_token = etcd_needs_token(e);
	if (w->wants_token) {
		etcd_authenticate(e);
		return;
	}
	body = etcd_need(etcd_watch_body(w->prefix, w->next));
	w->endpoint = e->current;
	easy = etcd_easy(e, w->endpoint, "/v3/watch", body, &w->headers);
	/* A member that has no leader must end its watches. */
	w->headers = etcd_need(curl_slist_append(w->headers, LEADER_HEADER));
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, w->headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, w);
	w->transfer.easy = easy;
	if (http_start(e->http, &w->transfer) < 0)
		etcd_need(NULL);
	env_timer_after(e->env, &w->retry, CREATE_LIMIT);
}

static void retry_due(struct env_timer *timer)
{
	struct watch *w = container_of(timer, struct watch, retry);

	if (w->transfer.easy)
		retry(w, "no answer");
	else
		start(w);
}

void etcd_watches_authenticated(struct etcd *e)
{
	struct watch *w;

	list_for_each_entry(w, &e->watches, node) {
		if (!w->wants_token || !w->event)
			continue;
		if (e->token)
			start(w);
		else
			retry(w, "authentication failed");
	}
}

void etcd_watches_leave_endpoint(struct etcd *e, int endpoint)
{
	struct watch *w;

	list_for_each_entry(w, &e->watches, node) {
		if (!w->transfer.easy || w->endpoint != endpoint || !w->event)
			continue;
		stop(w);
		env_timer_after(e->env, &w->retry, 0);
	}
}

/* ---- life ---------------------------------------------------------------------------- */

struct meta_watch *etcd_watch(struct meta *m, const char *prefix, int64_t from,
			      meta_watch_fn event, void *ctx)
{
	struct etcd *e = to_etcd(m);
	struct watch *w = etcd_need(calloc(1, sizeof(*w)));

	w->e = e;
	w->prefix = etcd_need(strdup(prefix));
	w->next = MAX(from, (int64_t)0);
	w->event = event;
	w->ctx = ctx;
	w->retry_ns = RETRY_MIN;
	w->tokener = etcd_need(json_tokener_new());
	w->transfer.done = stream_ended;
	env_timer_init(&w->retry, retry_due);
	env_timer_init(&w->work, work_due);
	list_add_tail(&w->node, &e->watches);
	start(w);
	return (struct meta_watch *)w;
}

void etcd_unwatch(struct meta *m, struct meta_watch *watch)
{
	struct watch *w = (struct watch *)watch;

	w->event = NULL;
	if (!w->e->busy)
		watch_free(w);
}

void etcd_watches_sweep(struct etcd *e)
{
	struct watch *w, *tmp;

	list_for_each_entry_safe(w, tmp, &e->watches, node) {
		if (!w->event)
			watch_free(w);
	}
}

void etcd_watches_end(struct etcd *e)
{
	struct watch *w;

	list_for_each_entry(w, &e->watches, node)
		w->event = NULL;
}
