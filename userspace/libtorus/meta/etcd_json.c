// SPDX-License-Identifier: Apache-2.0
#include "meta/etcd_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "meta/base64.h"
#include "meta/doc.h"

/* ---- requests ------------------------------------------------------------------ */

static void add_base64(struct json_object **obj, const char *field,
		       const char *data, size_t len)
{
	CLEANUP_FREE char *text = base64_encode(data, len);

	doc_add(obj, field, text ? json_object_new_string(text) : NULL);
}

static void add_string(struct json_object **obj, const char *field,
		       const char *text)
{
	add_base64(obj, field, text, strlen(text));
}

static void add_int(struct json_object **obj, const char *field, int64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, v);
	doc_add_text(obj, field, text);
}

/* The first key behind all that begin with @key; "\0": there is none. */
static void add_prefix_end(struct json_object **obj, const char *key)
{
	size_t len = strlen(key);
	CLEANUP_FREE char *end = strdup(key);

	while (end && len && (unsigned char)end[len - 1] == 0xff)
		len--;
	if (end && len)
		end[len - 1]++;
	if (end && len)
		add_base64(obj, "range_end", end, len);
	else
		doc_add(obj, "range_end", end ? json_object_new_string("AA==") :
			NULL);
}

static struct json_object *range_object(const char *key, bool prefix)
{
	struct json_object *obj = json_object_new_object();

	/* etcd's way to say "the first key of all" is a NUL. */
	add_base64(&obj, "key", key, strlen(key) + !*key);
	if (prefix)
		add_prefix_end(&obj, key);
	return obj;
}

char *etcd_range_body(const char *key, bool prefix)
{
	return doc_print(range_object(key, prefix));
}

static struct json_object *compare_object(const struct meta_compare *c)
{
	struct json_object *obj = json_object_new_object();

	add_string(&obj, "key", c->key);
	doc_add_text(&obj, "target", "MOD");
	doc_add_text(&obj, "result", "EQUAL");
	add_int(&obj, "mod_revision", c->mod_revision);
	return obj;
}

static struct json_object *put_object(const struct meta_put *p)
{
	struct json_object *obj = json_object_new_object();
	struct json_object *inner = json_object_new_object();

	add_string(&inner, "key", p->key);
	if (!p->value) {
		doc_add(&obj, "request_delete_range", inner);
		return obj;
	}
	add_string(&inner, "value", p->value);
	if (p->lease)
		add_int(&inner, "lease", p->lease);
	doc_add(&obj, "request_put", inner);
	return obj;
}

char *etcd_txn_body(const struct meta_txn *txn)
{
	struct json_object *obj = json_object_new_object();
	struct json_object *compare = json_object_new_array();
	struct json_object *success = json_object_new_array();
	int i;

	for (i = 0; i < txn->compare_count; i++)
		doc_append(&compare, compare_object(&txn->compare[i]));
	for (i = 0; i < txn->put_count; i++)
		doc_append(&success, put_object(&txn->put[i]));
	doc_add(&obj, "compare", compare);
	doc_add(&obj, "success", success);
	return doc_print(obj);
}

char *etcd_watch_body(const char *prefix, int64_t from)
{
	struct json_object *obj = json_object_new_object();
	struct json_object *create = range_object(prefix, true);

	if (from)
		add_int(&create, "start_revision", from);
	doc_add(&obj, "create_request", create);
	return doc_print(obj);
}

char *etcd_grant_body(unsigned int ttl_s)
{
	struct json_object *obj = json_object_new_object();

	add_int(&obj, "TTL", ttl_s);
	return doc_print(obj);
}

char *etcd_lease_body(int64_t lease)
{
	struct json_object *obj = json_object_new_object();

	add_int(&obj, "ID", lease);
	return doc_print(obj);
}

char *etcd_auth_body(const char *user, const char *password)
{
	struct json_object *obj = json_object_new_object();

	doc_add_text(&obj, "name", user);
	doc_add_text(&obj, "password", password);
	return doc_print(obj);
}

/* ---- answers --------------------------------------------------------------------- */

struct json_object *etcd_field(struct json_object *obj, const char *name)
{
	struct json_object *v = NULL;

	if (json_object_is_type(obj, json_type_object))
		json_object_object_get_ex(obj, name, &v);
	return v;
}

int64_t etcd_int(struct json_object *obj, const char *name)
{
	struct json_object *v = etcd_field(obj, name);

	/* Converts a string as well as a number. */
	return v ? json_object_get_int64(v) : 0;
}

const char *etcd_text(struct json_object *obj, const char *name)
{
	struct json_object *v = etcd_field(obj, name);

	return json_object_is_type(v, json_type_string) ?
		json_object_get_string(v) : "";
}

bool etcd_bool(struct json_object *obj, const char *name)
{
	struct json_object *v = etcd_field(obj, name);

	return json_object_is_type(v, json_type_boolean) &&
	       json_object_get_boolean(v);
}

int64_t etcd_revision(struct json_object *answer)
{
	return etcd_int(etcd_field(answer, "header"), "revision");
}

void etcd_kv_release(struct meta_kv *kv)
{
	free((char *)kv->key);
	free((char *)kv->value);
	memset(kv, 0, sizeof(*kv));
}

int etcd_kv(struct json_object *obj, struct meta_kv *kv)
{
	int err = -EBADMSG;

	kv->key = base64_decode(etcd_text(obj, "key"));
	kv->value = kv->key ? base64_decode(etcd_text(obj, "value")) : NULL;
	/* Now: json-c's getters change errno. */
	if (!kv->value)
		err = -errno;
	kv->mod_revision = etcd_int(obj, "mod_revision");
	kv->lease = etcd_int(obj, "lease");
	if (kv->value && *kv->key && kv->mod_revision > 0)
		return 0;
	error_set(err, "etcd: a key or value is not understood%s%s",
		  kv->key ? ": " : "", kv->key ? kv->key : "");
	etcd_kv_release(kv);
	return err;
}
