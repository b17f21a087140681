/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_RING_H
#define SELFTEST_RING_H

#include <stdbool.h>
#include <linux/torus_io.h>

struct helper;
struct nl;

/* What helper and driver share about a queue, and the two rings of it. */
struct torus_ring *ring_of(struct helper *h, unsigned int queue);
struct torus_desc *ring_descs(struct helper *h, unsigned int queue);
struct torus_completion *ring_completions(struct helper *h, unsigned int queue);

/*
 * Takes the next descriptor of any queue of ours; false if there is none, or,
 * with -errno in ret, if the data of a deferred one cannot be had.
 */
bool ring_next(struct helper *h, struct torus_desc *desc, int *ret);

/* Asks for a doorbell; false if there is a descriptor already. */
bool ring_sleep(struct helper *h);
void ring_wake(struct helper *h);

/* Puts a completion, whatever it says, into the ring of @queue. */
void ring_publish(struct helper *h, unsigned int queue,
		  const struct torus_completion *completion);

/* Tells that there are completions; with ack, returns what the driver said. */
int ring_drain(struct helper *h, struct nl *nl, bool ack);

#endif
