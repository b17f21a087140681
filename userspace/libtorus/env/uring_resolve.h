/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "HOST:PORT" to socket addresses. Numeric hosts ("10.0.0.1:4000",
 * "[::1]:4000") are answered at once; names are looked up by a thread, because
 * the C library can only wait, and the loop must not.
 */
#ifndef TORUS_ENV_URING_RESOLVE_H
#define TORUS_ENV_URING_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "env/env_uring.h"

#define RESOLVE_ADDRESSES_MAX 8
#define ADDRESS_HOST_MAX 256
#define ADDRESS_PORT_MAX 8

struct resolve_result {
	int err;			/* 0 or -errno */
	char text[ADDRESS_HOST_MAX + 128];	/* of an error */
	int count;
	struct sockaddr_storage address[RESOLVE_ADDRESSES_MAX];
	socklen_t length[RESOLVE_ADDRESSES_MAX];
};

struct resolve_job;

/* Embedded in its user. */
struct resolve {
	void (*fn)(struct resolve *resolve);	/* result is there */
	struct resolve_result result;
	struct resolve_job *job;		/* private; NULL = none runs */
};

/**
 * address_split() - host and port of "HOST:PORT" or "[V6]:PORT"; an empty
 * host stays empty. 0 or -EINVAL with error text.
 */
int address_split(const char *address, char host[ADDRESS_HOST_MAX],
		  char port[ADDRESS_PORT_MAX]);

/**
 * resolve_now() - fill @result, waiting for name servers where @numeric is
 * false. @passive: for listening, "" and "*" mean every address.
 */
void resolve_now(const char *address, bool numeric, bool passive,
		 struct resolve_result *result);

/**
 * resolve_start() - look @address up.
 * Returns 0: the result (good or bad) is there, fn() is not called;
 * -EINPROGRESS: fn() will be called from the loop; -ENOMEM and the like.
 */
int resolve_start(struct env *env, const char *address,
		  struct resolve *resolve);

/** resolve_cancel() - fn() is not called, @resolve may be freed. */
void resolve_cancel(struct resolve *resolve);

#endif
