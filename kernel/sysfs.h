/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TORUS_SYSFS_H
#define _TORUS_SYSFS_H

struct attribute_group;

/* Groups of a torus disk, for device_add_disk(). */
extern const struct attribute_group *torus_disk_groups[];

#endif /* _TORUS_SYSFS_H */
