// SPDX-License-Identifier: Apache-2.0
/*
 * The helper gets a session of its own, no descriptor of ours, a log file for
 * its output, and a socket to which it says how it gets on, as it would to
 * systemd (sd_notify(3)). We listen to that socket, and only to the process
 * that we have started, until it is ready, ends, or the time is up; so there is
 * nothing to poll for.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "helper_spawn.h"

#define LOG_BYTES_MAX (1 << 20)
#define END_TIMEOUT_MS 3000

static volatile sig_atomic_t interrupted;

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

/* ---- the socket ----------------------------------------------------------- */

/* Abstract: there is no file that could stay behind. */
static int open_socket(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char name[sizeof(sun.sun_path)];
	int fd, one = 1, len;
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -errno;
	len = snprintf(name, sizeof(name), "@torus-attach-%016llx",
		       (unsigned long long)random);
	memcpy(sun.sun_path + 1, name + 1, (size_t)len - 1);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&sun,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			     (size_t)len)) ||
	    setenv("NOTIFY_SOCKET", name, 1)) {
		len = -errno;
		close(fd);
		return len;
	}
	return fd;
}

static pid_t sender_of(struct msghdr *msg)
{
	struct ucred cred;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_SOCKET &&
		    c->cmsg_type == SCM_CREDENTIALS &&
		    c->cmsg_len >= CMSG_LEN(sizeof(cred))) {
			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			return cred.pid;
		}
	return 0;
}

static void take_line(struct spawn *s, const char *line, bool *ready)
{
	if (strcmp(line, "READY=1") == 0)
		*ready = true;
	else if (strncmp(line, "STATUS=", 7) == 0)
		snprintf(s->status, sizeof(s->status), "%s", line + 7);
	else if (strncmp(line, "ERRNO=", 6) == 0)
		s->failed = true;
	else if (strncmp(line, "X_TORUS_DEVICE=", 15) == 0)
		snprintf(s->device, sizeof(s->device), "%s", line + 15);
}

static void read_notes(struct spawn *s, int fd, bool *ready)
{
	char text[2048], control[CMSG_SPACE(sizeof(struct ucred))];
	struct iovec iov = { text, sizeof(text) - 1 };
	char *line, *rest;
	ssize_t n;

	for (;;) {
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };

		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
		if (n < 0)
			return;
		if (sender_of(&msg) != s->pid)
			continue;
		text[n] = '\0';
		rest = text;
		while ((line = strsep(&rest, "\n")))
			take_line(s, line, ready);
	}
}

/* ---- the process ---------------------------------------------------------- */

static const char *find_program(const char *wanted, char path[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t n;

	if (wanted)
		return wanted;
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0) {
		self[n] = '\0';
		n = snprintf(path, PATH_MAX, "%s/torus-helper", dirname(self));
		if (n < PATH_MAX && access(path, X_OK) == 0)
			return path;
	}
	return "torus-helper";		/* in PATH */
}

/* Of an earlier helper's log as much stays as is worth it. */
static int open_log(struct spawn *s)
{
	struct stat st;
	int fd;

	mkdir(SPAWN_LOGS, 0755);	/* a failure shows in the open */
	snprintf(s->log, sizeof(s->log), SPAWN_LOGS "/%s.log", s->volume);
	fd = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
		  0640);
	if (fd < 0)
		return error_set(-errno, "%s: %s", s->log, strerror(errno));
	if (fstat(fd, &st) == 0 && st.st_size > LOG_BYTES_MAX &&
	    ftruncate(fd, 0) < 0)
		fprintf(stderr, "torusctl: %s cannot be shortened: %m\n",
			s->log);
	return fd;
}

/* What our own service manager gave us is not for the helper. */
static void clear_environment(void)
{
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("JOURNAL_STREAM");
}

static int add_actions(posix_spawn_file_actions_t *actions, int log)
{
	int err = posix_spawn_file_actions_addopen(actions, 0, "/dev/null",
						   O_RDONLY, 0);

	if (!err)
		err = posix_spawn_file_actions_adddup2(actions, log, 1);
	if (!err)
		err = posix_spawn_file_actions_adddup2(actions, log, 2);
	if (!err)
		err = posix_spawn_file_actions_addclosefrom_np(actions, 3);
	if (!err)
		err = posix_spawn_file_actions_addchdir_np(actions, "/");
	return err;
}

static int start_with(struct spawn *s, const char *program,
		      posix_spawn_file_actions_t *actions,
		      posix_spawnattr_t *attr)
{
	char *argv[SPAWN_ARGS_MAX + 2] = { (char *)"torus-helper" };
	sigset_t none;
	int err;

	memcpy(argv + 1, s->args, sizeof(s->args));
	sigemptyset(&none);
	err = posix_spawnattr_setsigmask(attr, &none);
	if (!err)
		err = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSID |
					       POSIX_SPAWN_SETSIGMASK);
	if (!err)
		err = posix_spawnp(&s->pid, program, actions, attr, argv,
				   environ);
	return err;
}

static int start(struct spawn *s, int log)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	char path[PATH_MAX];
	const char *program = find_program(s->program, path);
	int err = posix_spawn_file_actions_init(&actions);

	if (err)
		return error_set(-err, "out of memory");
	posix_spawnattr_init(&attr);
	clear_environment();
	err = add_actions(&actions, log);
	if (!err)
		err = start_with(s, program, &actions, &attr);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	if (err)
		return error_set(-err, "cannot start %s: %s", program,
				 strerror(err));
	return 0;
}

static int ended(struct spawn *s, int status)
{
	if (s->failed)
		return error_set(-EIO, "%s", s->status);
	if (WIFSIGNALED(status))
		return error_set(-EIO, "the helper was killed by signal %d (%s); its log: %s",
				 WTERMSIG(status), strsignal(WTERMSIG(status)),
				 s->log);
	return error_set(-EIO, "the helper ended with status %d; its log: %s",
			 WEXITSTATUS(status), s->log);
}

/* Asks twice, which makes it end at once, then insists. */
static int give_up(struct spawn *s, int pidfd)
{
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };

	kill(s->pid, SIGTERM);
	if (poll(&pfd, 1, END_TIMEOUT_MS) == 0)
		kill(s->pid, SIGTERM);
	if (poll(&pfd, 1, END_TIMEOUT_MS) == 0)
		kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	if (interrupted)
		return error_set(-EINTR, "interrupted");
	return error_set(-ETIMEDOUT, "volume %s is not ready after %d s%s%s (the helper's log: %s)",
			 s->volume, s->timeout_s, s->status[0] ? ": " : "",
			 s->status, s->log);
}

static int wait_ready(struct spawn *s, int socket, int pidfd)
{
	struct pollfd pfd[2] = { { .fd = socket, .events = POLLIN },
				 { .fd = pidfd, .events = POLLIN } };
	int64_t deadline = now_ms() + s->timeout_s * 1000ll;
	bool ready = false;
	int64_t left;
	int status;

	for (;;) {
		left = deadline - now_ms();
		if (left <= 0 || interrupted)
			return give_up(s, pidfd);
		if (poll(pfd, 2, (int)left) <= 0)
			continue;
		read_notes(s, socket, &ready);
		if (ready && s->device[0])
			return 0;
		if (pfd[1].revents && waitpid(s->pid, &status, 0) == s->pid) {
			read_notes(s, socket, &ready);
			return ended(s, status);
		}
	}
}

static void note_signal(int signo)
{
	(void)signo;
	interrupted = 1;
}

static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = note_signal };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

int spawn_helper(struct spawn *s)
{
	int socket, log, pidfd, err;

	socket = open_socket();
	if (socket < 0)
		return error_set(socket, "notification socket: %s",
				 strerror(-socket));
	log = open_log(s);
	if (log < 0) {
		close(socket);
		return log;
	}
	catch_signals();
	err = start(s, log);
	close(log);
	if (!err) {
		pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
		err = wait_ready(s, socket, pidfd);
		close(pidfd);
	}
	close(socket);
	return err;
}
