/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What valgrind's memcheck has to be told about io_uring. It does not see which
 * buffers the kernel reads (so that bytes that nobody has set would get to the
 * disk unnoticed) and fills; and (3.19) it holds the one lock of its threads
 * while io_uring_enter() sleeps, so that these never run. Where the header is
 * missing, and outside of valgrind, this costs nothing.
 */
#ifndef TORUS_ENV_MEMCHECK_H
#define TORUS_ENV_MEMCHECK_H

#include <stdbool.h>
#include <stddef.h>

#if __has_include("valgrind/memcheck.h")
#include <valgrind/memcheck.h>

static inline bool memcheck_runs(void)
{
	return RUNNING_ON_VALGRIND;
}

static inline void memcheck_filled(const void *buf, size_t len)
{
	VALGRIND_MAKE_MEM_DEFINED(buf, len);
}

/* Report it here if a byte that the kernel is about to read was never set. */
static inline void memcheck_read(const void *buf, size_t len)
{
	(void)VALGRIND_CHECK_MEM_IS_DEFINED(buf, len);
}
#else
static inline bool memcheck_runs(void)
{
	return false;
}

static inline void memcheck_filled(const void *buf, size_t len)
{
}

static inline void memcheck_read(const void *buf, size_t len)
{
}
#endif

#endif
