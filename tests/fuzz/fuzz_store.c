// SPDX-License-Identifier: Apache-2.0
/*
 * Requests as hostile or confused clients may send them, to a store on a
 * simulated disk: their bodies, their order, and crashes, failing syncs and
 * writes, bit rot and time in between. Each step is STEP bytes of the input.
 * Whatever comes, a copy that the store calls sealed verifies and is still there
 * after a crash, every request is answered, and the accounting of space equals a
 * recount.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sim/lib/env_sim.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "store/maintain.h"
#include "store/private.h"
#include "store/request.h"

#define STEP 12u
#define STEPS_MAX 120u
#define VOLUME 0x11ull
#define CHUNK 5ull
#define CHUNKS 2u
#define CHAINS 2u
#define RECORDS 4u
#define OUTSTANDING_MAX 32u
#define FOREVER (1000 * NSEC_PER_SEC)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Chains of one chunk: the same first record, then others. */
struct chain {
	uint8_t bytes[16 * BLOCK_SIZE];
	uint32_t end[RECORDS + 1];		/* blocks */
	uint32_t crc[RECORDS + 1];		/* of the header before */
};

struct world {
	struct sim *sim;
	struct sim_node *node;
	struct store *store;
	bool opened, verified;
	bool rotten;			/* copies may be bad */
	int err;
	uint32_t outstanding;
};

static struct chain chains[CHUNKS][CHAINS];

static void check(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

/* ---- chains ------------------------------------------------------------------ */

static void add_record(struct chain *chain, uint64_t chunk, uint32_t number,
		       uint32_t variant)
{
	static const uint32_t payloads[RECORDS] = { 2, 5, 0, 3 };
	uint32_t payload = payloads[number], crcs[8], i;
	struct extent extent = { .first = 7, .count = MAX(payload, 1u),
				 .kind = payload ? EXTENT_DATA : EXTENT_ZERO };
	struct record r = {
		.volume = VOLUME, .chunk = chunk, .epoch = 1,
		.sequence = 10 + number, .prev_crc = chain->crc[number],
		.block = chain->end[number], .payload_blocks = payload,
		.extent_count = 1, .extents = &extent, .payload_crc = crcs,
	};
	uint8_t *at = chain->bytes + (size_t)r.block * BLOCK_SIZE;

	for (i = 0; i < payload; i++) {
		uint8_t *block = at + (size_t)(1 + i) * BLOCK_SIZE;

		memset(block, (int)(number * 16 + i + (number ? variant : 0)),
		       BLOCK_SIZE);
		crcs[i] = crc32c(0, block, BLOCK_SIZE);
	}
	record_encode(&r, at);
	chain->crc[number + 1] = r.crc;
	chain->end[number + 1] = r.block + 1 + payload;
}

static void make_chains(void)
{
	uint32_t c, v, i;

	for (c = 0; c < CHUNKS; c++)
		for (v = 0; v < CHAINS; v++)
			for (i = 0; i < RECORDS; i++)
				add_record(&chains[c][v], CHUNK + c, i, v);
}

/* ---- the store --------------------------------------------------------------- */

static void opened(void *ctx, int err)
{
	struct world *w = ctx;

	w->opened = true;
	w->err = err;
}

static void open_store(struct world *w)
{
	struct store_config cfg = { .size = 1 << 22, .chunk_size = 1 << 18 };

	memset(cfg.cluster.byte, 0xc1, sizeof(cfg.cluster.byte));
	memset(cfg.peer.byte, 0x0e, sizeof(cfg.peer.byte));
	snprintf(cfg.boot_id, sizeof(cfg.boot_id), "boot-%u",
		 sim_node_boots(w->node));
	w->opened = false;
	w->outstanding = 0;
	w->store = store_open(sim_node_env(w->node), &cfg, opened, w);
	check(w->store != NULL, "no memory");
	check(sim_run_until(w->sim, &w->opened, FOREVER), "it does not open");
	check(w->err == 0, "it refuses its own directory");
}

static void heal_disk(struct world *w)
{
	struct sim_disk_faults *faults = sim_node_disk_faults(w->node);

	faults->sync_eio = 0;
	faults->write_eio = 0;
}

static void crash(struct world *w)
{
	heal_disk(w);
	sim_node_crash(w->node);
	store_free(w->store);
	sim_node_start(w->node);
	open_store(w);
}

/* ---- requests ---------------------------------------------------------------- */

static void answered(struct store_request *request)
{
	struct world *w = request->ctx;

	check(request->status < WIRE_STATUS_COUNT, "no status");
	w->outstanding--;
	store_request_free(request);
}

static struct store_request *request_new(struct world *w, uint16_t type,
					 uint8_t role)
{
	struct store_request *request;

	if (w->outstanding >= OUTSTANDING_MAX)
		sim_run(w->sim, NSEC_PER_SEC);
	request = store_request_new(w->store);
	check(request != NULL, "no request");
	request->type = type;
	request->role = role % 3 + WIRE_ROLE_VOLUME;
	request->done = answered;
	request->ctx = w;
	w->outstanding++;
	return request;
}

/* What server.c would do with the data of such a frame. */
static void run_with(struct store_request *request, const void *data,
		     uint32_t len)
{
	struct world *w = request->ctx;
	bool bulky = request->type == WIRE_APPEND ||
		     request->type == WIRE_RESTORE;

	request->data_len = len;
	if (len > 0 && bulky) {
		if (!store_buffer_take(store_receive_pool(w->store,
							  request->type),
				       &request->in, len)) {
			w->outstanding--;
			store_request_free(request);
			return;
		}
		store_buffer_copy(&request->in, 0, data, len);
	} else if (len > 0) {
		request->copied = malloc(len);
		check(request->copied != NULL, "no memory");
		memcpy(request->copied, data, len);
	}
	store_request_run(request);
}

static uint64_t chunk_of(const uint8_t *in)
{
	return in[2] < 0xf0 ? CHUNK + in[2] % CHUNKS : in[2] - 0xf0u;
}

static const struct chain *chain_of(const uint8_t *in)
{
	return &chains[in[2] % CHUNKS][in[3] % CHAINS];
}

static uint64_t volume_of(const uint8_t *in)
{
	return in[3] < 0xf8 ? VOLUME : in[3] - 0xf8u;
}

static void send_restore(struct world *w, const uint8_t *in)
{
	const struct chain *chain = chain_of(in);
	struct store_request *request = request_new(w, WIRE_RESTORE,
						    in[1] % 8 ? 1 : in[1] / 8);
	struct wire_restore *body = &request->body.restore;
	uint32_t record = in[5] % (RECORDS + 1);
	uint32_t block = in[6] % 16, blocks = in[7] % 16;
	uint8_t data[16 * BLOCK_SIZE];

	blocks = MIN(blocks, 16 - block);
	memcpy(data, chain->bytes + (size_t)block * BLOCK_SIZE,
	       (size_t)blocks * BLOCK_SIZE);
	if (in[9] >= 0xc0 && blocks > 0)
		data[(in[9] * 977u + in[10] * 31u) %
		     (blocks * BLOCK_SIZE)] ^= 1;
	body->volume = cpu_to_le64(volume_of(in));
	body->chunk = cpu_to_le64(chunk_of(in));
	body->epoch = cpu_to_le64(in[4] % 8);
	body->length = cpu_to_le32(chain->end[record] + (in[8] >= 0xf0));
	body->end_crc = cpu_to_le32(chain->crc[record] ^ (in[8] == 0xe0));
	body->block = cpu_to_le32(block);
	body->blocks = cpu_to_le32(blocks + (in[8] == 0xe1));
	body->token.byte[0] = in[11] % 2;
	run_with(request, data, blocks * BLOCK_SIZE);
}

/* All of a chain, in pieces, one right behind the other. */
static void send_copy(struct world *w, const uint8_t *in)
{
	const struct chain *chain = chain_of(in);
	uint32_t record = in[5] % (RECORDS + 1), end = chain->end[record];
	uint32_t block = 0, part = 1 + in[6] % 16;

	do {
		struct store_request *request =
			request_new(w, WIRE_RESTORE, 1);
		struct wire_restore *body = &request->body.restore;

		part = MIN(part, end - block);
		body->volume = cpu_to_le64(VOLUME);
		body->chunk = cpu_to_le64(CHUNK + in[2] % CHUNKS);
		body->epoch = cpu_to_le64(1 + in[4] % 4);
		body->length = cpu_to_le32(end);
		body->end_crc = cpu_to_le32(chain->crc[record]);
		body->block = cpu_to_le32(block);
		body->blocks = cpu_to_le32(part);
		body->token.byte[0] = in[11];
		run_with(request, chain->bytes + (size_t)block * BLOCK_SIZE,
			 part * BLOCK_SIZE);
		block += part;
		sim_run(w->sim, in[7] * 50000ull);
	} while (block < end);
}

static void send_append(struct world *w, const uint8_t *in)
{
	const struct chain *chain = chain_of(in);
	struct store_request *request = request_new(w, WIRE_APPEND, in[1]);
	struct wire_append *body = &request->body.append;
	uint32_t record = in[5] % RECORDS, block = chain->end[record];
	uint32_t blocks = chain->end[record + 1] - block;

	request->flags = in[6] % 2 ? WIRE_DURABLE : 0;
	body->volume = cpu_to_le64(VOLUME);
	body->chunk = cpu_to_le64(CHUNK + in[2] % CHUNKS);
	body->epoch = cpu_to_le64(1 + in[4] % 4);
	body->block = cpu_to_le32(block);
	body->blocks = cpu_to_le32(blocks);
	run_with(request, chain->bytes + (size_t)block * BLOCK_SIZE,
		 blocks * BLOCK_SIZE);
}

static void send_seal(struct world *w, const uint8_t *in)
{
	const struct chain *chain = chain_of(in);
	struct store_request *request = request_new(w, WIRE_SEAL, in[1]);
	struct wire_seal *body = &request->body.seal;
	uint32_t record = in[5] % (RECORDS + 1);

	body->volume = cpu_to_le64(VOLUME);
	body->chunk = cpu_to_le64(CHUNK + in[2] % CHUNKS);
	body->epoch = cpu_to_le64(1 + in[4] % 4);
	body->length = cpu_to_le32(chain->end[record]);
	body->end_crc = cpu_to_le32(chain->crc[record]);
	run_with(request, NULL, 0);
}

static void send_lookup(struct world *w, const uint8_t *in)
{
	struct store_request *request = request_new(w, WIRE_LOOKUP, in[1]);
	struct wire_lookup_entry entries[4];
	uint32_t i, count = in[5] % 5;

	memset(entries, in[6], sizeof(entries));
	for (i = 0; i < count; i++) {
		entries[i].volume = cpu_to_le64(volume_of(in));
		entries[i].chunk = cpu_to_le64(CHUNK + i);
	}
	request->body.lookup.count = cpu_to_le32(count + (in[7] >= 0xf0));
	run_with(request, entries, count * (uint32_t)sizeof(entries[0]));
}

/* Any other verb, its body made of the input's bytes. */
static void send_any(struct world *w, const uint8_t *in)
{
	static const uint16_t types[] = {
		WIRE_FENCE, WIRE_SCAN, WIRE_STAT_CHUNK, WIRE_LIST, WIRE_DELETE,
		WIRE_STAT, WIRE_CHECK, WIRE_MAINTENANCE, WIRE_READ, WIRE_PING,
		WIRE_SYNC,
	};
	uint16_t type = types[in[11] % ARRAY_SIZE(types)];
	struct store_request *request = request_new(w, type, in[1]);
	__le64 words[5] = {
		cpu_to_le64(volume_of(in)), cpu_to_le64(chunk_of(in)),
		cpu_to_le64(in[4] % 8), cpu_to_le64(in[5] | 65536ull << 32),
		cpu_to_le64(in[6] | (uint64_t)in[7] << 32),
	};
	struct wire_range range = { .chunk = words[1],
				    .length = cpu_to_le32(in[6] % 16) };

	if (type == WIRE_FENCE || type == WIRE_CHECK)
		words[1] = cpu_to_le64(in[4] % 8);
	memcpy(&request->body, words, sizeof(words));
	if (type == WIRE_SYNC)
		request->body.sync = (struct wire_sync) {
			.volume = words[0], .epoch = words[2],
			.count = cpu_to_le32(1),
		};
	run_with(request, &range, type == WIRE_SYNC ? sizeof(range) : 0);
}

/* ---- what must hold ---------------------------------------------------------- */

static void verify_done(struct store_copy_op *op, int err)
{
	struct world *w = op->ctx;

	w->verified = true;
	w->err = err;
}

static void verify(struct world *w, const struct store_copy *copy)
{
	struct store_copy_op op = {
		.volume = copy->volume, .chunk = copy->chunk,
		.done = verify_done, .ctx = w,
	};

	w->verified = false;
	store_copy_verify(w->store, &op);
	check(sim_run_until(w->sim, &w->verified, FOREVER), "no verdict");
	/* Something else may have it in hand by now. */
	check(w->err == 0 || w->rotten || w->err == -EBUSY ||
	      w->err == -ENOENT, "a sealed copy does not verify");
}

static void check_sealed(struct world *w)
{
	struct store_copy copy = { .chunk = 0 };

	while (store_copy_next(w->store, copy.volume, copy.chunk, &copy))
		if (copy.state == WIRE_COPY_SEALED)
			verify(w, &copy);
}

static void check_space(const struct world *w)
{
	struct store_chunk *chunk;
	uint64_t volume = 0, number = 0, bytes = 0;

	while ((chunk = store_index_next(&w->store->index, volume, number)) !=
	       NULL) {
		bytes += (uint64_t)store_chunk_footprint(chunk) * BLOCK_SIZE;
		volume = chunk->volume->id;
		number = chunk->number;
	}
	check(bytes == w->store->chunk_bytes, "the space is not what it was");
	check(w->store->restore_count == 0, "a transfer never ends");
}

static void check_all(struct world *w)
{
	struct store_copy before[16], after;
	uint32_t count = 0, i;

	heal_disk(w);
	sim_run(w->sim, 100 * NSEC_PER_SEC);
	check(w->outstanding == 0, "a request was never answered");
	check_space(w);
	check_sealed(w);
	memset(before, 0, sizeof(before));
	while (count < ARRAY_SIZE(before) - 1 &&
	       store_copy_next(w->store, before[count].volume,
			       before[count].chunk, &before[count + 1]))
		count++;
	crash(w);
	for (i = 1; i <= count; i++) {
		if (before[i].state != WIRE_COPY_SEALED || w->rotten)
			continue;
		check(store_copy_get(w->store, before[i].volume,
				     before[i].chunk, &after) &&
		      after.state == WIRE_COPY_SEALED &&
		      after.length == before[i].length &&
		      after.end_crc == before[i].end_crc &&
		      after.epoch == before[i].epoch, "a sealed copy is lost");
	}
	check_sealed(w);
	check_space(w);
}

static void rot(struct world *w, const uint8_t *in)
{
	char path[64];

	snprintf(path, sizeof(path), "chunks/%016llx/%012llx", VOLUME,
		 CHUNK + in[2] % CHUNKS);
	if (sim_disk_flip(w->node, path, in[5] * 241u) == 0)
		w->rotten = true;
}

static void fail_disk(struct world *w, const uint8_t *in)
{
	struct sim_disk_faults *faults = sim_node_disk_faults(w->node);

	faults->sync_eio = in[5] % 16;
	faults->write_eio = in[6] % 32;
}

static void step(struct world *w, const uint8_t *in)
{
	switch (in[0] % 13) {
	case 0:
	case 1:
		send_restore(w, in);
		break;
	case 2:
	case 3:
		send_copy(w, in);
		break;
	case 4:
	case 5:
		send_append(w, in);
		break;
	case 6:
		send_seal(w, in);
		break;
	case 7:
		send_lookup(w, in);
		break;
	case 8:
		send_any(w, in);
		break;
	case 9:
		sim_run(w->sim, (in[1] + in[2] * 256ull) * 500000);
		break;
	case 10:
		crash(w);
		break;
	case 11:
		if (in[1] >= 0x80)
			rot(w, in);
		else
			check_sealed(w);
		break;
	case 12:
		fail_disk(w, in);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = { .sim = sim_new(7) };
	uint32_t steps = 0;

	if (chains[0][0].end[1] == 0)
		make_chains();
	sim_log_attach(w.sim);
	w.node = sim_node_new(w.sim, "store");
	open_store(&w);
	for (; size >= STEP && steps < STEPS_MAX; steps++) {
		step(&w, data);
		data += STEP;
		size -= STEP;
	}
	check_all(&w);
	sim_node_kill(w.node);
	store_free(w.store);
	sim_free(w.sim);
	log_set_sink(NULL);
	return 0;
}
