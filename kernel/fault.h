/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fault points: places at which a test may have something go wrong, or the
 * helper die. They exist in a module that was built with TORUS_FAULTS=y; in any
 * other nothing is left of them. See fault.c for the knobs.
 */
#ifndef _TORUS_FAULT_H
#define _TORUS_FAULT_H

#include <linux/types.h>

struct dentry;
struct torus_device;

/**
 * enum torus_fault - what may go wrong
 * @TORUS_FAULT_FAIL_ALLOC: memory that a command or a work item wants is not there
 * @TORUS_FAULT_FAIL_MESSAGE: memory for a message to the helper is not there
 * @TORUS_FAULT_STARVE_ARENA: there is no room in the arena
 * @TORUS_FAULT_SOCKET_FULL: a message does not fit into the helper's socket
 * @TORUS_FAULT_FAIL_DOORBELL: a doorbell cannot be sent
 * @TORUS_FAULT_HOLD_REQUEST: a request is accepted, but not handed over
 * @TORUS_FAULT_DROP_REQUEST: a request is handed over, but does not arrive
 * @TORUS_FAULT_DROP_COMPLETION: a completion does not arrive
 * @TORUS_FAULT_DROP_DRAIN: a message that tells of completions does not arrive
 * @TORUS_FAULT_STALL_LOOK: a look that is due does nothing, and is due again
 */
enum torus_fault {
	TORUS_FAULT_FAIL_ALLOC,
	TORUS_FAULT_FAIL_MESSAGE,
	TORUS_FAULT_STARVE_ARENA,
	TORUS_FAULT_SOCKET_FULL,
	TORUS_FAULT_FAIL_DOORBELL,
	TORUS_FAULT_HOLD_REQUEST,
	TORUS_FAULT_DROP_REQUEST,
	TORUS_FAULT_DROP_COMPLETION,
	TORUS_FAULT_DROP_DRAIN,
	TORUS_FAULT_STALL_LOOK,
};

/**
 * enum torus_point - points in the life of a request, a session or a device
 * @TORUS_POINT_AFTER_QUEUE: a request is queued, its data copied
 * @TORUS_POINT_BEFORE_SEND: it is the helper's, its message or entry is not on the way
 * @TORUS_POINT_AFTER_SEND: it is on the way
 * @TORUS_POINT_AFTER_DOORBELL: a doorbell is on the way
 * @TORUS_POINT_BEFORE_CLAIM: a batch of completions is there
 * @TORUS_POINT_AFTER_CLAIM: what it ends is decided
 * @TORUS_POINT_AFTER_COPY: the data of a read has been copied
 * @TORUS_POINT_AFTER_FETCH: that of a deferred write has been
 * @TORUS_POINT_BEFORE_END: the requests of a batch are about to end
 * @TORUS_POINT_AFTER_END: they have ended
 * @TORUS_POINT_BEFORE_BIND: a session is made, and not known yet
 * @TORUS_POINT_AFTER_BIND: it is bound, and the helper does not know it
 * @TORUS_POINT_AFTER_START: it is to be started
 * @TORUS_POINT_BEFORE_ACTIVATE: sessions have been revoked, and none is activated yet
 * @TORUS_POINT_IN_REVOKE: the queues are quiesced, and the session still has users
 * @TORUS_POINT_BEFORE_ADD_DISK: the disk is there, and nobody can see it yet
 * @TORUS_POINT_BEFORE_DELETE: nobody has the disk open
 * @TORUS_POINT_AFTER_DELETE: it is gone, and the session is still there
 *
 * At the first four of them nobody may sleep.
 */
enum torus_point {
	TORUS_POINT_AFTER_QUEUE,
	TORUS_POINT_BEFORE_SEND,
	TORUS_POINT_AFTER_SEND,
	TORUS_POINT_AFTER_DOORBELL,
	TORUS_POINT_BEFORE_CLAIM,
	TORUS_POINT_AFTER_CLAIM,
	TORUS_POINT_AFTER_COPY,
	TORUS_POINT_AFTER_FETCH,
	TORUS_POINT_BEFORE_END,
	TORUS_POINT_AFTER_END,
	TORUS_POINT_BEFORE_BIND,
	TORUS_POINT_AFTER_BIND,
	TORUS_POINT_AFTER_START,
	TORUS_POINT_BEFORE_ACTIVATE,
	TORUS_POINT_IN_REVOKE,
	TORUS_POINT_BEFORE_ADD_DISK,
	TORUS_POINT_BEFORE_DELETE,
	TORUS_POINT_AFTER_DELETE,
};

#ifdef TORUS_FAULTS

/** torus_faults_init - make the folder of knobs in @root, which is to go later */
void torus_faults_init(struct dentry *root);

/** torus_fault - whether it is to go wrong this time; any context */
bool torus_fault(enum torus_fault fault);

/**
 * torus_point - kill the helper, stop, or both, if this is the time
 * @pid: the helper, or 0
 */
void torus_point(enum torus_point point, pid_t pid);

/** torus_point_of - the same, for the helper that has bound @dev, if any */
void torus_point_of(enum torus_point point, struct torus_device *dev);

#else

static inline void torus_faults_init(struct dentry *root)
{
}

static inline bool torus_fault(enum torus_fault fault)
{
	return false;
}

static inline void torus_point(enum torus_point point, pid_t pid)
{
}

static inline void torus_point_of(enum torus_point point,
				  struct torus_device *dev)
{
}

#endif /* TORUS_FAULTS */
#endif /* _TORUS_FAULT_H */
