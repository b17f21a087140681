// SPDX-License-Identifier: Apache-2.0
/*
 * The headers of a volume's chunks, from whichever copy has most of them, and
 * what the other copies say about it.
 *
 * A sealed copy is as long as the chunk is: SEAL decided so. Where sealed
 * copies differ, the higher epoch decided. Without any, the longest chain
 * counts: what one member has may have been acknowledged. All other copies
 * must be a part of that; one that is not is odd, and a person must choose.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "recover/internal.h"
#include "wire/scan.h"

#define SCAN_BYTES (1u << 20)

static struct recover_take *take_of(const struct peer_call *call)
{
	const struct recover_peer *p = call->ctx;

	return &p->r->take;
}

/* ---- life -------------------------------------------------------------------- */

static const struct recover_choice *choice_of(const struct recover *r,
					      uint64_t volume)
{
	char id[17];

	snprintf(id, sizeof(id), "%016llx", (unsigned long long)volume);
	for (uint32_t i = 0; i < r->choice_count; i++)
		if (strcmp(r->choices[i].volume, id) == 0)
			return &r->choices[i];
	/* A name: known once a survey has found it. */
	for (uint32_t v = 0; v < r->volume_count; v++)
		for (uint32_t i = 0; r->volumes[v].id == volume &&
		     i < r->choice_count; i++)
			if (strcmp(r->choices[i].volume,
				   r->volumes[v].doc.name) == 0)
				return &r->choices[i];
	return NULL;
}

static bool is_peer(const struct recover_peer *p, const char *name)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(&p->id, id);
	return strcmp(p->address, name) == 0 || strcasecmp(id, name) == 0;
}

/* The first copy of a volume with this id or a higher one. */
static size_t first_copy(const struct recover *r, uint64_t volume)
{
	size_t low = 0, high = r->copy_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (r->copies[middle].volume < volume)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int add_chunks(struct log_search *s)
{
	struct recover *r = s->r;
	size_t first = first_copy(r, s->seen->volume), end = first;

	while (end < r->copy_count && r->copies[end].volume == s->seen->volume)
		end++;
	s->chunks = calloc(end - first + 1, sizeof(*s->chunks));
	if (!s->chunks)
		return error_set(-ENOMEM, "out of memory");
	for (size_t i = first; i < end; i++) {
		struct recover_copy *copy = &r->copies[i];
		struct chain_chunk *c;

		c = s->chunk_count ? &s->chunks[s->chunk_count - 1] : NULL;
		if (!c || c->number != copy->chunk) {
			c = &s->chunks[s->chunk_count++];
			c->number = copy->chunk;
			c->copies = copy;
			c->low = UINT64_MAX;
		}
		c->copy_count++;
	}
	return 0;
}

int log_search_open(struct log_search *s, struct recover *r,
		    const struct recover_seen *seen)
{
	*s = (struct log_search){ .r = r, .seen = seen };
	s->choice = choice_of(r, seen->volume);
	s->record = record_new();
	if (!s->record)
		return error_set(-ENOMEM, "out of memory");
	return add_chunks(s);
}

void log_search_release(struct log_search *s)
{
	for (uint32_t i = 0; i < s->chunk_count; i++)
		free(s->chunks[i].ends);
	free(s->chunks);
	free(s->by_first);
	free(s->roots);
	record_free(s->record);
}

/* ---- how long is it? ------------------------------------------------------------ */

static void take_epoch(struct peer_call *call)
{
	struct recover_take *t = take_of(call);
	const struct wire_chunk_reply *reply = call->reply;

	if (!call->status)
		t->copy->epoch = le64_to_cpu(reply->chunk_epoch);
}

static int ask_epoch(struct log_search *s, struct recover_copy *copy)
{
	struct wire_chunk body = { .volume = cpu_to_le64(copy->volume),
				   .chunk = cpu_to_le64(copy->chunk) };

	s->r->take.copy = copy;
	return recover_ask(s->r, copy->peer, WIRE_STAT_CHUNK, &body,
			   take_epoch);
}

static void take_durable(struct peer_call *call)
{
	const struct wire_chunk_reply *reply = call->reply;
	struct recover_take *t = take_of(call);

	if (!call->status)
		t->bytes = MAX(t->bytes, le32_to_cpu(reply->durable));
}

int log_search_durable(struct log_search *s, uint64_t chunk, uint32_t *blocks)
{
	const struct chain_chunk *c = chain_find(s, chunk);
	struct wire_chunk body = { .volume = cpu_to_le64(s->seen->volume),
				   .chunk = cpu_to_le64(chunk) };
	int err = 0;

	s->r->take.bytes = 0;
	for (uint32_t i = 0; c && i < c->copy_count && !err; i++)
		err = recover_ask(s->r, c->copies[i].peer, WIRE_STAT_CHUNK,
				  &body, take_durable);
	*blocks = s->r->take.bytes;
	return err;
}

/* The copy that says where the chunk ends; NULL: none is sealed. */
static struct recover_copy *decider(struct chain_chunk *c)
{
	struct recover_copy *best = NULL;

	for (uint32_t i = 0; i < c->copy_count; i++) {
		struct recover_copy *copy = &c->copies[i];

		if (copy->sealed && !copy->odd &&
		    (!best || copy->epoch > best->epoch))
			best = copy;
	}
	return best;
}

static bool seals_agree(const struct chain_chunk *c)
{
	const struct recover_copy *first = NULL;

	for (uint32_t i = 0; i < c->copy_count; i++) {
		const struct recover_copy *copy = &c->copies[i];

		if (!copy->sealed || copy->odd)
			continue;
		if (first && (copy->length != first->length ||
			      copy->end_crc != first->end_crc))
			return false;
		first = copy;
	}
	return true;
}

static void note_odd(struct log_search *s, struct chain_chunk *c,
		     struct recover_copy *copy)
{
	copy->odd = true;
	if (!s->odd)
		s->odd = c;
}

static int find_limit(struct log_search *s, struct chain_chunk *c)
{
	struct recover_copy *best;
	int err = 0;

	c->limit = CHUNK_BLOCKS_MAX;
	if (!seals_agree(c))
		for (uint32_t i = 0; i < c->copy_count && !err; i++)
			if (c->copies[i].sealed)
				err = ask_epoch(s, &c->copies[i]);
	best = decider(c);
	if (err || !best)
		return err;
	c->limit = best->length;
	for (uint32_t i = 0; i < c->copy_count; i++) {
		struct recover_copy *copy = &c->copies[i];

		if (copy->sealed && copy->epoch == best->epoch &&
		    (copy->length != best->length ||
		     copy->end_crc != best->end_crc))
			note_odd(s, c, copy);
	}
	return 0;
}

/* ---- headers --------------------------------------------------------------------- */

static void note_root(struct log_search *s, const struct record *r)
{
	struct chain_root *roots;
	uint32_t at = 0;

	for (uint32_t i = 0; i < r->extent_count; i++) {
		const struct extent *e = &r->extents[i];

		if (e->kind != EXTENT_ROOT) {
			at += extent_has_payload(e->kind) ? e->count : 0;
			continue;
		}
		roots = recover_grow(s->roots, sizeof(*roots), s->root_count,
				     &s->root_room);
		if (!roots) {
			s->r->take.err = error_set(-ENOMEM, "out of memory");
			return;
		}
		s->roots = roots;
		s->roots[s->root_count++] = (struct chain_root){
			.addr = block_addr(r->chunk, r->block),
			.sequence = r->sequence, .crc = r->crc,
			.end = r->block + record_blocks(r),
			.payload = r->block + r->header_blocks + at,
			.blocks = e->count,
		};
		return;
	}
}

static void note_blocks(struct log_search *s, struct chain_chunk *c,
			const struct record *r)
{
	for (uint32_t i = 0; i < r->extent_count; i++) {
		const struct extent *e = &r->extents[i];

		if (e->kind != EXTENT_DATA && e->kind != EXTENT_ZERO)
			continue;
		c->low = MIN(c->low, e->first);
		c->high = MAX(c->high, e->first + e->count - 1);
		if (e->kind == EXTENT_DATA)
			s->volume_blocks = MAX(s->volume_blocks,
					       e->first + e->count);
	}
}

static void add_record(struct log_search *s, struct chain_chunk *c,
		       const struct record *r)
{
	struct chain_end *ends = recover_grow(c->ends, sizeof(*ends), c->count,
					      &c->room);

	if (!ends) {
		s->r->take.err = error_set(-ENOMEM, "out of memory");
		return;
	}
	c->ends = ends;
	if (!c->count) {
		c->first_sequence = r->sequence;
		c->first_prev_crc = r->prev_crc;
	}
	c->ends[c->count++] = (struct chain_end){ r->block + record_blocks(r),
						  r->crc };
	if (r->flags & RECORD_LAST)
		c->last_end = r->block + record_blocks(r);
	s->flushed = MAX(s->flushed, r->flushed);
	note_root(s, r);
	note_blocks(s, c, r);
}

static uint32_t end_of(const struct chain_chunk *c)
{
	return c->count ? c->ends[c->count - 1].block : 0;
}

static bool continues(const struct chain_chunk *c, const struct record *r,
		      uint64_t volume)
{
	return r->volume == volume && r->chunk == c->number &&
	       r->block == end_of(c) &&
	       r->block + record_blocks(r) <= c->limit &&
	       (!c->count ||
		(r->sequence == c->first_sequence + c->count &&
		 r->prev_crc == c->ends[c->count - 1].crc));
}

static void take_headers(struct peer_call *call)
{
	struct recover_take *t = take_of(call);
	const struct wire_scan_reply *reply = call->reply;
	struct log_search *s = t->s;
	struct scan_iter it;
	const void *header;
	uint32_t bytes;

	t->more = false;
	if (call->status)
		return;
	scan_iter_init(&it, recover_data(call),
		       recover_data(call) ? call->reply_len : 0);
	while (end_of(t->c) < t->c->limit && !t->err &&
	       scan_next(&it, &header, &bytes) == 1) {
		if (record_decode(header, bytes, s->record) ||
		    !continues(t->c, s->record, s->seen->volume))
			return;
		add_record(s, t->c, s->record);
	}
	t->more = le32_to_cpu(reply->more);
}

static int scan_copy(struct log_search *s, struct chain_chunk *c,
		     struct recover_copy *copy)
{
	struct wire_scan body = {
		.volume = cpu_to_le64(copy->volume),
		.chunk = cpu_to_le64(copy->chunk),
		.bytes_max = cpu_to_le32(SCAN_BYTES),
	};
	uint32_t before;
	int err;

	s->r->take.s = s;
	s->r->take.c = c;
	s->r->take.err = 0;
	do {
		before = c->count;
		body.block = cpu_to_le32(end_of(c));
		s->r->take.more = false;
		err = recover_ask(s->r, copy->peer, WIRE_SCAN, &body,
				  take_headers);
		if (!err)
			err = s->r->take.err;
	} while (!err && s->r->take.more && c->count > before &&
		 end_of(c) < c->limit);
	return err;
}

/* The copy that has more of the chunk than what is known of it. */
static struct recover_copy *longer_copy(struct log_search *s,
					struct chain_chunk *c)
{
	struct recover_copy *best = NULL;

	for (uint32_t i = 0; i < c->copy_count; i++) {
		struct recover_copy *copy = &c->copies[i];

		if (copy->odd || copy->tried || copy->length <= end_of(c))
			continue;
		if (s->choice && s->choice->peer[0] &&
		    is_peer(copy->peer, s->choice->peer))
			return copy;
		if (!best || copy->length > best->length)
			best = copy;
	}
	return best;
}

/* A chosen peer's copy is the only one that is looked at. */
static void apply_choice(struct log_search *s, struct chain_chunk *c)
{
	bool has = false;

	if (!s->choice || !s->choice->peer[0])
		return;
	for (uint32_t i = 0; i < c->copy_count; i++)
		has |= is_peer(c->copies[i].peer, s->choice->peer);
	for (uint32_t i = 0; has && i < c->copy_count; i++)
		c->copies[i].odd = !is_peer(c->copies[i].peer,
					    s->choice->peer);
}

/* Everything else must be a part of what was found. */
static void compare_copies(struct log_search *s, struct chain_chunk *c)
{
	for (uint32_t i = 0; i < c->copy_count; i++) {
		struct recover_copy *copy = &c->copies[i];
		int64_t at;

		if (copy->odd || !copy->length || copy->length > end_of(c))
			continue;
		at = chain_end_at(c, copy->length);
		if (at < 0 || c->ends[at].crc != copy->end_crc)
			note_odd(s, c, copy);
	}
}

static int scan_chunk(struct log_search *s, struct chain_chunk *c)
{
	struct recover_copy *copy;
	int err;

	for (uint32_t i = 0; i < c->copy_count; i++)
		c->copies[i].tried = false;
	apply_choice(s, c);
	err = find_limit(s, c);
	while (!err && end_of(c) < c->limit &&
	       (copy = longer_copy(s, c)) != NULL) {
		copy->tried = true;
		err = scan_copy(s, c, copy);
	}
	if (!err)
		compare_copies(s, c);
	c->scanned = true;
	return err;
}

int log_search_scan(struct log_search *s, uint64_t first)
{
	int err = 0;

	for (uint32_t i = s->chunk_count; i-- > 0 && !err;) {
		struct chain_chunk *c = &s->chunks[i];

		if (c->number < first)
			break;
		if (!c->scanned)
			err = scan_chunk(s, c);
	}
	if (!err && chain_index(s))
		err = error_set(-ENOMEM, "out of memory");
	return err;
}

/* ---- the payload of a root ---------------------------------------------------------- */

static void take_blocks(struct peer_call *call)
{
	struct recover_take *t = take_of(call);
	const void *data = recover_data(call);

	if (call->status || !data || call->reply_len != t->bytes)
		t->err = -EIO;
	else
		memcpy(t->buffer, data, t->bytes);
}

static int read_copy(struct log_search *s, const struct recover_copy *copy,
		     const struct chain_root *at, void *buffer)
{
	struct wire_read body = {
		.volume = cpu_to_le64(copy->volume),
		.chunk = cpu_to_le64(copy->chunk),
		.attached = cpu_to_le64(copy->volume),
		.block = cpu_to_le32(at->payload),
		.blocks = cpu_to_le32(at->blocks),
	};
	int err;

	s->r->take.buffer = buffer;
	s->r->take.bytes = at->blocks * BLOCK_SIZE;
	s->r->take.err = 0;
	err = recover_ask(s->r, copy->peer, WIRE_READ, &body, take_blocks);
	return err ? err : s->r->take.err;
}

int log_search_read_root(struct log_search *s, const struct chain_root *at,
			 struct root *root)
{
	struct chain_chunk *c = chain_find(s, block_addr_chunk(at->addr));
	CLEANUP_FREE void *buffer = malloc((size_t)at->blocks * BLOCK_SIZE);
	int err = -EIO;

	memset(root, 0, sizeof(*root));
	if (!buffer)
		return error_set(-ENOMEM, "out of memory");
	for (uint32_t i = 0; c && i < c->copy_count; i++) {
		if (c->copies[i].odd || c->copies[i].length < at->end)
			continue;
		err = read_copy(s, &c->copies[i], at, buffer);
		if (!err)
			err = root_decode(buffer,
					  (size_t)at->blocks * BLOCK_SIZE,
					  root);
		if (!err && root->volume == s->seen->volume)
			return 0;
		root_release(root);
		memset(root, 0, sizeof(*root));
		err = -EBADMSG;
	}
	return err;
}
