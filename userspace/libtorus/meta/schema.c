// SPDX-License-Identifier: Apache-2.0
/* The documents of schema.h, but for the volume's (schema_volume.c). */
#include "meta/schema.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "meta/doc.h"

/* ---- cluster ---------------------------------------------------------------- */

char *cluster_doc_encode(const struct cluster_doc *doc)
{
	struct json_object *obj = doc_new();

	doc_add_uuid(&obj, "id", &doc->id);
	doc_add_u64(&obj, "replication", doc->replication);
	doc_add_u64(&obj, "chunk_size", doc->chunk_size);
	return doc_print(obj);
}

static void check_chunk_size(struct doc_reader *r, uint64_t size)
{
	if (!r->err && (size & (size - 1)))
		doc_fail(r, "chunk_size", "must be a power of two");
}

int cluster_doc_decode(const char *key, const char *json,
		       struct cluster_doc *doc)
{
	struct doc_reader r;

	memset(doc, 0, sizeof(*doc));
	doc_open(&r, key, json);
	doc_uuid(&r, r.top, "id", &doc->id);
	if (!r.err && uuid_is_null(&doc->id))
		doc_fail(&r, "id", "must not be null");
	doc->replication = doc_u64(&r, r.top, "replication", 1,
				   RING_REPLICATION_MAX);
	doc->chunk_size = doc_u64(&r, r.top, "chunk_size", CHUNK_SIZE_MIN,
				  CHUNK_SIZE_MAX);
	check_chunk_size(&r, doc->chunk_size);
	return doc_close(&r);
}

/* ---- ring -------------------------------------------------------------------- */

static struct json_object *member_object(const struct ring_member *m)
{
	struct json_object *obj = json_object_new_object();

	doc_add_uuid(&obj, "peer", &m->peer);
	doc_add_u64(&obj, "weight", m->weight);
	doc_add_text(&obj, "zone", m->zone);
	doc_add_text(&obj, "rack", m->rack);
	doc_add_text(&obj, "host", m->host);
	return obj;
}

static struct json_object *ring_object(const struct ring_spec *spec)
{
	struct json_object *obj = json_object_new_object();
	struct json_object *members = json_object_new_array();
	uint32_t i;

	for (i = 0; i < spec->member_count; i++)
		doc_append(&members, member_object(&spec->members[i]));
	doc_add_u64(&obj, "version", spec->version);
	doc_add_text(&obj, "type", ring_type_name(spec->type));
	doc_add_u64(&obj, "replication", spec->replication);
	doc_add(&obj, "members", members);
	return obj;
}

char *ring_doc_encode(const struct ring_doc *doc)
{
	struct json_object *obj = doc_new();

	doc_add(&obj, "current", ring_object(&doc->current));
	if (doc->has_previous)
		doc_add(&obj, "previous", ring_object(&doc->previous));
	return doc_print(obj);
}

static void read_member(struct doc_reader *r, struct json_object *obj,
			struct ring_member *m)
{
	doc_uuid(r, obj, "peer", &m->peer);
	if (!r->err && uuid_is_null(&m->peer))
		doc_fail(r, "peer", "must not be null");
	m->weight = doc_u64(r, obj, "weight", 0, UINT64_MAX);
	doc_text(r, obj, "zone", m->zone, sizeof(m->zone));
	doc_text(r, obj, "rack", m->rack, sizeof(m->rack));
	doc_text(r, obj, "host", m->host, sizeof(m->host));
}

static void read_ring(struct doc_reader *r, const char *field,
		      struct ring_spec *spec)
{
	struct json_object *obj = doc_object(r, r->top, field), *members;
	char type[32];
	size_t i, count;

	spec->version = doc_u64(r, obj, "version", 1, UINT64_MAX);
	doc_text(r, obj, "type", type, sizeof(type));
	if (!r->err && ring_type_parse(type, &spec->type) < 0)
		doc_fail(r, "type", "names no ring type that this program knows: \"%s\"",
			 type);
	spec->replication = doc_u64(r, obj, "replication", 1,
				    RING_REPLICATION_MAX);
	members = doc_array(r, obj, "members", RING_MEMBERS_MAX, &count);
	for (i = 0; i < count && !r->err; i++)
		read_member(r, doc_object_at(r, members, i, "members"),
			    &spec->members[i]);
	spec->member_count = r->err ? 0 : count;
}

int ring_doc_decode(const char *key, const char *json, struct ring_doc *doc)
{
	struct doc_reader r;

	memset(doc, 0, sizeof(*doc));
	doc_open(&r, key, json);
	read_ring(&r, "current", &doc->current);
	doc->has_previous = doc_has(&r, r.top, "previous");
	if (doc->has_previous)
		read_ring(&r, "previous", &doc->previous);
	return doc_close(&r);
}

/* ---- peer --------------------------------------------------------------------- */

char *peer_doc_encode(const struct peer_doc *doc)
{
	struct json_object *obj = doc_new();

	doc_add_uuid(&obj, "id", &doc->id);
	doc_add_text(&obj, "address", doc->address);
	doc_add_u64(&obj, "size", doc->size);
	doc_add_u64(&obj, "used", doc->used);
	doc_add_text(&obj, "zone", doc->zone);
	doc_add_text(&obj, "rack", doc->rack);
	doc_add_text(&obj, "host", doc->host);
	doc_add_uuid(&obj, "incarnation", &doc->incarnation);
	return doc_print(obj);
}

int peer_doc_decode(const char *key, const char *json, struct peer_doc *doc)
{
	struct doc_reader r;

	memset(doc, 0, sizeof(*doc));
	doc_open(&r, key, json);
	doc_uuid(&r, r.top, "id", &doc->id);
	if (!r.err && uuid_is_null(&doc->id))
		doc_fail(&r, "id", "must not be null");
	doc_text(&r, r.top, "address", doc->address, sizeof(doc->address));
	if (!r.err && !strchr(doc->address, ':'))
		doc_fail(&r, "address", "must be HOST:PORT");
	doc->size = doc_u64(&r, r.top, "size", 0, UINT64_MAX);
	doc->used = doc_u64(&r, r.top, "used", 0, UINT64_MAX);
	doc_text(&r, r.top, "zone", doc->zone, sizeof(doc->zone));
	doc_text(&r, r.top, "rack", doc->rack, sizeof(doc->rack));
	doc_text(&r, r.top, "host", doc->host, sizeof(doc->host));
	doc_uuid(&r, r.top, "incarnation", &doc->incarnation);
	return doc_close(&r);
}

/* ---- the small ones ------------------------------------------------------------ */

char *marker_encode(void)
{
	return doc_print(doc_new());
}

char *counter_encode(uint64_t next)
{
	struct json_object *obj = doc_new();

	doc_add_u64(&obj, "next", next);
	return doc_print(obj);
}

int counter_decode(const char *key, const char *json, uint64_t *next)
{
	struct doc_reader r;

	doc_open(&r, key, json);
	*next = doc_u64(&r, r.top, "next", 1, UINT64_MAX);
	return doc_close(&r);
}

char *moved_encode(uint64_t ring_version)
{
	struct json_object *obj = doc_new();

	doc_add_u64(&obj, "ring", ring_version);
	return doc_print(obj);
}

int moved_decode(const char *key, const char *json, uint64_t *ring_version)
{
	struct doc_reader r;

	doc_open(&r, key, json);
	*ring_version = doc_u64(&r, r.top, "ring", 1, UINT64_MAX);
	return doc_close(&r);
}

char *name_encode(const char *name)
{
	struct json_object *obj = doc_new();

	doc_add_text(&obj, "name", name);
	return doc_print(obj);
}

int name_decode(const char *key, const char *json, char name[VOLUME_NAME_MAX])
{
	struct doc_reader r;

	doc_open(&r, key, json);
	doc_text(&r, r.top, "name", name, VOLUME_NAME_MAX);
	if (!r.err && volume_name_check(name) < 0)
		doc_fail(&r, "name", "is no volume name");
	return doc_close(&r);
}

char *tombstone_doc_encode(const struct tombstone_doc *doc)
{
	struct json_object *confirmed = json_object_new_array();
	struct json_object *obj = doc_new();
	char text[UUID_TEXT_SIZE];
	uint32_t i;

	doc_add_text(&obj, "name", doc->name);
	for (i = 0; i < doc->confirmed_count; i++) {
		uuid_format(&doc->confirmed[i], text);
		doc_append(&confirmed, json_object_new_string(text));
	}
	doc_add(&obj, "confirmed", confirmed);
	return doc_print(obj);
}

int tombstone_doc_decode(const char *key, const char *json,
			 struct tombstone_doc *doc)
{
	struct json_object *confirmed;
	struct doc_reader r;
	size_t i, count = 0;

	memset(doc, 0, sizeof(*doc));
	doc_open(&r, key, json);
	doc_text(&r, r.top, "name", doc->name, sizeof(doc->name));
	if (!r.err && volume_name_check(doc->name) < 0)
		doc_fail(&r, "name", "is no volume name");
	if (!r.err && doc_has(&r, r.top, "confirmed")) {
		confirmed = doc_array(&r, r.top, "confirmed", RING_MEMBERS_MAX,
				      &count);
		for (i = 0; i < count; i++)
			doc_uuid_at(&r, confirmed, i, "confirmed",
				    &doc->confirmed[i]);
	}
	doc->confirmed_count = r.err ? 0 : (uint32_t)count;
	return doc_close(&r);
}
