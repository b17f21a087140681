// SPDX-License-Identifier: Apache-2.0
#include "maint_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "wire/record.h"

#define CALL_TIMEOUT (30 * NSEC_PER_SEC)

/* ---- the metadata store ------------------------------------------------------- */

static void put_text(struct mbed *w, const char *key, char *text)
{
	assert_non_null(text);
	sim_meta_put(w->sim, key, text);
	free(text);
}

void mbed_volume(struct mbed *w, uint32_t replication)
{
	CLEANUP_FREE struct volume_doc *doc = calloc(1, sizeof(*doc));
	char key[META_KEY_MAX];

	assert_non_null(doc);
	snprintf(doc->name, sizeof(doc->name), "vol");
	doc->id = MBED_VOLUME;
	doc->size = 1ull << 30;
	doc->replication = replication;
	doc->chunk_blocks = 256;
	doc->tail.first = w->tail_first ? w->tail_first : 1;
	doc->tail.last = w->tail_first;
	doc->next_chunk = 1u << 20;
	key_volume(&w->cluster, "vol", key);
	put_text(w, key, volume_doc_encode(doc));
	key_volume_id(&w->cluster, MBED_VOLUME, key);
	put_text(w, key, name_encode("vol"));
}

void mbed_forget_volume(struct mbed *w)
{
	char key[META_KEY_MAX];

	key_volume_id(&w->cluster, MBED_VOLUME, key);
	sim_meta_put(w->sim, key, NULL);
}

void mbed_ring(struct mbed *w, uint32_t replication, uint32_t mask,
	       uint32_t drained)
{
	struct ring_spec *spec = &w->ring.current;
	char key[META_KEY_MAX];
	unsigned int i;

	w->ring.has_previous = spec->version > 0;
	w->ring.previous = *spec;
	spec->version++;
	spec->type = RING_KETAMA;
	spec->replication = replication;
	spec->member_count = 0;
	for (i = 0; i < MBED_STORES; i++) {
		struct ring_member *m = &spec->members[spec->member_count];

		if (!(mask & 1u << i))
			continue;
		memset(m, 0, sizeof(*m));
		m->peer = w->store[i].id;
		m->weight = drained & 1u << i ? 0 : 1ull << 30;
		spec->member_count++;
	}
	ring_free(w->function);
	assert_int_equal(0, ring_create(spec, &w->function));
	key_ring(&w->cluster, key);
	put_text(w, key, ring_doc_encode(&w->ring));
}

void mbed_read_ring(struct mbed *w, struct ring_doc *doc)
{
	char key[META_KEY_MAX];

	key_ring(&w->cluster, key);
	assert_int_equal(0, ring_doc_decode(key, sim_meta_value(w->sim, key),
					    doc));
}

static void put_peer(struct mbed *w, unsigned int i)
{
	struct peer_doc doc = { .id = w->store[i].id, .size = 1u << 30 };
	char key[META_KEY_MAX];

	snprintf(doc.address, sizeof(doc.address), "store%u:1", i);
	key_peer(&w->cluster, &doc.id, key);
	put_text(w, key, peer_doc_encode(&doc));
}

/* As torusd does: others need not sit out a back-off. */
static void put_alive(struct mbed *w, unsigned int i)
{
	char key[META_KEY_MAX];

	key_alive(&w->cluster, &w->store[i].id, key);
	sim_meta_put(w->sim, key, "{\"version\":1}");
}

/* ---- stores ------------------------------------------------------------------------ */

static void on_done(void *ctx, int err)
{
	struct mbed *w = ctx;

	w->done = true;
	w->err = err;
}

static void wait_done(struct mbed *w)
{
	assert_true(sim_run_until(w->sim, &w->done, MBED_LONG));
	assert_int_equal(0, w->err);
}

void mbed_start(struct mbed *w, unsigned int i)
{
	struct mbed_store *s = &w->store[i];
	struct store_config cfg = {
		.cluster = w->cluster, .peer = s->id, .size = s->size,
	};
	char address[32];

	snprintf(cfg.boot_id, sizeof(cfg.boot_id), "boot");
	snprintf(address, sizeof(address), "store%u:1", i);
	sim_node_start(s->node);
	w->done = false;
	s->store = store_open(sim_node_env(s->node), &cfg, on_done, w);
	assert_non_null(s->store);
	wait_done(w);
	assert_int_equal(0, store_serve(s->store, address));
	put_alive(w, i);
}

static void ring_changed(void *ctx)
{
	struct mbed_store *s = ctx;

	if (s->maint != NULL)
		maint_ring_changed(s->maint);
}

static void peer_changed(void *ctx, struct peer *peer, int err)
{
	struct mbed_store *s = ctx;

	if (s->maint != NULL)
		maint_peer_changed(s->maint, peer, err);
}

static void alive_changed(void *ctx, const struct uuid *peer, bool alive)
{
	struct mbed_store *s = ctx;

	if (s->maint != NULL)
		maint_alive_changed(s->maint, peer, alive);
}

static const struct cluster_ops cluster_ops = {
	.ring_changed = ring_changed,
	.peer_changed = peer_changed,
	.alive_changed = alive_changed,
};

static void on_cluster(void *ctx, int err)
{
	struct mbed_store *s = ctx;

	on_done(s->bed, err);
}

void mbed_maintain(struct mbed *w, unsigned int i)
{
	struct mbed_store *s = &w->store[i];
	struct cluster_config cfg = {
		.self = s->id, .role = WIRE_ROLE_PEER, .ops = &cluster_ops,
		.ctx = s,
	};

	w->done = false;
	s->cluster = cluster_open(sim_node_env(s->node), sim_node_meta(s->node),
				  &cfg, on_cluster, s);
	assert_non_null(s->cluster);
	wait_done(w);
	s->maint = maint_new(sim_node_env(s->node), sim_node_meta(s->node),
			     s->cluster, s->store, &w->cfg);
	assert_non_null(s->maint);
}

void mbed_start_all(struct mbed *w, uint32_t mask)
{
	unsigned int i;

	for (i = 0; i < MBED_STORES; i++)
		if (mask & 1u << i) {
			mbed_start(w, i);
			mbed_maintain(w, i);
		}
}

void mbed_stop(struct mbed *w, unsigned int i)
{
	struct mbed_store *s = &w->store[i];

	sim_node_kill(s->node);
	if (s->maint != NULL) {
		s->copied_bytes += s->maint->copied_bytes;
		s->dropped += s->maint->dropped_chunks;
	}
	maint_free(s->maint);
	cluster_close(s->cluster);
	store_free(s->store);
	s->maint = NULL;
	s->cluster = NULL;
	s->store = NULL;
}

/* ---- fixtures ------------------------------------------------------------------------ */

static void random_uuid(struct mbed *w, struct uuid *id)
{
	size_t i;

	for (i = 0; i < sizeof(id->byte); i++)
		id->byte[i] = (uint8_t)sim_random(w->sim);
	uuid_from_random(id);
}

static void make_client(struct mbed *w)
{
	struct peer_set_config cfg = { .cluster = w->cluster,
				       .role = WIRE_ROLE_VOLUME };
	char address[32];
	unsigned int i;

	w->client = sim_node_new(w->sim, "client");
	w->peers = peer_set_new(sim_node_env(w->client), &cfg);
	assert_non_null(w->peers);
	for (i = 0; i < MBED_STORES; i++) {
		snprintf(address, sizeof(address), "store%u:1", i);
		assert_non_null(peer_set_update(w->peers, &w->store[i].id,
						address));
	}
}

int mbed_setup(void **state)
{
	struct mbed *w = calloc(1, sizeof(*w));
	struct cluster_doc cluster = { .replication = 3, .chunk_size = 1u << 20 };
	unsigned int i;

	assert_non_null(w);
	*state = w;
	w->sim = sim_new(11);
	if (getenv("BED_LOG") == NULL)
		log_set_sink(NULL);
	random_uuid(w, &w->cluster);
	cluster.id = w->cluster;
	put_text(w, KEY_CLUSTER, cluster_doc_encode(&cluster));
	for (i = 0; i < MBED_STORES; i++) {
		struct mbed_store *s = &w->store[i];
		char name[16];

		snprintf(name, sizeof(name), "store%u", i);
		s->bed = w;
		s->node = sim_node_new(w->sim, name);
		random_uuid(w, &s->id);
		put_peer(w, i);
	}
	mbed_volume(w, 3);
	make_client(w);
	return 0;
}

int mbed_teardown(void **state)
{
	struct mbed *w = *state;
	unsigned int i;

	sim_node_kill(w->client);
	peer_set_free(w->peers);
	for (i = 0; i < MBED_STORES; i++)
		if (w->store[i].store != NULL)
			mbed_stop(w, i);
	ring_free(w->function);
	sim_free(w->sim);
	free(w);
	return 0;
}

/* ---- chunks -------------------------------------------------------------------------- */

struct client_call {
	struct peer_call call;
	bool done;
};

static void call_done(struct peer_call *call)
{
	container_of(call, struct client_call, call)->done = true;
}

static uint32_t client_call(struct mbed *w, unsigned int i,
			    enum wire_type type, uint32_t flags,
			    const void *body, struct iovec *data)
{
	struct client_call c = {
		.call = {
			.type = type, .flags = flags, .body = body,
			.data = data, .data_count = data != NULL,
			.data_len = data != NULL ? (uint32_t)data->iov_len : 0,
			.timeout_ns = CALL_TIMEOUT, .done = call_done,
		},
	};

	peer_call(peer_find(w->peers, &w->store[i].id), &c.call);
	assert_true(sim_run_until(w->sim, &c.done, MBED_LONG));
	assert_int_equal(0, c.call.err);
	return c.call.status;
}

#define RECORD_BLOCKS 200u

/* A record of so many blocks at @block, which goes on from @crc. */
static void make_record(struct mbed *w, uint64_t chunk, uint32_t block,
			uint32_t blocks, uint32_t *crc, uint8_t *bytes)
{
	struct extent extent = {
		.first = 1, .count = blocks > 1 ? blocks - 1 : 1,
		.kind = blocks > 1 ? EXTENT_DATA : EXTENT_ZERO,
	};
	uint32_t crcs[RECORD_PAYLOAD_BLOCKS_MAX], i;
	struct record r = {
		.volume = MBED_VOLUME, .chunk = chunk, .epoch = 1,
		.sequence = ++w->sequence, .prev_crc = *crc, .block = block,
		.payload_blocks = blocks - 1, .extent_count = 1,
		.extents = &extent, .payload_crc = crcs,
	};

	for (i = 0; i < r.payload_blocks; i++) {
		uint8_t *data = bytes + (size_t)(1 + i) * BLOCK_SIZE;

		memset(data, (int)(chunk + block + i), BLOCK_SIZE);
		crcs[i] = crc32c(0, data, BLOCK_SIZE);
	}
	record_encode(&r, bytes);
	assert_int_equal(1, r.header_blocks);
	*crc = r.crc;
}

/* All of the chunk's records, one after the other. */
static uint8_t *make_chunk(struct mbed *w, uint64_t chunk, uint32_t blocks,
			   uint32_t *crc)
{
	uint8_t *bytes = calloc(blocks, BLOCK_SIZE);
	uint32_t at;

	assert_non_null(bytes);
	*crc = 0;
	for (at = 0; at < blocks; at += RECORD_BLOCKS)
		make_record(w, chunk, at, MIN(blocks - at, RECORD_BLOCKS), crc,
			    bytes + (size_t)at * BLOCK_SIZE);
	return bytes;
}

static void append_to(struct mbed *w, unsigned int i, uint64_t chunk,
		      uint32_t blocks, uint8_t *bytes)
{
	uint32_t at;

	for (at = 0; at < blocks; at += RECORD_BLOCKS) {
		uint32_t n = MIN(blocks - at, RECORD_BLOCKS);
		struct wire_append body = {
			.volume = cpu_to_le64(MBED_VOLUME),
			.chunk = cpu_to_le64(chunk), .epoch = cpu_to_le64(1),
			.block = cpu_to_le32(at), .blocks = cpu_to_le32(n),
		};
		struct iovec data = { bytes + (size_t)at * BLOCK_SIZE,
				      (size_t)n * BLOCK_SIZE };

		assert_int_equal(WIRE_OK, client_call(w, i, WIRE_APPEND,
						      WIRE_DURABLE, &body,
						      &data));
	}
}

static void seal_at(struct mbed *w, unsigned int i, uint64_t chunk,
		    uint32_t blocks, uint32_t crc)
{
	struct wire_seal body = {
		.volume = cpu_to_le64(MBED_VOLUME), .chunk = cpu_to_le64(chunk),
		.epoch = cpu_to_le64(1), .length = cpu_to_le32(blocks),
		.end_crc = cpu_to_le32(crc),
	};

	assert_int_equal(WIRE_OK, client_call(w, i, WIRE_SEAL, 0, &body, NULL));
}

uint64_t mbed_put_open(struct mbed *w, uint32_t mask, uint32_t open,
		       uint32_t blocks)
{
	uint64_t chunk = ++w->chunks;
	uint32_t crc;
	uint8_t *bytes = make_chunk(w, chunk, blocks, &crc);
	unsigned int i;

	assert_true(chunk < ARRAY_SIZE(w->blocks));
	w->blocks[chunk] = blocks;
	for (i = 0; i < MBED_STORES; i++) {
		if (!(mask & 1u << i))
			continue;
		append_to(w, i, chunk, blocks, bytes);
		if (!(open & 1u << i))
			seal_at(w, i, chunk, blocks, crc);
	}
	free(bytes);
	return chunk;
}

uint64_t mbed_put_shorter(struct mbed *w, uint32_t mask, unsigned int left)
{
	uint64_t chunk = ++w->chunks;
	uint8_t *bytes = calloc(2 * RECORD_BLOCKS, BLOCK_SIZE);
	uint32_t crc = 0, first;
	unsigned int i;

	assert_non_null(bytes);
	w->blocks[chunk] = RECORD_BLOCKS;
	make_record(w, chunk, 0, RECORD_BLOCKS, &crc, bytes);
	first = crc;
	make_record(w, chunk, RECORD_BLOCKS, RECORD_BLOCKS, &crc,
		    bytes + (size_t)RECORD_BLOCKS * BLOCK_SIZE);
	append_to(w, left, chunk, 2 * RECORD_BLOCKS, bytes);
	for (i = 0; i < MBED_STORES; i++) {
		if (!(mask & 1u << i))
			continue;
		append_to(w, i, chunk, RECORD_BLOCKS, bytes);
		seal_at(w, i, chunk, RECORD_BLOCKS, first);
	}
	free(bytes);
	return chunk;
}

void mbed_fence(struct mbed *w, unsigned int i, uint64_t epoch)
{
	struct wire_fence body = { .volume = cpu_to_le64(MBED_VOLUME),
				   .epoch = cpu_to_le64(epoch) };

	assert_int_equal(WIRE_OK, client_call(w, i, WIRE_FENCE, 0, &body,
					      NULL));
}

uint64_t mbed_put(struct mbed *w, uint32_t mask, uint32_t blocks)
{
	return mbed_put_open(w, mask, 0, blocks);
}

void mbed_put_many(struct mbed *w, uint32_t count, uint32_t blocks,
		   uint32_t except)
{
	while (count-- > 0)
		mbed_put(w, mbed_owners(w, w->chunks + 1, except), blocks);
}

/* ---- questions -------------------------------------------------------------------------- */

static uint32_t mask_of(const struct mbed *w, const struct uuid *id)
{
	unsigned int i;

	for (i = 0; i < MBED_STORES; i++)
		if (uuid_equal(&w->store[i].id, id))
			return 1u << i;
	return 0;
}

uint32_t mbed_owners(struct mbed *w, uint64_t chunk, uint32_t except)
{
	struct uuid out[RING_REPLICATION_MAX], not[MBED_STORES];
	uint32_t i, n, not_count = 0, mask = 0;

	for (i = 0; i < MBED_STORES; i++)
		if (except & 1u << i)
			not[not_count++] = w->store[i].id;
	n = ring_ensemble(w->function, MBED_VOLUME, chunk,
			  w->ring.current.replication, not, not_count, out);
	for (i = 0; i < n; i++)
		mask |= mask_of(w, &out[i]);
	return mask;
}

bool mbed_has(struct mbed *w, unsigned int i, uint64_t chunk)
{
	struct store_copy copy;

	return w->store[i].store != NULL &&
	       store_copy_get(w->store[i].store, MBED_VOLUME, chunk, &copy) &&
	       copy.state == WIRE_COPY_SEALED &&
	       copy.length == w->blocks[chunk];
}

uint32_t mbed_holders(struct mbed *w, uint64_t chunk)
{
	uint32_t mask = 0;
	unsigned int i;

	for (i = 0; i < MBED_STORES; i++)
		if (mbed_has(w, i, chunk))
			mask |= 1u << i;
	return mask;
}

uint32_t mbed_copies(struct mbed *w, unsigned int i)
{
	uint64_t chunk;
	uint32_t n = 0;

	for (chunk = 1; chunk <= w->chunks; chunk++)
		n += mbed_has(w, i, chunk);
	return n;
}

bool mbed_is_idle(struct mbed *w)
{
	unsigned int i;

	for (i = 0; i < MBED_STORES; i++)
		if (w->store[i].maint != NULL &&
		    !maint_idle(w->store[i].maint))
			return false;
	return true;
}

/* Twice in a row: what one did may give another something to do. */
void mbed_settle(struct mbed *w)
{
	uint64_t end = sim_now(w->sim) + MBED_LONG;
	unsigned int idle = 0;

	while (idle < 20) {
		assert_true(sim_now(w->sim) < end);
		sim_run(w->sim, NSEC_PER_SEC);
		idle = mbed_is_idle(w) ? idle + 1 : 0;
	}
}

void mbed_check_places(struct mbed *w)
{
	uint64_t chunk;

	for (chunk = 1; chunk <= w->chunks; chunk++)
		assert_int_equal(mbed_owners(w, chunk, 0),
				 mbed_holders(w, chunk));
}

uint64_t mbed_copied_bytes(struct mbed *w)
{
	uint64_t bytes = 0;
	unsigned int i;

	for (i = 0; i < MBED_STORES; i++)
		bytes += w->store[i].copied_bytes +
			 (w->store[i].maint != NULL ?
			  w->store[i].maint->copied_bytes : 0);
	return bytes;
}

uint64_t mbed_dropped(struct mbed *w)
{
	uint64_t n = 0;
	unsigned int i;

	for (i = 0; i < MBED_STORES; i++)
		n += w->store[i].dropped +
		     (w->store[i].maint != NULL ?
		      w->store[i].maint->dropped_chunks : 0);
	return n;
}
