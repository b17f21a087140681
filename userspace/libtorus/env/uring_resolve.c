// SPDX-License-Identifier: Apache-2.0
/*
 * A look-up by thread has memory of its own (struct resolve_job), because a
 * thread that waits for a name server cannot be stopped: a cancelled look-up
 * is detached from its user and freed when the thread is through. At most
 * JOBS_MAX threads exist in the process; more look-ups fail at once, and are
 * tried again by those who keep connections up.
 *
 * The thread may outlive the reactor. So a job holds the reactor only under
 * jobs_lock: resolve_cancel() clears job->env under it (or takes the post back),
 * and the thread posts under it.
 */
#include "env/uring_resolve.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define JOBS_MAX 16
/* The name service's own need; mlockall() makes a larger one expensive. */
#define JOB_STACK (256u << 10)

struct resolve_job {
	struct env *env;		/* NULL: cancelled */
	bool posted;
	struct resolve *user;
	struct env_post post;
	struct resolve_result result;
	char address[ADDRESS_HOST_MAX + ADDRESS_PORT_MAX + 2];
};

static pthread_mutex_t jobs_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int jobs;

static int bad_address(const char *address)
{
	return error_set(-EINVAL, "address %s: HOST:PORT is expected, for instance 10.0.0.1:4321 or [fd00::1]:4321",
			 address);
}

static bool port_is_valid(const char *port)
{
	char *end;
	unsigned long n;

	if (*port < '0' || *port > '9' || strlen(port) > 5)
		return false;
	n = strtoul(port, &end, 10);
	return *end == 0 && n <= 65535;
}

int address_split(const char *address, char host[ADDRESS_HOST_MAX],
		  char port[ADDRESS_PORT_MAX])
{
	const char *colon = strrchr(address, ':');
	const char *begin = address, *end = colon;

	if (!colon || !port_is_valid(colon + 1))
		return bad_address(address);
	if (*begin == '[') {
		begin++;
		end--;
		if (end < begin || *end != ']')
			return bad_address(address);
	} else if (memchr(begin, ':', end - begin)) {
		return bad_address(address);
	}
	if (end - begin >= ADDRESS_HOST_MAX)
		return bad_address(address);
	memcpy(host, begin, end - begin);
	host[end - begin] = 0;
	snprintf(port, ADDRESS_PORT_MAX, "%s", colon + 1);
	return 0;
}

static int errno_of_eai(int eai)
{
	switch (eai) {
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_AGAIN:
		return -EAGAIN;
	case EAI_SYSTEM:
		return -errno;
	default:
		return -EHOSTUNREACH;
	}
}

static void copy_addresses(struct resolve_result *result,
			   const struct addrinfo *list)
{
	const struct addrinfo *ai;

	for (ai = list; ai && result->count < RESOLVE_ADDRESSES_MAX;
	     ai = ai->ai_next) {
		if (ai->ai_addrlen > sizeof(result->address[0]))
			continue;
		memcpy(&result->address[result->count], ai->ai_addr,
		       ai->ai_addrlen);
		result->length[result->count++] = ai->ai_addrlen;
	}
}

void resolve_now(const char *address, bool numeric, bool passive,
		 struct resolve_result *result)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | (numeric ? AI_NUMERICHOST : 0) |
			    (passive ? AI_PASSIVE : 0),
	};
	char host[ADDRESS_HOST_MAX], port[ADDRESS_PORT_MAX];
	struct addrinfo *list;
	bool any;
	int eai;

	memset(result, 0, sizeof(*result));
	result->err = address_split(address, host, port);
	if (result->err) {
		snprintf(result->text, sizeof(result->text), "%s",
			 error_text(result->err));
		return;
	}
	any = !host[0] || strcmp(host, "*") == 0;
	eai = getaddrinfo(any ? NULL : host, port, &hints, &list);
	if (eai) {
		result->err = errno_of_eai(eai);
		snprintf(result->text, sizeof(result->text), "%s: %s", host,
			 gai_strerror(eai));
		return;
	}
	copy_addresses(result, list);
	freeaddrinfo(list);
}

static void job_done(struct env_post *post)
{
	struct resolve_job *job = container_of(post, struct resolve_job, post);
	struct resolve *user = job->user;

	user->result = job->result;
	user->job = NULL;
	free(job);
	user->fn(user);
}

static void *job_run(void *arg)
{
	struct resolve_job *job = arg;

	resolve_now(job->address, false, false, &job->result);
	pthread_mutex_lock(&jobs_lock);
	atomic_fetch_sub(&jobs, 1);
	if (job->env) {
		job->posted = true;
		env_uring_post(job->env, &job->post);
	} else {
		free(job);
	}
	pthread_mutex_unlock(&jobs_lock);
	return NULL;
}

static int job_start(struct resolve_job *job)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int err;

	if (atomic_fetch_add(&jobs, 1) >= JOBS_MAX) {
		atomic_fetch_sub(&jobs, 1);
		return -EAGAIN;
	}
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, JOB_STACK);
	/* Signals are for the loop's descriptor, not for this thread. */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&thread, &attr, job_run, job);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (err)
		atomic_fetch_sub(&jobs, 1);
	return -err;
}

int resolve_start(struct env *env, const char *address,
		  struct resolve *resolve)
{
	struct resolve_job *job;
	int err;

	resolve->job = NULL;
	resolve_now(address, true, false, &resolve->result);
	if (resolve->result.err != -EHOSTUNREACH)
		return 0;
	job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	job->env = env;
	job->user = resolve;
	job->post.fn = job_done;
	snprintf(job->address, sizeof(job->address), "%s", address);
	err = job_start(job);
	if (err) {
		free(job);
		return err;
	}
	resolve->job = job;
	return -EINPROGRESS;
}

void resolve_cancel(struct resolve *resolve)
{
	struct resolve_job *job = resolve->job;

	if (!job)
		return;
	resolve->job = NULL;
	pthread_mutex_lock(&jobs_lock);
	if (job->posted) {
		env_uring_unpost(job->env, &job->post);
		free(job);
	} else {
		job->env = NULL;
	}
	pthread_mutex_unlock(&jobs_lock);
}
