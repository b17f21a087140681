// SPDX-License-Identifier: Apache-2.0
#include "front/attachment.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"

/* With dashes or without; what cannot be read or is none stays null. */
static void read_id(const char *path, struct uuid *id)
{
	char digits[64] = "", text[UUID_TEXT_SIZE];
	FILE *file = fopen(path, "re");
	size_t n = 0;
	int c;

	while (file && n < 32 && (c = fgetc(file)) != EOF)
		if (c != '-')
			digits[n++] = (char)c;
	if (file)
		fclose(file);
	snprintf(text, sizeof(text), "%.8s-%.4s-%.4s-%.4s-%.12s", digits,
		 digits + 8, digits + 12, digits + 16, digits + 20);
	if (n != 32 || uuid_parse(text, id))
		memset(id, 0, sizeof(*id));
}

void attachment_fill(struct attachment *a, struct env *env, const char *device,
		     const struct uuid *incarnation)
{
	memset(a, 0, sizeof(*a));
	a->present = true;
	if (gethostname(a->host, sizeof(a->host) - 1) || !a->host[0])
		snprintf(a->host, sizeof(a->host), "unknown");
	a->pid = (uint64_t)getpid();
	snprintf(a->device, sizeof(a->device), "%s", device);
	a->incarnation = *incarnation;
	a->since_ms = env_realtime(env) / NSEC_PER_MSEC;
	read_id("/etc/machine-id", &a->machine);
	read_id("/proc/sys/kernel/random/boot_id", &a->boot);
}

struct uuid attachment_incarnation(struct env *env)
{
	struct uuid u;

	env_random(env, u.byte, sizeof(u.byte));
	uuid_from_random(&u);
	return u;
}

static int stat_file_or_directory(const char *path, struct stat *st)
{
	char copy[PATH_MAX];

	if (stat(path, st) == 0)
		return 0;
	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return -ENAMETOOLONG;
	return stat(dirname(copy), st) ? -errno : 0;
}

/* A partition's folder in sysfs lies in that of its disk. */
int attachment_check_path(const char *path)
{
	char link[64], real[PATH_MAX];
	struct stat st;

	if (stat_file_or_directory(path, &st))
		return 0;	/* whoever opens it will say so */
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(st.st_dev),
		 minor(st.st_dev));
	if (!realpath(link, real) || !strstr(real, "/block/torus"))
		return 0;
	return error_set(-EDEADLK, "%s lies on a torus device: serving a volume must not need a volume",
			 path);
}
