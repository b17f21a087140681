// SPDX-License-Identifier: Apache-2.0
/* What is said of a lease that has ended. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "env/env.h"
#include "meta/lease_end.h"

#define SEC	NSEC_PER_SEC
#define REAL	(1700000000 * SEC)	/* of the wall clock, at the start */

static void says(const struct lease_times *t, uint64_t now, uint64_t real,
		 const char *part)
{
	assert_int_equal(-ESTALE, lease_end_explain(t, now, real, 30));
	if (strstr(error_text(-ESTALE), part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", error_text(-ESTALE),
			 part);
}

static void a_process_that_was_stopped(void **state)
{
	struct lease_times t;

	(void)state;
	lease_times_kept(&t, 100 * SEC, REAL);
	lease_times_due(&t, 155 * SEC, 110 * SEC);
	says(&t, 156 * SEC, REAL + 56 * SEC, "did not run for 45 s");
	/* A delay before the last renewal explains nothing. */
	lease_times_kept(&t, 200 * SEC, REAL + 100 * SEC);
	says(&t, 231 * SEC, REAL + 131 * SEC, "was renewed last 31 s ago");
}

static void a_clock_that_jumped(void **state)
{
	struct lease_times t;

	(void)state;
	lease_times_kept(&t, 100 * SEC, REAL);
	lease_times_due(&t, 111 * SEC, 110 * SEC);
	says(&t, 111 * SEC, REAL + 3611 * SEC, "jumped ahead by 3600 s");
	says(&t, 111 * SEC, REAL - 3600 * SEC, "was renewed last 11 s ago");
}

static void a_metadata_store_out_of_reach(void **state)
{
	struct lease_times t;

	(void)state;
	lease_times_kept(&t, 100 * SEC, REAL);
	lease_times_due(&t, 110 * SEC, 110 * SEC);
	lease_times_due(&t, 113 * SEC, 111 * SEC);
	says(&t, 130 * SEC, REAL + 30 * SEC,
	     "the lease of 30 s was renewed last 30 s ago");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_that_was_stopped),
		cmocka_unit_test(a_clock_that_jumped),
		cmocka_unit_test(a_metadata_store_out_of_reach),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
