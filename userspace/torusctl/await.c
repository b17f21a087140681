// SPDX-License-Identifier: Apache-2.0
/*
 * Waiting until a key of the metadata store is gone, as that of a peer's life
 * when its lease ends: a watch tells, from the revision on at which the key was
 * seen. After a break of the watch the key is looked at again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ctl.h"
#include "env/env_uring.h"

struct await {
	struct ctl *ctl;
	const char *key;
	struct meta_watch *watch;
	struct env_timer timer;
	bool answered;			/* no get is under way */
	bool done;
	int err;
	char *text;			/* of err: the original does not last */
};

static void finish(struct await *a, int err)
{
	if (a->done)
		return;
	a->done = true;
	a->err = err;
	if (err)
		a->text = strdup(error_text(err));
	env_uring_stop(a->ctl->env);
}

static void look(struct await *a);

static void changed(void *ctx, enum meta_event_type type,
		    const struct meta_kv *kv)
{
	struct await *a = ctx;

	if (a->done)
		return;
	if (type == META_EVENT_DELETE && strcmp(kv->key, a->key) == 0) {
		finish(a, 0);
	} else if (type == META_EVENT_RESET) {
		a->ctl->meta->ops->unwatch(a->ctl->meta, a->watch);
		a->watch = NULL;
		look(a);
	}
}

static void got(void *ctx, int err, int64_t revision, const struct meta_kv *kv)
{
	struct await *a = ctx;

	a->answered = true;
	env_uring_stop(a->ctl->env);
	if (err || !kv)
		finish(a, err);
	if (a->done)
		return;
	a->watch = a->ctl->meta->ops->watch(a->ctl->meta, a->key, revision + 1,
					    changed, a);
	if (!a->watch)
		finish(a, error_set(-ENOMEM, "out of memory"));
}

static void look(struct await *a)
{
	a->answered = false;
	a->ctl->meta->ops->get(a->ctl->meta, a->key, got, a);
}

static void too_late(struct env_timer *timer)
{
	finish(container_of(timer, struct await, timer),
	       error_set(-ETIME, "it is there still"));
}

int ctl_await_gone(struct ctl *ctl, const char *key, uint64_t timeout_ns)
{
	struct await a = { .ctl = ctl, .key = key };
	int err;

	env_timer_init(&a.timer, too_late);
	env_timer_after(ctl->env, &a.timer, timeout_ns);
	look(&a);
	err = ctl_wait(ctl, &a.done);
	/* What it writes to is ours, and goes. */
	if (!err)
		err = ctl_wait(ctl, &a.answered);
	env_timer_cancel(ctl->env, &a.timer);
	if (a.watch)
		ctl->meta->ops->unwatch(ctl->meta, a.watch);
	if (!err && a.err)
		err = error_set(a.err, "%s", a.text ? a.text : "out of memory");
	free(a.text);
	return err;
}
