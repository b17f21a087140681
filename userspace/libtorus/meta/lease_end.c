// SPDX-License-Identifier: Apache-2.0
#include "meta/lease_end.h"

#include <errno.h>
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "env/env.h"

void lease_times_kept(struct lease_times *t, uint64_t now, uint64_t real)
{
	*t = (struct lease_times){ .kept = now, .kept_real = real };
}

void lease_times_due(struct lease_times *t, uint64_t now, uint64_t due)
{
	if (now > due)
		t->late = MAX(t->late, now - due);
}

int lease_end_explain(const struct lease_times *t, uint64_t now, uint64_t real,
		      unsigned int ttl_s)
{
	/* A renewal is due after a third, so that much more ends it. */
	uint64_t much = ttl_s * NSEC_PER_SEC / 3;
	uint64_t passed = now - t->kept, real_passed = real - t->kept_real;
	uint64_t late_s = t->late / NSEC_PER_SEC;
	uint64_t jump_s = (real_passed - passed) / NSEC_PER_SEC;
	uint64_t passed_s = passed / NSEC_PER_SEC;

	if (t->late > much)
		return error_set(-ESTALE, "this process did not run for %" PRIu64 " s (it was stopped, or its machine was overloaded), and the lease of %u s ended meanwhile",
				 late_s, ttl_s);
	if (real > t->kept_real && real_passed > passed + much)
		return error_set(-ESTALE, "the clock of this machine jumped ahead by %" PRIu64 " s (it was set, or the machine was asleep), and the lease of %u s ended meanwhile",
				 jump_s, ttl_s);
	return error_set(-ESTALE, "the lease of %u s was renewed last %" PRIu64 " s ago",
			 ttl_s, passed_s);
}
