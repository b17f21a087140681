// SPDX-License-Identifier: Apache-2.0
/*
 * Readiness of descriptors.
 *
 * A poll is one-shot and armed again after its callback: that makes it
 * level-triggered (no event is lost when a callback does not read
 * everything), and costs no system call of its own, since it is submitted
 * together with whatever the turn ends with.
 *
 * The kernel completes a poll some time after it was cancelled, and the
 * completion names the poll's memory. So a watch has memory of its own
 * (struct uring_watch), separate from the user's struct env_watch, which may
 * be gone by then: unwatching detaches the two, and the completion frees.
 */
#include <errno.h>
#include <stdlib.h>

#include "env/uring_internal.h"

struct uring_watch {
	struct uring_poll poll;
	struct uring *u;
	struct env_watch *watch;	/* NULL: detached, freed at completion */
	struct list_head node;		/* uring.watches */
	int fd;
	uint32_t events;
};

void uring_poll_arm(struct uring *u, struct uring_poll *poll, int fd,
		    uint32_t events)
{
	if (poll->armed)
		return;
	io_uring_prep_poll_add(uring_sqe(u, TAG_POLL, poll), fd, events);
	poll->armed = true;
}

/* The poll stays armed until its completion (-ECANCELED) comes. */
void uring_poll_cancel(struct uring *u, struct uring_poll *poll)
{
	uint64_t user_data = (uintptr_t)poll | TAG_POLL;

	if (poll->armed)
		io_uring_prep_poll_remove(uring_sqe(u, TAG_NONE, NULL),
					  user_data);
}

static void watch_free(struct uring_watch *w)
{
	list_del_init(&w->node);
	free(w);
}

static void watch_ready(struct uring_poll *poll, int res)
{
	struct uring_watch *w = container_of(poll, struct uring_watch, poll);

	if (w->watch)
		w->watch->fn(w->watch, res < 0 ? POLLERR : (uint32_t)res);
	/* fn() may have unwatched, and then w is still ours: not armed. */
	if (w->watch)
		uring_poll_arm(w->u, &w->poll, w->fd, w->events);
	else
		watch_free(w);
}

int env_uring_watch_fd(struct env *env, struct env_watch *watch, int fd,
		       uint32_t events)
{
	struct uring *u = to_uring(env);
	struct uring_watch *w = watch->priv;

	if (w && w->fd == fd && w->events == events)
		return 0;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	env_uring_unwatch(env, watch);
	w->poll.fn = watch_ready;
	w->u = u;
	w->watch = watch;
	w->fd = fd;
	w->events = events;
	list_add_tail(&w->node, &u->watches);
	watch->priv = w;
	uring_poll_arm(u, &w->poll, fd, events);
	return 0;
}

void env_uring_unwatch(struct env *env, struct env_watch *watch)
{
	struct uring_watch *w = watch->priv;

	if (!w)
		return;
	watch->priv = NULL;
	w->watch = NULL;
	/* Not armed: its callback is running, which frees it. */
	uring_poll_cancel(to_uring(env), &w->poll);
}

void uring_watches_free(struct uring *u)
{
	struct uring_watch *w, *tmp;

	list_for_each_entry_safe(w, tmp, &u->watches, node) {
		if (w->watch)
			w->watch->priv = NULL;
		watch_free(w);
	}
}

int env_uring_recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n;

	do {
		n = recvmsg(fd, msg, flags | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

int env_uring_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	ssize_t n;

	do {
		n = sendmsg(fd, msg, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}
