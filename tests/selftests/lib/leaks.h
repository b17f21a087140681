/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_LEAKS_H
#define SELFTEST_LEAKS_H

#include <stdint.h>

#define LEAKS_CACHES_MAX 512

struct leaks_count {
	char name[64];
	long long value;
	long long slack;	/* how far the value may be off */
};

/* How much the kernel holds: objects of each slab cache, memory in KiB. */
struct leaks {
	unsigned int nr;
	struct leaks_count counts[LEAKS_CACHES_MAX];
};

/* Counts, after what can be given back has been. Skips without slabinfo. */
void leaks_look(struct leaks *leaks);

/*
 * Waits until nothing has grown by as much as one object (in the many: a slab
 * more or less goes unseen), or 256 bytes of what is not in slabs, for each of
 * so many times; fails the test if something has
 * even after 20 s, and names it. Where there is kmemleak, asks it, too.
 */
void leaks_check(const struct leaks *before, unsigned int times);

#endif
