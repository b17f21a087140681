// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <stdarg.h>
#include <time.h>

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

void test_run(const char *format, ...)
{
	char command[512] = "exec 2>&1\n", said[2048];
	size_t len = strlen(command);
	va_list args;
	FILE *output;
	int status;

	va_start(args, format);
	vsnprintf(command + len, sizeof(command) - len, format, args);
	va_end(args);
	output = popen(command, "r");
	CHECK(output);
	len = fread(said, 1, sizeof(said) - 1, output);
	said[len] = 0;
	status = pclose(output);
	if (status)
		FAIL("status %#x of %s: %s", status, command, said);
}

bool test_has(const char *program)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", program);
	return !system(command);
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
