// SPDX-License-Identifier: Apache-2.0
/* What peers say to a recovery is looked at before it is believed. Here they say
 * what the test wants: their answers are there when they are waited for. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "recover/internal.h"
#include "wire/scan.h"

#define QUESTIONS_MAX 5000u	/* beyond that it would never end */
#define PEERS_MANY 70u

void __wrap_peer_call(struct peer *peer, struct peer_call *call);

/* All peers say the same. */
struct bed {
	struct recover *r;
	struct peer_call *call;
	unsigned int questions;
	struct wire_volume_entry volume[2];
	struct wire_list_entry chunk[2];
	uint32_t volumes, chunks;	/* entries that are sent ... */
	uint32_t volumes_said, chunks_said;	/* ... and said to be there */
	uint32_t volumes_more, chunks_more;
	uint8_t scan[BLOCK_SIZE];
	size_t scan_len;
};

static struct bed *bed;

static void say(struct peer_call *call, const void *reply, void *data,
		size_t len)
{
	struct iovec iov = { data, len };

	call->err = 0;
	call->status = WIRE_OK;
	call->reply = reply;
	call->reply_len = (uint32_t)len;
	call->scratch = len ? &iov : NULL;
	call->scratch_count = len > 0;
	call->done(call);
}

static void answer(struct bed *b, struct peer_call *call)
{
	struct wire_list_reply list = { 0 };
	struct wire_scan_reply scan = { 0 };

	switch (call->type) {
	case WIRE_VOLUMES:
		list.count = cpu_to_le32(b->volumes_said);
		list.more = cpu_to_le32(b->volumes_more);
		say(call, &list, b->volume, b->volumes * sizeof(b->volume[0]));
		break;
	case WIRE_LIST:
		list.count = cpu_to_le32(b->chunks_said);
		list.more = cpu_to_le32(b->chunks_more);
		say(call, &list, b->chunk, b->chunks * sizeof(b->chunk[0]));
		break;
	case WIRE_SCAN:
		say(call, &scan, b->scan, b->scan_len);
		break;
	default:
		assert_int_equal(call->type, WIRE_RECALL);
		say(call, NULL, NULL, 0);
	}
}

void __wrap_peer_call(struct peer *peer, struct peer_call *call)
{
	bed->call = call;
}

static int wait_for(void *ctx, const bool *done)
{
	assert_true(++bed->questions < QUESTIONS_MAX);
	answer(bed, bed->call);
	assert_true(*done);
	return 0;
}

static void set_peers(struct bed *b, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		b->r->peers[i] = (struct recover_peer){ .r = b->r };
		b->r->peers[i].id.byte[0] = (uint8_t)(i + 1);
		memcpy(b->r->peers[i].address, "liar:1", 7);
	}
	b->r->peer_count = count;
}

/* A volume with one copy of one chunk, of which nothing is read. */
static int setup(void **state)
{
	struct recover_config cfg = { .wait = wait_for };

	bed = calloc(1, sizeof(*bed));
	bed->r = recover_new(&cfg);
	set_peers(bed, 1);
	bed->volume[0].volume = cpu_to_le64(1);
	bed->volume[0].chunk_max = cpu_to_le64(1);
	bed->chunk[0].volume = cpu_to_le64(1);
	bed->chunk[0].chunk = cpu_to_le64(1);
	bed->chunk[0].length = cpu_to_le32(2);
	bed->volume[1] = bed->volume[0];
	bed->chunk[1] = bed->chunk[0];
	bed->volumes = bed->volumes_said = 1;
	bed->chunks = bed->chunks_said = 1;
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	recover_free(bed->r);
	free(bed);
	return 0;
}

static void assert_refused(struct bed *b, const char *why)
{
	assert_int_equal(recover_survey(b->r), -EPROTO);
	assert_non_null(strstr(error_text(-EPROTO), "peer liar:1"));
	assert_non_null(strstr(error_text(-EPROTO), why));
}

/* It would never end, and take all memory. */
static void repeated_entries_are_refused(void **state)
{
	struct bed *b = *state;

	b->chunks_more = cpu_to_le32(1);
	assert_refused(b, "its chunks are not in order");
	b->volumes_more = cpu_to_le32(1);
	assert_refused(b, "its volumes are not in order");
	b->chunks_more = b->volumes_more = 0;
	b->volumes = b->volumes_said = 2;
	assert_refused(b, "its volumes are not in order");
	b->volumes = b->volumes_said = 1;
	b->chunks = b->chunks_said = 2;
	assert_refused(b, "its chunks are not in order");
}

static void more_of_nothing_is_refused(void **state)
{
	struct bed *b = *state;

	b->chunks = b->chunks_said = 0;
	b->chunks_more = 1;
	assert_refused(b, "promises more");
}

static void other_counts_are_refused(void **state)
{
	struct bed *b = *state;

	b->chunks_said = 2;
	assert_refused(b, "it counts other entries");
	b->volumes_said = 0;
	assert_refused(b, "it counts other entries");
}

static void what_no_store_has_is_refused(void **state)
{
	struct bed *b = *state;

	b->chunk[0].length = cpu_to_le32(CHUNK_BLOCKS_MAX + 1);
	assert_refused(b, "longer than any");
	b->chunk[0].chunk = cpu_to_le64(CHUNK_NUMBER_MAX + 1);
	assert_refused(b, "a chunk number is out of range");
	b->volume[0].root = cpu_to_le64(block_addr(1, CHUNK_BLOCKS_MAX));
	assert_refused(b, "a root's address is out of range");
	b->volume[0].chunk_max = cpu_to_le64(CHUNK_NUMBER_MAX + 1);
	assert_refused(b, "a chunk number is out of range");
	b->volume[0].epoch = cpu_to_le64(UINT64_MAX);
	assert_refused(b, "an epoch is out of range");
	b->volume[0].volume = 0;
	assert_refused(b, "its volumes are not in order");
}

static void the_highest_volume_has_its_chunks(void **state)
{
	const struct recover_volume *volumes;
	struct bed *b = *state;

	set_peers(b, 2);
	b->volume[0].volume = cpu_to_le64(UINT64_MAX);
	b->chunk[0].volume = cpu_to_le64(UINT64_MAX);
	assert_int_equal(recover_survey(b->r), 0);
	assert_int_equal(recover_volumes(b->r, &volumes), 1);
	assert_int_equal(volumes[0].state, RECOVER_REFUSED);
	assert_non_null(strstr(volumes[0].problem, "it has no root"));
}

/* Each says that it has two blocks, and shows none. */
static void many_broken_copies_are_looked_at_once(void **state)
{
	struct bed *b = *state;

	set_peers(b, PEERS_MANY);
	assert_int_equal(recover_survey(b->r), 0);
	assert_int_equal(b->questions, 2 * 3 * PEERS_MANY + PEERS_MANY);
}

/* A log of one record, without a root. */
static void make_log(struct bed *b)
{
	struct record *r = record_new();
	uint8_t header[BLOCK_SIZE];

	r->volume = r->chunk = r->epoch = r->sequence = 1;
	r->extent_count = 1;
	r->payload_blocks = 1;
	r->extents[0] = (struct extent){ .kind = EXTENT_DATA, .count = 1 };
	record_encode(r, header);
	assert_int_equal(scan_append(b->scan, sizeof(b->scan), &b->scan_len,
				     header, r->header_bytes), 0);
	b->chunk[0].end_crc = cpu_to_le32(r->crc);
	record_free(r);
}

/* What could not be read again must not be written. */
static void a_volume_without_numbers_is_refused(void **state)
{
	const struct recover_volume *volumes;
	struct bed *b = *state;

	make_log(b);
	assert_int_equal(recover_survey(b->r), 0);
	assert_int_equal(recover_volumes(b->r, &volumes), 1);
	assert_int_equal(volumes[0].state, RECOVER_GOOD);
	b->volume[0].chunk_max = cpu_to_le64(CHUNK_NUMBER_MAX);
	assert_int_equal(recover_survey(b->r), 0);
	recover_volumes(b->r, &volumes);
	assert_int_equal(volumes[0].state, RECOVER_REFUSED);
	assert_non_null(strstr(volumes[0].problem, "no numbers are left"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(repeated_entries_are_refused),
		TEST(more_of_nothing_is_refused),
		TEST(other_counts_are_refused),
		TEST(what_no_store_has_is_refused),
		TEST(the_highest_volume_has_its_chunks),
		TEST(many_broken_copies_are_looked_at_once),
		TEST(a_volume_without_numbers_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
