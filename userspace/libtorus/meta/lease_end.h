/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a lease has ended, for people: the process that should have renewed it did
 * not run, its clock jumped, or the metadata store was out of reach. Renewals are
 * due by a timer, so one that fires late tells of the first; how far the two
 * clocks went since the last renewal tells of the second.
 */
#ifndef TORUS_META_LEASE_END_H
#define TORUS_META_LEASE_END_H

#include <stdint.h>

/* Of one lease, in ns. */
struct lease_times {
	uint64_t kept, kept_real;	/* when it was granted or renewed last */
	uint64_t late;			/* longest delay of a timer since then */
};

/** lease_times_kept() - it was confirmed; @now of the env's clock, @real of the
 * wall's. */
void lease_times_kept(struct lease_times *t, uint64_t now, uint64_t real);

/** lease_times_due() - a timer has fired at @now that was due at @due. */
void lease_times_due(struct lease_times *t, uint64_t now, uint64_t due);

/** lease_end_explain() - leave the reason as error text: half a sentence. Returns
 * -ESTALE. */
int lease_end_explain(const struct lease_times *t, uint64_t now, uint64_t real,
		      unsigned int ttl_s);

#endif
