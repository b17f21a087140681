/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a simulated disk: what the page cache holds and what the platter
 * is sure to hold.
 */
#ifndef TORUS_SIM_FILE_H
#define TORUS_SIM_FILE_H

#include "sim_internal.h"

struct sim_page {
	int refs;
	bool crc_known;			/* since its last change */
	uint32_t crc;
	struct sim_page *next;		/* of those that are free */
	_Alignas(64) uint8_t data[SIM_PAGE];
};

struct sim_slot {			/* one page of a file */
	struct sim_page *now, *durable;	/* NULL = a hole */
	uint64_t now_stamp, durable_stamp;
	bool dirty;
};

struct sim_name {
	struct list_head node;
	char name[64];
	struct sim_inode *inode;
};

enum name_op_type { NAME_LINK, NAME_UNLINK, NAME_RENAME };

/* A change of a directory that is not durable yet; each is atomic. */
struct name_op {
	struct list_head node;
	enum name_op_type type;
	uint64_t stamp;
	char from[64], to[64];
	struct sim_inode *inode;	/* LINK */
};

struct sim_inode {
	int refs;
	bool is_dir;
	bool direct;			/* open with FILE_DIRECT */
	uint64_t stamp;			/* grows with every change */
	/* file */
	uint64_t size, durable_size, durable_size_stamp;
	struct sim_slot *slots;
	size_t slot_count;
	uint32_t *dirty;		/* slots that differ, each once */
	size_t dirty_count, dirty_room;
	/* directory */
	struct list_head names, durable_names, log;
};

/* What one sync covers: the state when it was submitted. */
struct sim_snapshot {
	uint64_t stamp, size;
	size_t count;
	struct { uint32_t slot; uint64_t stamp; struct sim_page *page; } page[];
};

struct sim_inode *sim_inode_new(bool is_dir);
void sim_inode_put(struct sim_inode *inode);

int64_t sim_inode_read(const struct sim_inode *inode, uint64_t offset,
		       const struct iovec *iov, int count);
/* Returns bytes written; fewer than given when @room pages are used up. */
int64_t sim_inode_write(struct sim_inode *inode, uint64_t offset,
			const struct iovec *iov, int count, uint64_t limit,
			uint64_t *room);
/* Returns how many pages were freed. */
uint64_t sim_inode_punch(struct sim_inode *inode, uint64_t offset,
			 uint64_t length);
struct sim_snapshot *sim_inode_snapshot(const struct sim_inode *inode);
void sim_inode_sync(struct sim_inode *inode, const struct sim_snapshot *snap);
/* The sync failed: what it covered is clean for the cache and not written. */
void sim_inode_sync_failed(struct sim_inode *inode,
			   const struct sim_snapshot *snap);
/* Drop from the cache what is clean there: it shows what is durable again. */
void sim_inode_refresh(struct sim_inode *inode);
/* Whether a loss of power would leave these bytes as they are now. */
bool sim_inode_durable(const struct sim_inode *inode, uint64_t offset,
		       uint64_t len);
void sim_snapshot_free(struct sim_snapshot *snap);
/* Power loss: choose what is left of unsynced bytes and names, recursively;
 * nothing with @lose_all. */
void sim_inode_crash(struct sim *sim, struct sim_inode *inode, bool lose_all);
uint64_t sim_inode_pages(const struct sim_inode *inode);
/* The CRC32C of one page within the file, as the cache holds it. */
uint32_t sim_inode_crc(const struct sim_inode *inode, uint64_t page);
int sim_inode_flip(struct sim_inode *inode, uint64_t offset, unsigned int bit);

struct sim_name *sim_name_find(const struct list_head *names, const char *name,
			       size_t len);
void sim_dir_link(struct sim_inode *dir, const char *name, size_t len,
		  struct sim_inode *inode);
int sim_dir_unlink(struct sim_inode *dir, const char *name);
int sim_dir_rename(struct sim_inode *dir, const char *from, const char *to);
void sim_dir_sync(struct sim_inode *dir, uint64_t stamp);

#endif
