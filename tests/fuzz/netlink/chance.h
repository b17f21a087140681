/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_CHANCE_H
#define FUZZ_CHANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Everything that a thread leaves to chance comes from its own one of these. */
struct chance {
	uint64_t state;
};

void chance_init(struct chance *c, uint64_t seed, unsigned int thread);
uint64_t chance_u64(struct chance *c);

/* A number below n, which is not 0. */
uint64_t chance_below(struct chance *c, uint64_t n);

/* True once in n times. */
bool chance_one_in(struct chance *c, unsigned int n);

void chance_bytes(struct chance *c, void *to, size_t len);

#endif
