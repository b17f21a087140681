/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_VALID_H
#define FUZZ_VALID_H

#include "chance.h"
#include "message.h"
#include "session.h"

/* What a message is about: a device, and a session of ours that may be any. */
struct subject {
	uint32_t dev_id;
	struct session *session;
	/* a socket that belongs to no session */
	struct port *stranger;
	/* where the message goes */
	struct port *port;
	/* queues that a session-queue asks for */
	uint64_t mask;
	/* with every attribute that there is */
	bool whole;
};

/*
 * Makes a message that is right: every attribute that is needed, some of the
 * others, values that the driver takes. For complete it answers requests that
 * wait in the session, if there are any.
 */
void valid_fill(struct message *m, const struct spec_op *op, struct subject *s,
		struct chance *c);

/*
 * Whether the driver may refuse a message that is right with that error: other
 * threads change devices and sessions at the same time.
 */
bool valid_may_fail(const struct message *m, const struct answer *answer);

#endif
