// SPDX-License-Identifier: Apache-2.0
/*
 * File contents. Each page exists as the cache has it and as the platter is
 * sure to have it; both share memory until one changes. A sync makes durable
 * what the cache held when it was submitted. At a power loss each dirty page
 * ends as old, new, or a mixture by sectors of 512 bytes, whatever the order
 * of the writes was, and the size as the old one, the new one or one between.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "sim_file.h"

/*
 * Pages come and go all the time, and are most of what a world is made of:
 * those that are free are kept, and used again while they are in the caches.
 */
static struct sim_page *free_pages;

#define PAGES_AT_ONCE 64u

static struct sim_page *page_take(void)
{
	struct sim_page *page = free_pages, *more;
	unsigned int i;

	if (page) {
		free_pages = page->next;
		return page;
	}
	more = aligned_alloc(_Alignof(struct sim_page),
			     PAGES_AT_ONCE * sizeof(*more));
	if (!more)
		abort();
	for (i = 1; i < PAGES_AT_ONCE; i++) {
		more[i].next = free_pages;
		free_pages = &more[i];
	}
	return more;
}

static void page_free(struct sim_page *page)
{
	page->next = free_pages;
	free_pages = page;
}

static struct sim_page *page_get(struct sim_page *page)
{
	if (page)
		page->refs++;
	return page;
}

static void page_put(struct sim_page *page)
{
	if (page && --page->refs == 0)
		page_free(page);
}

static struct sim_page *page_new(void)
{
	struct sim_page *page = page_take();

	page->refs = 1;
	page->crc_known = false;
	return page;
}

static void page_set(struct sim_page **slot, struct sim_page *page)
{
	struct sim_page *old = *slot;

	*slot = page_get(page);
	page_put(old);
}

struct sim_inode *sim_inode_new(bool is_dir)
{
	struct sim_inode *inode = sim_alloc(sizeof(*inode));

	inode->refs = 1;
	inode->is_dir = is_dir;
	list_init(&inode->names);
	list_init(&inode->durable_names);
	list_init(&inode->log);
	return inode;
}

static void slots_need(struct sim_inode *inode, size_t count)
{
	size_t room = MAX(count, inode->slot_count * 2);

	if (count <= inode->slot_count)
		return;
	inode->slots = realloc(inode->slots, room * sizeof(*inode->slots));
	if (!inode->slots)
		abort();
	memset(inode->slots + inode->slot_count, 0,
	       (room - inode->slot_count) * sizeof(*inode->slots));
	inode->slot_count = room;
}

static void slot_dirty(struct sim_inode *inode, size_t i)
{
	struct sim_slot *slot = &inode->slots[i];

	slot->now_stamp = ++inode->stamp;
	if (slot->dirty)
		return;
	slot->dirty = true;
	if (inode->dirty_count == inode->dirty_room) {
		inode->dirty_room = inode->dirty_room ? inode->dirty_room * 2 : 64;
		inode->dirty = realloc(inode->dirty, inode->dirty_room *
				       sizeof(*inode->dirty));
		if (!inode->dirty)
			abort();
	}
	inode->dirty[inode->dirty_count++] = (uint32_t)i;
}

/* A page of its own with what the cache holds, to be changed. */
static struct sim_page *slot_own(struct sim_slot *slot, bool keep)
{
	struct sim_page *page;

	if (slot->now && slot->now->refs == 1) {
		slot->now->crc_known = false;
		return slot->now;
	}
	page = page_new();
	if (!keep)
		;
	else if (slot->now)
		memcpy(page->data, slot->now->data, SIM_PAGE);
	else
		memset(page->data, 0, SIM_PAGE);
	page_put(slot->now);
	slot->now = page;
	return page;
}

int64_t sim_inode_read(const struct sim_inode *inode, uint64_t offset,
		       const struct iovec *iov, int count)
{
	uint64_t at = offset, n, in;
	size_t done;
	uint8_t *out;
	int i;

	for (i = 0; i < count; i++) {
		out = iov[i].iov_base;
		for (done = 0; done < iov[i].iov_len && at < inode->size;
		     done += n, at += n) {
			in = at % SIM_PAGE;
			n = sim_least(SIM_PAGE - in, iov[i].iov_len - done,
				      inode->size - at);
			if (inode->slots[at / SIM_PAGE].now)
				memcpy(out + done, inode->slots[at / SIM_PAGE]
				       .now->data + in, n);
			else
				memset(out + done, 0, n);
		}
	}
	return (int64_t)(at - offset);
}

static bool page_write(struct sim_inode *inode, uint64_t at, const uint8_t *data,
		       uint64_t n, uint64_t *room)
{
	struct sim_slot *slot;

	slots_need(inode, at / SIM_PAGE + 1);
	slot = &inode->slots[at / SIM_PAGE];
	if (!slot->now) {
		if (!*room)
			return false;
		(*room)--;
	}
	memcpy(slot_own(slot, n < SIM_PAGE)->data + at % SIM_PAGE, data, n);
	slot_dirty(inode, at / SIM_PAGE);
	return true;
}

int64_t sim_inode_write(struct sim_inode *inode, uint64_t offset,
			const struct iovec *iov, int count, uint64_t limit,
			uint64_t *room)
{
	uint64_t at = offset, n, done;
	int i;

	for (i = 0; i < count; i++) {
		for (done = 0; done < iov[i].iov_len && at - offset < limit;
		     done += n, at += n) {
			n = sim_least(SIM_PAGE - at % SIM_PAGE,
				      iov[i].iov_len - done,
				      limit - (at - offset));
			if (!page_write(inode, at, (uint8_t *)iov[i].iov_base +
					done, n, room))
				goto full;
		}
	}
full:
	if (at > inode->size) {
		inode->size = at;
		inode->stamp++;
	}
	return (int64_t)(at - offset);
}

uint64_t sim_inode_punch(struct sim_inode *inode, uint64_t offset,
			 uint64_t length)
{
	uint64_t at, end = MIN(offset + length, inode->size), n, freed = 0;
	struct sim_slot *slot;

	if (offset + length > inode->size)	/* its last page, too */
		end = DIV_ROUND_UP(inode->size, SIM_PAGE) * SIM_PAGE;
	for (at = offset; at < end; at += n) {
		n = MIN(SIM_PAGE - at % SIM_PAGE, end - at);
		slot = &inode->slots[at / SIM_PAGE];
		if (!slot->now)
			continue;
		if (n == SIM_PAGE) {
			page_set(&slot->now, NULL);
			freed++;
		} else {
			memset(slot_own(slot, true)->data + at % SIM_PAGE, 0, n);
		}
		slot_dirty(inode, at / SIM_PAGE);
	}
	return freed;
}

/* ---- sync --------------------------------------------------------------- */

struct sim_snapshot *sim_inode_snapshot(const struct sim_inode *inode)
{
	struct sim_snapshot *snap;
	size_t i;

	snap = sim_alloc(sizeof(*snap) + inode->dirty_count *
			 sizeof(snap->page[0]));
	snap->stamp = inode->stamp;
	snap->size = inode->size;
	snap->count = inode->dirty_count;
	for (i = 0; i < snap->count; i++) {
		snap->page[i].slot = inode->dirty[i];
		snap->page[i].stamp = inode->slots[inode->dirty[i]].now_stamp;
		snap->page[i].page = page_get(inode->slots[inode->dirty[i]].now);
	}
	return snap;
}

void sim_snapshot_free(struct sim_snapshot *snap)
{
	size_t i;

	if (!snap)
		return;
	for (i = 0; i < snap->count; i++)
		page_put(snap->page[i].page);
	free(snap);
}

/* Forget the dirty slots that have not changed since @snap. */
static void dirty_filter(struct sim_inode *inode,
			 const struct sim_snapshot *snap)
{
	size_t i, kept = 0;

	for (i = 0; i < inode->dirty_count; i++) {
		struct sim_slot *slot = &inode->slots[inode->dirty[i]];

		if (slot->now_stamp <= snap->stamp)
			slot->dirty = false;
		else
			inode->dirty[kept++] = inode->dirty[i];
	}
	inode->dirty_count = kept;
}

void sim_inode_sync(struct sim_inode *inode, const struct sim_snapshot *snap)
{
	struct sim_slot *slot;
	size_t i;

	for (i = 0; i < snap->count; i++) {
		slot = &inode->slots[snap->page[i].slot];
		if (slot->durable_stamp >= snap->page[i].stamp)
			continue;
		slot->durable_stamp = snap->page[i].stamp;
		page_set(&slot->durable, snap->page[i].page);
	}
	if (snap->stamp >= inode->durable_size_stamp) {
		inode->durable_size_stamp = snap->stamp;
		inode->durable_size = snap->size;
	}
	dirty_filter(inode, snap);
}

void sim_inode_sync_failed(struct sim_inode *inode,
			   const struct sim_snapshot *snap)
{
	dirty_filter(inode, snap);
}

void sim_inode_refresh(struct sim_inode *inode)
{
	size_t i;

	for (i = 0; i < inode->slot_count; i++)
		if (!inode->slots[i].dirty)
			page_set(&inode->slots[i].now,
				 inode->slots[i].durable);
}

bool sim_inode_durable(const struct sim_inode *inode, uint64_t offset,
		       uint64_t len)
{
	uint64_t i, end = DIV_ROUND_UP(offset + len, SIM_PAGE);

	if (offset + len > inode->durable_size)
		return false;
	for (i = offset / SIM_PAGE; i < end; i++)
		if (inode->slots[i].durable != inode->slots[i].now)
			return false;
	return true;
}

/* ---- power loss --------------------------------------------------------- */

static void slot_tear(struct sim *sim, struct sim_slot *slot)
{
	struct sim_page *page = page_new();
	unsigned int i;

	for (i = 0; i < SIM_PAGE; i += SIM_SECTOR) {
		const struct sim_page *from = sim_chance(sim, 1, 2) ?
			slot->now : slot->durable;

		if (from)
			memcpy(page->data + i, from->data + i, SIM_SECTOR);
		else
			memset(page->data + i, 0, SIM_SECTOR);
	}
	page_set(&slot->durable, page);
	page_put(page);
}

/* How much of the unsynced bytes of one file is left. */
enum loss { LOSS_ALL, LOSS_NONE, LOSS_PAGES, LOSS_SECTORS, LOSS_KINDS };

static void slot_crash(struct sim *sim, struct sim_slot *slot, enum loss loss)
{
	if (loss == LOSS_NONE)
		page_set(&slot->durable, slot->now);
	else if (loss == LOSS_SECTORS && sim_chance(sim, 1, 2))
		slot_tear(sim, slot);
	else if (loss != LOSS_ALL && sim_chance(sim, 1, 2))
		page_set(&slot->durable, slot->now);
}

static void size_crash(struct sim *sim, struct sim_inode *inode, enum loss loss)
{
	uint64_t lo = MIN(inode->size, inode->durable_size);
	uint64_t hi = MAX(inode->size, inode->durable_size);

	if (loss == LOSS_ALL)
		inode->size = inode->durable_size;
	else if (loss != LOSS_NONE && sim_chance(sim, 1, 3))
		inode->size = sim_between(sim, lo, hi);
	else if (loss != LOSS_NONE && sim_chance(sim, 1, 2))
		inode->size = inode->durable_size;
	inode->durable_size = inode->size;
}

/* Nothing beyond the end of a file is ever seen again. */
static void tail_drop(struct sim_inode *inode)
{
	size_t i, first = DIV_ROUND_UP(inode->size, SIM_PAGE);
	struct sim_page *page;

	for (i = first; i < inode->slot_count; i++)
		page_set(&inode->slots[i].durable, NULL);
	if (inode->size % SIM_PAGE == 0 || !inode->slots[first - 1].durable)
		return;
	page = page_new();
	memcpy(page->data, inode->slots[first - 1].durable->data, SIM_PAGE);
	memset(page->data + inode->size % SIM_PAGE, 0,
	       SIM_PAGE - inode->size % SIM_PAGE);
	page_set(&inode->slots[first - 1].durable, page);
	page_put(page);
}

static void file_crash(struct sim *sim, struct sim_inode *inode, bool lose_all)
{
	enum loss loss = lose_all ? LOSS_ALL :
		(enum loss)sim_below(sim, LOSS_KINDS);
	size_t i;

	for (i = 0; i < inode->dirty_count; i++)
		slot_crash(sim, &inode->slots[inode->dirty[i]], loss);
	size_crash(sim, inode, loss);
	tail_drop(inode);
	for (i = 0; i < inode->slot_count; i++) {
		inode->slots[i].dirty = false;
		page_set(&inode->slots[i].now, inode->slots[i].durable);
		inode->slots[i].durable_stamp = inode->stamp;
	}
	inode->dirty_count = 0;
	inode->durable_size_stamp = inode->stamp;
}

uint64_t sim_inode_pages(const struct sim_inode *inode)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < inode->slot_count; i++)
		n += inode->slots[i].now != NULL;
	return n;
}

uint32_t sim_inode_crc(const struct sim_inode *inode, uint64_t page)
{
	static const uint8_t zeros[SIM_PAGE];
	struct sim_page *p = inode->slots[page].now;

	if (!p)
		return crc32c(0, zeros, SIM_PAGE);
	if (!p->crc_known)
		p->crc = crc32c(0, p->data, SIM_PAGE);
	p->crc_known = true;
	return p->crc;
}

int sim_inode_flip(struct sim_inode *inode, uint64_t offset, unsigned int bit)
{
	struct sim_slot *slot;
	struct sim_page *page;

	if (offset >= inode->size)
		return -ERANGE;
	slot = &inode->slots[offset / SIM_PAGE];
	if (!slot->now)
		return -ERANGE;
	page = slot_own(slot, true);
	page->data[offset % SIM_PAGE] ^= (uint8_t)(1u << bit);
	if (slot->durable)
		page_set(&slot->durable, page);
	return 0;
}

/* ---- names -------------------------------------------------------------- */

struct sim_name *sim_name_find(const struct list_head *names, const char *name,
			       size_t len)
{
	struct sim_name *n;

	list_for_each_entry(n, names, node)
		if (strncmp(n->name, name, len) == 0 && !n->name[len])
			return n;
	return NULL;
}

static void name_add(struct list_head *names, const char *name, size_t len,
		     struct sim_inode *inode)
{
	struct sim_name *n = sim_alloc(sizeof(*n));

	memcpy(n->name, name, MIN(len, sizeof(n->name) - 1));
	n->inode = inode;
	inode->refs++;
	list_add_tail(&n->node, names);
}

static void name_remove(struct sim_name *n)
{
	list_del_init(&n->node);
	sim_inode_put(n->inode);
	free(n);
}

static struct name_op *log_add(struct sim_inode *dir, enum name_op_type type,
			       const char *from, size_t len)
{
	struct name_op *op = sim_alloc(sizeof(*op));

	op->type = type;
	op->stamp = ++dir->stamp;
	memcpy(op->from, from, MIN(len, sizeof(op->from) - 1));
	list_add_tail(&op->node, &dir->log);
	return op;
}

static void log_remove(struct name_op *op)
{
	list_del_init(&op->node);
	if (op->inode)
		sim_inode_put(op->inode);
	free(op);
}

void sim_dir_link(struct sim_inode *dir, const char *name, size_t len,
		  struct sim_inode *inode)
{
	struct name_op *op = log_add(dir, NAME_LINK, name, len);

	op->inode = inode;
	inode->refs++;
	name_add(&dir->names, name, len, inode);
}

int sim_dir_unlink(struct sim_inode *dir, const char *name)
{
	struct sim_name *n = sim_name_find(&dir->names, name, strlen(name));

	if (!n)
		return -ENOENT;
	log_add(dir, NAME_UNLINK, name, strlen(name));
	name_remove(n);
	return 0;
}

static void name_rename(struct list_head *names, const char *from,
			const char *to)
{
	struct sim_name *n = sim_name_find(names, from, strlen(from));
	struct sim_name *old = sim_name_find(names, to, strlen(to));

	if (!n || n == old)
		return;
	if (old)
		name_remove(old);
	snprintf(n->name, sizeof(n->name), "%s", to);
}

int sim_dir_rename(struct sim_inode *dir, const char *from, const char *to)
{
	struct name_op *op;

	if (!sim_name_find(&dir->names, from, strlen(from)))
		return -ENOENT;
	op = log_add(dir, NAME_RENAME, from, strlen(from));
	snprintf(op->to, sizeof(op->to), "%s", to);
	name_rename(&dir->names, from, to);
	return 0;
}

static void op_replay(struct sim_inode *dir, const struct name_op *op)
{
	struct sim_name *n;

	n = sim_name_find(&dir->durable_names, op->from, strlen(op->from));
	switch (op->type) {
	case NAME_LINK:
		if (n)
			name_remove(n);
		name_add(&dir->durable_names, op->from, strlen(op->from),
			 op->inode);
		break;
	case NAME_UNLINK:
		if (n)
			name_remove(n);
		break;
	case NAME_RENAME:
		name_rename(&dir->durable_names, op->from, op->to);
		break;
	}
}

void sim_dir_sync(struct sim_inode *dir, uint64_t stamp)
{
	struct name_op *op, *tmp;

	list_for_each_entry_safe(op, tmp, &dir->log, node) {
		if (op->stamp > stamp)
			break;
		op_replay(dir, op);
		log_remove(op);
	}
}

static void names_free(struct list_head *names)
{
	while (!list_empty(names))
		name_remove(list_first_entry(names, struct sim_name, node));
}

static void dir_crash(struct sim *sim, struct sim_inode *dir, bool lose_all)
{
	enum loss loss = lose_all ? LOSS_ALL :
		(enum loss)sim_below(sim, LOSS_KINDS);
	uint64_t cut = sim_below(sim, dir->stamp + 2);
	struct name_op *op, *tmp;
	struct sim_name *n;

	list_for_each_entry_safe(op, tmp, &dir->log, node) {
		if (loss == LOSS_NONE ||
		    (loss == LOSS_PAGES && op->stamp < cut) ||
		    (loss == LOSS_SECTORS && sim_chance(sim, 1, 2)))
			op_replay(dir, op);
		log_remove(op);
	}
	names_free(&dir->names);
	list_for_each_entry(n, &dir->durable_names, node) {
		name_add(&dir->names, n->name, strlen(n->name), n->inode);
		sim_inode_crash(sim, n->inode, lose_all);
	}
}

void sim_inode_crash(struct sim *sim, struct sim_inode *inode, bool lose_all)
{
	if (inode->is_dir)
		dir_crash(sim, inode, lose_all);
	else
		file_crash(sim, inode, lose_all);
}

void sim_inode_put(struct sim_inode *inode)
{
	struct name_op *op, *tmp;
	size_t i;

	if (--inode->refs)
		return;
	names_free(&inode->names);
	names_free(&inode->durable_names);
	list_for_each_entry_safe(op, tmp, &inode->log, node)
		log_remove(op);
	for (i = 0; i < inode->slot_count; i++) {
		page_put(inode->slots[i].now);
		page_put(inode->slots[i].durable);
	}
	free(inode->slots);
	free(inode->dirty);
	free(inode);
}
