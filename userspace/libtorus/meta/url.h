/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which metadata store, and how to get in.
 *
 * The URL comes from the program's option, else from the environment variable
 * TORUS_META, else from "meta" in the configuration file; everything else from
 * the configuration file (/etc/torus/torus.conf, or what TORUS_CONF names):
 *
 *	meta = etcd://10.0.0.1:2379,10.0.0.2:2379
 *	etcd_user = torus
 *	etcd_password = secret
 *	etcd_ca = /etc/torus/ca.pem		(any of these three: TLS)
 *	etcd_cert = /etc/torus/client.pem
 *	etcd_key = /etc/torus/client.key
 *
 * A line is "key = value"; '#' begins a comment at the start of a line.
 */
#ifndef TORUS_META_URL_H
#define TORUS_META_URL_H

#include "env/env.h"
#include "meta/meta.h"

#define META_CONFIG_PATH "/etc/torus/torus.conf"
#define META_URL_MAX	1024
#define META_PATH_MAX	512

struct meta_settings {
	char url[META_URL_MAX];
	char user[64], password[256];	/* "" = no authentication */
	char ca[META_PATH_MAX], cert[META_PATH_MAX], key[META_PATH_MAX];
	unsigned int timeout_ms;	/* of one request to etcd; 0 = 5000 */
	bool create;			/* a `local:` file that does not exist */
};

/**
 * meta_settings_resolve() - find the URL and the settings.
 * @url: the program's option, or NULL.
 * Returns 0; -EINVAL or -ENOENT with error text that says what is wrong, or
 * that no URL was given and how to give one.
 */
int meta_settings_resolve(struct meta_settings *settings, const char *url);

/** meta_conf_path() - the configuration file's path. */
const char *meta_conf_path(void);

/** meta_url_check() - 0, or -EINVAL with error text. */
int meta_url_check(const char *url);

/**
 * meta_open() - open the store that settings->url names.
 * @env: a reactor of env_uring_new(); outlives the store.
 * `local:` files are opened before the return; one that does not exist is made
 * (in a directory that does) only with settings->create, so that a path that
 * was mistyped, or whose file system is not mounted yet, leaves nothing behind.
 * `etcd://` servers are first contacted by the first request.
 * Returns 0 or -errno with error text. (*@meta)->ops->close() ends it.
 */
int meta_open(struct env *env, const struct meta_settings *settings,
	      struct meta **meta);

#endif
