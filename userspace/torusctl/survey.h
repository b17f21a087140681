/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the peers say of themselves, asked all at once: a peer that hangs costs
 * the time limit once, however many of them hang.
 */
#ifndef TORUSCTL_SURVEY_H
#define TORUSCTL_SURVEY_H

#include "ctl.h"

#define SURVEY_TIMEOUT_NS (3 * NSEC_PER_SEC)
#define SURVEY_ETA_UNKNOWN UINT64_MAX

/* struct wire_maintenance_reply, which says what they mean, for this host. */
struct survey_maintenance {
	uint64_t ring_version;
	uint64_t copy_chunks, copy_bytes, short_chunks, grace_chunks;
	uint64_t drop_chunks, drop_bytes;
	uint64_t copied_chunks, copied_bytes, dropped_chunks, garbage_chunks;
	uint64_t rate, eta_s;
	uint64_t scrub_chunks, scrub_total, scrub_bytes;
	uint64_t scrub_bad, scrub_healed, scrub_ended_ms;
	uint64_t behind;
	uint32_t scrub_state;
};

struct survey_finding {		/* struct wire_finding */
	uint64_t volume, chunk, volume_block, when_ms;
	uint32_t block, kind;
	bool healed;
};

/** survey_has_offset() - user data lies there, whose byte offset can be told. */
bool survey_has_offset(const struct survey_finding *f);

struct survey_answer {
	int err;			/* of STAT: why it did not answer */
	uint64_t size, used, chunks, volumes;
	uint64_t space_left;		/* for user data of a volume new there */
	enum wire_space_state space_state;
	bool maintained;		/* false: err, its torusd has no
					 * maintenance, or what it says makes no
					 * sense: all zero below */
	struct survey_maintenance m;
	struct survey_finding *findings;
	uint32_t finding_count;
};

/* An answer for each peer, in the order of the peers asked. */
struct survey {
	struct survey_answer *answers;
	size_t count;
};

/**
 * survey_run() - ask @count peers. Returns 0, also when none of them answers,
 * or -errno with error text. Free with survey_release() in either case.
 */
int survey_run(struct ctl *ctl, const struct ctl_peer *peers, size_t count,
	       struct survey *survey);

/** survey_act() - the same, and have each peer do something first. */
int survey_act(struct ctl *ctl, const struct ctl_peer *peers, size_t count,
	       enum wire_maintenance_action action, struct survey *survey);
void survey_release(struct survey *survey);

#endif
