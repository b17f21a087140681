/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_SPEC_H
#define FUZZ_SPEC_H

/*
 * The family as its YAML has it: operations, their attributes, types, ranges
 * and structs. gen-spec makes the tables when the program is built.
 */
#include <stdbool.h>
#include <stdint.h>

/* More than any operation or set of attributes has. */
#define SPEC_OPS_MAX 32
#define SPEC_ATTRS_MAX 32

enum spec_kind {
	SPEC_NUMBER,
	SPEC_STRING,
	SPEC_BINARY,
	SPEC_FLAG,
};

struct spec_member {
	const char *name;
	uint16_t offset;
	uint16_t size;
};

struct spec_struct {
	const char *name;
	uint16_t size;
	uint16_t nr_members;
	const struct spec_member *members;
};

/*
 * size is that of a number, or the only length of a binary one (0: any);
 * max_len that of a string without its NUL. entry is what a binary one is an
 * array of.
 */
struct spec_attr {
	const char *name;
	uint16_t number;
	enum spec_kind kind;
	uint16_t size;
	uint16_t max_len;
	bool is_signed;
	bool has_min;
	bool has_max;
	int64_t min;
	uint64_t max;
	const struct spec_struct *entry;
};

struct spec_use {
	const struct spec_attr *attr;
	bool required;
};

/* nr_uses is 0 for what only the driver sends. */
struct spec_op {
	const char *name;
	uint8_t cmd;
	uint8_t attr_max;
	bool has_dump;
	uint8_t nr_uses;
	const struct spec_use *uses;
};

extern const struct spec_op spec_ops[];
extern const unsigned int spec_nr_ops;

/* The operation with that name or number; NULL if there is none. */
const struct spec_op *spec_find(uint8_t cmd);

/* Its place in spec_ops. */
unsigned int spec_index(const struct spec_op *op);

/* What an operation does with an attribute; NULL if it does not take it. */
const struct spec_use *spec_use(const struct spec_op *op, uint16_t number);

#endif
