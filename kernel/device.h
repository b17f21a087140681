/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TORUS_DEVICE_H
#define _TORUS_DEVICE_H

#include <linux/blk-mq.h>
#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/torus.h>

struct netlink_ext_ack;
struct torus_queue;
struct torus_session;

/**
 * struct torus_device_config - what a device is made with
 * @id: wanted id, or -1 for any
 * @volume: NUL-terminated name
 * @size: bytes
 * @block_size: logical block, bytes
 * @nr_queues: hardware queues
 * @depth: requests in flight per queue
 * @io_size_max: bytes of the largest read or write
 * @io_timeout_ms: the helper's limit for one request
 * @dead_timeout_ms: how long requests wait for a helper
 * @read_only: whether writes are refused
 * @incarnation: random id of the device's life
 */
struct torus_device_config {
	int id;
	const char *volume;
	u64 size;
	u32 block_size;
	u32 nr_queues;
	u32 depth;
	u32 io_size_max;
	u32 io_timeout_ms;
	u32 dead_timeout_ms;
	bool read_only;
	u8 incarnation[TORUS_INCARNATION_LEN];
};

/**
 * struct torus_device - one /dev/torusN, from add until its last user is gone
 * @ref: holders are the table of devices, each session, the disk, each user
 * @id: N
 * @volume: name of the volume
 * @incarnation: random id of the device's life
 * @block_size: logical block, bytes
 * @nr_queues: length of @queues
 * @depth: slots per queue
 * @io_size_max: bytes of the largest read or write
 * @queues: the hardware queues
 * @tag_set: valid if it has tags
 *
 * @lock: protects the fields after it. Lock order: torus_sockets_lock, @lock;
 *	@set_lock, @gate_lock, @lock; @report_lock, @lock. The locks of queues and
 *	arenas are leaves.
 * @state: where it is in its life; queue_rq reads it without the lock
 * @reported: the state that was last announced
 * @error: negative errno that explains @state, or 0
 * @size: bytes
 * @read_only: whether writes are refused; queue_rq reads it without the lock
 * @io_timeout_ms: the helper's limit for one request
 * @dead_timeout_ms: how long requests wait for a helper
 * @dead_at: jiffies at which a recovering device fails
 * @sequence: highest log sequence that was acknowledged, 0 for none
 * @header_crc: CRC32C of that record's header
 * @arena_ino: inode number of the newest session's arena
 * @session: the bound session that is not dead, or NULL
 * @dead_sessions: sessions that are to be revoked
 * @ending: the one that is just being revoked, or NULL
 * @disk: from its allocation to its deletion; changed under @gate_lock too
 * @disk_added: the disk is visible
 * @add_begun: the disk was asked for, once, or is not to be any more
 * @del_begun: a delete is under way
 * @force: that delete is forced
 * @closing: the disk refuses to be opened
 * @closed: woken when somebody closes the disk
 *
 * @gate_lock: serialises stopping and running the queues; protects the rest.
 *	Held while queues are quiesced, never while I/O is awaited.
 * @active: the session whose queues run, or NULL
 * @gate_closed: the queues are quiesced by us, once
 *
 * @set_lock: serialises changes of size and read-only until the disk has them
 * @report_lock: serialises announcements
 *
 * @reconcile_work: ends dead sessions and activates started ones
 * @add_work: makes the disk
 * @del_work: removes the device
 * @free_work: frees it, in a context that may sleep
 * @dead_work: fails the device when no helper came
 * @debugfs: its folder there
 * @rcu: lookups go by RCU
 */
struct torus_device {
	struct kref ref;
	u32 id;
	char volume[TORUS_VOLUME_NAME_MAX + 1];
	u8 incarnation[TORUS_INCARNATION_LEN];
	u32 block_size;
	u32 nr_queues;
	u32 depth;
	u32 io_size_max;
	struct torus_queue *queues;
	struct blk_mq_tag_set tag_set;

	spinlock_t lock; /* protects state to closing */
	enum torus_state state;
	enum torus_state reported;
	int error;
	u64 size;
	bool read_only;
	u32 io_timeout_ms;
	u32 dead_timeout_ms;
	unsigned long dead_at;
	u64 sequence;
	u32 header_crc;
	unsigned long arena_ino;
	struct torus_session *session;
	struct list_head dead_sessions;
	struct torus_session *ending;
	struct gendisk *disk;
	bool disk_added;
	bool add_begun;
	bool del_begun;
	bool force;
	bool closing;
	wait_queue_head_t closed;

	struct mutex gate_lock; /* protects active, gate_closed */
	struct torus_session *active;
	bool gate_closed;

	struct mutex set_lock; /* from a change until the disk has it */
	struct mutex report_lock; /* from reading a state until it is told */

	struct work_struct reconcile_work;
	struct work_struct add_work;
	struct work_struct del_work;
	struct work_struct free_work;
	struct delayed_work dead_work;
	struct dentry *debugfs;
	struct rcu_head rcu;
};

/** torus_devices_generation - grows when a device comes or goes */
unsigned int torus_devices_generation(void);

/**
 * torus_device_add - make a device without a disk
 *
 * Return: 0 with the id in @config->id and the number of queues in
 * @config->nr_queues; -EEXIST if id or volume are taken, -EINVAL, -ENOMEM,
 * -ENOSPC if there are too many, -ENODEV if the module is leaving.
 */
int torus_device_add(struct torus_device_config *config,
		     struct netlink_ext_ack *extack);

/** torus_device_find - get a reference by id; NULL if there is none */
struct torus_device *torus_device_find(u32 id);

/**
 * torus_device_next - get a reference to the first device from @id on
 *
 * Return: NULL if there is none.
 */
struct torus_device *torus_device_next(unsigned long id);

/** torus_device_get - take another reference */
void torus_device_get(struct torus_device *dev);

/** torus_device_put - drop a reference; any context that may take locks */
void torus_device_put(struct torus_device *dev);

/** torus_device_unlist - take it out of the table; its id is free again */
void torus_device_unlist(struct torus_device *dev);

/** torus_device_doomed - whether every request is to end in an error */
static inline bool torus_device_doomed(const struct torus_device *dev)
{
	enum torus_state state = READ_ONCE(dev->state);

	return state == TORUS_STATE_FAILED || state == TORUS_STATE_DELETING;
}

/** torus_device_set_state_locked - enter a state; the announcement follows */
void torus_device_set_state_locked(struct torus_device *dev,
				   enum torus_state state, int error);

/** torus_device_fail - fail it for good, with a negative errno as the reason */
void torus_device_fail(struct torus_device *dev, int error);

/** torus_device_fail_locked - the same, with the device's lock held */
void torus_device_fail_locked(struct torus_device *dev, int error);

/**
 * torus_device_resize - change the size
 * @size: bytes
 *
 * Return: 0; -EINVAL for a size that cannot be; -EBUSY if it would shrink
 * while it is open or just being opened.
 */
int torus_device_resize(struct torus_device *dev, u64 size,
			struct netlink_ext_ack *extack);

/** torus_device_set_read_only - change whether writes are refused */
void torus_device_set_read_only(struct torus_device *dev, bool read_only);

/** torus_device_set_io_timeout - change the helper's limit for one request */
void torus_device_set_io_timeout(struct torus_device *dev, u32 ms);

/** torus_device_set_dead_timeout - change how long requests wait for a helper */
void torus_device_set_dead_timeout(struct torus_device *dev, u32 ms);

/** torus_device_openers - how often the disk is open */
unsigned int torus_device_openers(struct torus_device *dev);

/** torus_device_get_disk - the disk with a reference, or NULL */
struct gendisk *torus_device_get_disk(struct torus_device *dev);

/** torus_state_name - what it is called in sysfs and in the log */
const char *torus_state_name(enum torus_state state);

#endif /* _TORUS_DEVICE_H */
