/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of etcd's JSON gateway. 64-bit numbers are strings in it, keys and
 * values base64, and what is zero or empty is left out.
 */
#ifndef TORUS_META_ETCD_JSON_H
#define TORUS_META_ETCD_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/meta.h"

/* Requests: text from malloc, NULL: out of memory. */
char *etcd_range_body(const char *key, bool prefix);
char *etcd_txn_body(const struct meta_txn *txn);
char *etcd_watch_body(const char *prefix, int64_t from);
char *etcd_grant_body(unsigned int ttl_s);
char *etcd_lease_body(int64_t lease);
char *etcd_auth_body(const char *user, const char *password);

/* Answers. Getters are silent about what is absent: 0, "" or NULL. */
struct json_object *etcd_field(struct json_object *obj, const char *name);
int64_t etcd_int(struct json_object *obj, const char *name);
const char *etcd_text(struct json_object *obj, const char *name);
bool etcd_bool(struct json_object *obj, const char *name);
int64_t etcd_revision(struct json_object *answer);

/* Strings are from malloc: etcd_kv_release(). 0, -EBADMSG, -ENOMEM. */
int etcd_kv(struct json_object *obj, struct meta_kv *kv);
void etcd_kv_release(struct meta_kv *kv);

#endif
