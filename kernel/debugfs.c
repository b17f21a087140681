// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/torus/torusN/: "queues" has the counters of each queue,
 * "requests" what is in flight, "batches" how large messages and batches are,
 * "sessions" who serves the device or is about to. Documentation/ABI/torus
 * describes the columns. Nothing here is an interface; without debugfs nothing
 * is missed.
 *
 * A request in flight is shown from its slot alone. The request itself may end
 * at any moment and is not looked at.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "debugfs.h"
#include "device.h"
#include "fault.h"
#include "queue.h"
#include "session.h"

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

static void show_histogram(struct seq_file *m, unsigned int queue,
			   const char *what, struct torus_histogram *histogram)
{
	unsigned int i;

	seq_printf(m, "%u %s", queue, what);
	for (i = 0; i < TORUS_HISTOGRAM_BUCKETS; i++)
		seq_printf(m, " %lld", atomic64_read(&histogram->counts[i]));
	seq_putc(m, '\n');
}

static int batches_show(struct seq_file *m, void *unused)
{
	struct torus_device *dev = m->private;
	unsigned int i;

	seq_puts(m, "queue of");
	for (i = 0; i < TORUS_HISTOGRAM_BUCKETS; i++)
		seq_printf(m, " %u", 1U << i);
	seq_putc(m, '\n');
	for (i = 0; i < dev->nr_queues; i++) {
		show_histogram(m, i, "descriptors",
			       &dev->queues[i].desc_sizes);
		show_histogram(m, i, "completions",
			       &dev->queues[i].completion_sizes);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(batches);

static const char *session_state(const struct torus_session *session)
{
	if (session == session->device->ending)
		return "ending";
	if (session->dead)
		return "dead";
	if (session->active)
		return "active";
	return session->started ? "started" : "bound";
}

/* Its own reference, for as long as it is not being revoked, is not a user. */
static unsigned int users_of(const struct torus_session *session)
{
	unsigned int refs = refcount_read(&session->refs);

	return session == session->device->ending ? refs : refs - 1;
}

static void show_session_locked(struct seq_file *m, struct torus_device *dev,
				const struct torus_session *session)
{
	lockdep_assert_held(&dev->lock);
	seq_printf(m, "%llu %d %s %s %u %u %u\n", session->id, session->pid,
		   torus_session_form_name(session), session_state(session),
		   (unsigned int)hweight64(session->bound),
		   users_of(session),
		   jiffies_to_msecs(jiffies - session->bound_at));
}

static int sessions_show(struct seq_file *m, void *unused)
{
	struct torus_device *dev = m->private;
	struct torus_session *session;

	seq_puts(m, "session pid channel state queues users age_ms\n");
	spin_lock_bh(&dev->lock);
	if (dev->session)
		show_session_locked(m, dev, dev->session);
	if (dev->ending)
		show_session_locked(m, dev, dev->ending);
	list_for_each_entry(session, &dev->dead_sessions, node)
		show_session_locked(m, dev, session);
	spin_unlock_bh(&dev->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sessions);

void torus_debugfs_add(struct torus_device *dev)
{
	char name[16];

	snprintf(name, sizeof(name), "torus%u", dev->id);
	dev->debugfs = debugfs_create_dir(name, root);
	debugfs_create_file("queues", 0400, dev->debugfs, dev, &queues_fops);
	debugfs_create_file("requests", 0400, dev->debugfs, dev,
			    &requests_fops);
	debugfs_create_file("batches", 0400, dev->debugfs, dev, &batches_fops);
	debugfs_create_file("sessions", 0400, dev->debugfs, dev,
			    &sessions_fops);
}

void torus_debugfs_del(struct torus_device *dev)
{
	debugfs_remove(dev->debugfs);
}

void torus_debugfs_init(void)
{
	root = debugfs_create_dir("torus", NULL);
	torus_faults_init(root);
}

void torus_debugfs_exit(void)
{
	debugfs_remove(root);
}
