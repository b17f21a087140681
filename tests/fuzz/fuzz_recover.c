// SPDX-License-Identifier: Apache-2.0
/*
 * What peers answer to a recovery: its whole survey, and the second one behind
 * the fences, with answers made of the input. There is no network: a question
 * is answered as soon as it is waited for. An input that is used up begins
 * again, as that of a peer that never comes to an end.
 *
 * Chance finds no log: so the headers and roots of an answer are those of a true
 * one, of volume 1, from where the input says and with what it changes in them.
 *
 * Whatever the peers say, the survey ends, and the documents that it makes of it
 * are such as can be read again.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "recover/internal.h"
#include "wire/scan.h"

#define PEERS 3u
#define CHUNKS 16u
#define RECORDS 8u		/* of a chunk, a header and a block each */
#define ROOT_AT 3u		/* this one carries a root */
#define QUESTIONS_MAX 20000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
void __wrap_peer_call(struct peer *peer, struct peer_call *call);

static struct {
	const uint8_t *data;
	size_t size, at;
	struct peer_call *call;
	uint32_t questions;
	void *reply, *bytes;		/* of the answer, exactly as long as it */
	struct iovec scratch;
} in;

static uint8_t header[CHUNKS + 1][RECORDS][BLOCK_SIZE];
static uint8_t payload[CHUNKS + 1][BLOCK_SIZE];

static void check(int condition)
{
	if (!condition)
		abort();
}

static void take(void *to, size_t len)
{
	uint8_t *out = to;

	while (len-- > 0)
		*out++ = in.data[in.at++ % in.size];
}

static uint8_t take_byte(void)
{
	uint8_t byte;

	take(&byte, 1);
	return byte;
}

static void *room(size_t len)
{
	void *bytes = calloc(1, len);

	check(bytes != NULL);
	return bytes;
}

/* ---- the true log --------------------------------------------------------- */

static void make_root(uint64_t chunk, const struct record *r)
{
	struct volume_doc *doc = room(sizeof(*doc));
	struct root root = {
		.volume = 1, .sequence = r->sequence - 1,
		.record_crc = r->prev_crc,
		.log_next = block_addr(chunk, r->block),
		.next_chunk = CHUNKS + 1, .horizon = chunk,
		.map.flags = 1, .chunk_table.flags = 1,	/* height */
	};
	CLEANUP_FREE char *text = NULL;

	doc->name[0] = 'a';
	doc->id = 1;
	doc->size = 1u << 30;
	doc->replication = 3;
	doc->chunk_blocks = CHUNK_BLOCKS_MAX;
	doc->epoch = 1;
	doc->tail.first = 1;
	doc->next_chunk = CHUNKS + 1;
	text = volume_doc_encode(doc);
	free(doc);
	check(text != NULL);
	root.document = text;
	check(root_blocks(&root) == 1);
	root_encode(&root, payload[chunk]);
}

static void make_chunk(uint64_t chunk, struct record *r)
{
	struct extent *e = &r->extents[0];

	for (uint32_t i = 0; i < RECORDS; i++) {
		r->chunk = chunk;
		r->block = 2 * i;
		r->prev_crc = r->crc;
		r->flushed = r->sequence++;
		r->flags = i == RECORDS - 1 ? RECORD_LAST : 0;
		*e = (struct extent){ .kind = EXTENT_DATA, .first = i,
				      .count = 1 };
		if (i == ROOT_AT) {
			*e = (struct extent){ .kind = EXTENT_ROOT, .count = 1 };
			make_root(chunk, r);
		}
		r->payload_crc[0] = crc32c(0, payload[chunk], BLOCK_SIZE);
		record_encode(r, header[chunk][i]);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct record *r = record_new();

	check(r != NULL);
	r->volume = 1;
	r->epoch = 1;
	r->extent_count = 1;
	r->payload_blocks = 1;
	for (uint64_t chunk = 1; chunk <= CHUNKS; chunk++)
		make_chunk(chunk, r);
	record_free(r);
	return 0;
}

/* ---- answers -------------------------------------------------------------- */

static void give(size_t len)
{
	in.bytes = len ? room(len) : NULL;
	in.scratch = (struct iovec){ in.bytes, len };
	in.call->reply_len = (uint32_t)len;
	in.call->scratch = len ? &in.scratch : NULL;
	in.call->scratch_count = len > 0;
}

/* Small numbers that grow: what a peer might truly say. */
static uint64_t grow(uint64_t *from, uint8_t by)
{
	*from += by & 15;
	return *from;
}

static void take_chunk(struct wire_list_entry *e, uint64_t *volume,
		       uint64_t *chunk)
{
	uint8_t byte = take_byte();

	if (byte & 16) {
		++*volume;
		*chunk = 0;
	}
	e->volume = cpu_to_le64(*volume);
	e->chunk = cpu_to_le64(grow(chunk, byte));
	e->length = cpu_to_le32(byte >> 6 ? 2 * RECORDS : take_byte());
	e->sealed = cpu_to_le32(byte >> 5 & 1);
	if (e->length && le32_to_cpu(e->length) <= 2 * RECORDS &&
	    *chunk >= 1 && *chunk <= CHUNKS)
		memcpy(&e->end_crc, header[*chunk]
		       [(le32_to_cpu(e->length) - 1) / 2] + 8, 4);
}

static void take_volume(struct wire_volume_entry *e, uint64_t volume)
{
	uint8_t root;

	e->volume = cpu_to_le64(volume);
	e->epoch = cpu_to_le64(take_byte());
	e->chunk_max = cpu_to_le64(take_byte());
	root = take_byte();
	if (root)
		e->root = cpu_to_le64(block_addr((root - 1) % CHUNKS + 1,
						 2 * ROOT_AT));
}

static void answer_list(size_t unit)
{
	struct wire_list_reply *reply = in.reply;
	uint8_t how = take_byte();
	uint64_t volume = 1, chunk = 0;
	size_t count = how & 15;

	give(count * unit);
	reply->count = cpu_to_le32((uint32_t)count);
	reply->more = cpu_to_le32(how >> 4 & 1);
	if (how & 32)
		reply->count = cpu_to_le32(take_byte());
	for (size_t i = 0; i < count; i++) {
		void *entry = (char *)in.bytes + i * unit;

		if (how & 64)
			take(entry, unit);
		else if (unit == sizeof(struct wire_list_entry))
			take_chunk(entry, &volume, &chunk);
		else
			take_volume(entry, volume++);
	}
}

/* A header with some byte of it changed has a good CRC all the same. */
static void change(uint8_t *at, uint32_t bytes)
{
	uint32_t crc;
	__le32 disk;

	at[take_byte() % bytes] ^= take_byte();
	memset(at + 8, 0, sizeof(disk));
	crc = crc32c(0, at, bytes);
	disk = cpu_to_le32(crc);
	memcpy(at + 8, &disk, sizeof(disk));
}

static void answer_scan(void)
{
	const struct wire_scan *body = in.call->body;
	struct wire_scan_reply *reply = in.reply;
	uint32_t bytes = record_header_bytes(1, 1), first, count;
	uint8_t how = take_byte();
	uint64_t chunk = le64_to_cpu(body->chunk);
	size_t used = 0;

	if (chunk < 1 || chunk > CHUNKS || how & 16)
		chunk = take_byte() % CHUNKS + 1;
	first = le32_to_cpu(body->block) / 2;
	count = MIN(how & 15u, first < RECORDS ? RECORDS - first : 0);
	reply->more = cpu_to_le32(how >> 5 & 1);
	give(count * scan_entry_size(bytes));
	for (uint32_t i = 0; i < count; i++) {
		uint8_t copy[BLOCK_SIZE];

		memcpy(copy, header[chunk][first + i], bytes);
		if (how & 64)
			change(copy, bytes);
		check(scan_append(in.bytes, in.scratch.iov_len, &used, copy,
				  bytes) == 0);
	}
	if (how & 128 && used)
		((uint8_t *)in.bytes)[take_byte() % used] ^= take_byte();
}

static void answer_read(void)
{
	const struct wire_read *body = in.call->body;
	uint64_t chunk = le64_to_cpu(body->chunk);
	uint8_t how = take_byte();
	size_t len = (size_t)le32_to_cpu(body->blocks) * BLOCK_SIZE;

	if (how & 1)
		len = take_byte() % 4u * BLOCK_SIZE;
	give(len);
	if (len && chunk >= 1 && chunk <= CHUNKS)
		memcpy(in.bytes, payload[chunk], BLOCK_SIZE);
	if (len && how & 2)
		((uint8_t *)in.bytes)[take_byte()] ^= take_byte();
}

static void answer(void)
{
	struct peer_call *call = in.call;
	uint8_t head = take_byte();

	call->err = head == 0xff ? -ETIMEDOUT : 0;
	call->status = head >= 0xf0 ? head % WIRE_STATUS_COUNT : 0;
	in.reply = room((size_t)wire_body_size(call->type, true) + 1);
	call->reply = in.reply;
	switch (call->type) {
	case WIRE_RECALL:
		give(take_byte());
		take(in.bytes, in.scratch.iov_len);
		break;
	case WIRE_VOLUMES:
		answer_list(sizeof(struct wire_volume_entry));
		break;
	case WIRE_LIST:
		answer_list(sizeof(struct wire_list_entry));
		break;
	case WIRE_SCAN:
		answer_scan();
		break;
	case WIRE_READ:
		answer_read();
		break;
	default:
		take(in.reply, (size_t)wire_body_size(call->type, true));
	}
	call->done(call);
	free(in.reply);
	free(in.bytes);
	in.bytes = NULL;
}

void __wrap_peer_call(struct peer *peer, struct peer_call *call)
{
	in.call = call;
}

static int wait_for(void *ctx, const bool *done)
{
	check(++in.questions < QUESTIONS_MAX && in.call != NULL);
	answer();
	check(*done);
	in.call = NULL;
	return 0;
}

/* ---- results -------------------------------------------------------------- */

/* A store has one copy of a chunk, however often it says so. */
static void check_copies(const struct recover *r)
{
	for (size_t i = 1; i < r->copy_count; i++) {
		const struct recover_copy *a = &r->copies[i - 1], *b = a + 1;

		check(a->volume < b->volume ||
		      (a->volume == b->volume && a->chunk < b->chunk) ||
		      (a->volume == b->volume && a->chunk == b->chunk &&
		       a->peer < b->peer));
	}
}

static void check_volume(const struct recover_volume *v,
			 const struct recover_path *path)
{
	struct volume_doc *again = room(sizeof(*again));
	CLEANUP_FREE char *text = NULL;

	check(memchr(v->problem, '\0', sizeof(v->problem)) != NULL);
	if (v->state == RECOVER_GOOD) {
		check(path->count > 0 && path->count == v->log_chunks);
		for (uint32_t i = 1; i < path->count; i++)
			check(path->steps[i - 1].chunk < path->steps[i].chunk);
		text = volume_doc_encode(&v->doc);
		check(text != NULL && volume_doc_decode("k", text, again) == 0);
	}
	free(again);
}

static void check_survey(struct recover *r)
{
	const struct recover_volume *volumes;
	uint32_t count = recover_volumes(r, &volumes);

	check_copies(r);
	for (uint32_t i = 0; i < count; i++) {
		check(i == 0 || volumes[i - 1].id < volumes[i].id);
		if (r->only && r->only != volumes[i].id)
			continue;
		check_volume(&volumes[i], &r->paths[i]);
		r->volumes[i].action = RECOVER_WRITE;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct recover_config cfg = { .wait = wait_for };
	struct recover *r;

	if (size == 0)
		return 0;
	memset(&in, 0, sizeof(in));
	in.data = data;
	in.size = size;
	r = recover_new(&cfg);
	check(r != NULL);
	for (uint32_t i = 0; i < PEERS; i++) {
		r->peers[i] = (struct recover_peer){ .r = r };
		r->peers[i].id.byte[0] = (uint8_t)(i + 1);
	}
	r->peer_count = PEERS;
	if (data[0] & 1)
		check(recover_truncate(r, 1) == 0);
	if (recover_survey(r) == 0) {
		check_survey(r);
		if (recover_fence(r) == 0)
			check_survey(r);
	}
	recover_free(r);
	return 0;
}
