// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "ring/ring.h"
#include "volume_bed.h"

static void random_uuid(struct bed *w, struct uuid *id)
{
	size_t i;

	for (i = 0; i < sizeof(id->byte); i++)
		id->byte[i] = (uint8_t)sim_random(w->sim);
	uuid_from_random(id);
}

void bed_put(struct bed *w, const char *key, char *text)
{
	assert_non_null(text);
	sim_meta_put(w->sim, key, text);
	free(text);
}

void bed_put_ring(struct bed *w, uint64_t version, unsigned int members)
{
	struct ring_doc *doc = calloc(1, sizeof(*doc));
	char key[META_KEY_MAX];
	unsigned int i;

	assert_non_null(doc);
	doc->current.version = version;
	doc->current.type = RING_MOD;
	doc->current.replication = 3;
	doc->current.member_count = members;
	for (i = 0; i < members; i++) {
		doc->current.members[i].peer = w->ids[i];
		doc->current.members[i].weight = 1u << 30;
	}
	if (version > 1) {
		doc->has_previous = true;
		doc->previous = doc->current;
		doc->previous.version = version - 1;
		doc->previous.member_count = w->members;
	}
	w->members = members;
	key_ring(&w->cluster, key);
	bed_put(w, key, ring_doc_encode(doc));
	free(doc);
}

void bed_ring_spec(struct bed *w, struct ring_spec *spec)
{
	struct ring_doc *doc = calloc(1, sizeof(*doc));
	char key[META_KEY_MAX];

	assert_non_null(doc);
	key_ring(&w->cluster, key);
	assert_int_equal(0, ring_doc_decode(key, sim_meta_value(w->sim, key),
					    doc));
	*spec = doc->current;
	free(doc);
}

static void put_volume(struct bed *w)
{
	struct cluster_doc cluster = {
		.id = w->cluster, .replication = 3, .chunk_size = MIB,
	};
	struct volume_doc *doc = calloc(1, sizeof(*doc));
	char key[META_KEY_MAX];

	assert_non_null(doc);
	snprintf(doc->name, sizeof(doc->name), "vol");
	doc->id = 1;
	doc->size = (uint64_t)BLOCKS * BLOCK_SIZE;
	doc->replication = 3;
	doc->chunk_blocks = 256;
	doc->tail.first = 1;
	doc->next_chunk = 1;
	bed_put(w, KEY_CLUSTER, cluster_doc_encode(&cluster));
	key_volume(&w->cluster, "vol", key);
	bed_put(w, key, volume_doc_encode(doc));
	free(doc);
}

void bed_get_volume(struct bed *w, struct volume_doc *doc)
{
	char key[META_KEY_MAX];

	key_volume(&w->cluster, "vol", key);
	assert_int_equal(0, volume_doc_decode(key, sim_meta_value(w->sim, key),
					      doc));
}

static void put_peer(struct bed *w, unsigned int i)
{
	struct peer_doc doc = { .id = w->ids[i], .size = 1u << 30 };
	char key[META_KEY_MAX];

	snprintf(doc.address, sizeof(doc.address), "store%u:1", i);
	key_peer(&w->cluster, &w->ids[i], key);
	bed_put(w, key, peer_doc_encode(&doc));
	key_alive(&w->cluster, &w->ids[i], key);
	sim_meta_put(w->sim, key, "{\"version\":1}");
}

static void on_done(void *ctx, int err)
{
	struct bed *w = ctx;

	w->flag = true;
	w->err = err;
}

void bed_wait_flag(struct bed *w)
{
	assert_true(sim_run_until(w->sim, &w->flag, LONG));
}

void bed_start_store(struct bed *w, unsigned int i)
{
	struct store_config cfg = {
		.cluster = w->cluster, .peer = w->ids[i],
		.size = w->store_size,
	};
	char address[32];

	snprintf(cfg.boot_id, sizeof(cfg.boot_id), "boot-%u",
		 sim_node_boots(w->node[i]));
	snprintf(address, sizeof(address), "store%u:1", i);
	sim_node_start(w->node[i]);
	w->flag = false;
	w->store[i] = store_open(sim_node_env(w->node[i]), &cfg, on_done, w);
	assert_non_null(w->store[i]);
	bed_wait_flag(w);
	assert_int_equal(0, w->err);
	assert_int_equal(0, store_serve(w->store[i], address));
}

void bed_stop_store(struct bed *w, unsigned int i, bool power)
{
	if (power)
		sim_node_crash(w->node[i]);
	else
		sim_node_kill(w->node[i]);
	store_free(w->store[i]);
	w->store[i] = NULL;
}

static void on_failed(void *ctx, enum volume_failure why)
{
	struct bed *w = ctx;

	w->failed = true;
	w->why = why;
}

static const struct volume_ops ops = { .failed = on_failed };

int bed_setup(void **state)
{
	struct bed *w = calloc(1, sizeof(*w));
	unsigned int i;

	assert_non_null(w);
	*state = w;
	w->sim = sim_new(7);
	w->data = aligned_alloc(BLOCK_SIZE, MIB);
	assert_non_null(w->data);
	log_set_sink(NULL);
	random_uuid(w, &w->cluster);
	for (i = 0; i < STORES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "store%u", i);
		w->node[i] = sim_node_new(w->sim, name);
		random_uuid(w, &w->ids[i]);
		put_peer(w, i);
	}
	bed_put_ring(w, 1, 3);
	put_volume(w);
	for (i = 0; i < STORES; i++)
		bed_start_store(w, i);
	w->host = sim_node_new(w->sim, "host");
	w->other = sim_node_new(w->sim, "other");
	w->cfg.ops = &ops;
	w->cfg.ctx = w;
	snprintf(w->cfg.name, sizeof(w->cfg.name), "vol");
	return 0;
}

int bed_teardown(void **state)
{
	struct bed *w = *state;
	unsigned int i;

	if (w->volume != NULL) {
		sim_node_kill(w->host);
		volume_free(w->volume);
	}
	for (i = 0; i < STORES; i++)
		if (w->store[i] != NULL)
			bed_stop_store(w, i, false);
	sim_free(w->sim);
	free(w->data);
	free(w);
	return 0;
}

static void on_attached(void *ctx, int err)
{
	struct bed *w = ctx;

	w->attached = true;
	on_done(w, err);
}

struct volume *bed_start_attach(struct bed *w, struct sim_node *node)
{
	struct volume *volume;

	sim_node_start(node);		/* it may have been killed before */
	w->cfg.attachment.present = true;
	snprintf(w->cfg.attachment.host, sizeof(w->cfg.attachment.host), "%s",
		 sim_node_name(node));
	if (!w->cfg.surviving)
		random_uuid(w, &w->cfg.attachment.incarnation);
	w->flag = false;
	w->attached = false;
	volume = volume_attach(sim_node_env(node), sim_node_meta(node),
			       &w->cfg, on_attached, w);
	assert_non_null(volume);
	return volume;
}

int bed_attach_on(struct bed *w, struct sim_node *node)
{
	w->volume = bed_start_attach(w, node);
	bed_wait_flag(w);
	return w->err;
}

void bed_attach(struct bed *w)
{
	assert_int_equal(0, bed_attach_on(w, w->host));
}

int bed_detach(struct bed *w)
{
	w->flag = false;
	volume_detach(w->volume, on_done, w);
	bed_wait_flag(w);
	volume_free(w->volume);
	w->volume = NULL;
	return w->err;
}

/* The host dies, and another one takes over. */
void bed_take_over(struct bed *w)
{
	struct sim_node *node = w->host;

	sim_node_kill(w->host);
	volume_free(w->volume);
	w->host = w->other;
	w->other = node;
	w->cfg.force = true;
	bed_attach(w);
}

static void io_done(struct volume_request *req, int err)
{
	struct bed_io *io = container_of(req, struct bed_io, req);

	io->over = true;
	io->err = err;
	io->bed->open--;
}

void bed_io_start(struct bed *w, struct bed_io *io, enum volume_op op,
		  uint64_t offset, uint64_t length, bool fua)
{
	*io = (struct bed_io){
		.req = {
			.op = op, .fua = fua, .offset = offset,
			.length = length, .buffer = w->data, .done = io_done,
		},
		.bed = w,
	};
	w->open++;
	volume_submit(w->volume, &io->req);
	assert_false(io->over);
}

int bed_io_run(struct bed *w, enum volume_op op, uint64_t offset,
	       uint64_t length, bool fua)
{
	struct bed_io io;

	bed_io_start(w, &io, op, offset, length, fua);
	assert_true(sim_run_until(w->sim, &io.over, LONG));
	return io.err;
}

int bed_write_blocks(struct bed *w, uint32_t first, uint32_t count,
		     uint8_t value, bool fua)
{
	int err;

	memset(w->data, value, (size_t)count * BLOCK_SIZE);
	err = bed_io_run(w, VOLUME_WRITE, (uint64_t)first * BLOCK_SIZE,
			 (uint64_t)count * BLOCK_SIZE, fua);
	if (!err)
		memset(w->model + first, value, count);
	return err;
}

int bed_flush(struct bed *w)
{
	return bed_io_run(w, VOLUME_FLUSH, 0, 0, false);
}

static void write_one(struct bed *w)
{
	uint32_t first = (uint32_t)sim_below(w->sim, BLOCKS - 64);
	uint32_t count = (uint32_t)sim_between(w->sim, 1, 64);
	uint8_t value = (uint8_t)sim_random(w->sim);

	assert_int_equal(0, bed_write_blocks(w, first, count, value, false));
}

void bed_write_random(struct bed *w, unsigned int writes)
{
	while (writes-- > 0)
		write_one(w);
}

void bed_verify(struct bed *w)
{
	uint32_t first, i;

	for (first = 0; first < BLOCKS; first += 256) {
		memset(w->data, 0xee, MIB);
		assert_int_equal(0, bed_io_run(w, VOLUME_READ,
					       (uint64_t)first * BLOCK_SIZE, MIB,
					       false));
		for (i = 0; i < MIB; i += 512)
			assert_int_equal(w->model[first + i / BLOCK_SIZE],
					 w->data[i]);
	}
}

struct volume_stats bed_stats(struct bed *w)
{
	struct volume_stats s;

	volume_stats(w->volume, &s);
	return s;
}

bool bed_find_block(struct bed *w, unsigned int store, uint8_t value,
		    char *path, uint64_t *offset)
{
	uint8_t block[BLOCK_SIZE], wanted[BLOCK_SIZE];
	struct volume_doc doc;
	uint64_t chunk;

	memset(wanted, value, sizeof(wanted));
	bed_get_volume(w, &doc);
	for (chunk = doc.next_chunk; chunk-- > 1;) {
		snprintf(path, BED_PATH_MAX, "chunks/%016x/%012llx", 1u,
			 (unsigned long long)chunk);
		for (*offset = 0; sim_disk_peek(w->node[store], path, *offset,
						block, BLOCK_SIZE,
						false) == BLOCK_SIZE;
		     *offset += BLOCK_SIZE)
			if (memcmp(block, wanted, BLOCK_SIZE) == 0)
				return true;
	}
	return false;
}

bool bed_rot_block(struct bed *w, unsigned int store, uint8_t value)
{
	char path[BED_PATH_MAX];
	uint64_t offset;

	if (!bed_find_block(w, store, value, path, &offset))
		return false;
	assert_int_equal(0, sim_disk_flip(w->node[store], path, offset + 100));
	return true;
}
