/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TORUS_SESSION_H
#define _TORUS_SESSION_H

#include <linux/completion.h>
#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/torus.h>

#include "arena.h"

struct netlink_ext_ack;
struct sock;
struct torus_device;
struct torus_ring_end;

/**
 * struct torus_socket - a netlink socket that a session holds
 * @node: in the list of all, under torus_sockets_lock
 * @session: whose it is
 * @sk: the socket, held by reference; NULL if there is none yet
 * @portid: where messages for it go
 */
struct torus_socket {
	struct list_head node;
	struct torus_session *session;
	struct sock *sk;
	u32 portid;
};

/**
 * struct torus_session - a helper's hold on a device
 * @device: held by reference
 * @id: never used again
 * @pid: the helper's, in the initial namespace
 * @arena: the shared memory
 * @rings: one per queue in the ring form, else NULL
 * @refs: users, and one for the time until it is revoked
 * @unused: when the last user is gone
 * @node: in the device's dead_sessions
 * @bound: which queues have a socket; under the device's lock
 * @dead: it is to be revoked; under the device's lock
 * @started: it may become active; under the device's lock
 * @active: it was made active; under the device's lock
 * @stalled: it was killed for being too slow; under the device's lock
 * @active_at: jiffies at which it was
 * @bound_at: jiffies at which it was bound
 * @owner: the socket that bound it
 * @sockets: one per queue
 */
struct torus_session {
	struct torus_device *device;
	u64 id;
	pid_t pid;
	struct torus_arena arena;
	struct torus_ring_end *rings;
	refcount_t refs;
	struct completion unused;
	struct list_head node;
	u64 bound;
	bool dead;
	bool started;
	bool active;
	bool stalled;
	unsigned long active_at;
	unsigned long bound_at;
	struct torus_socket owner;
	struct torus_socket sockets[];
};

/**
 * struct torus_session_sender - who sends a message to the driver
 * @sk: the socket it came from
 * @portid: that socket's
 */
struct torus_session_sender {
	struct sock *sk;
	u32 portid;
};

/**
 * struct torus_session_claim - how a helper wants to have a device
 * @form: of the channel
 * @arena_fd: descriptor of the calling process
 * @takeover: end another session if there is one
 */
struct torus_session_claim {
	enum torus_channel form;
	int arena_fd;
	bool takeover;
};

/**
 * struct torus_session_log - what a helper recovered, for the start
 * @incarnation: of the device whose attachment etcd names
 * @sequence: the newest record's
 * @header_crc: CRC32C of its header
 * @check_crc: CRC32C of the header at the sequence that the driver remembers
 * @has_check_crc: the helper gave it
 */
struct torus_session_log {
	u8 incarnation[TORUS_INCARNATION_LEN];
	u64 sequence;
	u32 header_crc;
	u32 check_crc;
	bool has_check_crc;
};

/** torus_session_form_name - the form of its channel, as it is shown */
static inline const char *
torus_session_form_name(const struct torus_session *session)
{
	return session->rings ? "ring" : "messages";
}

int torus_session_init(void);
void torus_session_exit(void);

/**
 * torus_session_bind - claim a device
 * @id: gets the session's id
 *
 * Return: 0; -EBUSY if another session has it; -EIO if the device is doomed;
 * what torus_arena_init() returns; -ENOMEM.
 */
int torus_session_bind(struct torus_device *dev,
		       const struct torus_session_sender *sender,
		       const struct torus_session_claim *claim, u64 *id,
		       struct netlink_ext_ack *extack);

/**
 * torus_session_bind_queues - bind the sender's socket to queues
 * @mask: which queues
 *
 * Return: 0; -ESTALE if the session is gone; -EINVAL for queues that are not
 * there; -EBUSY for a bound queue, a used socket or a started session;
 * -ENOBUFS if the receive buffer is too small.
 */
int torus_session_bind_queues(struct torus_device *dev, u64 id,
			      const struct torus_session_sender *sender,
			      u64 mask, struct netlink_ext_ack *extack);

/**
 * torus_session_start - make a session live
 * @log: what the helper recovered
 *
 * A log that does not contain the record that the driver remembers, or another
 * incarnation, fails the device.
 *
 * Return: 0, and the activation follows; -ESTALE if the session is gone or the
 * device was failed; -EPERM if another socket bound it; -EINVAL if a queue is
 * not bound or the check CRC is needed and missing; -EALREADY.
 */
int torus_session_start(struct torus_device *dev, u64 id,
			const struct torus_session_sender *sender,
			const struct torus_session_log *log,
			struct netlink_ext_ack *extack);

/** torus_session_end - the helper leaves; 0, -ESTALE or -EPERM */
int torus_session_end(struct torus_device *dev, u64 id,
		      const struct torus_session_sender *sender,
		      struct netlink_ext_ack *extack);

/**
 * torus_session_get_active - the session @id with a reference, if it is active
 *
 * Return: NULL if it is not.
 */
struct torus_session *torus_session_get_active(struct torus_device *dev,
					       u64 id);

/** torus_session_tryget - another reference, unless it is being revoked */
bool torus_session_tryget(struct torus_session *session);

/** torus_session_put - drop a reference */
void torus_session_put(struct torus_session *session);

/**
 * torus_session_kill - mark a session dead; its revocation follows
 * @error: negative errno as the reason, or 0 if the helper just went
 */
void torus_session_kill(struct torus_session *session, int error);

/** torus_session_kill_locked - the same, with the device's lock held */
void torus_session_kill_locked(struct torus_session *session, int error);

/**
 * torus_session_stalled - kill the active session for not ending a request
 * @timeout: jiffies that the request was given
 *
 * Return: whether it was killed; false if it had less time than that.
 */
bool torus_session_stalled(struct torus_device *dev, unsigned long timeout);

/** torus_session_drain - wait until nobody uses a dead session */
void torus_session_drain(struct torus_session *session);

/** torus_session_free - let go of arena and sockets of a drained session */
void torus_session_free(struct torus_session *session);

#endif /* _TORUS_SESSION_H */
