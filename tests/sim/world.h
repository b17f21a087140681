/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One seed: a cluster of stores, volumes with the hosts that attach them, what
 * is done to all of it, and what went wrong.
 *
 *   world.c     makes it and takes it down
 *   stores.c    the store processes and their deaths
 *   maintain.c  the maintenance in them
 *   client.c    one host with a volume attached: its life
 *   request.c   its requests
 *   supervisor.c  who has each volume next
 *   faults.c    what is done to all of them
 *   events.c    what happens once, in some seeds
 *   deletion.c  ... volumes that are deleted, and made anew
 *   full.c      stores that are too small
 *   removal.c   ... a peer that is removed
 *   metaloss.c  ... the metadata store is lost, or set back
 *   rings.c     the ring and its changes
 *   inspect.c   looks at the stores' disks behind their backs
 *   durable.c   also for what a loss of power would leave
 *   files.c     and at chunk files that come and go
 *   audit.c     and at the end of it all
 *   scenario.c  the course of one seed
 *   main.c      many seeds
 */
#ifndef TORUS_SIM_WORLD_H
#define TORUS_SIM_WORLD_H

#include "lib/env_sim.h"
#include "lib/model.h"

#include "base/uuid.h"
#include "maint/maint.h"
#include "member/member.h"
#include "meta/schema.h"
#include "store/maintain.h"
#include "store/store.h"
#include "volume/volume.h"

#define STORES_MAX 9
#define ZONES_MAX 3
#define VOLUMES_MAX 3		/* at the beginning */
#define TENANTS_MAX 5		/* and those that are made later */
#define CLIENTS 3
#define EVENTS_MAX 8

struct world;
struct tenant;
struct client;

struct store_node {
	struct world *world;
	struct sim_node *node;
	struct store *store;		/* NULL: not running */
	struct member member;
	struct cluster *cluster;	/* maintain.c */
	struct maint *maint;
	struct sim_task open_again;
	struct uuid id;
	uint32_t zone;
	char address[24];
	bool serving;
	bool force_incarnation;
	bool gone;			/* for ever, or until removal.c */
	uint64_t removed;		/* from the cluster, by force: when */
	uint64_t power_loss;		/* when it last lost unsynced bytes */
	struct sim_task restart, heal, empty, give_up;
	/* inspect.c */
	struct inspect_store *inspect[TENANTS_MAX];
};

enum client_state {
	CLIENT_OFF,		/* no process */
	CLIENT_ATTACHING,
	CLIENT_CHECKING,	/* attached; reads the whole volume */
	CLIENT_SERVING,
	CLIENT_DETACHING,
	CLIENT_FAILED,		/* the volume said so; the process lives on */
};

struct client_op {
	struct list_head node;		/* on client->ops */
	struct client *client;
	struct volume_request req;
	uint32_t id;			/* of the model; 0 for reads */
	struct model_read read;
	struct log_position covers;	/* acknowledged before it was submitted */
	uint64_t started;
	uint64_t asked;			/* before its first helper died */
	bool submitting;
	bool checking;			/* part of the check of the volume */
	bool last;
};

struct client {
	struct world *world;
	struct tenant *tenant;
	struct sim_node *node;
	struct volume *volume;
	enum client_state state;
	uint32_t owner;			/* epoch of its attachment */
	struct list_head ops;
	uint32_t op_count;
	struct list_head resends;	/* of a device without a helper */
	bool last_done;			/* see client_submit_last() */
	int last_err;
	/* What the kernel would remember of the device. */
	bool device;			/* it exists */
	struct uuid incarnation;
	struct log_position remembered;
	uint64_t inspected;		/* newest record that inspect.c saw */
	uint64_t durable;		/* and durable.c */
	uint32_t first_owner;		/* epoch of its first attachment; 0 */
	uint64_t acked_at;		/* last acknowledgement */
	uint32_t claim;			/* number of its last attach call */
	bool expect_free;		/* the last one had detached in order */
	bool rival;			/* another one was attaching then */
	bool others_came;		/* since the device was made */
	/* The attach or detach under way. */
	bool force, surviving;
	uint64_t began;
	uint64_t retry_at;
	uint32_t errors;		/* attach attempts that failed in a row */
	int last_error;
	/* CHECKING */
	uint8_t *image;
	uint64_t check_next;		/* bytes whose read was submitted */
	bool failed;			/* the volume said so */
	uint64_t failed_at;
	struct volume_stats seen;	/* counted in the world already */
};

struct world_stats {
	uint64_t operations, faults, recoveries, takeovers, detaches;
	uint64_t ring_changes, audited, chunks, ensemble_changes, checkpoints, records, errors;
	uint64_t cleaned;		/* chunks, by the cleaners */
	uint64_t deleted;		/* volumes */
	uint64_t rebuilt;		/* the metadata */
	uint64_t full;			/* seeds with full stores */
	uint64_t removed, returned;	/* peers */
	uint64_t lost_devices, stuck, resends, virtual_ns, events;
};

/* A volume, the hosts that may attach it, and what it may contain. */
struct tenant {
	struct world *world;
	unsigned int index;
	char name[VOLUME_NAME_MAX];
	uint64_t id;
	/* drawn from the seed */
	uint64_t blocks;
	uint32_t replication, depth;
	struct volume_config config;	/* what every attach has in common */

	struct client clients[CLIENTS];
	struct client *current;		/* who is to have the volume */
	bool doomed, deleted;		/* deletion.c */
	uint32_t owner;			/* highest epoch that was attached */
	uint32_t claims;		/* attach calls so far */
	bool detached;			/* in order, and nobody claimed since */
	bool wide_loss;			/* two stores lost power since the last
					 * recovery, soon after each other */
	struct sim_task recovered;
	bool dark_again;		/* a second blow after the recovery */
	uint64_t longest_wait;		/* of a request, ns */
	struct model *model;
	uint8_t *chunks_seen;		/* inspect.c: which have records */
};

/* What a seed draws may be made smaller, to find what a failure needs. */
struct world_limits {
	uint32_t target;		/* client operations */
	uint32_t stores, volumes;	/* 0: the seed decides */
	int64_t gap;			/* operations between faults; -1: same */
	const uint64_t *skip;		/* bits: faults that do not happen */
	uint32_t skip_bits;
	bool loose;			/* audit.c: no places, no garbage */
	bool roomy;			/* full.c: no stores that are too small */
};

struct world {
	struct sim *sim;
	uint64_t seed;
	struct world_limits limits;
	/* drawn from the seed */
	uint32_t store_count, zone_count, tenant_count;
	uint32_t replication, chunk_blocks;
	uint32_t fault_gap;		/* operations between two faults, on average */
	uint64_t io_timeout, replica_timeout, sync_interval;

	struct maint_config maint;

	struct uuid cluster;
	struct store_node stores[STORES_MAX];
	struct tenant tenants[TENANTS_MAX];
	struct {
		uint64_t at;		/* operations; 0 = not in this seed */
	} events[EVENTS_MAX];
	struct {
		struct store_node *store;	/* NULL: none */
		bool lost;		/* it does not answer any more */
		bool done, returns;
		struct sim_task turn, back;
	} removal;
	uint64_t store_size;		/* full.c; 0 = large enough */
	uint64_t full_seen;		/* when one of them was full; 0 = never */
	uint64_t exhausted_seen;	/* when their reserve was used up */
	/* metaloss.c */
	struct sim_node *admin;
	struct sim_meta_backup *backup;
	bool meta_lost;			/* nothing is there, or what is old */
	uint32_t fault_count;		/* also those that were skipped */
	uint64_t last_fault;		/* end of the last fault's effect */
	uint64_t full_until;		/* disks were full until then */
	struct store_node *rotten;	/* whose disk rots */
	bool one_gone;
	bool disk_errors;		/* a disk has refused something ... */
	uint32_t bad_disks;		/* ... one of these (bits) */
	bool stuck;			/* only a person can go on: truncate */
	bool quiet;			/* no faults any more: no errors either */
	struct ring *rings[2];		/* inspect.c: current and previous */
	int64_t rings_revision;		/* that they were read at */
	struct record *record;		/* its scratch */
	struct world_stats stats;
	bool failed;
	char failure[512];
	char problem[400];		/* audit.c */
};

#define for_each_tenant(t, w) \
	for (t = (w)->tenants; t < (w)->tenants + (w)->tenant_count; t++)
/* Those that exist now. */
#define for_each_volume(t, w) for_each_tenant(t, w) if (!(t)->deleted)
#define for_each_client(c, t) \
	for (c = (t)->clients; c < (t)->clients + CLIENTS; c++)
#define for_each_store(s, w) \
	for (s = (w)->stores; s < (w)->stores + (w)->store_count; s++)

/** world_fail() - an invariant is broken; the first sentence is kept. */
void world_fail(struct world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* world.c */
struct world *world_new(uint64_t seed, const struct world_limits *limits,
			FILE *trace);
void world_free(struct world *w);
enum draw { DRAW_WORLD = 1, DRAW_OPERATION, DRAW_PAUSE, DRAW_FAULT, DRAW_EVENTS,
	    DRAW_TENANT, DRAW_SIZE };
/* Draws until world_draw_end() do not depend on what happened so far. */
void world_draw(struct world *w, enum draw kind, uint64_t number);
void world_draw_end(struct world *w);
struct tenant *world_any_tenant(struct world *w);
/* The largest R of a volume. */
uint32_t world_replication(struct world *w);
/* The volume with that id, and R, is there, and nobody has it yet. */
struct tenant *world_add_tenant(struct world *w, uint64_t id, const char *name,
				uint32_t replication);
void world_draw_clock(struct world *w, struct sim_node *node);
/* Put the text that an encoder made, and free it. */
void world_put(struct world *w, const char *key, char *text);
void world_cluster_doc(const struct world *w, struct cluster_doc *doc);
void world_peer_doc(const struct world *w, unsigned int store,
		    struct peer_doc *doc);
/* The volume's value as it is now. */
void world_volume_doc(struct tenant *t, struct volume_doc *doc);

/* stores.c */
void store_node_init(struct world *w, unsigned int i);
void store_node_start(struct store_node *s);
/* @after: when it comes back. */
void store_node_kill(struct store_node *s, uint64_t after);
void store_node_crash(struct store_node *s, uint64_t after);
/* It may lose what is not synced although its machine lives. */
void store_node_suspect(struct store_node *s);
/* Its disk works again; it is restarted in case that it gave up. */
void store_node_heal(struct store_node *s);
void store_node_free(struct store_node *s);
unsigned int stores_serving(const struct world *w);

/* maintain.c */
void maintain_draw(struct world *w);
void store_maintain_init(struct store_node *s);
void store_maintain_start(struct store_node *s);
void store_maintain_stop(struct store_node *s);
bool maintain_idle(const struct world *w);
/* For people: what it does, and what about a chunk. */
const char *maintain_busy(const struct store_node *s);
const char *maintain_does(struct store_node *s, uint64_t volume, uint64_t chunk);

/* client.c */
void client_init(struct tenant *t, unsigned int i);
void client_attach(struct client *c, bool force, bool surviving);
void client_detach(struct client *c);
/* The process ends at once; @power: the host too, and the device with it. */
void client_kill(struct client *c, bool power);
void client_check_pump(struct client *c);
void client_check_read_done(struct client_op *op, int err);
/* Somebody else has tried to attach since this one did. */
bool client_superseded(const struct client *c);
const char *client_state_name(const struct client *c);

/* request.c */
bool client_submit_random(struct client *c);
/* A flush or a FUA write; c->last_done says when it is over. */
bool client_submit_last(struct client *c, bool fua);
/* Likewise, from the beginning of the volume on. */
bool client_submit_one(struct client *c, enum volume_op type, uint64_t length,
		       bool fua);
/* Look for requests that wait too long. */
void client_check_ages(struct client *c);
/* No done() follows; the driver's part, if the device survives. */
void client_drop_requests(struct client *c);
void client_resend(struct client *c);
struct client_op *op_new(struct client *c, enum volume_op type,
			 uint64_t offset, uint64_t length);
void op_submit(struct client_op *op);
void op_error(struct client_op *op, int err);
void op_free(struct client_op *op);

/* supervisor.c: keeps somebody attached. */
void supervisor_turn(struct world *w);
void supervisor_takeover(struct tenant *t);
void supervisor_handover(struct tenant *t);

/* faults.c */
void fault_random(struct world *w);
void faults_end(struct world *w);
/* Count one more fault; whether it is to happen. */
bool fault_begin(struct world *w, const char *name);
/* Whether a request that ends now may have met one in its time. */
bool faults_active(const struct world *w);
/* So many disks have spoilt copies that the others are too few for a volume. */
bool faults_few_good_disks(const struct world *w);

/** faults_spoilt_chunk() - all copies that there are of it are bad, two or more,
 * on disks that failed or rotted; every store has said so. */
bool faults_spoilt_chunk(const struct tenant *t, uint64_t chunk);
/* Somebody has recovered the volume. */
void faults_recovered(struct tenant *t);

/* events.c */
void events_draw(struct world *w);
void events_turn(struct world *w);

/* deletion.c */
void deletion_begin(struct world *w);
/* Whether there is nothing else to be done for that volume now. */
bool deletion_turn(struct tenant *t);

/* metaloss.c */
void metaloss_backup(struct world *w);
void metaloss_begin(struct world *w);
void metaloss_free(struct world *w);

/* full.c */
void full_draw(struct world *w);
void full_look(struct world *w);
/* It brings data, which may be refused for want of space. */
bool full_explains(const struct world *w, const struct volume_request *req);
/* There is not even room for a map page, so that things may be late; in the
 * calm the seed ends there. */
bool full_exhausted(struct world *w);
/* Nor for a whole chunk, of which an attach may need a copy. */
bool full_refuses_chunks(const struct world *w);
/* It has no room for another such copy. */
bool full_refuses(const struct store_node *s, const struct store_copy *copy);
/* In the calm: everything but new data works, and space comes back. */
void full_ordeal(struct world *w);

/* removal.c */
void removal_init(struct world *w);
void removal_lose(struct world *w);
void removal_retire(struct world *w);
/* A lost peer is still to be removed, or to come back. */
bool removal_goes_on(const struct world *w);
void removal_free(struct world *w);

/* rings.c */
struct ring_doc *ring_load(struct world *w);
void rings_put_first(struct world *w);
void ring_change_random(struct world *w);
/* @edit says whether there is something to be changed. */
typedef bool (*ring_edit_fn)(struct world *w, struct ring_spec *spec, void *ctx);
/* Whether it could be done now, and was. */
bool ring_change(struct world *w, ring_edit_fn edit, void *ctx);
void ring_add_spares(struct world *w, struct ring_spec *spec);

/* inspect.c */
void inspect_init(struct world *w);
void inspect_tenant(struct tenant *t);
void inspect_free(struct world *w);
/* The ring of that version; NULL: neither the current one nor the previous. */
const struct ring *inspect_ring(struct world *w, uint64_t version);
/* The current one; good until the next call. */
const struct ring *inspect_ring_now(struct world *w);
void inspect_chunk_path(const struct tenant *t, uint64_t chunk, char path[64]);
void inspect_power_loss(struct store_node *s);
/** inspect_dump() - the volume's value and every chunk file, for people. */
void inspect_dump(struct world *w, FILE *out);
/** inspect_acknowledged() - @at was acknowledged by @c's volume: who has it? */
void inspect_acknowledged(struct client *c, struct log_position at);
/* A record that a store has, or had. */
struct inspect_seen {
	uint64_t sequence, chunk;
	uint32_t block, blocks, crc, prev_crc;
};
/** inspect_find() - NULL: @s has not shown it yet; see inspect_update(). */
const struct inspect_seen *inspect_find(const struct store_node *s,
					const struct tenant *t,
					struct log_position at);
/** inspect_update() - see what has been added to the chunks from @first to
 * before @end, on all stores. */
void inspect_update(struct tenant *t, uint64_t first, uint64_t end);
/** inspect_update_older() - to those before the tail that may matter. */
void inspect_update_older(struct tenant *t, const struct volume_doc *doc);
/** inspect_members() - the ensemble of a chunk of the declared tail; how many. */
uint32_t inspect_members(struct tenant *t, const struct volume_doc *doc,
			 uint64_t chunk,
			 struct store_node *members[RING_REPLICATION_MAX]);

/* durable.c */
/** durable_attached() - @c is about to serve: has it synced what it found? */
void durable_attached(struct client *c);
/** durable_done() - a flush or FUA write of @op's client succeeded. */
void durable_done(const struct client_op *op);

/* files.c */
void files_watch(struct world *w);

/* audit.c: what the disks must hold when all is quiet. */
void audit(struct world *w, const char *when);
/** audit_needs() - whether a chunk is live by the root that the metadata names
 * now; false also if that cannot be told. */
bool audit_needs(struct tenant *t, uint64_t chunk);
/** audit_good_file() - whether a file has all records of a chunk from the first
 * on, @length blocks in all, and good ones; *@crc is the last one's. */
bool audit_good_file(struct store_node *s, const char *path,
		     const struct tenant *t, uint64_t chunk, uint32_t length,
		     uint32_t *crc);

/* scenario.c */
/* Until every volume is served and at rest; in the calm only. */
void scenario_settle(struct world *w, const char *when);
void scenario_run(struct world *w);

/* pauses.c: how long I/O stops for each kind of fault. Returns failures. */
unsigned int pauses_run(uint64_t first_seed, unsigned int *passed);

#endif
