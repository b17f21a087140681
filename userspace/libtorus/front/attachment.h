/* SPDX-License-Identifier: Apache-2.0 */
/* Who we are, as an attachment in the metadata tells it. */
#ifndef TORUS_FRONT_ATTACHMENT_H
#define TORUS_FRONT_ATTACHMENT_H

#include "env/env.h"
#include "meta/schema.h"

/**
 * attachment_fill() - this host and process, now.
 * @device: "/dev/torus0", "nbdkit"
 */
void attachment_fill(struct attachment *attachment, struct env *env,
		     const char *device, const struct uuid *incarnation);

/** attachment_incarnation() - a new one, from the env's randomness. */
struct uuid attachment_incarnation(struct env *env);

/**
 * attachment_check_path() - refuse a file that the attached volume's I/O would
 * need and that lies on a torus device itself.
 * @path: of a file, or of one that will be made in an existing directory
 * 0, or -EDEADLK with error text.
 */
int attachment_check_path(const char *path);

#endif
