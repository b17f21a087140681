/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TORUS_COMPAT_DISK_H
#define _TORUS_COMPAT_DISK_H

#include <linux/blk-mq.h>
#include <linux/blkdev.h>

#include "compat/probed.h"

#ifndef TORUS_HAVE_SANE
#error "probe 'sane' failed: kernel/compat/probe/sane.c does not compile here"
#endif
#ifdef TORUS_HAVE_MUST_FAIL
#error "probe 'must_fail' passed: no other probe can be believed"
#endif

/**
 * struct torus_limits - what the driver tells the block layer about its queue
 * @logical_block_size: bytes, 512 or 4096
 * @physical_block_size: bytes; also the smallest efficient I/O and the
 *	granularity of discards
 * @io_size_max: bytes of the largest read or write, and the best size
 * @discard_size_max: bytes of the largest discard or write-zeroes
 */
struct torus_limits {
	u32 logical_block_size;
	u32 physical_block_size;
	u32 io_size_max;
	u32 discard_size_max;
};

/**
 * torus_compat_alloc_disk - make a disk with a queue over a tag set
 * @set: allocated tag set
 * @limits: limits of the queue; write cache, FUA and non-rotational are set too
 * @queuedata: the queue's private pointer
 *
 * Return: the disk, to be released with put_disk(), or an ERR_PTR.
 */
struct gendisk *torus_compat_alloc_disk(struct blk_mq_tag_set *set,
					const struct torus_limits *limits,
					void *queuedata);

/*
 * Parameters of block_device_operations.open and .release, and how to get the
 * disk from them.
 */
#ifdef TORUS_HAVE_BDOPS_TAKE_GENDISK
#define TORUS_OPEN_PARAMS struct gendisk *opened, blk_mode_t mode
#define TORUS_OPENED_DISK (opened)
#define TORUS_RELEASE_PARAMS struct gendisk *disk
#else
#define TORUS_OPEN_PARAMS struct block_device *opened, fmode_t mode
#define TORUS_OPENED_DISK ((opened)->bd_disk)
#define TORUS_RELEASE_PARAMS struct gendisk *disk, fmode_t mode
#endif

#endif /* _TORUS_COMPAT_DISK_H */
