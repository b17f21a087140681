// SPDX-License-Identifier: Apache-2.0
/*
 * JSON comes from a store that people can write to. Nothing is converted
 * silently: json-c's own getters would turn the string "x" into the number 0.
 */
#include "meta/doc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "meta/schema.h"

#define DEPTH_MAX 8

void doc_fail(struct doc_reader *r, const char *field, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	if (r->err)
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	r->err = error_set(-EBADMSG, "%s: field %s %s", r->key, field, why);
}

/* ---- opening --------------------------------------------------------------- */

static struct json_object *parse(struct doc_reader *r, const char *text)
{
	size_t len = strnlen(text, DOC_TEXT_MAX + 1);
	struct json_tokener *tok;
	struct json_object *top;
	enum json_tokener_error err;

	if (len > DOC_TEXT_MAX) {
		r->err = error_set(-EBADMSG, "%s: value is longer than %u bytes",
				   r->key, DOC_TEXT_MAX);
		return NULL;
	}
	tok = json_tokener_new_ex(DEPTH_MAX);
	if (!tok) {
		r->err = error_set(-ENOMEM, "out of memory");
		return NULL;
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT |
			       JSON_TOKENER_VALIDATE_UTF8);
	/* With its NUL, so that a number at the end is known to be complete. */
	top = json_tokener_parse_ex(tok, text, len + 1);
	err = json_tokener_get_error(tok);
	if (err != json_tokener_success)
		r->err = error_set(-EBADMSG, "%s: value is not JSON: %s at byte %zu",
				   r->key, json_tokener_error_desc(err),
				   json_tokener_get_parse_end(tok));
	json_tokener_free(tok);
	return top;
}

static void check_version(struct doc_reader *r)
{
	uint64_t version = doc_u64(r, r->top, "version", 1, UINT64_MAX);

	if (!r->err && version > DOC_VERSION)
		r->err = error_set(-EPROTONOSUPPORT, "%s: was written by a newer Torus (version %" PRIu64 " of the value, this program knows %d): upgrade this program",
				   r->key, version, DOC_VERSION);
}

void doc_open(struct doc_reader *r, const char *key, const char *text)
{
	r->key = key;
	r->err = 0;
	r->top = parse(r, text);
	if (!r->err && !json_object_is_type(r->top, json_type_object))
		r->err = error_set(-EBADMSG, "%s: value is not a JSON object",
				   key);
	if (!r->err)
		check_version(r);
	if (r->err) {
		json_object_put(r->top);
		r->top = NULL;
	}
}

int doc_close(struct doc_reader *r)
{
	json_object_put(r->top);
	r->top = NULL;
	return r->err;
}

/* ---- fields ------------------------------------------------------------------ */

static struct json_object *check_type(struct doc_reader *r,
				      struct json_object *v, const char *field,
				      enum json_type type)
{
	if (r->err || json_object_is_type(v, type))
		return r->err ? NULL : v;
	doc_fail(r, field, "must be of type %s", json_type_to_name(type));
	return NULL;
}

static struct json_object *find(struct doc_reader *r, struct json_object *obj,
				const char *field, enum json_type type)
{
	struct json_object *v;

	if (r->err)
		return NULL;
	if (!json_object_object_get_ex(obj, field, &v)) {
		doc_fail(r, field, "is missing");
		return NULL;
	}
	return check_type(r, v, field, type);
}

bool doc_has(struct doc_reader *r, struct json_object *obj, const char *field)
{
	return !r->err && json_object_object_get_ex(obj, field, NULL);
}

uint64_t doc_u64(struct doc_reader *r, struct json_object *obj,
		 const char *field, uint64_t min, uint64_t max)
{
	struct json_object *v = find(r, obj, field, json_type_int);
	uint64_t n;

	if (!v)
		return 0;
	n = json_object_get_uint64(v);
	if (json_object_get_int64(v) < 0 || n < min || n > max) {
		doc_fail(r, field, "must be from %" PRIu64 " to %" PRIu64,
			 min, max);
		return 0;
	}
	return n;
}

bool doc_bool(struct doc_reader *r, struct json_object *obj, const char *field)
{
	struct json_object *v = find(r, obj, field, json_type_boolean);

	return v && json_object_get_boolean(v);
}

/* The C string of @v if nothing is hidden behind a NUL in it. */
static const char *string_of(struct doc_reader *r, struct json_object *v,
			     const char *field)
{
	const char *text;

	if (!v)
		return NULL;
	text = json_object_get_string(v);
	if (strlen(text) == (size_t)json_object_get_string_len(v))
		return text;
	doc_fail(r, field, "contains a NUL");
	return NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

uint64_t doc_hex(struct doc_reader *r, struct json_object *obj,
		 const char *field, int digits)
{
	const char *text = string_of(r, find(r, obj, field, json_type_string),
				     field);
	uint64_t n = 0;
	int i;

	if (!text)
		return 0;
	for (i = 0; i < digits && hex_digit(text[i]) >= 0; i++)
		n = n << 4 | hex_digit(text[i]);
	if (i == digits && !text[i])
		return n;
	doc_fail(r, field, "must have %d hexadecimal digits (lower case)",
		 digits);
	return 0;
}

void doc_text(struct doc_reader *r, struct json_object *obj, const char *field,
	      char *buf, size_t size)
{
	const char *text = string_of(r, find(r, obj, field, json_type_string),
				     field);
	const char *c;

	buf[0] = 0;
	if (!text)
		return;
	for (c = text; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f) {
			doc_fail(r, field, "contains a control character");
			return;
		}
	}
	if ((size_t)(c - text) >= size) {
		doc_fail(r, field, "is longer than %zu bytes", size - 1);
		return;
	}
	memcpy(buf, text, c - text + 1);
}

static void uuid_of(struct doc_reader *r, struct json_object *v,
		    const char *field, struct uuid *uuid)
{
	const char *text = string_of(r, v, field);

	memset(uuid, 0, sizeof(*uuid));
	if (text && uuid_parse(text, uuid) < 0)
		doc_fail(r, field, "must be a uuid");
}

void doc_uuid(struct doc_reader *r, struct json_object *obj, const char *field,
	      struct uuid *uuid)
{
	uuid_of(r, find(r, obj, field, json_type_string), field, uuid);
}

void doc_uuid_at(struct doc_reader *r, struct json_object *array, size_t i,
		 const char *field, struct uuid *uuid)
{
	struct json_object *v = r->err ? NULL :
		json_object_array_get_idx(array, i);

	uuid_of(r, check_type(r, v, field, json_type_string), field, uuid);
}

struct json_object *doc_object(struct doc_reader *r, struct json_object *obj,
			       const char *field)
{
	return find(r, obj, field, json_type_object);
}

struct json_object *doc_object_at(struct doc_reader *r,
				  struct json_object *array, size_t i,
				  const char *field)
{
	struct json_object *v = r->err ? NULL :
		json_object_array_get_idx(array, i);

	return check_type(r, v, field, json_type_object);
}

struct json_object *doc_array(struct doc_reader *r, struct json_object *obj,
			      const char *field, size_t max, size_t *count)
{
	struct json_object *v = find(r, obj, field, json_type_array);

	*count = 0;
	if (!v)
		return NULL;
	if (json_object_array_length(v) > max) {
		doc_fail(r, field, "has more than %zu entries", max);
		return NULL;
	}
	*count = json_object_array_length(v);
	return v;
}

/* ---- writing ------------------------------------------------------------------- */

struct json_object *doc_new(void)
{
	struct json_object *obj = json_object_new_object();

	doc_add_u64(&obj, "version", DOC_VERSION);
	return obj;
}

static void spoil(struct json_object **obj)
{
	json_object_put(*obj);
	*obj = NULL;
}

void doc_add(struct json_object **obj, const char *field,
	     struct json_object *v)
{
	if (*obj && v && json_object_object_add(*obj, field, v) == 0)
		return;
	json_object_put(v);
	spoil(obj);
}

void doc_append(struct json_object **array, struct json_object *v)
{
	if (*array && v && json_object_array_add(*array, v) == 0)
		return;
	json_object_put(v);
	spoil(array);
}

void doc_add_u64(struct json_object **obj, const char *field, uint64_t v)
{
	doc_add(obj, field, json_object_new_uint64(v));
}

void doc_add_bool(struct json_object **obj, const char *field, bool v)
{
	doc_add(obj, field, json_object_new_boolean(v));
}

void doc_add_hex(struct json_object **obj, const char *field, uint64_t v,
		 int digits)
{
	char text[17];

	snprintf(text, sizeof(text), "%0*" PRIx64, digits, v);
	doc_add_text(obj, field, text);
}

void doc_add_text(struct json_object **obj, const char *field, const char *v)
{
	doc_add(obj, field, json_object_new_string(v));
}

void doc_add_uuid(struct json_object **obj, const char *field,
		  const struct uuid *v)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(v, text);
	doc_add_text(obj, field, text);
}

char *doc_print(struct json_object *obj)
{
	const char *text = obj ? json_object_to_json_string_ext(obj,
		JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) : NULL;
	char *copy = text ? strdup(text) : NULL;

	json_object_put(obj);
	return copy;
}
