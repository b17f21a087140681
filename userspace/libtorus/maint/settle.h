/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes that nobody will seal: left without an attachment, but not detached
 * in good order (a forced detach, a writer that died, an attach that failed
 * half-way). Their newest chunks are open, and repair touches sealed chunks
 * only. Maintenance attaches such a volume, which recovers its log, and
 * detaches it, which seals it.
 */
#ifndef TORUS_MAINT_SETTLE_H
#define TORUS_MAINT_SETTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "env/env.h"
#include "meta/schema.h"
#include "peer/cluster.h"
#include "volume/metacall.h"
#include "volume/volume.h"

#define SETTLE_SEEN_MAX 256u		/* volumes watched at a time */

struct settler_config {
	uint64_t grace_ns;		/* left alone so long; 0 = 10 min */
	char host[HOST_MAX];		/* for the attachment */
};

struct settler_seen {
	char name[VOLUME_NAME_MAX];
	int64_t mod_revision;
	uint64_t since;			/* on the env's clock */
	bool stale;			/* a maintenance that died has it */
	bool tried;
};

struct settler {
	struct env *env;
	struct meta *meta;
	struct cluster *cluster;
	struct settler_config cfg;
	struct metacalls calls;
	struct env_timer turn;
	struct settler_seen seen[SETTLE_SEEN_MAX];
	uint32_t seen_count;
	bool listing;
	struct volume *volume;		/* being settled */
	char name[VOLUME_NAME_MAX];
	uint64_t settled, failed;	/* since the start */
};

/** settler_init() - begin to look. @meta and @cluster outlive it. */
void settler_init(struct settler *s, struct env *env, struct meta *meta,
		  struct cluster *cluster, const struct settler_config *cfg);

/** settler_release() - drop everything at once. What is being settled stays
 * attached as "maintenance": others take that over without being asked. */
void settler_release(struct settler *s);

/** settler_idle() - nothing is being settled now. */
bool settler_idle(const struct settler *s);

#endif
