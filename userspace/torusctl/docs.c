// SPDX-License-Identifier: Apache-2.0
/* The documents that commands read, decoded and sorted. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ctl.h"

int ctl_ring_get(struct ctl *ctl, struct ring_doc *ring, int64_t *revision)
{
	struct ctl_value value;
	char key[META_KEY_MAX];
	int err;

	key_ring(&ctl->cluster.id, key);
	err = ctl_get(ctl, key, &value);
	if (err)
		return err;
	if (!value.text)
		return error_set(-EBADMSG, "%s is missing: the metadata store is damaged",
				 key);
	*revision = value.mod_revision;
	err = ring_doc_decode(key, value.text, ring);
	ctl_value_release(&value);
	return err;
}

int ctl_volume_get(struct ctl *ctl, const char *name, struct volume_doc *doc)
{
	struct ctl_value value;
	char key[META_KEY_MAX];
	int err = volume_name_check(name);

	if (err)
		return err;
	key_volume(&ctl->cluster.id, name, key);
	err = ctl_get(ctl, key, &value);
	if (err)
		return err;
	if (!value.text)
		return error_set(-ENOENT, "there is no volume '%s'; 'torusctl volume list' shows those that exist",
				 name);
	err = volume_doc_decode(key, value.text, doc);
	doc->mod_revision = value.mod_revision;
	ctl_value_release(&value);
	return err;
}

static int by_address(const void *a, const void *b)
{
	const struct ctl_peer *left = a, *right = b;

	return strcmp(left->doc.address, right->doc.address);
}

static void mark_members(struct ctl_peer *peers, size_t count,
			 const struct ring_spec *ring)
{
	for (size_t i = 0; i < count; i++) {
		for (uint32_t m = 0; m < ring->member_count; m++) {
			if (!uuid_equal(&peers[i].doc.id,
					&ring->members[m].peer))
				continue;
			peers[i].member = true;
			peers[i].weight = ring->members[m].weight;
		}
	}
}

static int mark_moved(struct ctl *ctl, struct ctl_peer *peers, size_t count)
{
	char prefix[META_KEY_MAX], text[UUID_TEXT_SIZE];
	struct ctl_value *moved;
	size_t moved_count;
	int err;

	key_prefix(&ctl->cluster.id, "moved", prefix);
	err = ctl_list(ctl, prefix, &moved, &moved_count);
	if (err)
		return err;
	for (size_t j = 0; !err && j < moved_count; j++) {
		uint64_t version;

		err = moved_decode(moved[j].key, moved[j].text, &version);
		for (size_t i = 0; !err && i < count; i++) {
			uuid_format(&peers[i].doc.id, text);
			if (strcmp(moved[j].key + strlen(prefix), text) == 0)
				peers[i].moved = version;
		}
	}
	ctl_values_free(moved, moved_count);
	return err;
}

static int mark_alive(struct ctl *ctl, struct ctl_peer *peers, size_t count)
{
	char prefix[META_KEY_MAX], text[UUID_TEXT_SIZE];
	struct ctl_value *alive;
	size_t alive_count;
	int err;

	key_prefix(&ctl->cluster.id, "alive", prefix);
	err = ctl_list(ctl, prefix, &alive, &alive_count);
	if (err)
		return err;
	for (size_t i = 0; i < count; i++) {
		uuid_format(&peers[i].doc.id, text);
		for (size_t j = 0; j < alive_count; j++)
			peers[i].alive |= strcmp(alive[j].key + strlen(prefix),
						 text) == 0;
	}
	ctl_values_free(alive, alive_count);
	return 0;
}

static int decode_peers(const struct ctl_value *values, size_t count,
			struct ctl_peer *peers)
{
	int err = 0;

	for (size_t i = 0; !err && i < count; i++)
		err = peer_doc_decode(values[i].key, values[i].text,
				      &peers[i].doc);
	return err;
}

int ctl_peers(struct ctl *ctl, struct ctl_peer **peers, size_t *count)
{
	char prefix[META_KEY_MAX];
	struct ctl_value *values;
	struct ring_doc *ring;
	int64_t revision;
	int err;

	key_prefix(&ctl->cluster.id, "peers", prefix);
	err = ctl_list(ctl, prefix, &values, count);
	if (err)
		return err;
	*peers = calloc(*count + 1, sizeof(**peers));
	ring = malloc(sizeof(*ring));
	err = *peers && ring ? 0 : error_set(-ENOMEM, "out of memory");
	if (!err)
		err = decode_peers(values, *count, *peers);
	if (!err)
		err = ctl_ring_get(ctl, ring, &revision);
	if (!err) {
		mark_members(*peers, *count, &ring->current);
		err = mark_alive(ctl, *peers, *count);
	}
	if (!err)
		err = mark_moved(ctl, *peers, *count);
	free(ring);
	ctl_values_free(values, *count);
	if (err) {
		free(*peers);
		return err;
	}
	qsort(*peers, *count, sizeof(**peers), by_address);
	return 0;
}

int ctl_volumes(struct ctl *ctl, struct volume_doc **volumes, size_t *count)
{
	char prefix[META_KEY_MAX];
	struct ctl_value *values;
	int err;

	key_prefix(&ctl->cluster.id, "volumes", prefix);
	err = ctl_list(ctl, prefix, &values, count);
	if (err)
		return err;
	*volumes = calloc(*count + 1, sizeof(**volumes));
	if (!*volumes)
		err = error_set(-ENOMEM, "out of memory");
	for (size_t i = 0; !err && i < *count; i++) {
		err = volume_doc_decode(values[i].key, values[i].text,
					&(*volumes)[i]);
		(*volumes)[i].mod_revision = values[i].mod_revision;
	}
	ctl_values_free(values, *count);
	if (err)
		free(*volumes);
	return err;
}
