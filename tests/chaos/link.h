/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TORUS_CHAOS_LINK_H
#define TORUS_CHAOS_LINK_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Who speaks to the server of a link: enum wire_role, or 0 if not known. */
#define LINK_CLASSES 4

enum link_direction { LINK_UP, LINK_DOWN, LINK_DIRECTIONS };

enum link_mode {
	LINK_PASS,
	LINK_HOLD,	/* nothing goes through, nothing is lost: a partition */
	LINK_DELAY,	/* milliseconds, and up to so many more */
	LINK_SLOW,	/* bytes a second */
	LINK_CUT,	/* after so many bytes, in the middle of a frame */
};

struct link_rule {
	enum link_mode mode;
	uint64_t amount, jitter;
	unsigned int number;	/* grows with each change */
};

/* A port that stands for a server. */
struct link {
	char name[32];
	int listener;
	struct sockaddr_in server;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct link_rule rules[LINK_CLASSES][LINK_DIRECTIONS];
	bool refusing;		/* new connections are reset */
};

/*
 * link_new() - listen on 127.0.0.1:@port for 127.0.0.1:@server, and serve that
 * until the process ends. NULL with errno.
 */
struct link *link_new(const char *name, uint16_t port, uint16_t server);

/* link_set() - from now on, for all its connections of that class. */
void link_set(struct link *link, unsigned int class, enum link_direction dir,
	      enum link_mode mode, uint64_t amount, uint64_t jitter);

void link_refuse(struct link *link, bool refuse);

#endif
