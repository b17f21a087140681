// SPDX-License-Identifier: Apache-2.0
/*
 * What is written by direct I/O, through the page cache, by a mapping, by
 * io_uring and with O_SYNC is the same for whoever reads it, in whichever way,
 * and is what the helper has; O_SYNC and RWF_DSYNC ask for FUA.
 */
#include <fcntl.h>
#include <liburing.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <linux/fs.h>

#include "test.h"

#define SIZE (8ull << 20)
#define CHUNK (128u << 10)
#define RING_DEPTH 8

struct paths {
	int direct, buffered, sync;
	uint8_t *map;
	struct io_uring ring;
};

typedef bool transfer(struct paths *p, uint8_t *buf, uint64_t pos, bool write);

static bool by_pread(int fd, uint8_t *buf, uint64_t pos, bool write)
{
	ssize_t n = write ? pwrite(fd, buf, CHUNK, pos) :
			    pread(fd, buf, CHUNK, pos);

	return n == (ssize_t)CHUNK;
}

static bool direct(struct paths *p, uint8_t *buf, uint64_t pos, bool write)
{
	return by_pread(p->direct, buf, pos, write);
}

static bool buffered(struct paths *p, uint8_t *buf, uint64_t pos, bool write)
{
	return by_pread(p->buffered, buf, pos, write) &&
	       (!write || !fdatasync(p->buffered));
}

static bool sync_io(struct paths *p, uint8_t *buf, uint64_t pos, bool write)
{
	return by_pread(p->sync, buf, pos, write);
}

static bool dsync(struct paths *p, uint8_t *buf, uint64_t pos, bool write)
{
	struct iovec iov = { buf, CHUNK };

	if (!write)
		return by_pread(p->direct, buf, pos, false);
	return pwritev2(p->direct, &iov, 1, pos, RWF_DSYNC) == (ssize_t)CHUNK;
}

static bool mapped(struct paths *p, uint8_t *buf, uint64_t pos, bool write)
{
	if (!write) {
		memcpy(buf, p->map + pos, CHUNK);
		return true;
	}
	memcpy(p->map + pos, buf, CHUNK);
	return !msync(p->map + pos, CHUNK, MS_SYNC);
}

/* Several requests at once, on registered buffers and in one submission. */
static bool uring(struct paths *p, uint8_t *buf, uint64_t pos, bool write)
{
	const unsigned int len = CHUNK / RING_DEPTH;
	struct iovec iov = { buf, CHUNK };
	struct io_uring_cqe *cqe;
	unsigned int i;
	bool ok = true;

	CHECK_INT(io_uring_register_buffers(&p->ring, &iov, 1), 0);
	for (i = 0; i < RING_DEPTH; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&p->ring);
		uint8_t *part = buf + i * len;

		if (write)
			io_uring_prep_write_fixed(sqe, p->direct, part, len,
						  pos + i * len, 0);
		else
			io_uring_prep_read_fixed(sqe, p->direct, part, len,
						 pos + i * len, 0);
	}
	CHECK_INT(io_uring_submit(&p->ring), RING_DEPTH);
	for (i = 0; i < RING_DEPTH; i++) {
		CHECK_INT(io_uring_wait_cqe(&p->ring, &cqe), 0);
		ok = ok && cqe->res == (int)len;
		io_uring_cqe_seen(&p->ring, cqe);
	}
	CHECK_INT(io_uring_unregister_buffers(&p->ring), 0);
	return ok;
}

static const struct way {
	const char *name;
	transfer *transfer;
	bool cached, fua;
} ways[] = {
	{ .name = "direct", .transfer = direct },
	{ .name = "buffered", .transfer = buffered, .cached = true },
	{ .name = "O_SYNC", .transfer = sync_io, .fua = true },
	{ .name = "RWF_DSYNC", .transfer = dsync, .fua = true },
	{ .name = "mmap", .transfer = mapped, .cached = true },
	{ .name = "io_uring", .transfer = uring },
};

#define WAYS (sizeof(ways) / sizeof(*ways))

static void open_all(struct paths *p, const struct setup *s)
{
	p->direct = s->fd;
	p->buffered = device_open(s->id, O_RDWR);
	p->sync = device_open(s->id, O_RDWR | O_DIRECT | O_SYNC);
	CHECK(p->buffered >= 0 && p->sync >= 0);
	p->map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		      p->buffered, 0);
	CHECK(p->map != MAP_FAILED);
	if (io_uring_queue_init(RING_DEPTH, &p->ring, 0))
		SKIP("no io_uring here");
}

static void close_all(struct paths *p)
{
	io_uring_queue_exit(&p->ring);
	munmap(p->map, SIZE);
	close(p->buffered);
	close(p->sync);
}

static void write_one_way(struct paths *p, struct world *world,
			  const struct way *way, uint8_t *buf, uint64_t pos)
{
	uint64_t fua = world->fua;

	if (!way->transfer(p, buf, pos, true))
		FAIL("write by %s at %llu: %s", way->name,
		     (unsigned long long)pos, strerror(errno));
	if (memcmp(world->data + pos, buf, CHUNK))
		FAIL("%s wrote something else at %llu", way->name,
		     (unsigned long long)pos);
	if (way->fua && world->fua == fua)
		FAIL("%s did not ask for FUA", way->name);
}

static void read_all_ways(struct paths *p, const struct way *writer,
			  const uint8_t *want, uint8_t *in, uint64_t pos)
{
	for (size_t i = 0; i < WAYS; i++) {
		memset(in, 0xee, CHUNK);
		/* Now and then not what the page cache has kept. */
		if (ways[i].cached && i % 2 == 0)
			CHECK(!posix_fadvise(p->buffered, pos, CHUNK,
					     POSIX_FADV_DONTNEED));
		if (!ways[i].transfer(p, in, pos, false))
			FAIL("read by %s: %s", ways[i].name, strerror(errno));
		if (memcmp(in, want, CHUNK))
			FAIL("written by %s, read otherwise by %s",
			     writer->name, ways[i].name);
	}
}

int main(void)
{
	struct setup s = { .config = { .size = SIZE, .queues = 2 } };
	unsigned int i, rounds;
	uint64_t seed = 11, pos;
	struct paths paths;
	uint8_t *out, *in;

	test_begin();
	rounds = test_size(2, 6, 100);
	out = alloc_aligned(CHUNK);
	in = alloc_aligned(CHUNK);
	setup_begin(&s);
	open_all(&paths, &s);
	for (i = 0; i < rounds * WAYS; i++) {
		const struct way *way = &ways[i % WAYS];

		pos = next_random(&seed) % (SIZE / CHUNK) * CHUNK;
		for (size_t j = 0; j < CHUNK; j += 8)
			*(uint64_t *)(out + j) = next_random(&seed);
		write_one_way(&paths, s.world, way, out, pos);
		read_all_ways(&paths, way, out, in, pos);
	}
	close_all(&paths);
	setup_end(&s);
	return 0;
}
