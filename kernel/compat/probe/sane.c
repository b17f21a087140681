// SPDX-License-Identifier: GPL-2.0
/* Must compile: otherwise no answer of the other probes means anything. */
#include <linux/module.h>
#include <linux/blk-mq.h>
#include <net/genetlink.h>
