// SPDX-License-Identifier: GPL-2.0
/* Which state of a device follows which event, and what each one refuses. */
#include <kunit/test.h>
#include <linux/blkdev.h>
#include <linux/file.h>
#include <linux/netlink.h>

#include "device.h"
#include "fixture.h"
#include "genl.h"
#include "lifecycle.h"

static void expect_state(struct kunit *test, struct torus_device *dev,
			 enum torus_state state, int error)
{
	torus_test_settle(dev);
	KUNIT_EXPECT_STREQ(test, torus_state_name(dev->state),
			   torus_state_name(state));
	KUNIT_EXPECT_EQ(test, dev->error, error);
	KUNIT_EXPECT_EQ(test, dev->reported, dev->state);
}

static struct torus_device *live_device(struct kunit *test,
					struct torus_test_helper **helper)
{
	struct torus_device *dev = torus_test_add(test, NULL);

	*helper = torus_test_helper(test);
	torus_test_serve(test, dev, *helper);
	KUNIT_ASSERT_EQ(test, dev->state, TORUS_STATE_LIVE);
	return dev;
}

static struct torus_device *recovering_device(struct kunit *test)
{
	struct torus_test_helper *helper;
	struct torus_device *dev = live_device(test, &helper);

	torus_test_helper_die(helper);
	torus_test_settle(dev);
	KUNIT_ASSERT_EQ(test, dev->state, TORUS_STATE_RECOVERING);
	return dev;
}

static void expect_refuses_helpers(struct kunit *test, struct torus_device *dev)
{
	u64 id;

	KUNIT_EXPECT_EQ(test, -EIO,
			torus_test_bind(test, dev, torus_test_helper(test),
					torus_test_memfd(test,
							 TORUS_TEST_ARENA),
					true, &id));
}

static void new_device_waits_for_a_helper(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);

	expect_state(test, dev, TORUS_STATE_NEW, 0);
	KUNIT_EXPECT_NULL(test, dev->session);
	KUNIT_EXPECT_NULL(test, dev->disk);
	KUNIT_EXPECT_EQ(test, dev->sequence, 0);
}

static void bind_alone_changes_nothing(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);

	torus_test_bind_new(test, dev, helper);
	expect_state(test, dev, TORUS_STATE_NEW, 0);
	KUNIT_EXPECT_NOT_NULL(test, dev->session);
	torus_test_helper_die(helper);
	expect_state(test, dev, TORUS_STATE_NEW, 0);
	KUNIT_EXPECT_NULL(test, dev->session);
	KUNIT_EXPECT_NULL(test, dev->disk);
}

static void first_start_makes_the_disk(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	u64 id = torus_test_serve(test, dev, torus_test_helper(test));

	expect_state(test, dev, TORUS_STATE_LIVE, 0);
	KUNIT_ASSERT_NOT_NULL(test, dev->disk);
	KUNIT_EXPECT_TRUE(test, dev->disk_added);
	KUNIT_EXPECT_FALSE(test, dev->gate_closed);
	KUNIT_ASSERT_NOT_NULL(test, dev->active);
	KUNIT_EXPECT_EQ(test, dev->active->id, id);
}

static void device_without_its_helper_recovers(struct kunit *test)
{
	struct torus_device *dev = recovering_device(test);

	expect_state(test, dev, TORUS_STATE_RECOVERING, 0);
	KUNIT_EXPECT_NULL(test, dev->session);
	KUNIT_EXPECT_NULL(test, dev->active);
	KUNIT_EXPECT_TRUE(test, dev->gate_closed);
	KUNIT_EXPECT_TRUE(test, blk_queue_quiesced(dev->disk->queue));
	KUNIT_EXPECT_TRUE(test, delayed_work_pending(&dev->dead_work));
}

static void next_helper_makes_it_live_again(struct kunit *test)
{
	struct torus_device *dev = recovering_device(test);
	struct gendisk *disk = dev->disk;

	torus_test_serve(test, dev, torus_test_helper(test));
	expect_state(test, dev, TORUS_STATE_LIVE, 0);
	KUNIT_EXPECT_PTR_EQ(test, dev->disk, disk);
	KUNIT_EXPECT_FALSE(test, dev->gate_closed);
	KUNIT_EXPECT_FALSE(test, blk_queue_quiesced(disk->queue));
}

static void bind_alone_leaves_it_recovering(struct kunit *test)
{
	struct torus_device *dev = recovering_device(test);
	struct torus_test_helper *helper = torus_test_helper(test);

	torus_test_bind_new(test, dev, helper);
	expect_state(test, dev, TORUS_STATE_RECOVERING, 0);
	torus_test_helper_die(helper);
	expect_state(test, dev, TORUS_STATE_RECOVERING, 0);
	KUNIT_EXPECT_TRUE(test, delayed_work_pending(&dev->dead_work));
}

static void takeover_goes_through_recovery(struct kunit *test)
{
	struct torus_test_helper *helper;
	struct torus_device *dev = live_device(test, &helper);
	u64 id;

	KUNIT_ASSERT_EQ(test, 0,
			torus_test_bind(test, dev, torus_test_helper(test),
					torus_test_memfd(test,
							 TORUS_TEST_ARENA),
					true, &id));
	expect_state(test, dev, TORUS_STATE_RECOVERING, -ECANCELED);
	KUNIT_EXPECT_NULL(test, dev->active);
	/* The end of the one that was replaced is no news. */
	torus_test_helper_die(helper);
	expect_state(test, dev, TORUS_STATE_RECOVERING, -ECANCELED);
	KUNIT_ASSERT_NOT_NULL(test, dev->session);
	KUNIT_EXPECT_EQ(test, dev->session->id, id);
}

static void dead_timeout_fails_it(struct kunit *test)
{
	struct torus_device_config config = torus_test_config(test);
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_device *dev;

	config.dead_timeout_ms = 0;
	dev = torus_test_add(test, &config);
	torus_test_serve(test, dev, helper);
	torus_test_helper_die(helper);
	flush_delayed_work(&dev->dead_work);
	expect_state(test, dev, TORUS_STATE_FAILED, -ETIMEDOUT);
	/* Its queues run, to fail what comes. */
	KUNIT_EXPECT_FALSE(test, dev->gate_closed);
	KUNIT_EXPECT_FALSE(test, blk_queue_quiesced(dev->disk->queue));
}

static void dead_timer_that_comes_early_does_nothing(struct kunit *test)
{
	struct torus_device *dev = recovering_device(test);

	torus_dead_work(&dev->dead_work.work);
	expect_state(test, dev, TORUS_STATE_RECOVERING, 0);
}

static void dead_timer_that_comes_late_does_nothing(struct kunit *test)
{
	struct torus_device *dev = recovering_device(test);

	torus_test_serve(test, dev, torus_test_helper(test));
	spin_lock_bh(&dev->lock);
	dev->dead_at = jiffies;
	spin_unlock_bh(&dev->lock);
	torus_dead_work(&dev->dead_work.work);
	expect_state(test, dev, TORUS_STATE_LIVE, 0);
}

static void shorter_dead_timeout_counts_at_once(struct kunit *test)
{
	struct torus_device *dev = recovering_device(test);

	torus_device_set_dead_timeout(dev, 0);
	flush_delayed_work(&dev->dead_work);
	expect_state(test, dev, TORUS_STATE_FAILED, -ETIMEDOUT);
}

static void dead_timeout_of_a_live_device_arms_nothing(struct kunit *test)
{
	struct torus_test_helper *helper;
	struct torus_device *dev = live_device(test, &helper);

	torus_device_set_dead_timeout(dev, 0);
	KUNIT_EXPECT_FALSE(test, delayed_work_pending(&dev->dead_work));
	flush_delayed_work(&dev->dead_work);
	expect_state(test, dev, TORUS_STATE_LIVE, 0);
}

static void failure_is_final(struct kunit *test)
{
	struct torus_test_helper *helper;
	struct torus_device *dev = live_device(test, &helper);

	torus_device_fail(dev, -EIO);
	expect_state(test, dev, TORUS_STATE_FAILED, -EIO);
	KUNIT_EXPECT_NULL(test, dev->session);
	KUNIT_EXPECT_NULL(test, dev->active);
	KUNIT_EXPECT_FALSE(test, blk_queue_quiesced(dev->disk->queue));
	/* The first reason is the one that is kept. */
	torus_device_fail(dev, -ENOSPC);
	expect_state(test, dev, TORUS_STATE_FAILED, -EIO);
	expect_refuses_helpers(test, dev);
}

static void device_fails_before_its_first_helper(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);

	torus_device_fail(dev, -EIO);
	expect_state(test, dev, TORUS_STATE_FAILED, -EIO);
	expect_refuses_helpers(test, dev);
}

static void forced_delete_ends_its_session(struct kunit *test)
{
	struct torus_test_helper *helper;
	struct torus_device *dev = live_device(test, &helper);
	struct netlink_ext_ack extack = {};

	KUNIT_ASSERT_EQ(test, torus_device_delete(dev, true, &extack), 0);
	KUNIT_EXPECT_EQ(test, dev->state, TORUS_STATE_DELETING);
	KUNIT_EXPECT_EQ(test, torus_device_delete(dev, true, &extack),
			-EALREADY);
	KUNIT_EXPECT_EQ(test, torus_device_delete(dev, false, &extack),
			-EALREADY);
	expect_refuses_helpers(test, dev);
	flush_work(&dev->del_work);
	KUNIT_EXPECT_NULL(test, dev->session);
	KUNIT_EXPECT_NULL(test, dev->disk);
	KUNIT_EXPECT_NULL(test, torus_device_find(dev->id));
}

static void failure_does_not_stop_a_delete(struct kunit *test)
{
	struct torus_test_helper *helper;
	struct torus_device *dev = live_device(test, &helper);

	KUNIT_ASSERT_EQ(test, torus_device_delete(dev, true, NULL), 0);
	torus_device_fail(dev, -EIO);
	KUNIT_EXPECT_EQ(test, dev->state, TORUS_STATE_DELETING);
}

static void closed_device_is_deleted(struct kunit *test)
{
	struct torus_test_helper *helper;
	struct torus_device *dev = live_device(test, &helper);

	KUNIT_ASSERT_EQ(test, torus_device_delete(dev, false, NULL), 0);
	KUNIT_EXPECT_EQ(test, torus_device_delete(dev, false, NULL), -EALREADY);
	flush_work(&dev->del_work);
	KUNIT_EXPECT_NULL(test, torus_device_find(dev->id));
	KUNIT_EXPECT_EQ(test, dev->state, TORUS_STATE_DELETING);
}

static void device_without_a_disk_is_deleted(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);

	KUNIT_ASSERT_EQ(test, torus_device_delete(dev, false, NULL), 0);
	flush_work(&dev->del_work);
	KUNIT_EXPECT_NULL(test, torus_device_find(dev->id));
}

static struct file *open_device(struct kunit *test, struct torus_device *dev)
{
	struct file *file = bdev_file_open_by_dev(disk_devt(dev->disk),
						  BLK_OPEN_READ, NULL, NULL);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	KUNIT_EXPECT_EQ(test, torus_device_openers(dev), 1);
	return file;
}

static void open_device_is_deleted_only_by_force(struct kunit *test)
{
	struct torus_test_helper *helper;
	struct torus_device *dev = live_device(test, &helper);
	struct netlink_ext_ack extack = {};
	struct file *file = open_device(test, dev);

	KUNIT_EXPECT_EQ(test, torus_device_delete(dev, false, &extack), -EBUSY);
	KUNIT_EXPECT_NOT_NULL(test, extack._msg);
	expect_state(test, dev, TORUS_STATE_LIVE, 0);
	KUNIT_EXPECT_EQ(test, torus_device_delete(dev, true, NULL), 0);
	flush_work(&dev->del_work);
	KUNIT_EXPECT_NULL(test, torus_device_find(dev->id));
	__fput_sync(file);
}

static void open_device_grows_but_does_not_shrink(struct kunit *test)
{
	struct torus_test_helper *helper;
	struct torus_device *dev = live_device(test, &helper);
	struct netlink_ext_ack extack = {};
	struct file *file;

	KUNIT_EXPECT_EQ(test, torus_device_resize(dev, SZ_1M, &extack), 0);
	file = open_device(test, dev);
	KUNIT_EXPECT_EQ(test, torus_device_resize(dev, SZ_2M, &extack), 0);
	KUNIT_EXPECT_EQ(test, torus_device_resize(dev, SZ_1M, &extack), -EBUSY);
	KUNIT_EXPECT_EQ(test, dev->size, SZ_2M);
	KUNIT_EXPECT_EQ(test, get_capacity(dev->disk), SZ_2M >> SECTOR_SHIFT);
	__fput_sync(file);
	KUNIT_EXPECT_EQ(test, torus_device_resize(dev, SZ_1M, &extack), 0);
	KUNIT_EXPECT_EQ(test, get_capacity(dev->disk), SZ_1M >> SECTOR_SHIFT);
}

static void impossible_sizes_are_refused(struct kunit *test)
{
	static const u64 sizes[] = { 0, 1, 512, 4095, 4097, SZ_1M + 512,
				     1ULL << 63, U64_MAX, U64_MAX - 4095 };
	struct torus_device *dev = torus_test_add(test, NULL);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct netlink_ext_ack extack = {};

		KUNIT_EXPECT_EQ_MSG(test, torus_device_resize(dev, sizes[i],
							      &extack),
				    -EINVAL, "%llu bytes", sizes[i]);
		KUNIT_EXPECT_NOT_NULL(test, extack._msg);
	}
	KUNIT_EXPECT_EQ(test, torus_device_resize(dev, 4096, NULL), 0);
	KUNIT_EXPECT_EQ(test, torus_device_resize(dev, LLONG_MAX - 4095, NULL),
			0);
}

static void read_only_reaches_the_disk(struct kunit *test)
{
	struct torus_test_helper *helper;
	struct torus_device *dev = live_device(test, &helper);

	KUNIT_EXPECT_FALSE(test, get_disk_ro(dev->disk));
	torus_device_set_read_only(dev, true);
	KUNIT_EXPECT_TRUE(test, get_disk_ro(dev->disk));
	KUNIT_EXPECT_TRUE(test, dev->read_only);
	torus_device_set_read_only(dev, false);
	KUNIT_EXPECT_FALSE(test, get_disk_ro(dev->disk));
}

/* Adds a device that must be refused with @error and a word why. */
static void expect_not_added(struct kunit *test,
			     struct torus_device_config config, int error)
{
	struct netlink_ext_ack extack = {};
	unsigned int before = torus_devices_generation();

	KUNIT_EXPECT_EQ_MSG(test, torus_device_add(&config, &extack), error,
			    "volume %s, block %u, largest I/O %u, size %llu",
			    config.volume, config.block_size,
			    config.io_size_max, config.size);
	KUNIT_EXPECT_NOT_NULL(test, extack._msg);
	KUNIT_EXPECT_EQ(test, torus_devices_generation(), before);
}

static void volume_and_id_are_given_once(struct kunit *test)
{
	struct torus_device_config first = torus_test_config(test);
	struct torus_device_config other = torus_test_config(test);
	struct torus_device *dev = torus_test_add(test, &first);

	KUNIT_EXPECT_EQ(test, first.id, dev->id);
	first.id = -1;
	expect_not_added(test, first, -EEXIST);
	other.id = dev->id;
	expect_not_added(test, other, -EEXIST);
	KUNIT_ASSERT_EQ(test, torus_device_delete(dev, false, NULL), 0);
	flush_work(&dev->del_work);
	/* Both are free again. */
	first.id = dev->id;
	torus_test_add(test, &first);
}

static void impossible_devices_are_refused(struct kunit *test)
{
	static const char * const names[] = { "", "a b", "a/b", "a\nb", "\x7f",
					      "\xc3\xa4" };
	static const u32 blocks[] = { 513, 1024, 2048, 4095 };
	struct torus_device_config config;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		config = torus_test_config(test);
		config.volume = names[i];
		expect_not_added(test, config, -EINVAL);
	}
	for (i = 0; i < ARRAY_SIZE(blocks); i++) {
		config = torus_test_config(test);
		config.block_size = blocks[i];
		expect_not_added(test, config, -EINVAL);
	}
	config = torus_test_config(test);
	config.io_size_max = 4096 + 512;
	expect_not_added(test, config, -EINVAL);
	config = torus_test_config(test);
	config.size = 4096 + 512;
	expect_not_added(test, config, -EINVAL);
}

static void more_queues_than_cpus_are_not_made(struct kunit *test)
{
	struct torus_device_config config = torus_test_config(test);
	struct torus_device *dev;

	config.nr_queues = TORUS_QUEUES_MAX;
	dev = torus_test_add(test, &config);
	KUNIT_EXPECT_EQ(test, config.nr_queues,
			min_t(u32, TORUS_QUEUES_MAX, nr_cpu_ids));
	KUNIT_EXPECT_EQ(test, dev->nr_queues, config.nr_queues);
}

static void devices_are_found_in_order(struct kunit *test)
{
	struct torus_device *first = torus_test_add(test, NULL);
	struct torus_device *second = torus_test_add(test, NULL);
	struct torus_device *found;

	KUNIT_ASSERT_LT(test, first->id, second->id);
	found = torus_device_next(first->id + 1);
	KUNIT_EXPECT_PTR_EQ(test, found, second);
	torus_device_put(found);
	KUNIT_EXPECT_NULL(test, torus_device_next(second->id + 1));
	KUNIT_EXPECT_NULL(test, torus_device_find(second->id + 1));
}

static void each_state_has_a_name(struct kunit *test)
{
	enum torus_state state;

	for (state = TORUS_STATE_NEW; state <= TORUS_STATE_DELETED; state++)
		KUNIT_EXPECT_NOT_NULL(test, torus_state_name(state));
}

static struct kunit_case cases[] = {
	KUNIT_CASE(new_device_waits_for_a_helper),
	KUNIT_CASE(bind_alone_changes_nothing),
	KUNIT_CASE(first_start_makes_the_disk),
	KUNIT_CASE(device_without_its_helper_recovers),
	KUNIT_CASE(next_helper_makes_it_live_again),
	KUNIT_CASE(bind_alone_leaves_it_recovering),
	KUNIT_CASE(takeover_goes_through_recovery),
	KUNIT_CASE(dead_timeout_fails_it),
	KUNIT_CASE(dead_timer_that_comes_early_does_nothing),
	KUNIT_CASE(dead_timer_that_comes_late_does_nothing),
	KUNIT_CASE(shorter_dead_timeout_counts_at_once),
	KUNIT_CASE(dead_timeout_of_a_live_device_arms_nothing),
	KUNIT_CASE(failure_is_final),
	KUNIT_CASE(device_fails_before_its_first_helper),
	KUNIT_CASE(forced_delete_ends_its_session),
	KUNIT_CASE(failure_does_not_stop_a_delete),
	KUNIT_CASE(closed_device_is_deleted),
	KUNIT_CASE(device_without_a_disk_is_deleted),
	KUNIT_CASE(open_device_is_deleted_only_by_force),
	KUNIT_CASE(open_device_grows_but_does_not_shrink),
	KUNIT_CASE(impossible_sizes_are_refused),
	KUNIT_CASE(read_only_reaches_the_disk),
	KUNIT_CASE(volume_and_id_are_given_once),
	KUNIT_CASE(impossible_devices_are_refused),
	KUNIT_CASE(more_queues_than_cpus_are_not_made),
	KUNIT_CASE(devices_are_found_in_order),
	KUNIT_CASE(each_state_has_a_name),
	{}
};

static struct kunit_suite suite = {
	.name = "torus_device",
	.test_cases = cases,
};

kunit_test_suite(suite);
