// SPDX-License-Identifier: Apache-2.0
/*
 * Answers of etcd's JSON gateway: everything that the backend takes out of
 * one. A key that is accepted must come out of a request unchanged.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "meta/base64.h"
#include "meta/etcd_internal.h"

static void check_key(const char *key)
{
	CLEANUP_FREE char *body = etcd_range_body(key, true);
	struct json_object *range = json_tokener_parse(body);
	CLEANUP_FREE char *again = base64_decode(etcd_text(range, "key"));

	if (!again || strcmp(again, key) != 0)
		abort();
	json_object_put(range);
}

static void read_kv(struct json_object *obj)
{
	struct meta_kv kv;

	if (etcd_kv(obj, &kv) < 0)
		return;
	check_key(kv.key);
	etcd_kv_release(&kv);
}

static void read_array(struct json_object *array)
{
	size_t i;

	if (!json_object_is_type(array, json_type_array))
		return;
	for (i = 0; i < json_object_array_length(array); i++) {
		struct json_object *v = json_object_array_get_idx(array, i);

		read_kv(v);
		read_kv(etcd_field(v, "kv"));
		etcd_text(v, "type");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *text = malloc(size + 1);
	struct json_object *answer, *result;
	const char *words;

	memcpy(text, data, size);
	text[size] = 0;
	answer = json_tokener_parse(text);
	result = etcd_field(answer, "result");
	etcd_grpc_code(answer, &words);
	etcd_revision(answer);
	etcd_revision(result);
	etcd_bool(answer, "succeeded");
	etcd_bool(result, "created");
	etcd_int(result, "compact_revision");
	read_array(etcd_field(answer, "kvs"));
	read_array(etcd_field(result, "events"));
	json_object_put(answer);
	return 0;
}
