// SPDX-License-Identifier: Apache-2.0
/*
 * File operations of a node. An operation takes a random time and happens at
 * its end, so that operations in flight together happen in any order; a sync
 * covers what had happened when it was submitted. When the process dies,
 * operations in flight happen, or not, or in part.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sim_file.h"

#define CAPACITY_DEFAULT (1ull << 30)

struct disk_op {
	struct list_head node;		/* on node->ops */
	struct sim_event event;
	struct sim_node *owner;
	struct env_file_op *op;
	struct sim_inode *inode;	/* of op->file, or directory of SYNC_DIR */
	struct sim_snapshot *snap;	/* SYNC */
	uint64_t stamp;			/* SYNC_DIR */
};

/* ---- paths -------------------------------------------------------------- */

/* Find the directory of @path; *@last is its last component. */
static struct sim_inode *path_parent(struct sim_node *node, const char *path,
				     const char **last)
{
	struct sim_inode *dir = node->root;
	const char *slash;
	struct sim_name *n;

	while ((slash = strchr(path, '/'))) {
		n = sim_name_find(&dir->names, path, (size_t)(slash - path));
		if (!n || !n->inode->is_dir)
			return NULL;
		dir = n->inode;
		path = slash + 1;
	}
	*last = path;
	return dir;
}

static struct sim_inode *path_find(struct sim_node *node, const char *path)
{
	struct sim_inode *dir;
	struct sim_name *n;
	const char *last;

	if (!*path)
		return node->root;
	dir = path_parent(node, path, &last);
	if (!dir)
		return NULL;
	n = sim_name_find(&dir->names, last, strlen(last));
	return n ? n->inode : NULL;
}

static struct sim_inode *handle_inode(struct sim_node *node, int file)
{
	if (file < 0 || file >= node->file_room || !node->files[file]) {
		sim_failed(node->sim, "file handle %d is not open", file);
		return NULL;
	}
	return node->files[file];
}

static int handle_new(struct sim_node *node, struct sim_inode *inode)
{
	int i, room = node->file_room;

	for (i = 0; i < room && node->files[i]; i++)
		;
	if (i == room) {
		node->file_room = room ? room * 2 : 32;
		node->files = realloc(node->files, sizeof(*node->files) *
				      (size_t)node->file_room);
		if (!node->files)
			abort();
		memset(node->files + room, 0, sizeof(*node->files) *
		       (size_t)(node->file_room - room));
	}
	node->files[i] = inode;
	inode->refs++;
	return i;
}

static uint64_t capacity_pages(const struct sim_node *node)
{
	uint64_t bytes = node->disk.capacity ? node->disk.capacity
					     : CAPACITY_DEFAULT;

	return bytes / SIM_PAGE;
}

static uint64_t free_pages(const struct sim_node *node)
{
	uint64_t capacity = capacity_pages(node);
	uint64_t used = node->disk_used + node->disk.taken / SIM_PAGE;

	return capacity > used ? capacity - used : 0;
}

/* ---- what operations do ------------------------------------------------- */

static int64_t do_open(struct sim_node *node, const struct env_file_op *op)
{
	const char *last;
	struct sim_inode *dir = path_parent(node, op->path, &last);
	struct sim_inode *inode = path_find(node, op->path);
	int64_t handle;

	if (inode && (op->flags & FILE_EXCLUSIVE))
		return -EEXIST;
	if (inode && inode->is_dir)
		return -EISDIR;
	if (inode && (op->flags & FILE_FRESH))
		sim_inode_refresh(inode);
	if (inode)
		inode->direct = op->flags & FILE_DIRECT;
	if (inode)
		return handle_new(node, inode);
	if (!dir || !(op->flags & FILE_CREATE))
		return -ENOENT;
	if (strlen(last) > 62)
		return -ENAMETOOLONG;
	if (!free_pages(node))
		return -ENOSPC;
	inode = sim_inode_new(false);
	inode->direct = op->flags & FILE_DIRECT;
	sim_dir_link(dir, last, strlen(last), inode);
	handle = handle_new(node, inode);
	sim_inode_put(inode);
	return handle;
}

static int64_t do_close(struct sim_node *node, const struct env_file_op *op)
{
	struct sim_inode *inode = handle_inode(node, op->file);

	if (!inode)
		return -EBADF;
	node->files[op->file] = NULL;
	inode->direct = false;
	sim_inode_put(inode);
	return 0;
}

/* What a disk cannot do without the cache between. */
static void check_direct(struct sim_node *node, const struct disk_op *d)
{
	const struct env_file_op *op = d->op;
	uint64_t all = op->offset;
	int i;

	for (i = 0; i < op->iov_count; i++)
		all |= (uintptr_t)op->iov[i].iov_base | op->iov[i].iov_len;
	if (d->inode->direct && all % BLOCK_SIZE != 0)
		sim_failed(node->sim, "a direct transfer at %llu is not aligned",
			   (unsigned long long)op->offset);
}

static int64_t do_write(struct sim_node *node, const struct disk_op *d,
			uint64_t limit)
{
	uint64_t room = free_pages(node), before = room;
	int64_t n;

	check_direct(node, d);
	n = sim_inode_write(d->inode, d->op->offset, d->op->iov,
			    d->op->iov_count, limit, &room);
	node->disk_used += before - room;
	return n == 0 && limit && !room && d->op->iov_count ? -ENOSPC : n;
}

static int64_t do_mkdir(struct sim_node *node, const struct env_file_op *op)
{
	const char *last;
	struct sim_inode *dir = path_parent(node, op->path, &last), *inode;

	if (!dir)
		return -ENOENT;
	if (sim_name_find(&dir->names, last, strlen(last)))
		return -EEXIST;
	if (strlen(last) > 62)
		return -ENAMETOOLONG;
	inode = sim_inode_new(true);
	sim_dir_link(dir, last, strlen(last), inode);
	sim_inode_put(inode);
	return 0;
}

static void watch(struct sim_node *node, const char *path, const char *from)
{
	if (node->sim->watch)
		node->sim->watch(node->sim->watch_ctx, node, path, from);
}

static int64_t do_unlink(struct sim_node *node, const struct env_file_op *op)
{
	const char *last;
	struct sim_inode *dir = path_parent(node, op->path, &last);
	struct sim_inode *inode = path_find(node, op->path);

	if (!dir || !inode)
		return -ENOENT;
	if (inode->is_dir && !list_empty(&inode->names))
		return -ENOTEMPTY;
	watch(node, op->path, NULL);
	if (!inode->is_dir)
		node->disk_used -= MIN(node->disk_used, sim_inode_pages(inode));
	return sim_dir_unlink(dir, last);
}

static int64_t do_rename(struct sim_node *node, const struct env_file_op *op)
{
	const char *from, *to;
	struct sim_inode *dir = path_parent(node, op->path, &from);
	struct sim_inode *dir2 = path_parent(node, op->path2, &to);
	struct sim_inode *inode;

	if (!dir || !dir2)
		return -ENOENT;
	watch(node, op->path2, op->path);
	if (dir == dir2)
		return sim_dir_rename(dir, from, to);
	/* Two changes: a crash may keep both names, one, or none of them. */
	inode = path_find(node, op->path);
	if (!inode)
		return -ENOENT;
	sim_dir_unlink(dir2, to);
	sim_dir_link(dir2, to, strlen(to), inode);
	return sim_dir_unlink(dir, from);
}

/* Names come in an order of the disk's own. */
static int64_t do_list(struct sim_node *node, struct env_file_op *op)
{
	struct sim_inode *dir = path_find(node, op->path);
	struct sim_name *n, **all;
	size_t count = 0, i, j;

	if (!dir || !dir->is_dir)
		return dir ? -ENOTDIR : -ENOENT;
	list_for_each_entry(n, &dir->names, node)
		count++;
	all = sim_alloc(sizeof(*all) * (count + 1));
	i = 0;
	list_for_each_entry(n, &dir->names, node) {
		j = sim_below(node->sim, i + 1);
		all[i] = all[j];
		all[j] = n;
		i++;
	}
	for (i = 0; i < count; i++)
		op->entry(op, all[i]->name, all[i]->inode->size,
			  all[i]->inode->is_dir);
	free(all);
	return 0;
}

static int64_t do_statfs(struct sim_node *node, struct env_file_op *op)
{
	op->total_bytes = capacity_pages(node) * SIM_PAGE;
	op->free_bytes = free_pages(node) * SIM_PAGE;
	return 0;
}

static bool eio(struct sim_node *node, uint32_t one_in)
{
	return one_in && sim_chance(node->sim, 1, one_in);
}

static int64_t do_read(struct sim_node *node, const struct disk_op *d)
{
	if (eio(node, node->disk.read_eio))
		return -EIO;
	check_direct(node, d);
	return sim_inode_read(d->inode, d->op->offset, d->op->iov,
			      d->op->iov_count);
}

static int64_t do_punch(struct sim_node *node, const struct disk_op *d)
{
	node->disk_used -= MIN(node->disk_used,
			       sim_inode_punch(d->inode, d->op->offset,
					       d->op->length));
	return 0;
}

static int64_t do_sync(struct sim_node *node, const struct disk_op *d)
{
	if (eio(node, node->disk.sync_eio)) {
		sim_inode_sync_failed(d->inode, d->snap);
		return -EIO;
	}
	sim_inode_sync(d->inode, d->snap);
	return 0;
}

static int64_t do_sync_dir(const struct disk_op *d)
{
	if (!d->inode)
		return -ENOENT;
	sim_dir_sync(d->inode, d->stamp);
	return 0;
}

static int64_t op_run(struct sim_node *node, struct disk_op *d)
{
	switch (d->op->type) {
	case FILE_OPEN:
		return do_open(node, d->op);
	case FILE_CLOSE:
		return do_close(node, d->op);
	case FILE_READ:
		return d->inode ? do_read(node, d) : -EBADF;
	case FILE_WRITE:
		if (eio(node, node->disk.write_eio))
			return -EIO;
		return d->inode ? do_write(node, d, UINT64_MAX) : -EBADF;
	case FILE_SYNC:
		return d->inode ? do_sync(node, d) : -EBADF;
	case FILE_SYNC_DIR:
		return do_sync_dir(d);
	case FILE_UNLINK:
		if (eio(node, node->disk.unlink_eio))
			return -EIO;
		return do_unlink(node, d->op);
	case FILE_RENAME:
		return do_rename(node, d->op);
	case FILE_MKDIR:
		return do_mkdir(node, d->op);
	case FILE_PUNCH:
		return d->inode ? do_punch(node, d) : -EBADF;
	case FILE_LIST:
		return do_list(node, d->op);
	case FILE_STATFS:
		return do_statfs(node, d->op);
	}
	return -EINVAL;
}

/* ---- life of an operation ----------------------------------------------- */

static void disk_op_free(struct disk_op *d)
{
	list_del_init(&d->node);
	if (d->inode)
		sim_inode_put(d->inode);
	sim_snapshot_free(d->snap);
	free(d);
}

static void op_event(struct sim_event *event)
{
	struct disk_op *d = container_of(event, struct disk_op, event);
	struct env_file_op *op = d->op;
	struct sim_node *node = d->owner;

	op->result = op_run(node, d);
	sim_trace(node->sim, node, "file op %llu at %llu: %lld", op->type,
		  op->offset, (uint64_t)op->result, 0);
	disk_op_free(d);
	op->done(op);
}

static uint64_t op_delay(struct sim_node *node, enum env_file_type type)
{
	const struct sim_delays *delays = &node->sim->delays;
	uint64_t extra = node->disk.slow_until > node->sim->now ?
		node->disk.slow_extra : 0;

	if (type == FILE_WRITE && node->disk.stall_until > node->sim->now)
		extra += node->disk.stall_extra;
	if (delays->disk_slow && sim_chance(node->sim, 1, delays->disk_slow))
		extra += sim_below(node->sim, delays->disk_slow_max);
	if (type == FILE_SYNC || type == FILE_SYNC_DIR)
		return extra + sim_between(node->sim, delays->sync_min,
					   delays->sync_max);
	return extra + sim_between(node->sim, delays->disk_min,
				   delays->disk_max);
}

static bool uses_handle(enum env_file_type type)
{
	return type == FILE_READ || type == FILE_WRITE || type == FILE_SYNC ||
	       type == FILE_PUNCH;
}

void sim_disk_submit(struct env *env, struct env_file_op *op)
{
	struct sim_node *node = container_of(env, struct sim_node, env);
	struct disk_op *d;

	if (!node->running)
		return;
	d = sim_alloc(sizeof(*d));
	d->owner = node;
	d->op = op;
	sim_event_init(&d->event, node, op_event);
	list_add_tail(&d->node, &node->ops);
	if (uses_handle(op->type))
		d->inode = handle_inode(node, op->file);
	else if (op->type == FILE_SYNC_DIR)
		d->inode = path_find(node, op->path);
	if (d->inode)
		d->inode->refs++;
	if (d->inode && op->type == FILE_SYNC)
		d->snap = sim_inode_snapshot(d->inode);
	else if (d->inode && op->type == FILE_SYNC_DIR)
		d->stamp = d->inode->stamp;
	sim_event_after(node->sim, &d->event, op_delay(node, op->type));
}

/* ---- life of a node ----------------------------------------------------- */

/* The process died with this in flight: it happens, or not, or in part. */
static void op_abandon(struct sim_node *node, struct disk_op *d)
{
	struct sim *sim = node->sim;
	uint64_t bytes = 0;
	int i;

	switch (d->op->type) {
	case FILE_WRITE:
		for (i = 0; i < d->op->iov_count; i++)
			bytes += d->op->iov[i].iov_len;
		bytes /= SIM_SECTOR;
		if (d->inode && sim_chance(sim, 1, 2))
			do_write(node, d, sim_below(sim, bytes + 1) *
				 SIM_SECTOR);
		else if (d->inode && sim_chance(sim, 1, 2))
			do_write(node, d, UINT64_MAX);
		break;
	case FILE_OPEN:
	case FILE_UNLINK:
	case FILE_RENAME:
	case FILE_MKDIR:
	case FILE_PUNCH:
	case FILE_SYNC_DIR:
		if (sim_chance(sim, 1, 2))
			op_run(node, d);
		break;
	case FILE_SYNC:
		if (d->inode && sim_chance(sim, 1, 2))
			sim_inode_sync(d->inode, d->snap);
		break;
	default:
		break;
	}
}

void sim_disk_node_init(struct sim_node *node)
{
	node->root = sim_inode_new(true);
	list_init(&node->ops);
}

static void handles_close(struct sim_node *node)
{
	int i;

	for (i = 0; i < node->file_room; i++) {
		if (node->files[i])
			sim_inode_put(node->files[i]);
		node->files[i] = NULL;
	}
}

static uint64_t tree_pages(const struct sim_inode *inode)
{
	struct sim_name *n;
	uint64_t pages = 0;

	if (!inode->is_dir)
		return sim_inode_pages(inode);
	list_for_each_entry(n, &inode->names, node)
		pages += tree_pages(n->inode);
	return pages;
}

void sim_disk_node_down(struct sim_node *node, bool power_loss)
{
	struct disk_op *d, *tmp;

	list_for_each_entry_safe(d, tmp, &node->ops, node) {
		if (!power_loss || !node->disk.lose_all)
			op_abandon(node, d);
		sim_event_cancel(node->sim, &d->event);
		disk_op_free(d);
	}
	handles_close(node);
	if (power_loss)
		sim_inode_crash(node->sim, node->root, node->disk.lose_all);
	node->disk_used = tree_pages(node->root);
}

void sim_disk_node_free(struct sim_node *node)
{
	struct disk_op *d, *tmp;

	list_for_each_entry_safe(d, tmp, &node->ops, node)
		disk_op_free(d);
	handles_close(node);
	free(node->files);
	sim_inode_put(node->root);
}

/* ---- behind everybody's back -------------------------------------------- */

int sim_disk_flip(struct sim_node *node, const char *path, uint64_t offset)
{
	struct sim_inode *inode = path_find(node, path);

	if (!inode || inode->is_dir)
		return -ENOENT;
	return sim_inode_flip(inode, offset,
			      (unsigned int)sim_below(node->sim, 8));
}

int64_t sim_disk_peek(struct sim_node *node, const char *path, uint64_t offset,
		      void *buf, size_t len, bool durable)
{
	struct sim_inode *inode = path_find(node, path);
	uint64_t size, at, n;
	struct sim_slot *slot;
	struct sim_page *page;

	if (!inode || inode->is_dir)
		return -ENOENT;
	size = durable ? inode->durable_size : inode->size;
	for (at = offset; at < offset + len && at < size; at += n) {
		slot = &inode->slots[at / SIM_PAGE];
		page = durable ? slot->durable : slot->now;
		n = sim_least(SIM_PAGE - at % SIM_PAGE, offset + len - at,
			      size - at);
		if (page)
			memcpy((uint8_t *)buf + (at - offset),
			       page->data + at % SIM_PAGE, n);
		else
			memset((uint8_t *)buf + (at - offset), 0, n);
	}
	return at > offset ? (int64_t)(at - offset) : 0;
}

const struct sim_inode *sim_disk_file(struct sim_node *node, const char *path)
{
	const struct sim_inode *inode = path_find(node, path);

	return inode && !inode->is_dir ? inode : NULL;
}

bool sim_file_peek(const struct sim_inode *file, uint64_t offset, void *buf,
		   size_t len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	return sim_inode_read(file, offset, &iov, 1) == (int64_t)len;
}

bool sim_file_crc(const struct sim_inode *file, uint64_t page, uint32_t *crc)
{
	if ((page + 1) * SIM_PAGE > file->size)
		return false;
	*crc = sim_inode_crc(file, page);
	return true;
}

/* What @path would name after a loss of power. */
static struct sim_inode *path_find_durable(struct sim_node *node,
					   const char *path)
{
	struct sim_inode *inode = node->root;
	struct sim_name *n;
	size_t len;

	for (; inode && *path; path += len + (path[len] == '/')) {
		len = strcspn(path, "/");
		n = sim_name_find(&inode->durable_names, path, len);
		inode = n ? n->inode : NULL;
	}
	return inode;
}

bool sim_disk_durable(struct sim_node *node, const char *path, uint64_t offset,
		      uint64_t len)
{
	const struct sim_inode *inode = path_find_durable(node, path);

	return inode && !inode->is_dir && sim_inode_durable(inode, offset, len);
}

bool sim_disk_synced(struct sim_node *node, const char *path, uint64_t offset,
		     uint64_t len)
{
	const struct sim_inode *inode = path_find(node, path);

	return inode && !inode->is_dir && sim_inode_durable(inode, offset, len);
}

void sim_disk_watch(struct sim *sim, sim_disk_watch_fn fn, void *ctx)
{
	sim->watch = fn;
	sim->watch_ctx = ctx;
}

static uint64_t inode_bytes(const struct sim_inode *inode)
{
	uint64_t bytes = inode->is_dir ? 0 : sim_inode_pages(inode) * SIM_PAGE;
	struct sim_name *n;

	list_for_each_entry(n, &inode->names, node)
		bytes += inode_bytes(n->inode);
	return bytes;
}

uint64_t sim_disk_bytes(struct sim_node *node, const char *path)
{
	struct sim_inode *inode = path_find(node, path);

	return inode ? inode_bytes(inode) : 0;
}

uint64_t sim_disk_size(struct sim_node *node, const char *path)
{
	struct sim_inode *inode = path_find(node, path);

	return inode ? inode->size : 0;
}

void sim_disk_fill(struct sim_node *node, uint64_t room)
{
	uint64_t all = capacity_pages(node), used = node->disk_used;

	used += room / SIM_PAGE;	/* UINT64_MAX: more than all */
	node->disk.taken = used < all ? (all - used) * SIM_PAGE : 0;
}
