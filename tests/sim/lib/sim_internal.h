/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the simulated world know of each other. */
#ifndef TORUS_SIM_INTERNAL_H
#define TORUS_SIM_INTERNAL_H

#include "env_sim.h"

#include "base/list.h"

#define SIM_NAME_MAX 16
#define SIM_PAGE 4096u
#define SIM_SECTOR 512u

struct sim_inode;
struct sim_meta_store;
struct sim_meta_client;

/*
 * Everything that happens is an event in one heap. An event of a node waits
 * while that node hangs and disappears when it dies.
 */
struct sim_event {
	void (*fn)(struct sim_event *event);
	struct sim_node *node;		/* NULL: the world's own */
	struct env_timer slot;		/* its place in the heap */
};

struct heap_entry {
	uint64_t when, order;
	struct env_timer *timer;
	struct sim_node *node;
};

#define TRACE_RING 8192		/* a power of two */
#define TRACE_TEXT 128

struct trace_entry {
	uint64_t when, arg[4];
	const char *fmt;		/* NULL: text */
	int8_t node;
	char text[TRACE_TEXT];
};

struct sim {
	uint64_t prng[4], saved_prng[4];
	bool pushed;
	uint64_t now, events, hash, order;
	uint64_t same_time;		/* events since the clock moved */
	struct sim_delays delays;
	struct heap_entry *heap;	/* from index 1 */
	size_t heap_count, heap_room;
	struct sim_node *nodes[SIM_NODES_MAX];
	unsigned int node_count;
	uint64_t blocked[SIM_NODES_MAX][SIM_NODES_MAX];
	struct list_head listeners;
	struct sim_meta_store *meta;
	const struct sim_node *current;	/* whose callback runs */
	void (*fail)(void *ctx, const char *what);
	void *fail_ctx;
	sim_disk_watch_fn watch;
	void *watch_ctx;
	FILE *live;
	uint64_t trace_count;
	struct trace_entry *trace;
};

struct sim_node {
	struct env env;
	struct sim *sim;
	unsigned int id;
	char name[SIM_NAME_MAX];
	bool running;
	bool powered;			/* false between crash and start */
	unsigned int boots;
	uint64_t hung_until;
	uint64_t clock_offset;
	int32_t clock_ppm;		/* how much too fast it goes */
	int64_t wall_offset;
	uint64_t slow_until, slow_extra;
	/* network */
	struct list_head conns;
	struct list_head orphans;	/* sent() functions of closed ones */
	struct sim_event orphan_event;
	/* disk */
	struct sim_inode *root;
	struct sim_inode **files;	/* by handle */
	int file_room;
	struct list_head ops;		/* submitted, done() not called */
	uint64_t disk_used;		/* pages */
	struct sim_disk_faults disk;
	/* metadata */
	struct sim_meta_client *meta;
};

static inline uint64_t sim_least(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* sim.c */
void sim_event_init(struct sim_event *event, struct sim_node *node,
		    void (*fn)(struct sim_event *event));
void sim_event_at(struct sim *sim, struct sim_event *event, uint64_t when);
void sim_event_after(struct sim *sim, struct sim_event *event, uint64_t ns);
void sim_event_cancel(struct sim *sim, struct sim_event *event);
bool sim_event_armed(const struct sim_event *event);
void sim_timer_set(struct sim *sim, struct sim_node *node,
		   struct env_timer *timer, uint64_t when);
void sim_timer_cancel(struct sim *sim, struct env_timer *timer);
void sim_heap_drop_node(struct sim *sim, struct sim_node *node);
void sim_failed(struct sim *sim, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void sim_mix(struct sim *sim, uint64_t value);
void *sim_alloc(size_t size);

/* sim_net.c */
void sim_net_node_init(struct sim_node *node);
void sim_net_node_down(struct sim_node *node, bool silent);
void sim_net_node_up(struct sim_node *node);
void sim_net_node_free(struct sim_node *node);
void sim_net_ops(struct env_ops *ops);
void sim_net_free(struct sim *sim);

/* sim_file.c: the inodes; sim_disk.c: the operations */
void sim_disk_node_init(struct sim_node *node);
void sim_disk_node_down(struct sim_node *node, bool power_loss);
void sim_disk_node_free(struct sim_node *node);
void sim_disk_submit(struct env *env, struct env_file_op *op);

/* sim_meta.c */
int sim_meta_init(struct sim *sim);
void sim_meta_free(struct sim *sim);
void sim_meta_node_init(struct sim_node *node);
void sim_meta_node_down(struct sim_node *node);
void sim_meta_node_up(struct sim_node *node);
void sim_meta_node_free(struct sim_node *node);

#endif
