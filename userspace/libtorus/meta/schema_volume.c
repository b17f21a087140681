// SPDX-License-Identifier: Apache-2.0
/*
 * The volume's document. Optional in JSON: attachment (absent: detached) and
 * root (absent: never attached). Everything else is always there, so that a
 * person who reads it with etcdctl sees the whole state.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "meta/doc.h"
#include "meta/schema.h"

/* ---- encoding ---------------------------------------------------------------- */

static struct json_object *attachment_object(const struct attachment *a)
{
	struct json_object *obj = json_object_new_object();

	doc_add_text(&obj, "host", a->host);
	doc_add_u64(&obj, "pid", a->pid);
	doc_add_text(&obj, "device", a->device);
	doc_add_uuid(&obj, "incarnation", &a->incarnation);
	doc_add_bool(&obj, "read_only", a->read_only);
	doc_add_u64(&obj, "since_ms", a->since_ms);
	if (!uuid_is_null(&a->machine))
		doc_add_uuid(&obj, "machine", &a->machine);
	if (!uuid_is_null(&a->boot))
		doc_add_uuid(&obj, "boot", &a->boot);
	return obj;
}

static struct json_object *tail_object(const struct tail *tail)
{
	struct json_object *obj = json_object_new_object();
	struct json_object *excluded = json_object_new_array();
	char text[UUID_TEXT_SIZE];
	uint32_t i;

	for (i = 0; i < tail->excluded_count; i++) {
		uuid_format(&tail->excluded[i], text);
		doc_append(&excluded, json_object_new_string(text));
	}
	doc_add_u64(&obj, "first", tail->first);
	doc_add_u64(&obj, "last", tail->last);
	doc_add_u64(&obj, "ring", tail->ring_version);
	doc_add(&obj, "excluded", excluded);
	return obj;
}

static struct json_object *sealed_object(const struct sealed_chunk *s)
{
	struct json_object *obj = json_object_new_object();

	doc_add_u64(&obj, "chunk", s->chunk);
	doc_add_u64(&obj, "length", s->length);
	doc_add_hex(&obj, "end_crc", s->end_crc, 8);
	doc_add_u64(&obj, "next", s->next);
	return obj;
}

static struct json_object *sealed_array(const struct volume_doc *doc)
{
	struct json_object *array = json_object_new_array();
	uint32_t i;

	for (i = 0; i < doc->sealed_count; i++)
		doc_append(&array, sealed_object(&doc->sealed[i]));
	return array;
}

static struct json_object *root_object(const struct root_ref *root)
{
	struct json_object *obj = json_object_new_object();

	doc_add_u64(&obj, "chunk", block_addr_chunk(root->addr));
	doc_add_u64(&obj, "block", block_addr_block(root->addr));
	doc_add_hex(&obj, "crc", root->crc, 8);
	doc_add_u64(&obj, "sequence", root->sequence);
	return obj;
}

char *volume_doc_encode(const struct volume_doc *doc)
{
	struct json_object *obj = doc_new();

	doc_add_text(&obj, "name", doc->name);
	doc_add_hex(&obj, "id", doc->id, 16);
	doc_add_u64(&obj, "size", doc->size);
	doc_add_u64(&obj, "replication", doc->replication);
	doc_add_u64(&obj, "chunk_blocks", doc->chunk_blocks);
	doc_add_u64(&obj, "created_ms", doc->created_ms);
	doc_add_u64(&obj, "epoch", doc->epoch);
	if (doc->attachment.present)
		doc_add(&obj, "attachment",
			attachment_object(&doc->attachment));
	doc_add(&obj, "tail", tail_object(&doc->tail));
	doc_add_u64(&obj, "next_chunk", doc->next_chunk);
	doc_add(&obj, "sealed", sealed_array(doc));
	if (doc->root.addr)
		doc_add(&obj, "root", root_object(&doc->root));
	if (doc->root_floor)
		doc_add_hex(&obj, "root_floor", doc->root_floor, 16);
	return doc_print(obj);
}

/* ---- decoding ---------------------------------------------------------------- */

static void read_identity(struct doc_reader *r, struct volume_doc *doc)
{
	struct json_object *top = r->top;

	doc_text(r, top, "name", doc->name, sizeof(doc->name));
	if (!r->err && volume_name_check(doc->name) < 0)
		doc_fail(r, "name", "is no volume name");
	doc->id = doc_hex(r, top, "id", 16);
	if (!r->err && !doc->id)
		doc_fail(r, "id", "must not be zero");
	doc->size = doc_u64(r, top, "size", BLOCK_SIZE, VOLUME_SIZE_MAX);
	if (doc->size % BLOCK_SIZE)
		doc_fail(r, "size", "must be a multiple of %u", BLOCK_SIZE);
	doc->replication = doc_u64(r, top, "replication", 1,
				   RING_REPLICATION_MAX);
	doc->chunk_blocks = doc_u64(r, top, "chunk_blocks",
				    CHUNK_SIZE_MIN / BLOCK_SIZE,
				    CHUNK_BLOCKS_MAX);
	doc->created_ms = doc_u64(r, top, "created_ms", 0, UINT64_MAX);
	doc->epoch = doc_u64(r, top, "epoch", 0, UINT64_MAX);
}

static void read_attachment(struct doc_reader *r, struct attachment *a)
{
	struct json_object *obj;

	if (!doc_has(r, r->top, "attachment"))
		return;
	obj = doc_object(r, r->top, "attachment");
	a->present = true;
	doc_text(r, obj, "host", a->host, sizeof(a->host));
	a->pid = doc_u64(r, obj, "pid", 0, UINT64_MAX);
	doc_text(r, obj, "device", a->device, sizeof(a->device));
	doc_uuid(r, obj, "incarnation", &a->incarnation);
	a->read_only = doc_bool(r, obj, "read_only");
	a->since_ms = doc_u64(r, obj, "since_ms", 0, UINT64_MAX);
	if (doc_has(r, obj, "machine"))
		doc_uuid(r, obj, "machine", &a->machine);
	if (doc_has(r, obj, "boot"))
		doc_uuid(r, obj, "boot", &a->boot);
}

static void read_tail(struct doc_reader *r, struct tail *tail)
{
	struct json_object *obj = doc_object(r, r->top, "tail"), *excluded;
	size_t i, count;

	tail->first = doc_u64(r, obj, "first", 0, CHUNK_NUMBER_MAX + 1);
	tail->last = doc_u64(r, obj, "last", 0, CHUNK_NUMBER_MAX);
	tail->ring_version = doc_u64(r, obj, "ring", 0, UINT64_MAX);
	excluded = doc_array(r, obj, "excluded", TAIL_EXCLUDED_MAX, &count);
	for (i = 0; i < count; i++)
		doc_uuid_at(r, excluded, i, "excluded", &tail->excluded[i]);
	tail->excluded_count = r->err ? 0 : count;
}

static void read_one_sealed(struct doc_reader *r, struct json_object *obj,
			    struct sealed_chunk *s, uint32_t chunk_blocks)
{
	s->chunk = doc_u64(r, obj, "chunk", 0, CHUNK_NUMBER_MAX);
	s->length = doc_u64(r, obj, "length", 0, chunk_blocks);
	s->end_crc = doc_hex(r, obj, "end_crc", 8);
	s->next = doc_u64(r, obj, "next", 0, CHUNK_NUMBER_MAX + 1);
}

static void read_sealed(struct doc_reader *r, struct volume_doc *doc)
{
	struct json_object *array;
	size_t i, count;

	array = doc_array(r, r->top, "sealed", SEALED_MAX, &count);
	for (i = 0; i < count && !r->err; i++)
		read_one_sealed(r, doc_object_at(r, array, i, "sealed"),
				&doc->sealed[i], doc->chunk_blocks);
	doc->sealed_count = r->err ? 0 : count;
}

static void read_root(struct doc_reader *r, struct root_ref *root,
		      uint32_t chunk_blocks)
{
	struct json_object *obj;
	uint64_t chunk, block;

	if (!doc_has(r, r->top, "root"))
		return;
	obj = doc_object(r, r->top, "root");
	chunk = doc_u64(r, obj, "chunk", 0, CHUNK_NUMBER_MAX);
	block = doc_u64(r, obj, "block", 0, chunk_blocks - 1);
	root->addr = block_addr(chunk, block);
	root->crc = doc_hex(r, obj, "crc", 8);
	root->sequence = doc_u64(r, obj, "sequence", 0, UINT64_MAX);
	if (!r->err && !root->addr)
		doc_fail(r, "root", "must not be at chunk 0, block 0");
}

/* A declared chunk has a number below the lowest that never was. */
static void check_numbers(struct doc_reader *r, const struct volume_doc *doc)
{
	const struct tail *tail = &doc->tail;

	if (r->err)
		return;
	if (tail->first <= tail->last && tail->last >= doc->next_chunk)
		doc_fail(r, "next_chunk", "must be above the tail's last chunk");
}

int volume_doc_decode(const char *key, const char *json,
		      struct volume_doc *doc)
{
	struct doc_reader r;

	memset(doc, 0, sizeof(*doc));
	doc_open(&r, key, json);
	read_identity(&r, doc);
	read_attachment(&r, &doc->attachment);
	read_tail(&r, &doc->tail);
	doc->next_chunk = doc_u64(&r, r.top, "next_chunk", 0,
				  CHUNK_NUMBER_MAX + 1);
	read_sealed(&r, doc);
	read_root(&r, &doc->root, doc->chunk_blocks);
	if (doc_has(&r, r.top, "root_floor"))
		doc->root_floor = doc_hex(&r, r.top, "root_floor", 16);
	check_numbers(&r, doc);
	return doc_close(&r);
}
