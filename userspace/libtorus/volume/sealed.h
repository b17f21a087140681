/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sealed list of a volume's document: where chunks end that were given up
 * before they were full, and where the log goes on behind them. Attaching, the
 * tail and checkpoints change it, each in a copy that a transaction commits.
 */
#ifndef TORUS_VOLUME_SEALED_H
#define TORUS_VOLUME_SEALED_H

#include <stdint.h>

#include "meta/schema.h"

/** sealed_find() - the entry of @chunk, or NULL. Points into @doc. */
struct sealed_chunk *sealed_find(struct volume_doc *doc, uint64_t chunk);

/** sealed_leading_to() - the entry behind which the log goes on at @chunk, or
 * NULL. Points into @doc. */
struct sealed_chunk *sealed_leading_to(struct volume_doc *doc, uint64_t chunk);

/** sealed_put() - add an entry, or replace the one that the chunk has.
 * 0, or -ENOBUFS: the list is full. */
int sealed_put(struct volume_doc *doc, const struct sealed_chunk *entry);

/** sealed_keep() - drop what is not in [@first, @end). */
void sealed_keep(struct volume_doc *doc, uint64_t first, uint64_t end);

#endif
