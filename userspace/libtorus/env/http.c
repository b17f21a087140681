// SPDX-License-Identifier: Apache-2.0
/*
 * curl says which sockets it waits for and how long; the reactor calls it
 * when one of the two has come. What is finished is collected after each such
 * call, so that done() never runs inside curl.
 */
#include "env/http.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/list.h"
#include "base/log.h"

struct http {
	struct env *env;
	CURLM *multi;
	struct env_timer timer;
	int busy;			/* done() functions that are running */
	bool dead;			/* freed when not busy */
};

struct http_socket {
	struct http *http;
	struct env_watch watch;
	curl_socket_t fd;
};

static void http_destroy(struct http *http)
{
	/* Closes idle connections, whose sockets it forgets by callback. */
	curl_multi_cleanup(http->multi);
	env_timer_cancel(http->env, &http->timer);
	free(http);
}

static void collect(struct http *http)
{
	CURLMsg *msg;
	int left;

	http->busy++;
	while (!http->dead && (msg = curl_multi_info_read(http->multi, &left))) {
		struct http_transfer *t;
		CURLcode result = msg->data.result;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &t);
		/* After this @msg is gone. */
		curl_multi_remove_handle(http->multi, t->easy);
		t->running = false;
		t->done(t, result);
	}
	if (--http->busy == 0 && http->dead)
		http_destroy(http);
}

static void action(struct http *http, curl_socket_t fd, int events)
{
	int running;

	curl_multi_socket_action(http->multi, fd, events, &running);
	collect(http);
}

static void socket_ready(struct env_watch *watch, uint32_t revents)
{
	struct http_socket *s = container_of(watch, struct http_socket, watch);
	int events = 0;

	if (revents & (POLLIN | POLLHUP))
		events |= CURL_CSELECT_IN;
	if (revents & POLLOUT)
		events |= CURL_CSELECT_OUT;
	if (revents & POLLERR)
		events |= CURL_CSELECT_ERR;
	action(s->http, s->fd, events);
}

static void timer_due(struct env_timer *timer)
{
	action(container_of(timer, struct http, timer), CURL_SOCKET_TIMEOUT, 0);
}

static void forget_socket(struct http *http, struct http_socket *s)
{
	if (!s)
		return;
	env_uring_unwatch(http->env, &s->watch);
	curl_multi_assign(http->multi, s->fd, NULL);
	free(s);
}

static int watch_socket(struct http *http, struct http_socket *s,
			curl_socket_t fd, int what)
{
	uint32_t events = 0;

	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return -1;
		s->http = http;
		s->fd = fd;
		s->watch.fn = socket_ready;
		curl_multi_assign(http->multi, fd, s);
	}
	if (what & CURL_POLL_IN)
		events |= POLLIN;
	if (what & CURL_POLL_OUT)
		events |= POLLOUT;
	return env_uring_watch_fd(http->env, &s->watch, fd, events) < 0 ? -1 : 0;
}

static int socket_changed(CURL *easy, curl_socket_t fd, int what, void *ctx,
			  void *socket)
{
	if (what != CURL_POLL_REMOVE)
		return watch_socket(ctx, socket, fd, what);
	forget_socket(ctx, socket);
	return 0;
}

static int timeout_changed(CURLM *multi, long ms, void *ctx)
{
	struct http *http = ctx;

	if (ms < 0)
		env_timer_cancel(http->env, &http->timer);
	else
		env_timer_after(http->env, &http->timer, ms * NSEC_PER_MSEC);
	return 0;
}

static CURLcode global_result;

static void global_init(void)
{
	global_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct http *http_new(struct env *env)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http *http = calloc(1, sizeof(*http));

	pthread_once(&once, global_init);
	if (global_result != CURLE_OK)
		error_set(-EIO, "libcurl: %s",
			  curl_easy_strerror(global_result));
	else if (http)
		http->multi = curl_multi_init();
	if (!http || !http->multi) {
		if (global_result == CURLE_OK)
			error_set(-ENOMEM, "out of memory");
		free(http);
		return NULL;
	}
	http->env = env;
	env_timer_init(&http->timer, timer_due);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, socket_changed);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, timeout_changed);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	/* Idle connections that are kept. */
	curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, 8L);
	return http;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	http->dead = true;
	if (!http->busy)
		http_destroy(http);
}

int http_start(struct http *http, struct http_transfer *transfer)
{
	curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
	if (curl_multi_add_handle(http->multi, transfer->easy) != CURLM_OK)
		return error_set(-ENOMEM, "libcurl: out of memory");
	transfer->running = true;
	return 0;
}

void http_cancel(struct http *http, struct http_transfer *transfer)
{
	if (transfer->running)
		curl_multi_remove_handle(http->multi, transfer->easy);
	transfer->running = false;
}
