// SPDX-License-Identifier: Apache-2.0
/*
 * Texts that a store keeps and a recovery takes: the files "documents" and
 * "identity", the documents of cluster and ring as a peer hands them out, and
 * the choices of a person. The first byte says which. Since chance finds no CRC,
 * a file of documents is also tried with a head that fits what follows it.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "recover/internal.h"
#include "store/documents.h"
#include "store/open.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ring_doc ring;

static void check(int condition)
{
	if (!condition)
		abort();
}

static void *copy(const void *data, size_t size)
{
	void *all = malloc(size + 1);

	check(all != NULL);
	memcpy(all, data, size);
	((char *)all)[size] = '\0';
	return all;
}

/* What a peer sends ends with a NUL, which is checked where it comes in. */
static void fuzz_recall(const char *text, size_t size)
{
	struct cluster_doc cluster;
	CLEANUP_FREE char *first = NULL, *second = NULL;

	if (recover_decode_documents(text, size, &cluster, &ring) < 0)
		return;
	first = cluster_doc_encode(&cluster);
	second = ring_doc_encode(&ring);
	check(first != NULL && second != NULL);
	check(cluster_doc_decode("k", first, &cluster) == 0);
	check(ring_doc_decode("k", second, &ring) == 0);
}

static void fuzz_file(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *exact = size ? malloc(size) : NULL;
	struct store_documents d = { 0 };

	if (!exact)
		return;
	/* No byte of ours behind it: what is read there is found. */
	memcpy(exact, data, size);
	if (store_documents_parse(&d, exact, size))
		check(d.bytes > 0 && d.bytes < size && d.text != NULL);
	store_documents_release(&d);
}

static void fuzz_fitting_file(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *image = malloc(size + 80);
	struct store_documents d = { 0 };
	int head;

	check(image != NULL);
	head = snprintf(image, 80, "torus-documents 1 %" PRIu64 " %zu %08" PRIx32
			"\n", (uint64_t)size, size, crc32c(0, data, size));
	memcpy(image + head, data, size);
	check(store_documents_parse(&d, image, (size_t)head + size) ==
	      (size > 0));
	check(size == 0 || (d.bytes == size && d.version == size &&
			    memcmp(d.text, data, size) == 0));
	store_documents_release(&d);
}

static void fuzz_identity(const char *text)
{
	char again[256], id[2][UUID_TEXT_SIZE];
	struct uuid cluster, peer, twice[2];

	if (store_identity_parse(text, &cluster, &peer) < 0)
		return;
	uuid_format(&cluster, id[0]);
	uuid_format(&peer, id[1]);
	snprintf(again, sizeof(again), "torus-store 1\ncluster %s\npeer %s\n",
		 id[0], id[1]);
	check(store_identity_parse(again, &twice[0], &twice[1]) == 0);
	check(uuid_equal(&cluster, &twice[0]) && uuid_equal(&peer, &twice[1]));
}

static void fuzz_choice(const char *text)
{
	struct recover_config cfg = { 0 };
	struct recover *r = recover_new(&cfg);

	check(r != NULL);
	if (recover_choose(r, text) == 0)
		check(r->choice_count == 1 && r->choices[0].volume[0] &&
		      (r->choices[0].root || r->choices[0].peer[0] ||
		       strchr(text, ':') != NULL));
	recover_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *text = NULL;

	if (size == 0)
		return 0;
	text = copy(data + 1, size - 1);
	switch (data[0] % 4) {
	case 0:
		fuzz_file(data + 1, size - 1);
		fuzz_fitting_file(data + 1, size - 1);
		break;
	case 1:
		fuzz_identity(text);
		break;
	case 2:
		fuzz_recall(text, size);
		break;
	default:
		fuzz_choice(text);
	}
	return 0;
}
