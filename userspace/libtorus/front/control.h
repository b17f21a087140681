/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be asked of the driver about its devices: add, delete, look, change,
 * and hear of changes. Used by torusctl and, at its beginning and end, by the
 * helper; nothing here is on the way of an I/O.
 */
#ifndef TORUS_FRONT_CONTROL_H
#define TORUS_FRONT_CONTROL_H

#include <linux/torus.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/uuid.h"
#include "env/env_uring.h"
#include "volume/volume.h"

struct control;
struct nlmsghdr;

#define CONTROL_VOLUME_MAX (TORUS_VOLUME_NAME_MAX + 1)
/* Before the number of a device that serves no volume (torus-helper --null). */
#define CONTROL_NULL_PREFIX "null:"

/* A device as the driver tells of it. */
struct control_device {
	uint32_t id;			/* N of /dev/torusN */
	char volume[CONTROL_VOLUME_MAX];
	uint64_t size;			/* bytes */
	uint32_t block_size, queues, depth, io_size_max;
	uint32_t io_timeout_ms, dead_timeout_ms;
	bool read_only;
	struct uuid incarnation;
	uint32_t state;			/* enum torus_state */
	int error;			/* that explains the state, or 0 */
	uint32_t helper_pid;		/* 0 = none */
	uint64_t session_id;		/* 0 = none */
	struct log_position remembered;
	uint32_t in_flight, openers;
	uint64_t sent, completed, late, malformed, requeued, overflows;
};

struct control_add {
	int id;				/* -1: any */
	const char *volume;
	uint64_t size;
	uint32_t block_size, queues, depth, io_size_max;
	uint32_t io_timeout_ms;
	int64_t dead_timeout_ms;	/* -1: what the module's parameter says */
	bool read_only;
	struct uuid incarnation;
};

/* Each change is made only if its flag is set. */
struct control_set {
	bool set_size, set_read_only, set_io_timeout, set_dead_timeout;
	bool fail;			/* for good */
	uint64_t size;
	bool read_only;
	uint32_t io_timeout_ms, dead_timeout_ms;
};

/**
 * control_open() - 0, -ENODEV (the module is not loaded: the text says what to
 * do), -ENOMEM and the like.
 */
int control_open(struct control **control);
void control_close(struct control *control);

/**
 * control_add() - make a device; *@id and *@queues as the driver decided.
 * -EEXIST: this machine has that volume, or that id.
 */
int control_add(struct control *control, const struct control_add *add,
		uint32_t *id, uint32_t *queues);

/**
 * control_delete() - begin to remove a device; an event tells the end.
 * 0; -EBUSY: it is open (not if @force); -EALREADY: a delete is under way;
 * -ENODEV: there is none.
 */
int control_delete(struct control *control, uint32_t id, bool force);

/** control_get() - -ENODEV: there is none. */
int control_get(struct control *control, uint32_t id,
		struct control_device *device);

/** control_list() - all devices by id; free() the array. */
int control_list(struct control *control, struct control_device **devices,
		 size_t *count);

/** control_find() - the device of a volume; -ENOENT without error text. */
int control_find(struct control *control, const char *volume,
		 struct control_device *device);

int control_change(struct control *control, uint32_t id,
		   const struct control_set *set);

/** control_state_name() - "live"; a constant string. */
const char *control_state_name(uint32_t state);

/**
 * control_parse_device() - fill @device from an answer of the driver.
 * 0 or -EBADMSG. For control.c and its tests.
 */
int control_parse_device(struct nlmsghdr *hdr, struct control_device *device);

/* ---- state changes ----------------------------------------------------- */

struct control_event {
	bool lost;			/* events were missed: look again */
	uint32_t id;
	uint32_t state;
	int error;
};

struct control_events;

/**
 * control_events_open() - listen; what happens from now on is heard.
 * @fn: called by control_events_read()
 */
int control_events_open(struct control_events **events,
			void (*fn)(void *ctx, const struct control_event *e),
			void *ctx);
void control_events_close(struct control_events *events);

/** control_events_fd() - to poll(2) for reading. */
int control_events_fd(const struct control_events *events);

/** control_events_read() - hand over what has come, without waiting. */
void control_events_read(struct control_events *events);

/** control_events_watch() - have a reactor do so until they are closed. */
int control_events_watch(struct control_events *events, struct env *env);

#endif
