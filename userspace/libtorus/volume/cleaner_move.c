// SPDX-License-Identifier: Apache-2.0
/*
 * The batch: blocks that are live go through memory into new records. What was
 * looked up before the newest checkpoint had begun is looked up again; see the
 * top of cleaner.c.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "volume/internal.h"

/* Blocks of one relocation at most: none is too long for what is left of a
 * chunk, and little is lost at its end. */
#define MOVE_BLOCKS 32u

static void moved(struct log_write *write, block_addr_t header, uint32_t crc,
		  block_addr_t payload, const uint32_t *payload_crc)
{
	struct volume *v = write->ctx;

	v->cleaner.writes_out--;
	volume_kick(v);
}

/* How many blocks of the batch from @i on are one extent. */
static uint32_t run_length(const struct cleaner *c, uint32_t i)
{
	uint32_t n = 1;

	while (n < MOVE_BLOCKS && i + n < c->count &&
	       c->block[i + n] == c->block[i] + n &&
	       c->entry[i + n].addr == c->entry[i].addr + n)
		n++;
	return n;
}

static void hand_over(struct volume *v)
{
	struct cleaner *c = &v->cleaner;
	struct log_write *write;
	uint32_t i, n;

	c->state = CLEANER_WRITE;
	c->recalled = false;
	for (i = 0; i < c->count; i += n) {
		n = run_length(c, i);
		write = &c->writes[c->writes_out++];
		memset(write, 0, sizeof(*write));
		write->kind = EXTENT_RELOCATION;
		write->first = c->block[i];
		write->source = c->entry[i].addr;
		write->data = c->data + (size_t)i * BLOCK_SIZE;
		write->blocks = n;
		write->done = moved;
		write->ctx = v;
		writer_move(v, write);
	}
}

static void read_done(struct block_read *read, int err)
{
	struct volume *v = read->ctx;
	struct cleaner *c = &v->cleaner;

	c->busy = false;
	if (v->failing)
		return;
	if (err)
		cleaner_give_up(v, strerror(-err));
	else if (c->stamp != v->checkpoint.begun || checkpoint_due(v))
		cleaner_again(v);
	else if (v->state == VOLUME_SERVING)
		hand_over(v);
	volume_kick(v);
}

void cleaner_move(struct volume *v)
{
	struct cleaner *c = &v->cleaner;

	if (c->stamp != v->checkpoint.begun || checkpoint_due(v)) {
		cleaner_again(v);
		return;
	}
	if (c->count == 0) {
		c->batch_begun = false;
		c->state = CLEANER_LOOK;
		return;
	}
	memset(&c->read, 0, sizeof(c->read));
	c->read.entries = c->entry;
	c->read.count = c->count;
	c->read.buffer = c->data;
	c->read.done = read_done;
	c->read.ctx = v;
	c->busy = true;
	reader_read(v->reader, &c->read);
}
