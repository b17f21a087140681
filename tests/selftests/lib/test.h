/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_TEST_H
#define SELFTEST_TEST_H

/*
 * One program is one behaviour: it ends with status 0 if it holds, 1 if it does
 * not, 4 if it cannot be tried here. The devices that it added and the helpers
 * that it started are gone when it ends, however it ends.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <unistd.h>

#include "device.h"
#include "helper.h"
#include "nl.h"
#include "process.h"

#define EXIT_SKIP 4

#define FAIL(...) do {							\
	printf("# %s:%d: ", __FILE__, __LINE__);			\
	printf(__VA_ARGS__);						\
	printf("\n");							\
	fflush(stdout);							\
	test_cleanup();							\
	exit(1);							\
} while (0)

#define SKIP(...) do {							\
	printf("# skipped: ");						\
	printf(__VA_ARGS__);						\
	printf("\n");							\
	fflush(stdout);							\
	test_cleanup();							\
	exit(EXIT_SKIP);						\
} while (0)

#define CHECK(cond) do {						\
	if (!(cond))							\
		FAIL("not true: %s (errno %s)", #cond, strerror(errno));\
} while (0)

#define CHECK_INT(have, want) do {					\
	long long have_ = (have), want_ = (want);			\
	if (have_ != want_)						\
		FAIL("%s is %lld, not %lld", #have, have_, want_);	\
} while (0)

/* First thing in main(): opens the control socket, checks for the driver. */
void test_begin(void);

/* Ends helpers, deletes devices. Also what atexit does. */
void test_cleanup(void);

/* The control socket of this test. */
extern struct nl test_nl;

/*
 * How often to do what is done many times: more in the long form of the tests
 * (TORUS_TIER=full), less where everything is slow (TORUS_SELFTEST_SIZE=small).
 */
unsigned int test_rounds(unsigned int usual, unsigned int full);
unsigned int test_size(unsigned int small, unsigned int usual,
		       unsigned int full);

uint64_t now_ms(void);

/* A small generator whose sequence depends on its state alone. */
uint64_t next_random(uint64_t *state);

/* Aligned memory for direct I/O. */
void *alloc_aligned(size_t len);

/* Runs a command in a shell; fails the test, with what it said, if it fails. */
void test_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Whether a program can be found. */
bool test_has(const char *program);

/* Writes to a file. 0 or -errno. */
int write_text(const char *path, const char *text);

/* Reads a sysfs file of a device without its newline, or fails the test. */
const char *sysfs(uint32_t id, const char *name);

#endif
