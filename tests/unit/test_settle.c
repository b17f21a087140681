// SPDX-License-Identifier: Apache-2.0
/* Volumes that nobody closed, and what maintenance does about them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "maint/settle.h"
#include "volume_bed.h"

#define GRACE (60 * NSEC_PER_SEC)
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, bed_setup, bed_teardown)

/* A torusd's view of the cluster, and the part of its maintenance. */
struct place {
	struct cluster *cluster;
	struct settler settler;
	bool opened;
	int err;
};

static void opened(void *ctx, int err)
{
	struct place *p = ctx;

	p->opened = true;
	p->err = err;
}

static void place_start(struct bed *w, struct place *p, struct sim_node *node)
{
	struct cluster_config cfg = { .role = WIRE_ROLE_PEER };
	struct settler_config settler = { .grace_ns = GRACE };

	memset(p, 0, sizeof(*p));
	sim_node_start(node);
	p->cluster = cluster_open(sim_node_env(node), sim_node_meta(node), &cfg,
				  opened, p);
	assert_non_null(p->cluster);
	assert_true(sim_run_until(w->sim, &p->opened, LONG));
	assert_int_equal(p->err, 0);
	snprintf(settler.host, sizeof(settler.host), "%s", sim_node_name(node));
	settler_init(&p->settler, sim_node_env(node), sim_node_meta(node),
		     p->cluster, &settler);
}

static void place_stop(struct place *p)
{
	settler_release(&p->settler);
	cluster_close(p->cluster);
}

/* The writer dies, and what is left of its attachment is as @device says. */
static void abandon(struct bed *w, const char *device)
{
	struct volume_doc *doc = malloc(sizeof(*doc));
	char key[META_KEY_MAX];

	assert_non_null(doc);
	sim_node_kill(w->host);
	volume_free(w->volume);
	w->volume = NULL;
	bed_get_volume(w, doc);
	snprintf(doc->attachment.device, sizeof(doc->attachment.device), "%s",
		 device ? device : "");
	doc->attachment.present = device != NULL;
	key_volume(&w->cluster, "vol", key);
	bed_put(w, key, volume_doc_encode(doc));
	free(doc);
}

static bool is_closed(struct bed *w)
{
	struct volume_doc doc;

	bed_get_volume(w, &doc);
	return doc.tail.first > doc.tail.last && !doc.attachment.present;
}

static uint64_t epoch(struct bed *w)
{
	struct volume_doc doc;

	bed_get_volume(w, &doc);
	return doc.epoch;
}

static void test_volume_that_nobody_closed_is_sealed(void **state)
{
	struct bed *w = *state;
	struct place p;

	bed_attach(w);
	bed_write_random(w, 40);
	abandon(w, NULL);
	place_start(w, &p, w->other);
	sim_run(w->sim, GRACE / 2);
	assert_false(is_closed(w));
	sim_run(w->sim, 3 * GRACE);
	assert_true(is_closed(w));
	assert_int_equal(p.settler.settled, 1);
	place_stop(&p);
	bed_attach(w);
	bed_verify(w);
}

static void test_volume_with_an_attachment_is_left_alone(void **state)
{
	struct bed *w = *state;
	struct place p;

	bed_attach(w);
	bed_write_random(w, 10);
	abandon(w, "/dev/torus0");
	place_start(w, &p, w->other);
	sim_run(w->sim, 10 * GRACE);
	assert_false(is_closed(w));
	assert_int_equal(epoch(w), 1);
	place_stop(&p);
}

/* It was a torusd's when it was listed; by now somebody uses it. */
static void test_owner_that_came_meanwhile_is_left_alone(void **state)
{
	struct bed *w = *state;
	unsigned int i;

	bed_attach(w);
	bed_write_random(w, 10);
	abandon(w, "/dev/torus0");
	snprintf(w->cfg.attachment.device, sizeof(w->cfg.attachment.device),
		 "%s", ATTACHMENT_MAINTENANCE);
	w->cfg.from_maintenance = true;
	for (i = 0; i < 2; i++) {
		assert_int_equal(bed_attach_on(w, w->other), -EBUSY);
		assert_int_equal(epoch(w), 1);
		volume_free(w->volume);
		w->volume = NULL;
	}
}

static void test_maintenance_that_died_is_followed_by_another(void **state)
{
	struct bed *w = *state;
	struct place p;

	bed_attach(w);
	bed_write_random(w, 10);
	abandon(w, ATTACHMENT_MAINTENANCE);
	place_start(w, &p, w->other);
	sim_run(w->sim, 4 * GRACE);
	assert_true(is_closed(w));
	place_stop(&p);
}

static void test_one_of_several_settles_it(void **state)
{
	struct bed *w = *state;
	struct place p[3];

	bed_attach(w);
	bed_write_random(w, 10);
	abandon(w, NULL);
	place_start(w, &p[0], w->other);
	place_start(w, &p[1], sim_node_new(w->sim, "second"));
	place_start(w, &p[2], sim_node_new(w->sim, "third"));
	sim_run(w->sim, 5 * GRACE);
	assert_true(is_closed(w));
	assert_int_equal(p[0].settler.settled + p[1].settler.settled +
			 p[2].settler.settled, 1);
	for (unsigned int i = 0; i < 3; i++)
		place_stop(&p[i]);
}

static void test_who_attaches_takes_it_over_without_force(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	bed_write_random(w, 10);
	abandon(w, ATTACHMENT_MAINTENANCE);
	assert_false(w->cfg.force);
	bed_attach(w);
	bed_verify(w);
}

static void test_attachment_of_an_earlier_boot_is_no_obstacle(void **state)
{
	struct bed *w = *state;

	memset(&w->cfg.attachment.machine, 1, sizeof(struct uuid));
	memset(&w->cfg.attachment.boot, 2, sizeof(struct uuid));
	bed_attach(w);
	bed_write_random(w, 10);
	sim_node_kill(w->host);
	volume_free(w->volume);
	/* The same boot; then another machine. */
	assert_int_equal(bed_attach_on(w, w->host), -EBUSY);
	volume_free(w->volume);
	memset(&w->cfg.attachment.machine, 3, sizeof(struct uuid));
	memset(&w->cfg.attachment.boot, 4, sizeof(struct uuid));
	assert_int_equal(bed_attach_on(w, w->host), -EBUSY);
	volume_free(w->volume);
	memset(&w->cfg.attachment.machine, 1, sizeof(struct uuid));
	bed_attach(w);
	bed_verify(w);
}

/* Two machines of one image have name and machine-id in common: both are up. */
static void test_clone_of_the_machine_that_has_it_is_refused(void **state)
{
	struct volume_config cfg;
	struct volume *first;
	struct bed *w = *state;

	memset(&w->cfg.attachment.machine, 1, sizeof(struct uuid));
	memset(&w->cfg.attachment.boot, 2, sizeof(struct uuid));
	bed_attach(w);
	bed_write_random(w, 10);
	first = w->volume;
	cfg = w->cfg;
	memset(&w->cfg.attachment.boot, 3, sizeof(struct uuid));
	/* The node is the same, since what counts is the name. */
	assert_int_equal(bed_attach_on(w, w->host), -EBUSY);
	if (!strstr(error_text(w->err), "clone"))
		fail_msg("%s", error_text(w->err));
	volume_free(w->volume);
	w->volume = first;
	w->cfg = cfg;
	bed_write_random(w, 10);
	assert_int_equal(bed_detach(w), 0);
}

/* Nothing of the attempt is left in the value: it is the same as before. */
static void test_attempt_without_the_metadata_store_is_made_again(void **state)
{
	struct bed *w = *state;
	struct place p;
	int i;

	bed_attach(w);
	bed_write_random(w, 10);
	abandon(w, NULL);
	place_start(w, &p, w->other);
	for (i = 0; i < 200000 && p.settler.volume == NULL; i++)
		sim_run(w->sim, NSEC_PER_MSEC);
	assert_non_null(p.settler.volume);
	sim_meta_unreachable(w->other, 10 * GRACE);
	sim_run(w->sim, 9 * GRACE);
	assert_true(p.settler.failed > 0);
	assert_false(is_closed(w));
	sim_run(w->sim, 6 * GRACE);
	assert_true(is_closed(w));
	place_stop(&p);
}

static void test_closed_volumes_are_not_touched(void **state)
{
	struct bed *w = *state;
	struct place p;

	bed_attach(w);
	bed_write_random(w, 10);
	assert_int_equal(bed_detach(w), 0);
	place_start(w, &p, w->other);
	sim_run(w->sim, 10 * GRACE);
	assert_int_equal(epoch(w), 1);
	place_stop(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_volume_that_nobody_closed_is_sealed),
		TEST(test_volume_with_an_attachment_is_left_alone),
		TEST(test_owner_that_came_meanwhile_is_left_alone),
		TEST(test_maintenance_that_died_is_followed_by_another),
		TEST(test_one_of_several_settles_it),
		TEST(test_who_attaches_takes_it_over_without_force),
		TEST(test_attachment_of_an_earlier_boot_is_no_obstacle),
		TEST(test_clone_of_the_machine_that_has_it_is_refused),
		TEST(test_attempt_without_the_metadata_store_is_made_again),
		TEST(test_closed_volumes_are_not_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
