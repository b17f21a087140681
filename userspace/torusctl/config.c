// SPDX-License-Identifier: Apache-2.0
/* torusctl config: write or show /etc/torus/torus.conf. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ctl.h"
#include "meta/url.h"

#define CONFIG_DIRECTORY "/etc/torus"

static int view(void)
{
	char line[1024];
	FILE *f = fopen(META_CONFIG_PATH, "re");

	if (!f)
		return ctl_fail(error_set(-errno, "cannot read %s: %m; 'torusctl config --meta URL' writes it",
					  META_CONFIG_PATH));
	while (fgets(line, sizeof(line), f))
		fputs(line, stdout);
	fclose(f);
	return CTL_OK;
}

static int put(FILE *f, const char *name, const char *value)
{
	if (!value)
		return 0;
	if (strchr(value, '\n'))
		return error_set(-EINVAL, "the value of %s has a line break",
				 name);
	return fprintf(f, "%s = %s\n", name, value) < 0 ? -EIO : 0;
}

/* USER:PASSWORD becomes two settings. */
static int put_user(FILE *f, const char *user)
{
	const char *colon = user ? strchr(user, ':') : NULL;
	CLEANUP_FREE char *name = NULL;
	int err;

	if (!user)
		return 0;
	if (!colon)
		return error_set(-EINVAL, "--etcd-user wants NAME:PASSWORD");
	name = strndup(user, (size_t)(colon - user));
	if (!name)
		return error_set(-ENOMEM, "out of memory");
	err = put(f, "etcd-user", name);
	return err ? err : put(f, "etcd-password", colon + 1);
}

static int write_settings(struct ctl *ctl, FILE *f)
{
	int err = put(f, "meta", ctl->url);

	if (!err)
		err = put(f, "etcd-ca", ctl->option[OPT_CA]);
	if (!err)
		err = put(f, "etcd-cert", ctl->option[OPT_CERT]);
	if (!err)
		err = put(f, "etcd-key", ctl->option[OPT_KEY]);
	if (!err)
		err = put_user(f, ctl->option[OPT_USER]);
	if (fflush(f) || fsync(fileno(f)))
		err = err ? err : -errno;
	return err;
}

/* The file may hold a password: nobody else may read it, at no moment. */
static int write_config(struct ctl *ctl)
{
	static const char temporary[] = META_CONFIG_PATH ".new";
	mode_t mask = umask(077);
	FILE *f = NULL;
	int err = 0;

	if (mkdir(CONFIG_DIRECTORY, 0755) && errno != EEXIST)
		err = -errno;
	if (!err) {
		chmod(CONFIG_DIRECTORY, 0755);
		f = fopen(temporary, "we");
		err = f ? write_settings(ctl, f) : -errno;
	}
	if (f && fclose(f) && !err)
		err = -errno;
	if (!err && rename(temporary, META_CONFIG_PATH))
		err = -errno;
	if (err)
		unlink(temporary);
	umask(mask);
	return err;
}

int cmd_config(struct ctl *ctl, int argc, char **argv)
{
	struct meta_settings settings;
	int err;

	(void)argc;
	(void)argv;
	if (ctl_given(ctl, OPT_VIEW))
		return view();
	if (!ctl->url)
		return ctl_usage(ctl, "give the metadata store with --meta URL, or --view");
	error_clear();
	err = meta_settings_resolve(&settings, ctl->url);
	if (err)
		return ctl_fail(err);
	err = write_config(ctl);
	if (err) {
		error_prefix("%s", META_CONFIG_PATH);
		return ctl_fail(err);
	}
	return CTL_OK;
}
