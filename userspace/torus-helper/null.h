/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device without a volume, to measure what the driver and its channel cost.
 * Every request is completed in the turn in which it came, but its data are
 * handled as a volume's are: what is written gets the checksums that a record
 * would have, what is read is copied from elsewhere and verified. It keeps
 * nothing, and reads as zeros.
 */
#ifndef TORUS_HELPER_NULL_H
#define TORUS_HELPER_NULL_H

#include "env/env_uring.h"
#include "options.h"

/**
 * null_run() - add the device (or take over the one that --device names and
 * another null helper has left), and serve it until a signal or somebody else
 * deletes it, or the session ends.
 * @status: enum helper_exit, if it began at all
 * 0, or -errno with error text: it could not begin.
 */
int null_run(const struct helper_options *opt, struct env *env, int *status);

#endif
