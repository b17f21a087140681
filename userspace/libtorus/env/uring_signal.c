// SPDX-License-Identifier: Apache-2.0
/* Signals, read from a signalfd that the loop watches. */
#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/error.h"
#include "env/uring_internal.h"

static void signals_ready(struct env_watch *watch, uint32_t revents)
{
	struct uring *u = watch->ctx;
	struct signalfd_siginfo info;

	while (u->signal_fd >= 0 &&
	       read(u->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo > URING_SIGNALS)
			continue;
		if (u->signals[info.ssi_signo].fn)
			u->signals[info.ssi_signo].fn(
				u->signals[info.ssi_signo].ctx, info.ssi_signo);
	}
}

static int signals_update(struct uring *u)
{
	int fd, err;

	err = pthread_sigmask(SIG_BLOCK, &u->signal_set, NULL);
	if (err)
		return error_set(-err, "signal mask: %s", strerror(err));
	fd = signalfd(u->signal_fd, &u->signal_set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return error_set(-errno, "signalfd: %s", strerror(errno));
	u->signal_fd = fd;
	u->signal_watch.fn = signals_ready;
	u->signal_watch.ctx = u;
	return env_uring_watch_fd(&u->env, &u->signal_watch, fd, POLLIN);
}

int env_uring_on_signal(struct env *env, int signo,
			void (*fn)(void *ctx, int signo), void *ctx)
{
	struct uring *u = to_uring(env);

	if (signo < 1 || signo > URING_SIGNALS)
		return error_set(-EINVAL, "there is no signal %d", signo);
	u->signals[signo].fn = fn;
	u->signals[signo].ctx = ctx;
	sigaddset(&u->signal_set, signo);
	return signals_update(u);
}

void uring_signals_free(struct uring *u)
{
	if (u->signal_fd >= 0)
		close(u->signal_fd);
}
