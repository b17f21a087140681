// SPDX-License-Identifier: Apache-2.0
/*
 * Finds what is left behind for each of many times: it would be in some slab
 * cache, whatever its name (small caches are merged with others), in per-CPU
 * memory, in vmalloc's, or in the pages of memfds. Things are freed late, by RCU
 * and by work items that announce nothing, so a growth only counts if it stays.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>

#include "leaks.h"
#include "test.h"

#define KMEMLEAK "/sys/kernel/debug/kmemleak"

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

static void add(struct leaks *leaks, const char *name, long long value,
		long long slack)
{
	struct leaks_count *count = &leaks->counts[leaks->nr];

	CHECK(leaks->nr < LEAKS_CACHES_MAX);
	snprintf(count->name, sizeof(count->name), "%s", name);
	count->value = value;
	count->slack = slack;
	leaks->nr++;
}

/*
 * Not what is freed so late that nothing can be awaited: areas of vmalloc,
 * whose memory is counted apart. Nor what kmemleak notes of all the others.
 */
static bool tells_nothing(const char *name)
{
	return !strcmp(name, "vmap_area") || !strncmp(name, "kmemleak", 8);
}

static void look_at_slabs(struct leaks *leaks)
{
	FILE *f = fopen("/proc/slabinfo", "r");
	char line[512], name[64];
	long long active, per_slab;

	if (!f)
		SKIP("no /proc/slabinfo");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %lld %*d %*d %lld", name, &active,
			   &per_slab) == 3 && !tells_nothing(name))
			add(leaks, name, active, 2 * per_slab);
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
				add(leaks, name, kb, 0);
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
static long long allowed(const struct leaks_count *count, unsigned int times)
{
	bool is_memory = count->name[strlen(count->name) - 1] == ':';

	return (is_memory ? times / 4 : times) * 3ll / 4 + count->slack;
}

/* How many have grown; tells of them if it is to. */
static unsigned int grown(const struct leaks *before, const struct leaks *now,
			  unsigned int times, bool tell)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < now->nr; i++) {
		const struct leaks_count *count = &now->counts[i];
		long long was = value_of(before, count->name);

		if (count->value - was < allowed(count, times))
			continue;
		if (tell)
			printf("# %s was %lld, is %lld after %u times\n",
			       count->name, was, count->value, times);
		n++;
	}
	return n;
}

/* Looks for leaks, if the kernel can; what it has found of ours, or NULL. */
static const char *scan_kmemleak(void)
{
	static char found[16384];
	ssize_t n;
	int fd;

	if (write_text(KMEMLEAK, "scan"))
		return NULL;
	fd = open(KMEMLEAK, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	n = read(fd, found, sizeof(found) - 1);
	close(fd);
	CHECK(n >= 0);
	found[n] = 0;
	return strstr(found, "[torus]") ? found : NULL;
}

/*
 * An object may be just on its way from one list to another, so it counts only
 * if it is found twice.
 */
static void check_kmemleak(void)
{
	const char *found;

	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	if (access(KMEMLEAK, W_OK))
		return;
	found = scan_kmemleak();
	if (found)
		found = scan_kmemleak();
	if (found)
		FAIL("kmemleak has found:\n%s", found);
	printf("# kmemleak has found nothing of ours\n");
}

void leaks_check(const struct leaks *before, unsigned int times)
{
	static struct leaks now;
	uint64_t end = now_ms() + 20000;

	for (;;) {
		leaks_look(&now);
		if (!grown(before, &now, times, false))
			break;
		if (now_ms() > end)
			FAIL("%u have grown",
			     grown(before, &now, times, true));
		usleep(100000);
	}
	check_kmemleak();
}
