// SPDX-License-Identifier: Apache-2.0
/* The volume engine in a simulated cluster: what attaching makes of what it
 * finds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "volume_bed.h"

static void assert_says(const struct bed *w, const char *part)
{
	if (strstr(error_text(w->err), part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", error_text(w->err), part);
}

/* An attach that ends with @err; what it says has to have @part in it. */
static void attach_fails(struct bed *w, int err, const char *part)
{
	assert_int_equal(err, bed_attach_on(w, w->host));
	assert_says(w, part);
	volume_free(w->volume);
	w->volume = NULL;
}

/* ---- somebody is ahead of the metadata ------------------------------------ */

static char *save_volume(struct bed *w)
{
	char key[META_KEY_MAX];

	key_volume(&w->cluster, "vol", key);
	return strdup(sim_meta_value(w->sim, key));
}

static void restore_volume(struct bed *w, char *value)
{
	char key[META_KEY_MAX];

	key_volume(&w->cluster, "vol", key);
	bed_put(w, key, value);
}

static void metadata_that_went_back_is_not_a_takeover(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;
	char *old;
	int i;

	bed_attach(w);
	bed_write_random(w, 10);
	assert_int_equal(0, bed_detach(w));
	old = save_volume(w);
	for (i = 0; i < 3; i++) {
		bed_attach(w);
		assert_int_equal(0, bed_detach(w));
	}
	restore_volume(w, old);
	attach_fails(w, -EUCLEAN, "older than the data of the peers");
	assert_says(w, "epoch 2 with this attachment");
	assert_says(w, "has seen epoch 4");
	sim_run(w->sim, NSEC_PER_SEC);
	bed_get_volume(w, &doc);
	assert_false(doc.attachment.present);
	assert_int_equal(2, doc.epoch);
}

static void metadata_that_went_back_without_an_answer_at_first(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;
	uint64_t began;
	char *old;

	bed_attach(w);
	assert_int_equal(0, bed_detach(w));
	old = save_volume(w);
	bed_attach(w);
	assert_int_equal(0, bed_detach(w));
	bed_attach(w);
	assert_int_equal(0, bed_detach(w));
	restore_volume(w, old);
	w->volume = bed_start_attach(w, w->host);
	do {
		assert_true(sim_step(w->sim));
		bed_get_volume(w, &doc);
	} while (!doc.attachment.present);
	sim_run(w->sim, NSEC_PER_MSEC / 10);
	sim_meta_unreachable(w->host, 10 * NSEC_PER_SEC);
	began = sim_now(w->sim);
	bed_wait_flag(w);
	assert_int_equal(-EUCLEAN, w->err);
	assert_says(w, "older than the data of the peers");
	assert_true(sim_now(w->sim) - began >= 9 * NSEC_PER_SEC);
}

static void takeover_while_attaching_names_the_new_host(void **state)
{
	struct bed *w = *state;
	struct volume *first;
	struct volume_doc doc;

	first = bed_start_attach(w, w->host);
	do {
		assert_true(sim_step(w->sim));
		bed_get_volume(w, &doc);
	} while (!doc.attachment.present);
	sim_node_hang(w->host, 5 * NSEC_PER_SEC);
	w->cfg.force = true;
	assert_int_equal(0, bed_attach_on(w, w->other));
	w->flag = false;
	bed_wait_flag(w);
	assert_int_equal(-ESTALE, w->err);
	assert_says(w, "taken over by host other");
	volume_free(first);
	bed_write_random(w, 10);
	bed_verify(w);
	sim_node_kill(w->other);
	volume_free(w->volume);
	w->volume = NULL;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(metadata_that_went_back_is_not_a_takeover),
		TEST(metadata_that_went_back_without_an_answer_at_first),
		TEST(takeover_while_attaching_names_the_new_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
