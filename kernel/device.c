// SPDX-License-Identifier: GPL-2.0
/*
 * The object behind /dev/torusN and the table of all of them.
 *
 * A device is in the table from add to the end of delete, and holds the module
 * for as long as it exists. Freeing is done by a work item on a queue of ours,
 * whose destruction at module exit waits for it: so the module cannot go while
 * its code still runs here.
 *
 * Lookups go by RCU and take a reference unless the last one is gone.
 */
#include <linux/ctype.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "debugfs.h"
#include "device.h"
#include "fault.h"
#include "lifecycle.h"
#include "queue.h"
#include "session.h"
#include "trace.h"

static DEFINE_XARRAY_ALLOC(devices);
/*
 * Serialises additions, so that two devices cannot get the same volume, and
 * removals: what is in the table stays while an addition looks at it, and the
 * first word about a device comes before the last.
 */
static DEFINE_MUTEX(add_lock);
static atomic_t generation = ATOMIC_INIT(0);

unsigned int torus_devices_generation(void)
{
	return atomic_read(&generation);
}

static int check_size(u64 size, u32 block_size, struct netlink_ext_ack *extack)
{
	if (!size || (size & (block_size - 1)) || size > LLONG_MAX) {
		NL_SET_ERR_MSG(extack, "size must be a positive multiple of the logical block");
		return -EINVAL;
	}
	return 0;
}

static bool is_volume_name(const char *name)
{
	if (!*name)
		return false;
	for (; *name; name++)
		if (!isascii(*name) || !isgraph(*name) || *name == '/')
			return false;
	return true;
}

static int check_config(const struct torus_device_config *config,
			struct netlink_ext_ack *extack)
{
	if (!is_volume_name(config->volume)) {
		NL_SET_ERR_MSG(extack, "volume name must be printable, without spaces or slashes");
		return -EINVAL;
	}
	if (config->block_size != TORUS_BLOCK_SIZE_MIN &&
	    config->block_size != TORUS_BLOCK_SIZE_LIMIT) {
		NL_SET_ERR_MSG(extack, "block-size must be 512 or 4096");
		return -EINVAL;
	}
	if (config->io_size_max % TORUS_ARENA_UNIT ||
	    config->io_size_max < PAGE_SIZE) {
		NL_SET_ERR_MSG(extack, "io-size-max must be a multiple of 4096, at least a page");
		return -EINVAL;
	}
	return check_size(config->size, config->block_size, extack);
}

static void init_works(struct torus_device *dev)
{
	INIT_WORK(&dev->reconcile_work, torus_reconcile_work);
	INIT_WORK(&dev->add_work, torus_add_work);
	INIT_WORK(&dev->del_work, torus_del_work);
	INIT_DELAYED_WORK(&dev->dead_work, torus_dead_work);
}

static struct torus_device *create(struct torus_device_config *config)
{
	struct torus_device *dev = torus_fault(TORUS_FAULT_FAIL_ALLOC) ? NULL :
				   kzalloc(sizeof(*dev), GFP_KERNEL);

	if (!dev)
		return NULL;
	kref_init(&dev->ref);
	spin_lock_init(&dev->lock);
	mutex_init(&dev->gate_lock);
	mutex_init(&dev->set_lock);
	mutex_init(&dev->report_lock);
	init_waitqueue_head(&dev->closed);
	INIT_LIST_HEAD(&dev->dead_sessions);
	init_works(dev);
	strscpy(dev->volume, config->volume, sizeof(dev->volume));
	memcpy(dev->incarnation, config->incarnation, sizeof(dev->incarnation));
	/* blk-mq makes no more than this either. */
	config->nr_queues = min_t(u32, config->nr_queues, nr_cpu_ids);
	dev->block_size = config->block_size;
	dev->nr_queues = config->nr_queues;
	dev->depth = config->depth;
	dev->io_size_max = config->io_size_max;
	dev->state = TORUS_STATE_NEW;
	dev->size = config->size;
	dev->read_only = config->read_only;
	dev->io_timeout_ms = config->io_timeout_ms;
	dev->dead_timeout_ms = config->dead_timeout_ms;
	dev->queues = torus_queues_alloc(dev);
	if (!dev->queues) {
		kfree(dev);
		return NULL;
	}
	return dev;
}

static bool volume_taken(const char *volume)
{
	struct torus_device *dev;
	unsigned long id;

	lockdep_assert_held(&add_lock);
	xa_for_each(&devices, id, dev)
		if (!strcmp(dev->volume, volume))
			return true;
	return false;
}

static int enlist(struct torus_device *dev, int wanted,
		  struct netlink_ext_ack *extack)
{
	int ret;

	lockdep_assert_held(&add_lock);
	if (volume_taken(dev->volume)) {
		NL_SET_ERR_MSG(extack, "this machine has a device for that volume already");
		return -EEXIST;
	}
	if (torus_fault(TORUS_FAULT_FAIL_ALLOC))
		return -ENOMEM;
	if (wanted < 0) {
		ret = xa_alloc(&devices, &dev->id, dev,
			       XA_LIMIT(0, TORUS_DEVICES_MAX - 1), GFP_KERNEL);
		if (ret == -EBUSY)
			ret = -ENOSPC;
	} else {
		dev->id = wanted;
		ret = xa_insert(&devices, wanted, dev, GFP_KERNEL);
		if (ret == -EBUSY) {
			NL_SET_ERR_MSG(extack, "the id is taken");
			ret = -EEXIST;
		}
	}
	return ret;
}

int torus_device_add(struct torus_device_config *config,
		     struct netlink_ext_ack *extack)
{
	struct torus_device *dev;
	int ret;

	ret = check_config(config, extack);
	if (ret)
		return ret;
	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	dev = create(config);
	if (!dev) {
		module_put(THIS_MODULE);
		return -ENOMEM;
	}
	/* Once it is listed, others may find and delete it. */
	torus_device_get(dev);
	mutex_lock(&add_lock);
	ret = enlist(dev, config->id, extack);
	if (!ret) {
		config->id = dev->id;
		atomic_inc(&generation);
		torus_report(dev);
	}
	mutex_unlock(&add_lock);
	if (ret)
		torus_device_put(dev);
	torus_device_put(dev);
	return ret;
}

struct torus_device *torus_device_find(u32 id)
{
	struct torus_device *dev;

	rcu_read_lock();
	dev = xa_load(&devices, id);
	if (dev && !kref_get_unless_zero(&dev->ref))
		dev = NULL;
	rcu_read_unlock();
	return dev;
}

struct torus_device *torus_device_next(unsigned long id)
{
	struct torus_device *dev;

	rcu_read_lock();
	dev = xa_find(&devices, &id, ULONG_MAX, XA_PRESENT);
	while (dev && !kref_get_unless_zero(&dev->ref))
		dev = xa_find_after(&devices, &id, ULONG_MAX, XA_PRESENT);
	rcu_read_unlock();
	return dev;
}

void torus_device_get(struct torus_device *dev)
{
	kref_get(&dev->ref);
}

static void free_work(struct work_struct *work)
{
	struct torus_device *dev =
		container_of(work, struct torus_device, free_work);

	/* Late callers may have queued it after its last use. */
	cancel_work_sync(&dev->reconcile_work);
	if (dev->tag_set.tags)
		blk_mq_free_tag_set(&dev->tag_set);
	torus_queues_free(dev->queues, dev->nr_queues);
	kfree_rcu(dev, rcu);
	module_put(THIS_MODULE);
}

static void release(struct kref *ref)
{
	struct torus_device *dev = container_of(ref, struct torus_device, ref);

	INIT_WORK(&dev->free_work, free_work);
	queue_work(torus_control_wq, &dev->free_work);
}

void torus_device_put(struct torus_device *dev)
{
	kref_put(&dev->ref, release);
}

void torus_device_unlist(struct torus_device *dev)
{
	torus_debugfs_del(dev);
	mutex_lock(&add_lock);
	xa_erase(&devices, dev->id);
	atomic_inc(&generation);
	mutex_unlock(&add_lock);
}

void torus_device_set_state_locked(struct torus_device *dev,
				   enum torus_state state, int error)
{
	lockdep_assert_held(&dev->lock);
	trace_torus_state(dev->id, dev->state, state, error);
	WRITE_ONCE(dev->state, state);
	dev->error = error;
}

void torus_device_fail_locked(struct torus_device *dev, int error)
{
	lockdep_assert_held(&dev->lock);
	if (torus_device_doomed(dev))
		return;
	torus_device_set_state_locked(dev, TORUS_STATE_FAILED, error);
	if (dev->session)
		torus_session_kill_locked(dev->session, error);
	torus_reconcile_later(dev);
}

void torus_device_fail(struct torus_device *dev, int error)
{
	spin_lock_bh(&dev->lock);
	torus_device_fail_locked(dev, error);
	spin_unlock_bh(&dev->lock);
}

struct gendisk *torus_device_get_disk(struct torus_device *dev)
{
	struct gendisk *disk;

	spin_lock_bh(&dev->lock);
	disk = dev->disk;
	if (disk)
		get_device(disk_to_dev(disk));
	spin_unlock_bh(&dev->lock);
	return disk;
}

unsigned int torus_device_openers(struct torus_device *dev)
{
	struct gendisk *disk = torus_device_get_disk(dev);
	unsigned int openers;

	if (!disk)
		return 0;
	openers = disk_openers(disk);
	put_disk(disk);
	return openers;
}

static void change_size(struct torus_device *dev, struct gendisk *disk,
			u64 size)
{
	lockdep_assert_held(&dev->set_lock);
	spin_lock_bh(&dev->lock);
	dev->size = size;
	spin_unlock_bh(&dev->lock);
	if (disk)
		set_capacity_and_notify(disk, size >> SECTOR_SHIFT);
}

/*
 * With the disk's lock held nobody can open it meanwhile. It is held by others
 * while they read partitions, so nobody waits for it here.
 */
static int shrink_closed(struct torus_device *dev, struct gendisk *disk,
			 u64 size, struct netlink_ext_ack *extack)
{
	int ret = 0;

	if (!mutex_trylock(&disk->open_mutex)) {
		NL_SET_ERR_MSG(extack, "device is being opened or closed: it cannot shrink now");
		return -EBUSY;
	}
	if (disk_openers(disk)) {
		NL_SET_ERR_MSG(extack, "device is open: it can grow, but not shrink");
		ret = -EBUSY;
	} else {
		change_size(dev, disk, size);
	}
	mutex_unlock(&disk->open_mutex);
	return ret;
}

int torus_device_resize(struct torus_device *dev, u64 size,
			struct netlink_ext_ack *extack)
{
	struct gendisk *disk;
	int ret;

	ret = check_size(size, dev->block_size, extack);
	if (ret)
		return ret;
	mutex_lock(&dev->set_lock);
	disk = torus_device_get_disk(dev);
	if (disk && size < dev->size)
		ret = shrink_closed(dev, disk, size, extack);
	else
		change_size(dev, disk, size);
	if (disk)
		put_disk(disk);
	mutex_unlock(&dev->set_lock);
	return ret;
}

void torus_device_set_read_only(struct torus_device *dev, bool read_only)
{
	struct gendisk *disk;

	mutex_lock(&dev->set_lock);
	spin_lock_bh(&dev->lock);
	WRITE_ONCE(dev->read_only, read_only);
	spin_unlock_bh(&dev->lock);
	disk = torus_device_get_disk(dev);
	if (disk) {
		set_disk_ro(disk, read_only);
		put_disk(disk);
	}
	mutex_unlock(&dev->set_lock);
}

void torus_device_set_io_timeout(struct torus_device *dev, u32 ms)
{
	spin_lock_bh(&dev->lock);
	dev->io_timeout_ms = ms;
	if (dev->disk)
		blk_queue_rq_timeout(dev->disk->queue,
				     torus_request_timeout(ms));
	spin_unlock_bh(&dev->lock);
}

void torus_device_set_dead_timeout(struct torus_device *dev, u32 ms)
{
	spin_lock_bh(&dev->lock);
	dev->dead_timeout_ms = ms;
	if (dev->state == TORUS_STATE_RECOVERING)
		torus_arm_dead_timer_locked(dev);
	spin_unlock_bh(&dev->lock);
}

const char *torus_state_name(enum torus_state state)
{
	static const char * const names[] = {
		[TORUS_STATE_NEW] = "new",
		[TORUS_STATE_STARTING] = "starting",
		[TORUS_STATE_LIVE] = "live",
		[TORUS_STATE_RECOVERING] = "recovering",
		[TORUS_STATE_FAILED] = "failed",
		[TORUS_STATE_DELETING] = "deleting",
		[TORUS_STATE_DELETED] = "deleted",
	};

	return names[state];
}
