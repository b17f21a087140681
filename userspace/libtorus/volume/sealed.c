// SPDX-License-Identifier: Apache-2.0
#include "volume/sealed.h"

#include <errno.h>

struct sealed_chunk *sealed_find(struct volume_doc *doc, uint64_t chunk)
{
	uint32_t i;

	for (i = 0; i < doc->sealed_count; i++)
		if (doc->sealed[i].chunk == chunk)
			return &doc->sealed[i];
	return NULL;
}

struct sealed_chunk *sealed_leading_to(struct volume_doc *doc, uint64_t chunk)
{
	uint32_t i;

	for (i = 0; i < doc->sealed_count; i++)
		if (doc->sealed[i].next == chunk)
			return &doc->sealed[i];
	return NULL;
}

int sealed_put(struct volume_doc *doc, const struct sealed_chunk *entry)
{
	struct sealed_chunk *s = sealed_find(doc, entry->chunk);

	if (s == NULL && doc->sealed_count == SEALED_MAX)
		return -ENOBUFS;
	if (s == NULL)
		s = &doc->sealed[doc->sealed_count++];
	*s = *entry;
	return 0;
}

void sealed_keep(struct volume_doc *doc, uint64_t first, uint64_t end)
{
	uint32_t i, kept = 0;

	for (i = 0; i < doc->sealed_count; i++)
		if (doc->sealed[i].chunk >= first && doc->sealed[i].chunk < end)
			doc->sealed[kept++] = doc->sealed[i];
	doc->sealed_count = kept;
}
