/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request at work. server.c makes it from a frame, a verb fills in status,
 * reply and out and calls store_request_finish(), which calls done().
 */
#ifndef TORUS_STORE_REQUEST_H
#define TORUS_STORE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "env/env.h"
#include "store/buffers.h"
#include "store/chunk.h"
#include "store/delete.h"
#include "store/index.h"
#include "store/journal.h"
#include "wire/proto.h"

/* Higher ones are no epochs: ~0 is what a tombstone looks like. */
#define STORE_EPOCH_MAX (UINT64_MAX >> 1)
/* Each attach adds one: what is this far ahead of the last is no epoch either,
 * and would lock the volume for good. */
#define STORE_EPOCH_LEAP (1ull << 32)

struct store_append {
	struct list_head node;		/* live->appends */
	struct list_head volume_node;	/* volume->appends */
	struct list_head followers;	/* retries of the same record */
	struct store_tail tail;		/* after this record */
	uint64_t epoch;			/* of the sender */
	uint64_t root, root_sequence;
	bool written;			/* or failed */
	uint32_t status;
	struct store_durable_wait durable;
};

struct store_sync_entry {
	struct store_request *request;
	struct store_durable_wait wait;
	uint32_t index;
};

struct store_sync {
	struct wire_range *ranges;	/* request's and reply's data */
	struct store_sync_entry *entries;
	uint32_t count, pending;
};

struct store_fence {
	struct list_head node;		/* volume->fences */
	uint64_t epoch;
	uint32_t pending;		/* appends of lower epochs, and journal */
	uint32_t status;
	struct store_journal_entry entry;
};

struct store_seal {
	struct store_durable_wait durable;
	struct store_journal_entry entry;
	uint64_t epoch;
	uint32_t length, end_crc;
};

struct store_request {
	struct list_head node;		/* store->requests */
	struct store *store;
	/* in */
	uint16_t type;
	uint32_t flags;
	uint32_t role;			/* enum wire_role */
	union {
		struct wire_append append;
		struct wire_sync sync;
		struct wire_read read;
		struct wire_fence fence;
		struct wire_scan scan;
		struct wire_seal seal;
		struct wire_chunk chunk;
		struct wire_list list;
		struct wire_lookup lookup;
		struct wire_restore restore;
		struct wire_check check;
		struct wire_maintenance maintenance;
		struct wire_volumes volumes;
	} body;
	uint32_t data_len;
	struct store_buffer in;		/* APPEND, RESTORE: the data */
	void *copied;			/* other types: data, from malloc */
	void (*done)(struct store_request *request);
	void *ctx;
	uint64_t id;
	struct list_head owner_node;
	/* out */
	uint32_t status;
	union {
		struct wire_append_reply append;
		struct wire_sync_reply sync;
		struct wire_read_reply read;
		struct wire_fence_reply fence;
		struct wire_scan_reply scan;
		struct wire_chunk_reply chunk;
		struct wire_list_reply list;
		struct wire_stat_reply stat;
		struct wire_lookup lookup;
		struct wire_restore_reply restore;
		struct wire_maintenance_reply maintenance;
	} reply;
	struct store_buffer out;	/* reply's data, from store->send ... */
	struct iovec out_copied;	/* ... or in @copied */
	/* at work */
	struct store_volume *volume;
	struct store_chunk *chunk;	/* held */
	struct store_file_wait file_wait;
	struct store_pool_wait pool_wait;
	struct list_head queue;		/* of whatever it waits in */
	struct env_file_op op;
	struct iovec iov[STORE_SEGMENTS_MAX];
	union {
		struct store_append append;
		struct store_sync sync;
		struct store_fence fence;
		struct store_seal seal;
		struct store_delete delete;
	} u;
};

/** store_request_new() - NULL: too many, or out of memory. */
struct store_request *store_request_new(struct store *store);

/** store_request_free() - with all its buffers; not in any other list. */
void store_request_free(struct store_request *request);

/** store_receive_pool() - where the data of such requests is received; each
 * kind has its own, so that repair cannot starve the clients. */
struct store_pool *store_receive_pool(struct store *store, uint16_t type);

/** store_request_give_data() - request->in is not needed any more. */
void store_request_give_data(struct store_request *request);

/** store_request_run() - dispatch by type. */
void store_request_run(struct store_request *request);

/** store_request_finish() - lets the chunk go, then request->done(). */
void store_request_finish(struct store_request *request, uint32_t status);

/**
 * store_request_epoch() - find the volume and check @epoch against what was
 * seen for it; a higher one counts as seen from now on.
 * @create: add the volume where it is not known, else request->volume may be
 * NULL after WIRE_OK.
 * Returns WIRE_OK, WIRE_EFENCED, WIRE_EINVAL (id 0, epoch not valid),
 * WIRE_EIO (no memory).
 */
uint32_t store_request_epoch(struct store_request *request, uint64_t volume,
			     uint64_t epoch, bool create);

/** store_request_chunk() - find the chunk, not a deleted one, and hold it.
 * WIRE_OK, WIRE_ENOCHUNK, WIRE_EIO (no memory). */
uint32_t store_request_chunk(struct store_request *request, uint64_t number);

/** store_epoch_valid() - @epoch can be one of @volume (NULL: not known yet). */
bool store_epoch_valid(const struct store_volume *volume, uint64_t epoch);

/** store_request_fenced() - a higher epoch was seen meanwhile. */
bool store_request_fenced(const struct store_request *request, uint64_t epoch);

/** store_durable_status() - status for what a store_durable_wait ended with. */
uint32_t store_durable_status(int err);

/** store_request_maintenance() - role peer or admin. */
bool store_request_maintenance(const struct store_request *request);

/* The verbs. */
void store_append_run(struct store_request *request);
void store_sync_run(struct store_request *request);
void store_read_run(struct store_request *request);
void store_fence_run(struct store_request *request);
void store_scan_run(struct store_request *request);
void store_seal_run(struct store_request *request);
void store_stat_chunk_run(struct store_request *request);
void store_list_run(struct store_request *request);
void store_delete_run(struct store_request *request);
void store_stat_run(struct store_request *request);
void store_lookup_run(struct store_request *request);
void store_restore_run(struct store_request *request);

/** store_clients_moved() - @request has moved so much data. */
void store_clients_moved(const struct store_request *request, uint32_t bytes);
void store_check_run(struct store_request *request);
void store_maintenance_run(struct store_request *request);
void store_volumes_run(struct store_request *request);
void store_recall_run(struct store_request *request);

/** store_chunk_reply() - fill in request->reply.chunk from request->chunk. */
void store_chunk_reply(struct store_request *request);

/**
 * store_seal_apply() - from now on the copy is sealed, as the journal says; all
 * but the accounting of space. Returns the blocks that its file took before.
 */
uint32_t store_seal_apply(struct store_chunk *chunk, uint64_t epoch,
			  uint32_t length, uint32_t end_crc);

/** store_seal_finish() - the same, and what lies behind it goes. */
void store_seal_finish(struct store_chunk *chunk, uint64_t epoch,
		       uint32_t length, uint32_t end_crc);

/** store_fence_append_ended() - an append of @epoch has left the volume. */
void store_fence_append_ended(struct store_volume *volume, uint64_t epoch);

/** store_seal_appends_ended() - the last append in flight has ended. */
void store_seal_appends_ended(struct store_chunk *chunk);

#endif
