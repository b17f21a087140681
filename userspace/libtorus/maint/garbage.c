// SPDX-License-Identifier: Apache-2.0
/*
 * One volume after the other, one step at a time:
 *
 *   REST -> NEXT -> DOC -> HEADER -> ROOT -> TABLE -> NEXT ...
 *            |                                         |
 *            | no volume is left                       |
 *            v                                         |
 *          GRACE -> DELETE -> REST                     |
 *            ^-----------------------------------------+ the list is full
 *
 * A copy is dead when its chunk lies below the horizon of the root that the
 * metadata store names now, and is not in that root's chunk table. Both only
 * ever become more true: a chunk that has left the table never comes back, and
 * its number is never used again. So what was found dead may be deleted later.
 *
 * A chunk below that horizon which is in the table ends, for all who will ever
 * read the log, where its owners' sealed copies do, and the table says how much
 * of it the root counts on. One on the value's sealed list ends where that
 * says, in all recoveries to come: if copies are lost, earlier, never later.
 * The store is told so of each unsealed copy that it has: it missed the SEAL,
 * and could not know whether a recoverer counts on more of it. That only ever
 * becomes more true as well. Who needs to know it has a look begun out of turn;
 * with pauses in between that double, until one finds out something.
 *
 * Whatever cannot be read, is missing or does not fit is no reason to delete
 * anything: the volume is left alone until the next look. A store that has seen
 * a higher epoch, or a later root, than the metadata store shows knows that
 * this went back in time, and collects nothing of that volume. What it has seen
 * is noted before the value is asked for, so that a writer who publishes in
 * between is not taken for that.
 */
#include "maint/garbage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "volume/root.h"

#define INTERVAL	(3600 * NSEC_PER_SEC)
#define GRACE		(150 * NSEC_PER_SEC)
#define FIRST_LOOK	(30 * NSEC_PER_SEC)
#define BEHIND_AGAIN	(30 * NSEC_PER_SEC)	/* somebody is mending that */
#define PAUSE_MIN	(10 * NSEC_PER_SEC)	/* between wanted looks */
#define CALL_TIMEOUT	(5 * NSEC_PER_SEC)
#define READ_TIMEOUT	(30 * NSEC_PER_SEC)
#define TABLE_CACHE	(1u << 20)

static void turn(struct env_timer *timer);

int garbage_init(struct garbage *g, struct env *env, struct meta *meta,
		 struct cluster *cluster, struct store *store,
		 const struct garbage_config *cfg)
{
	memset(g, 0, sizeof(*g));
	g->env = env;
	g->cluster = cluster;
	g->store = store;
	g->cfg = *cfg;
	if (g->cfg.interval_ns == 0)
		g->cfg.interval_ns = INTERVAL;
	if (g->cfg.grace_ns == 0)
		g->cfg.grace_ns = GRACE;
	g->pause = PAUSE_MIN;
	metacalls_init(&g->calls, meta);
	env_timer_init(&g->turn, turn);
	g->record = record_new();
	if (g->record == NULL)
		return -ENOMEM;
	env_timer_after(env, &g->turn, MIN(FIRST_LOOK, g->cfg.interval_ns));
	return 0;
}

/* What was loaded for one volume. Not from a callback of reader or map. */
static void forget_volume(struct garbage *g)
{
	reader_free(g->reader);
	chunk_table_free(g->table);
	free(g->entries);
	free(g->payload);
	g->reader = NULL;
	g->table = NULL;
	g->entries = NULL;
	g->payload = NULL;
}

void garbage_release(struct garbage *g)
{
	env_timer_cancel(g->env, &g->turn);
	metacalls_release(&g->calls);
	peer_call_cancel(&g->call);
	if (g->busy && g->state == GARBAGE_TABLE)
		map_lookup_cancel(&g->lookup);
	if (g->busy && g->state == GARBAGE_DELETE)
		store_copy_cancel(g->store, &g->op);
	forget_volume(g);
	record_free(g->record);
}

static void kick(struct garbage *g)
{
	env_timer_after(g->env, &g->turn, 0);
}

/* An answer came: what it means is seen in the turn. */
static void go_on(struct garbage *g, enum garbage_state state)
{
	g->busy = false;
	g->state = state;
	kick(g);
}

static void skip_volume(struct garbage *g)
{
	go_on(g, GARBAGE_NEXT);
}

void garbage_look(struct garbage *g)
{
	if (g->state == GARBAGE_REST)
		kick(g);
	else
		g->again = true;
}

/* Not before the pause is over. */
static void look_wanted(struct garbage *g)
{
	env_timer_set_by(g->env, &g->turn,
			 MAX(g->not_before, env_now(g->env)));
}

void garbage_want(struct garbage *g)
{
	g->wanted = true;
	if (g->state == GARBAGE_REST)
		look_wanted(g);
}

bool garbage_idle(const struct garbage *g)
{
	return g->state == GARBAGE_REST && !g->again;
}

bool garbage_is_dead(const struct garbage *g, uint64_t volume, uint64_t chunk)
{
	uint32_t i;

	for (i = 0; i < g->dead_count; i++)
		if (g->dead[i].volume == volume && g->dead[i].chunk == chunk)
			return true;
	return false;
}

void garbage_report(const struct garbage *g,
		    struct wire_maintenance_reply *reply)
{
	reply->garbage_chunks = cpu_to_le64(g->removed);
	reply->behind = cpu_to_le64(g->behind);
}

/* ---- NEXT, DOC -------------------------------------------------------- */

/* The metadata store knows less of the volume than this store has seen; roots
 * that a recovery gave up it knows of. */
static bool went_back(const struct garbage *g, const struct volume_doc *doc)
{
	return g->seen.epoch > doc->epoch ||
	       g->seen.root > MAX(doc->root.addr, doc->root_floor);
}

/* How much of an unsealed copy here counts is known now. */
static void settle(struct garbage *g, uint64_t chunk, uint32_t blocks,
		   uint32_t end_crc)
{
	if (!store_copy_settle(g->store, g->volume, chunk, blocks, end_crc,
			       g->epoch))
		return;
	g->pause = PAUSE_MIN;
	if (g->cfg.settled != NULL)
		g->cfg.settled(g->cfg.ctx, g->volume, chunk);
}

static void settle_sealed(struct garbage *g, const struct volume_doc *doc)
{
	uint32_t i;

	for (i = 0; i < doc->sealed_count; i++)
		settle(g, doc->sealed[i].chunk, doc->sealed[i].length,
		       doc->sealed[i].end_crc);
}

/* Its index in told; told_count: it is not there. */
static uint32_t told_of(struct garbage *g)
{
	uint32_t i = 0;

	while (i < g->told_count && g->told[i] != g->volume)
		i++;
	return i;
}

/* Once for each volume, not in each look until it is mended. Where there is no
 * room for one more, the whole metadata store went back: all know. */
static void tell_behind(struct garbage *g, const struct volume_doc *doc)
{
	if (told_of(g) < g->told_count || g->told_count == GARBAGE_TOLD_MAX)
		return;
	g->told[g->told_count++] = g->volume;
	log_warning("volume %s: this store has seen epoch %" PRIu64 " and a root in chunk %" PRIu64 ", which the metadata store does not know: it went back in time, and no garbage of the volume is collected. See torusctl recover%s",
		    doc->name, g->seen.epoch, block_addr_chunk(g->seen.root),
		    g->told_count == GARBAGE_TOLD_MAX ?
		    "; further volumes are not named here" : "");
}

/* Should it go back once more, that is news. */
static void is_mended(struct garbage *g)
{
	uint32_t i = told_of(g);

	if (i < g->told_count)
		g->told[i] = g->told[--g->told_count];
}

static void take_doc(struct garbage *g, const struct volume_doc *doc)
{
	if (went_back(g, doc)) {
		g->behind_now++;
		tell_behind(g, doc);
		skip_volume(g);
		return;
	}
	is_mended(g);
	g->root = doc->root;
	g->epoch = doc->epoch;
	g->replication = doc->replication;
	g->peer = 0;
	settle_sealed(g, doc);
	go_on(g, doc->root.addr != 0 ? GARBAGE_HEADER : GARBAGE_NEXT);
}

static void got_doc(void *ctx, int err, const struct volume_doc *doc)
{
	struct garbage *g = ctx;

	if (doc == NULL)
		skip_volume(g);
	else
		take_doc(g, doc);
}

static void ask_for_doc(struct garbage *g)
{
	g->state = GARBAGE_DOC;
	g->busy = true;
	g->fetch = (struct volume_fetch){
		.calls = &g->calls, .cluster = &cluster_doc(g->cluster)->id,
		.volume = g->volume, .done = got_doc, .ctx = g,
	};
	volume_fetch(&g->fetch);
}

static void next_volume(struct garbage *g)
{
	struct store_copy copy;

	forget_volume(g);
	if (g->dead_count == GARBAGE_DEAD_MAX) {
		g->again = true;
	} else if (store_copy_next(g->store, g->volume, UINT64_MAX, &copy)) {
		g->volume = copy.volume;
		store_volume_seen(g->store, g->volume, &g->seen);
		if (!g->seen.tombstone)
			ask_for_doc(g);
		return;
	}
	g->volume = 0;
	g->behind = g->behind_now;
	g->behind_now = 0;
	g->state = GARBAGE_GRACE;
	env_timer_after(g->env, &g->turn,
			g->dead_count > 0 ? g->cfg.grace_ns : 0);
}

/* ---- HEADER, ROOT ----------------------------------------------------- */

static bool header_fits(struct garbage *g, const struct peer_call *call)
{
	const struct record *r = g->record;

	return !call->err && call->status == WIRE_OK &&
	       call->scratch_count == 1 && call->reply_len == BLOCK_SIZE &&
	       record_decode(call->scratch[0].iov_base, BLOCK_SIZE,
			     g->record) == 0 &&
	       r->crc == g->root.crc && r->volume == g->volume &&
	       block_addr(r->chunk, r->block) == g->root.addr &&
	       r->extent_count == 1 && r->extents[0].kind == EXTENT_ROOT;
}

static void got_header(struct peer_call *call)
{
	struct garbage *g = call->ctx;

	go_on(g, header_fits(g, call) ? GARBAGE_ROOT : GARBAGE_HEADER);
}

/* The next of all peers of the ring that may be asked; NULL: none is left. */
static struct peer *next_peer(struct garbage *g)
{
	const struct ring *ring = cluster_ring(g->cluster);
	uint16_t order[RING_MEMBERS_MAX];
	struct peer *peer;
	uint32_t count;

	count = ring_permutation(ring, g->volume,
				 block_addr_chunk(g->root.addr), order);
	while (g->peer < count) {
		peer = peer_find(cluster_peers(g->cluster),
				 &ring_spec(ring)->members[order[g->peer++]].peer);
		if (peer != NULL && peer_usable(peer))
			return peer;
	}
	return NULL;
}

static void ask_for_header(struct garbage *g)
{
	struct wire_read body = {
		.volume = cpu_to_le64(g->volume),
		.chunk = cpu_to_le64(block_addr_chunk(g->root.addr)),
		.attached = cpu_to_le64(g->volume),
		.block = cpu_to_le32(block_addr_block(g->root.addr)),
		.blocks = cpu_to_le32(1),
	};
	struct peer *peer = next_peer(g);

	if (peer == NULL) {
		skip_volume(g);
		return;
	}
	memset(&g->call, 0, sizeof(g->call));
	g->call.type = WIRE_READ;
	g->call.body = &body;
	g->call.timeout_ns = CALL_TIMEOUT;
	g->call.done = got_header;
	g->call.ctx = g;
	g->busy = true;
	peer_call(peer, &g->call);
}

static void load_page(void *ctx, struct map_page_load *load);

static const struct map_owner_ops table_ops = { .load_page = load_page };

/* 0, or why the table cannot be looked at. */
static int open_table(struct garbage *g)
{
	struct chunk_table_config cfg = {
		.cache_limit = TABLE_CACHE, .ops = &table_ops, .ctx = g,
	};
	struct root root;
	int err;

	err = root_decode(g->payload, (size_t)g->read.count * BLOCK_SIZE, &root);
	if (err)
		return err;
	if (root.volume == g->volume && root.sequence == g->root.sequence) {
		cfg.next_chunk = root.next_chunk;
		g->horizon = root.horizon;
		g->table = chunk_table_new(&cfg, &root.chunk_table);
	}
	root_release(&root);
	return g->table != NULL ? 0 : -EUCLEAN;
}

static void got_root(struct block_read *read, int err)
{
	struct garbage *g = read->ctx;

	if (!err)
		err = open_table(g);
	g->chunk = 0;
	go_on(g, err ? GARBAGE_NEXT : GARBAGE_TABLE);
}

/* The reader checks the payload against the CRCs in the header. */
static void ask_for_root(struct garbage *g)
{
	const struct reader_config cfg = {
		.volume = g->volume, .replication = g->replication,
		.io_timeout_ns = READ_TIMEOUT, .ctx = g,
	};
	const struct record *r = g->record;
	uint32_t i, n = r->payload_blocks;

	g->reader = reader_new(g->env, g->cluster, &cfg);
	g->entries = calloc(n, sizeof(*g->entries));
	g->payload = malloc((size_t)n * BLOCK_SIZE);
	if (g->reader == NULL || g->entries == NULL || g->payload == NULL) {
		skip_volume(g);
		return;
	}
	for (i = 0; i < n; i++) {
		g->entries[i].addr = g->root.addr + r->header_blocks + i;
		g->entries[i].crc = r->payload_crc[i];
	}
	g->read = (struct block_read){
		.entries = g->entries, .count = n, .buffer = g->payload,
		.done = got_root, .ctx = g,
	};
	g->busy = true;
	reader_read(g->reader, &g->read);
}

/* ---- TABLE ------------------------------------------------------------ */

static void page_read(struct block_read *read, int err)
{
	struct garbage *g = read->ctx;

	map_page_loaded(g->load, err);
}

static void load_page(void *ctx, struct map_page_load *load)
{
	struct garbage *g = ctx;

	g->load = load;
	g->page = (struct block_read){
		.entries = &load->entry, .count = 1, .buffer = load->page,
		.done = page_read, .ctx = g,
	};
	reader_read(g->reader, &g->page);
}

/* The copies here that the answer is about. Others may have been restored since
 * it was asked for, also of lower chunks: the next look is for those. */
static void judge(struct garbage *g)
{
	uint64_t end = g->lookup.first + MAP_FANOUT;
	const struct map_entry *entry;
	struct chunk_info info;
	struct store_copy copy;

	if (g->lookup.first > 0)
		g->chunk = MAX(g->chunk, g->lookup.first - 1);
	while (store_copy_next(g->store, g->volume, g->chunk, &copy) &&
	       copy.volume == g->volume && copy.chunk < MIN(end, g->horizon) &&
	       g->dead_count < GARBAGE_DEAD_MAX) {
		g->chunk = copy.chunk;
		entry = &g->found[copy.chunk - g->lookup.first];
		chunk_info_decode(entry, &info);
		if (entry->addr == 0)
			g->dead[g->dead_count++] = (struct garbage_dead){
				copy.volume, copy.chunk };
		else if (copy.state != WIRE_COPY_SEALED)
			settle(g, copy.chunk, info.length, 0);
	}
}

static void looked_up(struct map_lookup *lookup, int err)
{
	struct garbage *g = lookup->ctx;

	if (!err)
		judge(g);
	go_on(g, err ? GARBAGE_NEXT : GARBAGE_TABLE);
}

static void look_at_copies(struct garbage *g)
{
	struct store_copy copy;
	int err;

	if (g->dead_count == GARBAGE_DEAD_MAX ||
	    !store_copy_next(g->store, g->volume, g->chunk, &copy) ||
	    copy.volume != g->volume || copy.chunk >= g->horizon) {
		g->state = GARBAGE_NEXT;
		kick(g);
		return;
	}
	memset(&g->lookup, 0, sizeof(g->lookup));
	g->lookup.first = copy.chunk / MAP_FANOUT * MAP_FANOUT;
	g->lookup.count = MAP_FANOUT;
	g->lookup.entries = g->found;
	g->lookup.done = looked_up;
	g->lookup.ctx = g;
	g->busy = true;
	err = map_lookup(chunk_table_map(g->table), &g->lookup);
	if (err != -EINPROGRESS)
		looked_up(&g->lookup, err);
}

/* ---- DELETE ----------------------------------------------------------- */

/* Once dead, a chunk stays dead. If the whole volume was deleted meanwhile,
 * somebody else is at it. */
static bool still(struct store_copy_op *op)
{
	const struct garbage *g = op->ctx;
	struct store_volume_seen seen;

	store_volume_seen(g->store, op->volume, &seen);
	return !seen.tombstone;
}

static void deleted(struct store_copy_op *op, int err)
{
	struct garbage *g = op->ctx;

	if (err == 0)
		g->removed++;
	else if (err != -ENOENT && err != -ECANCELED)
		log_warning("volume %016" PRIx64 ", chunk %" PRIu64 ": no root needs it, but it cannot be removed (%s)",
			    op->volume, op->chunk, strerror(-err));
	go_on(g, GARBAGE_DELETE);
}

/* Whoever mends the metadata wants to see that it is well. */
static uint64_t next_look(const struct garbage *g)
{
	if (g->again)
		return 0;
	return g->behind > 0 ? MIN(g->cfg.interval_ns, BEHIND_AGAIN) :
			       g->cfg.interval_ns;
}

static void rest(struct garbage *g)
{
	g->state = GARBAGE_REST;
	g->not_before = env_now(g->env) + g->pause;
	g->pause = MIN(2 * g->pause, MAX(g->cfg.interval_ns, PAUSE_MIN));
	env_timer_after(g->env, &g->turn, next_look(g));
	if (g->wanted)
		look_wanted(g);
}

static void delete_next(struct garbage *g)
{
	const struct garbage_dead *dead;

	if (g->dead_count == 0) {
		rest(g);
		return;
	}
	dead = &g->dead[--g->dead_count];
	memset(&g->op, 0, sizeof(g->op));
	g->op.volume = dead->volume;
	g->op.chunk = dead->chunk;
	g->op.still = still;
	g->op.done = deleted;
	g->op.ctx = g;
	g->busy = true;
	store_copy_delete(g->store, &g->op);
}

/* ---- the turn --------------------------------------------------------- */

static void turn(struct env_timer *timer)
{
	struct garbage *g = container_of(timer, struct garbage, turn);

	if (g->busy)
		return;
	switch (g->state) {
	case GARBAGE_REST:
		g->again = false;
		g->wanted = false;
		g->volume = 0;
		g->state = GARBAGE_NEXT;
		/* fallthrough */
	case GARBAGE_NEXT:
		next_volume(g);
		if (!g->busy && g->state == GARBAGE_NEXT)
			kick(g);
		break;
	case GARBAGE_HEADER:
		ask_for_header(g);
		break;
	case GARBAGE_ROOT:
		ask_for_root(g);
		break;
	case GARBAGE_TABLE:
		look_at_copies(g);
		break;
	case GARBAGE_GRACE:
		g->state = GARBAGE_DELETE;
		/* fallthrough */
	case GARBAGE_DELETE:
		delete_next(g);
		break;
	case GARBAGE_DOC:
		break;
	}
}
