/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TORUS_LIFECYCLE_H
#define _TORUS_LIFECYCLE_H

#include <linux/workqueue.h>

struct netlink_ext_ack;
struct torus_device;

/* Adding, deleting and freeing: may wait for I/O. */
extern struct workqueue_struct *torus_control_wq;
/* Ending and activating sessions, sending again: I/O waits for these. */
extern struct workqueue_struct *torus_session_wq;

int torus_lifecycle_init(void);
void torus_lifecycle_exit(void);

/** torus_reconcile_later - have dead sessions ended and started ones activated */
void torus_reconcile_later(struct torus_device *dev);

/** torus_arm_dead_timer_locked - let the device fail after its dead timeout */
void torus_arm_dead_timer_locked(struct torus_device *dev);

/** torus_report - announce the state if it is not what was last announced */
void torus_report(struct torus_device *dev);

/**
 * torus_device_delete - begin to remove a device
 * @force: also if it is open or has no helper; its requests fail
 *
 * Return: 0 if it was begun, the result follows as an event; -EBUSY if it is
 * open, -EALREADY if a delete is under way.
 */
int torus_device_delete(struct torus_device *dev, bool force,
			struct netlink_ext_ack *extack);

/** torus_request_margin - jiffies that it is longer than the helper's own limit */
unsigned long torus_request_margin(void);

/** torus_request_timeout - the block layer's timeout for a helper's @ms */
unsigned int torus_request_timeout(u32 ms);

/* Bodies of a device's work items. */
void torus_reconcile_work(struct work_struct *work);
void torus_add_work(struct work_struct *work);
void torus_del_work(struct work_struct *work);
void torus_dead_work(struct work_struct *work);

#endif /* _TORUS_LIFECYCLE_H */
