/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata store in etcd 3.4 or newer, through its JSON gateway. */
#ifndef TORUS_META_ETCD_H
#define TORUS_META_ETCD_H

#include "env/env.h"
#include "meta/meta.h"
#include "meta/url.h"

#define ETCD_ENDPOINTS_MAX 16

/**
 * meta_etcd_open() - for settings->url "etcd://HOST:PORT[,HOST:PORT...]",
 * which meta_url_check() has accepted. Contacts nobody yet.
 * Returns 0 or -errno with error text (a certificate that cannot be read).
 */
int meta_etcd_open(struct env *env, const struct meta_settings *settings,
		   struct meta **meta);

#endif
