// SPDX-License-Identifier: Apache-2.0
/* Life of a recovery, its peers, what a person chose, and the survey. */
#include "recover/recover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "recover/internal.h"

struct recover *recover_new(const struct recover_config *cfg)
{
	struct recover *r = calloc(1, sizeof(*r));

	if (r)
		r->cfg = *cfg;
	return r;
}

static void forget_volumes(struct recover *r)
{
	for (uint32_t i = 0; i < r->volume_count; i++)
		recover_path_release(&r->paths[i]);
	free(r->volumes);
	free(r->paths);
	r->volumes = NULL;
	r->paths = NULL;
	r->volume_count = 0;
}

void recover_free(struct recover *r)
{
	if (!r)
		return;
	recover_forget(r);
	recover_forget_metadata(r);
	forget_volumes(r);
	free(r->copies);
	free(r->seen);
	free(r->choices);
	if (r->set)
		peer_set_free(r->set);
	free(r);
}

/* ---- peers --------------------------------------------------------------------- */

static int join_set(struct recover *r, const struct uuid *cluster,
		    const char *address)
{
	struct peer_set_config cfg = {
		.cluster = *cluster, .role = WIRE_ROLE_ADMIN,
		.replica_timeout_ns = 10 * NSEC_PER_SEC,
	};
	char ours[UUID_TEXT_SIZE], theirs[UUID_TEXT_SIZE];

	if (!r->set) {
		r->cluster = *cluster;
		r->set = peer_set_new(r->cfg.env, &cfg);
		return r->set ? 0 : error_set(-ENOMEM, "out of memory");
	}
	if (uuid_equal(&r->cluster, cluster))
		return 0;
	uuid_format(&r->cluster, ours);
	uuid_format(cluster, theirs);
	return error_set(-EPERM, "peer %s belongs to cluster %s, and the others to %s",
			 address, theirs, ours);
}

int recover_add_peer(struct recover *r, const char *address)
{
	struct recover_peer *p = &r->peers[r->peer_count];
	struct uuid cluster, id;
	int err;

	if (strlen(address) >= ADDRESS_MAX)
		return error_set(-EINVAL, "%.40s...: too long for an address",
				 address);
	if (r->peer_count == RECOVER_PEERS_MAX)
		return error_set(-ENOSPC, "at most %u peers can be asked",
				 RECOVER_PEERS_MAX);
	err = recover_hello(r, address, &cluster, &id);
	if (!err)
		err = join_set(r, &cluster, address);
	if (err)
		return err;
	for (uint32_t i = 0; i < r->peer_count; i++)
		if (uuid_equal(&r->peers[i].id, &id))
			return 0;	/* named twice, by whatever address */
	p->r = r;
	p->id = id;
	snprintf(p->address, sizeof(p->address), "%s", address);
	p->peer = peer_set_update(r->set, &id, address);
	if (!p->peer)
		return error_set(-ENOMEM, "out of memory");
	r->peer_count++;
	return 0;
}

/* ---- choices -------------------------------------------------------------------- */

int recover_choose(struct recover *r, const char *choice)
{
	const char *value = strchr(choice, '=');
	unsigned long long chunk;
	struct recover_choice *c;
	unsigned int block;
	int used = 0;

	if (!value || value == choice || !value[1] ||
	    (size_t)(value - choice) >= sizeof(c->volume) ||
	    strlen(value + 1) >= sizeof(c->peer))
		return error_set(-EINVAL, "'%s' chooses nothing: give VOLUME=PEER or VOLUME=CHUNK:BLOCK",
				 choice);
	c = realloc(r->choices, (r->choice_count + 1) * sizeof(*c));
	if (!c)
		return error_set(-ENOMEM, "out of memory");
	r->choices = c;
	c = &c[r->choice_count++];
	memset(c, 0, sizeof(*c));
	memcpy(c->volume, choice, (size_t)(value - choice));
	value++;
	/* An address has a dot, a letter or a bracket before its colon, except
	 * for one that is a mere number, which nobody means. */
	if (sscanf(value, "%llu:%u%n", &chunk, &block, &used) == 2 &&
	    !value[used] && chunk <= CHUNK_NUMBER_MAX &&
	    block < CHUNK_BLOCKS_MAX)
		c->root = block_addr(chunk, block);
	else
		snprintf(c->peer, sizeof(c->peer), "%s", value);
	return 0;
}

int recover_truncate(struct recover *r, uint64_t volume)
{
	struct recover_choice *c = calloc(1, sizeof(*c));

	if (!c)
		return error_set(-ENOMEM, "out of memory");
	snprintf(c->volume, sizeof(c->volume), "%016llx",
		 (unsigned long long)volume);
	c->truncate = true;
	free(r->choices);
	r->choices = c;
	r->choice_count = 1;
	r->only = volume;
	return 0;
}

/* A choice for a peer that was not asked would change nothing, silently. */
static int check_choices(const struct recover *r)
{
	char id[UUID_TEXT_SIZE];

	for (uint32_t i = 0; i < r->choice_count; i++) {
		const char *name = r->choices[i].peer;
		bool known = !*name;

		for (uint32_t j = 0; j < r->peer_count; j++) {
			uuid_format(&r->peers[j].id, id);
			known |= strcmp(name, id) == 0 ||
				 strcmp(name, r->peers[j].address) == 0;
		}
		if (!known)
			return error_set(-EINVAL, "--choose %s=%s: no peer that was asked has this address or uuid",
					 r->choices[i].volume, name);
	}
	return 0;
}

/* Nor would one for a volume that nobody knows; a name is mistyped soon. */
static int check_chosen_volumes(const struct recover *r)
{
	char id[17];

	for (uint32_t i = 0; i < r->choice_count; i++) {
		const char *name = r->choices[i].volume;
		bool known = r->choices[i].truncate;

		for (uint32_t v = 0; v < r->volume_count; v++) {
			snprintf(id, sizeof(id), "%016llx",
				 (unsigned long long)r->volumes[v].id);
			known |= strcmp(name, id) == 0 ||
				 strcmp(name, r->volumes[v].doc.name) == 0;
		}
		if (!known)
			return error_set(-EINVAL, "--choose %s: no peer that was asked knows a volume of this name or id; repeat without --choose to see all",
					 name);
	}
	return 0;
}

static bool is_chosen(const struct recover *r, const struct recover_volume *v)
{
	for (uint32_t i = 0; i < r->choice_count; i++)
		if (strcmp(r->choices[i].volume, v->doc.name) == 0)
			return true;
	return false;
}

/* ---- cluster and ring ------------------------------------------------------------- */

int recover_decode_documents(const char *text, size_t len,
			     struct cluster_doc *cluster, struct ring_doc *ring)
{
	size_t first = strlen(text) + 1;

	if (first >= len)
		return -EBADMSG;
	if (cluster_doc_decode("cluster", text, cluster) ||
	    ring_doc_decode("ring", text + first, ring))
		return -EBADMSG;
	return 0;
}

static int newest_ring(struct recover *r)
{
	CLEANUP_FREE struct ring_doc *ring = calloc(1, sizeof(*ring));
	struct cluster_doc cluster;

	if (!ring)
		return error_set(-ENOMEM, "out of memory");
	for (uint32_t i = 0; i < r->peer_count; i++) {
		if (!r->peers[i].documents ||
		    recover_decode_documents(r->peers[i].documents,
					     r->peers[i].documents_len,
					     &cluster, ring) ||
		    !uuid_equal(&cluster.id, &r->cluster) ||
		    (r->ring.remembered && ring->current.version <=
					   r->ring.doc.current.version))
			continue;
		r->cluster_doc = cluster;
		r->ring.doc = *ring;
		r->ring.remembered = true;
	}
	return 0;
}

/* No store remembers any: a ring of those that are there. */
static void make_ring(struct recover *r)
{
	struct ring_spec *spec = &r->ring.doc.current;

	r->cluster_doc = (struct cluster_doc){
		.id = r->cluster, .chunk_size = CHUNK_SIZE_MAX,
		.replication = r->peer_count < 3 ? r->peer_count : 3,
	};
	spec->type = RING_KETAMA;
	spec->version = 1;
	spec->replication = r->cluster_doc.replication;
	spec->member_count = r->peer_count;
	for (uint32_t i = 0; i < r->peer_count; i++) {
		spec->members[i].peer = r->peers[i].id;
		spec->members[i].weight = 1ull << 30;
	}
}

static void find_absent(struct recover *r)
{
	const struct ring_spec *spec = &r->ring.doc.current;

	for (uint32_t m = 0; m < spec->member_count; m++) {
		bool here = false;

		for (uint32_t i = 0; i < r->peer_count; i++)
			here |= uuid_equal(&r->peers[i].id,
					   &spec->members[m].peer);
		if (!here)
			r->ring.absent_id[r->ring.absent++] =
				spec->members[m].peer;
	}
}

static int find_ring(struct recover *r)
{
	int err;

	memset(&r->ring, 0, sizeof(r->ring));
	err = newest_ring(r);
	if (!err && !r->ring.remembered)
		make_ring(r);
	find_absent(r);
	return err;
}

/* ---- survey -------------------------------------------------------------------------- */

/* What an earlier look found odd is looked at anew. */
static void forget_odd(struct recover *r, uint64_t volume)
{
	for (size_t i = 0; i < r->copy_count; i++)
		if (r->copies[i].volume == volume) {
			r->copies[i].odd = false;
			r->copies[i].epoch = 0;
		}
}

/*
 * A choice that names a volume by its name is understood only once the name is
 * known, which its root tells.
 */
static int judge(struct recover *r, uint32_t i)
{
	enum recover_action action = r->volumes[i].action;
	int err = recover_judge(r, &r->seen[i], &r->volumes[i], &r->paths[i]);

	if (!err && is_chosen(r, &r->volumes[i])) {
		recover_path_release(&r->paths[i]);
		forget_odd(r, r->seen[i].volume);
		err = recover_judge(r, &r->seen[i], &r->volumes[i],
				    &r->paths[i]);
	}
	r->volumes[i].action = action;
	return err;
}

static struct recover_volume *find_volume(struct recover_volume *volumes,
					  uint32_t count, uint64_t id)
{
	for (uint32_t i = 0; i < count; i++)
		if (volumes[i].id == id)
			return &volumes[i];
	return NULL;
}

/* The actions that were decided before stay. */
static int make_room(struct recover *r)
{
	struct recover_volume *old = r->volumes;
	uint32_t old_count = r->volume_count;

	for (uint32_t i = 0; i < r->volume_count; i++)
		recover_path_release(&r->paths[i]);
	free(r->paths);
	r->volumes = calloc(r->seen_count + 1, sizeof(*r->volumes));
	r->paths = calloc(r->seen_count + 1, sizeof(*r->paths));
	r->volume_count = 0;
	if (!r->volumes || !r->paths) {
		free(old);
		return error_set(-ENOMEM, "out of memory");
	}
	r->volume_count = r->seen_count;
	for (uint32_t i = 0; i < r->seen_count; i++) {
		struct recover_volume *was =
			find_volume(old, old_count, r->seen[i].volume);

		r->volumes[i].id = r->seen[i].volume;
		if (was)
			r->volumes[i].action = was->action;
	}
	free(old);
	return 0;
}

/* A name is deleted and used again: the newer volume keeps it. */
static void part_names(struct recover *r)
{
	for (uint32_t i = 0; i < r->volume_count; i++) {
		struct recover_volume *v = &r->volumes[i];

		for (uint32_t j = i + 1; j < r->volume_count; j++) {
			if (v->state != RECOVER_GOOD ||
			    r->volumes[j].state != RECOVER_GOOD ||
			    strcmp(v->doc.name, r->volumes[j].doc.name) != 0)
				continue;
			snprintf(v->note, sizeof(v->note), "its name was %s, which a newer volume has",
				 v->doc.name);
			snprintf(v->doc.name, sizeof(v->doc.name),
				 "recovered-%016llx",
				 (unsigned long long)v->id);
		}
	}
}

int recover_survey(struct recover *r)
{
	int err = check_choices(r);

	if (!err)
		err = recover_gather(r);
	if (!err)
		err = find_ring(r);
	if (!err)
		err = make_room(r);
	for (uint32_t i = 0; i < r->volume_count && !err; i++)
		if (!r->only || r->only == r->volumes[i].id)
			err = judge(r, i);
	if (!err)
		err = check_chosen_volumes(r);
	if (!err)
		part_names(r);
	return err;
}

/* ---- results ------------------------------------------------------------------------- */

const struct cluster_doc *recover_cluster(const struct recover *r)
{
	return &r->cluster_doc;
}

const struct recover_ring *recover_ring(const struct recover *r)
{
	return &r->ring;
}

uint32_t recover_volumes(const struct recover *r,
			 const struct recover_volume **volumes)
{
	*volumes = r->volumes;
	return r->volume_count;
}

uint32_t recover_peers(const struct recover *r)
{
	return r->peer_count;
}

uint32_t recover_refused(const struct recover *r)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < r->volume_count; i++)
		count += r->volumes[i].state == RECOVER_REFUSED &&
			 r->volumes[i].action != RECOVER_KEEP;
	return count;
}
