/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TORUS_TESTS_FIXTURE_H
#define _TORUS_TESTS_FIXTURE_H

#include <kunit/test.h>

#include "device.h"
#include "session.h"

struct file;
struct socket;

/* What the devices and arenas of these tests have. */
#define TORUS_TEST_QUEUES 2
#define TORUS_TEST_DEPTH 4
#define TORUS_TEST_ARENA SZ_64K

/**
 * struct torus_test_helper - one end of a helper: a netlink socket
 * @form: of the channel that it asks for; that of messages unless set
 * @socket: NULL once it is closed
 * @sender: who the driver takes it for
 */
struct torus_test_helper {
	enum torus_channel form;
	struct socket *socket;
	struct torus_session_sender sender;
};

/** torus_test_config - a device with a volume name of its own */
struct torus_device_config torus_test_config(struct kunit *test);

/**
 * torus_test_add - add a device; it goes by force with the test
 * @config: NULL for that of torus_test_config()
 *
 * It is empty, so that nobody reads its partition table: its disk can be made
 * without a helper that answers.
 */
struct torus_device *torus_test_add(struct kunit *test,
				    struct torus_device_config *config);

/** torus_test_settle - wait until the device has done what it has begun */
void torus_test_settle(struct torus_device *dev);

/** torus_test_helper - a socket, with room for all queues */
struct torus_test_helper *torus_test_helper(struct kunit *test);

/** torus_test_helper_die - close its socket, as the end of its process does */
void torus_test_helper_die(struct torus_test_helper *helper);

/** torus_test_memfd - a memfd as an arena must be; goes with the test */
struct file *torus_test_memfd(struct kunit *test, size_t size);

/**
 * torus_test_bind - bind a device with an arena
 * @memfd: becomes a descriptor for that time
 *
 * Return: what torus_session_bind() returns.
 */
int torus_test_bind(struct kunit *test, struct torus_device *dev,
		    struct torus_test_helper *helper, struct file *memfd,
		    bool takeover, u64 *id);

/** torus_test_bind_new - the same with a new arena; must succeed; the id */
u64 torus_test_bind_new(struct kunit *test, struct torus_device *dev,
			struct torus_test_helper *helper);

/** torus_test_bind_queues - bind all queues to one socket; must succeed */
void torus_test_bind_queues(struct kunit *test, struct torus_device *dev,
			    struct torus_test_helper *helper, u64 id);

/** torus_test_log - what a helper says that has recovered record @sequence */
struct torus_session_log torus_test_log(struct torus_device *dev, u64 sequence,
					u32 header_crc);

/**
 * torus_test_serve - bind, bind all queues, start, settle; all must succeed
 *
 * With what the driver remembers as the newest record.
 *
 * Return: the session's id.
 */
u64 torus_test_serve(struct kunit *test, struct torus_device *dev,
		     struct torus_test_helper *helper);

#endif /* _TORUS_TESTS_FIXTURE_H */
