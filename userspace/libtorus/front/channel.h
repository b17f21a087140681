/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data path between a device of the driver and a volume engine.
 *
 *	channel_open()	    claims the device: nothing comes yet
 *	...		    attach the volume, which takes as long as it takes
 *	channel_start()	    requests come, and leave as volume requests
 *	channel_close()	    the driver keeps what is not completed
 *
 * All memory that I/O needs is allocated by channel_open().
 */
#ifndef TORUS_FRONT_CHANNEL_H
#define TORUS_FRONT_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "env/env_uring.h"
#include "front/session.h"
#include "volume/volume.h"

struct channel;

struct channel_ops {
	/* As volume_submit(): req->done() follows, never from inside. */
	void (*submit)(void *ctx, struct volume_request *req);

	/* As volume_acknowledged(): what the driver is to remember. */
	struct log_position (*position)(void *ctx);

	/*
	 * The session is over, or its messages are not to be trusted any more:
	 * @err and the error text say why. Called once, from the event loop;
	 * the channel may be closed inside.
	 */
	void (*lost)(void *ctx, int err);
};

enum channel_form {
	CHANNEL_AUTO,			/* rings if the driver offers them */
	CHANNEL_RING,
	CHANNEL_MESSAGES,
};

struct channel_config {
	struct env *env;		/* a reactor */
	uint32_t device;
	enum channel_form form;
	uint64_t arena_size;
	bool takeover;			/* from a helper that still has it */
	const struct channel_ops *ops;
	void *ctx;
};

/**
 * channel_open() - make an arena, claim the device, and take all its queues.
 * 0; -EBUSY when another helper has it; else -errno, each with error text.
 */
int channel_open(const struct channel_config *cfg, struct channel **channel);

/** channel_device() - what is served: valid until channel_close(). */
const struct session_device *channel_device(const struct channel *channel);

/** channel_session() - to compare with what the driver says is live. */
uint64_t channel_session(const struct channel *channel);

/** channel_remember() - what the driver remembers is newer than bind said. */
void channel_remember(struct channel *channel, struct log_position remembered);

/** channel_resize() - the device has another size. */
void channel_resize(struct channel *channel, uint64_t size);

/** channel_start() - see session_start(). */
int channel_start(struct channel *channel, struct log_position recovered,
		  struct log_position found, const struct uuid *incarnation);

/**
 * channel_close() - end the session. Requests whose done() has not been called
 * must not be called later: free or finish the engine first. NULL is fine.
 */
void channel_close(struct channel *channel);

#endif
