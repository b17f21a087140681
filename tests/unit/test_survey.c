// SPDX-License-Identifier: Apache-2.0
/* What torusctl makes of a MAINTENANCE reply. The peer answers from the test. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../userspace/torusctl/survey.h"

void __wrap_peer_call(struct peer *peer, struct peer_call *call);
struct peer *__wrap_peer_find(struct peer_set *set, const struct uuid *id);
struct peer_set *__wrap_cluster_peers(struct cluster *cluster);
void __wrap_cluster_close(struct cluster *cluster);
void __wrap_env_uring_stop(struct env *env);

static struct peer_call *calls[2];
static unsigned int call_count;
static uint32_t said, sent;		/* findings */

static struct wire_finding findings[2];

void __wrap_peer_call(struct peer *peer, struct peer_call *call)
{
	calls[call_count++] = call;
}

struct peer *__wrap_peer_find(struct peer_set *set, const struct uuid *id)
{
	return (struct peer *)(uintptr_t)id;
}

struct peer_set *__wrap_cluster_peers(struct cluster *cluster)
{
	return NULL;
}

void __wrap_cluster_close(struct cluster *cluster)
{
}

void __wrap_env_uring_stop(struct env *env)
{
}

struct cluster *ctl_cluster_open(struct ctl *ctl)
{
	return (struct cluster *)ctl;
}

/* Findings come in two pieces, the border inside of the first one. */
static void answer(struct peer_call *call)
{
	struct wire_maintenance_reply maintenance = {
		.scrub_bad = cpu_to_le64(5), .count = cpu_to_le32(said),
	};
	struct wire_stat_reply stat = { .chunks = cpu_to_le64(3) };
	size_t bytes = sent * sizeof(findings[0]);
	struct iovec pieces[2] = {
		{ findings, 20 }, { (char *)findings + 20, bytes - 20 },
	};

	call->reply = &stat;
	if (call->type == WIRE_MAINTENANCE) {
		call->reply = &maintenance;
		call->reply_len = (uint32_t)bytes;
		call->scratch = pieces;
		call->scratch_count = bytes ? 2 : 0;
	}
	call->done(call);
}

int ctl_wait(struct ctl *ctl, const bool *done)
{
	while (call_count > 0)
		answer(calls[--call_count]);
	assert_true(*done);
	return 0;
}

static struct survey ask(uint32_t findings_said, uint32_t findings_sent)
{
	struct ctl_peer peer = { .alive = true };
	struct ctl ctl = { 0 };
	struct survey survey;

	said = findings_said;
	sent = findings_sent;
	findings[0].chunk = cpu_to_le64(7);
	findings[1].chunk = cpu_to_le64(9);
	assert_int_equal(survey_run(&ctl, &peer, 1, &survey), 0);
	assert_int_equal(survey.count, 1);
	assert_int_equal(survey.answers[0].chunks, 3);
	return survey;
}

static void findings_are_put_together(void **state)
{
	struct survey survey = ask(2, 2);
	const struct survey_answer *a = &survey.answers[0];

	assert_true(a->maintained);
	assert_int_equal(a->m.scrub_bad, 5);
	assert_int_equal(a->finding_count, 2);
	assert_int_equal(a->findings[0].chunk, 7);
	assert_int_equal(a->findings[1].chunk, 9);
	survey_release(&survey);
}

/* Nothing of a reply that contradicts itself is believed. */
static void other_counts_are_no_answer(void **state)
{
	static const struct survey_maintenance none;
	const uint32_t pairs[][2] = { { 1, 2 }, { 2, 0 }, { 0, 1 },
				      { UINT32_MAX, 1 } };

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct survey survey = ask(pairs[i][0], pairs[i][1]);
		const struct survey_answer *a = &survey.answers[0];

		assert_false(a->maintained);
		assert_memory_equal(&a->m, &none, sizeof(none));
		assert_int_equal(a->finding_count, 0);
		survey_release(&survey);
	}
}

static void only_user_data_has_an_offset(void **state)
{
	struct survey_finding f = { .kind = EXTENT_DATA, .volume_block = 1 };

	assert_true(survey_has_offset(&f));
	f.kind = EXTENT_MAP_PAGE;
	assert_false(survey_has_offset(&f));
	f.kind = EXTENT_RELOCATION;
	f.volume_block = UINT64_MAX / BLOCK_SIZE + 1;
	assert_false(survey_has_offset(&f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(findings_are_put_together),
		cmocka_unit_test(other_counts_are_no_answer),
		cmocka_unit_test(only_user_data_has_an_offset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
