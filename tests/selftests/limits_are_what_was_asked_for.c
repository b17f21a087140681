// SPDX-License-Identifier: Apache-2.0
/* sysfs shows the same on every kernel, and it follows from what add was told. */
#include "test.h"

#define SIZE (8ull << 20)
#define GIB (1ull << 30)

static void check(uint32_t id, const char *name, uint64_t want)
{
	const char *text = sysfs(id, name);

	if (strtoull(text, NULL, 10) != want)
		FAIL("%s is '%s', not %llu", name, text,
		     (unsigned long long)want);
}

static void check_text(uint32_t id, const char *name, const char *want)
{
	const char *text = sysfs(id, name);

	if (strcmp(text, want))
		FAIL("%s is '%s', not '%s'", name, text, want);
}

static void check_sizes(uint32_t id, const struct device_config *c)
{
	uint32_t block = c->block_size ? c->block_size : 4096;
	uint32_t io = c->io_size_max ? c->io_size_max : 1 << 20;

	check(id, "size", c->size / 512);
	check(id, "queue/logical_block_size", block);
	check(id, "queue/hw_sector_size", block);
	check(id, "queue/physical_block_size", 4096);
	check(id, "queue/minimum_io_size", 4096);
	check(id, "queue/optimal_io_size", io);
	check(id, "queue/max_hw_sectors_kb", io / 1024);
	check(id, "queue/max_sectors_kb", io / 1024);
	check(id, "queue/max_segments", 65535);
	check(id, "queue/max_segment_size", UINT32_MAX);
	check(id, "alignment_offset", 0);
	check(id, "discard_alignment", 0);
	/* As much as twice the best size is read ahead, and what is usual. */
	check(id, "queue/read_ahead_kb", io > 64 << 10 ? io / 512 : 128);
}

static void check_features(uint32_t id, const struct device_config *c)
{
	check_text(id, "queue/write_cache", "write back");
	check(id, "queue/fua", 1);
	check(id, "queue/rotational", 0);
	check(id, "queue/add_random", 0);
	check(id, "queue/iostats", 1);
	check(id, "queue/discard_granularity", 4096);
	check(id, "queue/discard_max_bytes", GIB);
	check(id, "queue/discard_max_hw_bytes", GIB);
	check(id, "queue/discard_zeroes_data", 0);
	check(id, "queue/write_zeroes_max_bytes", GIB);
	check(id, "queue/dax", 0);
	check_text(id, "queue/zoned", "none");
	check(id, "ro", c->read_only);
	check(id, "removable", 0);
	CHECK(strstr(sysfs(id, "queue/scheduler"), "[none]"));
}

static void check_queues(uint32_t id, const struct device_config *c)
{
	unsigned int cpus = sysconf(_SC_NPROCESSORS_CONF), queues, n = 0;
	char path[128];

	queues = c->queues ? c->queues : 1;
	queues = queues < cpus ? queues : cpus;
	check(id, "queue/nr_requests", c->depth ? c->depth : 128);
	for (;; n++) {
		snprintf(path, sizeof(path), "/sys/block/torus%u/mq/%u", id, n);
		if (access(path, F_OK))
			break;
		snprintf(path, sizeof(path), "mq/%u/nr_tags", n);
		check(id, path, c->depth ? c->depth : 128);
	}
	CHECK_INT(n, queues);
}

static void check_own(uint32_t id, const struct device_config *c)
{
	check_text(id, "torus/volume", c->volume ? c->volume : "selftest");
	check_text(id, "torus/state", "live");
	check(id, "torus/io_timeout_ms",
	      c->io_timeout_ms ? c->io_timeout_ms : 120000);
	check(id, "torus/dead_timeout_ms",
	      c->dead_timeout_ms ? c->dead_timeout_ms : 60000);
	check_text(id, "torus/incarnation",
		   "73656c66746573742064657669636500");
}

int main(void)
{
	static const struct device_config configs[] = {
		{ .size = SIZE },
		{ .size = SIZE, .block_size = 512, .volume = "small-blocks" },
		{ .size = SIZE + 512, .block_size = 512, .read_only = true },
		{ .size = SIZE, .io_size_max = 4096, .depth = 1 },
		{ .size = SIZE, .io_size_max = 12 << 10, .depth = 3 },
		{ .size = SIZE, .io_size_max = 64 << 10, .depth = 1024 },
		{ .size = SIZE, .io_size_max = 4 << 20, .queues = 2,
		  .io_timeout_ms = 5000, .dead_timeout_ms = 7000 },
		{ .size = SIZE, .queues = 64, .depth = 8 },
	};

	test_begin();
	for (size_t i = 0; i < sizeof(configs) / sizeof(*configs); i++) {
		struct setup s = { .config = configs[i] };
		pid_t helper;

		s.id = device_serve(&s.config, &s.world, &helper);
		s.helper = helper;
		s.fd = -1;
		printf("# device %zu\n", i);
		check_sizes(s.id, &s.config);
		check_features(s.id, &s.config);
		check_queues(s.id, &s.config);
		check_own(s.id, &s.config);
		setup_end(&s);
	}
	return 0;
}
