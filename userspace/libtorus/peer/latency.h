/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recent latencies: a histogram of fixed size, eight buckets to a power of two
 * (so a percentile is at most an eighth too high), that forgets. Its content is
 * halved whenever it holds LATENCY_SAMPLES, and every LATENCY_HALF_LIFE.
 */
#ifndef TORUS_PEER_LATENCY_H
#define TORUS_PEER_LATENCY_H

#include <stdint.h>

#define LATENCY_LOWEST_BITS	12u	/* below 4 us nothing is told apart */
#define LATENCY_HIGHEST_BITS	37u	/* nor from 137 s on */
#define LATENCY_BUCKETS \
	(8u * (LATENCY_HIGHEST_BITS - LATENCY_LOWEST_BITS) + 2u)
#define LATENCY_SAMPLES		1024u
#define LATENCY_HALF_LIFE	10000000000ull	/* ns */

/* All zero: nothing was measured. */
struct latency {
	uint32_t bucket[LATENCY_BUCKETS];	/* LATENCY_WEIGHT per sample */
	uint32_t total;
	uint32_t fresh;			/* samples that p50 and p99 do not know */
	uint64_t halved_at;
	uint64_t p50, p99;		/* ns, upper bounds; 0: not known yet */
};

/** latency_add() - one took @ns and ended @now. */
void latency_add(struct latency *latency, uint64_t now, uint64_t ns);

#endif
