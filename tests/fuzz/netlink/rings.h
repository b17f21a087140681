/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_RINGS_H
#define FUZZ_RINGS_H

#include "chance.h"
#include "session.h"

/* Answers most of what waits, in the rings. Returns how many. */
unsigned int rings_serve(struct session *s, struct chance *c);

/* Does something to a ring that no correct helper does; 0 if there is none. */
unsigned int rings_spoil(struct session *s, struct chance *c);

#endif
