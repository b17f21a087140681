// SPDX-License-Identifier: Apache-2.0
/* torusctl peer list|add|remove */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ctl.h"
#include "peer/ring_change.h"
#include "ringedit.h"
#include "table.h"

#define STAT_TIMEOUT_NS (3 * NSEC_PER_SEC)

static const struct column peer_columns[] = {
	{ "ADDRESS", COLUMN_TEXT },	{ "UUID", COLUMN_TEXT },
	{ "SIZE", COLUMN_SIZE },	{ "USED", COLUMN_SIZE },
	{ "STATE", COLUMN_TEXT },	{ "ZONE", COLUMN_TEXT },
	{ "RACK", COLUMN_TEXT },	{ "HOST", COLUMN_TEXT },
};

/* As upstream's MEMBER column: where a peer stands, in one word. */
static const char *peer_word(const struct ctl_peer *p)
{
	if (p->member)
		return p->alive ? "ok" : "down";
	return p->alive ? "available" : "gone";
}

int cmd_peer_list(struct ctl *ctl, int argc, char **argv)
{
	struct ctl_peer *peers;
	char id[UUID_TEXT_SIZE];
	struct table *t;
	size_t count;
	int err = ctl_peers(ctl, &peers, &count);

	(void)argc;
	(void)argv;
	if (err)
		return ctl_fail(err);
	t = table_new("peers", ctl->json, peer_columns,
		      ARRAY_SIZE(peer_columns));
	for (size_t i = 0; i < count; i++) {
		const struct peer_doc *doc = &peers[i].doc;

		uuid_format(&doc->id, id);
		table_row(t);
		table_text(t, doc->address);
		table_text(t, id);
		table_number(t, doc->size);
		table_number(t, doc->used);
		table_text(t, peer_word(&peers[i]));
		table_text(t, doc->zone);
		table_text(t, doc->rack);
		table_text(t, doc->host);
	}
	table_print(t);
	free(peers);
	return CTL_OK;
}

/* ---- add ------------------------------------------------------------------- */

static int add_peer(struct ring_spec *spec, const struct ctl_peer *p)
{
	if (!p->alive)
		return error_set(-EHOSTDOWN, "peer %s is down; start its torusd first",
				 p->doc.address);
	return ring_change_add(spec, &p->doc);
}

static int edit_add(struct ctl *ctl, struct ring_spec *spec, void *ctx)
{
	struct ringedit_args *args = ctx;
	struct ctl_peer *peers;
	bool added = false;
	size_t count;
	int err = ctl_peers(ctl, &peers, &count);

	if (err)
		return err;
	for (size_t i = 0; args->all && !err && i < count; i++) {
		if (!peers[i].alive || peers[i].member)
			continue;
		err = add_peer(spec, &peers[i]);
		added = true;
	}
	if (args->all && !added)
		fprintf(stderr, "torusctl: no peer is alive that is not in the ring: nothing was changed\n");
	for (int i = 0; !args->all && !err && i < args->argc; i++) {
		const struct ctl_peer *p = ringedit_find(peers, count,
							 args->argv[i]);

		err = p ? add_peer(spec, p) : -ENOENT;
	}
	free(peers);
	return err;
}

int cmd_peer_add(struct ctl *ctl, int argc, char **argv)
{
	struct ringedit_args args = { argc, argv,
				      ctl_given(ctl, OPT_ALL_PEERS) };
	int err;

	if (args.all ? argc > 0 : argc == 0)
		return ctl_usage(ctl, "name peers, or give --all-peers");
	err = ringedit_change(ctl, edit_add, &args);
	return err ? ctl_fail(err) : CTL_OK;
}

/* ---- remove ------------------------------------------------------------------ */

struct removal {
	struct ringedit_args args;
	struct uuid *lost;		/* that do not answer; room for all */
	int lost_count;
};

/*
 * Chunks do not move by themselves yet: a peer that holds some must stay, and
 * of a peer that does not answer nobody can tell. *@lost: it does not, and is
 * to go all the same.
 */
static int refuse_if_it_holds_chunks(struct ctl *ctl, struct cluster *cluster,
				     const struct ctl_peer *p, bool *lost)
{
	struct peer *peer = peer_find(cluster_peers(cluster), &p->doc.id);
	struct peer_call call = { .type = WIRE_STAT };
	struct wire_stat_reply reply;
	uint64_t chunks;
	int err;

	if (!peer)
		return error_set(-ENOENT, "peer %s is not known", p->doc.address);
	err = ctl_peer_call(ctl, peer, &call, STAT_TIMEOUT_NS, &reply);
	*lost = err && ctl_given(ctl, OPT_FORCE);
	if (*lost)
		return 0;
	if (err)
		return error_set(err, "peer %s does not answer, so that it cannot be told whether it holds chunks; start it, or remove it with --force if it is lost for good",
				 p->doc.address);
	chunks = le64_to_cpu(reply.chunks);
	if (chunks)
		return error_set(-EBUSY, "peer %s holds %llu chunks and must stay: chunks do not move to other peers yet",
				 p->doc.address, (unsigned long long)chunks);
	return 0;
}

static int remove_one(struct ctl *ctl, struct cluster *cluster,
		      struct ring_spec *spec, const struct ctl_peer *p,
		      struct removal *r)
{
	bool lost = false;
	int err = refuse_if_it_holds_chunks(ctl, cluster, p, &lost);

	if (err)
		return err;
	if (lost)
		r->lost[r->lost_count++] = p->doc.id;
	/* One that is out of the ring already can still be forgotten. */
	if (lost && !ring_change_has(spec, &p->doc.id))
		return 0;
	return ring_change_remove(spec, &p->doc.id);
}

static int remove_peers(struct ctl *ctl, struct cluster *cluster,
			struct ring_spec *spec, struct removal *r)
{
	struct ctl_peer *peers;
	size_t count;
	int err = ctl_peers(ctl, &peers, &count);

	if (err)
		return err;
	r->lost_count = 0;
	for (int i = 0; !err && i < r->args.argc; i++) {
		const struct ctl_peer *p = ringedit_find(peers, count,
							 r->args.argv[i]);

		err = p ? remove_one(ctl, cluster, spec, p, r) : -ENOENT;
	}
	free(peers);
	return err;
}

static int edit_remove(struct ctl *ctl, struct ring_spec *spec, void *ctx)
{
	struct cluster *cluster = ctl_cluster_open(ctl);
	int err;

	if (!cluster)
		return -EIO;
	err = remove_peers(ctl, cluster, spec, ctx);
	cluster_close(cluster);
	return err;
}

/*
 * As long as a peer is known, recovery after a loss of data, and a read of
 * which all copies are bad, wait for it: it might have what the others lack.
 */
static int forget(struct ctl *ctl, const struct uuid *id)
{
	char peer[META_KEY_MAX], alive[META_KEY_MAX], text[UUID_TEXT_SIZE];
	struct meta_txn txn = {
		.compare = { { alive, 0 } }, .compare_count = 1,
		.put = { { peer, NULL, 0 } }, .put_count = 1,
	};
	int err;

	key_peer(&ctl->cluster.id, id, peer);
	key_alive(&ctl->cluster.id, id, alive);
	uuid_format(id, text);
	err = ctl_txn(ctl, &txn);
	if (err == -EAGAIN)
		return error_set(err, "peer %s is out of the ring, but its lease still stands, so that it may live: repeat this after 30 s to have it forgotten",
				 text);
	if (!err)
		fprintf(stderr, "Peer %s is forgotten: nothing waits for what it holds. When it comes back, it makes itself known again.\n",
			text);
	return err;
}

int cmd_peer_remove(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP_FREE struct uuid *lost = calloc((size_t)argc, sizeof(*lost));
	struct removal r = { { argc, argv, false }, lost, 0 };
	int err;

	if (!lost)
		return ctl_fail(error_set(-ENOMEM, "out of memory"));
	err = ringedit_change(ctl, edit_remove, &r);
	for (int i = 0; !err && i < r.lost_count; i++)
		err = forget(ctl, &r.lost[i]);
	return err ? ctl_fail(err) : CTL_OK;
}
