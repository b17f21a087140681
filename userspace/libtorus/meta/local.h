/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata store in a SQLite file, shared by the processes of one machine.
 * Same semantics as etcd: revisions, transactions, watches, leases.
 */
#ifndef TORUS_META_LOCAL_H
#define TORUS_META_LOCAL_H

#include "env/env.h"
#include "meta/meta.h"

/**
 * meta_local_open() - open the file at @path; with @create one that does not
 * exist is made (its directory must exist). 0 or -errno with error text.
 */
int meta_local_open(struct env *env, const char *path, bool create,
		    struct meta **meta);

/**
 * meta_local_set_history() - how many revisions of changes this process keeps
 * for watches when it prunes (tests; default 10000).
 */
void meta_local_set_history(struct meta *meta, int64_t revisions);

#endif
