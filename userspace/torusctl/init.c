// SPDX-License-Identifier: Apache-2.0
/* torusctl init: a new cluster. torusctl wipe: its end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/size.h"
#include "ctl.h"

static int show_cluster(const struct ctl *ctl, const struct cluster_doc *doc)
{
	char id[UUID_TEXT_SIZE], size[32];

	uuid_format(&doc->id, id);
	if (ctl->json) {
		printf("{\"id\":\"%s\",\"replication\":%u,\"chunk_size\":%llu}\n",
		       id, doc->replication,
		       (unsigned long long)doc->chunk_size);
		return CTL_OK;
	}
	size_format(doc->chunk_size, size, sizeof(size));
	printf("cluster:      %s\nreplication:  %u\nchunk size:   %s\n", id,
	       doc->replication, size);
	return CTL_OK;
}

static int parse_init(struct ctl *ctl, struct cluster_doc *doc,
		      struct ring_doc *ring)
{
	const char *r = ctl->option[OPT_REPLICATION];
	const char *chunk = ctl->option[OPT_CHUNK_SIZE];
	const char *type = ctl->option[OPT_RING];
	uint64_t number = 3;
	int err = 0;

	doc->chunk_size = CHUNK_SIZE_MAX;
	ring->current.version = 1;
	ring->current.type = RING_KETAMA;
	if (r)
		err = ctl_number("--replication", r, 1, RING_REPLICATION_MAX,
				 &number);
	doc->replication = (uint32_t)number;
	ring->current.replication = doc->replication;
	if (!err && chunk) {
		err = size_parse(chunk, &doc->chunk_size);
		if (err)
			error_prefix("--chunk-size");
	}
	if (!err && (doc->chunk_size < CHUNK_SIZE_MIN ||
		     doc->chunk_size > CHUNK_SIZE_MAX ||
		     (doc->chunk_size & (doc->chunk_size - 1))))
		err = error_set(-EINVAL, "--chunk-size %s: must be a power of two from 1 MiB to 64 MiB",
				chunk);
	if (!err && type && ring_type_parse(type, &ring->current.type))
		err = error_set(-EINVAL, "--ring %s: no such ring type; use ketama, zones, mod, single or empty",
				type);
	return err;
}

static int write_cluster(struct ctl *ctl, const struct cluster_doc *doc,
			 const struct ring_doc *ring)
{
	CLEANUP_FREE char *cluster_text = cluster_doc_encode(doc);
	CLEANUP_FREE char *ring_text = ring_doc_encode(ring);
	char ring_key[META_KEY_MAX];
	struct meta_txn txn = {
		.compare = { { KEY_CLUSTER, 0 } },
		.compare_count = 1,
		.put = { { KEY_CLUSTER, cluster_text, 0 },
			 { ring_key, ring_text, 0 } },
		.put_count = 2,
	};
	int err;

	if (!cluster_text || !ring_text)
		return error_set(-ENOMEM, "out of memory");
	key_ring(&doc->id, ring_key);
	err = ctl_txn(ctl, &txn);
	if (err == -EAGAIN)
		err = error_set(-EEXIST, "this metadata store has a cluster already; 'torusctl init --view' shows it");
	return err;
}

int cmd_init(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP_FREE struct ring_doc *ring = calloc(1, sizeof(*ring));
	struct cluster_doc doc = { 0 };
	int err;

	(void)argc;
	(void)argv;
	if (ctl_given(ctl, OPT_VIEW)) {
		err = ctl_cluster_load(ctl);
		return err ? ctl_fail(err) : show_cluster(ctl, &ctl->cluster);
	}
	if (!ring)
		return ctl_fail(error_set(-ENOMEM, "out of memory"));
	err = parse_init(ctl, &doc, ring);
	if (err)
		return ctl_bad_value(err);
	env_random(ctl->env, doc.id.byte, sizeof(doc.id.byte));
	uuid_from_random(&doc.id);
	err = write_cluster(ctl, &doc, ring);
	return err ? ctl_fail(err) : show_cluster(ctl, &doc);
}

/* ---- wipe ------------------------------------------------------------------ */

static bool confirmed(struct ctl *ctl)
{
	char answer[16];

	if (ctl_given(ctl, OPT_YES))
		return true;
	if (!isatty(STDIN_FILENO))
		return false;
	fprintf(stderr, "This deletes every volume of the cluster. Type YES to go on: ");
	return fgets(answer, sizeof(answer), stdin) &&
	       strcmp(answer, "YES\n") == 0;
}

static int refuse_attached(struct ctl *ctl)
{
	struct volume_doc *volumes;
	size_t count;
	int err = ctl_volumes(ctl, &volumes, &count);

	if (err)
		return err;
	for (size_t i = 0; !err && i < count; i++)
		if (volumes[i].attachment.present)
			err = error_set(-EBUSY, "volume '%s' is attached on host %s; detach it first, or wipe with --force",
					volumes[i].name,
					volumes[i].attachment.host);
	free(volumes);
	return err;
}

static int delete_batch(struct ctl *ctl, const struct ctl_value *values,
			size_t count)
{
	struct meta_txn txn = { 0 };

	for (size_t i = 0; i < count; i++)
		txn.put[txn.put_count++] =
			(struct meta_put){ values[i].key, NULL, 0 };
	return ctl_txn(ctl, &txn);
}

/*
 * The cluster's own key goes last: a wipe that fails half-way can be repeated,
 * and until it is complete no new cluster can be made in its place.
 */
static int delete_all(struct ctl *ctl)
{
	struct ctl_value *values;
	struct meta_txn last = { .put = { { KEY_CLUSTER, NULL, 0 } },
				 .put_count = 1 };
	char prefix[META_KEY_MAX], id[UUID_TEXT_SIZE];
	size_t count;
	int err;

	uuid_format(&ctl->cluster.id, id);
	snprintf(prefix, sizeof(prefix), "torus/%s/", id);
	err = ctl_list(ctl, prefix, &values, &count);
	if (err)
		return err;
	for (size_t i = 0; !err && i < count; i += META_TXN_MAX)
		err = delete_batch(ctl, values + i,
				   MIN(count - i, (size_t)META_TXN_MAX));
	ctl_values_free(values, count);
	return err ? err : ctl_txn(ctl, &last);
}

int cmd_wipe(struct ctl *ctl, int argc, char **argv)
{
	int err = ctl_cluster_load(ctl);

	(void)argc;
	(void)argv;
	if (!err && !ctl_given(ctl, OPT_FORCE))
		err = refuse_attached(ctl);
	if (err)
		return ctl_fail(err);
	if (!confirmed(ctl)) {
		fprintf(stderr, "torusctl: nothing was deleted; confirm with --yes-i-am-sure\n");
		return CTL_FAILED;
	}
	err = delete_all(ctl);
	if (err)
		return ctl_fail(err);
	fprintf(stderr, "The metadata are gone. Chunks remain in the peers' directories; delete these by hand.\n");
	return CTL_OK;
}
