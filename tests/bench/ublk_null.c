// SPDX-License-Identifier: Apache-2.0
/*
 * The least ublk server there can be, to compare the driver's channel with: it
 * completes every request as it comes and touches no data.
 *
 * One thread and one ring per queue. A queue's ring holds, for each tag, one
 * FETCH or COMMIT_AND_FETCH command; when it completes there is a request, which
 * the next command of that tag ends while it waits for another. All that came
 * together go back in one io_uring_enter().
 *
 * SIGTERM stops the device, whereupon the commands come back aborted and the
 * threads end; then it is deleted.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <liburing.h>
#include <linux/ublk_cmd.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Debian 12 has linux/ublk_cmd.h of Linux 6.1, with the numbers of the commands
 * but not their encoding as ioctls (Linux 6.4, include/uapi/linux/ublk_cmd.h),
 * which kernels without CONFIG_BLKDEV_UBLK_LEGACY_OPCODES insist on. The sizes
 * of the structures have stayed.
 */
#define CONTROL(number)	_IOWR('u', number, struct ublksrv_ctrl_cmd)
#define IO(number)	_IOWR('u', number, struct ublksrv_io_cmd)

#define QUEUES_MAX	64
#define DEPTH_MAX	1024
#define IO_BYTES_MAX	(1u << 20)	/* of one request, as our driver's */
#define PAGE_BYTES	4096u

struct settings {
	unsigned int queues, depth;
	uint64_t size;
};

struct device {
	struct settings settings;
	struct io_uring control;
	int control_fd, io_fd;
	uint32_t id;
};

struct queue {
	struct device *device;
	pthread_t thread;
	uint16_t number;
	struct io_uring ring;
	uint8_t *buffers;		/* IO_BYTES_MAX per tag */
	const struct ublksrv_io_desc *requests;	/* the driver's, per tag */
	unsigned int fetching;		/* commands that the driver has */
	int error;
};

static int fail(const char *what, int err)
{
	fprintf(stderr, "ublk_null: %s: %s\n", what, strerror(-err));
	return err;
}

/* An empty entry of @bytes; there is always one, since each tag uses one. */
static struct io_uring_sqe *take_entry(struct io_uring *ring, size_t bytes)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		abort();
	memset(sqe, 0, bytes);
	return sqe;
}

/* ---- control --------------------------------------------------------------- */

static int control(struct device *d, unsigned int op, void *buffer,
		   size_t length, uint64_t data)
{
	/* Twice the usual size: IORING_SETUP_SQE128. */
	struct io_uring_sqe *sqe = take_entry(&d->control, 2 * sizeof(*sqe));
	struct ublksrv_ctrl_cmd *cmd = (struct ublksrv_ctrl_cmd *)sqe->cmd;
	struct io_uring_cqe *cqe;
	int err;

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = d->control_fd;
	sqe->cmd_op = op;
	cmd->dev_id = d->id;
	cmd->queue_id = UINT16_MAX;
	cmd->addr = (uintptr_t)buffer;
	cmd->len = (uint16_t)length;
	cmd->data[0] = data;
	err = io_uring_submit_and_wait(&d->control, 1);
	if (err >= 0)
		err = io_uring_peek_cqe(&d->control, &cqe);
	if (err < 0)
		return err;
	err = cqe->res;
	io_uring_cqe_seen(&d->control, cqe);
	return err;
}

static int add_device(struct device *d)
{
	struct ublksrv_ctrl_dev_info info = {
		.nr_hw_queues = (uint16_t)d->settings.queues,
		.queue_depth = (uint16_t)d->settings.depth,
		.max_io_buf_bytes = IO_BYTES_MAX,
		.dev_id = UINT32_MAX,		/* any */
		.ublksrv_pid = getpid(),
	};
	int err;

	d->id = UINT32_MAX;
	err = control(d, CONTROL(UBLK_CMD_ADD_DEV), &info, sizeof(info), 0);
	d->id = info.dev_id;
	return err;
}

static int set_parameters(struct device *d)
{
	struct ublk_params p = {
		.len = sizeof(p),
		.types = UBLK_PARAM_TYPE_BASIC,
		.basic = {
			.attrs = UBLK_ATTR_VOLATILE_CACHE | UBLK_ATTR_FUA,
			.logical_bs_shift = 12,
			.physical_bs_shift = 12,
			.io_opt_shift = 12,
			.io_min_shift = 12,
			.max_sectors = IO_BYTES_MAX >> 9,
			.dev_sectors = d->settings.size >> 9,
		},
	};

	return control(d, CONTROL(UBLK_CMD_SET_PARAMS), &p, sizeof(p), 0);
}

static int open_device(struct device *d)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SQE128 };
	char path[32];
	int err;

	d->control_fd = open("/dev/ublk-control", O_RDWR | O_CLOEXEC);
	if (d->control_fd < 0)
		return fail("/dev/ublk-control (modprobe ublk_drv)", -errno);
	err = io_uring_queue_init_params(4, &d->control, &params);
	if (err < 0)
		return fail("control ring", err);
	err = add_device(d);
	if (err < 0)
		return fail("cannot add a device", err);
	err = set_parameters(d);
	if (err < 0)
		return fail("cannot set the parameters", err);
	snprintf(path, sizeof(path), "/dev/ublkc%u", d->id);
	d->io_fd = open(path, O_RDWR | O_CLOEXEC);
	return d->io_fd < 0 ? fail(path, -errno) : 0;
}

/* ---- queues ------------------------------------------------------------------ */

static void send_command(struct queue *q, unsigned int tag, unsigned int op,
			 int result)
{
	struct io_uring_sqe *sqe = take_entry(&q->ring, sizeof(*sqe));
	struct ublksrv_io_cmd *cmd = (struct ublksrv_io_cmd *)sqe->cmd;

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->fd = 0;
	sqe->cmd_op = op;
	sqe->user_data = tag;
	cmd->q_id = q->number;
	cmd->tag = (uint16_t)tag;
	cmd->result = result;
	cmd->addr = (uintptr_t)(q->buffers + (size_t)tag * IO_BYTES_MAX);
	q->fetching++;
}

/* A request came, or its command came back since there will be no other. */
static void handle(struct queue *q, unsigned int tag, int result)
{
	q->fetching--;
	if (result == UBLK_IO_RES_OK)
		send_command(q, tag, IO(UBLK_IO_COMMIT_AND_FETCH_REQ),
			     (int)(q->requests[tag].nr_sectors << 9));
	else if (result != UBLK_IO_RES_ABORT)
		q->error = fail("a request", result);
}

/* io_uring_enable_rings(), which liburing 2.3 declares and does not export. */
static int enable(struct io_uring *ring)
{
	return syscall(__NR_io_uring_register, ring->ring_fd,
		       IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0 ? -errno : 0;
}

static void *serve(void *arg)
{
	struct queue *q = arg;
	struct io_uring_cqe *cqe;
	unsigned int head, seen;

	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	q->error = enable(&q->ring);
	io_uring_register_ring_fd(&q->ring);
	for (unsigned int tag = 0; tag < q->device->settings.depth; tag++)
		send_command(q, tag, IO(UBLK_IO_FETCH_REQ), 0);
	while (q->fetching && !q->error) {
		int err = io_uring_submit_and_wait(&q->ring, 1);

		if (err < 0 && err != -EINTR)
			q->error = fail("io_uring_enter", err);
		seen = 0;
		io_uring_for_each_cqe(&q->ring, head, cqe) {
			handle(q, (unsigned int)cqe->user_data, cqe->res);
			seen++;
		}
		io_uring_cq_advance(&q->ring, seen);
	}
	/* A device whose queue is not served any more is of no use. */
	if (q->error)
		kill(getpid(), SIGTERM);
	return NULL;
}

static size_t requests_bytes(const struct queue *q)
{
	size_t bytes = q->device->settings.depth *
		       sizeof(struct ublksrv_io_desc);

	return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

/* Queues lie apart in the file as if each had the most tags that there can be. */
static int map_requests(struct queue *q)
{
	size_t each = UBLK_MAX_QUEUE_DEPTH * sizeof(struct ublksrv_io_desc);
	void *map;

	map = mmap(NULL, requests_bytes(q), PROT_READ,
		   MAP_SHARED | MAP_POPULATE, q->device->io_fd,
		   (off_t)(UBLKSRV_CMD_BUF_OFFSET + q->number * each));
	if (map == MAP_FAILED)
		return -errno;
	q->requests = map;
	return 0;
}

static int map_buffers(struct queue *q)
{
	void *map = mmap(NULL, (size_t)q->device->settings.depth * IO_BYTES_MAX,
			 PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		return -errno;
	q->buffers = map;
	return 0;
}

/*
 * Task work runs in our own io_uring_enter() only, which is what ublk servers
 * do that are made to be fast; the ring belongs to the thread that enables it.
 */
static int start_queue(struct queue *q)
{
	unsigned int entries = q->device->settings.depth;
	struct io_uring_params params = {
		.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN,
	};
	int err = map_requests(q);

	if (!err)
		err = map_buffers(q);
	if (!err)
		err = io_uring_queue_init_params(entries, &q->ring, &params);
	if (!err)
		err = io_uring_register_files(&q->ring, &q->device->io_fd, 1);
	if (!err)
		err = -pthread_create(&q->thread, NULL, serve, q);
	return err ? fail("cannot start a queue", err) : 0;
}

/* ---- life -------------------------------------------------------------------- */

static int join_queues(struct queue *queues, unsigned int count)
{
	int err = 0;

	for (unsigned int i = 0; i < count; i++) {
		pthread_join(queues[i].thread, NULL);
		err = err ? err : queues[i].error;
		/* Deleting waits until nothing has the device open or mapped. */
		io_uring_queue_exit(&queues[i].ring);
		munmap((void *)queues[i].requests, requests_bytes(&queues[i]));
	}
	return err;
}

static int serve_until_signal(struct device *d, const sigset_t *signals)
{
	int err, signo;

	/* It returns when every queue has fetched for every tag. */
	err = control(d, CONTROL(UBLK_CMD_START_DEV), NULL, 0,
		      (uint64_t)getpid());
	if (err < 0)
		return fail("cannot start the device", err);
	printf("/dev/ublkb%u\n", d->id);
	fflush(stdout);
	sigwait(signals, &signo);
	return 0;
}

static int run(struct device *d, struct queue *queues, const sigset_t *signals)
{
	unsigned int started = 0;
	int err = 0, err2;

	while (!err && started < d->settings.queues) {
		queues[started].device = d;
		queues[started].number = (uint16_t)started;
		err = start_queue(&queues[started]);
		started += !err;
	}
	if (!err)
		err = serve_until_signal(d, signals);
	/* Queues that fetch for a device that never started end with us. */
	if (err)
		return err;
	err = control(d, CONTROL(UBLK_CMD_STOP_DEV), NULL, 0, 0);
	err2 = join_queues(queues, started);
	return err < 0 ? fail("cannot stop the device", err) : err2;
}

static bool parse(const char *text, uint64_t least, uint64_t most,
		  uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno &&
	       *value >= least && *value <= most;
}

static int usage(void)
{
	fprintf(stderr, "usage: ublk_null [--queues N] [--depth N] [--size BYTES]\n"
		"Serves a ublk device that keeps nothing, until SIGTERM; prints its path.\n"
		"Up to %u queues (1), depth up to %u (128), a size of whole 4096 bytes (1 GiB).\n",
		QUEUES_MAX, DEPTH_MAX);
	return 64;
}

static bool parse_options(struct settings *s, int argc, char **argv)
{
	static const struct option list[] = {
		{ "queues", required_argument, NULL, 'q' },
		{ "depth", required_argument, NULL, 'd' },
		{ "size", required_argument, NULL, 's' },
		{ 0 }
	};
	uint64_t value = 0;
	bool good = true;
	int opt;

	while (good && (opt = getopt_long(argc, argv, "", list, NULL)) != -1) {
		if (opt == 'q') {
			good = parse(optarg, 1, QUEUES_MAX, &value);
			s->queues = (unsigned int)value;
		} else if (opt == 'd') {
			good = parse(optarg, 1, DEPTH_MAX, &value);
			s->depth = (unsigned int)value;
		} else if (opt == 's') {
			good = parse(optarg, PAGE_BYTES, INT64_MAX, &s->size) &&
			       s->size % PAGE_BYTES == 0;
		} else {
			good = false;
		}
	}
	return good && optind == argc;
}

int main(int argc, char **argv)
{
	static struct queue queues[QUEUES_MAX];
	struct device device = {
		.settings = { .queues = 1, .depth = 128, .size = 1u << 30 },
	};
	sigset_t signals;
	int err;

	if (!parse_options(&device.settings, argc, argv))
		return usage();
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	if (open_device(&device))
		return 1;
	err = run(&device, queues, &signals);
	close(device.io_fd);
	if (!err)
		err = control(&device, CONTROL(UBLK_CMD_DEL_DEV), NULL, 0, 0);
	return err < 0 ? 1 : 0;
}
