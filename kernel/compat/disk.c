// SPDX-License-Identifier: GPL-2.0
/*
 * Queue limits on every supported kernel. The driver fills its own struct;
 * here it becomes either a struct queue_limits that is given to the allocation
 * (6.9 and later) or a row of setters after it. The features (write cache, FUA,
 * non-rotational) moved into the limits one release range later than the rest,
 * so the two questions are asked apart.
 */
#include <linux/backing-dev.h>

#include "compat/disk.h"

#ifndef TORUS_HAVE_LIMITS_HAVE_FEATURES
static void set_features(struct request_queue *q)
{
	blk_queue_write_cache(q, true, true);
	blk_queue_flag_set(QUEUE_FLAG_NONROT, q);
	blk_queue_flag_clear(QUEUE_FLAG_ADD_RANDOM, q);
}
#else
static void set_features(struct request_queue *q)
{
}
#endif

#ifdef TORUS_HAVE_ALLOC_DISK_TAKES_LIMITS
static void fill_limits(struct queue_limits *lim,
			const struct torus_limits *limits)
{
	lim->logical_block_size = limits->logical_block_size;
	lim->physical_block_size = limits->physical_block_size;
	lim->io_min = limits->physical_block_size;
	lim->io_opt = limits->io_size_max;
	lim->max_hw_sectors = limits->io_size_max >> SECTOR_SHIFT;
	lim->max_segments = USHRT_MAX;
	lim->max_segment_size = UINT_MAX;
	lim->discard_granularity = limits->physical_block_size;
	lim->max_hw_discard_sectors = limits->discard_size_max >> SECTOR_SHIFT;
	lim->max_write_zeroes_sectors =
		limits->discard_size_max >> SECTOR_SHIFT;
#ifdef TORUS_HAVE_LIMITS_HAVE_FEATURES
	lim->features = BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA;
#endif
}

struct gendisk *torus_compat_alloc_disk(struct blk_mq_tag_set *set,
					const struct torus_limits *limits,
					void *queuedata)
{
	struct queue_limits lim = {};
	struct gendisk *disk;

	fill_limits(&lim, limits);
	disk = blk_mq_alloc_disk(set, &lim, queuedata);
	if (!IS_ERR(disk))
		set_features(disk->queue);
	return disk;
}
#else
static void apply_limits(struct request_queue *q,
			 const struct torus_limits *limits)
{
	u32 discard_sectors = limits->discard_size_max >> SECTOR_SHIFT;

	blk_queue_logical_block_size(q, limits->logical_block_size);
	blk_queue_physical_block_size(q, limits->physical_block_size);
	blk_queue_io_min(q, limits->physical_block_size);
	blk_queue_io_opt(q, limits->io_size_max);
	blk_queue_max_hw_sectors(q, limits->io_size_max >> SECTOR_SHIFT);
	/* Later kernels take io_opt, if it is more than their 1280 KiB, too. */
	q->limits.max_sectors = q->limits.max_hw_sectors;
	q->disk->bdi->io_pages =
		q->limits.max_sectors >> (PAGE_SHIFT - SECTOR_SHIFT);
	blk_queue_max_segments(q, USHRT_MAX);
	blk_queue_max_segment_size(q, UINT_MAX);
	q->limits.discard_granularity = limits->physical_block_size;
	blk_queue_max_discard_sectors(q, discard_sectors);
	blk_queue_max_write_zeroes_sectors(q, discard_sectors);
}

struct gendisk *torus_compat_alloc_disk(struct blk_mq_tag_set *set,
					const struct torus_limits *limits,
					void *queuedata)
{
	struct gendisk *disk = blk_mq_alloc_disk(set, queuedata);

	if (!IS_ERR(disk)) {
		apply_limits(disk->queue, limits);
		set_features(disk->queue);
	}
	return disk;
}
#endif
