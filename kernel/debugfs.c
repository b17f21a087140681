// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/torus/torusN/: "queues" has the counters of each queue,
 * "requests" what is in flight. Nothing here is an interface; without debugfs
 * nothing is missed.
 *
 * A request in flight is shown from its slot alone. The request itself may end
 * at any moment and is not looked at.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "debugfs.h"
#include "device.h"
#include "queue.h"

static struct dentry *root;

static int queues_show(struct seq_file *m, void *unused)
{
	struct torus_device *dev = m->private;
	unsigned int i;

	seq_puts(m, "queue in_flight unsent sent messages completed batches late malformed requeued overflows\n");
	for (i = 0; i < dev->nr_queues; i++) {
		struct torus_queue *queue = &dev->queues[i];

		seq_printf(m, "%u %u %u %lld %lld %lld %lld %lld %lld %lld %lld\n",
			   i, torus_queue_in_flight(queue),
			   READ_ONCE(queue->count),
			   atomic64_read(&queue->sent),
			   atomic64_read(&queue->messages),
			   atomic64_read(&queue->completed),
			   atomic64_read(&queue->batches),
			   atomic64_read(&queue->late),
			   atomic64_read(&queue->malformed),
			   atomic64_read(&queue->requeued),
			   atomic64_read(&queue->overflows));
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(queues);

static int requests_show(struct seq_file *m, void *unused)
{
	static const char * const names[] = {
		[TORUS_SLOT_QUEUED] = "queued",
		[TORUS_SLOT_SENT] = "sent",
		[TORUS_SLOT_CLAIMED] = "claimed",
	};
	struct torus_device *dev = m->private;
	enum torus_slot_state state;
	struct torus_slot *slot;
	unsigned int i, tag;

	seq_puts(m, "queue tag state generation age_ms\n");
	for (i = 0; i < dev->nr_queues; i++) {
		for (tag = 0; tag < dev->depth; tag++) {
			slot = &dev->queues[i].slots[tag];
			state = torus_slot_state(slot);
			if (state == TORUS_SLOT_IDLE)
				continue;
			seq_printf(m, "%u %u %s %u %u\n", i, tag, names[state],
				   torus_slot_generation(slot),
				   jiffies_to_msecs(jiffies -
						    READ_ONCE(slot->since)));
		}
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(requests);

void torus_debugfs_add(struct torus_device *dev)
{
	char name[16];

	snprintf(name, sizeof(name), "torus%u", dev->id);
	dev->debugfs = debugfs_create_dir(name, root);
	debugfs_create_file("queues", 0400, dev->debugfs, dev, &queues_fops);
	debugfs_create_file("requests", 0400, dev->debugfs, dev,
			    &requests_fops);
}

void torus_debugfs_del(struct torus_device *dev)
{
	debugfs_remove(dev->debugfs);
}

void torus_debugfs_init(void)
{
	root = debugfs_create_dir("torus", NULL);
}

void torus_debugfs_exit(void)
{
	debugfs_remove(root);
}
