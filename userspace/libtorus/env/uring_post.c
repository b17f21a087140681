// SPDX-License-Identifier: Apache-2.0
/*
 * Calls from other threads: a list under a mutex and an eventfd that the loop
 * watches. Only the post that finds the list empty writes to the eventfd.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "env/uring_internal.h"

static void run_posts(struct uring *u)
{
	struct list_head now;

	list_init(&now);
	pthread_mutex_lock(&u->post_lock);
	list_splice_tail_init(&u->posts, &now);
	pthread_mutex_unlock(&u->post_lock);
	while (!list_empty(&now)) {
		struct env_post *post =
			list_first_entry(&now, struct env_post, node);

		list_del_init(&post->node);
		post->fn(post);
	}
}

static void event_ready(struct env_watch *watch, uint32_t revents)
{
	struct uring *u = watch->ctx;
	uint64_t count;

	/* Cleared first: a post that comes now finds the list empty again. */
	if (read(u->event_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error("eventfd: %s", strerror(errno));
	run_posts(u);
}

void env_uring_post(struct env *env, struct env_post *post)
{
	struct uring *u = to_uring(env);
	uint64_t one = 1;
	bool first;

	pthread_mutex_lock(&u->post_lock);
	first = list_empty(&u->posts);
	list_add_tail(&post->node, &u->posts);
	/* Under the lock: once it is released the reactor may be freed. */
	if (first && write(u->event_fd, &one, sizeof(one)) < 0)
		log_error("eventfd: %s", strerror(errno));
	pthread_mutex_unlock(&u->post_lock);
}

/* Also right for one that run_posts() has taken: the list is this thread's. */
void env_uring_unpost(struct env *env, struct env_post *post)
{
	struct uring *u = to_uring(env);

	pthread_mutex_lock(&u->post_lock);
	list_del_init(&post->node);
	pthread_mutex_unlock(&u->post_lock);
}

int uring_post_init(struct uring *u)
{
	int err;

	pthread_mutex_init(&u->post_lock, NULL);
	u->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (u->event_fd < 0)
		return error_set(-errno, "eventfd: %s", strerror(errno));
	u->event_watch.fn = event_ready;
	u->event_watch.ctx = u;
	err = env_uring_watch_fd(&u->env, &u->event_watch, u->event_fd, POLLIN);
	if (err < 0) {
		close(u->event_fd);
		return error_set(err, "out of memory");
	}
	return 0;
}

void uring_post_free(struct uring *u)
{
	close(u->event_fd);
	pthread_mutex_destroy(&u->post_lock);
}
