// SPDX-License-Identifier: Apache-2.0
/* Keys in the metadata store, and the names that may be part of them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "meta/schema.h"

static_assert(sizeof("torus//volume-ids/") + UUID_TEXT_SIZE +
	      VOLUME_NAME_MAX <= META_KEY_MAX, "every key fits");

static bool is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	       (c >= 'a' && c <= 'z');
}

int volume_name_check(const char *name)
{
	size_t len = strnlen(name, VOLUME_NAME_MAX), i;

	if (!len)
		return error_set(-EINVAL, "the name of a volume must not be empty");
	if (len == VOLUME_NAME_MAX)
		return error_set(-EINVAL, "volume name %.32s...: longer than %d characters",
				 name, VOLUME_NAME_MAX - 1);
	for (i = 0; i < len; i++) {
		if (is_alphanumeric(name[i]) || (i && strchr("._-", name[i])))
			continue;
		return error_set(-EINVAL, "volume name \"%s\": letters, digits, '.', '_' and '-' are allowed, and a letter or digit first",
				 name);
	}
	return 0;
}

/* torus/ID/KIND/REST */
static void format(const struct uuid *cluster, const char *kind,
		   const char *rest, char *key)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(cluster, id);
	snprintf(key, META_KEY_MAX, "torus/%s/%s%s", id, kind, rest);
}

static void format_uuid(const struct uuid *cluster, const char *kind,
			const struct uuid *uuid, char *key)
{
	char rest[UUID_TEXT_SIZE];

	uuid_format(uuid, rest);
	format(cluster, kind, rest, key);
}

static void format_id(const struct uuid *cluster, const char *kind,
		      uint64_t id, char *key)
{
	char rest[17];

	snprintf(rest, sizeof(rest), "%016" PRIx64, id);
	format(cluster, kind, rest, key);
}

void key_ring(const struct uuid *cluster, char *key)
{
	format(cluster, "ring", "", key);
}

void key_peer(const struct uuid *cluster, const struct uuid *peer, char *key)
{
	format_uuid(cluster, "peers/", peer, key);
}

void key_alive(const struct uuid *cluster, const struct uuid *peer, char *key)
{
	format_uuid(cluster, "alive/", peer, key);
}

void key_volume(const struct uuid *cluster, const char *name, char *key)
{
	format(cluster, "volumes/", name, key);
}

void key_volume_id(const struct uuid *cluster, uint64_t id, char *key)
{
	format_id(cluster, "volume-ids/", id, key);
}

void key_next_volume(const struct uuid *cluster, char *key)
{
	format(cluster, "next-volume", "", key);
}

void key_owner(const struct uuid *cluster, uint64_t id, char *key)
{
	format_id(cluster, "owners/", id, key);
}

void key_tombstone(const struct uuid *cluster, uint64_t id, char *key)
{
	format_id(cluster, "tombstones/", id, key);
}

void key_moved(const struct uuid *cluster, const struct uuid *peer, char *key)
{
	format_uuid(cluster, "moved/", peer, key);
}

void key_prefix(const struct uuid *cluster, const char *kind, char *key)
{
	format(cluster, kind, "/", key);
}
