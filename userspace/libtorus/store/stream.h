/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain of records that comes piece by piece: each byte is looked at once, on
 * its way. The counterpart of a walk (chain.h), which reads a file.
 */
#ifndef TORUS_STORE_STREAM_H
#define TORUS_STORE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "store/chunk.h"
#include "wire/record.h"

struct store_stream {
	uint64_t volume, number;	/* of the chunk */
	uint32_t end;			/* its length in blocks */
	struct store_tail tail;		/* after the last good record */
	/* Called for each good record, with the tail behind it. */
	void (*record)(struct store_stream *stream, const struct record *r);
	/* private */
	struct record *rec;
	bool in_payload;
	uint32_t payload_at;		/* blocks of it that were checked */
	uint8_t *header;		/* of which only a part has come ... */
	uint32_t header_blocks;		/* ... that large; 0: none */
};

/** store_stream_init() - at block 0. 0 or -ENOMEM, which leaves nothing. */
int store_stream_init(struct store_stream *stream, uint64_t volume,
		      uint64_t number, uint32_t end);

/** store_stream_release() - harmless for one that is all zero, and twice. */
void store_stream_release(struct store_stream *stream);

/**
 * store_stream_feed() - the next @blocks of the chunk: headers, their chain,
 * the CRC of each block of payload.
 * Returns 0, or what makes it no chain of this chunk: -EILSEQ, -ENODATA,
 * -EBADMSG, -EPROTONOSUPPORT. Nothing may be fed after that.
 */
int store_stream_feed(struct store_stream *stream, const void *data,
		      uint32_t blocks);

/** store_stream_ends() - it ends here with a whole record, whose CRC this is. */
bool store_stream_ends(const struct store_stream *stream, uint32_t crc);

#endif
