// SPDX-License-Identifier: Apache-2.0
#include <time.h>

#include "stress.h"
#include "test.h"

#define BLOCK 4096u

/* Every 8 bytes of a block name the block and the version written last. */
static void fill(uint8_t *buf, uint64_t pos, uint32_t version)
{
	for (unsigned int i = 0; i < BLOCK; i += 8)
		*(uint64_t *)(buf + i) = (pos / BLOCK) << 32 | version;
}

static bool fits(const uint8_t *buf, uint64_t pos, uint32_t version)
{
	uint64_t want = version ? (pos / BLOCK) << 32 | version : 0;

	for (unsigned int i = 0; i < BLOCK; i += 8)
		if (*(const uint64_t *)(buf + i) != want)
			return false;
	return true;
}

static bool fail(struct stress_thread *t, const char *what, uint64_t pos,
		 int error)
{
	if (!t->error) {
		snprintf(t->what, sizeof(t->what), "%s at %llu: %s", what,
			 (unsigned long long)pos,
			 error > 0 ? strerror(error) : "wrong data");
		t->error = error;
	}
	return false;
}

static bool do_write(struct stress_thread *t, uint8_t *buf, uint32_t *versions,
		     uint64_t base, uint64_t first, unsigned int blocks)
{
	uint64_t pos = base + first * BLOCK;
	ssize_t n;

	for (unsigned int i = 0; i < blocks; i++)
		fill(buf + i * BLOCK, pos + i * BLOCK, versions[first + i] + 1);
	n = pwrite(t->stress->fd, buf, blocks * BLOCK, pos);
	if (n != (ssize_t)(blocks * BLOCK))
		return fail(t, "write", pos, n < 0 ? errno : EIO);
	for (unsigned int i = 0; i < blocks; i++)
		versions[first + i]++;
	return true;
}

static bool do_read(struct stress_thread *t, uint8_t *buf, uint32_t *versions,
		    uint64_t base, uint64_t first, unsigned int blocks)
{
	uint64_t pos = base + first * BLOCK;
	ssize_t n = pread(t->stress->fd, buf, blocks * BLOCK, pos);

	if (n != (ssize_t)(blocks * BLOCK))
		return fail(t, "read", pos, n < 0 ? errno : EIO);
	for (unsigned int i = 0; i < blocks; i++)
		if (!fits(buf + i * BLOCK, pos + i * BLOCK, versions[first + i]))
			return fail(t, "read", pos + i * BLOCK, -1);
	return true;
}

static bool verify_all(struct stress_thread *t, uint8_t *buf,
		       uint32_t *versions, uint64_t base, uint64_t blocks)
{
	uint64_t n = t->stress->io_max / BLOCK;

	for (uint64_t i = 0; i < blocks; i += n)
		if (!do_read(t, buf, versions, base, i,
			     blocks - i < n ? blocks - i : n))
			return false;
	return true;
}

static bool flush(struct stress_thread *t)
{
	struct stress *s = t->stress;
	int err;

	__atomic_add_fetch(&s->flushing, 1, __ATOMIC_SEQ_CST);
	err = fdatasync(s->fd);
	__atomic_sub_fetch(&s->flushing, 1, __ATOMIC_SEQ_CST);
	return !err || fail(t, "flush", 0, errno);
}

/* Counts an I/O, and wakes who waits for this one or for an error. */
static void count(struct stress_thread *t)
{
	struct stress *s = t->stress;

	__atomic_add_fetch(&t->ios, 1, __ATOMIC_SEQ_CST);
	if (!t->error &&
	    stress_ios(s) < __atomic_load_n(&s->awaited, __ATOMIC_SEQ_CST))
		return;
	pthread_mutex_lock(&s->lock);
	pthread_cond_broadcast(&s->reached);
	pthread_mutex_unlock(&s->lock);
}

static void *run(void *arg)
{
	struct stress_thread *t = arg;
	struct stress *s = t->stress;
	uint64_t base = s->region * t->index, blocks = s->region / BLOCK;
	uint64_t seed = t->index * 7919 + 1;
	uint32_t *versions = calloc(blocks, sizeof(*versions));
	uint8_t *buf = alloc_aligned(s->io_max);
	bool ok = true;

	while (ok && !__atomic_load_n(&s->stop, __ATOMIC_RELAXED) &&
	       (!s->limit || t->ios < s->limit)) {
		unsigned int n = 1 + next_random(&seed) % (s->io_max / BLOCK);
		uint64_t first = next_random(&seed) % (blocks - n + 1);

		if (next_random(&seed) % 3)
			ok = do_write(t, buf, versions, base, first, n);
		else
			ok = do_read(t, buf, versions, base, first, n);
		if (ok && next_random(&seed) % 16 == 0)
			ok = flush(t);
		count(t);
	}
	if (ok)
		verify_all(t, buf, versions, base, blocks);
	free(versions);
	free(buf);
	return NULL;
}

void stress_start(struct stress *s, int fd, uint64_t size,
		  unsigned int nr_threads, unsigned int io_max)
{
	stress_start_some(s, fd, size, nr_threads, io_max, 0);
}

void stress_start_some(struct stress *s, int fd, uint64_t size,
		       unsigned int nr_threads, unsigned int io_max,
		       uint64_t limit)
{
	pthread_condattr_t clock;

	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&s->reached, &clock);
	s->awaited = UINT64_MAX;
	s->limit = limit;
	s->fd = fd;
	s->nr_threads = nr_threads;
	s->io_max = io_max;
	s->region = size / nr_threads / BLOCK * BLOCK;
	for (unsigned int i = 0; i < nr_threads; i++) {
		s->threads[i].stress = s;
		s->threads[i].index = i;
		CHECK(!pthread_create(&s->threads[i].thread, NULL, run,
				      &s->threads[i]));
	}
}

uint64_t stress_ios(struct stress *s)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < s->nr_threads; i++)
		n += __atomic_load_n(&s->threads[i].ios, __ATOMIC_SEQ_CST);
	return n;
}

static bool has_error(struct stress *s)
{
	for (unsigned int i = 0; i < s->nr_threads; i++)
		if (__atomic_load_n(&s->threads[i].error, __ATOMIC_RELAXED))
			return true;
	return false;
}

void stress_wait_ios(struct stress *s, uint64_t n, int timeout_ms)
{
	stress_wait_total(s, stress_ios(s) + n, timeout_ms);
}

void stress_wait_total(struct stress *s, uint64_t n, int timeout_ms)
{
	uint64_t end = now_ms() + timeout_ms;
	struct timespec until = {
		.tv_sec = end / 1000, .tv_nsec = end % 1000 * 1000000,
	};
	int ret = 0;

	pthread_mutex_lock(&s->lock);
	__atomic_store_n(&s->awaited, n, __ATOMIC_SEQ_CST);
	while (!ret && stress_ios(s) < n && !has_error(s))
		ret = pthread_cond_timedwait(&s->reached, &s->lock, &until);
	__atomic_store_n(&s->awaited, UINT64_MAX, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&s->lock);
	if (has_error(s))
		stress_stop(s);
	if (stress_ios(s) < n)
		FAIL("I/O does not go on: %llu ended",
		     (unsigned long long)stress_ios(s));
}

void stress_halt(struct stress *s)
{
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
}

static void join_all(struct stress *s)
{
	stress_halt(s);
	for (unsigned int i = 0; i < s->nr_threads; i++)
		pthread_join(s->threads[i].thread, NULL);
}

uint64_t stress_stop(struct stress *s)
{
	join_all(s);
	for (unsigned int i = 0; i < s->nr_threads; i++)
		if (s->threads[i].error)
			FAIL("thread %u: %s", i, s->threads[i].what);
	return stress_ios(s);
}

int stress_stop_error(struct stress *s)
{
	join_all(s);
	for (unsigned int i = 0; i < s->nr_threads; i++)
		if (s->threads[i].error)
			return s->threads[i].error;
	return 0;
}
