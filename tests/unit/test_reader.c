// SPDX-License-Identifier: Apache-2.0
/*
 * The reader against peers that are played by this file: it takes the place of
 * peer/ and cluster, so that each call can be answered, damaged, refused or
 * left to time out at will.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "volume/reader.h"

#define PEERS	5u
#define VOLUME	7u

enum behaviour { GOOD, NO_CHUNK, DAMAGED, ODD_DAMAGED, EVEN_DAMAGED, SHORT,
		 DOWN, FAILING, SILENT, FENCED, BUSY };

struct peer {
	struct uuid id;
	enum behaviour behaviour;
	uint64_t latency_ns;
	struct peer_stats stats;
	uint32_t asked, cancelled, blocks_asked;
};

struct pending_call {
	struct list_head node;
	struct peer *peer;
	struct peer_call *call;
	struct wire_read body;
	uint64_t due;
};

static struct peer peers[PEERS];
static struct ring *ring, *previous_ring;
static struct list_head calls;
static uint64_t now;
static struct env_timer *timers[64];
static unsigned int timer_count;
static uint64_t fenced_epoch;
static uint32_t fenced_calls, bad_copies;
static struct uuid holder_ids[2];
static uint32_t holder_count;

/* ---- env -------------------------------------------------------------- */

static uint64_t fake_now(struct env *env)
{
	return now;
}

static void fake_timer_cancel(struct env *env, struct env_timer *timer)
{
	for (unsigned int i = 0; i < timer_count; i++)
		if (timers[i] == timer)
			timers[i--] = timers[--timer_count];
	timer->heap_index = 0;
}

static void fake_timer_set(struct env *env, struct env_timer *timer,
			   uint64_t when)
{
	fake_timer_cancel(env, timer);
	timer->when = when;
	timer->heap_index = 1;
	timers[timer_count++] = timer;
}

static const struct env_ops fake_ops = {
	.now = fake_now, .timer_set = fake_timer_set,
	.timer_cancel = fake_timer_cancel,
};
static struct env env = { .ops = &fake_ops };

/* ---- what the reader sees of peers and cluster ------------------------ */

struct peer_set *cluster_peers(struct cluster *cluster)
{
	return NULL;
}

const struct ring *cluster_ring(const struct cluster *cluster)
{
	return ring;
}

const struct ring *cluster_ring_version(const struct cluster *cluster,
					uint64_t version)
{
	if (version == ring_spec(ring)->version)
		return ring;
	if (previous_ring && version == ring_spec(previous_ring)->version)
		return previous_ring;
	return NULL;
}

void cluster_for_each_peer(const struct cluster *cluster,
			   void (*fn)(void *ctx, const struct peer_doc *doc,
				      bool alive), void *ctx)
{
	for (unsigned int i = 0; i < PEERS; i++) {
		struct peer_doc doc = { .id = peers[i].id };

		fn(ctx, &doc, true);
	}
}

struct peer *peer_find(struct peer_set *set, const struct uuid *id)
{
	for (unsigned int i = 0; i < PEERS; i++)
		if (uuid_equal(&peers[i].id, id))
			return &peers[i];
	return NULL;
}

const struct uuid *peer_id(const struct peer *peer)
{
	return &peer->id;
}

const char *peer_address(const struct peer *peer)
{
	return "fake";
}

enum peer_state peer_state(const struct peer *peer)
{
	return peer->behaviour == DOWN ? PEER_DOWN : PEER_UP;
}

bool peer_usable(struct peer *peer)
{
	return peer->behaviour != DOWN;
}

void peer_call(struct peer *peer, struct peer_call *call)
{
	struct pending_call *pending = calloc(1, sizeof(*pending));

	assert_non_null(pending);
	assert_int_equal(call->type, WIRE_READ);
	pending->peer = peer;
	pending->call = call;
	memcpy(&pending->body, call->body, sizeof(pending->body));
	pending->due = now + peer->latency_ns + 1;
	if (peer->behaviour == SILENT)
		pending->due = now + call->timeout_ns;
	peer->asked++;
	peer->blocks_asked += le32_to_cpu(pending->body.blocks);
	list_add_tail(&pending->node, &calls);
}

static void pending_free(struct pending_call *pending)
{
	list_del_init(&pending->node);
	free(pending);
}

void peer_call_cancel(struct peer_call *call)
{
	struct pending_call *pending, *tmp;

	list_for_each_entry_safe(pending, tmp, &calls, node)
		if (pending->call == call) {
			pending->peer->cancelled++;
			pending_free(pending);
		}
}

/* ---- stored data ------------------------------------------------------ */

static void block_content(uint64_t volume, block_addr_t addr, uint8_t *block)
{
	uint64_t word = volume * 1000003 + addr;

	for (unsigned int i = 0; i < BLOCK_SIZE / 8; i++)
		((uint64_t *)block)[i] = word * 0x9e3779b97f4a7c15ull + i;
}

static struct map_entry entry_of(block_addr_t addr, uint16_t lineage)
{
	static uint64_t block[BLOCK_SIZE / 8];

	block_content(lineage ? 100u + lineage : VOLUME, addr,
		      (uint8_t *)block);
	return (struct map_entry){
		.addr = addr, .lineage = lineage,
		.crc = crc32c(0, block, BLOCK_SIZE),
	};
}

static void fill_reply(struct pending_call *pending)
{
	static uint64_t block[BLOCK_SIZE / 8];
	uint32_t n = le32_to_cpu(pending->body.blocks);
	uint64_t chunk = le64_to_cpu(pending->body.chunk);
	uint32_t first = le32_to_cpu(pending->body.block);
	struct iovec *iov = pending->call->reply_data;
	enum behaviour how = pending->peer->behaviour;

	assert_int_equal(pending->call->reply_data_count, 1);
	assert_int_equal(iov->iov_len, n * BLOCK_SIZE);
	if (how == SHORT)
		n--;
	for (uint32_t i = 0; i < n; i++) {
		block_content(le64_to_cpu(pending->body.volume),
			      block_addr(chunk, first + i), (uint8_t *)block);
		if (how == DAMAGED ||
		    (how == ODD_DAMAGED && (first + i) % 2) ||
		    (how == EVEN_DAMAGED && (first + i) % 2 == 0))
			block[17] ^= 4;
		memcpy((char *)iov->iov_base + i * BLOCK_SIZE, block,
		       BLOCK_SIZE);
	}
	pending->call->reply_len = n * BLOCK_SIZE;
}

static void answer(struct pending_call *pending)
{
	struct peer_call *call = pending->call;
	struct wire_read_reply reply = { .epoch = cpu_to_le64(99) };

	assert_int_equal(le64_to_cpu(pending->body.attached), VOLUME);
	assert_int_equal(le64_to_cpu(pending->body.epoch), 5);
	call->err = 0;
	call->status = WIRE_OK;
	call->reply = &reply;
	call->reply_len = 0;
	switch (pending->peer->behaviour) {
	case NO_CHUNK:
		call->status = WIRE_ENOCHUNK;
		break;
	case BUSY:
		call->status = WIRE_EBUSY;
		break;
	case FENCED:
		call->status = WIRE_EFENCED;
		break;
	case DOWN:
	case FAILING:
		call->err = -ECONNRESET;
		call->reply = NULL;
		break;
	case SILENT:
		call->err = -ETIMEDOUT;
		call->reply = NULL;
		break;
	default:
		fill_reply(pending);
	}
	pending_free(pending);
	call->done(call);
}

/* Let the next thing happen; false: nothing will. */
static bool step(void)
{
	struct pending_call *first = NULL, *pending;
	struct env_timer *timer = NULL;

	list_for_each_entry(pending, &calls, node)
		if (!first || pending->due < first->due)
			first = pending;
	for (unsigned int i = 0; i < timer_count; i++)
		if (!timer || timers[i]->when < timer->when)
			timer = timers[i];
	if (timer && (!first || timer->when <= first->due)) {
		now = MAX(now, timer->when);
		fake_timer_cancel(&env, timer);
		timer->fn(timer);
		return true;
	}
	if (!first)
		return false;
	now = MAX(now, first->due);
	answer(first);
	return true;
}

/* ---- bed -------------------------------------------------------------- */

struct request {
	struct block_read read;
	struct map_entry entries[RECORD_PAYLOAD_BLOCKS_MAX];
	uint8_t *buffer;
	bool done;
	int err;
};

static struct request *request_new(uint32_t count)
{
	struct request *request = calloc(1, sizeof(*request));

	assert_non_null(request);
	request->buffer = malloc(count * BLOCK_SIZE);
	assert_non_null(request->buffer);
	memset(request->buffer, 0xee, count * BLOCK_SIZE);
	request->read.count = count;
	return request;
}

static void request_free(struct request *request)
{
	free(request->buffer);
	free(request);
}

static void request_done(struct block_read *read, int err)
{
	struct request *request = container_of(read, struct request, read);

	assert_false(request->done);
	request->done = true;
	request->err = err;
}

static void check_data(const struct request *request)
{
	static uint64_t want[BLOCK_SIZE / 8];

	for (uint32_t i = 0; i < request->read.count; i++) {
		const struct map_entry *e = &request->entries[i];

		if (e->addr)
			block_content(e->lineage ? 100u + e->lineage : VOLUME,
				      e->addr, (uint8_t *)want);
		else
			memset(want, 0, sizeof(want));
		assert_memory_equal(request->buffer + i * BLOCK_SIZE, want,
				    BLOCK_SIZE);
	}
}

static void submit(struct reader *reader, struct request *request)
{
	request->read.entries = request->entries;
	request->read.buffer = request->buffer;
	request->read.done = request_done;
	reader_read(reader, &request->read);
	assert_false(request->done);
}

static void note_fenced(void *ctx, uint64_t epoch)
{
	fenced_calls++;
	fenced_epoch = epoch;
}

static void note_bad_copy(void *ctx, const struct uuid *peer, uint64_t volume,
			  uint64_t chunk)
{
	bad_copies++;
}

static uint32_t holders(void *ctx, uint64_t chunk, struct uuid *out,
			uint32_t max)
{
	memcpy(out, holder_ids, holder_count * sizeof(*out));
	return holder_count;
}

static uint64_t ancestor(void *ctx, uint16_t lineage)
{
	return lineage <= 3 ? 100u + lineage : 0;
}

static struct ring *make_ring(uint64_t version, uint32_t from, uint32_t to)
{
	static struct ring_spec spec;
	struct ring *made;

	memset(&spec, 0, sizeof(spec));
	spec.version = version;
	spec.type = RING_MOD;
	spec.replication = 2;
	for (uint32_t i = from; i < to; i++) {
		spec.members[spec.member_count].peer = peers[i].id;
		spec.members[spec.member_count++].weight = 1 << 30;
	}
	assert_int_equal(ring_create(&spec, &made), 0);
	return made;
}

static struct reader *bed_new(void)
{
	struct reader_config cfg = {
		.volume = VOLUME, .io_timeout_ns = 30 * NSEC_PER_SEC,
		.fenced = note_fenced, .holders = holders,
		.ancestor = ancestor, .bad_copy = note_bad_copy,
	};
	struct reader *reader;

	log_set_sink(NULL);
	memset(peers, 0, sizeof(peers));
	for (unsigned int i = 0; i < PEERS; i++) {
		peers[i].id.byte[0] = i + 1;
		peers[i].latency_ns = NSEC_PER_MSEC;
	}
	list_init(&calls);
	now = 1000;
	timer_count = 0;
	fenced_calls = bad_copies = 0;
	fenced_epoch = 0;
	holder_count = 0;
	ring = make_ring(4, 0, PEERS);
	previous_ring = NULL;
	reader = reader_new(&env, (struct cluster *)&env, &cfg);
	assert_non_null(reader);
	reader_set_epoch(reader, 5);
	return reader;
}

static void bed_free(struct reader *reader)
{
	reader_free(reader);
	assert_true(list_empty(&calls));
	assert_int_equal(timer_count, 0);
	ring_free(ring);
	if (previous_ring)
		ring_free(previous_ring);
}

static void set_all(enum behaviour behaviour)
{
	for (unsigned int i = 0; i < PEERS; i++)
		peers[i].behaviour = behaviour;
}

static uint32_t asked_all(void)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < PEERS; i++)
		n += peers[i].asked;
	return n;
}

/* The two owners of a chunk, best first. */
static void owners(uint64_t chunk, struct peer **a, struct peer **b)
{
	uint16_t order[RING_MEMBERS_MAX];

	assert_int_equal(ring_permutation(ring, VOLUME, chunk, order), PEERS);
	*a = peer_find(NULL, &ring_spec(ring)->members[order[0]].peer);
	*b = peer_find(NULL, &ring_spec(ring)->members[order[1]].peer);
}

static int read_all(struct reader *reader, struct request *request)
{
	submit(reader, request);
	while (!request->done)
		assert_true(step());
	if (!request->err)
		check_data(request);
	return request->err;
}

/* @count blocks of @chunk from @first on. */
static int read_blocks(struct reader *reader, uint64_t chunk, uint32_t first,
		       uint32_t count)
{
	struct request *request = request_new(count);
	int err;

	for (uint32_t i = 0; i < count; i++)
		request->entries[i] = entry_of(block_addr(chunk, first + i), 0);
	err = read_all(reader, request);
	request_free(request);
	return err;
}

/* ---- tests ------------------------------------------------------------ */

static void contiguous_blocks_are_one_message(void **state)
{
	struct reader *reader = bed_new();
	struct peer *a, *b;

	owners(3, &a, &b);
	assert_int_equal(read_blocks(reader, 3, 10, 200), 0);
	assert_int_equal(asked_all(), 1);
	assert_int_equal(a->asked + b->asked, 1);
	assert_int_equal(reader_stats(reader)->bytes, 200 * BLOCK_SIZE);
	assert_int_equal(reader_stats(reader)->retries, 0);
	bed_free(reader);
}

static void scattered_blocks_and_holes_are_put_together(void **state)
{
	struct reader *reader = bed_new();
	struct request *request = request_new(256);

	for (uint32_t i = 0; i < 256; i++)
		if (i % 3)
			request->entries[i] = entry_of(
				block_addr(1 + i * 7 % 11, 1 + i * 3),
				i % 5 == 0);
	assert_int_equal(read_all(reader, request), 0);
	request_free(request);
	bed_free(reader);
}

static void holes_alone_need_no_peer(void **state)
{
	struct reader *reader = bed_new();
	struct request *request = request_new(17);

	assert_int_equal(read_all(reader, request), 0);
	assert_int_equal(asked_all(), 0);
	request_free(request);
	bed_free(reader);
}

static void many_reads_are_bounded_and_all_finish(void **state)
{
	struct reader *reader = bed_new();
	struct request *request[40];
	unsigned int in_flight, most = 0;
	struct pending_call *pending;

	for (int n = 0; n < 40; n++) {
		request[n] = request_new(256);
		for (uint32_t i = 0; i < 256; i++)
			request[n]->entries[i] = entry_of(
				block_addr(n + 1, 2 * i + 1), 0);
		submit(reader, request[n]);
	}
	while (step()) {
		in_flight = 0;
		list_for_each_entry(pending, &calls, node)
			in_flight++;
		most = MAX(most, in_flight);
	}
	assert_in_range(most, 100, 256);
	for (int n = 0; n < 40; n++) {
		assert_true(request[n]->done);
		assert_int_equal(request[n]->err, 0);
		check_data(request[n]);
		request_free(request[n]);
	}
	bed_free(reader);
}

static void damage_is_read_from_another_replica(void **state)
{
	struct reader *reader = bed_new();
	struct peer *a, *b;

	owners(9, &a, &b);
	a->behaviour = DAMAGED;
	for (int i = 0; i < 20; i++)
		assert_int_equal(read_blocks(reader, 9, 64 * i, 8), 0);
	assert_true(reader_stats(reader)->crc_errors > 0);
	assert_int_equal(bad_copies, reader_stats(reader)->crc_errors);
	/* It learns: b is asked from the first failure on. */
	assert_int_equal(a->asked, 1);
	bed_free(reader);
}

static void copies_damaged_in_different_places_make_a_good_one(void **state)
{
	struct reader *reader = bed_new();
	struct peer *a, *b;

	set_all(NO_CHUNK);
	owners(9, &a, &b);
	a->behaviour = ODD_DAMAGED;
	b->behaviour = EVEN_DAMAGED;
	assert_int_equal(read_blocks(reader, 9, 5, 16), 0);
	bed_free(reader);
}

static void a_chunk_elsewhere_is_found_and_remembered(void **state)
{
	struct reader *reader = bed_new();
	struct peer *a, *b, *holder = NULL;
	uint32_t asked;

	set_all(NO_CHUNK);
	owners(12, &a, &b);
	for (unsigned int i = 0; i < PEERS; i++)
		if (&peers[i] != a && &peers[i] != b)
			holder = &peers[i];
	holder->behaviour = GOOD;
	assert_int_equal(read_blocks(reader, 12, 5, 16), 0);
	asked = asked_all();
	for (int i = 0; i < 10; i++)
		assert_int_equal(read_blocks(reader, 12, 70 * i, 16), 0);
	assert_int_equal(asked_all(), asked + 10);
	/* Wrong from now on: the hint goes. */
	holder->behaviour = NO_CHUNK;
	a->behaviour = GOOD;
	assert_int_equal(read_blocks(reader, 12, 5, 16), 0);
	bed_free(reader);
}

static void a_chunk_of_the_previous_ring_is_found(void **state)
{
	struct reader *reader = bed_new();

	ring_free(ring);
	previous_ring = make_ring(4, 0, 2);
	ring = make_ring(5, 2, PEERS);
	set_all(NO_CHUNK);
	peers[1].behaviour = GOOD;
	assert_int_equal(read_blocks(reader, 12, 5, 16), 0);
	bed_free(reader);
}

static void no_good_copy_anywhere_is_an_error(void **state)
{
	struct reader *reader = bed_new();

	set_all(NO_CHUNK);
	peers[2].behaviour = DAMAGED;
	peers[3].behaviour = SHORT;
	assert_int_equal(read_blocks(reader, 12, 5, 16), -EIO);
	assert_true(now < 2 * NSEC_PER_SEC);
	bed_free(reader);
}

static void a_missing_answer_is_waited_for(void **state)
{
	struct reader *reader = bed_new();
	struct request *request = request_new(1);

	set_all(NO_CHUNK);
	peers[4].behaviour = DOWN;
	request->entries[0] = entry_of(block_addr(12, 3), 0);
	submit(reader, request);
	while (now < 10 * NSEC_PER_SEC)
		assert_true(step());
	assert_false(request->done);
	/* Waiting is not spinning. */
	assert_true(asked_all() < 4 * 40);
	peers[4].behaviour = GOOD;
	while (!request->done)
		assert_true(step());
	assert_int_equal(request->err, 0);
	check_data(request);
	assert_true(now < 11 * NSEC_PER_SEC);
	request_free(request);
	bed_free(reader);
}

static void peers_that_come_back_are_asked_at_once(void **state)
{
	struct reader *reader = bed_new();
	struct request *request = request_new(1);
	uint64_t back;

	set_all(DOWN);
	request->entries[0] = entry_of(block_addr(12, 3), 0);
	submit(reader, request);
	while (now < 10 * NSEC_PER_SEC)
		assert_true(step());
	set_all(GOOD);
	back = now;
	reader_peers_changed(reader);
	while (!request->done)
		assert_true(step());
	assert_int_equal(request->err, 0);
	assert_true(now - back < 5 * NSEC_PER_MSEC);
	request_free(request);
	bed_free(reader);
}

static void waiting_ends_at_the_timeout(void **state)
{
	struct reader *reader = bed_new();
	uint64_t start = now;

	set_all(SILENT);
	assert_int_equal(read_blocks(reader, 12, 5, 16), -ETIMEDOUT);
	assert_in_range(now - start, 30 * NSEC_PER_SEC, 31 * NSEC_PER_SEC);
	start = now;
	set_all(BUSY);
	assert_int_equal(read_blocks(reader, 12, 5, 16), -ETIMEDOUT);
	assert_in_range(now - start, 30 * NSEC_PER_SEC, 31 * NSEC_PER_SEC);
	bed_free(reader);
}

static void queued_reads_time_out_too(void **state)
{
	struct reader *reader = bed_new();
	struct request *request[3];

	set_all(SILENT);
	for (int n = 0; n < 3; n++) {
		request[n] = request_new(256);
		for (uint32_t i = 0; i < 256; i++)
			request[n]->entries[i] = entry_of(
				block_addr(n + 1, 2 * i + 1), 0);
		submit(reader, request[n]);
	}
	while (step())
		;
	for (int n = 0; n < 3; n++) {
		assert_int_equal(request[n]->err, -ETIMEDOUT);
		request_free(request[n]);
	}
	assert_true(now < 40 * NSEC_PER_SEC);
	bed_free(reader);
}

static void a_fenced_reader_stops(void **state)
{
	struct reader *reader = bed_new();

	set_all(FENCED);
	assert_int_equal(read_blocks(reader, 12, 5, 16), -ESTALE);
	assert_int_equal(fenced_calls, 1);
	assert_int_equal(fenced_epoch, 99);
	assert_int_equal(asked_all(), 1);
	assert_int_equal(read_blocks(reader, 12, 5, 16), -ESTALE);
	assert_int_equal(asked_all(), 1);
	assert_int_equal(fenced_calls, 1);
	set_all(GOOD);
	reader_set_epoch(reader, 5);
	assert_int_equal(read_blocks(reader, 12, 5, 16), 0);
	bed_free(reader);
}

static void holders_are_asked_first(void **state)
{
	struct reader *reader = bed_new();

	set_all(DAMAGED);
	peers[3].behaviour = GOOD;
	holder_ids[0] = peers[3].id;
	holder_count = 1;
	assert_int_equal(read_blocks(reader, 12, 5, 16), 0);
	assert_int_equal(asked_all(), 1);
	bed_free(reader);
}

static void reads_spread_over_the_owners(void **state)
{
	struct reader *reader = bed_new();
	struct peer *a, *b;

	owners(9, &a, &b);
	for (int i = 0; i < 200; i++)
		assert_int_equal(read_blocks(reader, 9, 64 * i, 8), 0);
	assert_int_equal(a->asked + b->asked, 200);
	assert_in_range(a->asked, 50, 150);
	bed_free(reader);
}

static void a_slow_owner_is_avoided(void **state)
{
	struct reader *reader = bed_new();
	struct peer *a, *b;

	owners(9, &a, &b);
	a->latency_ns = 100 * NSEC_PER_MSEC;
	for (int i = 0; i < 200; i++)
		assert_int_equal(read_blocks(reader, 9, 64 * i, 8), 0);
	assert_int_equal(a->asked + b->asked, 200);
	assert_in_range(a->asked, 1, 20);
	bed_free(reader);
}

static void an_unknown_ancestor_is_refused(void **state)
{
	struct reader *reader = bed_new();
	struct request *request = request_new(2);

	request->entries[0] = entry_of(block_addr(12, 3), 0);
	request->entries[1] = entry_of(block_addr(12, 4), 9);
	assert_int_equal(read_all(reader, request), -EUCLEAN);
	request_free(request);
	bed_free(reader);
}

static void freeing_cancels_what_is_in_flight(void **state)
{
	struct reader *reader = bed_new();
	struct request *request = request_new(1);

	request->entries[0] = entry_of(block_addr(12, 3), 0);
	submit(reader, request);
	assert_true(step());
	assert_false(list_empty(&calls));
	bed_free(reader);
	assert_false(request->done);
	request_free(request);
}

static struct reader *to_free;

static void free_reader(struct block_read *read, int err)
{
	request_done(read, err);
	reader_free(to_free);
}

static void the_reader_may_be_freed_in_done(void **state)
{
	struct reader *reader = bed_new();
	struct request *a = request_new(1), *b = request_new(1);

	to_free = reader;
	submit(reader, a);
	submit(reader, b);
	a->read.done = free_reader;
	while (step())
		;
	assert_true(a->done);
	assert_false(b->done);
	request_free(a);
	request_free(b);
	ring_free(ring);
}

static enum behaviour random_behaviour(uint64_t *seed)
{
	static const enum behaviour kinds[] = {
		GOOD, GOOD, GOOD, DAMAGED, NO_CHUNK, ODD_DAMAGED,
		EVEN_DAMAGED, FAILING, SILENT, BUSY, DOWN, SHORT,
	};

	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return kinds[(*seed >> 33) % ARRAY_SIZE(kinds)];
}

/* Whatever the peers do, data is right, or the read fails as it must. */
static void any_mix_of_faults_gives_right_data_or_an_error(void **state)
{
	uint64_t seed = 77;
	unsigned int good = 0;

	for (int round = 0; round < 300; round++) {
		struct reader *reader = bed_new();
		struct request *request = request_new(64);

		for (uint32_t i = 0; i < 64; i++)
			request->entries[i] = entry_of(
				block_addr(1 + i / 20, i + i / 7 * 5), 0);
		submit(reader, request);
		for (int i = 0; !request->done; i++) {
			if (i % 10 == 0)
				for (unsigned int p = 0; p < PEERS; p++)
					peers[p].behaviour =
						random_behaviour(&seed);
			assert_true(step());
			assert_true(i < 100000);
		}
		if (!request->err) {
			check_data(request);
			good++;
		} else {
			assert_true(request->err == -EIO ||
				    request->err == -ETIMEDOUT);
		}
		request_free(request);
		bed_free(reader);
	}
	assert_true(good > 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contiguous_blocks_are_one_message),
		cmocka_unit_test(scattered_blocks_and_holes_are_put_together),
		cmocka_unit_test(holes_alone_need_no_peer),
		cmocka_unit_test(many_reads_are_bounded_and_all_finish),
		cmocka_unit_test(damage_is_read_from_another_replica),
		cmocka_unit_test(
			copies_damaged_in_different_places_make_a_good_one),
		cmocka_unit_test(a_chunk_elsewhere_is_found_and_remembered),
		cmocka_unit_test(a_chunk_of_the_previous_ring_is_found),
		cmocka_unit_test(no_good_copy_anywhere_is_an_error),
		cmocka_unit_test(a_missing_answer_is_waited_for),
		cmocka_unit_test(peers_that_come_back_are_asked_at_once),
		cmocka_unit_test(waiting_ends_at_the_timeout),
		cmocka_unit_test(queued_reads_time_out_too),
		cmocka_unit_test(a_fenced_reader_stops),
		cmocka_unit_test(holders_are_asked_first),
		cmocka_unit_test(reads_spread_over_the_owners),
		cmocka_unit_test(a_slow_owner_is_avoided),
		cmocka_unit_test(an_unknown_ancestor_is_refused),
		cmocka_unit_test(freeing_cancels_what_is_in_flight),
		cmocka_unit_test(the_reader_may_be_freed_in_done),
		cmocka_unit_test(
			any_mix_of_faults_gives_right_data_or_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
