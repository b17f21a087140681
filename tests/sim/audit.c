// SPDX-License-Identifier: Apache-2.0
/*
 * What must hold when everything is quiet, read from the stores' disks without
 * asking anybody:
 *
 *   tree     from the root that the metadata names down to every block: each
 *            has a copy whose CRC is what its parent says
 *   places   each sealed chunk that is live has good, equal copies on all of
 *            its owners by the ring, and nowhere else; below the horizon they
 *            are as long as the chunk table says
 *   garbage  a chunk that no root needs has no copy anywhere
 *   space    what a store says it uses is what its files hold
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/maintain.h"
#include "volume/chunk_table.h"
#include "volume/map_page.h"
#include "volume/root.h"
#include "volume/sealed.h"
#include "wire/record.h"
#include "world.h"

#define PATIENCE (1800 * NSEC_PER_SEC)
#define LOOK_AGAIN (200 * NSEC_PER_MSEC)
#define LOOK_AGAIN_MAX (10 * NSEC_PER_SEC)

/* The first sentence of a look is kept. */
static void problem(struct world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void problem(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->problem[0])
		return;
	va_start(ap, fmt);
	vsnprintf(w->problem, sizeof(w->problem), fmt, ap);
	va_end(ap);
}

#define CHUNKS_MAX 16384u
#define CHUNKS_STEP 4096u

/* What a root says of a volume's chunks. */
struct live {
	uint64_t horizon;		/* all from here on are live */
	uint64_t tail;			/* nobody drops anything from here on */
	uint8_t table[CHUNKS_MAX / 8];	/* bits: those below that are */
	uint32_t length[CHUNKS_MAX];	/* of those, blocks */
};

/* Where metadata are rebuilt, numbers go on at the next multiple of 2^16. */
static uint64_t place_of(uint64_t chunk)
{
	uint64_t low = chunk & 0xffff, high = chunk >> 16;

	if (low >= CHUNKS_STEP || high >= CHUNKS_MAX / CHUNKS_STEP)
		abort();
	return high * CHUNKS_STEP + low;
}

static void set_live(struct live *l, uint64_t chunk)
{
	uint64_t i = place_of(chunk);

	l->table[i / 8] |= (uint8_t)(1u << i % 8);
}

static bool is_live(const struct live *l, uint64_t chunk)
{
	uint64_t i = place_of(chunk);

	return chunk >= l->horizon || l->table[i / 8] & 1u << i % 8;
}

struct walk {
	struct tenant *t;
	uint32_t need;			/* good copies of each block */
	uint64_t pages, blocks;
	struct live *live;		/* filled in by the chunk table */
};

/* The file of the store's copy, if there is one. */
static const struct sim_inode *chunk_file(struct store_node *s,
					  const struct tenant *t,
					  uint64_t chunk)
{
	char path[64];

	inspect_chunk_path(t, chunk, path);
	return s->gone ? NULL : sim_disk_file(s->node, path);
}

/* Blocks of a chunk; false: they are not there. */
static bool peek(const struct sim_inode *file, uint32_t block, uint32_t blocks,
		 void *buf)
{
	return file && sim_file_peek(file, (uint64_t)block * BLOCK_SIZE, buf,
				     (size_t)blocks * BLOCK_SIZE);
}

static bool has_block(const struct sim_inode *file, uint32_t block,
		      uint32_t want)
{
	uint32_t crc;

	return file && sim_file_crc(file, block, &crc) && crc == want;
}

/* @out: the block; may be NULL. */
static bool find_block(struct walk *k, const struct map_entry *e,
		       const char *what, uint64_t index, uint8_t *out)
{
	uint32_t good = 0, at = block_addr_block(e->addr);
	const struct sim_inode *file;
	struct store_node *s;

	for_each_store(s, k->t->world) {
		if (good >= k->need)
			break;
		file = chunk_file(s, k->t, block_addr_chunk(e->addr));
		if (has_block(file, at, e->crc) && ++good == 1 && out)
			peek(file, at, 1, out);
	}
	if (good < k->need)
		problem(k->t->world, "%s: %s %" PRIu64 " (block %u of chunk %"
			PRIu64 ") has %u good copies, not %u", k->t->name, what, index, block_addr_block(e->addr),
			block_addr_chunk(e->addr), good, k->need);
	return good >= k->need;
}

static void note_chunk(struct live *l, uint64_t chunk,
		       const struct map_entry *e)
{
	struct chunk_info info;

	set_live(l, chunk);
	chunk_info_decode(e, &info);
	if (chunk < CHUNKS_MAX)
		l->length[chunk] = info.length;
}

/* @level: 0 for a leaf; @data: what leaves point to is a block, too. */
static void walk_page(struct walk *k, const struct map_entry *e, uint32_t level,
		      uint64_t index, bool data)
{
	uint8_t page[BLOCK_SIZE];
	struct map_entry child;
	unsigned int i;

	if (!find_block(k, e, data ? "map page" : "chunk table page", index, page))
		return;
	k->pages++;
	for (i = 0; i < MAP_FANOUT && !k->t->world->problem[0]; i++) {
		page_entry(page, i, &child);
		if (!child.addr)
			continue;
		if (!level && !data) {
			note_chunk(k->live, index * MAP_FANOUT + i, &child);
			continue;
		}
		if (level) {
			walk_page(k, &child, level - 1, index * MAP_FANOUT + i,
				  data);
			continue;
		}
		find_block(k, &child, "block", index * MAP_FANOUT + i, NULL);
		k->blocks++;
	}
}

static void walk_tree(struct walk *k, const struct map_entry *top, bool data)
{
	if (top->addr)
		walk_page(k, top, top->flags - 1u, 0, data);
}

/* The header of the record at @block; not more than @room blocks are its. */
static bool peek_header(const struct sim_inode *file, uint32_t block,
			uint32_t room, struct record *r)
{
	static uint8_t head[RECORD_HEADER_BLOCKS_MAX * BLOCK_SIZE];
	uint32_t blocks;
	int err = -EAGAIN;

	room = MIN(room, RECORD_HEADER_BLOCKS_MAX);
	for (blocks = 1; err == -EAGAIN && blocks <= room; blocks++)
		err = peek(file, block, blocks, head) ?
		      record_decode(head, (size_t)blocks * BLOCK_SIZE, r) : -EIO;
	return !err;
}

/* The payload of the root record of one store, if it is good. */
static bool read_root(struct store_node *s, struct tenant *t,
		      const struct root_ref *ref, struct root *root)
{
	static uint8_t payload[RECORD_PAYLOAD_BLOCKS_MAX * BLOCK_SIZE];
	uint32_t at = block_addr_block(ref->addr);
	struct record *r = t->world->record;
	const struct sim_inode *file;

	file = chunk_file(s, t, block_addr_chunk(ref->addr));
	if (!peek_header(file, at, RECORD_HEADER_BLOCKS_MAX, r) ||
	    r->crc != ref->crc || r->volume != t->id)
		return false;
	return peek(file, at + r->header_blocks, r->payload_blocks, payload) &&
	       !record_check_payload(r, payload) &&
	       !root_decode(payload, (size_t)r->payload_blocks * BLOCK_SIZE,
			    root);
}

static bool copy_is_good(struct store_node *s, const struct tenant *t,
			 const struct store_copy *copy);

/* A block of zeros that a loss of power took is what it was. */
static bool holes_are_zeros(struct store_node *s, const struct store_copy *copy)
{
	return copy->volume <= s->world->tenant_count &&
	       copy_is_good(s, &s->world->tenants[copy->volume - 1], copy);
}

/*
 * What is used is what the files take. Of a chunk that is not sealed nobody
 * knows how much of its file is holes, a bad one counts as long as it was, and
 * files may end within a page.
 */
static void audit_space(struct store_node *s)
{
	uint64_t bytes = sim_disk_bytes(s->node, "journal"), unsure = BLOCK_SIZE;
	uint64_t takes, need, all;
	struct store_copy copy = { 0 };
	struct store_stats stats;
	char path[64];

	if (!s->serving)
		return;
	while (store_copy_next(s->store, copy.volume, copy.chunk, &copy)) {
		snprintf(path, sizeof(path), "chunks/%016" PRIx64 "/%012" PRIx64,
			 copy.volume, copy.chunk);
		takes = sim_disk_bytes(s->node, path);
		bytes += takes;
		need = (uint64_t)copy.length * BLOCK_SIZE;
		if (copy.state != WIRE_COPY_SEALED)
			unsure += (uint64_t)s->world->chunk_blocks * BLOCK_SIZE;
		else if (takes < need && holes_are_zeros(s, &copy))
			unsure += need - takes;
		else if (takes < need || takes - need > BLOCK_SIZE)
			problem(s->world, "the copy of chunk %" PRIu64
				" of volume %" PRIu64 " on %s has %u blocks, "
				"but takes %" PRIu64 " bytes",
				copy.chunk, copy.volume,
				sim_node_name(s->node), copy.length, takes);
	}
	store_stats(s->store, &stats);
	if (stats.used > bytes + unsure || bytes > stats.used + unsure)
		problem(s->world, "%s says that it uses %" PRIu64
			" bytes, but its files take %" PRIu64,
			sim_node_name(s->node), stats.used, bytes);
	all = sim_disk_bytes(s->node, "chunks") +
	      sim_disk_bytes(s->node, "journal");
	if (all != bytes)
		problem(s->world, "%s has files that it does not know of",
			sim_node_name(s->node));
}

/* ---- places ------------------------------------------------------------- */

/* The payload blocks of @r, whose header lies at @head. */
static bool payload_is_good(const struct sim_inode *file, uint32_t head,
			    const struct record *r)
{
	uint32_t i;

	for (i = 0; i < r->payload_blocks; i++)
		if (!has_block(file, head + r->header_blocks + i,
			       r->payload_crc[i]))
			return false;
	return true;
}

bool audit_good_file(struct store_node *s, const char *path,
		     const struct tenant *t, uint64_t chunk, uint32_t length,
		     uint32_t *crc)
{
	const struct sim_inode *file = sim_disk_file(s->node, path);
	struct record *r = s->world->record;
	uint32_t at;

	for (at = 0, *crc = 0; at < length; at += record_blocks(r)) {
		if (!peek_header(file, at, length - at, r) ||
		    r->volume != t->id || r->chunk != chunk || r->block != at ||
		    at + record_blocks(r) > length ||
		    !payload_is_good(file, at, r))
			return false;
		*crc = r->crc;
	}
	return true;
}

/* Every record of a sealed copy, up to the last one's CRC. */
static bool copy_is_good(struct store_node *s, const struct tenant *t,
			 const struct store_copy *copy)
{
	char path[64];
	uint32_t crc;

	inspect_chunk_path(t, copy->chunk, path);
	return !s->gone && audit_good_file(s, path, t, copy->chunk, copy->length,
					   &crc) && crc == copy->end_crc;
}

/* The owners of a chunk by the current ring, also without those that are gone. */
static uint32_t owners_of(struct tenant *t, uint64_t chunk, bool without_gone,
			  struct uuid *owners)
{
	struct world *w = t->world;
	struct uuid gone[STORES_MAX];
	struct store_node *s;
	uint32_t count = 0;

	for_each_store(s, w)
		if (s->gone && without_gone)
			gone[count++] = s->id;
	return ring_ensemble(inspect_ring_now(w), t->id, chunk, t->replication,
			     gone, count, owners);
}

static bool is_among(const struct uuid *id, const struct uuid *list, uint32_t n)
{
	while (n--)
		if (uuid_equal(id, &list[n]))
			return true;
	return false;
}

static const char *copy_wrong(struct store_node *s, struct tenant *t,
			      const struct store_copy *want, bool owner)
{
	struct store_copy copy;

	if (!store_copy_get(s->store, t->id, want->chunk, &copy) ||
	    copy.state == WIRE_COPY_NONE)
		return owner ? "has no copy" : NULL;
	if (!owner)
		return "has a copy and is no owner";
	if (copy.state != WIRE_COPY_SEALED)
		return copy.state == WIRE_COPY_OPEN ? "has an open copy" :
						      "has a bad copy";
	if (copy.length != want->length || copy.end_crc != want->end_crc)
		return "has another copy";
	return copy_is_good(s, t, &copy) ? NULL : "has a damaged copy";
}

static void place_problem(struct tenant *t, const struct store_copy *want,
			  struct store_node *s, const char *wrong)
{
	static const char *const states[] = {
		"none", "open", "sealed", "bad", "deleted",
	};
	struct world *w = t->world;
	struct store_copy copy;
	size_t n;

	if (w->problem[0])
		return;
	problem(w, "%s %s of chunk %" PRIu64 " of %s, sealed at %u blocks by epoch %"
		PRIu64 ":", sim_node_name(s->node), wrong, want->chunk, t->name,
		want->length, want->epoch);
	for_each_store(s, w) {
		if (!s->serving ||
		    !store_copy_get(s->store, t->id, want->chunk, &copy))
			continue;
		n = strlen(w->problem);
		snprintf(w->problem + n, sizeof(w->problem) - n,
			 " %s %s %u by %" PRIu64, sim_node_name(s->node),
			 states[copy.state], copy.length, copy.epoch);
	}
}

/*
 * @want is sealed somewhere: is it where the ring says, and only there? While an
 * owner is away nobody drops what he does not need: it has to confirm. Nor while
 * the chunk lies in the declared tail.
 */
static void audit_place(struct tenant *t, const struct store_copy *want,
			bool in_tail)
{
	struct uuid owners[RING_REPLICATION_MAX];
	uint32_t count = owners_of(t, want->chunk, false, owners);
	bool away = in_tail, owner;
	struct store_node *s;
	const char *wrong;

	for_each_store(s, t->world)
		away |= s->gone && is_among(&s->id, owners, count);
	count = owners_of(t, want->chunk, true, owners);
	for_each_store(s, t->world)
		away |= is_among(&s->id, owners, count) &&
			full_refuses(s, want);

	for_each_store(s, t->world) {
		if (!s->serving)
			continue;
		owner = is_among(&s->id, owners, count);
		wrong = copy_wrong(s, t, want, owner);
		if (owner && full_refuses(s, want))
			continue;
		if (wrong && (owner || !away))
			place_problem(t, want, s, wrong);
	}
}

/* Maintenance seals what missed its SEAL at the length that the table says. */
static void audit_length(struct tenant *t, const struct store_copy *copy,
			 const struct live *live)
{
	if (copy->chunk < MIN(live->horizon, CHUNKS_MAX) &&
	    copy->length != live->length[copy->chunk])
		problem(t->world, "chunk %" PRIu64 " of %s is sealed at %u blocks by epoch %"
			PRIu64 ", and has %u by its chunk table",
			copy->chunk, t->name, copy->length, copy->epoch,
			live->length[copy->chunk]);
}

static void audit_places(struct tenant *t, const struct live *live)
{
	struct live done = { .horizon = UINT64_MAX };
	struct store_copy copy;
	struct store_node *s;

	for_each_store(s, t->world) {
		if (!s->serving)
			continue;
		copy = (struct store_copy){ .volume = t->id };
		while (store_copy_next(s->store, t->id, copy.chunk, &copy) &&
		       copy.volume == t->id && !t->world->problem[0]) {
			if (copy.state != WIRE_COPY_SEALED || !copy.length ||
			    !is_live(live, copy.chunk) ||
			    is_live(&done, copy.chunk))
				continue;
			set_live(&done, copy.chunk);
			audit_length(t, &copy, live);
			audit_place(t, &copy, copy.chunk >= live->tail);
		}
	}
}

/* How many stores have an unsealed, and how many a sealed copy. */
static void count_copies(struct tenant *t, uint64_t chunk, uint32_t *open,
			 uint32_t *sealed)
{
	struct store_copy copy;
	struct store_node *s;

	*open = 0;
	*sealed = 0;
	for_each_store(s, t->world) {
		if (!s->serving ||
		    !store_copy_get(s->store, t->id, chunk, &copy))
			continue;
		*open += copy.state == WIRE_COPY_OPEN;
		*sealed += copy.state == WIRE_COPY_SEALED;
	}
}

/*
 * What the log goes through below the declared tail is sealed somewhere, as long
 * as anybody has it: only then are its copies repaired, and looked at here.
 */
static void audit_log(struct tenant *t, struct volume_doc *doc,
		      const struct root *root, const struct live *live)
{
	uint64_t chunk = block_addr_chunk(root->log_next);
	const struct sealed_chunk *s;
	uint32_t open, sealed;

	for (; chunk < live->tail; chunk = s ? s->next : chunk + 1) {
		s = sealed_find(doc, chunk);
		if (s && !s->length)
			continue;
		count_copies(t, chunk, &open, &sealed);
		if (open && !sealed)
			problem(t->world, "chunk %" PRIu64 " of %s is below the tail, and not sealed anywhere%s",
				chunk, t->name, s ? ", but listed" : "");
	}
}

/* Nothing is left of chunks below the horizon that the table does not name. */
static void audit_garbage(struct tenant *t, const struct live *live)
{
	struct store_copy copy;
	struct store_node *s;

	for_each_store(s, t->world) {
		copy = (struct store_copy){ .volume = t->id };
		while (s->serving &&
		       store_copy_next(s->store, t->id, copy.chunk, &copy) &&
		       copy.volume == t->id)
			if (!is_live(live, copy.chunk))
				problem(t->world, "%s has a copy of chunk %"
					PRIu64 " of %s, which is garbage",
					sim_node_name(s->node), copy.chunk,
					t->name);
	}
}

static bool find_root(struct tenant *t, const struct root_ref *ref,
		      struct root *root)
{
	struct store_node *s;

	for_each_store(s, t->world)
		if (ref->addr && read_root(s, t, ref, root))
			return true;
	return false;
}

static bool is_freed(const struct root *root, uint64_t chunk)
{
	uint32_t i;

	for (i = 0; i < root->freed_count; i++)
		if (root->freed[i] == chunk)
			return true;
	return false;
}

bool audit_needs(struct tenant *t, uint64_t chunk)
{
	struct volume_doc *doc = calloc(1, sizeof(*doc));
	struct live live = { 0 };
	struct walk k = { .t = t, .need = 1, .live = &live };
	bool needs = true;
	struct root root;

	if (!doc)
		abort();
	world_volume_doc(t, doc);
	t->world->problem[0] = '\0';
	if (doc->root.addr)
		needs = find_root(t, &doc->root, &root);
	if (doc->root.addr && needs) {
		walk_tree(&k, &root.chunk_table, false);
		live.horizon = root.horizon;
		needs = is_live(&live, chunk) && !is_freed(&root, chunk) &&
			!t->world->problem[0];
		root_release(&root);
	}
	free(doc);
	return needs;
}

static void audit_tree(struct tenant *t)
{
	struct volume_doc *doc = calloc(1, sizeof(*doc));
	struct live live = { 0 };
	struct walk k = { .t = t, .need = 1, .live = &live };
	struct root root;
	bool found;

	if (!doc)
		abort();
	world_volume_doc(t, doc);
	found = find_root(t, &doc->root, &root);
	if (doc->root.addr && !found)
		problem(t->world, "nobody has the root of %s, at block %u of "
			"chunk %" PRIu64, t->name,
			block_addr_block(doc->root.addr),
			block_addr_chunk(doc->root.addr));
	if (found) {
		if (root.volume != t->id || root.sequence != doc->root.sequence)
			problem(t->world, "the root of %s is another's",
				t->name);
		walk_tree(&k, &root.map, true);
		walk_tree(&k, &root.chunk_table, false);
		live.horizon = root.horizon;
		live.tail = doc->tail.first <= doc->tail.last ?
			    doc->tail.first : doc->next_chunk;
		if (!t->world->limits.loose) {
			audit_places(t, &live);
			audit_garbage(t, &live);
			audit_log(t, doc, &root, &live);
		}
		root_release(&root);
		t->world->stats.audited += k.pages + k.blocks;
	}
	free(doc);
}

static bool all_are_there(const struct world *w)
{
	const struct store_node *s;

	for_each_store(s, w)
		if (!s->serving)
			return false;
	return true;
}

/*
 * A peer that was removed by force is not waited for: the tombstone may have
 * gone while it was away, and absence never deletes (invariant 8).
 */
static bool forgot_to_tell(const struct store_node *s)
{
	return s->removed != 0;
}

/* Nothing is left of it on any disk, and when all have said so, no tombstone. */
static void audit_deleted(struct tenant *t)
{
	struct world *w = t->world;
	char key[META_KEY_MAX];
	struct store_copy copy;
	struct store_node *s;

	for_each_store(s, w) {
		copy = (struct store_copy){ .volume = t->id };
		if (s->serving && !forgot_to_tell(s) &&
		    store_copy_next(s->store, t->id, 0, &copy) &&
		    copy.volume == t->id)
			problem(w, "%s has a copy of chunk %" PRIu64
				" of volume %" PRIu64 ", which was deleted",
				sim_node_name(s->node), copy.chunk, t->id);
	}
	key_tombstone(&w->cluster, t->id, key);
	if (all_are_there(w) && sim_meta_value(w->sim, key))
		problem(w, "volume %" PRIu64 " was deleted, and not all confirm that",
			t->id);
}

/*
 * @patient: there is time for another look. Then the disks are not read before
 * maintenance has come to its end: the look finds a problem anyway.
 */
static void look(struct world *w, bool patient)
{
	struct store_node *s;
	struct tenant *t;

	w->problem[0] = '\0';
	w->stats.audited = 0;
	if (patient && !w->limits.loose && !maintain_idle(w)) {
		problem(w, "maintenance has not come to its end");
		return;
	}
	for_each_tenant(t, w)
		if (t->deleted)
			audit_deleted(t);
		else
			audit_tree(t);
	for_each_store(s, w)
		audit_space(s);
	if (removal_goes_on(w))
		problem(w, "a peer that is lost cannot be removed");
	if (!w->problem[0] && !w->limits.loose && !maintain_idle(w))
		problem(w, "maintenance has not come to its end");
}

/* Deletes, copies and repairs under way come to their end first. */
void audit(struct world *w, const char *when)
{
	uint64_t end = sim_now(w->sim) + PATIENCE, pause = LOOK_AGAIN;

	look(w, true);
	while (w->problem[0] && sim_now(w->sim) < end && !w->failed) {
		sim_run(w->sim, pause);
		pause = MIN(pause * 2, LOOK_AGAIN_MAX);
		look(w, sim_now(w->sim) < end);
	}
	if (w->problem[0])
		world_fail(w, "%s: %s", when, w->problem);
}
