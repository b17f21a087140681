// SPDX-License-Identifier: Apache-2.0
/*
 * torusctl recover: the metadata store is lost, or was set back, and the peers
 * tell what was in it (recover/recover.h). First everything is shown; nothing
 * is changed before a person has agreed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/size.h"
#include "ctl.h"
#include "env/env_uring.h"
#include "recover/recover.h"
#include "table.h"

static int wait_for(void *ctx, const bool *done)
{
	return ctl_wait(ctx, done);
}

static void wake(void *ctx)
{
	struct ctl *ctl = ctx;

	env_uring_stop(ctl->env);
}

/* ---- the peers --------------------------------------------------------------- */

typedef int (*word_fn)(struct recover *r, const char *word);

static int each_word(char *list, word_fn fn, struct recover *r)
{
	char *save = NULL;
	int err = 0;

	for (char *word = strtok_r(list, ",", &save); word && !err;
	     word = strtok_r(NULL, ",", &save))
		err = fn(r, word);
	return err;
}

static int split(const char *list, word_fn fn, struct recover *r)
{
	CLEANUP_FREE char *copy = strdup(list);

	return copy ? each_word(copy, fn, r) :
		      error_set(-ENOMEM, "out of memory");
}

/* One that does not answer is said; what it means depends on the others. */
static int add_peer(struct recover *r, const char *address)
{
	int err;

	if (!strrchr(address, ':'))
		return error_set(-EINVAL, "'%s' is no address of a peer: give HOST:PORT, as its --listen says",
				 address);
	err = recover_add_peer(r, address);
	if (!err || err == -EPERM || err == -EINVAL || err == -ENOMEM)
		return err;
	fprintf(stderr, "torusctl: warning: %s\n", error_text(err));
	return 0;
}

static int add_peers(struct ctl *ctl, struct recover *r, int argc, char **argv)
{
	int err = 0;

	if (ctl_given(ctl, OPT_FROM_PEERS))
		err = split(ctl->option[OPT_FROM_PEERS], add_peer, r);
	for (int i = 0; i < argc && !err; i++)
		err = split(argv[i], add_peer, r);
	if (!err && ctl_given(ctl, OPT_CHOOSE))
		err = split(ctl->option[OPT_CHOOSE], recover_choose, r);
	if (!err && !recover_peers(r))
		err = error_set(-EHOSTUNREACH, "none of the peers answers: start their torusd first; they need no metadata store for that");
	return err;
}

/* ---- showing ------------------------------------------------------------------- */

static const struct column columns[] = {
	{ "VOLUME", COLUMN_TEXT },	{ "ID", COLUMN_TEXT },
	{ "SIZE", COLUMN_SIZE },	{ "EPOCH", COLUMN_NUMBER },
	{ "ROOT", COLUMN_TEXT },	{ "RECORDS", COLUMN_TEXT },
	{ "CHUNKS", COLUMN_TEXT },	{ "LOG", COLUMN_SIZE },
	{ "COPIES", COLUMN_NUMBER },	{ "STATE", COLUMN_TEXT },
};

static const char *state_word(const struct recover_volume *v)
{
	if (v->state == RECOVER_DELETED)
		return v->action == RECOVER_BURY ? "deleted, to be marked so" :
						   "deleted";
	if (v->action == RECOVER_KEEP)
		return "stays as it is";
	if (v->state == RECOVER_NOTHING)
		return "never written, lost";
	if (v->state == RECOVER_REFUSED)
		return "needs a decision";
	return v->action == RECOVER_WRITE ? "to be rebuilt" : "can be rebuilt";
}

static void show_volume(struct table *t, const struct recover_volume *v)
{
	const struct volume_doc *doc = &v->doc;
	bool good = v->state == RECOVER_GOOD;
	char text[64] = "";

	table_row(t);
	table_text(t, doc->name);
	snprintf(text, sizeof(text), "%016" PRIx64, v->id);
	table_text(t, text);
	table_number(t, doc->size);
	table_number(t, v->epoch);
	*text = '\0';
	if (doc->root.addr)
		snprintf(text, sizeof(text), "%" PRIu64 ":%u",
			 block_addr_chunk(doc->root.addr),
			 block_addr_block(doc->root.addr));
	table_text(t, text);
	*text = '\0';
	if (good)
		snprintf(text, sizeof(text), "%" PRIu64 "-%" PRIu64,
			 doc->root.sequence, v->end_sequence);
	table_text(t, text);
	*text = '\0';
	if (good)
		snprintf(text, sizeof(text), "%" PRIu64 "-%" PRIu64,
			 v->chunk_first, v->chunk_last);
	table_text(t, text);
	table_number(t, v->log_blocks * BLOCK_SIZE);
	table_number(t, good ? v->copies_min : 0);
	table_text(t, state_word(v));
}

static const char *name_of(const struct recover_volume *v)
{
	static char id[20];

	if (v->doc.name[0])
		return v->doc.name;
	snprintf(id, sizeof(id), "%016" PRIx64, v->id);
	return id;
}

static void show_remarks(const struct recover_volume *volumes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct recover_volume *v = &volumes[i];

		if (v->action == RECOVER_KEEP)
			continue;
		if (v->state == RECOVER_REFUSED)
			fprintf(stderr, "torusctl: volume %s: %s\n",
				name_of(v), v->problem);
		if (v->note[0])
			fprintf(stderr, "torusctl: note: volume %s: %s\n",
				name_of(v), v->note);
		if (v->attached[0] && v->action == RECOVER_WRITE)
			fprintf(stderr, "torusctl: note: volume %s was attached as %s: what still uses it there will fail\n",
				name_of(v), v->attached);
	}
}

static void show(struct ctl *ctl, struct recover *r)
{
	const struct recover_ring *ring = recover_ring(r);
	const struct recover_volume *volumes;
	uint32_t count = recover_volumes(r, &volumes);
	char id[UUID_TEXT_SIZE];
	struct table *t;

	uuid_format(&recover_cluster(r)->id, id);
	if (!ctl->json)
		printf("cluster %s: %u %s asked; ring version %" PRIu64 " with %u members%s\n\n",
		       id, recover_peers(r), recover_peers(r) == 1 ? "peer" :
		       "peers", ring->doc.current.version,
		       ring->doc.current.member_count,
		       ring->remembered ? "" : ", made up: no peer remembers it");
	t = table_new("volumes", ctl->json, columns, ARRAY_SIZE(columns));
	for (uint32_t i = 0; i < count; i++)
		show_volume(t, &volumes[i]);
	table_print(t);
	fflush(stdout);
	show_remarks(volumes, count);
	fprintf(stderr, "torusctl: note: volumes that were created and never attached are known to no peer\n");
}

/* ---- may it be done? --------------------------------------------------------------- */

/* Where to look for a member: the ring knows hosts, no addresses. */
static const char *host_of(const struct recover_ring *ring,
			   const struct uuid *id)
{
	const struct ring_spec *specs[] = { &ring->doc.current,
					    &ring->doc.previous };

	for (size_t s = 0; s < 1u + ring->doc.has_previous; s++)
		for (uint32_t i = 0; i < specs[s]->member_count; i++)
			if (uuid_equal(&specs[s]->members[i].peer, id) &&
			    specs[s]->members[i].host[0])
				return specs[s]->members[i].host;
	return "unknown";
}

static int check_absent(struct ctl *ctl, struct recover *r)
{
	const struct recover_ring *ring = recover_ring(r);
	char id[UUID_TEXT_SIZE];

	for (uint32_t i = 0; i < ring->absent; i++) {
		uuid_format(&ring->absent_id[i], id);
		fprintf(stderr, "torusctl: warning: member %s of the ring, on host %.64s, was not asked or does not answer\n",
			id, host_of(ring, &ring->absent_id[i]));
	}
	if (!ring->absent || ctl_given(ctl, OPT_WITHOUT_ABSENT))
		return 0;
	return error_set(-EHOSTUNREACH, "%u of %u members of the ring have not been asked, and may have what the others lack: start them and name their addresses too, or give --without-absent if they are lost for good",
			 ring->absent, ring->doc.current.member_count);
}

static int confirm(struct ctl *ctl, struct recover *r)
{
	char answer[16];

	if (ctl_given(ctl, OPT_CONFIRM))
		return 0;
	if (!isatty(STDIN_FILENO))
		return error_set(-ECANCELED, "nothing was changed; confirm with --yes");
	fprintf(stderr, "This ends all who still use these volumes, and writes %u documents into the metadata store. Type YES to go on: ",
		recover_changes(r));
	if (fgets(answer, sizeof(answer), stdin) &&
	    strcmp(answer, "YES\n") == 0)
		return 0;
	return error_set(-ECANCELED, "nothing was changed");
}

static int carry_out(struct ctl *ctl, struct recover *r)
{
	int err = check_absent(ctl, r);

	if (!err && recover_refused(r))
		err = error_set(-EUCLEAN, "%u volumes need a decision, see above; nothing was changed",
				recover_refused(r));
	if (!err && !recover_changes(r)) {
		fprintf(stderr, "The metadata store knows all that the peers know: nothing was changed.\n");
		return 0;
	}
	if (!err)
		err = confirm(ctl, r);
	if (!err)
		err = recover_fence(r);
	if (!err)
		err = recover_write(r);
	if (!err)
		fprintf(stderr, "The metadata are rebuilt. The peers register within 30 s: 'torusctl status' shows those that are missing. Attaching a volume reads its log from the root on.\n");
	return err;
}

static int add_known_peers(struct ctl *ctl, struct recover *r)
{
	struct ctl_peer *peers;
	size_t count;
	int err = ctl_peers(ctl, &peers, &count);

	if (err)
		return err;
	for (size_t i = 0; i < count && !err; i++)
		err = add_peer(r, peers[i].doc.address);
	if (!err && recover_peers(r) < count && !ctl_given(ctl, OPT_WITHOUT_ABSENT))
		err = error_set(-EHOSTUNREACH, "%zu of %zu peers do not answer, and may have what is missing: start them, or give --without-absent if they are lost for good",
				count - recover_peers(r), count);
	free(peers);
	return err;
}

/* Where the store is not lost, but went back, it still knows where peers are;
 * those that it does not know any more are missed as members of the ring. */
static int add_peers_of_store(struct ctl *ctl, struct recover *r)
{
	int err = ctl_cluster_load(ctl);

	if (err == -ENOENT)
		return error_set(err, "the metadata store holds no cluster, so that the peers have to be named: --from-peers HOST:PORT,...");
	return err ? err : add_known_peers(ctl, r);
}

static int recover_all(struct ctl *ctl, struct recover *r, int argc,
		       char **argv)
{
	bool named = argc || ctl_given(ctl, OPT_FROM_PEERS);
	int err = named ? 0 : add_peers_of_store(ctl, r);

	if (!err)
		err = add_peers(ctl, r, argc, argv);
	if (!err)
		err = recover_survey(r);
	if (err)
		return err;
	err = recover_compare(r, ctl->meta, ctl_given(ctl, OPT_FORCE));
	show(ctl, r);
	return err ? err : carry_out(ctl, r);
}

/* ---- --truncate ------------------------------------------------------------------- */

static const struct recover_volume *only_volume(struct recover *r, uint64_t id)
{
	const struct recover_volume *volumes;
	uint32_t count = recover_volumes(r, &volumes);

	for (uint32_t i = 0; i < count; i++)
		if (volumes[i].id == id)
			return &volumes[i];
	return NULL;
}

static void show_loss(const struct recover_volume *v)
{
	uint64_t last = v->flushed > v->beyond_last ? v->flushed :
						      v->beyond_last;
	char size[32];

	printf("The log of volume %s can be followed from its root (record %" PRIu64 ") to record %" PRIu64 ", the end of chunk %" PRIu64 ".\n",
	       v->doc.name, v->doc.root.sequence, v->end_sequence,
	       v->chunk_last);
	printf("Lost would be the records from %" PRIu64 " on",
	       v->end_sequence + 1);
	if (last > v->end_sequence)
		printf(", to %" PRIu64 " at least", last);
	if (v->flushed > v->end_sequence)
		printf("; those up to %" PRIu64 " were flushed", v->flushed);
	printf(".\n");
	if (v->beyond_damaged) {
		size_format(v->beyond_damaged * BLOCK_SIZE, size, sizeof(size));
		printf("%s of them were durable in that chunk, and are damaged.\n",
		       size);
	}
	if (!v->beyond_records)
		return;
	size_format(v->beyond_blocks * BLOCK_SIZE, size, sizeof(size));
	printf("Behind the gap the peers have %" PRIu64 " records of them (%s)",
	       v->beyond_records, size);
	if (v->beyond_low <= v->beyond_high)
		printf(", which write to bytes %" PRIu64 " to %" PRIu64 " of the volume",
		       v->beyond_low * BLOCK_SIZE,
		       (v->beyond_high + 1) * BLOCK_SIZE - 1);
	printf(".\nWhat is lost is not marked in the volume: check what is in it (fsck) afterwards.\n");
}

static int check_loss(const struct recover_volume *v, const char *name)
{
	if (!v || v->state == RECOVER_NOTHING)
		return error_set(-ENODATA, "no peer has a chunk of volume %s: there is nothing to truncate",
				 name);
	if (v->state != RECOVER_GOOD)
		return error_set(-EUCLEAN, "volume %s: %s", name, v->problem);
	if (v->flushed <= v->end_sequence && !v->beyond_records &&
	    !v->beyond_damaged)
		return error_set(-EALREADY, "the log of volume %s is whole as far as anybody knows, and can be attached as it is: nothing was changed",
				 name);
	show_loss(v);
	fflush(stdout);
	return 0;
}

static int truncate_log(struct ctl *ctl, struct recover *r, const char *name)
{
	struct volume_doc doc;
	int err = ctl_cluster_load(ctl);

	if (!err)
		err = ctl_volume_get(ctl, name, &doc);
	if (!err)
		err = add_known_peers(ctl, r);
	if (!err)
		err = recover_truncate(r, doc.id);
	if (!err)
		err = recover_survey(r);
	if (!err)
		err = check_loss(only_volume(r, doc.id), name);
	if (!err)
		err = recover_compare(r, ctl->meta, true);
	if (!err)
		err = confirm(ctl, r);
	if (!err)
		err = recover_fence(r);
	if (!err)
		err = recover_write(r);
	if (!err)
		fprintf(stderr, "The log of volume %s ends there now, and it can be attached.\n",
			name);
	return err;
}

int cmd_recover(struct ctl *ctl, int argc, char **argv)
{
	struct recover_config cfg = {
		.env = ctl->env, .wait = wait_for, .wake = wake, .ctx = ctl,
	};
	struct recover *r;
	int err;

	r = recover_new(&cfg);
	if (!r)
		err = error_set(-ENOMEM, "out of memory");
	else if (ctl_given(ctl, OPT_TRUNCATE))
		err = truncate_log(ctl, r, ctl->option[OPT_TRUNCATE]);
	else
		err = recover_all(ctl, r, argc, argv);
	if (err)
		ctl_fail(err);
	recover_free(r);
	return err ? CTL_FAILED : CTL_OK;
}
