// SPDX-License-Identifier: Apache-2.0
/*
 * All volumes are listed once per grace. One that has a tail, and no attachment
 * but perhaps one of maintenance, and whose value is the same as a grace ago is
 * settled: attach, detach. The claim of the attach is a compare-and-swap, so
 * that of several torusd that try only one goes on; they begin at different
 * moments, by chance.
 *
 *   rest --grace--> list --candidates that have not changed--> one by one:
 *        attach -> detach -> free
 *
 * A volume that has an attachment is left to its owner, dead or not. Because: a
 * claim would fail a device that survives its helper (invariant 5), and an idle
 * writer that is cut off from the metadata store alone would lose it too, while
 * its peers still hear it. `torusctl detach --force` decides that, and what it
 * leaves is settled here.
 *
 * Whoever attaches meanwhile takes the volume over (volume/claim.c); this one
 * is fenced then, and lets go.
 */
#include "maint/settle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"

#define GRACE_NS	(600 * NSEC_PER_SEC)
#define MAP_CACHE_BYTES (4ull << 20)
#define OVERLAY_BYTES	(16ull << 20)

static void turn(struct env_timer *timer);

static uint64_t grace(const struct settler *s)
{
	return s->cfg.grace_ns ? s->cfg.grace_ns : GRACE_NS;
}

/* ---- one volume ---------------------------------------------------------------- */

static void next_soon(struct settler *s)
{
	env_timer_after(s->env, &s->turn, 0);
}

static void let_go(struct settler *s)
{
	volume_free(s->volume);
	s->volume = NULL;
	next_soon(s);
}

/* Once more after a grace, unless its value changes until then: what ended this
 * attempt may have been the metadata store's absence, which leaves no trace. */
static void try_again(struct settler *s)
{
	for (uint32_t i = 0; i < s->seen_count; i++) {
		if (strcmp(s->seen[i].name, s->name) != 0)
			continue;
		s->seen[i].tried = false;
		s->seen[i].since = env_now(s->env);
	}
}

static void detached(void *ctx, int err)
{
	struct settler *s = ctx;

	if (err) {
		s->failed++;
		log_info("volume %s, which nobody uses, could not be closed: %s",
			 s->name, error_text(err));
		try_again(s);
	} else {
		s->settled++;
		log_info("volume %s, which nobody closed, is recovered and sealed",
			 s->name);
	}
	let_go(s);
}

static void attached(void *ctx, int err)
{
	struct settler *s = ctx;

	if (!err) {
		volume_detach(s->volume, detached, s);
		return;
	}
	s->failed++;
	log_info("volume %s, which nobody uses, could not be recovered: %s",
		 s->name, error_text(err));
	try_again(s);
	let_go(s);
}

/* Fenced, most likely: whoever did that seals the log in the end. The detach
 * that is under way ends with an error by itself. */
static void failed(void *ctx, enum volume_failure why)
{
	(void)ctx;
	(void)why;
}

static void begin(struct settler *s, const struct settler_seen *seen)
{
	static const struct volume_ops ops = { .failed = failed };
	struct volume_config cfg = {
		.from_maintenance = seen->stale,
		.map_cache_bytes = MAP_CACHE_BYTES,
		.overlay_bytes = OVERLAY_BYTES,
		.ops = &ops, .ctx = s,
	};
	struct attachment *a = &cfg.attachment;

	snprintf(cfg.name, sizeof(cfg.name), "%s", seen->name);
	snprintf(s->name, sizeof(s->name), "%s", seen->name);
	snprintf(a->host, sizeof(a->host), "%s", s->cfg.host);
	snprintf(a->device, sizeof(a->device), "%s", ATTACHMENT_MAINTENANCE);
	env_random(s->env, a->incarnation.byte, sizeof(a->incarnation.byte));
	uuid_from_random(&a->incarnation);
	s->volume = volume_attach(s->env, s->meta, &cfg, attached, s);
	if (s->volume)
		return;
	try_again(s);		/* no memory */
	s->name[0] = '\0';
}

/* ---- who is left alone? ---------------------------------------------------------- */

static bool is_candidate(const struct volume_doc *doc)
{
	bool ours = doc->attachment.present &&
		    strcmp(doc->attachment.device, ATTACHMENT_MAINTENANCE) == 0;

	return doc->tail.last && doc->tail.first <= doc->tail.last &&
	       (!doc->attachment.present || ours);
}

static struct settler_seen *find_seen(struct settler_seen *seen, uint32_t count,
				      const char *name, int64_t revision)
{
	for (uint32_t i = 0; i < count; i++)
		if (seen[i].mod_revision == revision &&
		    strcmp(seen[i].name, name) == 0)
			return &seen[i];
	return NULL;
}

/* Which of the values are still those that were seen before. */
static void compare(struct settler *s, const struct meta_kv *kv, size_t count)
{
	struct settler_seen *before = malloc(sizeof(s->seen));
	struct volume_doc *doc = malloc(sizeof(*doc));
	uint32_t before_count = s->seen_count;

	if (!before || !doc)
		goto out_free;
	memcpy(before, s->seen, sizeof(s->seen));
	s->seen_count = 0;
	for (size_t i = 0; i < count && s->seen_count < SETTLE_SEEN_MAX; i++) {
		struct settler_seen *now = &s->seen[s->seen_count], *was;

		if (volume_doc_decode(kv[i].key, kv[i].value, doc) ||
		    !is_candidate(doc))
			continue;
		was = find_seen(before, before_count, doc->name,
				kv[i].mod_revision);
		memset(now, 0, sizeof(*now));
		snprintf(now->name, sizeof(now->name), "%s", doc->name);
		now->mod_revision = kv[i].mod_revision;
		now->stale = doc->attachment.present;
		now->since = was ? was->since : env_now(s->env);
		now->tried = was && was->tried;
		s->seen_count++;
	}
out_free:
	free(before);
	free(doc);
}

/* A little more than the grace, and not the same for all. */
static void rest(struct settler *s)
{
	uint64_t chance;

	env_random(s->env, &chance, sizeof(chance));
	env_timer_after(s->env, &s->turn,
			grace(s) + chance % (grace(s) / 4 + 1));
}

/* ---- the turn ---------------------------------------------------------------------- */

static bool settle_one(struct settler *s)
{
	for (uint32_t i = 0; i < s->seen_count; i++) {
		struct settler_seen *seen = &s->seen[i];

		if (seen->tried ||
		    env_now(s->env) - seen->since < grace(s))
			continue;
		seen->tried = true;
		begin(s, seen);
		return s->volume;
	}
	return false;
}

static void listed(void *ctx, int err, int64_t revision,
		   const struct meta_kv *kv, size_t count)
{
	struct settler *s = ctx;

	s->listing = false;
	if (err) {
		/* Who has them now is not known: a stale attachment of another
		 * torusd may have made way for an owner. */
		rest(s);
		return;
	}
	compare(s, kv, count);
	if (!settle_one(s))
		rest(s);
}

static void look(struct settler *s)
{
	char prefix[META_KEY_MAX];

	key_prefix(&cluster_doc(s->cluster)->id, "volumes", prefix);
	s->listing = !metacall_list(&s->calls, prefix, listed, s);
	if (!s->listing)
		rest(s);
}

/* After a volume the next one; when there is none, and after a rest, a look. */
static void turn(struct env_timer *timer)
{
	struct settler *s = container_of(timer, struct settler, turn);
	bool resting = !s->name[0];

	s->name[0] = '\0';
	if (resting)
		look(s);
	else if (!settle_one(s))
		rest(s);
}

void settler_init(struct settler *s, struct env *env, struct meta *meta,
		  struct cluster *cluster, const struct settler_config *cfg)
{
	memset(s, 0, sizeof(*s));
	s->env = env;
	s->meta = meta;
	s->cluster = cluster;
	s->cfg = *cfg;
	metacalls_init(&s->calls, meta);
	env_timer_init(&s->turn, turn);
	look(s);
}

void settler_release(struct settler *s)
{
	env_timer_cancel(s->env, &s->turn);
	metacalls_release(&s->calls);
	if (s->volume)
		volume_free(s->volume);
	s->volume = NULL;
}

bool settler_idle(const struct settler *s)
{
	return !s->volume && !s->listing;
}
