// SPDX-License-Identifier: GPL-2.0
/* 1122c0c1cc71, 6.11 (2024-09): write cache and FUA are features of limits. */
#include <linux/blkdev.h>
void probe(struct queue_limits *lim);
void probe(struct queue_limits *lim)
{
	lim->features = BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA;
}
