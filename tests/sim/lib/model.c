// SPDX-License-Identifier: Apache-2.0
/*
 * The model of one volume.
 *
 * Since the last recovery (the base) the log order of operations is known in
 * part: completions come in record order, so acknowledged operations are in
 * the order of their acknowledgement and everything else is behind them; of
 * those in flight, whole-block ones are in the order of submission, and a
 * sector's own are always. What is not known - operations that need a
 * read-modify-write or meet one, and failed ones - is loose: each of its
 * sectors may be there or not, until a later operation has overwritten it.
 *
 * A recovery must find one cut through that order. Positions count blocks, so
 * that an unacknowledged write may be cut in the middle. For every sector the
 * cuts that explain what was read are intervals; the cut must lie in all of
 * them, and not before what must be there:
 *	what was acknowledged when a flush that succeeded was submitted, and what
 *	an acknowledged FUA write follows;
 *	what an operation follows that began after the last power loss of a store
 *	and was acknowledged - unless so many lost power that what came before it
 *	may be gone from everywhere, and then it as well;
 *	what a device was told that survived, and goes on with this attachment.
 */
#include "model.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

struct model {
	uint64_t sectors;
	model_fail_fn fail;
	void *fail_ctx;
	struct model_op *ops;		/* [0] stands for the empty volume */
	uint32_t count, room;
	uint32_t *now;			/* per sector: newest op acknowledged or
					 * seen by a read */
	uint32_t *base;			/* per sector: what the base holds */
	uint32_t first_open;		/* lowest op that is not settled */
	uint32_t *order;		/* acknowledged since the base */
	uint32_t order_count;
	uint32_t *maybe;		/* failed, not settled */
	uint32_t maybe_count;
	uint32_t owner;			/* who has the volume */
	uint64_t attached;		/* since when */
	bool recovering;		/* attached and not yet checked */
	uint32_t bases;			/* recoveries so far */
	uint64_t power_loss;		/* the last one */
	bool wide_loss;			/* since the base */
	bool rebuilt;			/* see model_rebuilt() */
	uint32_t branch;		/* what was lost from here on may be found then */
	uint32_t survivor;		/* see model_survived(); ~0 = none */
};

static void fail(struct model *m, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void fail(struct model *m, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	m->fail(m->fail_ctx, text);
}

static void *allocate(size_t count, size_t size)
{
	void *p = calloc(count, size);

	if (!p)
		abort();
	return p;
}

static void *grow(void *array, uint32_t room, size_t size)
{
	array = realloc(array, room * size);
	if (!array)
		abort();
	return array;
}

struct model *model_new(uint64_t sectors, model_fail_fn fail_fn, void *ctx)
{
	struct model *m = allocate(1, sizeof(*m));

	m->sectors = sectors;
	m->fail = fail_fn;
	m->fail_ctx = ctx;
	m->room = 1024;
	m->ops = allocate(m->room, sizeof(*m->ops));
	m->order = allocate(m->room, sizeof(*m->order));
	m->maybe = allocate(m->room, sizeof(*m->maybe));
	m->now = allocate(sectors, sizeof(*m->now));
	m->base = allocate(sectors, sizeof(*m->base));
	m->ops[0] = (struct model_op){ .type = VOLUME_ZERO,
				       .state = OP_SETTLED };
	m->count = 1;
	m->first_open = 1;
	m->branch = 1;
	return m;
}

void model_free(struct model *m)
{
	if (!m)
		return;
	free(m->ops);
	free(m->order);
	free(m->maybe);
	free(m->now);
	free(m->base);
	free(m);
}

const struct model_op *model_op(const struct model *m, uint32_t id)
{
	return &m->ops[id];
}

/* ---- contents ----------------------------------------------------------- */

static uint64_t word(uint64_t sector, uint32_t id, unsigned int i)
{
	return (sector << 32 | id) * 0x9e3779b97f4a7c15ull +
	       i * 0xd1342543de82ef95ull;
}

void model_fill(uint64_t sector, uint32_t id, void *buf)
{
	uint64_t *out = buf;
	unsigned int i;

	out[0] = id;
	out[1] = sector;
	for (i = 2; i < SECTOR / 8; i++)
		out[i] = word(sector, id, i);
}

static bool is_zero(const void *buf)
{
	const uint64_t *in = buf;
	unsigned int i;

	for (i = 0; i < SECTOR / 8; i++)
		if (in[i])
			return false;
	return true;
}

/* What a sector holds: 0 = zeros, an operation's id, or -1. */
static int64_t decode(const struct model *m, uint64_t sector, const void *buf)
{
	const uint64_t *in = buf;
	unsigned int i;

	if (is_zero(buf))
		return 0;
	if (!in[0] || in[0] >= m->count || in[1] != sector)
		return -1;
	for (i = 2; i < SECTOR / 8; i++)
		if (in[i] != word(sector, (uint32_t)in[0], i))
			return -1;
	return (int64_t)in[0];
}

static uint32_t value(const struct model *m, uint32_t id)
{
	return m->ops[id].type == VOLUME_WRITE ? id : 0;
}

static bool touches(const struct model_op *op, uint64_t sector)
{
	return sector >= op->first && sector - op->first < op->count;
}

static bool overlap(const struct model_op *a, const struct model_op *b)
{
	uint64_t a_first = a->first / BLOCK_SECTORS;
	uint64_t b_first = b->first / BLOCK_SECTORS;
	uint64_t a_end = DIV_ROUND_UP(a->first + a->count, BLOCK_SECTORS);
	uint64_t b_end = DIV_ROUND_UP(b->first + b->count, BLOCK_SECTORS);

	return a_first < b_end && b_first < a_end;
}

/* ---- operations --------------------------------------------------------- */

static bool is_change(enum volume_op type)
{
	return type == VOLUME_WRITE || type == VOLUME_TRIM ||
	       type == VOLUME_ZERO;
}

static void trim_inwards(struct model_op *op)
{
	uint64_t first = DIV_ROUND_UP(op->first, BLOCK_SECTORS);
	uint64_t end = (op->first + op->count) / BLOCK_SECTORS;

	op->first = first * BLOCK_SECTORS;
	op->count = end > first ? (end - first) * BLOCK_SECTORS : 0;
}

/* A read-modify-write, or one that may have to wait for such a one. */
static bool is_loose(const struct model *m, const struct model_op *op)
{
	uint32_t i;

	if (op->first % BLOCK_SECTORS || op->count % BLOCK_SECTORS)
		return true;
	for (i = m->first_open; i < m->count; i++)
		if (m->ops[i].loose && m->ops[i].state == OP_FLIGHT &&
		    overlap(&m->ops[i], op))
			return true;
	return false;
}

uint32_t model_submit(struct model *m, uint32_t owner,
		      const struct volume_request *req, uint64_t now)
{
	struct model_op op = {
		.type = req->op, .fua = req->fua, .owner = owner,
		.first = req->offset / SECTOR, .count = req->length / SECTOR,
		.submitted = now, .base = m->bases,
	};

	if (m->count == m->room) {
		m->room *= 2;
		m->ops = grow(m->ops, m->room, sizeof(*m->ops));
		m->order = grow(m->order, m->room, sizeof(*m->order));
		m->maybe = grow(m->maybe, m->room, sizeof(*m->maybe));
	}
	if (op.type == VOLUME_TRIM)
		trim_inwards(&op);
	if (is_change(op.type))
		op.loose = is_loose(m, &op);
	else
		op.count = 0;
	if (owner != m->owner) {
		op.state = OP_SETTLED;
		op.lost = true;
	}
	m->ops[m->count] = op;
	return m->count++;
}

static void acked_change(struct model *m, uint32_t id)
{
	struct model_op *op = &m->ops[id];
	uint64_t i;

	op->durable = op->fua;
	m->order[m->order_count++] = id;
	for (i = op->first; i < op->first + op->count; i++)
		m->now[i] = MAX(m->now[i], id);
}

/* Another one has the volume; it must have found this, or will. */
static void acked_late(struct model *m, uint32_t id)
{
	struct model_op *op = &m->ops[id];

	if (op->state == OP_SETTLED && op->lost)
		fail(m, "operation %u was acknowledged to attachment %u after "
		     "attachment %u had not found it", id, op->owner, m->owner);
	op->late = true;
}

/* A flush of a writer that is no longer: what it covered must be there. */
static void flushed_late(struct model *m, const struct model_op *flush)
{
	uint32_t i;

	for (i = 1; i < m->count; i++) {
		const struct model_op *op = &m->ops[i];

		if (op->owner == flush->owner && op->state == OP_SETTLED &&
		    op->lost && op->acked && op->done <= flush->submitted)
			fail(m, "a flush was acknowledged late over operation "
			     "%u, which is lost", i);
	}
}

/*
 * What was acknowledged to @owner before @when is durable now. What an earlier
 * owner's check has not settled yet may be lost to this one, which promises
 * nothing of it.
 */
static void all_durable(struct model *m, uint32_t owner, uint64_t when)
{
	uint32_t i;

	for (i = m->first_open; i < m->count; i++)
		if (m->ops[i].state == OP_ACKED && m->ops[i].done <= when &&
		    m->ops[i].owner == owner)
			m->ops[i].durable = true;
}

static void flushed(struct model *m, struct model_op *op)
{
	if (op->base == m->bases)
		all_durable(m, op->owner, op->submitted);
	else
		flushed_late(m, op);
}

void model_done(struct model *m, uint32_t id, int err, uint64_t now)
{
	struct model_op *op = &m->ops[id];

	op->done = now;
	op->acked = !err;
	if (op->type == VOLUME_FLUSH) {
		op->state = OP_SETTLED;
		if (!err)
			flushed(m, op);
	} else if (!op->count) {
		op->state = OP_SETTLED;	/* a trim of no whole block */
	} else if (err && op->state == OP_FLIGHT) {
		op->state = OP_FAILED;
		op->loose = true;
		m->maybe[m->maybe_count++] = id;
	} else if (!err && op->owner != m->owner) {
		acked_late(m, id);
	} else if (!err) {
		op->state = OP_ACKED;
		acked_change(m, id);
	}
}

/* ---- reads -------------------------------------------------------------- */

void model_read_begin(struct model *m, struct model_read *r, uint32_t owner,
		      uint64_t now)
{
	uint32_t i = m->first_open;
	uint64_t s;

	r->owner = owner;
	r->submitted = now;
	while (i < m->count && m->ops[i].state != OP_FLIGHT)
		i++;
	r->oldest = i;
	for (s = 0; s < r->count; s++)
		r->before[s] = m->now[r->first + s];
}

static bool explains(const struct model *m, uint32_t id,
		     const struct model_read *r, uint64_t sector, uint32_t got)
{
	const struct model_op *op = &m->ops[id];

	return is_change(op->type) && op->owner == r->owner &&
	       id > r->before[sector - r->first] && touches(op, sector) &&
	       value(m, id) == got;
}

/* The operation that explains what was read, 0 for what was there before,
 * -1 if none does. */
static int64_t explanation(const struct model *m, const struct model_read *r,
			   uint64_t sector, uint32_t got)
{
	uint32_t i;

	if (value(m, r->before[sector - r->first]) == got)
		return 0;
	for (i = r->oldest; i < m->count; i++)
		if (explains(m, i, r, sector, got))
			return i;
	for (i = 0; i < m->maybe_count; i++)
		if (explains(m, m->maybe[i], r, sector, got))
			return m->maybe[i];
	return -1;
}

void model_read_done(struct model *m, const struct model_read *r,
		     const void *data)
{
	int64_t got, by;
	uint64_t i;

	for (i = 0; i < r->count; i++) {
		got = decode(m, r->first + i, (const uint8_t *)data +
			     i * SECTOR);
		if (got < 0) {
			fail(m, "sector %" PRIu64 " holds what nobody wrote "
			     "there", r->first + i);
			return;
		}
		if (r->owner != m->owner)
			continue;	/* a fenced reader's window */
		by = explanation(m, r, r->first + i, (uint32_t)got);
		if (by < 0) {
			fail(m, "sector %" PRIu64 " reads as of operation "
			     "%" PRId64 ", expected %u", r->first + i, got,
			     value(m, r->before[i]));
			return;
		}
		m->now[r->first + i] = MAX(m->now[r->first + i], (uint32_t)by);
	}
}

/* ---- takeover ----------------------------------------------------------- */

void model_power_loss(struct model *m, uint64_t now, bool wide)
{
	m->power_loss = now;
	m->wide_loss |= wide;
}

void model_attached(struct model *m, uint32_t owner, uint64_t now)
{
	m->owner = owner;
	m->attached = now;
	m->recovering = true;
	m->survivor = UINT32_MAX;
}

void model_survived(struct model *m, uint32_t first)
{
	m->survivor = first;
}

void model_rebuilt(struct model *m)
{
	m->rebuilt = true;
}

void model_detached(struct model *m, uint32_t owner)
{
	if (owner == m->owner && !m->recovering)
		all_durable(m, owner, UINT64_MAX);
}

/* ---- the prefix check --------------------------------------------------- */

/* One check: what was read, and how far each cut explains it. */
struct cut {
	struct model *m;
	int64_t *got;			/* per sector */
	uint32_t *last;			/* per sector: value so far ... */
	uint64_t *since;		/* ... from this position on */
	uint64_t *loose_lo, *loose_hi;	/* loose explanation, [lo, hi) */
	int32_t *diff;			/* per position: explained sectors */
	uint64_t positions;		/* one past the last cut */
	uint64_t required;
	uint64_t *end;			/* per op: position after it, or 0 */
	uint32_t *list;			/* the strict operations in log order */
	uint32_t list_count;
};

static uint64_t op_blocks(const struct model_op *op)
{
	uint64_t first = op->first / BLOCK_SECTORS;

	return DIV_ROUND_UP(op->first + op->count, BLOCK_SECTORS) - first;
}

/* Sector @s is explained by cuts from @lo to before @hi. */
static void explained(struct cut *c, uint64_t s, uint64_t lo, uint64_t hi)
{
	uint64_t skip_lo = c->loose_lo[s], skip_hi = c->loose_hi[s];

	if (lo >= hi)
		return;
	if (skip_lo >= skip_hi || hi <= skip_lo || lo >= skip_hi) {
		c->diff[lo]++;
		c->diff[hi]--;
		return;
	}
	explained(c, s, lo, MIN(hi, skip_lo));
	explained(c, s, MAX(lo, skip_hi), hi);
}

static void apply_strict(struct cut *c, uint32_t id, uint64_t at)
{
	const struct model_op *op = &c->m->ops[id];
	uint64_t s, pos;

	for (s = op->first; s < op->first + op->count; s++) {
		pos = at + 1 + s / BLOCK_SECTORS - op->first / BLOCK_SECTORS;
		if (c->last[s] == c->got[s])
			explained(c, s, c->since[s], pos);
		c->last[s] = value(c->m, id);
		c->since[s] = pos;
	}
}

/* In flight when the new owner came: may be in the log. */
static bool was_in_flight(const struct model *m, const struct model_op *op)
{
	return op->state == OP_FLIGHT && is_change(op->type) &&
	       op->submitted <= m->attached && op->owner != m->owner;
}

static void list_build(struct cut *c)
{
	struct model *m = c->m;
	uint32_t i;

	c->list = allocate(m->count + 1, sizeof(*c->list));
	memcpy(c->list, m->order, m->order_count * sizeof(*c->list));
	c->list_count = m->order_count;
	for (i = m->first_open; i < m->count; i++)
		if (was_in_flight(m, &m->ops[i]) && !m->ops[i].loose)
			c->list[c->list_count++] = i;
}

/* Walk the strict operations in log order; @fn gets their positions. */
static uint64_t walk(struct cut *c, void (*fn)(struct cut *c, uint32_t id,
					       uint64_t at))
{
	uint64_t at = 0;
	uint32_t i;

	for (i = 0; i < c->list_count; i++) {
		fn(c, c->list[i], at);
		at += op_blocks(&c->m->ops[c->list[i]]);
		c->end[c->list[i]] = at;
	}
	return at + 1;
}

static void note_position(struct cut *c, uint32_t id, uint64_t at)
{
}

static bool is_maybe_loose(const struct model *m, uint32_t id)
{
	const struct model_op *op = &m->ops[id];

	return op->loose && (was_in_flight(m, op) || op->state == OP_FAILED);
}

/*
 * Cut off since anything was last found, and nothing in the base is newer. No
 * cut is known for a loose one: any of its sectors may have been.
 */
static bool may_be_back(const struct model *m, uint32_t id, uint64_t s)
{
	const struct model_op *op = &m->ops[id];
	bool cut_off = op->lost || (op->loose && op->state == OP_SETTLED);

	return m->rebuilt && id >= m->branch && cut_off && !op->acked &&
	       is_change(op->type) && m->base[s] < id;
}

/* First strict position at which sector @s is overwritten after @id. */
static uint64_t overwritten(const struct cut *c, uint32_t id, uint64_t s)
{
	const struct model *m = c->m;
	uint64_t best = c->positions;
	uint32_t i;

	for (i = id + 1; i < m->count; i++)
		if (c->end[i] && touches(&m->ops[i], s))
			best = MIN(best, c->end[i] - op_blocks(&m->ops[i]) + 1 +
				   s / BLOCK_SECTORS -
				   m->ops[i].first / BLOCK_SECTORS);
	return best;
}

static void find_loose(struct cut *c)
{
	const struct model *m = c->m;
	uint64_t s;
	uint32_t i;

	for (i = m->rebuilt ? m->branch : m->first_open; i < m->count; i++) {
		const struct model_op *op = &m->ops[i];
		bool maybe = is_maybe_loose(m, i);

		for (s = op->first; s < op->first + op->count; s++) {
			if (c->got[s] != value(m, i) ||
			    !(maybe || may_be_back(m, i, s)))
				continue;
			c->loose_lo[s] = 0;
			c->loose_hi[s] = MAX(c->loose_hi[s],
					     overwritten(c, i, s));
		}
	}
	for (s = 0; s < m->sectors; s++) {
		c->diff[c->loose_lo[s]] += c->loose_hi[s] > c->loose_lo[s];
		c->diff[c->loose_hi[s]] -= c->loose_hi[s] > c->loose_lo[s];
	}
}

static bool is_required(const struct model *m, const struct model_op *op)
{
	if (op->durable)
		return true;
	return op->state == OP_ACKED &&
	       (op->owner >= m->survivor ||
		(!m->wide_loss && op->submitted > m->power_loss));
}

/* How much of the log must be there. */
static uint64_t required_position(struct cut *c)
{
	uint64_t at = 0;
	uint32_t i;

	for (i = 0; i < c->list_count; i++) {
		if (is_required(c->m, &c->m->ops[c->list[i]]))
			at = MAX(at, c->end[c->list[i]]);
	}
	return at;
}

static void cut_init(struct cut *c, struct model *m, const void *volume)
{
	uint64_t s;

	c->m = m;
	c->got = allocate(m->sectors, sizeof(*c->got));
	c->last = allocate(m->sectors, sizeof(*c->last));
	c->since = allocate(m->sectors, sizeof(*c->since));
	c->loose_lo = allocate(m->sectors, sizeof(*c->loose_lo));
	c->loose_hi = allocate(m->sectors, sizeof(*c->loose_hi));
	c->end = allocate(m->count, sizeof(*c->end));
	for (s = 0; s < m->sectors; s++) {
		c->got[s] = decode(m, s, (const uint8_t *)volume + s * SECTOR);
		c->last[s] = value(m, m->base[s]);
		if (c->got[s] < 0)
			fail(m, "after recovery sector %" PRIu64 " holds what "
			     "nobody wrote there", s);
	}
	list_build(c);
	c->positions = walk(c, note_position);
	c->diff = allocate(c->positions + 1, sizeof(*c->diff));
	c->required = required_position(c);
	find_loose(c);
	walk(c, apply_strict);
	for (s = 0; s < m->sectors; s++)
		if (c->last[s] == c->got[s])
			explained(c, s, c->since[s], c->positions);
}

static void cut_release(struct cut *c)
{
	free(c->got);
	free(c->last);
	free(c->since);
	free(c->loose_lo);
	free(c->loose_hi);
	free(c->end);
	free(c->list);
	free(c->diff);
}

/* What sector @s holds after the operations up to @cut. */
static uint32_t value_at(const struct cut *c, uint64_t cut, uint64_t s)
{
	const struct model *m = c->m;
	uint32_t i, found = value(m, m->base[s]);
	uint64_t at, best = 0;

	for (i = m->first_open; i < m->count; i++) {
		if (!c->end[i] || !touches(&m->ops[i], s))
			continue;
		at = c->end[i] - op_blocks(&m->ops[i]) + 1 +
		     s / BLOCK_SECTORS - m->ops[i].first / BLOCK_SECTORS;
		if (at <= cut && at > best) {
			best = at;
			found = value(m, i);
		}
	}
	return found;
}

/* The first sector that @cut does not explain. */
static uint64_t unexplained(const struct cut *c, uint64_t cut)
{
	uint64_t s;

	for (s = 0; s < c->m->sectors; s++)
		if (c->got[s] != value_at(c, cut, s) &&
		    !(c->loose_lo[s] <= cut && cut < c->loose_hi[s]))
			return s;
	return 0;
}

/* Say what is wrong with the cut that explains most. */
static void cut_complain(struct cut *c, uint64_t best, uint64_t explained_count,
			 int64_t earlier)
{
	struct model *m = c->m;
	uint64_t s = unexplained(c, best);

	if (earlier >= 0)
		fail(m, "after recovery the volume is as of position %" PRId64
		     " of the log, but must be at %" PRIu64 " of %" PRIu64
		     " at least", earlier, c->required, c->positions - 1);
	else
		fail(m, "after recovery the volume is no prefix of the log: the "
		     "best cut, %" PRIu64 " of %" PRIu64 " (at least %" PRIu64
		     "), explains %" PRIu64 " of %" PRIu64 " sectors; sector %"
		     PRIu64 " holds %" PRId64 " instead of %u", best,
		     c->positions - 1, c->required, explained_count,
		     m->sectors, s, c->got[s], value_at(c, best, s));
}

/* The last cut that explains every sector, or -1 after a complaint. */
static int64_t cut_find(struct cut *c)
{
	int64_t sum = 0, found = -1, earlier = -1, best_sum = -1;
	uint64_t i, best = 0;

	for (i = 0; i < c->positions; i++) {
		sum += c->diff[i];
		if (sum == (int64_t)c->m->sectors && i >= c->required)
			found = (int64_t)i;
		else if (sum == (int64_t)c->m->sectors)
			earlier = (int64_t)i;
		if (sum > best_sum && i >= c->required) {
			best_sum = sum;
			best = i;
		}
	}
	if (found < 0)
		cut_complain(c, best, (uint64_t)best_sum, earlier);
	return found;
}

/* Everything that was open is decided now. */
static void settle(struct cut *c, int64_t cut)
{
	struct model *m = c->m;
	uint32_t i, kept = 0;

	if (cut > 0)
		m->branch = m->first_open;
	for (i = m->first_open; i < m->count; i++) {
		struct model_op *op = &m->ops[i];

		if (op->owner == m->owner || !is_change(op->type) ||
		    op->state == OP_SETTLED)
			continue;
		op->lost = op->submitted > m->attached ||
			   (c->end[i] && c->end[i] > (uint64_t)cut);
		op->state = OP_SETTLED;
		if (op->late && op->lost)
			fail(m, "operation %u was acknowledged to attachment "
			     "%u and is lost", i, op->owner);
	}
	for (i = 0; i < m->maybe_count; i++)
		if (m->ops[m->maybe[i]].state == OP_FAILED)
			m->maybe[kept++] = m->maybe[i];
	m->maybe_count = kept;
	while (m->first_open < m->count &&
	       m->ops[m->first_open].state == OP_SETTLED)
		m->first_open++;
}

void model_recovered(struct model *m, const void *volume)
{
	struct cut c = { 0 };
	int64_t cut;
	uint64_t s;

	cut_init(&c, m, volume);
	cut = cut_find(&c);
	settle(&c, cut);
	for (s = 0; s < m->sectors; s++) {
		m->base[s] = c.got[s] > 0 ? (uint32_t)c.got[s] : 0;
		m->now[s] = m->base[s];
	}
	m->order_count = 0;
	m->recovering = false;
	m->rebuilt = false;
	m->wide_loss = false;
	m->bases++;
	cut_release(&c);
}
