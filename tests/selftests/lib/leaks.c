// SPDX-License-Identifier: Apache-2.0
/*
 * Finds what is left behind for each of many times: it would be in some slab
 * cache, whatever its name (small caches are merged with others), in per-CPU
 * memory, in vmalloc's, or in the pages of memfds. Things are freed late, by RCU
 * and by work items that announce nothing, so a growth only counts if it stays.
 */
#include <dirent.h>
#include <fcntl.h>

#include "leaks.h"
#include "test.h"

/* Makes the counts exact: free objects on a CPU's own slabs count as used. */
static void shrink_slabs(void)
{
	DIR *dir = opendir("/sys/kernel/slab");
	struct dirent *entry;
	char path[512];

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink",
			 entry->d_name);
		write_text(path, "1");
	}
	if (dir)
		closedir(dir);
}

static void add(struct leaks *leaks, const char *name, long long value)
{
	struct leaks_count *count = &leaks->counts[leaks->nr];

	CHECK(leaks->nr < LEAKS_CACHES_MAX);
	snprintf(count->name, sizeof(count->name), "%s", name);
	count->value = value;
	leaks->nr++;
}

static void look_at_slabs(struct leaks *leaks)
{
	FILE *f = fopen("/proc/slabinfo", "r");
	char line[512], name[64];
	long long active;

	if (!f)
		SKIP("no /proc/slabinfo");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %lld", name, &active) == 2)
			add(leaks, name, active);
	fclose(f);
}

static void look_at_memory(struct leaks *leaks)
{
	static const char * const names[] = {
		"Percpu:", "VmallocUsed:", "Shmem:",
	};
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128], name[64];
	long long kb;

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %lld", name, &kb) != 2)
			continue;
		for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
			if (!strcmp(name, names[i]))
				add(leaks, name, kb);
	}
	fclose(f);
}

void leaks_look(struct leaks *leaks)
{
	leaks->nr = 0;
	sync();
	write_text("/proc/sys/vm/drop_caches", "3");
	shrink_slabs();
	look_at_slabs(leaks);
	look_at_memory(leaks);
}

static long long value_of(const struct leaks *leaks, const char *name)
{
	for (unsigned int i = 0; i < leaks->nr; i++)
		if (!strcmp(leaks->counts[i].name, name))
			return leaks->counts[i].value;
	return 0;
}

/* What else goes on may give back as much as a quarter of what was lost. */
static long long allowed(const char *name, unsigned int times)
{
	bool is_memory = name[strlen(name) - 1] == ':';

	return (is_memory ? times / 4 : times) * 3ll / 4;
}

static const char *grown(const struct leaks *before, const struct leaks *now,
			 unsigned int times)
{
	for (unsigned int i = 0; i < now->nr; i++) {
		const struct leaks_count *count = &now->counts[i];

		if (count->value - value_of(before, count->name) >=
		    allowed(count->name, times))
			return count->name;
	}
	return NULL;
}

void leaks_check(const struct leaks *before, unsigned int times)
{
	static struct leaks now;
	uint64_t end = now_ms() + 20000;
	const char *name;

	for (;;) {
		leaks_look(&now);
		name = grown(before, &now, times);
		if (!name)
			return;
		if (now_ms() > end)
			FAIL("%s was %lld, is %lld after %u times", name,
			     value_of(before, name), value_of(&now, name),
			     times);
		usleep(100000);
	}
}
