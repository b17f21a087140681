// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>

#include "devices.h"

#define TABLE 64

struct known {
	uint32_t id;
	bool live;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct known table[TABLE];
static unsigned int nr_known;
static bool ended;

static struct known *find(uint32_t id)
{
	for (unsigned int i = 0; i < nr_known; i++)
		if (table[i].id == id)
			return &table[i];
	return NULL;
}

static bool is_cycle(uint32_t id)
{
	return id >= DEVICES_CYCLE && id < DEVICES_CYCLE + DEVICES_NR_CYCLE;
}

void devices_note(uint32_t id)
{
	pthread_mutex_lock(&lock);
	if (!is_cycle(id) && !find(id) && nr_known < TABLE)
		table[nr_known++] = (struct known) { .id = id };
	pthread_mutex_unlock(&lock);
}

void devices_forget(uint32_t id)
{
	struct known *known;

	pthread_mutex_lock(&lock);
	known = find(id);
	if (known)
		*known = table[--nr_known];
	pthread_mutex_unlock(&lock);
}

void devices_set_live(uint32_t id, bool live)
{
	struct known *known;

	if (live)
		devices_note(id);
	pthread_mutex_lock(&lock);
	known = find(id);
	if (known)
		known->live = live;
	if (live)
		pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

unsigned int devices_count(void)
{
	unsigned int n;

	pthread_mutex_lock(&lock);
	n = nr_known;
	pthread_mutex_unlock(&lock);
	return n;
}

int devices_pick(struct chance *c)
{
	int id = -1;

	pthread_mutex_lock(&lock);
	if (nr_known)
		id = table[chance_below(c, nr_known)].id;
	pthread_mutex_unlock(&lock);
	return id;
}

/* The n-th that is live, counted round and round; -1 if none is. */
static int pick_live(uint64_t n)
{
	unsigned int nr_live = 0;

	for (unsigned int i = 0; i < nr_known; i++)
		nr_live += table[i].live;
	if (!nr_live)
		return -1;
	n %= nr_live;
	for (unsigned int i = 0; i < nr_known; i++)
		if (table[i].live && !n--)
			return table[i].id;
	return -1;
}

int devices_wait_live(struct chance *c)
{
	uint64_t n = chance_u64(c);
	int id;

	pthread_mutex_lock(&lock);
	while ((id = pick_live(n)) < 0 && !ended)
		pthread_cond_wait(&changed, &lock);
	if (ended)
		id = -1;
	pthread_mutex_unlock(&lock);
	return id;
}

void devices_end(void)
{
	pthread_mutex_lock(&lock);
	ended = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}
