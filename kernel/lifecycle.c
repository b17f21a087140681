// SPDX-License-Identifier: GPL-2.0
/*
 * What happens to a device over time, all of it in work items, because genl
 * holds a lock over every handler, and what waits there stops all of netlink's
 * generic families.
 *
 *  reconcile  Brings the queues in line with the sessions: ends those that are
 *             dead, activates the one that has started, and opens or closes the
 *             gate. Never waits for I/O, so I/O may wait for it.
 *  add        Makes the disk, once, after the first start. add_disk() reads the
 *             partition table through the helper.
 *  delete     Removes the disk. Plain: like the end of any disk, the helper
 *             serves to the last. Forced: every request fails first, so nothing
 *             that waits for the device waits for ever.
 *  dead       Fails a device that nobody took over in time.
 *
 * The gate: queues are quiesced when a device has no active session but may get
 * one, and run in every other state; when the device is doomed they run to fail
 * what comes. One flag under one mutex remembers whether we quiesced, so that
 * it stays balanced whatever the order of events.
 */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/netlink.h>

#include "compat/disk.h"
#include "debugfs.h"
#include "device.h"
#include "fault.h"
#include "lifecycle.h"
#include "message.h"
#include "queue.h"
#include "session.h"
#include "sysfs.h"
#include "trace.h"

#define DISCARD_SIZE_MAX SZ_1G
#define TIMEOUT_MARGIN_MS 10000
/* How long a plain delete waits for those who only look, like udev. */
#define CLOSE_WAIT_MS 1000

struct workqueue_struct *torus_control_wq;
struct workqueue_struct *torus_session_wq;

void torus_reconcile_later(struct torus_device *dev)
{
	queue_work(torus_session_wq, &dev->reconcile_work);
}

void torus_arm_dead_timer_locked(struct torus_device *dev)
{
	unsigned long delay = msecs_to_jiffies(dev->dead_timeout_ms);

	lockdep_assert_held(&dev->lock);
	dev->dead_at = jiffies + delay;
	mod_delayed_work(torus_session_wq, &dev->dead_work, delay);
}

unsigned long torus_request_margin(void)
{
	return msecs_to_jiffies(TIMEOUT_MARGIN_MS);
}

unsigned int torus_request_timeout(u32 ms)
{
	return msecs_to_jiffies(ms + TIMEOUT_MARGIN_MS);
}

static void announce(struct torus_device *dev, enum torus_state state,
		     int error)
{
	if (error)
		pr_info("torus%u: %s (%pe), volume %s\n", dev->id,
			torus_state_name(state), ERR_PTR(error), dev->volume);
	else
		pr_info("torus%u: %s, volume %s\n", dev->id,
			torus_state_name(state), dev->volume);
	torus_message_event(dev, state, error);
}

/* One at a time, or two announcements could overtake each other. */
void torus_report(struct torus_device *dev)
{
	enum torus_state state;
	bool changed;
	int error;

	mutex_lock(&dev->report_lock);
	spin_lock_bh(&dev->lock);
	state = dev->state;
	error = dev->error;
	changed = state != dev->reported;
	dev->reported = state;
	spin_unlock_bh(&dev->lock);
	if (changed)
		announce(dev, state, error);
	mutex_unlock(&dev->report_lock);
}

/* Quiesces or runs the queues, as the state of the device wants it. */
static void set_gate(struct torus_device *dev)
{
	bool closed = !dev->active && !torus_device_doomed(dev);

	lockdep_assert_held(&dev->gate_lock);
	if (!dev->disk || closed == dev->gate_closed)
		return;
	dev->gate_closed = closed;
	if (closed) {
		blk_mq_quiesce_queue(dev->disk->queue);
	} else {
		blk_mq_unquiesce_queue(dev->disk->queue);
		blk_mq_kick_requeue_list(dev->disk->queue);
	}
}

/*
 * Ends a dead session. After the queues are quiesced and the last user is gone,
 * nothing but this touches its slots and its arena.
 */
static void revoke(struct torus_device *dev, struct torus_session *session)
{
	mutex_lock(&dev->gate_lock);
	if (dev->active == session) {
		if (dev->disk && !dev->gate_closed) {
			blk_mq_quiesce_queue(dev->disk->queue);
			dev->gate_closed = true;
		}
		torus_queues_detach(dev);
		dev->active = NULL;
		torus_point_of(TORUS_POINT_IN_REVOKE, dev);
		torus_session_drain(session);
		torus_queues_sweep(dev, session);
		set_gate(dev);
	} else {
		torus_session_drain(session);
	}
	mutex_unlock(&dev->gate_lock);
	spin_lock_bh(&dev->lock);
	dev->ending = NULL;
	spin_unlock_bh(&dev->lock);
	torus_session_free(session);
}

static struct torus_session *pop_dead(struct torus_device *dev)
{
	struct torus_session *session;

	spin_lock_bh(&dev->lock);
	session = list_first_entry_or_null(&dev->dead_sessions,
					   struct torus_session, node);
	if (session)
		list_del(&session->node);
	dev->ending = session;
	spin_unlock_bh(&dev->lock);
	return session;
}

/* Makes a started session the active one, unless it died or the device did. */
static void activate(struct torus_device *dev)
{
	struct torus_session *session;

	mutex_lock(&dev->gate_lock);
	spin_lock_bh(&dev->lock);
	session = dev->session;
	if (session && session->started && !session->active && !dev->active) {
		session->active = true;
		session->active_at = jiffies;
		dev->active = session;
		trace_torus_session_active(dev->id, session->id, session->pid,
					   0);
		torus_queues_attach(dev, session);
		torus_device_set_state_locked(dev, dev->disk_added ?
					      TORUS_STATE_LIVE :
					      TORUS_STATE_STARTING, 0);
		/* Under the lock, so that a delete sees it begun and queued. */
		if (!dev->add_begun)
			queue_work(torus_control_wq, &dev->add_work);
		dev->add_begun = true;
	}
	spin_unlock_bh(&dev->lock);
	set_gate(dev);
	mutex_unlock(&dev->gate_lock);
}

void torus_reconcile_work(struct work_struct *work)
{
	struct torus_device *dev =
		container_of(work, struct torus_device, reconcile_work);
	struct torus_session *session;

	torus_report(dev);
	while ((session = pop_dead(dev)))
		revoke(dev, session);
	torus_point_of(TORUS_POINT_BEFORE_ACTIVATE, dev);
	activate(dev);
	torus_report(dev);
}

void torus_dead_work(struct work_struct *work)
{
	struct torus_device *dev =
		container_of(work, struct torus_device, dead_work.work);

	spin_lock_bh(&dev->lock);
	if (dev->state == TORUS_STATE_RECOVERING &&
	    time_after_eq(jiffies, dev->dead_at))
		torus_device_fail_locked(dev, -ETIMEDOUT);
	spin_unlock_bh(&dev->lock);
}

static int alloc_tag_set(struct torus_device *dev)
{
	struct blk_mq_tag_set *set = &dev->tag_set;

	set->ops = &torus_mq_ops;
	set->nr_hw_queues = dev->nr_queues;
	set->queue_depth = dev->depth;
	set->numa_node = NUMA_NO_NODE;
	set->cmd_size = sizeof(struct torus_rq);
	/*
	 * Stacking: CPU hotplug does not wait for our requests, which may wait
	 * for a helper on the CPU that is leaving.
	 */
	set->flags = BLK_MQ_F_SHOULD_MERGE | BLK_MQ_F_STACKING |
		     BLK_MQ_F_NO_SCHED_BY_DEFAULT;
	set->driver_data = dev;
	if (torus_fault(TORUS_FAULT_FAIL_ALLOC))
		return -ENOMEM;
	return blk_mq_alloc_tag_set(set);
}

static int torus_open(TORUS_OPEN_PARAMS)
{
	struct gendisk *disk = TORUS_OPENED_DISK;
	struct torus_device *dev = disk->private_data;

	lockdep_assert_held(&disk->open_mutex);
	return READ_ONCE(dev->closing) ? -ENXIO : 0;
}

static void torus_release(TORUS_RELEASE_PARAMS)
{
	struct torus_device *dev = disk->private_data;

	wake_up(&dev->closed);
}

static void torus_free_disk(struct gendisk *disk)
{
	torus_device_put(disk->private_data);
}

static const struct block_device_operations torus_fops = {
	.owner = THIS_MODULE,
	.open = torus_open,
	.release = torus_release,
	.free_disk = torus_free_disk,
};

static struct gendisk *alloc_disk(struct torus_device *dev)
{
	struct torus_limits limits = {
		.logical_block_size = dev->block_size,
		.physical_block_size = TORUS_ARENA_UNIT,
		.io_size_max = dev->io_size_max,
		.discard_size_max = DISCARD_SIZE_MAX,
	};
	struct gendisk *disk;
	int ret;

	ret = alloc_tag_set(dev);
	if (ret)
		return ERR_PTR(ret);
	if (torus_fault(TORUS_FAULT_FAIL_ALLOC))
		return ERR_PTR(-ENOMEM);
	disk = torus_compat_alloc_disk(&dev->tag_set, &limits, dev);
	if (IS_ERR(disk))
		return disk;
	disk->fops = &torus_fops;
	disk->private_data = dev;
	snprintf(disk->disk_name, DISK_NAME_LEN, "torus%u", dev->id);
	torus_device_get(dev);
	return disk;
}

static void publish_disk(struct torus_device *dev, struct gendisk *disk)
{
	mutex_lock(&dev->gate_lock);
	spin_lock_bh(&dev->lock);
	dev->disk = disk;
	blk_queue_rq_timeout(disk->queue,
			     torus_request_timeout(dev->io_timeout_ms));
	spin_unlock_bh(&dev->lock);
	set_gate(dev);
	mutex_unlock(&dev->gate_lock);
	/* Not together: who sets something must not wait for a revocation. */
	mutex_lock(&dev->set_lock);
	set_capacity(disk, dev->size >> SECTOR_SHIFT);
	set_disk_ro(disk, dev->read_only);
	mutex_unlock(&dev->set_lock);
}

void torus_add_work(struct work_struct *work)
{
	struct torus_device *dev =
		container_of(work, struct torus_device, add_work);
	struct gendisk *disk;
	int ret;

	if (torus_device_doomed(dev))
		return;
	torus_debugfs_add(dev);
	disk = alloc_disk(dev);
	if (IS_ERR(disk)) {
		torus_device_fail(dev, PTR_ERR(disk));
		return;
	}
	publish_disk(dev, disk);
	torus_point_of(TORUS_POINT_BEFORE_ADD_DISK, dev);
	ret = -ENOMEM;
	if (!torus_fault(TORUS_FAULT_FAIL_ALLOC))
		ret = device_add_disk(NULL, disk, torus_disk_groups);
	if (ret) {
		torus_device_fail(dev, ret);
		return;
	}
	spin_lock_bh(&dev->lock);
	WRITE_ONCE(dev->disk_added, true);
	if (dev->state == TORUS_STATE_STARTING)
		torus_device_set_state_locked(dev, TORUS_STATE_LIVE, 0);
	spin_unlock_bh(&dev->lock);
	torus_report(dev);
}

/* With the disk's lock held nobody can open it while we look. */
static bool close_to_openers(struct torus_device *dev)
{
	struct gendisk *disk = dev->disk;
	bool open;

	if (!dev->disk_added)
		return true;
	wait_event_timeout(dev->closed, !disk_openers(disk),
			   msecs_to_jiffies(CLOSE_WAIT_MS));
	mutex_lock(&disk->open_mutex);
	open = disk_openers(disk);
	if (!open)
		WRITE_ONCE(dev->closing, true);
	mutex_unlock(&disk->open_mutex);
	return !open;
}

static bool is_forced(struct torus_device *dev)
{
	bool force;

	spin_lock_bh(&dev->lock);
	force = dev->force;
	spin_unlock_bh(&dev->lock);
	return force;
}

/* Whether a plain delete has to be given up; a forced one may have come since. */
static bool give_up(struct torus_device *dev)
{
	bool force;

	if (close_to_openers(dev))
		return false;
	spin_lock_bh(&dev->lock);
	force = dev->force;
	dev->del_begun = force;
	spin_unlock_bh(&dev->lock);
	if (!force)
		torus_message_event(dev, READ_ONCE(dev->state), -EBUSY);
	return !force;
}

static void remove_disk(struct torus_device *dev)
{
	struct gendisk *disk = dev->disk;

	if (!dev->disk_added)
		return;
	if (is_forced(dev))
		blk_mark_disk_dead(disk);
	del_gendisk(disk);
}

/* Nobody can bind any more, and no session is left. */
static void end_sessions(struct torus_device *dev)
{
	spin_lock_bh(&dev->lock);
	torus_device_set_state_locked(dev, TORUS_STATE_DELETING, 0);
	if (dev->session)
		torus_session_kill_locked(dev->session, 0);
	spin_unlock_bh(&dev->lock);
	torus_reconcile_later(dev);
	flush_work(&dev->reconcile_work);
	cancel_delayed_work_sync(&dev->dead_work);
}

/*
 * Takes the disk out of our hands. From here on nothing of ours touches its
 * queue, which exists no more once the disk is deleted.
 */
static struct gendisk *detach_disk(struct torus_device *dev)
{
	struct gendisk *disk;

	mutex_lock(&dev->gate_lock);
	spin_lock_bh(&dev->lock);
	disk = dev->disk;
	dev->disk = NULL;
	spin_unlock_bh(&dev->lock);
	dev->gate_closed = false;
	mutex_unlock(&dev->gate_lock);
	return disk;
}

/* An added disk drops its reference to the device in free_disk(). */
static void put_detached(struct torus_device *dev, struct gendisk *disk)
{
	if (!disk)
		return;
	/* We may have kicked it after the block layer's own cancelling. */
	cancel_delayed_work_sync(&disk->queue->requeue_work);
	put_disk(disk);
	if (!dev->disk_added)
		torus_device_put(dev);
}

/* Has the disk made to the end, or never. */
static void end_add(struct torus_device *dev)
{
	spin_lock_bh(&dev->lock);
	dev->add_begun = true;
	spin_unlock_bh(&dev->lock);
	flush_work(&dev->add_work);
}

void torus_del_work(struct work_struct *work)
{
	struct torus_device *dev =
		container_of(work, struct torus_device, del_work);
	struct gendisk *disk;

	if (is_forced(dev))
		flush_work(&dev->reconcile_work);
	end_add(dev);
	if (!is_forced(dev) && give_up(dev))
		return;
	torus_point_of(TORUS_POINT_BEFORE_DELETE, dev);
	remove_disk(dev);
	torus_point_of(TORUS_POINT_AFTER_DELETE, dev);
	disk = detach_disk(dev);
	end_sessions(dev);
	put_detached(dev, disk);
	torus_device_unlist(dev);
	pr_info("torus%u: deleted, volume %s\n", dev->id, dev->volume);
	torus_message_event(dev, TORUS_STATE_DELETED, 0);
	torus_device_put(dev);
}

static int begin_force_locked(struct torus_device *dev)
{
	lockdep_assert_held(&dev->lock);
	if (dev->force)
		return -EALREADY;
	dev->force = true;
	torus_device_set_state_locked(dev, TORUS_STATE_DELETING, 0);
	if (dev->session)
		torus_session_kill_locked(dev->session, 0);
	torus_reconcile_later(dev);
	return 0;
}

int torus_device_delete(struct torus_device *dev, bool force,
			struct netlink_ext_ack *extack)
{
	int ret = 0;

	/* Until the disk is added, it is we who have it open, for its partitions. */
	if (!force && READ_ONCE(dev->disk_added) && torus_device_openers(dev)) {
		NL_SET_ERR_MSG(extack, "device is open: close it, or delete with force");
		return -EBUSY;
	}
	spin_lock_bh(&dev->lock);
	if (force)
		ret = begin_force_locked(dev);
	else if (dev->del_begun)
		ret = -EALREADY;
	if (!ret && !dev->del_begun) {
		dev->del_begun = true;
		queue_work(torus_control_wq, &dev->del_work);
	}
	spin_unlock_bh(&dev->lock);
	return ret;
}

int torus_lifecycle_init(void)
{
	torus_control_wq = alloc_workqueue("torus_control", WQ_UNBOUND, 0);
	if (!torus_control_wq)
		return -ENOMEM;
	torus_session_wq = alloc_workqueue("torus_session", WQ_UNBOUND |
					   WQ_HIGHPRI | WQ_MEM_RECLAIM, 0);
	if (!torus_session_wq) {
		destroy_workqueue(torus_control_wq);
		return -ENOMEM;
	}
	return 0;
}

void torus_lifecycle_exit(void)
{
	destroy_workqueue(torus_session_wq);
	destroy_workqueue(torus_control_wq);
}
