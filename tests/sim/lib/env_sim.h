/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world in one process: hosts with disks, a network between them, one
 * metadata store, one virtual clock, and one seed that decides everything.
 * Each node offers the struct env and struct meta that the core runs on.
 * The same seed and the same calls give the same events, byte for byte.
 *
 *	struct sim *sim = sim_new(seed);
 *	struct sim_node *a = sim_node_new(sim, "a");
 *	... store_open(sim_node_env(a), ...) ...
 *	sim_run_until(sim, &flag, 5 * NSEC_PER_SEC);
 *	sim_free(sim);
 */
#ifndef TORUS_SIM_ENV_SIM_H
#define TORUS_SIM_ENV_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "env/env.h"
#include "meta/meta.h"

struct sim;
struct sim_node;
struct sim_inode;

#define SIM_NODES_MAX 32

/* Times in ns. Every delay is drawn anew from [min, max]. */
struct sim_delays {
	uint64_t net_min, net_max;	/* one frame, one way */
	uint64_t disk_min, disk_max;	/* read, write, names */
	uint64_t sync_min, sync_max;	/* file and directory sync */
	uint64_t meta_min, meta_max;	/* metadata request or answer, one way */
	uint32_t net_slow;		/* one frame in so many (0 = none) ... */
	uint64_t net_slow_max;		/* ... takes up to this long */
	uint32_t net_flip;		/* one frame in so many has a wrong bit */
	uint32_t disk_slow;		/* one file operation in so many ... */
	uint64_t disk_slow_max;		/* ... takes up to so much longer */
};

/* ---- world ------------------------------------------------------------ */

/** sim_new() - a world without nodes; NULL: out of memory. */
struct sim *sim_new(uint64_t seed);

/** sim_free() - free it with all nodes. What runs on a node is the caller's:
 * kill the node, free its things, then free the world. */
void sim_free(struct sim *sim);

/** sim_now() - virtual monotonic clock, ns. */
uint64_t sim_now(const struct sim *sim);
struct sim_delays *sim_delays(struct sim *sim);

/** sim_random() - 64 random bits; sim_below() - 0 to @n - 1 (0 for n = 0);
 * sim_between() - @lo to @hi; sim_chance() - true @num times in @den. */
uint64_t sim_random(struct sim *sim);
uint64_t sim_below(struct sim *sim, uint64_t n);
uint64_t sim_between(struct sim *sim, uint64_t lo, uint64_t hi);
bool sim_chance(struct sim *sim, uint32_t num, uint32_t den);

/** sim_random_push() - what is drawn until sim_random_pop() depends on @seed
 * alone, and what is drawn after that not on it. Not nested. */
void sim_random_push(struct sim *sim, uint64_t seed);
void sim_random_pop(struct sim *sim);

/** sim_step() - run the next event; false when there is none. */
bool sim_step(struct sim *sim);

/** sim_run() - run events for @ns of virtual time. */
void sim_run(struct sim *sim, uint64_t ns);

/** sim_run_until() - run until *@flag or @ns have passed; returns *@flag. */
bool sim_run_until(struct sim *sim, const bool *flag, uint64_t ns);

/** sim_events() - events run so far; sim_hash() - hash of all of them. */
uint64_t sim_events(const struct sim *sim);
uint64_t sim_hash(const struct sim *sim);

/* A task of the test itself, which no fault touches. Memory is the caller's. */
struct sim_task {
	void (*fn)(struct sim_task *task);
	struct env_timer timer;
	struct sim *sim;
};
void sim_task_init(struct sim *sim, struct sim_task *task,
		   void (*fn)(struct sim_task *task));
void sim_task_after(struct sim_task *task, uint64_t ns);
void sim_task_cancel(struct sim_task *task);

/* ---- trace ------------------------------------------------------------ */

/**
 * sim_trace() - add a line to the trace and to the hash. @fmt is a string
 * constant that takes up to four unsigned long long (%llu, %llx).
 * @node may be NULL.
 */
void sim_trace(struct sim *sim, const struct sim_node *node, const char *fmt,
	       uint64_t a, uint64_t b, uint64_t c, uint64_t d);

/** sim_trace_live() - also print each line to @out at once (NULL: no more). */
void sim_trace_live(struct sim *sim, FILE *out);

/** sim_trace_dump() - the last @lines lines. */
void sim_trace_dump(struct sim *sim, FILE *out, unsigned int lines);

/** sim_log_attach() - base/log.h goes to this world's trace from now on. */
void sim_log_attach(struct sim *sim);

/**
 * sim_fail_hook() - what the world calls when the code under test breaks the
 * contract of env.h (data changed before sent(), unknown handle ...). The
 * default prints and aborts.
 */
void sim_fail_hook(struct sim *sim, void (*fn)(void *ctx, const char *what),
		   void *ctx);

/* ---- nodes ------------------------------------------------------------ */

/** sim_node_new() - a host with a disk, running one process. @name is copied;
 * it is what others use as HOST in addresses, by convention only. */
struct sim_node *sim_node_new(struct sim *sim, const char *name);

const char *sim_node_name(const struct sim_node *node);
struct env *sim_node_env(struct sim_node *node);
struct meta *sim_node_meta(struct sim_node *node);
bool sim_node_running(const struct sim_node *node);

/** sim_node_boots() - grows by one with every crash: a boot id. */
unsigned int sim_node_boots(const struct sim_node *node);

/**
 * sim_node_kill() - the process dies: no callback of it comes any more, its
 * connections are reset, writes in flight land or do not. The page cache
 * stays. Call it BEFORE freeing what ran there; freeing may still call the
 * env, which ignores it.
 */
void sim_node_kill(struct sim_node *node);

/**
 * sim_node_crash() - the machine dies: as kill, but nobody is told, and of
 * what was not synced only a random part is left.
 */
void sim_node_crash(struct sim_node *node);

/** sim_node_start() - a new process (and machine, after a crash) may run.
 * Everything that ran there before must be freed by now. */
void sim_node_start(struct sim_node *node);

/** sim_node_hang() - the process does nothing for @ns (SIGSTOP, SIGCONT). */
void sim_node_hang(struct sim_node *node, uint64_t ns);

/** sim_node_clock_rate() - before anything runs there: its clock goes by @ppm
 * millionths too fast. */
void sim_node_clock_rate(struct sim_node *node, int32_t ppm);

/** sim_node_clock_jump() - the wall clock goes @ns forward, or back. */
void sim_node_clock_jump(struct sim_node *node, int64_t ns);

/* ---- network faults --------------------------------------------------- */

/** sim_net_block() - nothing gets from @from to @to for @ns. */
void sim_net_block(struct sim_node *from, struct sim_node *to, uint64_t ns);

/** sim_net_slow() - for @ns, what goes to or comes from @node takes up to
 * @extra longer. */
void sim_net_slow(struct sim_node *node, uint64_t ns, uint64_t extra);

/** sim_net_break() - reset every connection between @a and @b (NULL: any). */
void sim_net_break(struct sim_node *a, struct sim_node *b);

/* ---- disk faults ------------------------------------------------------ */

struct sim_disk_faults {
	uint64_t capacity;		/* bytes; 0 = 1 GiB */
	uint64_t taken;			/* of that, by others */
	uint32_t read_eio;		/* one in so many fails; 0 = none */
	uint32_t write_eio;
	uint32_t sync_eio;		/* and what it covered stays unwritten */
	uint32_t unlink_eio;
	bool lose_all;			/* a crash leaves nothing unsynced */
	uint64_t slow_until;		/* until then every operation ... */
	uint64_t slow_extra;		/* ... takes so much longer */
	uint64_t stall_until;		/* until then a write takes ... */
	uint64_t stall_extra;		/* ... so much longer */
};
/** sim_disk_fill() - others take all of the disk but @room bytes, or (@room:
 * UINT64_MAX) nothing any more. */
void sim_disk_fill(struct sim_node *node, uint64_t room);

struct sim_disk_faults *sim_node_disk_faults(struct sim_node *node);

/** sim_disk_flip() - flip one bit of a stored file, in every copy of it that
 * the host has. Returns 0, -ENOENT, or -ERANGE. */
int sim_disk_flip(struct sim_node *node, const char *path, uint64_t offset);

/** sim_disk_peek() - read a file behind everybody's back: as the page cache
 * has it, or as it is sure to be after a crash. Bytes read, or -ENOENT. */
int64_t sim_disk_peek(struct sim_node *node, const char *path, uint64_t offset,
		      void *buf, size_t len, bool durable);

/** sim_disk_file() - a file as the page cache has it, for sim_file_...(), until
 * anything runs again; NULL if there is none. */
const struct sim_inode *sim_disk_file(struct sim_node *node, const char *path);

/** sim_file_peek() - false: it is shorter. */
bool sim_file_peek(const struct sim_inode *file, uint64_t offset, void *buf,
		   size_t len);

/** sim_file_crc() - the CRC32C of a whole page; cheap when the page has not
 * changed since the last time. False: there is no such page. */
bool sim_file_crc(const struct sim_inode *file, uint64_t page, uint32_t *crc);

/** sim_disk_durable() - whether these bytes of a file, and its name, would
 * survive a loss of power as they are. */
bool sim_disk_durable(struct sim_node *node, const char *path, uint64_t offset,
		      uint64_t len);

/** sim_disk_synced() - the same of the bytes alone, whatever of the name. */
bool sim_disk_synced(struct sim_node *node, const char *path, uint64_t offset,
		     uint64_t len);

/**
 * sim_disk_watch() - @fn is called just before the file @path of a node is
 * removed (@from: NULL), or gives way to the one that is called @from so far.
 */
typedef void (*sim_disk_watch_fn)(void *ctx, struct sim_node *node,
				  const char *path, const char *from);
void sim_disk_watch(struct sim *sim, sim_disk_watch_fn fn, void *ctx);

/** sim_disk_bytes() - what a file, or all files below a directory, take in whole
 * pages; 0 if there is none. */
uint64_t sim_disk_bytes(struct sim_node *node, const char *path);

/** sim_disk_size() - of one file; 0 if there is none. */
uint64_t sim_disk_size(struct sim_node *node, const char *path);

/* ---- metadata store --------------------------------------------------- */

struct sim_meta_faults {
	uint32_t txn_timeout;	/* one in so many answers -ETIMEDOUT and lands
				 * before, after, or never; 0 = none */
	uint64_t timeout_ns;	/* when that answer comes */
	uint64_t late_max_ns;	/* how long after its answer it may land */
	uint64_t watch_extra;	/* events of watches come so much later */
	uint64_t slow_until;	/* until then each request and answer ... */
	uint64_t slow_extra;	/* ... takes up to so much longer */
	uint64_t down_until;	/* all calls fail or time out until then */
};
struct sim_meta_faults *sim_meta_faults(struct sim *sim);

/** sim_meta_unreachable() - for this node only, for @ns. */
void sim_meta_unreachable(struct sim_node *node, uint64_t ns);

/** sim_meta_lose_leases() - expire what this node holds. */
void sim_meta_lose_leases(struct sim_node *node);

/**
 * sim_meta_restore() - the store is replaced by one that holds what @backup has
 * (NULL: nothing), and whose revisions go on from there: calls under way get
 * no answer, leases are lost, watches say RESET.
 */
struct sim_meta_backup;
struct sim_meta_backup *sim_meta_backup(struct sim *sim);
void sim_meta_backup_free(struct sim_meta_backup *backup);
void sim_meta_restore(struct sim *sim, const struct sim_meta_backup *backup);

/** sim_meta_put() / sim_meta_value() - at once, for the test itself. */
void sim_meta_put(struct sim *sim, const char *key, const char *value);
/** sim_meta_txn() - likewise; whether all compares held. */
bool sim_meta_txn(struct sim *sim, const struct meta_txn *txn);
const char *sim_meta_value(struct sim *sim, const char *key);
int64_t sim_meta_revision(struct sim *sim, const char *key);

#endif
