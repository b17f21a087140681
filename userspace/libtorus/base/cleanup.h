/* SPDX-License-Identifier: Apache-2.0 */
/* Cleanup attributes and small macros that every file may use. */
#ifndef TORUS_BASE_CLEANUP_H
#define TORUS_BASE_CLEANUP_H

#include <stdlib.h>

static inline void cleanup_free(void *ptr)
{
	free(*(void **)ptr);
}

/* The pointer's target is freed when the variable leaves its scope. */
#define CLEANUP_FREE __attribute__((cleanup(cleanup_free)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ({ __typeof__(a) min_a = (a); __typeof__(b) min_b = (b); \
		     min_a < min_b ? min_a : min_b; })
#define MAX(a, b) ({ __typeof__(a) max_a = (a); __typeof__(b) max_b = (b); \
		     max_a > max_b ? max_a : max_b; })
#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))

#endif
