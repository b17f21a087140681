/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers for the reader that are played by the test, in the place of peer/ and
 * cluster: each call can be answered, damaged, refused or left to time out at
 * will. The reader is compiled into the test with the names of what it calls
 * changed, as the real peers are linked too.
 */
#ifndef TORUS_TEST_READER_BED_H
#define TORUS_TEST_READER_BED_H

#define cluster_peers		bed_cluster_peers
#define cluster_ring		bed_cluster_ring
#define cluster_ring_version	bed_cluster_ring_version
#define cluster_for_each_peer	bed_cluster_for_each_peer
#define peer_find		bed_peer_find
#define peer_id			bed_peer_id
#define peer_address		bed_peer_address
#define peer_state		bed_peer_state
#define peer_usable		bed_peer_usable
#define peer_call		bed_peer_call
#define peer_call_cancel	bed_peer_call_cancel
#define peer_call_abandon	bed_peer_call_abandon
#define peer_call_receiving	bed_peer_call_receiving
#define peer_stats(peer)	bed_peer_stats(peer)

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

#include "../../userspace/libtorus/volume/reader.c"
#include "../../userspace/libtorus/volume/reader_hedge.c"
#include "../../userspace/libtorus/volume/reader_peers.c"
#include "../../userspace/libtorus/volume/reader_run.c"

#define PEERS	5u
#define VOLUME	7u

enum behaviour { GOOD, NO_CHUNK, DAMAGED, ODD_DAMAGED, EVEN_DAMAGED, SHORT,
		 DOWN, FAILING, SILENT, FENCED, BUSY };

struct peer {
	struct uuid id;
	enum behaviour behaviour;
	uint64_t latency_ns;
	struct peer_stats stats;
	uint32_t asked, cancelled, abandoned, blocks_asked;
	bool undocumented;		/* the cluster has no document of it */
};

struct pending_call {
	struct list_head node;
	struct peer *peer;
	struct peer_call *call;
	struct wire_read body;
	uint64_t since, due;
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

typedef void (*doc_fn)(void *ctx, const struct peer_doc *doc, bool alive);

void cluster_for_each_peer(const struct cluster *cluster, doc_fn fn, void *ctx)
{
	for (unsigned int i = 0; i < PEERS; i++) {
		struct peer_doc doc = { .id = peers[i].id };

		if (!peers[i].undocumented)
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

const struct peer_stats *peer_stats(const struct peer *peer)
{
	return &peer->stats;
}

bool peer_call_receiving(const struct peer_call *call)
{
	return call->receiving;
}

void peer_call(struct peer *peer, struct peer_call *call)
{
	struct pending_call *pending = calloc(1, sizeof(*pending));

	assert_non_null(pending);
	assert_int_equal(call->type, WIRE_READ);
	pending->peer = peer;
	pending->call = call;
	memcpy(&pending->body, call->body, sizeof(pending->body));
	pending->since = now;
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

void peer_call_abandon(struct peer_call *call)
{
	struct pending_call *pending;

	assert_false(call->receiving);
	list_for_each_entry(pending, &calls, node)
		if (pending->call == call)
			pending->peer->abandoned++;
	peer_call_cancel(call);
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

static char scratch_memory[RECORD_PAYLOAD_BLOCKS_MAX * BLOCK_SIZE];

static void fill_reply(struct pending_call *pending)
{
	static uint64_t block[BLOCK_SIZE / 8];
	uint32_t n = le32_to_cpu(pending->body.blocks);
	uint64_t chunk = le64_to_cpu(pending->body.chunk);
	uint32_t first = le32_to_cpu(pending->body.block);
	struct iovec *iov = pending->call->reply_data;
	enum behaviour how = pending->peer->behaviour;
	static struct iovec scratch[2], whole;

	/* In two pieces, to see that they are put together. */
	if (iov == NULL) {
		scratch[0] = (struct iovec){ scratch_memory, 512 };
		scratch[1] = (struct iovec){ scratch_memory + 512,
					     n * BLOCK_SIZE - 512 };
		pending->call->scratch = scratch;
		pending->call->scratch_count = 2;
		whole = (struct iovec){ scratch_memory, n * BLOCK_SIZE };
		iov = &whole;
	}
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
	if (pending->peer->behaviour != SILENT)
		latency_add(&pending->peer->stats.reads, now,
			    now - pending->since);
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

#endif
