/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_MUTATE_H
#define FUZZ_MUTATE_H

#include "valid.h"

/*
 * Spoils a message that was right, and says in it whether the driver must not
 * accept the result. False if it cannot be done to this message.
 */
typedef bool mutate_fn(struct message *m, struct subject *s, struct chance *c);

struct mutation {
	const char *name;
	mutate_fn *apply;
};

/* By the form: attributes and headers, of whatever operation (mutate.c). */
extern const struct mutation mutations_of_form[];
extern const unsigned int nr_mutations_of_form;

/* By the meaning: well-formed, but nothing a helper may say (wrong.c). */
extern const struct mutation mutations_of_meaning[];
extern const unsigned int nr_mutations_of_meaning;

#define MUTATIONS_MAX 96

/* All of them under one number. */
unsigned int mutate_count(void);
const struct mutation *mutate_number(unsigned int n);

/* Does one thing to it, or leaves it as it is. The mutation's number, or -1. */
int mutate(struct message *m, struct subject *s, struct chance *c);

/* Spoils this attribute, if it is there, so that it must be refused. */
void mutate_attr(struct message *m, uint16_t number);

/* Makes the files that are no arenas; 0 or -errno. Once, before mutate(). */
int wrong_arenas_init(void);

#endif
