// SPDX-License-Identifier: Apache-2.0
/*
 * torusd: start and end.
 *
 *   options -> directory and its lock -> reactor -> metadata store
 *      -> cluster's document (link.c) -> store -> serving
 *      -> registered, member of the ring -> ready
 *
 * SIGTERM: the lease is given back and the store closed side by side; after
 * STOP_NS, or at a second signal, it ends as it is, which costs the next start
 * some reading and nothing else.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/size.h"
#include "env/env_uring.h"
#include "env/flusher.h"
#include "torusd.h"

#define STOP_NS		(20 * NSEC_PER_SEC)
#define LISTEN_AGAIN_NS	(100 * NSEC_PER_MSEC)
#define LISTEN_FOR_NS	(10 * NSEC_PER_SEC)
#define RECEIVE_BYTES	(24u << 20)
#define SEND_BYTES	(12u << 20)
/* For requests, frames, and data that come outside of the pool. */
#define HEAP_RESERVE	(2u << 20)

void torusd_fail(struct torusd *d, const char *what, int err)
{
	log_error("%s: %s", what, error_text(err));
	sd_notifyf(0, "STATUS=%s\nERRNO=%d", error_text(err), -err);
	d->exit_status = TORUSD_FAILED;
	d->stopping = true;
	env_uring_stop(d->env);
}

/* ---- the end ---------------------------------------------------------------- */

void torusd_check_stopped(struct torusd *d)
{
	if (d->stopping && d->store_closed && d->lease_revoked)
		env_uring_stop(d->env);
}

static void store_is_closed(void *ctx, int err)
{
	struct torusd *d = ctx;

	d->store_closed = true;
	torusd_check_stopped(d);
}

static void waited_enough(struct env_timer *timer)
{
	struct torusd *d = container_of(timer, struct torusd, stop_timer);

	log_warning("not everything could be finished in time; ending");
	env_uring_stop(d->env);
}

static void on_term(void *ctx, int signo)
{
	struct torusd *d = ctx;

	if (d->stopping) {
		env_uring_stop(d->env);
		return;
	}
	log_info("%s: closing", strsignal(signo));
	sd_notify(0, "STOPPING=1");
	d->stopping = true;
	env_timer_after(d->env, &d->stop_timer, STOP_NS);
	d->lease_revoked = member_stop(&d->member);
	maintenance_stop(d);
	/* One that still opens is closed by store_is_open(). */
	d->store_closed = d->store == NULL;
	if (d->serving)
		store_close(d->store, store_is_closed, d);
	torusd_check_stopped(d);
}

/* ---- the store --------------------------------------------------------------- */

void torusd_check_ready(struct torusd *d)
{
	char peer[UUID_TEXT_SIZE], size[32];
	struct store_stats stats;

	/* What has failed once is tried on while the store serves. */
	if (d->ready || !d->serving || d->stopping ||
	    (d->cluster_known && member_registering(&d->member)) ||
	    (d->cluster_known && d->options.auto_join && !d->joining.done &&
	     !env_timer_armed(&d->joining.retry.timer)))
		return;
	d->ready = d->member.ready = true;
	uuid_format(store_peer(d->store), peer);
	store_stats(d->store, &stats);
	size_format(stats.size, size, sizeof(size));
	log_info("ready: peer %s at %s, %s in %s", peer, d->address, size,
		 d->options.data_dir);
	sd_notifyf(0, "READY=1\nSTATUS=Serving %s at %s as peer %s",
		   d->options.data_dir, d->address, peer);
}

static void member_changed(void *ctx)
{
	torusd_check_ready(ctx);
}

static void member_failed(void *ctx, int err)
{
	struct torusd *d = ctx;

	torusd_fail(d, d->options.data_dir, err);
}

static void member_stopped(void *ctx)
{
	struct torusd *d = ctx;

	d->lease_revoked = true;
	torusd_check_stopped(d);
}

static const struct member_ops member_callbacks = {
	.changed = member_changed,
	.failed = member_failed,
	.stopped = member_stopped,
};

static void space_moved(void *ctx)
{
	struct torusd *d = ctx;

	member_space_moved(&d->member);
}

static void become_member(struct torusd *d)
{
	struct member_config cfg = {
		.env = d->env, .meta = d->meta, .store = d->store,
		.cluster = d->cluster, .ops = &member_callbacks, .ctx = d,
	};

	memcpy(cfg.address, d->address, sizeof(cfg.address));
	memcpy(cfg.zone, d->options.zone, sizeof(cfg.zone));
	memcpy(cfg.rack, d->options.rack, sizeof(cfg.rack));
	if (gethostname(cfg.host, sizeof(cfg.host) - 1) < 0)
		cfg.host[0] = '\0';
	member_start(&d->member, &cfg);
}

static void join_cluster(struct torusd *d)
{
	become_member(d);
	maintenance_start(d);
	if (d->options.auto_join)
		joining_start(d);
}

static void find_address(struct torusd *d)
{
	const char *given = d->options.advertise != NULL ?
			    d->options.advertise : d->options.listen;
	const char *colon = strrchr(given, ':');

	if (strtoul(colon + 1, NULL, 10) != 0)
		snprintf(d->address, sizeof(d->address), "%s", given);
	else
		snprintf(d->address, sizeof(d->address), "%.*s:%u",
			 (int)MIN(colon - given, 255), given,
			 env_uring_port(d->env));
}

static int check_cluster(struct torusd *d)
{
	char ours[UUID_TEXT_SIZE], theirs[UUID_TEXT_SIZE];

	if (uuid_equal(store_cluster(d->store), &d->cluster.id))
		return 0;
	uuid_format(store_cluster(d->store), ours);
	uuid_format(&d->cluster.id, theirs);
	return error_set(-EPERM, "the directory belongs to cluster %s, %s holds cluster %s. Use another directory, or the metadata store of that cluster",
			 ours, d->settings.url, theirs);
}

static void store_is_open(void *ctx, int err)
{
	struct torusd *d = ctx;

	if (err < 0) {
		error_prefix("%s", d->options.data_dir);
		torusd_fail(d, "cannot serve", err);
		return;
	}
	d->serving = true;
	if (flusher_reserve(HEAP_RESERVE) < 0)
		log_warning("no memory could be set aside for serving");
	find_address(d);
	if (d->stopping) {
		store_close(d->store, store_is_closed, d);
		return;
	}
	if (!d->cluster_known)
		torusd_check_ready(d);
	else
		torusd_cluster_known(d);
}

static void open_store(struct torusd *d)
{
	struct store_config cfg = {
		.size = d->options.size,
		.near_full_percent = d->options.near_full_percent,
		.full_percent = d->options.full_percent,
		.cluster = d->store_cluster,
		.chunk_size = d->cluster.chunk_size,
		.receive_bytes = RECEIVE_BYTES,
		.send_bytes = SEND_BYTES,
		.space_moved = space_moved,
		.ctx = d,
	};

	if (cfg.size == 0)
		cfg.size = d->dir.total_bytes / 100 * d->options.size_percent;
	if (cfg.size > d->dir.total_bytes)
		log_warning("--size is more than the file system of %s has",
			    d->options.data_dir);
	memcpy(cfg.boot_id, d->dir.boot_id, sizeof(cfg.boot_id));
	d->store = store_open(d->env, &cfg, store_is_open, d);
	if (d->store == NULL)
		torusd_fail(d, "cannot serve",
			    error_set(-ENOMEM, "out of memory"));
}

/* ---- the port, before anything in the directory is touched -------------------- */

static const struct env_conn_ops *accept_client(void *ctx,
						struct env_conn *conn,
						void **conn_ctx)
{
	struct torusd *d = ctx;

	return d->store != NULL ? store_accept(d->store, conn, conn_ctx) : NULL;
}

/*
 * The kernel frees the port of a torusd that was killed in its own time, which
 * can be after its process is gone, and tells nobody. A new directory had no
 * earlier torusd: there a port that is taken is a mistake.
 */
static bool may_be_freed(struct torusd *d, int err)
{
	uint64_t now = env_now(d->env);

	if (err != -EADDRINUSE || !d->dir.has_identity)
		return false;
	if (d->listen_until_ns == 0) {
		log_warning("%s; trying for %llu s, since an earlier torusd may still be ending",
			    error_text(err), LISTEN_FOR_NS / NSEC_PER_SEC);
		d->listen_until_ns = now + LISTEN_FOR_NS;
	}
	return now < d->listen_until_ns;
}

static void start_listening(struct torusd *d)
{
	int err = env_listen(d->env, d->options.listen, accept_client, d);

	if (err == 0)
		open_store(d);
	else if (may_be_freed(d, err))
		env_timer_after(d->env, &d->listen_again, LISTEN_AGAIN_NS);
	else
		torusd_fail(d, "cannot serve", err);
}

static void listen_again(struct env_timer *timer)
{
	struct torusd *d = container_of(timer, struct torusd, listen_again);

	if (!d->stopping)
		start_listening(d);
}

void torusd_open_store(struct torusd *d, const struct uuid *cluster)
{
	if (d->listening)
		return;
	d->listening = true;
	if (cluster != NULL)
		d->store_cluster = *cluster;
	start_listening(d);
}

/* Called when the document comes, and once more when the store serves. */
void torusd_cluster_known(struct torusd *d)
{
	int err;

	d->cluster_known = true;
	if (!d->serving) {
		torusd_open_store(d, &d->cluster.id);
		return;
	}
	err = check_cluster(d);
	if (err < 0)
		torusd_fail(d, d->options.data_dir, err);
	else
		join_cluster(d);
}

/* ---- the beginning ------------------------------------------------------------ */

static int prepare(struct torusd *d)
{
	struct flusher_config flusher = {
		.lock_memory = d->options.lock_memory,
		.spare_from_oom = true,
		.no_core_dump = false,
	};
	struct env_uring_config reactor = { .root = d->options.data_dir };
	int err = meta_settings_resolve(&d->settings, d->options.meta);

	if (err == 0)
		err = datadir_check_log();
	if (err == 0)
		err = datadir_open(&d->dir, d->options.data_dir);
	if (err < 0)
		return err;
	flusher_declare(&flusher);
	d->env = env_uring_new(&reactor);
	if (d->env == NULL)
		return -EIO;
	env_timer_init(&d->stop_timer, waited_enough);
	env_timer_init(&d->listen_again, listen_again);
	err = env_uring_on_signal(d->env, SIGTERM, on_term, d);
	if (err == 0)
		err = env_uring_on_signal(d->env, SIGINT, on_term, d);
	if (err < 0)
		return error_set(err, "cannot take signals: %s",
				 strerror(-err));
	return meta_open(d->env, &d->settings, &d->meta);
}

static void release(struct torusd *d)
{
	if (d->env != NULL)
		maintenance_stop(d);
	if (d->meta != NULL)
		d->meta->ops->close(d->meta);
	/* One that is not closed has operations under way: the end of the
	 * process takes its memory. */
	if (d->store_closed)
		store_free(d->store);
	if (d->env != NULL)
		env_uring_free(d->env);
	datadir_close(&d->dir);
}

static int run(struct torusd *d)
{
	int err = prepare(d);

	if (err == 0) {
		link_start(d);
		err = env_uring_run(d->env);
	}
	if (err < 0) {
		log_error("%s", error_text(err));
		d->exit_status = TORUSD_FAILED;
	}
	release(d);
	return d->exit_status;
}

int main(int argc, char **argv)
{
	static struct torusd d;
	int err = options_parse(&d.options, argc, argv);

	if (err > 0)
		return TORUSD_OK;
	if (err < 0) {
		fprintf(stderr, "torusd: %s\n", error_text(err));
		return TORUSD_USAGE;
	}
	return run(&d);
}
