// SPDX-License-Identifier: Apache-2.0
/*
 *   header --> (its payload, as it comes) --> tail moves --> header ...
 *
 * Payload is checked where it lies, however little of it is there. A header must
 * be in one piece to be decoded: one that is cut gathers in memory of our own.
 */
#include "store/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/chain.h"

int store_stream_init(struct store_stream *stream, uint64_t volume,
		      uint64_t number, uint32_t end)
{
	memset(stream, 0, sizeof(*stream));
	stream->volume = volume;
	stream->number = number;
	stream->end = end;
	stream->rec = record_new();
	stream->header = malloc(RECORD_HEADER_BLOCKS_MAX * BLOCK_SIZE);
	if (stream->rec != NULL && stream->header != NULL)
		return 0;
	store_stream_release(stream);
	return -ENOMEM;
}

void store_stream_release(struct store_stream *stream)
{
	free(stream->header);
	if (stream->rec != NULL)
		record_free(stream->rec);
	stream->header = NULL;
	stream->rec = NULL;
}

static void accept_record(struct store_stream *stream)
{
	const struct record *r = stream->rec;

	store_tail_advance(&stream->tail, r);
	stream->in_payload = false;
	if (stream->record != NULL)
		stream->record(stream, r);
}

static int take_header(struct store_stream *stream)
{
	const struct record *r = stream->rec;

	stream->header_blocks = 0;
	if (r->volume != stream->volume || r->chunk != stream->number ||
	    !store_tail_continues(&stream->tail, stream->tail.block == 0, r,
				  stream->end))
		return -EILSEQ;
	stream->in_payload = true;
	stream->payload_at = 0;
	if (r->payload_blocks == 0)
		accept_record(stream);
	return 0;
}

/* The following two return how many blocks they took, or -errno. */

static int feed_header(struct store_stream *stream, const uint8_t *at,
		       uint32_t blocks)
{
	uint8_t *to = stream->header + stream->header_blocks * BLOCK_SIZE;
	const uint8_t *from = at;
	uint32_t taken;
	int err;

	/* Block by block, so that it takes no more than the header has. */
	if (stream->header_blocks > 0) {
		memcpy(to, at, BLOCK_SIZE);
		stream->header_blocks++;
		from = stream->header;
		blocks = stream->header_blocks;
	}
	err = record_decode(from, (size_t)blocks * BLOCK_SIZE, stream->rec);
	if (err == -EAGAIN) {
		if (blocks >= RECORD_HEADER_BLOCKS_MAX)
			return -EBADMSG;
		if (stream->header_blocks > 0)
			return 1;
		memcpy(to, at, (size_t)blocks * BLOCK_SIZE);
		stream->header_blocks = blocks;
		return (int)blocks;
	}
	taken = stream->header_blocks > 0 ? 1 : stream->rec->header_blocks;
	if (err == 0)
		err = take_header(stream);
	return err < 0 ? err : (int)taken;
}

static int feed_payload(struct store_stream *stream, const uint8_t *at,
			uint32_t blocks)
{
	struct record part = *stream->rec;

	part.payload_crc += stream->payload_at;
	part.payload_blocks = MIN(part.payload_blocks - stream->payload_at,
				  blocks);
	if (record_check_payload(&part, at) < 0)
		return -EBADMSG;
	stream->payload_at += part.payload_blocks;
	if (stream->payload_at == stream->rec->payload_blocks)
		accept_record(stream);
	return (int)part.payload_blocks;
}

int store_stream_feed(struct store_stream *stream, const void *data,
		      uint32_t blocks)
{
	const uint8_t *at = data;

	while (blocks > 0) {
		int n = stream->in_payload ? feed_payload(stream, at, blocks) :
					     feed_header(stream, at, blocks);

		if (n < 0)
			return n;
		at += (size_t)n * BLOCK_SIZE;
		blocks -= (uint32_t)n;
	}
	return 0;
}

bool store_stream_ends(const struct store_stream *stream, uint32_t crc)
{
	return stream->tail.block == stream->end && stream->tail.crc == crc &&
	       !stream->in_payload && stream->header_blocks == 0;
}
