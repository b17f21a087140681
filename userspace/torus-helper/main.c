// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "env/env_uring.h"
#include "env/flusher.h"
#include "front/attachment.h"
#include "helper.h"
#include "meta/url.h"
#include "notify.h"
#include "null.h"
#include "options.h"

/* A sleep and a wake-up cost about as much. */
#define BUSY_WAIT_NS (NSEC_PER_MSEC / 10)

static void on_signal(void *ctx, int signo)
{
	(void)signo;
	helper_signal(ctx);
}

static void on_stats_wanted(void *ctx, int signo)
{
	(void)signo;
	helper_log_stats(ctx);
}

static int fail(int err)
{
	log_error("%s", error_text(err));
	notify_failed(err, error_text(err));
	return HELPER_FAILED;
}

static int run(struct helper *h, const struct helper_options *opt,
	       struct env *env, struct meta *meta)
{
	int err = env_uring_on_signal(env, SIGTERM, on_signal, h);

	if (!err)
		err = env_uring_on_signal(env, SIGINT, on_signal, h);
	if (!err)
		err = env_uring_on_signal(env, SIGUSR1, on_stats_wanted, h);
	if (!err)
		err = helper_start(h, opt, env, meta);
	if (!err)
		err = env_uring_run(env);
	if (err)
		h->status = fail(err);
	helper_release(h);
	return h->status;
}

static int open_meta(struct env *env, const struct helper_options *opt,
		     struct meta **meta)
{
	struct meta_settings settings;
	int err = meta_settings_resolve(&settings, opt->meta);

	if (!err && strncmp(settings.url, "local:", 6) == 0)
		err = attachment_check_path(settings.url + 6);
	return err ? err : meta_open(env, &settings, meta);
}

static int serve_volume(const struct helper_options *opt, struct env *env)
{
	struct helper helper = { 0 };
	struct meta *meta = NULL;
	int status, err = open_meta(env, opt, &meta);

	status = err ? fail(err) : run(&helper, opt, env, meta);
	if (meta)
		meta->ops->close(meta);
	return status;
}

static int serve_null(const struct helper_options *opt, struct env *env)
{
	int status, err = null_run(opt, env, &status);

	if (!err)
		return status;
	fail(err);
	return err == -EBUSY ? HELPER_BUSY : HELPER_FAILED;
}

/* Both threads and rings inherit what is declared here, so it comes first. */
static void declare(void)
{
	const struct flusher_config cfg = {
		.lock_memory = true,
		.spare_from_oom = true,
		.no_core_dump = true,
	};

	flusher_declare(&cfg);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	struct helper_options opt;
	struct env *env;
	int err;

	log_set_sink(log_sink_stderr);
	err = options_parse(&opt, argc, argv);
	if (err > 0)
		return HELPER_OK;
	if (err) {
		fprintf(stderr, "torus-helper: %s\nTry 'torus-helper --help'.\n",
			error_text(err));
		notify_failed(err, error_text(err));
		return HELPER_USAGE;
	}
	if (opt.verbose)
		log_set_level(LOG_LEVEL_DEBUG);
	declare();
	env = env_uring_new(&(struct env_uring_config){
		.busy_wait_ns = BUSY_WAIT_NS });
	if (!env)
		return fail(-errno);
	err = opt.null_device ? serve_null(&opt, env) : serve_volume(&opt, env);
	env_uring_free(env);
	return err;
}
