// SPDX-License-Identifier: Apache-2.0
/* Declarations of an I/O flusher, in child processes: they cannot be undone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "env/flusher.h"
#include "env/memcheck.h"

#ifndef PR_GET_IO_FLUSHER
#define PR_GET_IO_FLUSHER 58
#endif

static int lines;

static void count_line(enum log_level level, const char *line)
{
	lines++;
}

static int in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int oom_score(void)
{
	int score = 0;
	FILE *f = fopen("/proc/self/oom_score_adj", "r");

	if (!f || fscanf(f, "%d", &score) != 1)
		score = 1;
	if (f)
		fclose(f);
	return score;
}

/* Granted: it is so. Refused: there is a line for each refusal. */
static int declared_or_said(void)
{
	struct flusher_config cfg = { .spare_from_oom = true,
				      .no_core_dump = true };
	int refused;

	log_set_sink(count_line);
	refused = flusher_declare(&cfg);
	if (refused != lines)
		return 1;
	if (!refused && prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) != 1)
		return 2;
	if (!refused && oom_score() != -1000)
		return 3;
	return prctl(PR_GET_DUMPABLE) != 0 ? 4 : 0;
}

static int unprivileged(void)
{
	struct flusher_config cfg = { .spare_from_oom = true };

	log_set_sink(count_line);
	if (setuid(65534) < 0)
		return 0;	/* is not root: the other test said it all */
	return flusher_declare(&cfg) == 2 && lines == 2 ? 0 : 1;
}

static long page_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/* As a request may: a large piece for a moment, many small ones, some stack. */
static void use_memory(void)
{
	uint8_t room[65536];
	uint8_t *large = malloc(1 << 20), *small[256];
	size_t i;

	memset(large, 1, 1 << 20);
	memset(room, large[17], sizeof(room));
	for (i = 0; i < 256; i++) {
		small[i] = calloc(1, 1560);
		small[i][i] = room[i];
	}
	for (i = 0; i < 256; i++)
		free(small[i]);
	free(large);
}

static int reserve_is_used(void)
{
	long before;
	int i;

	if (flusher_reserve(4 << 20) < 0)
		return 1;
	before = page_faults();
	for (i = 0; i < 10; i++)
		use_memory();
	/* What the first use of code and of the tables of malloc() costs. */
	return page_faults() - before < 32 ? 0 : 2;
}

/* Those who check memory bring a malloc() of their own. */
static void reserved_memory_needs_no_page(void **state)
{
#ifdef __SANITIZE_ADDRESS__
	skip();
#endif
	if (memcheck_runs())
		skip();
	assert_int_equal(in_child(reserve_is_used), 0);
}

static void declarations_hold_or_are_logged(void **state)
{
	assert_int_equal(in_child(declared_or_said), 0);
}

static void every_refusal_is_logged(void **state)
{
	assert_int_equal(in_child(unprivileged), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(declarations_hold_or_are_logged),
		cmocka_unit_test(every_refusal_is_logged),
		cmocka_unit_test(reserved_memory_needs_no_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
