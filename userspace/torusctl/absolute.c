// SPDX-License-Identifier: Apache-2.0
/*
 * Paths for those who run elsewhere: a helper runs in the root directory, and
 * the configuration file is read by programs that may run anywhere.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "ctl.h"
#include "meta/url.h"

int ctl_absolute_path(const char *path, char *out, size_t len)
{
	char folder[PATH_MAX] = "";
	bool relative = path[0] && path[0] != '/';
	int n;

	if (relative && !getcwd(folder, sizeof(folder)))
		return error_set(-errno, "current directory: %s",
				 strerror(errno));
	n = snprintf(out, len, "%s%s%s", folder, relative ? "/" : "", path);
	if (n < 0 || (size_t)n >= len)
		return error_set(-ENAMETOOLONG, "path \"%.40s...\": longer than %zu characters",
				 path, len - 1);
	return 0;
}

int ctl_absolute_url(const char *url, char *out)
{
	if (strncmp(url, "local:", 6) == 0) {
		memcpy(out, "local:", 6);
		return ctl_absolute_path(url + 6, out + 6, META_URL_MAX - 6);
	}
	snprintf(out, META_URL_MAX, "%s", url);
	return 0;
}

int ctl_absolute_conf(void)
{
	const char *conf = getenv("TORUS_CONF");
	char path[PATH_MAX];
	int err;

	if (!conf || !*conf)
		return 0;
	err = ctl_absolute_path(conf, path, sizeof(path));
	if (!err && setenv("TORUS_CONF", path, 1))
		err = error_set(-ENOMEM, "out of memory");
	return err;
}
