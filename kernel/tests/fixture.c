// SPDX-License-Identifier: GPL-2.0
/*
 * Devices and helpers inside the kernel. The devices are as real as any; a
 * helper is a netlink socket that the kernel opens for itself, and an arena a
 * file as memfd_create() makes one. What the driver would hear from such a
 * helper by message, the tests call.
 */
#include <linux/fcntl.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/netlink.h>
#include <linux/shmem_fs.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "fixture.h"
#include "genl.h"
#include "lifecycle.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE)

#define VOLUME_SIZE 24

static atomic_t volumes = ATOMIC_INIT(0);

struct torus_device_config torus_test_config(struct kunit *test)
{
	char *volume = kunit_kzalloc(test, VOLUME_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, volume);
	snprintf(volume, VOLUME_SIZE, "kunit-%d", atomic_inc_return(&volumes));
	return (struct torus_device_config) {
		.id = -1,
		.volume = volume,
		.size = SZ_1M,
		.block_size = 4096,
		.nr_queues = TORUS_TEST_QUEUES,
		.depth = TORUS_TEST_DEPTH,
		.io_size_max = 4096,
		.io_timeout_ms = 60000,
		.dead_timeout_ms = 60000,
		.incarnation = "an incarnation!",
	};
}

void torus_test_settle(struct torus_device *dev)
{
	flush_work(&dev->reconcile_work);
	flush_work(&dev->add_work);
	/* A disk that failed to come has asked for it again. */
	flush_work(&dev->reconcile_work);
}

static void remove_device(void *data)
{
	struct torus_device *dev = data;

	torus_device_delete(dev, true, NULL);
	flush_work(&dev->del_work);
	torus_device_put(dev);
	/* Nothing of it is left for the next test. */
	flush_workqueue(torus_control_wq);
}

struct torus_device *torus_test_add(struct kunit *test,
				    struct torus_device_config *config)
{
	struct torus_device_config common = torus_test_config(test);
	struct netlink_ext_ack extack = {};
	struct torus_device *dev;

	if (!config)
		config = &common;
	KUNIT_ASSERT_EQ_MSG(test, torus_device_add(config, &extack), 0, "%s",
			    extack._msg);
	dev = torus_device_find(config->id);
	KUNIT_ASSERT_NOT_NULL(test, dev);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, remove_device,
							   dev));
	spin_lock_bh(&dev->lock);
	dev->size = 0;
	spin_unlock_bh(&dev->lock);
	return dev;
}

void torus_test_helper_die(struct torus_test_helper *helper)
{
	if (helper->socket)
		sock_release(helper->socket);
	helper->socket = NULL;
}

static void end_helper(void *data)
{
	torus_test_helper_die(data);
}

static u32 port_of(struct kunit *test, struct socket *socket)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };

	KUNIT_ASSERT_EQ(test, 0, kernel_bind(socket,
					     (struct sockaddr *)&address,
					     sizeof(address)));
	KUNIT_ASSERT_GE(test, kernel_getsockname(socket,
						 (struct sockaddr *)&address),
			0);
	return address.nl_pid;
}

struct torus_test_helper *torus_test_helper(struct kunit *test)
{
	struct torus_test_helper *helper;

	helper = kunit_kzalloc(test, sizeof(*helper), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, helper);
	KUNIT_ASSERT_EQ(test, 0, sock_create_kern(&init_net, AF_NETLINK,
						  SOCK_RAW, NETLINK_GENERIC,
						  &helper->socket));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, end_helper,
							   helper));
	helper->form = TORUS_CHANNEL_MESSAGES;
	helper->sender.portid = port_of(test, helper->socket);
	helper->sender.sk = helper->socket->sk;
	WRITE_ONCE(helper->sender.sk->sk_rcvbuf, SZ_16M);
	return helper;
}

static void put_file(void *file)
{
	fput(file);
}

struct file *torus_test_memfd(struct kunit *test, size_t size)
{
	struct file *file = shmem_file_setup("torus-kunit", size, VM_NORESERVE);
	struct page *page;
	unsigned long i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, put_file,
							   file));
	for (i = 0; i < size >> PAGE_SHIFT; i++) {
		page = shmem_read_mapping_page(file->f_mapping, i);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
		put_page(page);
	}
	SHMEM_I(file_inode(file))->seals = SEALS;
	return file;
}

int torus_test_bind(struct kunit *test, struct torus_device *dev,
		    struct torus_test_helper *helper, struct file *memfd,
		    bool takeover, u64 *id)
{
	struct torus_session_claim claim = {
		.form = helper->form,
		.arena_fd = get_unused_fd_flags(O_CLOEXEC),
		.takeover = takeover,
	};
	struct netlink_ext_ack extack = {};
	int ret;

	KUNIT_ASSERT_GE(test, claim.arena_fd, 0);
	fd_install(claim.arena_fd, get_file(memfd));
	ret = torus_session_bind(dev, &helper->sender, &claim, id, &extack);
	close_fd(claim.arena_fd);
	/* Nobody is refused without a word. */
	if (ret)
		KUNIT_EXPECT_NOT_NULL(test, extack._msg);
	return ret;
}

u64 torus_test_bind_new(struct kunit *test, struct torus_device *dev,
			struct torus_test_helper *helper)
{
	u64 id = 0;

	KUNIT_ASSERT_EQ(test, 0,
			torus_test_bind(test, dev, helper,
					torus_test_memfd(test,
							 TORUS_TEST_ARENA),
					false, &id));
	return id;
}

void torus_test_bind_queues(struct kunit *test, struct torus_device *dev,
			    struct torus_test_helper *helper, u64 id)
{
	struct netlink_ext_ack extack = {};
	u64 all = GENMASK_ULL(dev->nr_queues - 1, 0);

	KUNIT_ASSERT_EQ_MSG(test, 0,
			    torus_session_bind_queues(dev, id, &helper->sender,
						      all, &extack),
			    "%s", extack._msg);
}

struct torus_session_log torus_test_log(struct torus_device *dev, u64 sequence,
					u32 header_crc)
{
	struct torus_session_log log = {
		.sequence = sequence,
		.header_crc = header_crc,
		.check_crc = dev->header_crc,
		.has_check_crc = true,
	};

	memcpy(log.incarnation, dev->incarnation, sizeof(log.incarnation));
	return log;
}

u64 torus_test_serve(struct kunit *test, struct torus_device *dev,
		     struct torus_test_helper *helper)
{
	struct torus_session_log log = torus_test_log(dev, dev->sequence,
						      dev->header_crc);
	struct netlink_ext_ack extack = {};
	u64 id = torus_test_bind_new(test, dev, helper);

	torus_test_bind_queues(test, dev, helper, id);
	KUNIT_ASSERT_EQ_MSG(test, 0,
			    torus_session_start(dev, id, &helper->sender, &log,
						&extack),
			    "%s", extack._msg);
	torus_test_settle(dev);
	return id;
}
