// SPDX-License-Identifier: Apache-2.0
#include "meta/url.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "env/uring_resolve.h"
#include "meta/etcd.h"
#include "meta/local.h"

#define CONF_LINE_MAX 2048

static int bad_url(const char *url, const char *why)
{
	return error_set(-EINVAL, "metadata store \"%s\": %s; expected is etcd://HOST:PORT[,HOST:PORT...] or local:PATH",
			 url, why);
}

static int check_etcd(const char *url, const char *list)
{
	char host[ADDRESS_HOST_MAX], port[ADDRESS_PORT_MAX];
	char address[ADDRESS_HOST_MAX + ADDRESS_PORT_MAX + 2];
	int count = 0;

	do {
		size_t len = strcspn(list, ",");

		if (len >= sizeof(address))
			return bad_url(url, "an address is too long");
		memcpy(address, list, len);
		address[len] = 0;
		if (address_split(address, host, port) < 0 || !host[0])
			return bad_url(url, "an address is not HOST:PORT");
		if (++count > ETCD_ENDPOINTS_MAX)
			return bad_url(url, "too many addresses");
		list += len;
	} while (*list++ == ',');
	return 0;
}

int meta_url_check(const char *url)
{
	if (strlen(url) >= META_URL_MAX)
		return error_set(-EINVAL, "metadata store \"%.40s...\": longer than %d characters",
				 url, META_URL_MAX - 1);
	if (strncmp(url, "etcd://", 7) == 0)
		return check_etcd(url, url + 7);
	if (strncmp(url, "local:", 6) != 0)
		return bad_url(url, "unknown kind");
	if (!url[6])
		return bad_url(url, "the path is missing");
	return 0;
}

/* ---- the configuration file --------------------------------------------------- */

struct setting {
	const char *name;
	char *value;
	size_t size;
};

static char *trim(char *s)
{
	char *end = s + strlen(s);

	while (isspace((unsigned char)*s))
		s++;
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = 0;
	return s;
}

static int set(const char *path, int line, const struct setting *known,
	       size_t count, const char *name, const char *value)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (strcmp(known[i].name, name) != 0)
			continue;
		if (strlen(value) >= known[i].size)
			return error_set(-EINVAL, "%s:%d: the value of %s is longer than %zu characters",
					 path, line, name, known[i].size - 1);
		snprintf(known[i].value, known[i].size, "%s", value);
		return 0;
	}
	return error_set(-EINVAL, "%s:%d: unknown setting \"%s\"", path, line,
			 name);
}

static int parse_line(const char *path, int line, char *text,
		      const struct setting *known, size_t count)
{
	char *equals;

	text = trim(text);
	if (!*text || *text == '#')
		return 0;
	equals = strchr(text, '=');
	if (!equals)
		return error_set(-EINVAL, "%s:%d: a line is \"name = value\"",
				 path, line);
	*equals = 0;
	return set(path, line, known, count, trim(text), trim(equals + 1));
}

static int read_conf(FILE *f, const char *path, struct meta_settings *s)
{
	const struct setting known[] = {
		{ "meta", s->url, sizeof(s->url) },
		{ "etcd_user", s->user, sizeof(s->user) },
		{ "etcd_password", s->password, sizeof(s->password) },
		{ "etcd_ca", s->ca, sizeof(s->ca) },
		{ "etcd_cert", s->cert, sizeof(s->cert) },
		{ "etcd_key", s->key, sizeof(s->key) },
	};
	char text[CONF_LINE_MAX];
	int line = 0, err = 0;

	while (!err && fgets(text, sizeof(text), f)) {
		line++;
		if (!strchr(text, '\n') && !feof(f))
			return error_set(-EINVAL, "%s:%d: line is longer than %d characters",
					 path, line, CONF_LINE_MAX - 2);
		err = parse_line(path, line, text, known, ARRAY_SIZE(known));
	}
	if (!err && ferror(f))
		return error_set(-EIO, "%s: cannot be read", path);
	return err;
}

const char *meta_conf_path(void)
{
	const char *named = getenv("TORUS_CONF");

	return named && *named ? named : META_CONFIG_PATH;
}

/* A file that only root may read has nothing that a `local:` URL needs. */
static int load_conf(struct meta_settings *s, const char *url)
{
	const char *path = meta_conf_path();
	FILE *f = fopen(path, "re");
	int err;

	if (!f && errno == ENOENT && strcmp(path, META_CONFIG_PATH) == 0)
		return 0;
	if (!f && errno == EACCES && url && strncmp(url, "local:", 6) == 0)
		return 0;
	if (!f)
		return error_set(-errno, "%s: %s", path, strerror(errno));
	err = read_conf(f, path, s);
	fclose(f);
	return err;
}

static int check_pairs(const struct meta_settings *s)
{
	if (!s->user[0] != !s->password[0])
		return error_set(-EINVAL, "configuration: etcd_user and etcd_password belong together");
	if (!s->cert[0] != !s->key[0])
		return error_set(-EINVAL, "configuration: etcd_cert and etcd_key belong together");
	return 0;
}

int meta_settings_resolve(struct meta_settings *s, const char *url)
{
	const char *from_env = getenv("TORUS_META");
	int err;

	memset(s, 0, sizeof(*s));
	if (!url && from_env && *from_env)
		url = from_env;
	err = load_conf(s, url);
	if (err)
		return err;
	if (url) {
		err = meta_url_check(url);
		if (err)
			return err;
		snprintf(s->url, sizeof(s->url), "%s", url);
	}
	if (!s->url[0])
		return error_set(-ENOENT, "no metadata store is given: use --meta URL, the environment variable TORUS_META, or \"meta = URL\" in %s",
				 META_CONFIG_PATH);
	err = meta_url_check(s->url);
	return err ? err : check_pairs(s);
}

int meta_open(struct env *env, const struct meta_settings *settings,
	      struct meta **meta)
{
	int err = meta_url_check(settings->url);

	*meta = NULL;
	if (err)
		return err;
	if (strncmp(settings->url, "local:", 6) == 0)
		return meta_local_open(env, settings->url + 6,
				       settings->create, meta);
	return meta_etcd_open(env, settings, meta);
}
