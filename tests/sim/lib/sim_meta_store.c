// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sim_meta_store.h"

static char *copy_text(const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		abort();
	return copy;
}

static void *grow(void *array, size_t *room, size_t size)
{
	*room = *room ? *room * 2 : 64;
	array = realloc(array, *room * size);
	if (!array)
		abort();
	return array;
}

/* Where @key is, or where it would be inserted. */
static size_t position(const struct sim_meta_store *s, const char *key)
{
	size_t lo = 0, hi = s->count, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (strcmp(s->kv[mid].key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct stored *simkv_find(const struct sim_meta_store *s, const char *key)
{
	size_t i = position(s, key);

	return i < s->count && strcmp(s->kv[i].key, key) == 0 ? &s->kv[i] : NULL;
}

struct meta_kv *simkv_copy(const struct sim_meta_store *s, const char *key,
			   bool exact, size_t *count)
{
	size_t first = position(s, key), n = 0, i;
	struct meta_kv *kv;

	while (first + n < s->count &&
	       (exact ? n == 0 && strcmp(s->kv[first].key, key) == 0
		      : strncmp(s->kv[first + n].key, key, strlen(key)) == 0))
		n++;
	*count = n;
	if (!n)
		return NULL;
	kv = sim_alloc(n * sizeof(*kv));
	for (i = 0; i < n; i++) {
		kv[i].key = copy_text(s->kv[first + i].key);
		kv[i].value = copy_text(s->kv[first + i].value);
		kv[i].mod_revision = s->kv[first + i].mod_revision;
		kv[i].lease = s->kv[first + i].lease;
	}
	return kv;
}

void simkv_free(struct meta_kv *kv, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		free((char *)kv[i].key);
		free((char *)kv[i].value);
	}
	free(kv);
}

static void history_add(struct sim_meta_store *s, const char *key,
			const char *value, int64_t lease)
{
	struct history *h;

	if (s->history_count == s->history_room)
		s->history = grow(s->history, &s->history_room, sizeof(*h));
	h = &s->history[s->history_count++];
	h->revision = s->revision;
	h->lease = lease;
	h->key = copy_text(key);
	h->value = value ? copy_text(value) : NULL;
}

static void delete_at(struct sim_meta_store *s, size_t i)
{
	history_add(s, s->kv[i].key, NULL, 0);
	free(s->kv[i].key);
	free(s->kv[i].value);
	memmove(&s->kv[i], &s->kv[i + 1],
		(--s->count - i) * sizeof(s->kv[0]));
}

static void put(struct sim_meta_store *s, const struct meta_put *p)
{
	size_t i = position(s, p->key);
	bool exists = i < s->count && strcmp(s->kv[i].key, p->key) == 0;

	if (!p->value) {
		if (exists)
			delete_at(s, i);
		return;
	}
	if (!exists) {
		if (s->count == s->room)
			s->kv = grow(s->kv, &s->room, sizeof(s->kv[0]));
		memmove(&s->kv[i + 1], &s->kv[i],
			(s->count++ - i) * sizeof(s->kv[0]));
		s->kv[i].key = copy_text(p->key);
	} else {
		free(s->kv[i].value);
	}
	s->kv[i].value = copy_text(p->value);
	s->kv[i].mod_revision = s->revision;
	s->kv[i].lease = p->lease;
	history_add(s, p->key, p->value, p->lease);
}

bool simkv_txn(struct sim_meta_store *s, const struct meta_txn *txn)
{
	const struct stored *kv;
	int i;

	for (i = 0; i < txn->compare_count; i++) {
		kv = simkv_find(s, txn->compare[i].key);
		if ((kv ? kv->mod_revision : 0) != txn->compare[i].mod_revision)
			return false;
	}
	s->revision++;
	for (i = 0; i < txn->put_count; i++)
		put(s, &txn->put[i]);
	return true;
}

bool simkv_lease_drop(struct sim_meta_store *s, int64_t lease)
{
	bool any = false;
	size_t i = 0;

	while (i < s->count) {
		if (s->kv[i].lease != lease) {
			i++;
			continue;
		}
		if (!any)
			s->revision++;
		any = true;
		delete_at(s, i);
	}
	return any;
}

void simkv_clear(struct sim_meta_store *s)
{
	size_t i;

	for (i = 0; i < s->count; i++) {
		free(s->kv[i].key);
		free(s->kv[i].value);
	}
	for (i = 0; i < s->history_count; i++) {
		free(s->history[i].key);
		free(s->history[i].value);
	}
	free(s->kv);
	free(s->history);
}

void simkv_reset(struct sim_meta_store *s, const struct meta_kv *kv,
		 size_t count, int64_t revision)
{
	size_t i;

	simkv_clear(s);
	s->kv = NULL;
	s->history = NULL;
	s->count = s->room = s->history_count = s->history_room = 0;
	s->revision = revision;
	for (i = 0; i < count; i++) {
		if (kv[i].lease)
			continue;
		if (s->count == s->room)
			s->kv = grow(s->kv, &s->room, sizeof(s->kv[0]));
		s->kv[s->count++] = (struct stored){
			copy_text(kv[i].key), copy_text(kv[i].value),
			kv[i].mod_revision, 0,
		};
	}
}
