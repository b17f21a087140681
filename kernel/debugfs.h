/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TORUS_DEBUGFS_H
#define _TORUS_DEBUGFS_H

struct torus_device;

void torus_debugfs_init(void);
void torus_debugfs_exit(void);

/** torus_debugfs_add - make the folder of a device; not from a handler */
void torus_debugfs_add(struct torus_device *dev);

/** torus_debugfs_del - remove it; waits for readers, who never wait for I/O */
void torus_debugfs_del(struct torus_device *dev);

#endif /* _TORUS_DEBUGFS_H */
