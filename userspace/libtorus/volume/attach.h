/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The border between attach and the running engine (design section 6).
 *
 * attach.c begins with an open cluster view, and ends with a volume that is
 * claimed (our epoch and attachment are committed), fenced, whose log prefix
 * lies on min_replicas peers, durable, sealed in the metadata store with a
 * fresh tail declared, and replayed.
 *
 * It leaves in struct volume, before attach_done(v, 0):
 *
 *   doc             as committed, mod_revision included: epoch and attachment
 *                   ours; sealed[] says where every chunk of the old tail ends;
 *                   tail and next_chunk as tail_declare() made them
 *   epoch           doc.epoch; volume_open_reader() was called as soon as the
 *                   claim was committed
 *   min_replicas    cfg's, or a majority of doc.replication
 *   pages           opened with pages_open() from the root (or empty), every
 *                   record after it applied with pages_apply()
 *   end.last        sequence and header CRC of the last record of the prefix
 *                   (0, 0 for an empty log)
 *   end.chunk/block tail.first, 0: where the engine appends next
 *   durable         end.last.sequence
 *   log_since_root  bytes of log replayed
 *   remembered      the record found at the sequence of cfg.remembered
 *
 * The log of a volume without a root begins at chunk 1, block 0, sequence 1,
 * prev_crc 0; doc.next_chunk of a new volume is 1. Sealed entries give the
 * order of chunks: after a chunk in the sealed list comes its `next`, after
 * any other complete one comes number + 1.
 *
 * The engine writes the first root soon after (checkpoint_start()).
 */
#ifndef TORUS_VOLUME_ATTACH_H
#define TORUS_VOLUME_ATTACH_H

#include <stdint.h>

struct attach;
struct volume;

/**
 * attach_start() - begin; v->attach is set. attach_done() follows, never from
 * inside, unless attach_free() comes first.
 * Returns 0 or -ENOMEM.
 */
int attach_start(struct volume *v);

/**
 * attach_fenced() - @peer (an address, or "a peer") has seen @epoch, which is
 * above ours, while v->attach is under way: that ends it, as soon as the
 * metadata store has said whether somebody took over or went back in time.
 */
void attach_fenced(struct volume *v, uint64_t epoch, const char *peer);

/** attach_free() - drop everything at once; v->attach is NULL after. */
void attach_free(struct volume *v);

/**
 * attach_done() - volume.c's: attaching ended. Error text must be set by the
 * caller for err != 0. Frees the attach object in the next turn, not inside.
 */
void attach_done(struct volume *v, int err);

#endif
