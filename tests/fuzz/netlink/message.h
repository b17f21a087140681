/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_MESSAGE_H
#define FUZZ_MESSAGE_H

#include <stddef.h>

#include "spec.h"

#define MESSAGE_FIELDS 40
#define MESSAGE_BYTES 16384
/* Headers of all kinds, and padding. */
#define MESSAGE_ENCODED (MESSAGE_BYTES + 1024)

/* An attribute of a message; attr is NULL if the family does not know it. */
struct message_field {
	const struct spec_attr *attr;
	uint16_t type;
	uint16_t len;
	/* what its header says instead of its length; 0: the truth */
	uint16_t claimed;
	uint32_t at;
};

/*
 * A command on its way: taken apart as long as it is being made and spoilt,
 * then bytes.
 */
struct message {
	const struct spec_op *op;
	uint16_t family;
	uint16_t flags;
	uint8_t cmd;
	uint8_t version;
	uint16_t reserved;
	unsigned int nr_fields;
	struct message_field fields[MESSAGE_FIELDS];
	/* after the last attribute */
	unsigned int trailing;
	/* bytes that are sent less, and whether the header knows of it */
	unsigned int cut;
	bool cut_told;
	/* bits that are turned, anywhere after the netlink header */
	unsigned int flips;
	uint64_t flip_seed;
	/* what was done to it; NULL: it is as it should be */
	const char *mutation;
	const struct spec_attr *spoilt;
	/* the driver must not accept this */
	bool must_refuse;
	/* whatever becomes of it, it says nothing */
	bool unheard;
	uint32_t pool_used;
	uint8_t pool[MESSAGE_BYTES];
};

void message_begin(struct message *m, const struct spec_op *op,
		   uint16_t family);

/* Appends an attribute; drops it if there is no room. The field or NULL. */
struct message_field *message_put(struct message *m,
				  const struct spec_attr *attr, uint16_t type,
				  const void *data, size_t len);

/* The last field of that attribute, which is the one that counts; or NULL. */
struct message_field *message_find(struct message *m, uint16_t number);
void *message_data(struct message *m, const struct message_field *field);

/* Gives a field another content. */
void message_set(struct message *m, struct message_field *field,
		 const void *data, size_t len);
void message_set_u32(struct message *m, uint16_t number, uint32_t value);
void message_set_u64(struct message *m, uint16_t number, uint64_t value);

/* The number that a field holds; 0 if there is none. */
uint64_t message_number(struct message *m, uint16_t number);

void message_remove(struct message *m, struct message_field *field);

/* Writes the bytes; returns how many are to be sent. */
size_t message_encode(const struct message *m, uint32_t seq, uint8_t *to);

#endif
