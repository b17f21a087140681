// SPDX-License-Identifier: Apache-2.0
/*
 * Discard and write zeroes of odd ranges, by ioctl and fallocate, with blocks
 * of 4096 and of 512 bytes: what is inside reads as zeroes, what is before and
 * after stays. Larger ones than 1 GiB come in pieces that cover them exactly.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <linux/falloc.h>
#include <linux/fs.h>

#include "test.h"

#define SIZE (2ull << 20)
#define GIB (1ull << 30)
#define HUGE_SIZE (4 * GIB)
#define NOTE_BYTES 0		/* how much the pieces have covered */
#define NOTE_LARGEST 1
#define NOTE_FLAGS 2
#define NOTE_FIRST 3
#define NOTE_END 4

static void note(struct world *world, const struct torus_desc *desc)
{
	uint64_t *notes = world->notes, end = desc->offset + desc->length;

	notes[NOTE_BYTES] += desc->length;
	if (desc->length > notes[NOTE_LARGEST])
		notes[NOTE_LARGEST] = desc->length;
	notes[NOTE_FLAGS] |= 1ull << desc->flags;
	if (desc->offset < notes[NOTE_FIRST])
		notes[NOTE_FIRST] = desc->offset;
	if (end > notes[NOTE_END])
		notes[NOTE_END] = end;
}

static void forget(struct world *world)
{
	memset(world->notes, 0, sizeof(world->notes));
	world->notes[NOTE_FIRST] = UINT64_MAX;
}

/* What is far beyond the data that there are succeeds, too. */
static bool look(struct helper *h, const struct torus_desc *desc,
		 struct torus_completion *completion)
{
	if (desc->op != TORUS_OP_DISCARD && desc->op != TORUS_OP_WRITE_ZEROES)
		return true;
	note(h->world, desc);
	completion->result = TORUS_RESULT_OK;
	return true;
}

static int discard(int fd, uint64_t pos, uint64_t len)
{
	uint64_t range[2] = { pos, len };

	return ioctl(fd, BLKDISCARD, range);
}

static int zero_out(int fd, uint64_t pos, uint64_t len)
{
	uint64_t range[2] = { pos, len };

	return ioctl(fd, BLKZEROOUT, range);
}

static int punch(int fd, uint64_t pos, uint64_t len)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, pos,
			 len);
}

static int zero_range(int fd, uint64_t pos, uint64_t len)
{
	return fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, pos,
			 len);
}

static const struct way {
	const char *name;
	int (*clear)(int fd, uint64_t pos, uint64_t len);
	uint8_t op, flags;
} ways[] = {
	{ "BLKDISCARD", discard, TORUS_OP_DISCARD, 0 },
	{ "BLKZEROOUT", zero_out, TORUS_OP_WRITE_ZEROES,
	  TORUS_IO_FLAG_NOUNMAP },
	{ "PUNCH_HOLE", punch, TORUS_OP_WRITE_ZEROES, 0 },
	{ "ZERO_RANGE", zero_range, TORUS_OP_WRITE_ZEROES,
	  TORUS_IO_FLAG_NOUNMAP },
};

#define WAYS (sizeof(ways) / sizeof(*ways))

static void clear(const struct setup *s, const struct way *way, uint64_t pos,
		  uint64_t len)
{
	uint64_t ops = s->world->ops[way->op], *notes = s->world->notes;

	forget(s->world);
	if (way->clear(s->fd, pos, len))
		FAIL("%s of %llu at %llu: %s", way->name,
		     (unsigned long long)len, (unsigned long long)pos,
		     strerror(errno));
	if (pos + len <= s->world->size)
		CHECK(s->world->ops[way->op] > ops);
	CHECK_INT(notes[NOTE_BYTES], len);
	CHECK_INT(notes[NOTE_FIRST], pos);
	CHECK_INT(notes[NOTE_END], pos + len);
	CHECK_INT(notes[NOTE_FLAGS], 1ull << way->flags);
	CHECK(notes[NOTE_LARGEST] <= GIB);
}

static void check_same(const struct setup *s, const struct way *way,
		       const uint8_t *shadow, uint8_t *in, uint64_t pos,
		       uint64_t len)
{
	if (memcmp(s->world->data, shadow, SIZE))
		FAIL("%s of %llu at %llu did something else", way->name,
		     (unsigned long long)len, (unsigned long long)pos);
	CHECK_INT(pread(s->fd, in, SIZE, 0), (ssize_t)SIZE);
	if (memcmp(in, shadow, SIZE))
		FAIL("after %s of %llu at %llu reads say something else",
		     way->name, (unsigned long long)len,
		     (unsigned long long)pos);
}

/* From one block to a third of the device, and never on a round number. */
static uint64_t odd_length(uint64_t *seed, unsigned int block)
{
	uint64_t max = next_random(seed) % 4 ? 24 : SIZE / block / 3;

	return (1 + next_random(seed) % max) * block;
}

static void try_block_size(unsigned int block)
{
	struct setup s = {
		.config = { .size = SIZE, .block_size = block },
		.how = { .hook = look },
	};
	unsigned int i, rounds = test_size(3, 8, 200) * WAYS;
	uint8_t *shadow, *in;
	uint64_t seed = block;

	shadow = alloc_aligned(SIZE);
	in = alloc_aligned(SIZE);
	setup_begin(&s);
	for (i = 0; i < rounds; i++) {
		const struct way *way = &ways[i % WAYS];
		uint64_t len = odd_length(&seed, block), pos;

		pos = next_random(&seed) % ((SIZE - len) / block + 1) * block;
		if (i % 8 == 0) {
			for (uint64_t j = 0; j < SIZE; j += 8)
				*(uint64_t *)(shadow + j) = next_random(&seed);
			CHECK_INT(pwrite(s.fd, shadow, SIZE, 0),
				  (ssize_t)SIZE);
		}
		clear(&s, way, pos, len);
		memset(shadow + pos, 0, len);
		check_same(&s, way, shadow, in, pos, len);
	}
	/* Not in whole blocks: refused, and nothing happens. */
	CHECK(discard(s.fd, block / 2, block) < 0);
	CHECK(zero_out(s.fd, 0, block / 2) < 0);
	CHECK(discard(s.fd, SIZE, block) < 0);
	CHECK(!memcmp(s.world->data, shadow, SIZE));
	setup_end(&s);
	free(shadow);
	free(in);
}

static void try_huge(void)
{
	struct setup s = {
		.config = { .size = HUGE_SIZE }, .world_size = SIZE,
		.how = { .hook = look },
	};

	setup_begin(&s);
	for (size_t i = 0; i < WAYS; i++) {
		/* Below, and more than, twice what one request may be. */
		clear(&s, &ways[i], SIZE + 3 * 4096, GIB + 7 * 4096);
		clear(&s, &ways[i], 4096 * 5 + SIZE, 2 * GIB + 4096 * 11);
		CHECK(s.world->notes[NOTE_LARGEST] > GIB / 4);
	}
	setup_end(&s);
}

int main(void)
{
	test_begin();
	try_block_size(4096);
	try_block_size(512);
	try_huge();
	return 0;
}
