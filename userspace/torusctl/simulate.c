// SPDX-License-Identifier: Apache-2.0
/*
 * torusctl ring simulate: what a change of the ring would do, before it is
 * made. The ring is the cluster's, or comes from a file that holds what
 * `torusctl --json ring get` prints, for which no cluster is needed. Nothing is
 * written, and no peer is asked.
 *
 * Chunks are made up, evenly; bytes are what is stored now, by the peers' own
 * words, or that many chunks of the size of a chunk.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/size.h"
#include "ctl.h"
#include "peer/ring_change.h"
#include "ring/plan.h"
#include "ringedit.h"
#include "table.h"

#define CHUNKS_DEFAULT 100000u
#define CHUNKS_MAX 10000000u
#define FILE_MAX (4u << 20)

struct simulation {
	struct ctl *ctl;
	struct view view;		/* without peers if the ring is a file's */
	struct ring_doc file;
	struct ring_spec before, after;
	uint64_t chunks;
	double copy_bytes;		/* of one copy of a made-up chunk */
	uint32_t added;
	struct ring_plan plan;
};

/* ---- the ring before --------------------------------------------------------- */

static int read_file(const char *path, char *text, size_t room)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	size_t len;
	int err = 0;

	if (!f)
		return error_set(-errno, "--members %s: %s", path,
				 strerror(errno));
	len = fread(text, 1, room - 1, f);
	text[len] = '\0';
	if (ferror(f))
		err = error_set(-EIO, "--members %s: cannot be read", path);
	else if (len == room - 1)
		err = error_set(-EFBIG, "--members %s: is too long", path);
	if (f != stdin)
		fclose(f);
	return err;
}

static int load_file(struct simulation *sim, const char *path)
{
	CLEANUP_FREE char *text = malloc(FILE_MAX);
	int err;

	if (!text)
		return error_set(-ENOMEM, "out of memory");
	err = read_file(path, text, FILE_MAX);
	if (!err)
		err = ring_doc_decode(path, text, &sim->file);
	if (err)
		return err;
	sim->before = sim->file.current;
	sim->copy_bytes = (double)CHUNK_SIZE_MAX;
	return 0;
}

static int load_cluster(struct simulation *sim)
{
	int err = ctl_meta_open(sim->ctl);

	if (!err)
		err = ctl_cluster_load(sim->ctl);
	if (!err)
		err = view_load(sim->ctl, &sim->view);
	if (err)
		return err;
	sim->before = sim->view.ring->current;
	sim->copy_bytes = (double)sim->ctl->cluster.chunk_size;
	return 0;
}

/* Without --chunks it is about the bytes that are stored now. */
static void set_bytes(struct simulation *sim)
{
	double used = 0;

	for (size_t i = 0; i < sim->view.peer_count; i++)
		if (sim->view.peers[i].member)
			used += (double)sim->view.peers[i].doc.used;
	if (!ctl_given(sim->ctl, OPT_CHUNKS) && sim->plan.copies_before &&
	    used > 0)
		sim->copy_bytes = used / (double)sim->plan.copies_before;
}

/* ---- the ring after ---------------------------------------------------------- */

static int set_label(struct peer_doc *doc, const char *word)
{
	const char *value = strchr(word, '=');
	char *label = NULL;

	if (value && strncmp(word, "zone=", 5) == 0)
		label = doc->zone;
	else if (value && strncmp(word, "rack=", 5) == 0)
		label = doc->rack;
	else if (value && strncmp(word, "host=", 5) == 0)
		label = doc->host;
	if (!label)
		return error_set(-EINVAL, "--add: '%s' is none of zone=NAME, rack=NAME and host=NAME",
				 word);
	if (strlen(++value) >= RING_LABEL_MAX)
		return error_set(-EINVAL, "--add: '%s' is too long", value);
	memcpy(label, value, strlen(value) + 1);
	return 0;
}

/* SIZE[,zone=..][,rack=..][,host=..]: a peer with a uuid of its number. */
static int add_new(struct simulation *sim, char *words)
{
	struct peer_doc doc = { .address = "a new peer" };
	uint64_t half[2] = { hash_u64_pair(1, ++sim->added),
			     hash_u64_pair(2, sim->added) };
	char *save, *word = strtok_r(words, ",", &save);
	int err;

	memcpy(&doc.id, half, sizeof(doc.id));
	uuid_from_random(&doc.id);
	err = size_parse(word ? word : "", &doc.size);
	if (err)
		error_prefix("--add");
	while (!err && (word = strtok_r(NULL, ",", &save)) != NULL)
		err = set_label(&doc, word);
	return err ? err : ring_change_add(&sim->after, &doc);
}

/* By uuid also without a cluster, by address only with one. */
static int find_id(const struct simulation *sim, const char *what,
		   struct uuid *id)
{
	const struct ctl_peer *p;

	if (uuid_parse(what, id) == 0)
		return 0;
	p = ringedit_find(sim->view.peers, sim->view.peer_count, what);
	if (!p)
		return -ENOENT;
	*id = p->doc.id;
	return 0;
}

static int remove_named(struct simulation *sim, char *what)
{
	struct uuid id;
	int err = find_id(sim, what, &id);

	return err ? err : ring_change_remove(&sim->after, &id);
}

static int drain_named(struct simulation *sim, char *what)
{
	struct uuid id;
	int err = find_id(sim, what, &id);

	if (err)
		return err;
	if (!ring_weighs(sim->after.type))
		return error_set(-EINVAL, "--drain: a ring of type %s knows no weights",
				 ring_type_name(sim->after.type));
	for (uint32_t i = 0; i < sim->after.member_count; i++) {
		if (!uuid_equal(&sim->after.members[i].peer, &id))
			continue;
		sim->after.members[i].weight = 0;
		return 0;
	}
	return error_set(-ENOENT, "--drain: peer %s is not in the ring", what);
}

/* Of an option that may be given more than once, each value. */
static int for_each(struct simulation *sim, enum ctl_option option,
		    int (*apply)(struct simulation *sim, char *value))
{
	CLEANUP_FREE char *values = NULL;
	char *save, *value;
	int err = 0;

	if (!ctl_given(sim->ctl, option))
		return 0;
	values = strdup(sim->ctl->option[option]);
	if (!values)
		return error_set(-ENOMEM, "out of memory");
	for (value = strtok_r(values, "\n", &save); value && !err;
	     value = strtok_r(NULL, "\n", &save))
		err = apply(sim, value);
	return err;
}

/* As "ring manual-change" does: what peers say of themselves now counts, and
 * those that are drained stay so. */
static void renew_members(struct simulation *sim)
{
	for (uint32_t i = 0; i < sim->after.member_count; i++) {
		struct ring_member *m = &sim->after.members[i];
		const struct ctl_peer *p = view_peer(&sim->view, &m->peer);

		if (!p)
			continue;
		if (m->weight)
			m->weight = p->doc.size;
		memcpy(m->zone, p->doc.zone, sizeof(m->zone));
		memcpy(m->rack, p->doc.rack, sizeof(m->rack));
		memcpy(m->host, p->doc.host, sizeof(m->host));
	}
}

static int set_type(struct simulation *sim)
{
	const char *type = sim->ctl->option[OPT_TYPE];
	const char *r = sim->ctl->option[OPT_REPLICATION];
	uint64_t number = sim->after.replication;
	int err = 0;

	if (type) {
		renew_members(sim);
		err = ring_type_parse(type, &sim->after.type);
	}
	if (!err && r)
		err = ctl_number("--replication", r, 1, RING_REPLICATION_MAX,
				 &number);
	sim->after.replication = (uint32_t)number;
	return err;
}

static int change(struct simulation *sim)
{
	int err;

	sim->after = sim->before;
	sim->after.version++;
	err = set_type(sim);
	if (!err)
		err = for_each(sim, OPT_REMOVE, remove_named);
	if (!err)
		err = for_each(sim, OPT_DRAIN, drain_named);
	if (!err)
		err = for_each(sim, OPT_ADD, add_new);
	return err;
}

/* ---- the answer ---------------------------------------------------------------- */

static void name_member(const struct simulation *sim,
			const struct ring_plan_member *m, char *text, size_t len)
{
	const struct ctl_peer *p = view_peer(&sim->view, &m->peer);
	char id[UUID_TEXT_SIZE];

	uuid_format(&m->peer, id);
	if (p)
		snprintf(text, len, "%s", p->doc.address);
	else if (!m->before)
		snprintf(text, len, "new %.8s", id);
	else
		snprintf(text, len, "%s", id);
}

/* The room that there is: what the peer has registered, which a weight in the
 * ring lags behind, and which one that is drained has all the same. */
static uint64_t size_of(const struct simulation *sim,
			const struct ring_plan_member *m)
{
	const struct ctl_peer *p = view_peer(&sim->view, &m->peer);

	return p ? p->doc.size : m->weight;
}

static uint64_t bytes_of(const struct simulation *sim, double copies)
{
	return (uint64_t)(copies * sim->copy_bytes + 0.5);
}

/* In percent of what it should have; of nothing 0. */
static double deviation(const struct ring_plan_member *m)
{
	if (m->ideal_after <= 0)
		return 0;
	return ((double)m->copies_after / m->ideal_after - 1) * 100;
}

/* How many times the least; of nothing to move 1. */
static double ratio(const struct ring_plan *plan)
{
	if (!plan->minimum && !plan->moved)
		return 1;
	/* Of members that only swap, nothing had to: as if one copy had. */
	return (double)plan->moved / (double)(plan->minimum ? plan->minimum : 1);
}

static const struct column plan_columns[] = {
	{ "PEER", COLUMN_TEXT },	{ "WEIGHT", COLUMN_SIZE },
	{ "BEFORE", COLUMN_SIZE },	{ "AFTER", COLUMN_SIZE },
	{ "IDEAL", COLUMN_SIZE },	{ "DEVIATION", COLUMN_TEXT },
	{ "IN", COLUMN_SIZE },		{ "OUT", COLUMN_SIZE },
};

static void print_members(const struct simulation *sim)
{
	struct table *t = table_new("members", false, plan_columns,
				    ARRAY_SIZE(plan_columns));
	char name[ADDRESS_MAX], percent[32];

	for (uint32_t i = 0; i < sim->plan.count; i++) {
		const struct ring_plan_member *m = &sim->plan.members[i];

		name_member(sim, m, name, sizeof(name));
		snprintf(percent, sizeof(percent), "%+.1f %%", deviation(m));
		table_row(t);
		table_text(t, name);
		table_number(t, m->weight);
		table_number(t, bytes_of(sim, (double)m->copies_before));
		table_number(t, bytes_of(sim, (double)m->copies_after));
		table_number(t, bytes_of(sim, m->ideal_after));
		table_text(t, percent);
		table_number(t, bytes_of(sim, (double)m->gained));
		table_number(t, bytes_of(sim, (double)m->lost));
	}
	table_print(t);
}

/* The member that is farthest from its share; NULL: there is none. */
static const struct ring_plan_member *find_worst(const struct ring_plan *plan)
{
	const struct ring_plan_member *worst = NULL;
	double most = -1;

	for (uint32_t i = 0; i < plan->count; i++) {
		double d = deviation(&plan->members[i]);

		d = d < 0 ? -d : d;
		if (!plan->members[i].after || d <= most)
			continue;
		most = d;
		worst = &plan->members[i];
	}
	return worst;
}

static void print_room(const struct simulation *sim,
		       const struct ring_plan_member *m)
{
	uint64_t size = size_of(sim, m);
	char name[ADDRESS_MAX], is[32], was[32];

	name_member(sim, m, name, sizeof(name));
	size_format(size, is, sizeof(is));
	size_format(m->weight, was, sizeof(was));
	if (size && bytes_of(sim, (double)m->copies_after) > size)
		printf("warning:  %s would get more than it has room for, %s\n",
		       name, is);
	if (m->after && m->weight && m->weight != size)
		printf("note:     %s has %s now, and in the ring the weight of %s: 'torusctl ring manual-change --all-peers' gives all members the weight of their size\n",
		       name, is, was);
}

static void print_warnings(const struct simulation *sim)
{
	for (uint32_t i = 0; i < sim->plan.count; i++)
		print_room(sim, &sim->plan.members[i]);
	if (ring_members_of_weight(&sim->after) < sim->after.replication)
		printf("warning:  %u %s for data would be left for %u copies: the change would be refused\n",
		       ring_members_of_weight(&sim->after),
		       ring_members_of_weight(&sim->after) == 1 ? "member" :
								  "members",
		       sim->after.replication);
	if (sim->after.replication != sim->before.replication)
		printf("note:     only new volumes get %u copies; this is as if all had them\n",
		       sim->after.replication);
}

static void print_plan(const struct simulation *sim)
{
	const struct ring_plan *plan = &sim->plan;
	const struct ring_plan_member *worst = find_worst(plan);
	char moved[32], all[32], least[32], name[ADDRESS_MAX];

	size_format(bytes_of(sim, (double)plan->moved), moved, sizeof(moved));
	size_format(bytes_of(sim, (double)plan->copies_after), all,
		    sizeof(all));
	size_format(bytes_of(sim, (double)plan->minimum), least, sizeof(least));
	print_members(sim);
	printf("\nmoves:    %s of %s\nminimum:  %s that any ring would move; this one moves %.2f times that\n",
	       moved, all, least, ratio(plan));
	if (worst) {
		name_member(sim, worst, name, sizeof(name));
		printf("balance:  %+.1f %% at most, on %s\n", deviation(worst),
		       name);
	}
	print_warnings(sim);
}

static void add_number(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static struct json_object *member_json(const struct simulation *sim,
				       const struct ring_plan_member *m)
{
	struct json_object *o = json_object_new_object();
	char name[ADDRESS_MAX], id[UUID_TEXT_SIZE];

	uuid_format(&m->peer, id);
	name_member(sim, m, name, sizeof(name));
	json_object_object_add(o, "peer", json_object_new_string(id));
	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "member", json_object_new_boolean(m->after));
	add_number(o, "weight", m->weight);
	add_number(o, "size", size_of(sim, m));
	add_number(o, "before", bytes_of(sim, (double)m->copies_before));
	add_number(o, "after", bytes_of(sim, (double)m->copies_after));
	add_number(o, "ideal", bytes_of(sim, m->ideal_after));
	json_object_object_add(o, "deviation",
			       json_object_new_double(deviation(m)));
	add_number(o, "in", bytes_of(sim, (double)m->gained));
	add_number(o, "out", bytes_of(sim, (double)m->lost));
	return o;
}

static void print_json(const struct simulation *sim)
{
	struct json_object *o = json_object_new_object();
	struct json_object *members = json_object_new_array();

	add_number(o, "chunks", sim->plan.chunks);
	add_number(o, "bytes", bytes_of(sim, (double)sim->plan.copies_after));
	add_number(o, "moved", bytes_of(sim, (double)sim->plan.moved));
	add_number(o, "minimum", bytes_of(sim, (double)sim->plan.minimum));
	json_object_object_add(o, "ratio",
			       json_object_new_double(ratio(&sim->plan)));
	for (uint32_t i = 0; i < sim->plan.count; i++)
		json_object_array_add(members,
				      member_json(sim, &sim->plan.members[i]));
	json_object_object_add(o, "members", members);
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static int simulate(struct simulation *sim)
{
	const char *file = sim->ctl->option[OPT_MEMBERS];
	int err = file ? load_file(sim, file) : load_cluster(sim);

	if (!err)
		err = change(sim);
	if (!err)
		err = ring_plan(&sim->before, &sim->after, sim->chunks,
				&sim->plan);
	if (err)
		return err;
	set_bytes(sim);
	if (sim->ctl->json)
		print_json(sim);
	else
		print_plan(sim);
	return 0;
}

int cmd_ring_simulate(struct ctl *ctl, int argc, char **argv)
{
	const char *chunks = ctl->option[OPT_CHUNKS];
	struct simulation *sim = calloc(1, sizeof(*sim));
	int err = 0;

	(void)argc;
	(void)argv;
	if (!sim)
		return ctl_fail(error_set(-ENOMEM, "out of memory"));
	sim->ctl = ctl;
	sim->chunks = CHUNKS_DEFAULT;
	if (chunks)
		err = ctl_number("--chunks", chunks, 1, CHUNKS_MAX,
				 &sim->chunks);
	if (!err)
		err = simulate(sim);
	view_release(&sim->view);
	free(sim);
	return err == -EINVAL ? ctl_bad_value(err) : err ? ctl_fail(err) :
	       CTL_OK;
}
