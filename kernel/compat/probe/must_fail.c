// SPDX-License-Identifier: GPL-2.0
/* Must not compile: otherwise the compiler's status is not what is read. */
#include <linux/blk-mq.h>
void probe(struct request_queue *q);
void probe(struct request_queue *q)
{
	torus_no_such_function(q);
}
