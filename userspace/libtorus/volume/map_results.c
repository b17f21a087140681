// SPDX-License-Identifier: Apache-2.0
#include "volume/map_results.h"

#include <stdlib.h>

#include "base/cleanup.h"

#define PIECE	4096u		/* elements */

struct page_result *results_get(const struct results *results, uint64_t i)
{
	return &results->piece[i / PIECE][i % PIECE];
}

static int add_piece(struct results *results)
{
	size_t n = results->count / PIECE;
	struct page_result **bigger;

	if (n == results->piece_room) {
		size_t room = MAX(2 * n, (size_t)16);

		bigger = realloc(results->piece, room * sizeof(*bigger));
		if (!bigger)
			return -1;
		results->piece = bigger;
		results->piece_room = room;
	}
	results->piece[n] = malloc(PIECE * sizeof(struct page_result));
	return results->piece[n] ? 0 : -1;
}

struct page_result *results_add(struct results *results, uint64_t index)
{
	struct page_result *result;

	if (results->count % PIECE == 0 && add_piece(results))
		return NULL;
	result = results_get(results, results->count++);
	*result = (struct page_result){ .index = index };
	return result;
}

void results_release(struct results *results)
{
	for (uint64_t i = 0; i < DIV_ROUND_UP(results->count, PIECE); i++)
		free(results->piece[i]);
	free(results->piece);
	*results = (struct results){ 0 };
}
