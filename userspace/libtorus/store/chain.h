/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a chain of records from a chunk file: header after header, with the
 * payload's checksums where they are asked for. At most STORE_WALKS_MAX read
 * at a time, of which half may be of maintenance; the others wait in line.
 */
#ifndef TORUS_STORE_CHAIN_H
#define TORUS_STORE_CHAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "env/env.h"
#include "store/chunk.h"
#include "wire/record.h"

struct store_walk {
	/* in */
	struct store_chunk *chunk;	/* held by the caller until done() */
	uint32_t start;		/* block of the first header */
	uint32_t end;		/* records must lie wholly before it */
	uint32_t check_from;	/* payload of records that reach beyond this
				 * block is checked; ~0 = of none */
	bool background;	/* of maintenance: half of the places */
	uint64_t rate;		/* bytes/s that are read; 0: no limit */
	/* 1: stop after this record. @header: its bytes on disk. */
	int (*record)(struct store_walk *walk, const struct record *r,
		      const void *header);
	/* What was looked at when it was found wrong, just before done(): a
	 * payload block of @r, or the header at tail.block (@r NULL). May be
	 * NULL. @block: in the chunk. */
	void (*wrong)(struct store_walk *walk, const struct record *r,
		      uint32_t block);
	/*
	 * 0: the end, or record() stopped. -EILSEQ, -ENODATA, -EBADMSG,
	 * -EPROTONOSUPPORT: what lies at tail.block is not the next record of
	 * the chain. -EIO and others: the file cannot be read.
	 */
	void (*done)(struct store_walk *walk, int err);
	/* out */
	struct store_tail tail;	/* after the last good record */
	bool foreign;		/* -EILSEQ: a record of another chunk */
	/* private */
	struct store *store;
	struct list_head node;
	struct env_timer pace;
	uint64_t began;
	bool started;
	struct record *rec;
	uint8_t *window;	/* of the file, from window_block on */
	uint32_t window_block, window_blocks;
	uint32_t payload_at;	/* blocks of it that were checked */
	bool in_payload;
	struct store_file_wait file_wait;
	struct env_file_op op;
	struct iovec iov;
};

/**
 * store_tail_continues() - @r lies where @tail ends, goes on with its chain
 * (@first: begins one) and ends before block @end.
 */
bool store_tail_continues(const struct store_tail *tail, bool first,
			  const struct record *r, uint32_t end);

/** store_tail_advance() - @r is part of it. */
void store_tail_advance(struct store_tail *tail, const struct record *r);

/** store_walk_start() - done() follows, perhaps from inside when the memory
 * is short (-ENOMEM). */
void store_walk_start(struct store_walk *walk);

/** store_walks_release() - free what walks under way hold: the store ends. */
void store_walks_release(struct store *store);

/** store_walk_failed() - @err of done() means that the file was not read. */
bool store_walk_failed(int err);

/** store_walk_disk_failed() - ... and not for want of memory or handles, which
 * says nothing about the disk. */
bool store_walk_disk_failed(int err);

#endif
