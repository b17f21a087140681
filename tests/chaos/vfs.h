/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TORUS_CHAOS_VFS_H
#define TORUS_CHAOS_VFS_H

#include "target.h"

/* The name of the database, and of the VFS that has it. */
#define VFS_NAME "volume"
#define VFS_DATABASE "bank"

/*
 * vfs_register() - let SQLite keep one database and its journal on @target,
 * which the caller opens and closes, never while a database is open. One
 * database, one thread. 0 or an error code of SQLite.
 */
int vfs_register(struct target *target);

/* vfs_error() - the first error of the target since it was asked, or 0. */
int vfs_error(void);

#endif
