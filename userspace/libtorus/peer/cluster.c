// SPDX-License-Identifier: Apache-2.0
/*
 * Three views of the metadata store are kept current: the ring, the peers'
 * documents, and the keys under the peers' leases. Each is loaded by a list
 * and followed by a watch from the revision after it; when history is lost
 * (META_EVENT_RESET) it is listed again, and what the list lacks is dropped.
 * Opening reads the cluster's document, then the views one after another.
 *
 * A metadata request cannot be cancelled, so each has a ticket of its own,
 * which cluster_close() orphans.
 *
 * A value that cannot be understood never replaces one that could: it is
 * logged, and the cluster goes on with what it knows.
 */
#include "peer/cluster.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "peer/ring_change.h"

#define RELOAD_MIN (1 * NSEC_PER_SEC)
#define RELOAD_MAX (30 * NSEC_PER_SEC)

enum view_type { VIEW_RING, VIEW_PEERS, VIEW_ALIVE, VIEW_COUNT };

struct view {
	struct cluster *cluster;
	enum view_type type;
	char prefix[META_KEY_MAX];
	struct meta_watch *watch;
	struct env_timer reload;	/* after a list that failed */
	uint64_t reload_delay;
	bool loading;
};

struct member {
	struct list_head node;		/* cluster->members, in order of uuid */
	struct uuid id;
	bool known;			/* doc is there */
	bool alive;
	bool listed;			/* while a list is being applied */
	struct peer_doc doc;
};

struct ticket {
	struct list_head node;		/* cluster->tickets */
	struct cluster *cluster;	/* NULL: closed */
	struct view *view;
};

struct cluster {
	struct env *env;
	struct meta *meta;
	struct cluster_config cfg;
	void (*open_done)(void *ctx, int err);	/* NULL: called already */
	void *open_ctx;
	struct cluster_doc doc;
	struct peer_set *peers;
	struct ring *ring, *previous;
	int64_t ring_revision;		/* of its key */
	struct list_head members;
	struct list_head tickets;
	struct view views[VIEW_COUNT];
};

/* Tickets without a cluster: the metadata store may be closed without ever
 * answering, so they must be found from somewhere. */
static struct list_head orphans = LIST_HEAD_INIT(orphans);

/* ---- members ------------------------------------------------------------ */

static struct member *member_find(const struct cluster *c,
				  const struct uuid *id)
{
	struct member *m;

	list_for_each_entry(m, &c->members, node)
		if (uuid_equal(&m->id, id))
			return m;
	return NULL;
}

static struct member *member_get(struct cluster *c, const struct uuid *id)
{
	struct member *m = member_find(c, id), *next;

	if (m != NULL)
		return m;
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return NULL;
	m->id = *id;
	list_for_each_entry(next, &c->members, node)
		if (memcmp(&next->id, id, sizeof(*id)) > 0)
			break;
	list_add_tail(&m->node, &next->node);
	return m;
}

static void member_forget(struct cluster *c, struct member *m)
{
	struct peer *peer = peer_find(c->peers, &m->id);

	m->known = false;
	if (peer != NULL)
		peer_disconnect(peer);
	if (c->open_done == NULL && c->cfg.ops != NULL &&
	    c->cfg.ops->peer_forgotten != NULL)
		c->cfg.ops->peer_forgotten(c->cfg.ctx, &m->id);
}

static void member_set_alive(struct cluster *c, struct member *m, bool alive)
{
	bool changed = m->alive != alive;

	m->alive = alive;
	if (changed && c->open_done == NULL && c->cfg.ops != NULL &&
	    c->cfg.ops->alive_changed != NULL)
		c->cfg.ops->alive_changed(c->cfg.ctx, &m->id, alive);
}

/* Its lease stands: no need to sit out a back-off. */
static void member_came_alive(struct cluster *c, struct member *m)
{
	struct peer *peer = peer_find(c->peers, &m->id);

	if (peer != NULL && !peer_usable(peer))
		peer_connect(peer);
	member_set_alive(c, m, true);
}

static int key_uuid(const char *key, struct uuid *id)
{
	const char *slash = strrchr(key, '/');

	return slash != NULL ? uuid_parse(slash + 1, id) : -EINVAL;
}

/* The member that @key is about; NULL: none, which is logged. */
static struct member *key_member(struct cluster *c, const char *key)
{
	struct member *m;
	struct uuid id;

	if (key_uuid(key, &id) < 0) {
		log_error("metadata key %s: its name does not end with a uuid",
			  key);
		return NULL;
	}
	m = member_get(c, &id);
	if (m == NULL)
		log_error("metadata key %s: out of memory", key);
	return m;
}

/* ---- applying values ---------------------------------------------------- */

static int ring_apply(struct cluster *c, const struct meta_kv *kv,
		      struct ring_doc *doc)
{
	struct ring *ring = NULL, *previous = NULL;
	struct ring *old = c->ring, *old_previous = c->previous;
	int err;

	err = ring_doc_decode(kv->key, kv->value, doc);
	if (err < 0)
		return err;
	err = ring_create(&doc->current, &ring);
	if (err < 0)
		return err;
	if (doc->has_previous)
		err = ring_create(&doc->previous, &previous);
	if (err < 0) {
		ring_free(ring);
		return err;
	}
	if (old != NULL && ring_spec(old)->version > doc->current.version)
		log_error("the metadata store went back: its ring has version %" PRIu64 ", version %" PRIu64 " was seen before",
			  doc->current.version, ring_spec(old)->version);
	c->ring = ring;
	c->previous = previous;
	c->ring_revision = kv->mod_revision;
	if (c->open_done == NULL && c->cfg.ops != NULL &&
	    c->cfg.ops->ring_changed != NULL)
		c->cfg.ops->ring_changed(c->cfg.ctx);
	/* Only now: the owner may have held them until it was told. */
	ring_free(old);
	ring_free(old_previous);
	return 0;
}

static int ring_put(struct cluster *c, const struct meta_kv *kv)
{
	struct ring_doc *doc = malloc(sizeof(*doc));
	int err;

	if (doc == NULL)
		return error_set(-ENOMEM, "out of memory");
	err = ring_apply(c, kv, doc);
	free(doc);
	return err;
}

static int peer_put(struct cluster *c, const struct meta_kv *kv)
{
	struct member *m = key_member(c, kv->key);
	struct peer_doc doc;
	int err;

	if (m == NULL)
		return 0;
	m->listed = true;
	err = peer_doc_decode(kv->key, kv->value, &doc);
	if (err < 0)
		return err;
	if (!uuid_equal(&doc.id, &m->id))
		return error_set(-EBADMSG, "metadata key %s: its value is about another peer",
				 kv->key);
	if (peer_set_update(c->peers, &doc.id, doc.address) == NULL)
		return error_set(-ENOMEM, "metadata key %s: out of memory",
				 kv->key);
	m->doc = doc;
	m->known = true;
	return 0;
}

static int alive_put(struct cluster *c, const struct meta_kv *kv)
{
	struct member *m = key_member(c, kv->key);

	if (m == NULL)
		return 0;
	m->listed = true;
	member_came_alive(c, m);
	return 0;
}

static int view_put(struct view *view, const struct meta_kv *kv)
{
	switch (view->type) {
	case VIEW_RING:
		return ring_put(view->cluster, kv);
	case VIEW_PEERS:
		return peer_put(view->cluster, kv);
	default:
		return alive_put(view->cluster, kv);
	}
}

/* One that neither key tells of is freed. */
static void member_drop(struct view *view, struct member *m)
{
	if (view->type == VIEW_PEERS && m->known)
		member_forget(view->cluster, m);
	else if (view->type == VIEW_ALIVE)
		member_set_alive(view->cluster, m, false);
	if (m->known || m->alive)
		return;
	list_del_init(&m->node);
	free(m);
}

static void view_delete(struct view *view, const char *key)
{
	struct member *m;
	struct uuid id;

	if (view->type == VIEW_RING) {
		log_error("metadata key %s was deleted: going on with the ring as it was",
			  key);
		return;
	}
	if (key_uuid(key, &id) < 0)
		return;
	m = member_find(view->cluster, &id);
	if (m != NULL)
		member_drop(view, m);
}

/* ---- loading and watching ----------------------------------------------- */

static void view_load(struct view *view);

static struct ticket *ticket_new(struct cluster *c, struct view *view)
{
	struct ticket *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->cluster = c;
	t->view = view;
	list_add_tail(&t->node, &c->tickets);
	return t;
}

/* The request is over; NULL: nobody waits for it any more. */
static struct cluster *ticket_end(struct ticket *t, struct view **view)
{
	struct cluster *c = t->cluster;

	if (view != NULL)
		*view = t->view;
	list_del_init(&t->node);
	free(t);
	return c;
}

/* The owner may close the cluster from inside. */
static void open_finish(struct cluster *c, int err)
{
	void (*done)(void *ctx, int err) = c->open_done;

	c->open_done = NULL;
	if (done != NULL)
		done(c->open_ctx, err);
}

static void view_event(void *ctx, enum meta_event_type type,
		       const struct meta_kv *kv)
{
	struct view *view = ctx;
	int err;

	switch (type) {
	case META_EVENT_RESET:
		view_load(view);
		break;
	case META_EVENT_DELETE:
		view_delete(view, kv->key);
		break;
	default:
		error_clear();
		err = view_put(view, kv);
		if (err < 0)
			log_error("change ignored: %s", error_text(err));
	}
}

static int view_apply_list(struct view *view, const struct meta_kv *kv,
			   size_t count)
{
	struct cluster *c = view->cluster;
	struct member *m, *next;
	size_t i;
	int err, first = 0;

	list_for_each_entry(m, &c->members, node)
		m->listed = false;
	for (i = 0; i < count; i++) {
		error_clear();
		err = view_put(view, &kv[i]);
		if (err < 0)
			log_error("value ignored: %s", error_text(err));
		if (first == 0)
			first = err;
	}
	if (view->type == VIEW_RING)
		return first;
	list_for_each_entry_safe(m, next, &c->members, node)
		if (!m->listed)
			member_drop(view, m);
	return 0;
}

static void view_watch(struct view *view, int64_t revision)
{
	struct meta *meta = view->cluster->meta;

	if (view->watch != NULL)
		meta->ops->unwatch(meta, view->watch);
	view->watch = meta->ops->watch(meta, view->prefix, revision + 1,
				       view_event, view);
}

/* A later load failed: go on with what is known, try again. */
static void view_retry(struct view *view, int err)
{
	log_warning("cannot read %s from the metadata store: %s", view->prefix,
		    error_text(err));
	env_timer_after(view->cluster->env, &view->reload, view->reload_delay);
	view->reload_delay *= 2;
	if (view->reload_delay > RELOAD_MAX)
		view->reload_delay = RELOAD_MAX;
}

static int view_loaded(struct view *view, int64_t revision,
		       const struct meta_kv *kv, size_t count)
{
	struct cluster *c = view->cluster;
	int err = view_apply_list(view, kv, count);

	if (err < 0 && c->ring == NULL)
		return err;
	if (view->type == VIEW_RING && c->ring == NULL)
		return error_set(-ENOENT, "the cluster has no ring (key %s): restore the metadata store from a backup",
				 view->prefix);
	view_watch(view, revision);
	if (view->watch == NULL)
		return error_set(-ENOMEM, "out of memory");
	view->reload_delay = RELOAD_MIN;
	return 0;
}

static void view_list_done(void *ctx, int err, int64_t revision,
			   const struct meta_kv *kv, size_t count)
{
	struct view *view;
	struct cluster *c = ticket_end(ctx, &view);

	if (c == NULL)
		return;
	view->loading = false;
	if (err == 0)
		err = view_loaded(view, revision, kv, count);
	if (c->open_done == NULL) {
		if (err < 0)
			view_retry(view, err);
	} else if (err < 0 || view->type + 1 == VIEW_COUNT) {
		open_finish(c, err);
	} else {
		view_load(&c->views[view->type + 1]);
	}
}

static void view_load(struct view *view)
{
	struct cluster *c = view->cluster;
	struct ticket *t;

	if (view->loading)
		return;
	t = ticket_new(c, view);
	if (t == NULL) {
		env_timer_after(c->env, &view->reload, view->reload_delay);
		return;
	}
	view->loading = true;
	env_timer_cancel(c->env, &view->reload);
	c->meta->ops->list(c->meta, view->prefix, view_list_done, t);
}

static void reload_fired(struct env_timer *timer)
{
	view_load(container_of(timer, struct view, reload));
}

/* ---- opening and closing ------------------------------------------------ */

static void peer_changed(void *ctx, struct peer *peer, int err)
{
	struct cluster *c = ctx;

	if (c->cfg.ops != NULL && c->cfg.ops->peer_changed != NULL)
		c->cfg.ops->peer_changed(c->cfg.ctx, peer, err);
}

static const struct peer_set_ops peer_ops = { .changed = peer_changed };

static int peers_init(struct cluster *c)
{
	struct peer_set_config cfg = {
		.cluster = c->doc.id,
		.self = c->cfg.self,
		.role = c->cfg.role,
		.replica_timeout_ns = c->cfg.replica_timeout_ns,
		.ops = &peer_ops,
		.ctx = c,
	};

	c->peers = peer_set_new(c->env, &cfg);
	return c->peers != NULL ? 0 : error_set(-ENOMEM, "out of memory");
}

static int doc_loaded(struct cluster *c, const struct meta_kv *kv)
{
	int err;

	if (kv == NULL)
		return error_set(-ENOENT, "there is no cluster in this metadata store (no key %s): make one with `torusctl init`",
				 KEY_CLUSTER);
	err = cluster_doc_decode(kv->key, kv->value, &c->doc);
	if (err < 0)
		return err;
	key_ring(&c->doc.id, c->views[VIEW_RING].prefix);
	key_prefix(&c->doc.id, "peers", c->views[VIEW_PEERS].prefix);
	key_prefix(&c->doc.id, "alive", c->views[VIEW_ALIVE].prefix);
	return peers_init(c);
}

static void doc_get_done(void *ctx, int err, int64_t revision,
			 const struct meta_kv *kv)
{
	struct cluster *c = ticket_end(ctx, NULL);

	if (c == NULL)
		return;
	if (err == 0)
		err = doc_loaded(c, kv);
	if (err < 0)
		open_finish(c, err);
	else
		view_load(&c->views[VIEW_RING]);
}

struct cluster *cluster_open(struct env *env, struct meta *meta,
			     const struct cluster_config *cfg,
			     void (*done)(void *ctx, int err), void *ctx)
{
	struct cluster *c = calloc(1, sizeof(*c));
	struct ticket *t;
	unsigned int i;

	if (c == NULL)
		return NULL;
	c->env = env;
	c->meta = meta;
	c->cfg = *cfg;
	c->open_done = done;
	c->open_ctx = ctx;
	list_init(&c->members);
	list_init(&c->tickets);
	for (i = 0; i < VIEW_COUNT; i++) {
		c->views[i].cluster = c;
		c->views[i].type = (enum view_type)i;
		c->views[i].reload_delay = RELOAD_MIN;
		env_timer_init(&c->views[i].reload, reload_fired);
	}
	t = ticket_new(c, NULL);
	if (t == NULL) {
		free(c);
		return NULL;
	}
	meta->ops->get(meta, KEY_CLUSTER, doc_get_done, t);
	return c;
}

void cluster_close(struct cluster *c)
{
	struct ticket *t;
	struct member *m, *next_member;
	unsigned int i;

	if (c == NULL)
		return;
	for (i = 0; i < VIEW_COUNT; i++) {
		env_timer_cancel(c->env, &c->views[i].reload);
		if (c->views[i].watch != NULL)
			c->meta->ops->unwatch(c->meta, c->views[i].watch);
	}
	list_for_each_entry(t, &c->tickets, node)
		t->cluster = NULL;
	list_splice_tail_init(&c->tickets, &orphans);
	list_for_each_entry_safe(m, next_member, &c->members, node)
		free(m);
	peer_set_free(c->peers);
	ring_free(c->ring);
	ring_free(c->previous);
	free(c);
}

/* ---- questions ---------------------------------------------------------- */

const struct cluster_doc *cluster_doc(const struct cluster *c)
{
	return &c->doc;
}

struct peer_set *cluster_peers(struct cluster *c)
{
	return c->peers;
}

const struct ring *cluster_ring(const struct cluster *c)
{
	return c->ring;
}

int64_t cluster_ring_revision(const struct cluster *c)
{
	return c->ring_revision;
}

void cluster_reload_ring(struct cluster *c)
{
	view_load(&c->views[VIEW_RING]);
}

const struct ring *cluster_ring_version(const struct cluster *c,
					uint64_t version)
{
	if (ring_spec(c->ring)->version == version)
		return c->ring;
	if (c->previous != NULL && ring_spec(c->previous)->version == version)
		return c->previous;
	return NULL;
}

bool cluster_peer_alive(const struct cluster *c, const struct uuid *peer)
{
	const struct member *m = member_find(c, peer);

	return m != NULL && m->alive;
}

bool cluster_peer_expected(const struct cluster *c, const struct uuid *peer)
{
	const struct member *m = member_find(c, peer);

	return (m != NULL && m->known) ||
	       ring_change_has(ring_spec(c->ring), peer) ||
	       (c->previous != NULL &&
		ring_change_has(ring_spec(c->previous), peer));
}

void cluster_for_each_peer(const struct cluster *c, cluster_peer_fn fn,
			   void *ctx)
{
	struct member *m, *next;

	list_for_each_entry_safe(m, next, &c->members, node)
		if (m->known)
			fn(ctx, &m->doc, m->alive);
}
