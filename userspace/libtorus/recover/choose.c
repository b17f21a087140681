// SPDX-License-Identifier: Apache-2.0
/*
 * What becomes of one volume. Its newest root from which the log can be
 * followed without a gap, through the root's own record, to the newest chunk
 * that anybody has: that is the root, and that is the log. A root need not have
 * been published: as part of the log it is the state after record S all the
 * same, and attaching reads everything from S on.
 *
 * The stores are asked for the headers from the newest root on that any header
 * names, which was published; and from where that root's log begins.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "recover/internal.h"
#include "volume/sealed.h"

/* Numbers beyond what was seen may have been declared, and be in use on a peer
 * that has not been asked: they are not used again. */
#define NUMBERS_SKIPPED ((uint64_t)1 << 16)
#define ROOTS_TRIED 64u

static void refuse(struct recover_volume *v, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The first reason counts. */
static void refuse(struct recover_volume *v, const char *fmt, ...)
{
	va_list ap;

	v->state = RECOVER_REFUSED;
	if (v->problem[0])
		return;
	va_start(ap, fmt);
	vsnprintf(v->problem, sizeof(v->problem), fmt, ap);
	va_end(ap);
}

/* ---- a root ------------------------------------------------------------------- */

static int by_age(const void *a, const void *b)
{
	const struct chain_root *l = a, *r = b;

	if (l->sequence != r->sequence)
		return l->sequence > r->sequence ? -1 : 1;
	return l->addr > r->addr ? -1 : l->addr < r->addr;
}

static int take_document(struct recover_volume *v, const struct root *root,
			 const struct chain_root *at)
{
	CLEANUP_FREE struct volume_doc *doc = malloc(sizeof(*doc));
	int err;

	if (!doc)
		return error_set(-ENOMEM, "out of memory");
	err = volume_doc_decode("the root's document", root->document, doc);
	if (err || doc->id != v->id)
		return -EBADMSG;
	v->doc = *doc;
	v->doc.next_chunk = MAX(doc->next_chunk, root->next_chunk);
	v->doc.next_chunk = MAX(v->doc.next_chunk, doc->tail.last + 1);
	v->doc.root = (struct root_ref){ at->addr, at->crc, root->sequence };
	return 0;
}

/* The log behind a root that could be read. 1: good; 0: not; or -errno. */
static int try_root(struct log_search *s, const struct chain_root *at,
		    struct recover_volume *v, struct recover_path *path)
{
	const struct chain_chunk *tip;
	struct root root;
	bool whole;
	int err = log_search_read_root(s, at, &root);

	if (err == -ENOMEM)
		return err;
	if (err)
		return 0;
	err = take_document(v, &root, at);
	if (!err)
		err = log_search_scan(s, block_addr_chunk(root.log_next));
	if (!err && chain_follow(s, root.log_next, root.sequence,
				 root.record_crc, path))
		err = error_set(-ENOMEM, "out of memory");
	root_release(&root);
	if (err)
		return err == -EBADMSG ? 0 : err;
	tip = chain_tip(s);
	whole = chain_holds(path, at);
	if (whole && s->choice && s->choice->truncate)
		return 1;
	whole &= tip && path->steps[path->count - 1].chunk == tip->number;
	if (whole || (s->choice && s->choice->root))
		return 1;
	refuse(v, "its log cannot be followed from its newest root (%" PRIu64 ":%u) to the newest chunk (%" PRIu64 "): after record %" PRIu64 ", at the end of chunk %" PRIu64 ", something is missing. Name the peers that have not been asked, or take what can be followed with --choose %s=%" PRIu64 ":%u",
	       block_addr_chunk(at->addr), block_addr_block(at->addr),
	       tip ? tip->number : 0, path->sequence,
	       path->steps[path->count - 1].chunk, v->doc.name,
	       block_addr_chunk(at->addr), block_addr_block(at->addr));
	recover_path_release(path);
	return 0;
}

static int find_root(struct log_search *s, struct recover_volume *v,
		     struct recover_path *path)
{
	CLEANUP_FREE struct chain_root *roots = NULL;
	uint32_t count = s->root_count, tried = 0;
	int err = 0;

	/* Scanning on adds older ones to the survey's own array. */
	roots = calloc(count + 1, sizeof(*roots));
	if (!roots)
		return error_set(-ENOMEM, "out of memory");
	if (count)
		memcpy(roots, s->roots, count * sizeof(*roots));
	qsort(roots, count, sizeof(*roots), by_age);
	for (uint32_t i = 0; i < count && !err && tried < ROOTS_TRIED; i++) {
		if (s->choice && s->choice->root &&
		    s->choice->root != roots[i].addr)
			continue;
		tried++;
		err = try_root(s, &roots[i], v, path);
	}
	return err;
}

/* ---- a volume that has none ------------------------------------------------------ */

static uint64_t lowest(const struct log_search *s)
{
	return s->chunk_count ? s->chunks[0].number : 0;
}

static bool had_root(const struct log_search *s)
{
	return s->seen->root || s->root_count;
}

/* Attached, written, and lost before its first root: the log is all there is. */
static int without_root(struct log_search *s, struct recover_volume *v,
			struct recover_path *path)
{
	struct volume_doc *doc = &v->doc;
	const struct chain_chunk *tip;

	if (chain_follow(s, block_addr(1, 0), 0, 0, path))
		return error_set(-ENOMEM, "out of memory");
	tip = chain_tip(s);
	if (!tip || path->steps[path->count - 1].chunk != tip->number) {
		refuse(v, "it has no root, and its log from the beginning on is not there. Name the peers that have not been asked");
		return 0;
	}
	memset(doc, 0, sizeof(*doc));
	snprintf(doc->name, sizeof(doc->name), "recovered-%016" PRIx64, v->id);
	doc->id = v->id;
	doc->size = MAX(s->volume_blocks, 1ull) * BLOCK_SIZE;
	doc->replication = s->r->cluster_doc.replication;
	doc->chunk_blocks = (uint32_t)(s->r->cluster_doc.chunk_size /
				       BLOCK_SIZE);
	v->rootless = true;
	snprintf(v->note, sizeof(v->note), "it never had a root, which would tell its name and size: the size is what was written");
	return 1;
}

/* ---- the volume ------------------------------------------------------------------- */

static void count_copies(const struct log_search *s, struct recover_volume *v,
			 struct recover_path *path)
{
	v->copies_min = UINT32_MAX;
	for (uint32_t i = 0; i < path->count; i++) {
		struct recover_step *step = &path->steps[i];
		const struct chain_chunk *c = chain_find(s, step->chunk);

		step->copies = 0;
		for (uint32_t j = 0; c && j < c->copy_count; j++)
			step->copies += !c->copies[j].odd &&
					c->copies[j].length >= step->length;
		v->log_blocks += step->length;
		if (step->length)
			v->copies_min = MIN(v->copies_min, step->copies);
	}
	v->log_chunks = path->count;
	v->chunk_first = path->steps[0].chunk;
	v->chunk_last = path->steps[path->count - 1].chunk;
	v->end_sequence = path->sequence;
}

/*
 * Entries say where the log leaves a chunk other than with LAST to the next
 * number. Chunks that have too few copies get one too, as long as there is
 * room: attaching copies what is listed.
 */
int recover_list_sealed(struct recover_volume *v,
			const struct recover_path *path)
{
	uint32_t majority = v->doc.replication / 2 + 1;

	v->doc.sealed_count = 0;
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < path->count; i++) {
			const struct recover_step *step = &path->steps[i];
			bool plain = step->complete &&
				     step->next == step->chunk + 1;
			struct sealed_chunk entry = {
				step->chunk, step->length, step->end_crc,
				step->next ? step->next : v->doc.next_chunk,
			};

			if (pass == 0 ? plain :
			    !plain || step->copies >= majority)
				continue;
			if (sealed_put(&v->doc, &entry) && pass == 0)
				return -ENOBUFS;
		}
	}
	return 0;
}

/* Chunks that follow the one in which the log ends, and its rest. */
static void look_beyond(struct log_search *s, struct recover_volume *v,
			const struct recover_path *path)
{
	const struct recover_step *end = &path->steps[path->count - 1];
	uint32_t durable;

	v->flushed = s->flushed;
	v->beyond_low = UINT64_MAX;
	v->beyond_high = 0;
	if (s->r->only && !log_search_durable(s, end->chunk, &durable) &&
	    durable > end->length)
		v->beyond_damaged = durable - end->length;
	for (uint32_t i = 0; i < s->chunk_count; i++) {
		const struct chain_chunk *c = &s->chunks[i];

		if (c->number <= end->chunk || !c->count)
			continue;
		v->beyond_records += c->count;
		v->beyond_blocks += c->ends[c->count - 1].block;
		v->beyond_last = MAX(v->beyond_last,
				     c->first_sequence + c->count - 1);
		if (c->low <= c->high) {
			v->beyond_low = MIN(v->beyond_low, c->low);
			v->beyond_high = MAX(v->beyond_high, c->high);
		}
	}
}

static void fill_document(struct log_search *s, struct recover_volume *v,
			  struct recover_path *path)
{
	struct volume_doc *doc = &v->doc;

	if (doc->attachment.present)
		snprintf(v->attached, sizeof(v->attached), "%s on host %s",
			 doc->attachment.device, doc->attachment.host);
	memset(&doc->attachment, 0, sizeof(doc->attachment));
	memset(&doc->tail, 0, sizeof(doc->tail));
	doc->tail.first = 1;
	doc->epoch = MAX(doc->epoch, s->seen->epoch);
	doc->next_chunk = MAX(doc->next_chunk, s->seen->chunk_max + 1);
	if (s->chunk_count)
		doc->next_chunk = MAX(doc->next_chunk,
				      s->chunks[s->chunk_count - 1].number + 1);
	doc->next_chunk += NUMBERS_SKIPPED;
	if (doc->next_chunk > CHUNK_NUMBER_MAX + 1)
		refuse(v, "a peer knows of chunk %" PRIu64 " of it, above which no numbers are left: no log is that long. Leave out the peer that says so",
		       doc->next_chunk - NUMBERS_SKIPPED - 1);
	/* What stores heard of roots that were given up with their log. */
	doc->root_floor = s->seen->root > doc->root.addr ? s->seen->root : 0;
	doc->mod_revision = 0;
	count_copies(s, v, path);
	look_beyond(s, v, path);
	if (recover_list_sealed(v, path))
		refuse(v, "its log goes through more than %u chunks that were given up before they were full",
		       SEALED_MAX);
}

static void check(struct log_search *s, struct recover_volume *v,
		  const struct recover_path *path)
{
	const char *name = v->doc.name;

	if (s->odd && !s->choice) {
		char text[UUID_TEXT_SIZE] = "";
		const struct recover_copy *copy = s->odd->copies;

		while (!copy->odd)
			copy++;
		uuid_format(&copy->peer->id, text);
		refuse(v, "the copies of chunk %" PRIu64 " disagree: the one of peer %s (%s) is no part of the others. Choose whose is right with --choose %s=PEER",
		       s->odd->number, copy->peer->address, text, name);
	}
	if (s->flushed > path->sequence &&
	    !(s->choice && (s->choice->root || s->choice->truncate)))
		refuse(v, "its log ends at record %" PRIu64 " on the peers that were asked, but record %" PRIu64 " was flushed. Name the peers that have not been asked, or accept the loss with --choose %s=%" PRIu64 ":%u",
		       path->sequence, s->flushed, name,
		       block_addr_chunk(v->doc.root.addr),
		       block_addr_block(v->doc.root.addr));
}

static uint64_t where_to_begin(const struct log_search *s)
{
	uint64_t first = s->seen->root ? block_addr_chunk(s->seen->root) :
					 lowest(s);

	if (s->choice && s->choice->root)
		first = MIN(first, block_addr_chunk(s->choice->root));
	return first;
}

static int judge_chunks(struct log_search *s, struct recover_volume *v,
			struct recover_path *path)
{
	int err = log_search_scan(s, where_to_begin(s));
	int found = 0;

	if (!err)
		found = find_root(s, v, path);
	/* The named root may be gone with its peers: older ones are better
	 * than none. */
	if (!err && !found && where_to_begin(s) > lowest(s)) {
		err = log_search_scan(s, 0);
		if (!err)
			found = find_root(s, v, path);
	}
	if (!err && !found && !had_root(s))
		found = without_root(s, v, path);
	if (err || found < 0)
		return err ? err : found;
	if (!found) {
		refuse(v, "no root of it could be read. Name the peers that have not been asked");
		return 0;
	}
	v->state = RECOVER_GOOD;
	v->problem[0] = '\0';
	fill_document(s, v, path);
	check(s, v, path);
	return 0;
}

int recover_judge(struct recover *r, const struct recover_seen *seen,
		  struct recover_volume *v, struct recover_path *path)
{
	struct log_search s;
	int err;

	/* A choice may name the volume as it was found before. */
	err = log_search_open(&s, r, seen);
	memset(v, 0, sizeof(*v));
	v->id = seen->volume;
	v->epoch = seen->epoch;
	v->state = RECOVER_DELETED;
	if (!seen->deleted)
		v->state = RECOVER_NOTHING;
	if (err || seen->deleted)
		goto out_release;
	if (s.chunk_count)
		err = judge_chunks(&s, v, path);
	else if (seen->chunk_max)
		refuse(v, "none of its chunks is on the peers that were asked. Name those that have not been asked");
out_release:
	log_search_release(&s);
	return err;
}
