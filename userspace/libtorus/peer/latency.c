// SPDX-License-Identifier: Apache-2.0
#include "peer/latency.h"

#include "base/cleanup.h"

/* Of one sample, so that halving keeps a lone one for some time. */
#define WEIGHT		16u
/* p50 and p99 are found anew after so many samples. */
#define REFRESH		16u

static uint32_t bucket_of(uint64_t ns)
{
	uint32_t bits, index;

	if (ns < 1ull << LATENCY_LOWEST_BITS)
		return 0;
	bits = 63u - (uint32_t)__builtin_clzll(ns);
	if (bits >= LATENCY_HIGHEST_BITS)
		return LATENCY_BUCKETS - 1;
	index = 8 * (bits - LATENCY_LOWEST_BITS);
	return 1 + index + (uint32_t)(ns >> (bits - 3) & 7);
}

/* The least value that is above those of the bucket. */
static uint64_t bucket_end(uint32_t bucket)
{
	uint32_t bits;

	if (bucket == 0)
		return 1ull << LATENCY_LOWEST_BITS;
	bits = LATENCY_LOWEST_BITS + (bucket - 1) / 8;
	return (9ull + (bucket - 1) % 8) << (bits - 3);
}

static void halve(struct latency *latency)
{
	latency->total = 0;
	for (uint32_t i = 0; i < LATENCY_BUCKETS; i++) {
		latency->bucket[i] /= 2;
		latency->total += latency->bucket[i];
	}
}

/* After a long silence what was measured before it hardly counts. */
static void forget(struct latency *latency, uint64_t now)
{
	uint64_t halves;

	if (latency->total >= LATENCY_SAMPLES * WEIGHT)
		halve(latency);
	if (latency->halved_at == 0)
		latency->halved_at = now;
	if (now < latency->halved_at + LATENCY_HALF_LIFE)
		return;
	halves = (now - latency->halved_at) / LATENCY_HALF_LIFE;
	latency->halved_at += halves * LATENCY_HALF_LIFE;
	/* More would leave nothing of what is known. */
	for (halves = MIN(halves, 4ull); halves > 0; halves--)
		halve(latency);
	latency->fresh = REFRESH;
}

static uint64_t percentile(const struct latency *latency, uint32_t percent)
{
	uint64_t wanted = (uint64_t)latency->total * percent, seen = 0;
	uint32_t i;

	for (i = 0; i < LATENCY_BUCKETS - 1; i++) {
		seen += latency->bucket[i];
		if (100 * seen >= wanted)
			break;
	}
	return bucket_end(i);
}

void latency_add(struct latency *latency, uint64_t now, uint64_t ns)
{
	forget(latency, now);
	latency->bucket[bucket_of(ns)] += WEIGHT;
	latency->total += WEIGHT;
	if (++latency->fresh < REFRESH && latency->p99 != 0)
		return;
	latency->fresh = 0;
	latency->p50 = percentile(latency, 50);
	latency->p99 = percentile(latency, 99);
}
