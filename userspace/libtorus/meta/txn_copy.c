// SPDX-License-Identifier: Apache-2.0
#include "meta/txn_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static bool is_put_before(const struct meta_txn *txn, int i)
{
	int j;

	for (j = 0; j < i; j++) {
		if (strcmp(txn->put[j].key, txn->put[i].key) == 0)
			return true;
	}
	return false;
}

int txn_check(const struct meta_txn *txn)
{
	int i;

	if (txn->compare_count < 0 || txn->compare_count > META_TXN_MAX ||
	    txn->put_count < 0 || txn->put_count > META_TXN_MAX)
		return error_set(-EINVAL, "metadata transaction: %d compares and %d puts, at most %d are possible",
				 txn->compare_count, txn->put_count,
				 META_TXN_MAX);
	for (i = 0; i < txn->put_count; i++) {
		if (is_put_before(txn, i))
			return error_set(-EINVAL, "metadata transaction: key %s is put twice",
					 txn->put[i].key);
	}
	return 0;
}

static int clamp(int count)
{
	return count < 0 ? 0 : count > META_TXN_MAX ? META_TXN_MAX : count;
}

static size_t text_size(const struct meta_txn *txn)
{
	size_t size = 0;
	int i;

	for (i = 0; i < clamp(txn->compare_count); i++)
		size += strlen(txn->compare[i].key) + 1;
	for (i = 0; i < clamp(txn->put_count); i++) {
		size += strlen(txn->put[i].key) + 1;
		if (txn->put[i].value)
			size += strlen(txn->put[i].value) + 1;
	}
	return size;
}

static void move_text(const char **text, char **room)
{
	size_t size;

	if (!*text)
		return;
	size = strlen(*text) + 1;
	memcpy(*room, *text, size);
	*text = *room;
	*room += size;
}

struct meta_txn *txn_copy(const struct meta_txn *txn)
{
	struct meta_txn *copy = malloc(sizeof(*copy) + text_size(txn));
	char *room = (char *)(copy + 1);
	int i;

	if (!copy)
		return NULL;
	*copy = *txn;
	for (i = 0; i < clamp(txn->compare_count); i++)
		move_text(&copy->compare[i].key, &room);
	for (i = 0; i < clamp(txn->put_count); i++) {
		move_text(&copy->put[i].key, &room);
		move_text(&copy->put[i].value, &room);
	}
	return copy;
}
