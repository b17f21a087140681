/* SPDX-License-Identifier: Apache-2.0 */
/*
 * torusctl status: what its files share. Each source of findings is one file,
 * status_*.c, with one function that looks at what was collected and adds what
 * is not well: what it is, what it means for the data, what is being done about
 * it, and what to type if a person is needed.
 */
#ifndef TORUSCTL_STATUS_H
#define TORUSCTL_STATUS_H

#include "ctl.h"
#include "survey.h"
#include "view.h"

#define SUBJECT_MAX ADDRESS_MAX

struct finding {
	enum ctl_exit severity;		/* CTL_OK: a note, all is well */
	const char *name;		/* "peer-down": stays what it is */
	char subject[SUBJECT_MAX];	/* peer, volume or device; may be "" */
	char what[512], means[384];
	char doing[384], command[512];	/* may be "" */
};

#define FINDINGS_MAX 256

struct status {
	struct ctl *ctl;
	struct view view;
	struct survey survey;		/* of view.peers */
	struct cluster *cluster;	/* for further questions; rather use
					 * status_cluster() */
	uint64_t *owners;		/* volumes whose owner's lease stands */
	size_t owner_count;
	size_t tombstone_count;
	/* of each of view.peers: deleted volumes of which it may have chunks */
	size_t *unconfirmed;
	struct ctl_device *devices;	/* of this machine */
	size_t device_count;
	/* set by status_data(), which comes first */
	const char *unreadable;		/* a volume with such chunks, or NULL */
	const char *unwritable;		/* likewise */
	/* the result */
	struct finding *findings;
	unsigned int finding_count, hidden;
	struct finding spill;		/* what there is no room for */
	enum ctl_exit worst;
};

/** status_add() - never NULL. @subject: copied. */
struct finding *status_add(struct status *s, enum ctl_exit severity,
			   const char *name, const char *subject);

void finding_what(struct finding *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void finding_means(struct finding *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void finding_doing(struct finding *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void finding_command(struct finding *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Whether the lease of the volume's helper stands. */
bool status_owner_alive(const struct status *s, const struct volume_doc *v);

/* What all peers have left to do, added up. */
struct repair {
	uint32_t maintained;		/* peers that look after their chunks */
	uint64_t copy_chunks, copy_bytes, short_chunks, grace_chunks;
	uint64_t drop_chunks, rate;
	uint64_t eta_s;			/* of the slowest; SURVEY_ETA_UNKNOWN */
	uint64_t scrub_chunks, scrub_total, scrub_bytes;
	uint64_t scrub_bad, scrub_healed;
	uint32_t scrub_running, scrub_paused;
};

void status_repair_sum(const struct status *s, struct repair *r);

/** status_cluster() - to ask peers through; NULL with error text. */
struct cluster *status_cluster(struct status *s);

/** status_reachable() - whether a member answers. */
bool status_reachable(const struct status *s, const struct uuid *id);

/** members_reachable() - of the current ring. */
uint32_t members_reachable(const struct status *s);

/** status_writable() - writing needs a majority of a volume's copies. */
bool status_writable(uint32_t members, uint32_t copies);

/** volume_leaves_out() - the log is written without this peer for now. */
bool volume_leaves_out(const struct tail *tail, const struct uuid *peer);

/** status_command_for_members() - how more members come into the ring. */
void status_command_for_members(const struct status *s, struct finding *f);

/* The sources, in the order in which they are asked. */
void status_data(struct status *s);	/* data that cannot be reached */
void status_lost(struct status *s);	/* data that no peer has any more */
void status_ring(struct status *s);
void status_peers(struct status *s);
void status_space(struct status *s);
void status_repair(struct status *s);
void status_scrub(struct status *s);
void status_volumes(struct status *s);
void status_devices(struct status *s);

/* The output. */
void status_print(const struct status *s);
void status_print_json(const struct status *s);

extern const char *const severity_word[];

#endif
