/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process declares that the kernel may depend on to write memory back
 * (DESIGN 9, "Reclaim"): its own allocations must not wait for writes that it
 * has to carry out itself.
 */
#ifndef TORUS_ENV_FLUSHER_H
#define TORUS_ENV_FLUSHER_H

#include <stdbool.h>
#include <stddef.h>

struct flusher_config {
	bool lock_memory;	/* mlockall() what there is and what comes */
	bool spare_from_oom;	/* oom_score_adj -1000 */
	bool no_core_dump;	/* memory holds other people's data */
};

/**
 * flusher_declare() - declare this process an I/O flusher
 * (PR_SET_IO_FLUSHER), and what @cfg says.
 * To be called before the first thread and the first ring: both inherit it.
 * Each refusal is logged with what would permit it.
 * Returns how many declarations were refused; the process works nevertheless,
 * but may deadlock when memory runs out.
 */
int flusher_declare(const struct flusher_config *cfg);

/**
 * flusher_reserve() - have @bytes (less than 32 MiB) of heap, and some stack,
 * in memory already when they are asked for: what is small and short-lived on
 * the I/O path then needs no page of the system. From then on memory that is
 * freed stays with the process. For the thread that does the I/O, when it has
 * allocated what it needs for all its life.
 * Returns 0 or -ENOMEM.
 */
int flusher_reserve(size_t bytes);

#endif
