/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper: one process, one attached volume, one device.
 *
 *   LOOKUP --> ATTACHING --> SERVING <--> DELETING --> DETACHING --> OVER
 *      |           |            |            |             |
 *      +-----------+------------+------------+-------------+--> OVER, with an
 *                                                               error
 *
 * LOOKUP     reading the volume's document; then device.c claims a device, which
 *            is where a second helper on this machine is turned away
 * ATTACHING  the volume is claimed, fenced, recovered; the device is bound, but
 *            no request comes
 * SERVING    the session is started. READY is said once the device is live
 * DELETING   asked by a signal, the driver removes the device; requests of that
 *            time are served. Refused if it stays open: back to SERVING
 * DETACHING  there is no device any more; the volume is detached
 * OVER       the loop is about to end
 */
#ifndef TORUS_HELPER_HELPER_H
#define TORUS_HELPER_HELPER_H

#include <sys/types.h>

#include "base/error.h"
#include "front/channel.h"
#include "front/control.h"
#include "lookup.h"
#include "meta/meta.h"
#include "options.h"
#include "volume/volume.h"

enum helper_state { HELPER_LOOKUP, HELPER_ATTACHING, HELPER_SERVING,
		    HELPER_DELETING, HELPER_DETACHING, HELPER_OVER };

struct helper {
	const struct helper_options *opt;
	struct env *env;
	struct meta *meta;
	struct control *control;
	struct control_events *events;
	struct lookup lookup;
	struct channel *channel;	/* NULL: we have no device */
	struct volume *volume;		/* NULL before ATTACHING */
	enum helper_state state;
	uint32_t device;		/* valid with a channel, and if added */
	struct uuid incarnation;
	bool added;			/* the device is ours, and has no disk */
	bool surviving;			/* the device outlived another helper */
	pid_t replaced;			/* by --replace; 0: nobody */
	bool ready;
	bool stop_wanted;		/* a signal came before SERVING */
	struct env_timer delete_again;	/* who has it open may be through soon */
	uint64_t delete_until_ns;
	int status;			/* enum helper_exit */

	/* What is to be said once a volume is detached that cannot be served. */
	enum helper_exit reason;
	int reason_err;
	char reason_text[ERROR_TEXT_MAX];
};

/** helper_start() - begin, on a reactor and an open metadata store; the loop
 * stops when it is over. 0 or -errno with error text. */
int helper_start(struct helper *h, const struct helper_options *opt,
		 struct env *env, struct meta *meta);

/** helper_signal() - SIGTERM or SIGINT came. */
void helper_signal(struct helper *h);

/** helper_log_stats() - SIGUSR1 came. */
void helper_log_stats(const struct helper *h);

/** helper_release() - drop what is left. */
void helper_release(struct helper *h);

/** helper_end() - the last word, and the exit status. */
void helper_end(struct helper *h, enum helper_exit status, int err,
		const char *sentence);

/* ---- device.c ------------------------------------------------------------ */

/**
 * device_claim() - find the device of the volume and take it over, or make one;
 * then open the channel. Fills h->channel, device, incarnation, added,
 * surviving. -EBUSY: another helper serves it.
 */
int device_claim(struct helper *h, const struct volume_doc *doc,
		 const struct channel_ops *ops);

/** device_drop() - a device that was added in vain goes. */
void device_drop(struct helper *h);

/** device_fail() - every request ends in an error from now on. */
void device_fail(struct helper *h);

/** device_fit() - the volume has another size than the device: tell it. */
int device_fit(struct helper *h);

#endif
