// SPDX-License-Identifier: Apache-2.0
#include "env/timer_heap.h"

#include <errno.h>
#include <stdlib.h>

int timer_heap_init(struct timer_heap *heap, size_t capacity)
{
	if (capacity == 0)
		capacity = 1;
	heap->slot = calloc(capacity + 1, sizeof(heap->slot[0]));
	if (heap->slot == NULL)
		return -ENOMEM;
	heap->count = 0;
	heap->capacity = capacity;
	heap->order = 1;
	return 0;
}

void timer_heap_free(struct timer_heap *heap)
{
	size_t i;

	for (i = 1; i <= heap->count; i++)
		heap->slot[i]->heap_index = 0;
	free(heap->slot);
	heap->slot = NULL;
	heap->count = 0;
	heap->capacity = 0;
}

static bool earlier(const struct env_timer *a, const struct env_timer *b)
{
	return a->when < b->when || (a->when == b->when && a->order < b->order);
}

static void place(struct timer_heap *heap, size_t i, struct env_timer *timer)
{
	heap->slot[i] = timer;
	timer->heap_index = i;
}

static void sift_up(struct timer_heap *heap, struct env_timer *timer)
{
	size_t i = timer->heap_index;

	while (i > 1 && earlier(timer, heap->slot[i / 2])) {
		place(heap, i, heap->slot[i / 2]);
		i /= 2;
	}
	place(heap, i, timer);
}

static void sift_down(struct timer_heap *heap, struct env_timer *timer)
{
	size_t i = timer->heap_index, child;

	while ((child = 2 * i) <= heap->count) {
		if (child < heap->count &&
		    earlier(heap->slot[child + 1], heap->slot[child]))
			child++;
		if (!earlier(heap->slot[child], timer))
			break;
		place(heap, i, heap->slot[child]);
		i = child;
	}
	place(heap, i, timer);
}

static int make_room(struct timer_heap *heap)
{
	size_t capacity = heap->capacity * 2;
	struct env_timer **slot;

	if (heap->count < heap->capacity)
		return 0;
	slot = realloc(heap->slot, (capacity + 1) * sizeof(slot[0]));
	if (slot == NULL)
		return -ENOMEM;
	heap->slot = slot;
	heap->capacity = capacity;
	return 0;
}

int timer_heap_set(struct timer_heap *heap, struct env_timer *timer,
		   uint64_t when)
{
	if (timer->heap_index == 0) {
		if (make_room(heap) < 0)
			return -ENOMEM;
		place(heap, ++heap->count, timer);
	}
	timer->when = when;
	timer->order = heap->order++;
	sift_up(heap, timer);
	sift_down(heap, timer);
	return 0;
}

void timer_heap_cancel(struct timer_heap *heap, struct env_timer *timer)
{
	size_t i = timer->heap_index;
	struct env_timer *last;

	if (i == 0)
		return;
	timer->heap_index = 0;
	last = heap->slot[heap->count--];
	if (last == timer)
		return;
	place(heap, i, last);
	sift_up(heap, last);
	sift_down(heap, last);
}

struct env_timer *timer_heap_first(const struct timer_heap *heap)
{
	return heap->count > 0 ? heap->slot[1] : NULL;
}

struct env_timer *timer_heap_pop(struct timer_heap *heap, uint64_t now,
				 uint64_t turn)
{
	struct env_timer *first = timer_heap_first(heap);

	if (first == NULL || first->when > now || first->order >= turn)
		return NULL;
	timer_heap_cancel(heap, first);
	return first;
}
