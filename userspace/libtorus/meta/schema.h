/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Torus keeps in the metadata store: keys and the structures behind their
 * JSON values. Every value has a "version" field; unknown fields of the same
 * version are ignored, a newer version is refused by name.
 *
 *   torus/cluster                     struct cluster_doc
 *   torus/ID/ring                     struct ring_doc (current and previous)
 *   torus/ID/peers/UUID               struct peer_doc (stays when it is down)
 *   torus/ID/alive/UUID               {"version":1} under the peer's lease
 *   torus/ID/volumes/NAME             struct volume_doc
 *   torus/ID/volume-ids/HEX16         {"version":1,"name":NAME}
 *   torus/ID/next-volume              {"version":1,"next":N}
 *   torus/ID/owners/HEX16             {"version":1,...} under the helper's lease
 *   torus/ID/tombstones/HEX16         struct tombstone_doc; goes when every
 *                                     registered peer has confirmed
 *   torus/ID/moved/UUID               {"version":1,"ring":V}: this store has
 *                                     moved all that ring version V wants of it
 *
 * Every change of a volume's value compares its mod_revision.
 */
#ifndef TORUS_META_SCHEMA_H
#define TORUS_META_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/uuid.h"
#include "ring/ring.h"
#include "wire/record.h"

#define META_KEY_MAX	320
#define VOLUME_NAME_MAX	64	/* with the NUL; [A-Za-z0-9][A-Za-z0-9._-]* */
#define ADDRESS_MAX	280	/* HOST:PORT with the NUL */
#define HOST_MAX	256
#define TAIL_EXCLUDED_MAX 32
#define SEALED_MAX	64	/* a checkpoint is forced above 32 */
#define VOLUME_SIZE_MAX	(1ull << 52)	/* bytes: what five levels of map hold */
#define CHUNK_SIZE_MIN	(1ull << 20)	/* bytes */
#define CHUNK_SIZE_MAX	(64ull << 20)
#define DOC_VERSION	1
#define DOC_TEXT_MAX	(1u << 20)	/* longer values are refused */

struct cluster_doc {
	struct uuid id;
	uint32_t replication;		/* default R of new volumes */
	uint64_t chunk_size;		/* bytes: 1 MiB to 64 MiB, power of 2 */
};

struct ring_doc {
	struct ring_spec current;
	bool has_previous;
	struct ring_spec previous;
};

struct peer_doc {
	struct uuid id;
	char address[ADDRESS_MAX];	/* where to connect */
	uint64_t size, used;		/* bytes; used is some seconds old */
	char zone[RING_LABEL_MAX], rack[RING_LABEL_MAX], host[RING_LABEL_MAX];
	struct uuid incarnation;
};

/* The device of a torusd that recovers a volume which nobody uses: whoever
 * wants to attach may take it over without force. */
#define ATTACHMENT_MAINTENANCE "maintenance"

struct attachment {
	bool present;
	char host[HOST_MAX];		/* "" when absent */
	uint64_t pid;
	char device[32];		/* "/dev/torus0", "nbdkit" */
	struct uuid incarnation;
	bool read_only;
	uint64_t since_ms;		/* realtime, for people */
	/* Of the host: its machine-id, and which boot of it; null = unknown.
	 * A machine that was booted since has nothing attached any more. */
	struct uuid machine, boot;
};

struct tail {				/* 5.2; first > last: nothing declared */
	uint64_t first, last;
	uint64_t ring_version;
	uint32_t excluded_count;
	struct uuid excluded[TAIL_EXCLUDED_MAX];
};

struct sealed_chunk {
	uint64_t chunk;
	uint32_t length;		/* blocks */
	uint32_t end_crc;		/* crc of the last header; 0 for length 0 */
	uint64_t next;			/* chunk where the log goes on; numbers in
					 * between are sealed at length 0 */
};

struct root_ref {
	block_addr_t addr;		/* of the root record's header; 0 = none */
	uint32_t crc;			/* of that header */
	uint64_t sequence;		/* S: the state after exactly record S */
};

/* Of a deleted volume: whose chunks of it are gone, each by its own word. */
struct tombstone_doc {
	char name[VOLUME_NAME_MAX];
	uint32_t confirmed_count;
	struct uuid confirmed[RING_MEMBERS_MAX];
};

struct volume_doc {
	char name[VOLUME_NAME_MAX];
	uint64_t id;
	uint64_t size;			/* bytes, multiple of BLOCK_SIZE */
	uint32_t replication;
	uint32_t chunk_blocks;		/* blocks per chunk */
	uint64_t created_ms;
	uint64_t epoch;
	struct attachment attachment;
	struct tail tail;
	uint64_t next_chunk;		/* lowest number never declared */
	uint32_t sealed_count;
	struct sealed_chunk sealed[SEALED_MAX];
	struct root_ref root;
	/* Stores may have heard of roots up to here that do not count: recovery
	 * gave them up. 0 = none */
	block_addr_t root_floor;
	/* not in JSON: set by the reader, compared by the writer */
	int64_t mod_revision;
};

/*
 * Encoders return text from malloc (NULL: out of memory). Decoders return 0,
 * -EPROTONOSUPPORT (newer version), or -EBADMSG; the error text names @key and
 * the field. Decoders check every range and never trust a length.
 */
char *cluster_doc_encode(const struct cluster_doc *doc);
int cluster_doc_decode(const char *key, const char *json, struct cluster_doc *doc);
char *ring_doc_encode(const struct ring_doc *doc);
int ring_doc_decode(const char *key, const char *json, struct ring_doc *doc);
char *peer_doc_encode(const struct peer_doc *doc);
int peer_doc_decode(const char *key, const char *json, struct peer_doc *doc);
char *volume_doc_encode(const struct volume_doc *doc);
int volume_doc_decode(const char *key, const char *json, struct volume_doc *doc);
/* The small ones. */
char *counter_encode(uint64_t next);
int counter_decode(const char *key, const char *json, uint64_t *next);
char *moved_encode(uint64_t ring_version);
int moved_decode(const char *key, const char *json, uint64_t *ring_version);
/* {"version":1}: a key whose being there is all it says. */
char *marker_encode(void);
char *tombstone_doc_encode(const struct tombstone_doc *doc);
/* One that was never confirmed has a name only. */
int tombstone_doc_decode(const char *key, const char *json,
			 struct tombstone_doc *doc);
char *name_encode(const char *name);
int name_decode(const char *key, const char *json, char name[VOLUME_NAME_MAX]);

/** volume_name_check() - 0, or -EINVAL with error text. */
int volume_name_check(const char *name);

/* Keys are written to META_KEY_MAX bytes. */
#define KEY_CLUSTER "torus/cluster"
void key_ring(const struct uuid *cluster, char *key);
void key_peer(const struct uuid *cluster, const struct uuid *peer, char *key);
void key_alive(const struct uuid *cluster, const struct uuid *peer, char *key);
void key_volume(const struct uuid *cluster, const char *name, char *key);
void key_volume_id(const struct uuid *cluster, uint64_t id, char *key);
void key_next_volume(const struct uuid *cluster, char *key);
void key_owner(const struct uuid *cluster, uint64_t id, char *key);
void key_tombstone(const struct uuid *cluster, uint64_t id, char *key);
void key_moved(const struct uuid *cluster, const struct uuid *peer, char *key);
/* Prefixes end with '/'. */
void key_prefix(const struct uuid *cluster, const char *kind, char *key);

#endif
