// SPDX-License-Identifier: Apache-2.0
/*
 * The core answers by callbacks; a command line wants one answer after the
 * other. Each call here submits, runs the loop until the callback has come,
 * which stops the loop, and copies what the callback was lent. An answer may
 * come at any point of the loop's turn, also just before it would sleep.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ctl.h"
#include "env/env_uring.h"
#include "meta/url.h"

int ctl_wait(struct ctl *ctl, const bool *done)
{
	int err = 0;

	/* It may have been stopped by an answer that nobody had to wait for. */
	while (!*done && !err)
		err = env_uring_run(ctl->env);
	return err;
}

struct answer {
	struct ctl *ctl;
	bool done;
	int err;
	bool succeeded;
	char *text;		/* error sentence: the original does not last */
	struct ctl_value *values;
	size_t count;
};

static void answer_error(struct answer *a, int err)
{
	a->done = true;
	a->err = err;
	if (err)
		a->text = strdup(error_text(err));
	env_uring_stop(a->ctl->env);
}

static int answer_finish(struct answer *a)
{
	int err = ctl_wait(a->ctl, &a->done);

	if (!err && a->err)
		err = error_set(a->err, "%s", a->text ? a->text : "out of memory");
	free(a->text);
	return err;
}

static int value_copy(struct ctl_value *value, const struct meta_kv *kv)
{
	value->key = strdup(kv->key);
	value->text = strdup(kv->value);
	value->mod_revision = kv->mod_revision;
	if (value->key && value->text)
		return 0;
	ctl_value_release(value);
	return error_set(-ENOMEM, "out of memory");
}

void ctl_value_release(struct ctl_value *value)
{
	free(value->key);
	free(value->text);
	memset(value, 0, sizeof(*value));
}

void ctl_values_free(struct ctl_value *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		ctl_value_release(&values[i]);
	free(values);
}

static void got(void *ctx, int err, int64_t revision, const struct meta_kv *kv)
{
	struct answer *a = ctx;

	(void)revision;
	if (!err && kv)
		err = value_copy(a->values, kv);
	answer_error(a, err);
}

int ctl_get(struct ctl *ctl, const char *key, struct ctl_value *value)
{
	struct answer a = { .ctl = ctl, .values = value };

	memset(value, 0, sizeof(*value));
	ctl->meta->ops->get(ctl->meta, key, got, &a);
	return answer_finish(&a);
}

static void listed(void *ctx, int err, int64_t revision,
		   const struct meta_kv *kv, size_t count)
{
	struct answer *a = ctx;

	(void)revision;
	if (!err && count) {
		a->values = calloc(count, sizeof(*a->values));
		if (!a->values)
			err = error_set(-ENOMEM, "out of memory");
	}
	for (; !err && a->count < count; a->count++)
		err = value_copy(&a->values[a->count], &kv[a->count]);
	answer_error(a, err);
}

int ctl_list(struct ctl *ctl, const char *prefix, struct ctl_value **values,
	     size_t *count)
{
	struct answer a = { .ctl = ctl };
	int err;

	ctl->meta->ops->list(ctl->meta, prefix, listed, &a);
	err = answer_finish(&a);
	if (err) {
		ctl_values_free(a.values, a.count);
		return err;
	}
	*values = a.values;
	*count = a.count;
	return 0;
}

static void committed(void *ctx, int err, bool succeeded, int64_t revision)
{
	struct answer *a = ctx;

	(void)revision;
	a->succeeded = succeeded;
	answer_error(a, err);
}

int ctl_txn(struct ctl *ctl, const struct meta_txn *txn)
{
	struct answer a = { .ctl = ctl };
	int err;

	ctl->meta->ops->txn(ctl->meta, txn, committed, &a);
	err = answer_finish(&a);
	if (err)
		return err;
	if (!a.succeeded)
		return error_set(-EAGAIN, "somebody else changed the same thing at the same time; look again and repeat");
	return 0;
}

int ctl_meta_open(struct ctl *ctl)
{
	struct meta_settings settings;
	int err;

	err = meta_settings_resolve(&settings, ctl->url);
	if (err)
		return err;
	settings.create = (ctl->command->run == cmd_init &&
			   !ctl_given(ctl, OPT_VIEW)) ||
			  ctl->command->run == cmd_recover;
	ctl->env = env_uring_new(&(struct env_uring_config){ 0 });
	if (!ctl->env)
		return -errno;
	return meta_open(ctl->env, &settings, &ctl->meta);
}

int ctl_cluster_load(struct ctl *ctl)
{
	struct ctl_value value;
	int err = ctl_get(ctl, KEY_CLUSTER, &value);

	if (err)
		return err;
	if (!value.text)
		return error_set(-ENOENT, "there is no cluster in this metadata store: make one with 'torusctl init', or, if its content was lost, rebuild it with 'torusctl recover'");
	err = cluster_doc_decode(value.key, value.text, &ctl->cluster);
	ctl_value_release(&value);
	return err;
}

static void opened(void *ctx, int err)
{
	answer_error(ctx, err);
}

struct cluster *ctl_cluster_open(struct ctl *ctl)
{
	struct cluster_config cfg = { .role = WIRE_ROLE_ADMIN };
	struct answer a = { .ctl = ctl };
	struct cluster *cluster;

	cluster = cluster_open(ctl->env, ctl->meta, &cfg, opened, &a);
	if (!cluster) {
		error_set(-ENOMEM, "out of memory");
		return NULL;
	}
	if (answer_finish(&a)) {
		cluster_close(cluster);
		return NULL;
	}
	return cluster;
}

struct peer_answer {
	struct ctl *ctl;
	bool done;
	void *reply;
};

static void called(struct peer_call *call)
{
	struct peer_answer *a = call->ctx;

	if (!call->err && a->reply)
		memcpy(a->reply, call->reply,
		       (size_t)wire_body_size(call->type, true));
	a->done = true;
	env_uring_stop(a->ctl->env);
}

int ctl_peer_call(struct ctl *ctl, struct peer *peer, struct peer_call *call,
		  uint64_t timeout_ns, void *reply)
{
	struct peer_answer answer = { ctl, false, reply };
	int err;

	call->timeout_ns = timeout_ns;
	call->done = called;
	call->ctx = &answer;
	peer_call(peer, call);
	err = ctl_wait(ctl, &answer.done);
	if (err)
		return err;
	if (call->err)
		return error_set(call->err, "peer %s: %s", peer_address(peer),
				 strerror(-call->err));
	if (call->status)
		return error_set(wire_status_errno(call->status), "peer %s: %s",
				 peer_address(peer),
				 wire_status_text(call->status));
	return 0;
}
