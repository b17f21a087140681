/* SPDX-License-Identifier: Apache-2.0 */
/*
 * torusctl: what its commands share. A command is a row of a table (words,
 * arguments, options, function); it asks the metadata store and the peers
 * through calls that run the event loop until the answer is there.
 */
#ifndef TORUSCTL_CTL_H
#define TORUSCTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "env/env.h"
#include "meta/meta.h"
#include "meta/schema.h"
#include "peer/cluster.h"

/* Exit statuses, also in torusctl(8). */
enum ctl_exit {
	CTL_OK = 0,
	CTL_DEGRADED = 1,	/* status: works, but not as it should */
	CTL_UNAVAILABLE = 2,	/* status: data cannot be reached */
	CTL_FAILED = 3,		/* the command could not be carried out */
	CTL_USAGE = 64,		/* a word or value of the command line is off */
};

#define CTL_OPTIONS_MAX 10

/* Values of the options that a command line carried, by their enum. */
enum ctl_option {
	OPT_REPLICATION, OPT_CHUNK_SIZE, OPT_RING, OPT_VIEW, OPT_ALL_PEERS,
	OPT_FORCE, OPT_TYPE, OPT_UUIDS, OPT_DEVICE, OPT_READ_ONLY, OPT_YES,
	OPT_CA, OPT_CERT, OPT_KEY, OPT_USER, OPT_TIMEOUT, OPT_HELPER,
	OPT_ADD, OPT_REMOVE, OPT_DRAIN, OPT_CHUNKS, OPT_MEMBERS,
	OPT_FROM_PEERS, OPT_CHOOSE, OPT_CONFIRM, OPT_WITHOUT_ABSENT,
	OPT_TRUNCATE,
	OPT_COUNT,
	OPT_NONE = OPT_COUNT,
};

struct ctl;

struct ctl_command {
	const char *noun, *verb;	/* verb NULL: a command of one word */
	const char *args;		/* for the usage line */
	const char *help;		/* one line */
	int args_min, args_max;		/* -1: any number */
	enum ctl_option options[CTL_OPTIONS_MAX];	/* ends with OPT_NONE */
	bool needs_meta;
	bool needs_cluster;
	int (*run)(struct ctl *ctl, int argc, char **argv);
};

struct ctl {
	const char *url;		/* --meta, or NULL */
	bool json;
	bool help;			/* only say how it is used */
	/* NULL: not given; flags: ""; of one that may be given more than once
	 * a line for each value */
	const char *option[OPT_COUNT];
	char *joined[OPT_COUNT];	/* memory of such lines */
	const struct ctl_command *command;
	struct env *env;
	struct meta *meta;
	struct cluster_doc cluster;	/* when needs_cluster */
};

/** ctl_commands() - the table, ended by a row without a noun. */
const struct ctl_command *ctl_commands(void);

/** ctl_option_name() / ctl_option_argument() - "replication", "R" or NULL. */
const char *ctl_option_name(enum ctl_option option);
const char *ctl_option_argument(enum ctl_option option);

static inline bool ctl_given(const struct ctl *ctl, enum ctl_option option)
{
	return ctl->option[option] != NULL;
}

/** ctl_fail() - print "torusctl: " and the error's sentence; CTL_FAILED. */
int ctl_fail(int err);

/** ctl_bad_value() - print "torusctl: " and the error's sentence; CTL_USAGE. */
int ctl_bad_value(int err);

/** ctl_usage() - print the sentence and how the command is used; CTL_USAGE. */
int ctl_usage(const struct ctl *ctl, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** ctl_number() - decimal in [min, max]; 0 or -EINVAL with error text. */
int ctl_number(const char *what, const char *text, uint64_t min, uint64_t max,
	       uint64_t *value);

/* ---- sync.c: one question, one answer --------------------------------- */

/* A value from the store: text from malloc, NULL when there is no such key. */
struct ctl_value {
	char *key;
	char *text;
	int64_t mod_revision;
};

/** ctl_wait() - run the loop until *@done; 0 or the loop's error. */
int ctl_wait(struct ctl *ctl, const bool *done);

int ctl_get(struct ctl *ctl, const char *key, struct ctl_value *value);
void ctl_value_release(struct ctl_value *value);

/** ctl_list() - all values below @prefix; free with ctl_values_free(). */
int ctl_list(struct ctl *ctl, const char *prefix, struct ctl_value **values,
	     size_t *count);
void ctl_values_free(struct ctl_value *values, size_t count);

/**
 * ctl_txn() - 0: applied; -EAGAIN: a compare did not hold (somebody else was
 * first); -ETIMEDOUT: it is not known whether it was applied; others.
 */
int ctl_txn(struct ctl *ctl, const struct meta_txn *txn);

/**
 * ctl_await_gone() - until there is no such key; 0, -ETIME: it is there still
 * after @timeout_ns, or what the metadata store said.
 */
int ctl_await_gone(struct ctl *ctl, const char *key, uint64_t timeout_ns);

/** ctl_meta_open() - open the store that options and environment name. */
int ctl_meta_open(struct ctl *ctl);
int ctl_cluster_load(struct ctl *ctl);

/* A live cluster view, for commands that talk to peers. */
struct cluster *ctl_cluster_open(struct ctl *ctl);

/**
 * ctl_peer_call() - one request to one peer within @timeout_ns.
 * @reply: room for the reply's body, or NULL.
 * 0, or -errno with error text that names the peer.
 */
int ctl_peer_call(struct ctl *ctl, struct peer *peer, struct peer_call *call,
		  uint64_t timeout_ns, void *reply);

/* ---- docs.c: the documents -------------------------------------------- */

int ctl_ring_get(struct ctl *ctl, struct ring_doc *ring, int64_t *revision);
/** ctl_volume_get() - -ENOENT names the volume. */
int ctl_volume_get(struct ctl *ctl, const char *name, struct volume_doc *doc);

struct ctl_peer {
	struct peer_doc doc;
	bool alive;
	bool member;
	uint64_t weight;		/* in the ring; 0: drained, or none */
	uint64_t moved;			/* newest ring version that it has moved
					 * for, as it has confirmed; 0: none */
};

/** ctl_peers() - all peers known, sorted by address; free() the array. */
int ctl_peers(struct ctl *ctl, struct ctl_peer **peers, size_t *count);

/** ctl_volumes() - all volumes, by name; free() the array. */
int ctl_volumes(struct ctl *ctl, struct volume_doc **volumes, size_t *count);

/* ---- device.c: local devices, from sysfs ------------------------------- */

struct ctl_device {
	char name[32];			/* "torus0" */
	char volume[VOLUME_NAME_MAX];
	char state[32];
	int helper_pid;			/* 0 = none */
};

/** ctl_devices() - torus devices of this machine; free() the array. */
int ctl_devices(struct ctl_device **devices, size_t *count);

/* ---- absolute.c: for programs that run in another directory ------------ */

/** ctl_absolute_path() - "" stays ""; 0, or -errno with error text. */
int ctl_absolute_path(const char *path, char *out, size_t len);

/** ctl_absolute_url() - the path of a "local:" URL; @out has META_URL_MAX. */
int ctl_absolute_url(const char *url, char *out);

/** ctl_absolute_conf() - what the environment variable TORUS_CONF names. */
int ctl_absolute_conf(void);

/* ---- the commands ------------------------------------------------------ */

int cmd_init(struct ctl *ctl, int argc, char **argv);
int cmd_peer_list(struct ctl *ctl, int argc, char **argv);
int cmd_peer_add(struct ctl *ctl, int argc, char **argv);
int cmd_peer_remove(struct ctl *ctl, int argc, char **argv);
int cmd_peer_drain(struct ctl *ctl, int argc, char **argv);
int cmd_peer_undrain(struct ctl *ctl, int argc, char **argv);
int cmd_ring_get(struct ctl *ctl, int argc, char **argv);
int cmd_ring_set_replication(struct ctl *ctl, int argc, char **argv);
int cmd_ring_manual_change(struct ctl *ctl, int argc, char **argv);
int cmd_ring_simulate(struct ctl *ctl, int argc, char **argv);
int cmd_volume_create(struct ctl *ctl, int argc, char **argv);
int cmd_volume_list(struct ctl *ctl, int argc, char **argv);
int cmd_volume_info(struct ctl *ctl, int argc, char **argv);
int cmd_volume_delete(struct ctl *ctl, int argc, char **argv);
int cmd_attach(struct ctl *ctl, int argc, char **argv);
int cmd_detach(struct ctl *ctl, int argc, char **argv);
int cmd_scrub_start(struct ctl *ctl, int argc, char **argv);
int cmd_scrub_status(struct ctl *ctl, int argc, char **argv);
int cmd_scrub_pause(struct ctl *ctl, int argc, char **argv);
int cmd_scrub_resume(struct ctl *ctl, int argc, char **argv);
int cmd_status(struct ctl *ctl, int argc, char **argv);
int cmd_recover(struct ctl *ctl, int argc, char **argv);
int cmd_wipe(struct ctl *ctl, int argc, char **argv);
int cmd_config(struct ctl *ctl, int argc, char **argv);
int cmd_version(struct ctl *ctl, int argc, char **argv);
int cmd_completion(struct ctl *ctl, int argc, char **argv);

#endif
