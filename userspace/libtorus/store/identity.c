// SPDX-License-Identifier: Apache-2.0
/*
 * The file "identity": whose directory this is, in text, written once and last,
 * when everything else of a new store is durable.
 *
 *	torus-store 1
 *	cluster 5f0c...
 *	peer 8a41...
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "store/open.h"
#include "store/private.h"

#define IDENTITY_NEW "identity.new"

static void end(struct store *store, int err)
{
	struct store_open *open = store->open;

	if (open->file >= 0)
		store_detached_close(store, open->file);
	open->file = -1;
	open->step(store, err);
}

int store_identity_parse(const char *text, struct uuid *cluster,
			 struct uuid *peer)
{
	char cluster_text[64], peer_text[64];
	unsigned int version;
	int used = 0;

	if (sscanf(text, "torus-store %u\n", &version) != 1)
		return error_set(-EBADMSG, "identity: this is not a torus store's file. Choose an empty directory, or restore the file");
	if (version != 1)
		return error_set(-EPROTONOSUPPORT, "identity: format %u was written by a newer version of torusd",
				 version);
	if (sscanf(text, "torus-store 1\ncluster %63s\npeer %63s\n%n",
		   cluster_text, peer_text, &used) != 2 ||
	    text[used] != '\0' || uuid_parse(cluster_text, cluster) < 0 ||
	    uuid_parse(peer_text, peer) < 0 || uuid_is_null(cluster) ||
	    uuid_is_null(peer))
		return error_set(-EBADMSG, "identity: damaged. It must name the cluster and the peer; restore it");
	return 0;
}

static int check(struct store *store)
{
	const struct store_config *cfg = &store->cfg;
	char have[UUID_TEXT_SIZE], want[UUID_TEXT_SIZE];

	if (!uuid_is_null(&cfg->cluster) &&
	    !uuid_equal(&cfg->cluster, &store->cluster)) {
		uuid_format(&store->cluster, have);
		uuid_format(&cfg->cluster, want);
		return error_set(-EPERM, "the directory belongs to cluster %s, this one is %s. Use another directory, or the metadata store of that cluster",
				 have, want);
	}
	if (!uuid_is_null(&cfg->peer) &&
	    !uuid_equal(&cfg->peer, &store->peer)) {
		uuid_format(&store->peer, have);
		uuid_format(&cfg->peer, want);
		return error_set(-EPERM, "the directory belongs to peer %s, not to %s. Use that peer's own directory",
				 have, want);
	}
	return 0;
}

static void identity_read(struct env_file_op *op)
{
	struct store *store = op->ctx;
	struct store_open *open = store->open;
	int err;

	if (op->result < 0) {
		end(store, error_set((int)op->result, "identity: %s",
				     strerror((int)-op->result)));
		return;
	}
	open->identity[op->result] = '\0';
	err = strlen(open->identity) == (size_t)op->result ?
	      store_identity_parse(open->identity, &store->cluster,
				   &store->peer) :
	      error_set(-EBADMSG, "identity: damaged, it is not text. Restore it");
	end(store, err < 0 ? err : check(store));
}

static void identity_opened(struct env_file_op *op)
{
	struct store *store = op->ctx;
	struct store_open *open = store->open;

	if (op->result < 0) {
		end(store, error_set((int)op->result, "identity: %s",
				     strerror((int)-op->result)));
		return;
	}
	open->file = (int)op->result;
	open->iov.iov_base = open->identity;
	open->iov.iov_len = sizeof(open->identity) - 1;
	store_op_read(store, op, open->file, &open->iov, 1, 0, identity_read,
		      store);
}

void store_identity_read(struct store *store,
			 void (*done)(struct store *store, int err))
{
	store->open->step = done;
	store->open->file = -1;
	store_op_open(store, &store->open->op, "identity", 0, identity_opened,
		      store);
}

/* ---- writing ------------------------------------------------------------- */

static bool step_failed(struct env_file_op *op, const char *what)
{
	struct store *store = op->ctx;

	if (op->result >= 0)
		return false;
	end(store, error_set((int)op->result, "%s: %s", what,
			     strerror((int)-op->result)));
	return true;
}

static void dir_synced(struct env_file_op *op)
{
	if (!step_failed(op, "cannot sync the directory"))
		end(op->ctx, 0);
}

static void renamed(struct env_file_op *op)
{
	if (!step_failed(op, "identity"))
		store_op_path(op->ctx, op, FILE_SYNC_DIR, "", dir_synced,
			      op->ctx);
}

static void new_synced(struct env_file_op *op)
{
	if (!step_failed(op, IDENTITY_NEW))
		store_op_rename(op->ctx, op, IDENTITY_NEW, "identity", renamed,
				op->ctx);
}

static void new_written(struct env_file_op *op)
{
	struct store *store = op->ctx;

	if (op->result >= 0 && (uint64_t)op->result < op->length)
		op->result = -ENOSPC;
	if (!step_failed(op, IDENTITY_NEW))
		store_op_sync(store, op, store->open->file, new_synced, store);
}

static void new_opened(struct env_file_op *op)
{
	struct store *store = op->ctx;
	struct store_open *open = store->open;
	char cluster[UUID_TEXT_SIZE], peer[UUID_TEXT_SIZE];

	if (step_failed(op, IDENTITY_NEW))
		return;
	open->file = (int)op->result;
	uuid_format(&store->cluster, cluster);
	uuid_format(&store->peer, peer);
	snprintf(open->identity, sizeof(open->identity),
		 "torus-store 1\ncluster %s\npeer %s\n", cluster, peer);
	store_op_write(store, op, open->file, &open->iov, open->identity,
		       strlen(open->identity), 0, new_written, store);
}

static void leftover_gone(struct env_file_op *op)
{
	if (op->result == -ENOENT)
		op->result = 0;
	if (!step_failed(op, IDENTITY_NEW))
		store_op_open(op->ctx, op, IDENTITY_NEW,
			      FILE_CREATE | FILE_EXCLUSIVE, new_opened,
			      op->ctx);
}

void store_identity_write(struct store *store,
			  void (*done)(struct store *store, int err))
{
	store->open->step = done;
	store->open->file = -1;
	store_op_path(store, &store->open->op, FILE_UNLINK, IDENTITY_NEW,
		      leftover_gone, store);
}
