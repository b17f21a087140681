/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions as both backends need them: checked, and in memory of ours. */
#ifndef TORUS_META_TXN_COPY_H
#define TORUS_META_TXN_COPY_H

#include "meta/meta.h"

/**
 * txn_check() - 0, or -EINVAL with error text: too many parts, or one key put
 * twice (which etcd refuses).
 */
int txn_check(const struct meta_txn *txn);

/** txn_copy() - with all its strings in one piece for free(); NULL: no memory. */
struct meta_txn *txn_copy(const struct meta_txn *txn);

#endif
