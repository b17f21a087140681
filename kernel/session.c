// SPDX-License-Identifier: GPL-2.0
/*
 * A session is one helper's hold on a device, from bind to revocation:
 *
 *   bound --(every queue has a socket, the log fits)--> started --> active
 *     \__________________________________________________\____________\
 *                     a socket closes, takeover, stall, lost volume  --> dead
 *
 * It is killed by setting a flag, from any context; what follows (revocation)
 * is the device's reconcile work. A device has one session that is not dead.
 *
 * The session holds its sockets by reference and compares senders by pointer,
 * since a port number may belong to another socket by now. The end of a socket
 * is seen by netlink's notifier, which runs after the socket was marked dead:
 * that mark, too, and not the port number alone, tells that it is ours.
 */
#include <linux/jiffies.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "channel.h"
#include "device.h"
#include "fault.h"
#include "lifecycle.h"
#include "queue.h"
#include "ring.h"
#include "session.h"
#include "trace.h"

/* Protects the list and the sk, portid of sockets. Taken before a device's. */
static DEFINE_SPINLOCK(torus_sockets_lock);
static LIST_HEAD(torus_sockets);
static atomic64_t last_id = ATOMIC64_INIT(0);

static void hold_socket(struct torus_socket *socket,
			const struct torus_session_sender *sender)
{
	lockdep_assert_held(&torus_sockets_lock);
	sock_hold(sender->sk);
	socket->sk = sender->sk;
	socket->portid = sender->portid;
	list_add_tail(&socket->node, &torus_sockets);
}

static void drop_socket(struct torus_socket *socket)
{
	struct sock *sk;

	spin_lock_bh(&torus_sockets_lock);
	sk = socket->sk;
	socket->sk = NULL;
	if (sk)
		list_del(&socket->node);
	spin_unlock_bh(&torus_sockets_lock);
	if (sk)
		sock_put(sk);
}

static int init_memory(struct torus_session *session, struct torus_device *dev,
		       const struct torus_session_claim *claim,
		       struct netlink_ext_ack *extack)
{
	bool rings = claim->form == TORUS_CHANNEL_RING;
	u32 rings_size = rings ? dev->nr_queues * torus_ring_stride(dev->depth) :
				 0;
	int ret;

	ret = torus_arena_init(&session->arena, claim->arena_fd,
			       dev->io_size_max, rings_size,
			       dev->nr_queues * dev->depth, extack);
	if (ret || !rings)
		return ret;
	session->rings = torus_rings_create(session->arena.pages,
					    dev->nr_queues, dev->depth);
	if (session->rings)
		return 0;
	torus_arena_release(&session->arena);
	return -ENOMEM;
}

static struct torus_session *create(struct torus_device *dev,
				    const struct torus_session_claim *claim,
				    struct netlink_ext_ack *extack)
{
	struct torus_session *session;
	unsigned int i;
	int ret;

	session = torus_fault(TORUS_FAULT_FAIL_ALLOC) ? NULL :
		  kzalloc(struct_size(session, sockets, dev->nr_queues),
			  GFP_KERNEL);
	if (!session)
		return ERR_PTR(-ENOMEM);
	ret = init_memory(session, dev, claim, extack);
	if (ret) {
		kfree(session);
		return ERR_PTR(ret);
	}
	torus_device_get(dev);
	session->device = dev;
	session->id = atomic64_inc_return(&last_id);
	session->pid = task_tgid_nr(current);
	session->bound_at = jiffies;
	refcount_set(&session->refs, 1);
	init_completion(&session->unused);
	session->owner.session = session;
	for (i = 0; i < dev->nr_queues; i++)
		session->sockets[i].session = session;
	return session;
}

void torus_session_free(struct torus_session *session)
{
	struct torus_device *dev = session->device;
	unsigned int i;

	trace_torus_session_revoked(dev->id, session->id, session->pid, 0);
	for (i = 0; i < dev->nr_queues; i++)
		drop_socket(&session->sockets[i]);
	drop_socket(&session->owner);
	torus_rings_destroy(session->rings);
	torus_arena_release(&session->arena);
	kfree(session);
	torus_device_put(dev);
}

/* Two sessions in one arena would hand out the same memory twice. */
static bool arena_in_use(unsigned long ino)
{
	struct torus_socket *socket;

	lockdep_assert_held(&torus_sockets_lock);
	list_for_each_entry(socket, &torus_sockets, node)
		if (socket->session->arena.ino == ino)
			return true;
	return false;
}

static int may_bind_locked(struct torus_device *dev,
			   struct torus_session *session, bool takeover,
			   struct netlink_ext_ack *extack)
{
	lockdep_assert_held(&dev->lock);
	if (torus_device_doomed(dev)) {
		NL_SET_ERR_MSG(extack, "device has failed or is going: delete it and attach again");
		return -EIO;
	}
	if (dev->session && !takeover) {
		NL_SET_ERR_MSG(extack, "another helper has bound this device");
		return -EBUSY;
	}
	if (session->arena.ino == dev->arena_ino ||
	    arena_in_use(session->arena.ino)) {
		NL_SET_ERR_MSG(extack, "arena is or was another session's: make a new one");
		return -EINVAL;
	}
	return 0;
}

int torus_session_bind(struct torus_device *dev,
		       const struct torus_session_sender *sender,
		       const struct torus_session_claim *claim, u64 *id,
		       struct netlink_ext_ack *extack)
{
	struct torus_session *session = create(dev, claim, extack);
	int ret;

	if (IS_ERR(session))
		return PTR_ERR(session);
	torus_point(TORUS_POINT_BEFORE_BIND, session->pid);
	spin_lock_bh(&torus_sockets_lock);
	spin_lock(&dev->lock);
	ret = may_bind_locked(dev, session, claim->takeover, extack);
	if (!ret) {
		if (dev->session)
			torus_session_kill_locked(dev->session, -ECANCELED);
		hold_socket(&session->owner, sender);
		dev->session = session;
		dev->arena_ino = session->arena.ino;
		*id = session->id;
		trace_torus_session_bound(dev->id, session->id, session->pid, 0);
	}
	spin_unlock(&dev->lock);
	spin_unlock_bh(&torus_sockets_lock);
	if (ret)
		torus_session_free(session);
	/* The session may be gone by now. */
	torus_point(TORUS_POINT_AFTER_BIND, task_tgid_nr(current));
	return ret;
}

static struct torus_session *find_locked(struct torus_device *dev, u64 id,
					 struct netlink_ext_ack *extack)
{
	lockdep_assert_held(&dev->lock);
	if (dev->session && dev->session->id == id)
		return dev->session;
	NL_SET_ERR_MSG(extack, "session has ended");
	return NULL;
}

/* Bytes of receive buffer that @sk needs for @session with @more queues. */
static u64 rcvbuf_needed(struct torus_session *session, struct sock *sk,
			 unsigned int more)
{
	struct torus_device *dev = session->device;
	unsigned int i;

	for (i = 0; i < dev->nr_queues; i++)
		more += session->sockets[i].sk == sk;
	return (u64)more * torus_channel_rcvbuf_min(dev, session->rings ?
						    TORUS_CHANNEL_RING :
						    TORUS_CHANNEL_MESSAGES);
}

/* A socket that serves two sessions would have a buffer for only one. */
static bool serves_another(struct torus_session *session, struct sock *sk)
{
	struct torus_socket *socket;

	lockdep_assert_held(&torus_sockets_lock);
	list_for_each_entry(socket, &torus_sockets, node)
		if (socket->sk == sk && socket->session != session &&
		    socket != &socket->session->owner)
			return true;
	return false;
}

static int may_bind_queues(struct torus_session *session, struct sock *sk,
			   u64 mask, struct netlink_ext_ack *extack)
{
	struct torus_device *dev = session->device;

	if (!mask || (dev->nr_queues < 64 && mask >> dev->nr_queues)) {
		NL_SET_ERR_MSG(extack, "queue-mask is empty or names a queue that is not there");
		return -EINVAL;
	}
	if (session->started || (session->bound & mask)) {
		NL_SET_ERR_MSG(extack, "a queue of queue-mask has a socket already");
		return -EBUSY;
	}
	if (serves_another(session, sk)) {
		NL_SET_ERR_MSG(extack, "socket serves another session: open one for each");
		return -EBUSY;
	}
	if (READ_ONCE(sk->sk_rcvbuf) <
	    rcvbuf_needed(session, sk, hweight64(mask))) {
		NL_SET_ERR_MSG(extack, "receive buffer is too small: SO_RCVBUFFORCE rcvbuf-min");
		return -ENOBUFS;
	}
	return 0;
}

/*
 * Netlink silently drops a message from the memory reserves, and reports
 * success, unless the receiver has this flag. The flag alone is set:
 * sk_set_memalloc() would take the lock of CPU hotplug, which may wait for I/O.
 */
static void set_memalloc(struct sock *sk)
{
	lock_sock(sk);
	sock_set_flag(sk, SOCK_MEMALLOC);
	release_sock(sk);
}

int torus_session_bind_queues(struct torus_device *dev, u64 id,
			      const struct torus_session_sender *sender,
			      u64 mask, struct netlink_ext_ack *extack)
{
	struct torus_session *session;
	unsigned int i;
	int ret = -ESTALE;

	set_memalloc(sender->sk);
	spin_lock_bh(&torus_sockets_lock);
	spin_lock(&dev->lock);
	session = find_locked(dev, id, extack);
	if (session)
		ret = may_bind_queues(session, sender->sk, mask, extack);
	if (!ret) {
		for (i = 0; i < dev->nr_queues; i++)
			if (mask & BIT_ULL(i))
				hold_socket(&session->sockets[i], sender);
		session->bound |= mask;
	}
	spin_unlock(&dev->lock);
	spin_unlock_bh(&torus_sockets_lock);
	return ret;
}

/*
 * A surviving device never goes back in time, and never sideways: the log that
 * is to serve it must be that of its incarnation, and contain the very record
 * that the driver saw acknowledged last.
 */
static bool log_fits_locked(struct torus_device *dev,
			    const struct torus_session_log *log)
{
	lockdep_assert_held(&dev->lock);
	if (memcmp(log->incarnation, dev->incarnation, TORUS_INCARNATION_LEN))
		return false;
	if (!dev->sequence)
		return true;
	return log->sequence >= dev->sequence &&
	       log->check_crc == dev->header_crc;
}

static int start_locked(struct torus_device *dev, struct torus_session *session,
			const struct torus_session_log *log,
			struct netlink_ext_ack *extack)
{
	u64 all = GENMASK_ULL(dev->nr_queues - 1, 0);

	lockdep_assert_held(&dev->lock);
	if (session->started)
		return -EALREADY;
	if (session->bound != all) {
		NL_SET_ERR_MSG(extack, "a queue has no socket yet");
		return -EINVAL;
	}
	/* Not a log that does not fit, but a message that does not say. */
	if (dev->sequence && !log->has_check_crc) {
		NL_SET_ERR_MSG(extack, "check-crc is missing: the driver remembers a record");
		return -EINVAL;
	}
	if (!log_fits_locked(dev, log)) {
		torus_device_set_state_locked(dev, TORUS_STATE_FAILED, -ESTALE);
		torus_session_kill_locked(session, -ESTALE);
		NL_SET_ERR_MSG(extack, "not the log that served this device, which has failed now");
		return -ESTALE;
	}
	if (log->sequence > dev->sequence) {
		dev->sequence = log->sequence;
		dev->header_crc = log->header_crc;
	}
	session->started = true;
	trace_torus_session_started(dev->id, session->id, session->pid, 0);
	torus_reconcile_later(dev);
	return 0;
}

int torus_session_start(struct torus_device *dev, u64 id,
			const struct torus_session_sender *sender,
			const struct torus_session_log *log,
			struct netlink_ext_ack *extack)
{
	struct torus_session *session;
	int ret = -ESTALE;

	spin_lock_bh(&dev->lock);
	session = find_locked(dev, id, extack);
	if (session && session->owner.sk != sender->sk) {
		NL_SET_ERR_MSG(extack, "start must come from the socket that bound the session");
		ret = -EPERM;
	} else if (session) {
		ret = start_locked(dev, session, log, extack);
	}
	spin_unlock_bh(&dev->lock);
	torus_point(TORUS_POINT_AFTER_START, task_tgid_nr(current));
	return ret;
}

int torus_session_end(struct torus_device *dev, u64 id,
		      const struct torus_session_sender *sender,
		      struct netlink_ext_ack *extack)
{
	struct torus_session *session;
	int ret = -ESTALE;

	spin_lock_bh(&dev->lock);
	session = find_locked(dev, id, extack);
	if (session && session->owner.sk != sender->sk) {
		NL_SET_ERR_MSG(extack, "end must come from the socket that bound the session");
		ret = -EPERM;
	} else if (session) {
		torus_session_kill_locked(session, 0);
		ret = 0;
	}
	spin_unlock_bh(&dev->lock);
	return ret;
}

bool torus_session_tryget(struct torus_session *session)
{
	return refcount_inc_not_zero(&session->refs);
}

void torus_session_put(struct torus_session *session)
{
	if (refcount_dec_and_test(&session->refs))
		complete(&session->unused);
}

struct torus_session *torus_session_get_active(struct torus_device *dev,
					       u64 id)
{
	struct torus_session *session;

	spin_lock_bh(&dev->lock);
	session = dev->session;
	if (session && (session->id != id || !session->active ||
			!torus_session_tryget(session)))
		session = NULL;
	spin_unlock_bh(&dev->lock);
	return session;
}

void torus_session_drain(struct torus_session *session)
{
	torus_session_put(session);
	wait_for_completion(&session->unused);
	/* Only users of the active session have work of queues begun. */
	if (session->active)
		torus_queues_cancel_looks(session->device);
}

void torus_session_kill_locked(struct torus_session *session, int error)
{
	struct torus_device *dev = session->device;

	lockdep_assert_held(&dev->lock);
	if (session->dead)
		return;
	session->dead = true;
	trace_torus_session_lost(dev->id, session->id, session->pid, error);
	if (dev->session == session)
		dev->session = NULL;
	list_add_tail(&session->node, &dev->dead_sessions);
	if (session->active && (dev->state == TORUS_STATE_LIVE ||
				dev->state == TORUS_STATE_STARTING)) {
		torus_device_set_state_locked(dev, TORUS_STATE_RECOVERING,
					      error);
		torus_arm_dead_timer_locked(dev);
	}
	torus_reconcile_later(dev);
}

void torus_session_kill(struct torus_session *session, int error)
{
	spin_lock_bh(&session->device->lock);
	torus_session_kill_locked(session, error);
	spin_unlock_bh(&session->device->lock);
}

bool torus_session_stalled(struct torus_device *dev, unsigned long timeout)
{
	struct torus_session *session;
	bool killed = false;

	spin_lock_bh(&dev->lock);
	session = dev->session;
	if (session && session->active &&
	    time_after_eq(jiffies, session->active_at + timeout)) {
		/* Before the kill: who revokes the session reads it. */
		session->stalled = true;
		torus_session_kill_locked(session, -ETIMEDOUT);
		killed = true;
	}
	spin_unlock_bh(&dev->lock);
	return killed;
}

static int socket_closed(struct notifier_block *nb, unsigned long event,
			 void *data)
{
	struct netlink_notify *notify = data;
	struct torus_socket *socket;

	if (event != NETLINK_URELEASE || notify->protocol != NETLINK_GENERIC ||
	    !net_eq(notify->net, &init_net))
		return NOTIFY_DONE;
	spin_lock_bh(&torus_sockets_lock);
	list_for_each_entry(socket, &torus_sockets, node)
		if (socket->portid == notify->portid &&
		    sock_flag(socket->sk, SOCK_DEAD))
			torus_session_kill(socket->session, 0);
	spin_unlock_bh(&torus_sockets_lock);
	return NOTIFY_DONE;
}

static struct notifier_block socket_notifier = {
	.notifier_call = socket_closed,
};

int torus_session_init(void)
{
	return netlink_register_notifier(&socket_notifier);
}

void torus_session_exit(void)
{
	netlink_unregister_notifier(&socket_notifier);
}
