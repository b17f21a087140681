// SPDX-License-Identifier: Apache-2.0
/*
 * A helper is taken over with reads and writes in flight and answers them all
 * the same, with other data in its arena: it is told that it is too late, and
 * every request ends by the answer of the next helper alone. Then it is the
 * order of answers that is odd: last asked, first answered.
 */
#include <fcntl.h>
#include <pthread.h>

#include "stress.h"
#include "test.h"

#define SIZE (4ull << 20)
#define ARENA (4 << 20)
#define READERS 6
#define READ_AT(i) ((1ull << 20) + (i) * 65536)
#define KEPT_MAX 64

static struct torus_completion kept[KEPT_MAX];
static unsigned int nr_kept;
static bool keeping;

/* Keeps what there is to answer, in the order of its coming. */
static bool keep(struct helper *h, const struct torus_desc *desc,
		 struct torus_completion *completion)
{
	(void)desc;
	if (!__atomic_load_n(&keeping, __ATOMIC_SEQ_CST))
		return true;
	CHECK(nr_kept < KEPT_MAX);
	kept[nr_kept++] = *completion;
	sem_post(&h->world->asked);
	return false;
}

struct reader {
	pthread_t thread;
	int fd;
	uint64_t offset;
	uint8_t *buf;
	ssize_t result;
};

static void *read_block(void *arg)
{
	struct reader *r = arg;

	r->result = pread(r->fd, r->buf, 4096, r->offset);
	return NULL;
}

static void begin(struct helper *h, struct world *world, uint32_t id,
		  bool takeover)
{
	CHECK_INT(helper_open(h, world, id, ARENA), 0);
	h->hook = keep;
	CHECK_INT(helper_bind(h, takeover), 0);
	CHECK_INT(helper_queues(h, &h->data, 1), 0);
	CHECK_INT(helper_start(h), 0);
}

static void read_all(struct reader *readers, int fd)
{
	for (int i = 0; i < READERS; i++) {
		readers[i].fd = fd;
		readers[i].offset = READ_AT(i);
		readers[i].buf = alloc_aligned(4096);
		CHECK(!pthread_create(&readers[i].thread, NULL, read_block,
				      &readers[i]));
	}
}

static void check_read(struct reader *readers, struct world *world)
{
	for (int i = 0; i < READERS; i++) {
		struct reader *r = &readers[i];

		pthread_join(r->thread, NULL);
		CHECK_INT(r->result, 4096);
		CHECK(!memcmp(r->buf, world->data + r->offset, 4096));
		free(r->buf);
	}
}

/* Too late, with wrong data, and with the wrong result. */
static void answer_late(struct helper *h, uint32_t result)
{
	memset(h->arena, 0xbd, h->arena_size);
	for (unsigned int i = 0; i < nr_kept; i++) {
		kept[i].result = result;
		CHECK_INT(helper_complete(h, &h->data, &kept[i], 1, true),
			  -ESTALE);
	}
}

static void check_takeover(struct world *world, uint32_t id, int fd,
			   struct helper *first, struct server *server)
{
	struct reader readers[READERS];
	struct writer writer;
	struct server next;
	struct helper second;
	int i;

	for (i = 0; i < READERS; i++)
		memset(world->data + READ_AT(i), 0x10 + i, 4096);
	__atomic_store_n(&keeping, true, __ATOMIC_SEQ_CST);
	read_all(readers, fd);
	writer_start(&writer, fd, 0);
	for (i = 0; i < READERS + 1; i++)
		CHECK(!sem_wait(&world->asked));
	server_stop(server);
	__atomic_store_n(&keeping, false, __ATOMIC_SEQ_CST);

	begin(&second, world, id, true);
	answer_late(first, TORUS_RESULT_OK);
	answer_late(first, TORUS_RESULT_IO_ERROR);
	answer_late(first, TORUS_RESULT_LOST);
	CHECK_INT(writer.error, -1);
	server_start(&next, &second);
	check_read(readers, world);
	CHECK_INT(writer_end(&writer), 0);
	CHECK_INT(device_counter(id, TORUS_A_DEV_REQUEUED), READERS + 1);
	answer_late(first, TORUS_RESULT_OK);
	CHECK_INT(device_state(id), TORUS_STATE_LIVE);
	server_stop(&next);
	helper_close(first);
	*first = second;
	nr_kept = 0;
}

/* What has come in 5 ms is answered from its end. */
static void *answer_backwards(void *arg)
{
	struct server *server = arg;
	struct helper *h = server->helper;

	while (!__atomic_load_n(&server->stop, __ATOMIC_SEQ_CST)) {
		helper_serve_once(h, 5);
		while (nr_kept) {
			nr_kept--;
			helper_complete(h, &h->data, &kept[nr_kept], 1, false);
		}
	}
	return NULL;
}

static void check_backwards(struct helper *h, int fd)
{
	struct server server = { .helper = h };
	struct stress stress;

	__atomic_store_n(&keeping, true, __ATOMIC_SEQ_CST);
	CHECK(!pthread_create(&server.thread, NULL, answer_backwards,
			      &server));
	memset(h->world->data, 0, SIZE);
	stress_start(&stress, fd, SIZE, 12, 64 << 10);
	stress_wait_ios(&stress, test_size(60, 300, 5000), 60000);
	stress_stop(&stress);
	server_stop(&server);
}

int main(void)
{
	struct device_config config = { .size = SIZE };
	struct server server;
	struct world *world;
	struct helper h;
	uint32_t id;
	int fd;

	test_begin();
	id = device_add(&config);
	world = world_new(SIZE);
	begin(&h, world, id, false);
	server_start(&server, &h);
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	check_takeover(world, id, fd, &h, &server);
	check_backwards(&h, fd);
	close(fd);
	CHECK_INT(device_delete(id, true), 0);
	CHECK(device_wait_gone(id, 5000));
	helper_close(&h);
	return 0;
}
