// SPDX-License-Identifier: GPL-2.0
/* What the block layer is told of a disk, as it reads it. */
#include <kunit/test.h>
#include <linux/blk-mq.h>
#include <linux/blkdev.h>

#include "device.h"
#include "fixture.h"
#include "genl.h"
#include "lifecycle.h"
#include "queue.h"

struct shape {
	u32 block_size;
	u32 io_size_max;
};

static const struct shape shapes[] = {
	{ 512, 4096 }, { 512, SZ_1M }, { 4096, 4096 }, { 4096, SZ_1M },
	{ 4096, TORUS_IO_SIZE_LIMIT },
};

static void shape_name(const struct shape *shape, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "block_%u_largest_%u",
		 shape->block_size, shape->io_size_max);
}

KUNIT_ARRAY_PARAM(shape, shapes, shape_name);

/* A live device of that shape; its arena is as small as it may be. */
static struct torus_device *device_of(struct kunit *test,
				      const struct shape *shape)
{
	struct torus_device_config config = torus_test_config(test);
	struct torus_test_helper *helper = torus_test_helper(test);
	struct netlink_ext_ack extack = {};
	struct torus_session_log log;
	struct torus_device *dev;
	u64 id;

	config.block_size = shape->block_size;
	config.io_size_max = shape->io_size_max;
	dev = torus_test_add(test, &config);
	log = torus_test_log(dev, 0, 0);
	KUNIT_ASSERT_EQ(test, 0,
			torus_test_bind(test, dev, helper,
					torus_test_memfd(test, TORUS_TEST_ARENA +
							 2 * shape->io_size_max),
					false, &id));
	torus_test_bind_queues(test, dev, helper, id);
	KUNIT_ASSERT_EQ(test, 0, torus_session_start(dev, id, &helper->sender,
						     &log, &extack));
	torus_test_settle(dev);
	KUNIT_ASSERT_EQ(test, dev->state, TORUS_STATE_LIVE);
	return dev;
}

static void sizes_are_what_the_helper_declared(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct torus_device *dev = device_of(test, shape);
	struct block_device *bdev = dev->disk->part0;
	struct request_queue *q = dev->disk->queue;

	KUNIT_EXPECT_EQ(test, bdev_logical_block_size(bdev), shape->block_size);
	KUNIT_EXPECT_EQ(test, bdev_physical_block_size(bdev), 4096);
	KUNIT_EXPECT_EQ(test, bdev_io_min(bdev), 4096);
	KUNIT_EXPECT_EQ(test, bdev_io_opt(bdev), shape->io_size_max);
	KUNIT_EXPECT_EQ(test, bdev_alignment_offset(bdev), 0);
	KUNIT_EXPECT_EQ(test, queue_max_hw_sectors(q),
			shape->io_size_max >> SECTOR_SHIFT);
	/* Not less for file systems: a user would have to raise it. */
	KUNIT_EXPECT_EQ(test, queue_max_sectors(q),
			shape->io_size_max >> SECTOR_SHIFT);
	/* Data is copied, so its pieces do not matter. */
	KUNIT_EXPECT_EQ(test, queue_max_segments(q), USHRT_MAX);
	KUNIT_EXPECT_EQ(test, queue_max_segment_size(q), UINT_MAX);
}

static void space_is_given_back_in_physical_blocks(struct kunit *test)
{
	struct torus_device *dev = device_of(test, test->param_value);
	struct block_device *bdev = dev->disk->part0;

	KUNIT_EXPECT_EQ(test, bdev_discard_granularity(bdev), 4096);
	KUNIT_EXPECT_EQ(test, bdev_discard_alignment(bdev), 0);
	KUNIT_EXPECT_EQ(test, bdev_max_discard_sectors(bdev),
			SZ_1G >> SECTOR_SHIFT);
	KUNIT_EXPECT_EQ(test, bdev_write_zeroes_sectors(bdev),
			SZ_1G >> SECTOR_SHIFT);
	KUNIT_EXPECT_EQ(test, bdev_max_secure_erase_sectors(bdev), 0);
}

static void cache_is_volatile_with_fua(struct kunit *test)
{
	struct torus_device *dev = device_of(test, &shapes[0]);
	struct block_device *bdev = dev->disk->part0;

	KUNIT_EXPECT_TRUE(test, bdev_write_cache(bdev));
	KUNIT_EXPECT_TRUE(test, bdev_fua(bdev));
	KUNIT_EXPECT_TRUE(test, bdev_nonrot(bdev));
	/* The helper reads what it sends when it likes; we copied it before. */
	KUNIT_EXPECT_FALSE(test, bdev_stable_writes(bdev));
}

static void queues_are_as_many_and_deep_as_asked(struct kunit *test)
{
	struct torus_device *dev = device_of(test, &shapes[0]);
	struct request_queue *q = dev->disk->queue;

	KUNIT_EXPECT_EQ(test, dev->tag_set.nr_hw_queues, TORUS_TEST_QUEUES);
	KUNIT_EXPECT_EQ(test, dev->tag_set.queue_depth, TORUS_TEST_DEPTH);
	KUNIT_EXPECT_EQ(test, dev->tag_set.reserved_tags, 0);
	KUNIT_EXPECT_EQ(test, q->nr_hw_queues, TORUS_TEST_QUEUES);
	KUNIT_EXPECT_NULL(test, q->elevator);
	/* CPU hotplug must not wait for the helper. */
	KUNIT_EXPECT_TRUE(test, dev->tag_set.flags & BLK_MQ_F_STACKING);
	/* queue_rq never sleeps. */
	KUNIT_EXPECT_FALSE(test, dev->tag_set.flags & BLK_MQ_F_BLOCKING);
}

static void each_hardware_queue_is_its_own(struct kunit *test)
{
	struct torus_device *dev = device_of(test, &shapes[0]);
	struct blk_mq_hw_ctx *hctx;
	unsigned long i;

	queue_for_each_hw_ctx(dev->disk->queue, hctx, i)
		KUNIT_EXPECT_PTR_EQ(test, hctx->driver_data,
				    &dev->queues[i]);
}

static void block_layer_waits_longer_than_the_helper(struct kunit *test)
{
	struct torus_device *dev = device_of(test, &shapes[0]);
	struct request_queue *q = dev->disk->queue;

	KUNIT_EXPECT_EQ(test, q->rq_timeout, msecs_to_jiffies(60000 + 10000));
	torus_device_set_io_timeout(dev, 1);
	KUNIT_EXPECT_EQ(test, q->rq_timeout, msecs_to_jiffies(1 + 10000));
	torus_device_set_io_timeout(dev, TORUS_TIMEOUT_MS_LIMIT);
	KUNIT_EXPECT_EQ(test, q->rq_timeout,
			msecs_to_jiffies(TORUS_TIMEOUT_MS_LIMIT + 10000));
}

static void disk_is_named_for_its_device(struct kunit *test)
{
	struct torus_device *dev = device_of(test, &shapes[0]);
	char name[DISK_NAME_LEN];

	snprintf(name, sizeof(name), "torus%u", dev->id);
	KUNIT_EXPECT_STREQ(test, dev->disk->disk_name, name);
	KUNIT_EXPECT_PTR_EQ(test, dev->disk->private_data, dev);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(sizes_are_what_the_helper_declared, shape_gen_params),
	KUNIT_CASE_PARAM(space_is_given_back_in_physical_blocks,
			 shape_gen_params),
	KUNIT_CASE(cache_is_volatile_with_fua),
	KUNIT_CASE(queues_are_as_many_and_deep_as_asked),
	KUNIT_CASE(each_hardware_queue_is_its_own),
	KUNIT_CASE(block_layer_waits_longer_than_the_helper),
	KUNIT_CASE(disk_is_named_for_its_device),
	{}
};

static struct kunit_suite suite = {
	.name = "torus_disk",
	.test_cases = cases,
};

kunit_test_suite(suite);
