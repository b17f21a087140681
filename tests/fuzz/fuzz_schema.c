// SPDX-License-Identifier: Apache-2.0
/*
 * The decoders of the metadata's JSON. The first byte chooses the document.
 * What is accepted must survive being written and read again unchanged.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "meta/schema.h"

static union doc {
	struct cluster_doc cluster;
	struct ring_doc ring;
	struct peer_doc peer;
	struct volume_doc volume;
	struct tombstone_doc tombstone;
	uint64_t counter;
	char name[VOLUME_NAME_MAX];
} first, second;

static int decode(uint8_t kind, const char *json, union doc *doc)
{
	switch (kind) {
	case 0:
		return cluster_doc_decode("k", json, &doc->cluster);
	case 1:
		return ring_doc_decode("k", json, &doc->ring);
	case 2:
		return peer_doc_decode("k", json, &doc->peer);
	case 3:
		return volume_doc_decode("k", json, &doc->volume);
	case 4:
		return counter_decode("k", json, &doc->counter);
	case 5:
		return moved_decode("k", json, &doc->counter);
	case 7:
		return tombstone_doc_decode("k", json, &doc->tombstone);
	default:
		return name_decode("k", json, doc->name);
	}
}

static char *encode(uint8_t kind, const union doc *doc)
{
	switch (kind) {
	case 0:
		return cluster_doc_encode(&doc->cluster);
	case 1:
		return ring_doc_encode(&doc->ring);
	case 2:
		return peer_doc_encode(&doc->peer);
	case 3:
		return volume_doc_encode(&doc->volume);
	case 4:
		return counter_encode(doc->counter);
	case 5:
		return moved_encode(doc->counter);
	case 7:
		return tombstone_doc_encode(&doc->tombstone);
	default:
		return name_encode(doc->name);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *json = NULL, *again = NULL, *third = NULL;
	uint8_t kind;

	if (!size)
		return 0;
	kind = data[0] % 8;
	json = malloc(size);
	memcpy(json, data + 1, size - 1);
	json[size - 1] = 0;
	if (decode(kind, json, &first) < 0)
		return 0;
	again = encode(kind, &first);
	if (!again || decode(kind, again, &second) < 0)
		abort();
	third = encode(kind, &second);
	if (!third || strcmp(again, third) != 0)
		abort();
	return 0;
}
