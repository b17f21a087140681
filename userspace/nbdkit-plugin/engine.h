/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An attached volume on a reactor's thread of its own, for callers on other
 * threads that wait.
 */
#ifndef TORUS_NBDKIT_ENGINE_H
#define TORUS_NBDKIT_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/url.h"
#include "volume/volume.h"

struct engine;

struct engine_config {
	struct meta_settings meta;
	char volume[VOLUME_NAME_MAX];
	bool force, read_only;
	uint64_t map_cache, overlay;	/* bytes; 0 = default */
	uint64_t io_timeout_ns;		/* 0 = default */
};

/**
 * engine_start() - start the thread and attach the volume.
 * 0 with *@engine; or -errno with error text, and nothing is left.
 */
int engine_start(const struct engine_config *cfg, struct engine **engine);

/** engine_stop() - detach, and end the thread. 0 or -errno with error text;
 * @engine is gone in any case. */
int engine_stop(struct engine *engine);

uint64_t engine_size(const struct engine *engine);

/**
 * engine_io() - carry out one operation and wait for its end. From any thread,
 * any number at once; of any length: what is too long for one request is cut.
 * @buffer: for reads and writes; offset and length are multiples of 512
 * 0 or -errno: as volume_request.done().
 */
int engine_io(struct engine *engine, enum volume_op op, bool fua,
	      uint64_t offset, uint64_t length, void *buffer);

#endif
