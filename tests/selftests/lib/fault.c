// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>

#include "fault.h"
#include "test.h"

#define FAULTS "/sys/kernel/debug/torus/faults"

static pid_t user;

void faults_begin(void)
{
	if (access("/sys/kernel/debug/torus", F_OK))
		mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	if (access(FAULTS, F_OK))
		SKIP("this driver was built without fault points");
	user = getpid();
	faults_off();
}

void faults_off(void)
{
	struct dirent *entry;
	DIR *dir;

	if (user != getpid())
		return;
	dir = opendir(FAULTS);
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			fault_try_set(entry->d_name, "off");
	closedir(dir);
}

static const char *path_of(const char *knob)
{
	static __thread char path[320];

	snprintf(path, sizeof(path), FAULTS "/%s", knob);
	return path;
}

int fault_try_set(const char *knob, const char *setting)
{
	return write_text(path_of(knob), setting);
}

void fault_set(const char *knob, const char *setting)
{
	int ret = fault_try_set(knob, setting);

	if (ret)
		FAIL("cannot set %s to %s: %s", knob, setting, strerror(-ret));
}

void fault_wait(const char *knob, int timeout_ms)
{
	struct pollfd pfd = { .events = POLLPRI };

	pfd.fd = open(path_of(knob), O_RDONLY | O_CLOEXEC);
	CHECK(pfd.fd >= 0);
	if (poll(&pfd, 1, timeout_ms) != 1)
		FAIL("nothing came by %s in %d ms", knob, timeout_ms);
	close(pfd.fd);
}

int fault_value(const char *knob, const char *key)
{
	char text[256], *rest = text, *at;
	size_t len = strlen(key);
	ssize_t n;
	int fd = open(path_of(knob), O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	n = read(fd, text, sizeof(text) - 1);
	CHECK(n > 0);
	close(fd);
	text[n] = 0;
	while ((at = strsep(&rest, " \n")))
		if (!strncmp(at, key, len) && at[len] == '=')
			return strtol(at + len + 1, NULL, 10);
	FAIL("%s does not show %s", knob, key);
}
