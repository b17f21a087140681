// SPDX-License-Identifier: Apache-2.0
/*
 * Finding the root that the metadata store names: its record's header from
 * whichever peer has it (checked against the CRC in the metadata store), its
 * payload through the reader (checked against the header), then map and chunk
 * table are opened and the walk begins right after the record that the root
 * speaks of.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "volume/recover.h"
#include "volume/root.h"
#include "wire/scan.h"

/* Room for the largest header and its packing. */
#define ROOT_SCAN_BYTES ((RECORD_HEADER_BLOCKS_MAX + 1) * BLOCK_SIZE)

static void open_empty(struct attach *a)
{
	const struct map_entry none = { 0 };
	const struct log_position start = { 0, 0 };
	int err = pages_open(a->volume, &none, &none);

	if (err) {
		attach_fail(a, err, "out of memory");
		return;
	}
	walk_start(a, 1, 0, &start);
	a->phase = ATTACH_WALK;
}

static void open_root(struct attach *a, const struct root *root)
{
	struct log_position last = { root->sequence, root->record_crc };
	int err = pages_open(a->volume, &root->map, &root->chunk_table);

	if (err) {
		attach_fail(a, err, "volume %s: cannot open the map",
			    a->volume->doc.name);
		return;
	}
	pages_set_totals(a->volume, root->stored_blocks, root->live_blocks);
	a->volume->checkpoint.horizon = root->horizon;
	a->volume->checkpoint.replay = block_addr_chunk(root->log_next);
	attach_progress(a);
	walk_start(a, block_addr_chunk(root->log_next),
		   block_addr_block(root->log_next), &last);
	a->phase = ATTACH_WALK;
}

static void payload_read(struct block_read *read, int err)
{
	struct attach *a = read->ctx;
	struct volume *v = a->volume;
	struct root root;

	a->root_busy = false;
	if (err) {
		a->root_known = false;
		attach_wait(a, err, "volume %s: its root (chunk %" PRIu64 ") cannot be read from any peer%s",
			    v->doc.name, block_addr_chunk(v->doc.root.addr),
			    attach_root_way_out(a));
		return;
	}
	err = root_decode(a->root_payload,
			  (size_t)a->root_read.count * BLOCK_SIZE, &root);
	if (err || root.volume != v->doc.id ||
	    root.sequence != v->doc.root.sequence)
		attach_fail(a, -EUCLEAN,
			    "volume %s: the root in chunk %" PRIu64 " is not of this volume or not understood by this version",
			    v->doc.name, block_addr_chunk(v->doc.root.addr));
	else
		open_root(a, &root);
	root_release(&root);
	attach_kick(a);
}

/* The root's own extent: a record may carry others beside it. */
static const struct extent *root_extent(const struct record *r, uint32_t *at)
{
	*at = 0;
	for (uint32_t i = 0; i < r->extent_count; i++) {
		if (r->extents[i].kind == EXTENT_ROOT)
			return &r->extents[i];
		if (extent_has_payload(r->extents[i].kind))
			*at += r->extents[i].count;
	}
	return NULL;
}

/* The header is good: fetch and verify the payload like any other block. */
static void read_payload(struct attach *a)
{
	struct record *r = a->root_record;
	uint32_t at, n = root_extent(r, &at)->count;

	free(a->root_payload);
	free(a->root_entries);
	a->root_payload = malloc((size_t)n * BLOCK_SIZE);
	a->root_entries = calloc(n, sizeof(*a->root_entries));
	if (!a->root_payload || !a->root_entries) {
		attach_fail(a, -ENOMEM, "out of memory");
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		a->root_entries[i].addr = a->volume->doc.root.addr +
					  r->header_blocks + at + i;
		a->root_entries[i].crc = r->payload_crc[at + i];
	}
	a->root_read = (struct block_read){
		.entries = a->root_entries, .count = n,
		.buffer = a->root_payload, .done = payload_read, .ctx = a,
	};
	a->root_busy = true;
	reader_read(a->volume->reader, &a->root_read);
}

static bool header_matches(struct attach *a, const struct peer_call *call)
{
	const struct root_ref *ref = &a->volume->doc.root;
	struct record *r = a->root_record;
	struct scan_iter it;
	const void *header;
	uint32_t bytes, at;

	if (call->scratch_count != 1)
		return false;
	scan_iter_init(&it, call->scratch[0].iov_base, call->reply_len);
	return scan_next(&it, &header, &bytes) == 1 &&
	       record_decode(header, bytes, r) == 0 && r->crc == ref->crc &&
	       r->volume == a->volume->doc.id &&
	       block_addr(r->chunk, r->block) == ref->addr &&
	       root_extent(r, &at);
}

static void header_scanned(struct peer_call *call)
{
	struct attach_peer *p = call->ctx;
	struct attach *a = p->attach;

	a->root_busy = false;
	if (attach_peer_answer(p) || attach_is_over(a))
		return;
	if (header_matches(a, call)) {
		a->root_known = true;
		return;
	}
	log_warning("volume %s: peer %s has no good copy of the root",
		    a->volume->doc.name, peer_address(p->peer));
	p->retry_at = env_now(a->volume->env) + ATTACH_RETRY_NS;
}

static bool ask_next_peer(struct attach *a)
{
	struct volume *v = a->volume;
	struct wire_scan body = {
		.volume = cpu_to_le64(v->doc.id),
		.chunk = cpu_to_le64(block_addr_chunk(v->doc.root.addr)),
		.epoch = cpu_to_le64(v->epoch),
		.block = cpu_to_le32(block_addr_block(v->doc.root.addr)),
		.bytes_max = cpu_to_le32(ROOT_SCAN_BYTES),
	};

	for (uint32_t i = 0; i < a->peer_count; i++) {
		struct attach_peer *p =
			&a->peers[(a->root_next + i) % a->peer_count];

		if (!attach_peer_ready(p))
			continue;
		a->root_next = (uint32_t)(p - a->peers) + 1;
		a->root_busy = true;
		attach_peer_call(p, WIRE_SCAN, &body, header_scanned);
		return true;
	}
	return false;
}

void rootload_step(struct attach *a)
{
	struct volume *v = a->volume;

	if (a->root_busy)
		return;
	if (!v->doc.root.addr) {
		open_empty(a);
		return;
	}
	if (!a->root_record)
		a->root_record = record_new();
	if (!a->root_record) {
		attach_fail(a, -ENOMEM, "out of memory");
		return;
	}
	if (a->root_known) {
		read_payload(a);
		return;
	}
	if (!ask_next_peer(a))
		attach_wait(a, -EIO, "volume %s: no peer that answers has its root (chunk %" PRIu64 ", block %u)%s",
			    v->doc.name, block_addr_chunk(v->doc.root.addr),
			    block_addr_block(v->doc.root.addr),
			    attach_root_way_out(a));
}

void rootload_release(struct attach *a)
{
	record_free(a->root_record);
	free(a->root_payload);
	free(a->root_entries);
}
