/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading fields of a JSON document, for the decoders of schema.h.
 *
 * A reader remembers the first thing that is wrong and makes every later call
 * harmless, so that a decoder is a list of fields and one test at its end.
 * Error texts name the document's key and the field.
 */
#ifndef TORUS_META_DOC_H
#define TORUS_META_DOC_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"

struct doc_reader {
	const char *key;		/* of the document, for messages */
	int err;
	struct json_object *top;
};

/**
 * doc_open() - parse @text, check its version. r->top is the document; NULL
 * after an error. doc_close() frees it and returns the reader's error.
 */
void doc_open(struct doc_reader *r, const char *key, const char *text);
int doc_close(struct doc_reader *r);

/** doc_fail() - remember that @field is wrong, for the reason given. */
void doc_fail(struct doc_reader *r, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* All fields are required but for doc_find()'s. A bad one gives 0 or NULL. */
uint64_t doc_u64(struct doc_reader *r, struct json_object *obj,
		 const char *field, uint64_t min, uint64_t max);
bool doc_bool(struct doc_reader *r, struct json_object *obj, const char *field);
/* Hexadecimal text of exactly @digits digits. */
uint64_t doc_hex(struct doc_reader *r, struct json_object *obj,
		 const char *field, int digits);
/* Printable text; @buf gets at most @size bytes with the NUL. */
void doc_text(struct doc_reader *r, struct json_object *obj, const char *field,
	      char *buf, size_t size);
void doc_uuid(struct doc_reader *r, struct json_object *obj, const char *field,
	      struct uuid *uuid);
/* A string in an array. */
void doc_uuid_at(struct doc_reader *r, struct json_object *array, size_t i,
		 const char *field, struct uuid *uuid);
struct json_object *doc_object(struct doc_reader *r, struct json_object *obj,
			       const char *field);
struct json_object *doc_object_at(struct doc_reader *r,
				  struct json_object *array, size_t i,
				  const char *field);
/* *@count is at most @max. */
struct json_object *doc_array(struct doc_reader *r, struct json_object *obj,
			      const char *field, size_t max, size_t *count);
bool doc_has(struct doc_reader *r, struct json_object *obj, const char *field);

/* Writing. NULL anywhere (out of memory) makes doc_print() return NULL. */
struct json_object *doc_new(void);	/* with its version */
void doc_add_u64(struct json_object **obj, const char *field, uint64_t v);
void doc_add_bool(struct json_object **obj, const char *field, bool v);
void doc_add_hex(struct json_object **obj, const char *field, uint64_t v,
		 int digits);
void doc_add_text(struct json_object **obj, const char *field, const char *v);
void doc_add_uuid(struct json_object **obj, const char *field,
		  const struct uuid *v);
/* Takes @v over. */
void doc_add(struct json_object **obj, const char *field,
	     struct json_object *v);
void doc_append(struct json_object **array, struct json_object *v);
/* Text from malloc; frees @obj. */
char *doc_print(struct json_object *obj);

#endif
