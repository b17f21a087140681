// SPDX-License-Identifier: Apache-2.0
/* What the stores have: documents, volumes, and a list of all their chunks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "recover/internal.h"

#define LIST_MAX 8192u
#define ROUNDS_MAX 5u
#define EPOCH_MAX (UINT64_MAX >> 1)	/* a fence is to find a higher one */

static struct recover_take *take_of(const struct peer_call *call)
{
	const struct recover_peer *p = call->ctx;

	return &p->r->take;
}

static void refused(const struct peer_call *call)
{
	const struct recover_peer *p = call->ctx;

	p->r->take.err = error_set(wire_status_errno(call->status),
				   "peer %s: %s (asked to %s)", p->address,
				   wire_status_text(call->status),
				   wire_type_name(call->type));
}

/* What no store says. To believe some of it might lose data, or never end. */
static void nonsense(const struct peer_call *call, const char *what)
{
	const struct recover_peer *p = call->ctx;

	p->r->take.err = error_set(-EPROTO, "peer %s: %s (asked to %s): its torusd is broken, or it is none; leave it out, or mend it",
				   p->address, what, wire_type_name(call->type));
}

static int no_memory(void)
{
	return error_set(-ENOMEM, "out of memory");
}

/* ---- documents ------------------------------------------------------------- */

static void take_documents(struct peer_call *call)
{
	struct recover_peer *p = call->ctx;
	const char *text = recover_data(call);

	if (call->status) {
		refused(call);
		return;
	}
	if (!text || text[call->reply_len - 1] != '\0')
		return;
	p->documents = malloc(call->reply_len);
	if (!p->documents) {
		p->r->take.err = no_memory();
		return;
	}
	memcpy(p->documents, text, call->reply_len);
	p->documents_len = call->reply_len;
}

/* One answer to a list: its entries, of @size bytes each, and their number. */
static const void *take_entries(struct peer_call *call, size_t size,
				size_t *count)
{
	const struct wire_list_reply *reply = call->reply;
	const void *entries = recover_data(call);

	*count = 0;
	if (call->status) {
		refused(call);
	} else if ((uint64_t)le32_to_cpu(reply->count) * size !=
		   call->reply_len || (call->reply_len && !entries)) {
		nonsense(call, "it counts other entries than it sends");
	} else if (reply->more && !call->reply_len) {
		nonsense(call, "it sends nothing and promises more");
	} else {
		take_of(call)->more = le32_to_cpu(reply->more);
		*count = call->reply_len / size;
	}
	return entries;
}

/* ---- volumes ---------------------------------------------------------------- */

static struct recover_seen *seen_get(struct recover *r, uint64_t volume)
{
	struct recover_seen *seen;

	for (uint32_t i = 0; i < r->seen_count; i++)
		if (r->seen[i].volume == volume)
			return &r->seen[i];
	seen = recover_grow(r->seen, sizeof(*seen), r->seen_count,
			    &r->seen_room);
	if (!seen)
		return NULL;
	r->seen = seen;
	seen = &r->seen[r->seen_count++];
	*seen = (struct recover_seen){ .volume = volume };
	return seen;
}

static bool is_address(block_addr_t addr)
{
	return block_addr_chunk(addr) != 0 &&
	       block_addr_block(addr) < CHUNK_BLOCKS_MAX;
}

/* NULL: a store may say so. Ids grow, so that the list has an end. */
static const char *volume_fault(const struct recover_take *t,
				const struct wire_volume_entry *e)
{
	uint64_t root = le64_to_cpu(e->root);

	if (le64_to_cpu(e->volume) <= t->volume)
		return "its volumes are not in order";
	if (le64_to_cpu(e->epoch) > EPOCH_MAX)
		return "an epoch is out of range";
	if (le64_to_cpu(e->chunk_max) > CHUNK_NUMBER_MAX)
		return "a chunk number is out of range";
	return root && !is_address(root) ? "a root's address is out of range" :
					   NULL;
}

static void take_volumes(struct peer_call *call)
{
	struct recover_peer *p = call->ctx;
	struct recover_take *t = take_of(call);
	size_t count;
	const struct wire_volume_entry *e = take_entries(call, sizeof(*e), &count);

	for (size_t i = 0; i < count; i++) {
		const char *fault = volume_fault(t, &e[i]);
		struct recover_seen *seen;

		if (fault) {
			nonsense(call, fault);
			return;
		}
		seen = seen_get(p->r, le64_to_cpu(e[i].volume));
		if (!seen) {
			t->err = no_memory();
			return;
		}
		t->volume = seen->volume;
		seen->epoch = MAX(seen->epoch, le64_to_cpu(e[i].epoch));
		seen->chunk_max = MAX(seen->chunk_max,
				      le64_to_cpu(e[i].chunk_max));
		seen->root = MAX(seen->root, le64_to_cpu(e[i].root));
		seen->deleted |= le32_to_cpu(e[i].flags) & WIRE_VOLUME_DELETED;
	}
}

static int ask_volumes(struct recover *r, struct recover_peer *p)
{
	struct wire_volumes body = { .max = cpu_to_le32(WIRE_VOLUMES_MAX) };
	int err;

	r->take = (struct recover_take){ 0 };
	do {
		body.after = cpu_to_le64(r->take.volume);
		r->take.more = false;
		err = recover_ask(r, p, WIRE_VOLUMES, &body, take_volumes);
	} while (!err && !r->take.err && r->take.more);
	return err ? err : r->take.err;
}

/* ---- chunks ------------------------------------------------------------------ */

static const char *copy_fault(const struct recover_take *t,
			      const struct wire_list_entry *e)
{
	uint64_t volume = le64_to_cpu(e->volume);
	uint64_t chunk = le64_to_cpu(e->chunk);

	if (volume < t->volume || volume == 0 ||
	    (volume == t->volume && chunk <= t->chunk))
		return "its chunks are not in order";
	if (chunk == 0 || chunk > CHUNK_NUMBER_MAX)
		return "a chunk number is out of range";
	return le32_to_cpu(e->length) > CHUNK_BLOCKS_MAX ?
	       "a chunk is longer than any" : NULL;
}

static int add_copy(struct recover *r, struct recover_peer *p,
		    const struct wire_list_entry *e)
{
	struct recover_copy *copy = recover_grow(r->copies, sizeof(*copy),
						 r->copy_count, &r->copy_room);

	if (!copy)
		return no_memory();
	r->copies = copy;
	copy = &r->copies[r->copy_count++];
	*copy = (struct recover_copy){
		.volume = le64_to_cpu(e->volume),
		.chunk = le64_to_cpu(e->chunk),
		.peer = p,
		.length = le32_to_cpu(e->length),
		.end_crc = le32_to_cpu(e->end_crc),
		.sealed = le32_to_cpu(e->sealed),
	};
	r->take.volume = copy->volume;
	r->take.chunk = copy->chunk;
	return 0;
}

static void take_chunks(struct peer_call *call)
{
	struct recover_peer *p = call->ctx;
	struct recover_take *t = take_of(call);
	size_t count;
	const struct wire_list_entry *e = take_entries(call, sizeof(*e), &count);

	for (size_t i = 0; i < count && !t->err; i++) {
		const char *fault = copy_fault(t, &e[i]);

		if (fault)
			nonsense(call, fault);
		else
			t->err = add_copy(p->r, p, &e[i]);
	}
}

static int ask_chunks(struct recover *r, struct recover_peer *p)
{
	struct wire_list body = { .max = cpu_to_le32(LIST_MAX) };
	int err;

	r->take = (struct recover_take){ 0 };
	do {
		body.after_volume = cpu_to_le64(r->take.volume);
		body.after_chunk = cpu_to_le64(r->take.chunk);
		r->take.more = false;
		err = recover_ask(r, p, WIRE_LIST, &body, take_chunks);
	} while (!err && !r->take.err && r->take.more);
	return err ? err : r->take.err;
}

static int by_chunk(const void *a, const void *b)
{
	const struct recover_copy *l = a, *m = b;

	if (l->volume != m->volume)
		return l->volume < m->volume ? -1 : 1;
	if (l->chunk != m->chunk)
		return l->chunk < m->chunk ? -1 : 1;
	return l->peer < m->peer ? -1 : l->peer > m->peer;
}

static int by_volume(const void *a, const void *b)
{
	const struct recover_seen *l = a, *m = b;

	return l->volume < m->volume ? -1 : l->volume > m->volume;
}

void recover_forget(struct recover *r)
{
	for (uint32_t i = 0; i < r->peer_count; i++) {
		free(r->peers[i].documents);
		r->peers[i].documents = NULL;
		r->peers[i].documents_len = 0;
	}
	r->copy_count = 0;
	r->seen_count = 0;
}

/* ---- all of it ---------------------------------------------------------------- */

static bool same_chunk(const struct recover_copy *a,
		       const struct recover_copy *b)
{
	return a->volume == b->volume && a->chunk == b->chunk;
}

/* The first copy behind @i that is of another chunk. */
static size_t next_chunk(const struct recover_copy *copies, size_t count,
			 size_t i)
{
	size_t from = i;

	while (i < count && same_chunk(&copies[i], &copies[from]))
		i++;
	return i;
}

/* The same chunks, whoever has them? */
static bool same_chunks(const struct recover_copy *a, size_t a_count,
			const struct recover_copy *b, size_t b_count)
{
	size_t i = 0, j = 0;

	while (i < a_count && j < b_count) {
		if (!same_chunk(&a[i], &b[j]))
			return false;
		i = next_chunk(a, a_count, i);
		j = next_chunk(b, b_count, j);
	}
	return i == a_count && j == b_count;
}

static int gather_once(struct recover *r)
{
	int err = 0;

	recover_forget(r);
	for (uint32_t i = 0; i < r->peer_count && !err; i++) {
		struct recover_peer *p = &r->peers[i];

		r->take = (struct recover_take){ 0 };
		err = recover_ask(r, p, WIRE_RECALL, NULL, take_documents);
		if (!err)
			err = r->take.err;
		if (!err)
			err = ask_volumes(r, p);
		if (!err)
			err = ask_chunks(r, p);
	}
	if (r->copy_count)
		qsort(r->copies, r->copy_count, sizeof(*r->copies), by_chunk);
	if (r->seen_count)
		qsort(r->seen, r->seen_count, sizeof(*r->seen), by_volume);
	return err;
}

/*
 * Peers are asked one after the other, and repair may go on meanwhile: a chunk
 * that moves from one who is yet to be asked to one who was asked already is in
 * no answer. It is in those of the next round, so that two rounds that name the
 * same chunks name all of them. Where somebody writes there may always be
 * others: that ends when old writers are fenced.
 */
int recover_gather(struct recover *r)
{
	struct recover_copy *before;
	size_t before_count;
	bool same = false;
	int err = gather_once(r);

	for (uint32_t i = 1; i < ROUNDS_MAX && !err && !same; i++) {
		before = r->copies;
		before_count = r->copy_count;
		r->copies = NULL;
		r->copy_count = 0;
		r->copy_room = 0;
		err = gather_once(r);
		same = !err && same_chunks(before, before_count, r->copies,
					   r->copy_count);
		free(before);
	}
	return err;
}
