// SPDX-License-Identifier: GPL-2.0
/*
 * The record that a device remembers: a log that does not contain it, or is of
 * another incarnation, must not serve the device (invariant 5 of the design).
 */
#include <kunit/test.h>
#include <linux/netlink.h>

#include "device.h"
#include "fixture.h"
#include "genl.h"
#include "session.h"

#define SEQUENCE 1000
#define CRC 0x12345678

static int start(struct torus_device *dev, u64 id,
		 struct torus_test_helper *helper,
		 const struct torus_session_log *log)
{
	struct netlink_ext_ack extack = {};

	return torus_session_start(dev, id, &helper->sender, log, &extack);
}

/* A device that has seen record SEQUENCE acknowledged, and a session of it. */
static struct torus_device *with_memory(struct kunit *test,
					struct torus_test_helper *helper,
					u64 *id)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *first = torus_test_helper(test);
	struct torus_session_log log = torus_test_log(dev, SEQUENCE, CRC);

	*id = torus_test_bind_new(test, dev, first);
	torus_test_bind_queues(test, dev, first, *id);
	KUNIT_ASSERT_EQ(test, start(dev, *id, first, &log), 0);
	torus_test_settle(dev);
	torus_test_helper_die(first);
	torus_test_settle(dev);
	KUNIT_ASSERT_EQ(test, dev->state, TORUS_STATE_RECOVERING);
	KUNIT_ASSERT_EQ(test, dev->sequence, SEQUENCE);
	KUNIT_ASSERT_EQ(test, dev->header_crc, CRC);
	*id = torus_test_bind_new(test, dev, helper);
	torus_test_bind_queues(test, dev, helper, *id);
	return dev;
}

static void expect_failed(struct kunit *test, struct torus_device *dev)
{
	torus_test_settle(dev);
	KUNIT_EXPECT_EQ(test, dev->state, TORUS_STATE_FAILED);
	KUNIT_EXPECT_EQ(test, dev->error, -ESTALE);
	KUNIT_EXPECT_NULL(test, dev->session);
	KUNIT_EXPECT_NULL(test, dev->active);
	KUNIT_EXPECT_EQ(test, dev->sequence, SEQUENCE);
	KUNIT_EXPECT_EQ(test, dev->header_crc, CRC);
}

static void same_record_is_enough(struct kunit *test)
{
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_session_log log;
	struct torus_device *dev;
	u64 id;

	dev = with_memory(test, helper, &id);
	log = torus_test_log(dev, SEQUENCE, CRC);
	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), 0);
	torus_test_settle(dev);
	KUNIT_EXPECT_EQ(test, dev->state, TORUS_STATE_LIVE);
	KUNIT_EXPECT_EQ(test, dev->sequence, SEQUENCE);
	KUNIT_EXPECT_EQ(test, dev->header_crc, CRC);
}

static void later_record_is_remembered(struct kunit *test)
{
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_session_log log;
	struct torus_device *dev;
	u64 id;

	dev = with_memory(test, helper, &id);
	log = torus_test_log(dev, SEQUENCE + 7, CRC + 1);
	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), 0);
	torus_test_settle(dev);
	KUNIT_EXPECT_EQ(test, dev->state, TORUS_STATE_LIVE);
	KUNIT_EXPECT_EQ(test, dev->sequence, SEQUENCE + 7);
	KUNIT_EXPECT_EQ(test, dev->header_crc, CRC + 1);
}

static void earlier_record_fails_the_device(struct kunit *test)
{
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_session_log log;
	struct torus_device *dev;
	u64 id;

	dev = with_memory(test, helper, &id);
	log = torus_test_log(dev, SEQUENCE - 1, CRC);
	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), -ESTALE);
	expect_failed(test, dev);
}

static void empty_log_fails_the_device(struct kunit *test)
{
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_session_log log;
	struct torus_device *dev;
	u64 id;

	dev = with_memory(test, helper, &id);
	log = torus_test_log(dev, 0, 0);
	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), -ESTALE);
	expect_failed(test, dev);
}

static void other_record_at_its_place_fails_the_device(struct kunit *test)
{
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_session_log log;
	struct torus_device *dev;
	u64 id;

	dev = with_memory(test, helper, &id);
	log = torus_test_log(dev, SEQUENCE + 7, CRC + 1);
	log.check_crc = CRC ^ 1;
	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), -ESTALE);
	expect_failed(test, dev);
}

static void other_incarnation_fails_the_device(struct kunit *test)
{
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_session_log log;
	struct torus_device *dev;
	u64 id;

	dev = with_memory(test, helper, &id);
	log = torus_test_log(dev, SEQUENCE, CRC);
	log.incarnation[TORUS_INCARNATION_LEN - 1] ^= 1;
	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), -ESTALE);
	expect_failed(test, dev);
}

static void other_incarnation_fails_a_new_device(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_session_log log = torus_test_log(dev, SEQUENCE, CRC);
	u64 id = torus_test_bind_new(test, dev, helper);

	torus_test_bind_queues(test, dev, helper, id);
	log.incarnation[0] ^= 0x80;
	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), -ESTALE);
	torus_test_settle(dev);
	KUNIT_EXPECT_EQ(test, dev->state, TORUS_STATE_FAILED);
	KUNIT_EXPECT_NULL(test, dev->disk);
	KUNIT_EXPECT_EQ(test, dev->sequence, 0);
}

static void missing_check_is_a_wrong_message_only(struct kunit *test)
{
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_session_log log;
	struct torus_device *dev;
	u64 id;

	dev = with_memory(test, helper, &id);
	log = torus_test_log(dev, SEQUENCE, CRC);
	log.has_check_crc = false;
	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), -EINVAL);
	torus_test_settle(dev);
	KUNIT_EXPECT_EQ(test, dev->state, TORUS_STATE_RECOVERING);
	log.has_check_crc = true;
	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), 0);
}

static void device_without_memory_needs_no_check(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_session_log log = torus_test_log(dev, SEQUENCE, CRC);
	u64 id = torus_test_bind_new(test, dev, helper);

	torus_test_bind_queues(test, dev, helper, id);
	log.has_check_crc = false;
	log.check_crc = CRC ^ 1;
	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), 0);
	torus_test_settle(dev);
	KUNIT_EXPECT_EQ(test, dev->state, TORUS_STATE_LIVE);
	KUNIT_EXPECT_EQ(test, dev->sequence, SEQUENCE);
}

static void refused_start_remembers_nothing(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_session_log log = torus_test_log(dev, SEQUENCE, CRC);
	u64 id = torus_test_bind_new(test, dev, helper);

	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), -EINVAL);
	KUNIT_EXPECT_EQ(test, dev->sequence, 0);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(same_record_is_enough),
	KUNIT_CASE(later_record_is_remembered),
	KUNIT_CASE(earlier_record_fails_the_device),
	KUNIT_CASE(empty_log_fails_the_device),
	KUNIT_CASE(other_record_at_its_place_fails_the_device),
	KUNIT_CASE(other_incarnation_fails_the_device),
	KUNIT_CASE(other_incarnation_fails_a_new_device),
	KUNIT_CASE(missing_check_is_a_wrong_message_only),
	KUNIT_CASE(device_without_memory_needs_no_check),
	KUNIT_CASE(refused_start_remembers_nothing),
	{}
};

static struct kunit_suite suite = {
	.name = "torus_session_log",
	.test_cases = cases,
};

kunit_test_suite(suite);
