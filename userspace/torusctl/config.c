// SPDX-License-Identifier: Apache-2.0
/*
 * torusctl config: write or show the configuration file, /etc/torus/torus.conf
 * or what TORUS_CONF names. Settings that are not given keep their values; an
 * empty value takes one away. What is written has been read back, by the
 * function that all programs read it with, before it takes its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ctl.h"
#include "meta/url.h"

#define CONFIG_MODE 0600	/* it may hold a password */

/* ---- showing ---------------------------------------------------------------- */

static bool is_password(const char *line)
{
	return strncmp(line + strspn(line, " \t"), "etcd_password", 13) == 0;
}

static void view_text(FILE *f)
{
	char line[2048];

	while (fgets(line, sizeof(line), f))
		fputs(is_password(line) ? "# etcd_password is set\n" : line,
		      stdout);
}

/* Of the password, that there is one. */
static void view_json(FILE *f)
{
	struct json_object *o = json_object_new_object();
	char line[2048], name[64], value[1024];

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " %63[a-z_] = %1023[^\n]", name, value) != 2)
			continue;
		json_object_object_add(o, name, is_password(line) ?
				       json_object_new_boolean(true) :
				       json_object_new_string(value));
	}
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static int view(const struct ctl *ctl, const char *path)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return ctl_fail(error_set(-errno, "cannot read %s: %s; 'torusctl --meta URL config' writes it",
					  path, strerror(errno)));
	if (ctl->json)
		view_json(f);
	else
		view_text(f);
	fclose(f);
	return CTL_OK;
}

/* ---- writing ---------------------------------------------------------------- */

static int put(FILE *f, const char *name, const char *value)
{
	if (!value[0])
		return 0;
	if (strchr(value, '\n'))
		return error_set(-EINVAL, "the value of %s has a line break",
				 name);
	return fprintf(f, "%s = %s\n", name, value) < 0 ? -errno : 0;
}

/* USER:PASSWORD becomes two settings; nothing takes both away. */
static int split_user(const char *user, char *name, const char **password)
{
	const char *colon = strchr(user, ':');

	if (!user[0]) {
		name[0] = '\0';
		*password = "";
		return 0;
	}
	if (!colon || colon == user || !colon[1] || colon - user >= 64)
		return error_set(-EINVAL, "--etcd-user wants NAME:PASSWORD");
	snprintf(name, 64, "%.*s", (int)(colon - user), user);
	*password = colon + 1;
	return 0;
}

static int write_settings(const struct ctl *ctl,
			  const struct meta_settings *s, FILE *f)
{
	const char *password = s->password;
	char name[64];
	int err = 0;

	snprintf(name, sizeof(name), "%s", s->user);
	if (ctl_given(ctl, OPT_USER))
		err = split_user(ctl->option[OPT_USER], name, &password);
	if (!err)
		err = put(f, "meta", s->url);
	if (!err)
		err = put(f, "etcd_ca", s->ca);
	if (!err)
		err = put(f, "etcd_cert", s->cert);
	if (!err)
		err = put(f, "etcd_key", s->key);
	if (!err)
		err = put(f, "etcd_user", name);
	if (!err)
		err = put(f, "etcd_password", password);
	if (!err && (fflush(f) || fsync(fileno(f))))
		err = -errno;
	return err;
}

static int write_file(const struct ctl *ctl, const struct meta_settings *s,
		      const char *path)
{
	int fd, err;
	FILE *f;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, CONFIG_MODE);
	f = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!f)
		return error_set(-errno, "%s: %s", path, strerror(errno));
	error_clear();
	err = write_settings(ctl, s, f);
	if (fclose(f) && !err)
		err = -errno;
	return err;
}

/* Read as every program will read it, but for where the URL comes from. */
static int check_file(const char *path, const char *url)
{
	struct meta_settings read;

	if (setenv("TORUS_CONF", path, 1))
		return error_set(-ENOMEM, "out of memory");
	return meta_settings_resolve(&read, url);
}

static int make_folder(const char *path)
{
	CLEANUP_FREE char *copy = strdup(path);
	const char *folder;

	if (!copy)
		return error_set(-ENOMEM, "out of memory");
	folder = dirname(copy);
	if (mkdir(folder, 0755) && errno != EEXIST)
		return error_set(-errno, "%s: %s", folder, strerror(errno));
	return 0;
}

static int replace_config(const struct ctl *ctl, const char *path,
			  const struct meta_settings *s)
{
	CLEANUP_FREE char *new = NULL;
	int err = make_folder(path);

	if (!err && asprintf(&new, "%s.new", path) < 0)
		err = error_set(-ENOMEM, "out of memory");
	if (err)
		return err;
	err = write_file(ctl, s, new);
	if (!err)
		err = check_file(new, s->url);
	if (!err && rename(new, path))
		err = error_set(-errno, "%s: %s", path, strerror(errno));
	if (err)
		unlink(new);
	return err;
}

/* What the file holds so far, and the URL to write. */
static int settings_before(const struct ctl *ctl, const char *path,
			   struct meta_settings *s)
{
	if (access(path, F_OK) == 0)
		return meta_settings_resolve(s, ctl->url);
	memset(s, 0, sizeof(*s));
	if (!ctl->url)
		return error_set(-ENOENT, "%s does not exist yet: give the metadata store with --meta URL",
				 path);
	return meta_url_check(ctl->url);
}

static int take_path(const struct ctl *ctl, enum ctl_option option,
		     char path[META_PATH_MAX])
{
	if (!ctl_given(ctl, option))
		return 0;
	return ctl_absolute_path(ctl->option[option], path, META_PATH_MAX);
}

static int take_paths(const struct ctl *ctl, struct meta_settings *s)
{
	int err = ctl->url ? ctl_absolute_url(ctl->url, s->url) : 0;

	if (!err)
		err = take_path(ctl, OPT_CA, s->ca);
	if (!err)
		err = take_path(ctl, OPT_CERT, s->cert);
	if (!err)
		err = take_path(ctl, OPT_KEY, s->key);
	return err;
}

static bool anything_given(const struct ctl *ctl)
{
	return ctl->url || ctl_given(ctl, OPT_CA) || ctl_given(ctl, OPT_CERT) ||
	       ctl_given(ctl, OPT_KEY) || ctl_given(ctl, OPT_USER);
}

int cmd_config(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP_FREE char *path = strdup(meta_conf_path());
	struct meta_settings settings;
	int err;

	(void)argc;
	(void)argv;
	if (!path)
		return ctl_fail(error_set(-ENOMEM, "out of memory"));
	if (ctl_given(ctl, OPT_VIEW))
		return view(ctl, path);
	if (!anything_given(ctl))
		return ctl_usage(ctl, "give the metadata store with --meta URL, or --view");
	/* Only the file and the command line count here. */
	unsetenv("TORUS_META");
	err = settings_before(ctl, path, &settings);
	if (!err)
		err = take_paths(ctl, &settings);
	if (!err)
		err = replace_config(ctl, path, &settings);
	return err ? ctl_fail(err) : CTL_OK;
}
