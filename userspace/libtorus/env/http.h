/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's transfers on the reactor: its sockets are watched, its timeout is
 * a timer, and done() comes from the loop.
 */
#ifndef TORUS_ENV_HTTP_H
#define TORUS_ENV_HTTP_H

#include <curl/curl.h>

#include "env/env_uring.h"

struct http;

/* One transfer. The owner sets up the easy handle, and frees it in the end. */
struct http_transfer {
	CURL *easy;
	/* The transfer is over and @easy is off the multi handle. */
	void (*done)(struct http_transfer *transfer, CURLcode result);
	bool running;			/* private */
};

/** http_new() - NULL with error text: libcurl refuses, or out of memory. */
struct http *http_new(struct env *env);

/** http_free() - every transfer must be done or cancelled. Also from done(). */
void http_free(struct http *http);

/** http_start() - done() follows from the loop. 0 or -ENOMEM. */
int http_start(struct http *http, struct http_transfer *transfer);

/** http_cancel() - done() is not called. Not from inside curl's callbacks
 * (write, header ...): there, return an error to curl. */
void http_cancel(struct http *http, struct http_transfer *transfer);

#endif
