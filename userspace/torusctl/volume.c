// SPDX-License-Identifier: Apache-2.0
/* torusctl volume create|list|info|delete */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/size.h"
#include "ctl.h"
#include "table.h"

#define CREATE_TRIES 16

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/*
 * R, when none is asked for, is the ring's: 3, but 2 where there are only two
 * peers. More copies than peers are promised, but not hidden.
 */
static int choose_replication(struct ctl *ctl, const char *name, uint32_t *r)
{
	struct ring_doc *ring = malloc(sizeof(*ring));
	uint32_t members;
	int64_t revision;
	int err;

	if (!ring)
		return error_set(-ENOMEM, "out of memory");
	err = ctl_ring_get(ctl, ring, &revision);
	members = ring->current.member_count;
	if (!err && !*r) {
		*r = ring->current.replication;
		if (*r == 3 && members == 2) {
			*r = 2;
			fprintf(stderr, "torusctl: note: volume %s gets 2 copies, since the ring has only 2 peers: 'volume create --replication 3' wants 3\n",
				name);
		}
	}
	if (!err && members && *r > members)
		fprintf(stderr, "torusctl: warning: the ring has only %u %s for the %u copies of volume %s\n",
			members, members == 1 ? "peer" : "peers", *r, name);
	free(ring);
	return err;
}

/* A volume takes no space before it is written: larger is allowed, but said. */
static int warn_if_larger(struct ctl *ctl, const struct volume_doc *doc)
{
	char size[32], space[32];
	struct ctl_peer *peers;
	uint64_t total = 0;
	size_t count;
	int err = ctl_peers(ctl, &peers, &count);

	if (err)
		return err;
	for (size_t i = 0; i < count; i++)
		total += peers[i].member ? peers[i].doc.size : 0;
	free(peers);
	size_format(doc->size, size, sizeof(size));
	size_format(total, space, sizeof(space));
	if (total && doc->size > total / doc->replication)
		fprintf(stderr, "torusctl: warning: volume %s, once full, needs %u times %s, and all peers of the ring together have %s\n",
			doc->name, doc->replication, size, space);
	return 0;
}

static int parse_create(struct ctl *ctl, char **argv, struct volume_doc *doc)
{
	const char *r = ctl->option[OPT_REPLICATION];
	uint64_t number;
	int err = volume_name_check(argv[0]);

	if (!err)
		err = size_parse(argv[1], &doc->size);
	if (!err && (doc->size == 0 || doc->size % BLOCK_SIZE ||
		     doc->size > VOLUME_SIZE_MAX))
		err = error_set(-EINVAL, "size %s: a volume has between %u bytes and 4 PiB, in multiples of %u",
				argv[1], BLOCK_SIZE, BLOCK_SIZE);
	if (!err && r) {
		err = ctl_number("--replication", r, 1, RING_REPLICATION_MAX,
				 &number);
		doc->replication = (uint32_t)number;
	}
	snprintf(doc->name, sizeof(doc->name), "%s", argv[0]);
	doc->chunk_blocks = (uint32_t)(ctl->cluster.chunk_size / BLOCK_SIZE);
	doc->created_ms = now_ms();
	doc->next_chunk = 1;
	return err;
}

static int create_txn(struct ctl *ctl, const struct volume_doc *doc,
		      const char *counter_key, int64_t counter_revision)
{
	char volume[META_KEY_MAX], id[META_KEY_MAX];
	char *counter = counter_encode(doc->id + 1);
	char *value = volume_doc_encode(doc);
	char *name = name_encode(doc->name);
	struct meta_txn txn = {
		.compare = { { counter_key, counter_revision }, { volume, 0 },
			     { id, 0 } },
		.compare_count = 3,
		.put = { { counter_key, counter, 0 }, { volume, value, 0 },
			 { id, name, 0 } },
		.put_count = 3,
	};
	int err;

	key_volume(&ctl->cluster.id, doc->name, volume);
	key_volume_id(&ctl->cluster.id, doc->id, id);
	if (counter && value && name)
		err = ctl_txn(ctl, &txn);
	else
		err = error_set(-ENOMEM, "out of memory");
	free(counter);
	free(value);
	free(name);
	return err;
}

/* -EAGAIN: another create took the same id; the caller tries again. */
static int create_once(struct ctl *ctl, struct volume_doc *doc)
{
	char key[META_KEY_MAX], volume[META_KEY_MAX];
	struct ctl_value value;
	int64_t revision;
	int err;

	key_volume(&ctl->cluster.id, doc->name, volume);
	err = ctl_get(ctl, volume, &value);
	if (err)
		return err;
	if (value.text) {
		ctl_value_release(&value);
		return error_set(-EEXIST, "volume '%s' exists already",
				 doc->name);
	}
	key_next_volume(&ctl->cluster.id, key);
	err = ctl_get(ctl, key, &value);
	if (err)
		return err;
	doc->id = 1;
	revision = value.mod_revision;
	if (value.text)
		err = counter_decode(key, value.text, &doc->id);
	ctl_value_release(&value);
	return err ? err : create_txn(ctl, doc, key, revision);
}

int cmd_volume_create(struct ctl *ctl, int argc, char **argv)
{
	struct volume_doc doc = { 0 };
	int err = parse_create(ctl, argv, &doc);

	(void)argc;
	if (err)
		return ctl_bad_value(err);
	err = choose_replication(ctl, doc.name, &doc.replication);
	if (err)
		return ctl_fail(err);
	err = -EAGAIN;
	for (int i = 0; err == -EAGAIN && i < CREATE_TRIES; i++)
		err = create_once(ctl, &doc);
	if (!err)
		err = warn_if_larger(ctl, &doc);
	if (err)
		return ctl_fail(err);
	if (ctl->json)
		printf("{\"name\":\"%s\",\"id\":\"%016" PRIx64 "\",\"size\":%" PRIu64
		       ",\"replication\":%u}\n", doc.name, doc.id, doc.size,
		       doc.replication);
	return CTL_OK;
}

static const struct column volume_columns[] = {
	{ "NAME", COLUMN_TEXT },	{ "SIZE", COLUMN_SIZE },
	{ "REPLICATION", COLUMN_NUMBER }, { "STATUS", COLUMN_TEXT },
	{ "HOST", COLUMN_TEXT },	{ "DEVICE", COLUMN_TEXT },
	{ "EPOCH", COLUMN_NUMBER },
};

int cmd_volume_list(struct ctl *ctl, int argc, char **argv)
{
	struct volume_doc *v;
	struct table *t;
	size_t count;
	int err = ctl_volumes(ctl, &v, &count);

	(void)argc;
	(void)argv;
	if (err)
		return ctl_fail(err);
	t = table_new("volumes", ctl->json, volume_columns,
		      sizeof(volume_columns) / sizeof(volume_columns[0]));
	for (size_t i = 0; i < count; i++) {
		const struct attachment *a = &v[i].attachment;

		table_row(t);
		table_text(t, v[i].name);
		table_number(t, v[i].size);
		table_number(t, v[i].replication);
		table_text(t, a->present ? "attached" : "free");
		table_text(t, a->present ? a->host : NULL);
		table_text(t, a->present ? a->device : NULL);
		table_number(t, v[i].epoch);
	}
	table_print(t);
	free(v);
	return CTL_OK;
}

/* The document itself is what the store keeps: nothing is left out. */
static int print_json(const struct volume_doc *doc)
{
	char *text = volume_doc_encode(doc);
	struct json_object *o = text ? json_tokener_parse(text) : NULL;

	free(text);
	if (!o)
		return ctl_fail(error_set(-ENOMEM, "out of memory"));
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return CTL_OK;
}

static void print_time(const char *label, uint64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	char text[64];

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	printf("%-14s%s\n", label, text);
}

static void print_log_state(const struct volume_doc *doc)
{
	if (doc->tail.first <= doc->tail.last && doc->tail.last)
		printf("%-14schunks %" PRIu64 " to %" PRIu64 ", ring version %"
		       PRIu64 ", %u excluded\n", "tail:", doc->tail.first,
		       doc->tail.last, doc->tail.ring_version,
		       doc->tail.excluded_count);
	if (doc->root.addr)
		printf("%-14schunk %" PRIu64 " block %u, after record %" PRIu64 "\n",
		       "root:", block_addr_chunk(doc->root.addr),
		       block_addr_block(doc->root.addr), doc->root.sequence);
	else
		printf("%-14snone: never attached\n", "root:");
	printf("%-14s%u\n", "sealed list:", doc->sealed_count);
}

static void print_text(const struct volume_doc *doc)
{
	const struct attachment *a = &doc->attachment;
	char size[32];

	size_format(doc->size, size, sizeof(size));
	printf("%-14s%s\n", "name:", doc->name);
	printf("%-14s%016" PRIx64 "\n", "id:", doc->id);
	printf("%-14s%s (%" PRIu64 " bytes)\n", "size:", size, doc->size);
	printf("%-14s%u\n", "replication:", doc->replication);
	size_format((uint64_t)doc->chunk_blocks * BLOCK_SIZE, size, sizeof(size));
	printf("%-14s%s\n", "chunk size:", size);
	print_time("created:", doc->created_ms);
	printf("%-14s%" PRIu64 "\n", "epoch:", doc->epoch);
	if (a->present)
		printf("%-14s%s on host %s, process %" PRIu64 "%s\n",
		       "attached:", a->device, a->host, a->pid,
		       a->read_only ? ", read-only" : "");
	else
		printf("%-14sno\n", "attached:");
	if (a->present)
		print_time("since:", a->since_ms);
	print_log_state(doc);
}

int cmd_volume_info(struct ctl *ctl, int argc, char **argv)
{
	struct volume_doc doc;
	int err = volume_name_check(argv[0]);

	(void)argc;
	if (err)
		return ctl_bad_value(err);
	err = ctl_volume_get(ctl, argv[0], &doc);
	if (err)
		return ctl_fail(err);
	if (ctl->json)
		return print_json(&doc);
	print_text(&doc);
	return CTL_OK;
}

static int delete_txn(struct ctl *ctl, const struct volume_doc *doc)
{
	char volume[META_KEY_MAX], id[META_KEY_MAX], tombstone[META_KEY_MAX];
	char *name = name_encode(doc->name);
	struct meta_txn txn = {
		.compare = { { volume, doc->mod_revision } },
		.compare_count = 1,
		.put = { { volume, NULL, 0 }, { id, NULL, 0 },
			 { tombstone, name, 0 } },
		.put_count = 3,
	};
	int err;

	if (!name)
		return error_set(-ENOMEM, "out of memory");
	key_volume(&ctl->cluster.id, doc->name, volume);
	key_volume_id(&ctl->cluster.id, doc->id, id);
	key_tombstone(&ctl->cluster.id, doc->id, tombstone);
	err = ctl_txn(ctl, &txn);
	free(name);
	return err;
}

int cmd_volume_delete(struct ctl *ctl, int argc, char **argv)
{
	struct volume_doc doc;
	int err = volume_name_check(argv[0]);
	bool nbdkit;

	(void)argc;
	if (err)
		return ctl_bad_value(err);
	err = ctl_volume_get(ctl, argv[0], &doc);
	nbdkit = !err && strcmp(doc.attachment.device, "nbdkit") == 0;
	if (!err && doc.attachment.present)
		err = error_set(-EBUSY, "volume '%s' is attached as %s on host %s (process %" PRIu64 "); %s%s there first",
				doc.name, doc.attachment.device,
				doc.attachment.host, doc.attachment.pid,
				nbdkit ? "end nbdkit" : "type torusctl detach ",
				nbdkit ? "" : doc.name);
	if (!err)
		err = delete_txn(ctl, &doc);
	return err ? ctl_fail(err) : CTL_OK;
}
