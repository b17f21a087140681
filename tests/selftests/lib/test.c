// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>

#include "fault.h"
#include "test.h"

struct nl test_nl;
static pid_t test_pid;

/*
 * Devices first: requests of dead helpers then fail at once, instead of after
 * the dead timeout.
 */
void test_cleanup(void)
{
	static bool done;

	if (done || getpid() != test_pid)
		return;
	done = true;
	faults_off();
	device_cleanup();
	helper_cleanup();
}

void test_begin(void)
{
	int ret;

	setvbuf(stdout, NULL, _IOLBF, 0);
	test_pid = getpid();
	if (geteuid())
		SKIP("needs root");
	ret = nl_open(&test_nl);
	if (ret)
		SKIP("no torus driver here: %s", strerror(-ret));
	atexit(test_cleanup);
}

unsigned int test_size(unsigned int small, unsigned int usual,
		       unsigned int full)
{
	const char *size = getenv("TORUS_SELFTEST_SIZE");
	const char *tier = getenv("TORUS_TIER");

	if (size && !strcmp(size, "small"))
		return small;
	return tier && !strcmp(tier, "full") ? full : usual;
}

unsigned int test_rounds(unsigned int usual, unsigned int full)
{
	return test_size(usual < 5 ? 1 : usual / 5, usual, full);
}

/* The status of a command, and the beginning of what it said. */
static int run_shell(char *command, char *said, size_t size)
{
	char *argv[] = { (char *)"sh", (char *)"-c", command, NULL };
	posix_spawn_file_actions_t actions;
	int out[2], status;
	FILE *output;
	size_t len;
	pid_t pid;

	CHECK(!pipe2(out, O_CLOEXEC));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	posix_spawn_file_actions_adddup2(&actions, out[1], 2);
	CHECK(!posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ));
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	output = fdopen(out[0], "r");
	CHECK(output);
	len = fread(said, 1, size - 1, output);
	said[len] = 0;
	/* Whatever more it says goes nowhere, but it may say it. */
	while (fgetc(output) != EOF)
		;
	fclose(output);
	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

void test_run(const char *format, ...)
{
	char command[512], said[2048];
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	status = run_shell(command, said, sizeof(said));
	if (status)
		FAIL("status %#x of %s: %s", status, command, said);
}

bool test_has(const char *program)
{
	char command[128], said[256];

	snprintf(command, sizeof(command), "command -v %s", program);
	return !run_shell(command, said, sizeof(said));
}

int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ret = -errno;
	close(fd);
	return ret;
}

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ull + ts.tv_nsec / 1000000;
}

uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

void *alloc_aligned(size_t len)
{
	void *p = NULL;

	CHECK(!posix_memalign(&p, 4096, len));
	memset(p, 0, len);
	return p;
}

const char *sysfs(uint32_t id, const char *name)
{
	static char buf[256];
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/block/torus%u/%s", id, name);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		FAIL("cannot open %s: %s", path, strerror(errno));
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	CHECK(n >= 0);
	buf[n] = 0;
	buf[strcspn(buf, "\n")] = 0;
	return buf;
}
