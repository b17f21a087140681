/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing the ring: read, edit a copy, write by compare-and-swap with the
 * version grown by one and the old ring kept beside the new one.
 */
#ifndef TORUSCTL_RINGEDIT_H
#define TORUSCTL_RINGEDIT_H

#include "ctl.h"
#include "survey.h"
#include "view.h"

struct ringedit_args {
	int argc;
	char **argv;
	bool all;
};

/*
 * Edit @spec (not its version), a copy of the current ring of @view. 0, or
 * -errno with error text. May be called again, with a newer view.
 */
typedef int (*ringedit_fn)(struct ctl *ctl, const struct view *view,
			   struct ring_spec *spec, void *ctx);

/**
 * ringedit_change() - carry out one change; repeats the edit when somebody
 * else changed the ring meanwhile. An edit that changes nothing writes nothing.
 * Refused while a volume's log may still end under the ring before the current
 * one, which would be forgotten; and without --force also while a change is
 * under way, or when too few members would be left.
 */
int ringedit_change(struct ctl *ctl, ringedit_fn edit, void *ctx);

/** ringedit_find() - the peer that @what names by address or uuid; NULL with
 * error text. */
const struct ctl_peer *ringedit_find(const struct ctl_peer *peers, size_t count,
				     const char *what);

/** ringedit_progress() - what keeps a peer from confirming: "3 chunks, ...". */
void ringedit_progress(const struct ctl_peer *peer,
		       const struct survey_answer *answer, char *text,
		       size_t len);

#endif
