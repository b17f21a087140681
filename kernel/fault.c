// SPDX-License-Identifier: GPL-2.0
/*
 * The knobs of the fault points, /sys/kernel/debug/torus/faults/NAME, in the
 * style of the kernel's own fault injection. What is written to one sets it
 * anew, its counts included:
 *
 *   off                   nothing happens; who stops there goes on
 *   KEY=VALUE ...         what is not named has its default
 *     times=N   (1)       how often it happens; -1: for ever
 *     skip=N    (0)       the first N that come are let pass
 *     every=N   (1)       of the others every N-th is meant
 *     chance=N  (100)     and of these N in a hundred
 *     kill=1    (0)       at a point: the helper dies by SIGKILL
 *     ms=N      (0)       at a point that may sleep: stop for so long, or until
 *                         the knob is written to
 *
 * A read shows all of that with the counts since: "reached" (while the knob was
 * set), "happened", "waiting" (who stops there now). poll() for POLLPRI returns
 * once it has happened since the knob was set.
 *
 * At a point with neither kill nor ms it is only counted.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/pid_namespace.h>
#include <linux/poll.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "device.h"
#include "fault.h"
#include "session.h"

/* Whatever a test forgets, nothing stops for longer. */
#define PAUSE_MS_MAX 60000
#define TEXT_MAX 128

enum kind {
	FAULT,
	POINT,
	SLEEPING_POINT,
};

/* What is written to a knob. */
struct setting {
	int times;
	int skip;
	int every;
	int chance;
	int kill;
	int ms;
};

/*
 * struct knob - a fault point
 * @name: the file's
 * @kind: what it can do
 * @set: what was written; @lock protects this and the rest
 * @round: how often it was written to
 * @reached: how often it was come by
 * @happened: how often it was meant
 * @waiting: how many stop here
 */
struct knob {
	const char *name;
	enum kind kind;
	struct setting set;
	unsigned int round;
	unsigned int reached;
	unsigned int happened;
	unsigned int waiting;
};

static struct knob fault_knobs[] = {
	[TORUS_FAULT_FAIL_ALLOC] = { "fail_alloc", FAULT },
	[TORUS_FAULT_FAIL_MESSAGE] = { "fail_message", FAULT },
	[TORUS_FAULT_STARVE_ARENA] = { "starve_arena", FAULT },
	[TORUS_FAULT_SOCKET_FULL] = { "socket_full", FAULT },
	[TORUS_FAULT_FAIL_DOORBELL] = { "fail_doorbell", FAULT },
	[TORUS_FAULT_HOLD_REQUEST] = { "hold_request", FAULT },
	[TORUS_FAULT_DROP_REQUEST] = { "drop_request", FAULT },
	[TORUS_FAULT_DROP_COMPLETION] = { "drop_completion", FAULT },
	[TORUS_FAULT_DROP_DRAIN] = { "drop_drain", FAULT },
	[TORUS_FAULT_STALL_LOOK] = { "stall_look", FAULT },
};

static struct knob point_knobs[] = {
	[TORUS_POINT_AFTER_QUEUE] = { "after_queue", POINT },
	[TORUS_POINT_BEFORE_SEND] = { "before_send", POINT },
	[TORUS_POINT_AFTER_SEND] = { "after_send", POINT },
	[TORUS_POINT_AFTER_DOORBELL] = { "after_doorbell", POINT },
	[TORUS_POINT_BEFORE_CLAIM] = { "before_claim", SLEEPING_POINT },
	[TORUS_POINT_AFTER_CLAIM] = { "after_claim", SLEEPING_POINT },
	[TORUS_POINT_AFTER_COPY] = { "after_copy", SLEEPING_POINT },
	[TORUS_POINT_AFTER_FETCH] = { "after_fetch", SLEEPING_POINT },
	[TORUS_POINT_BEFORE_END] = { "before_end", SLEEPING_POINT },
	[TORUS_POINT_AFTER_END] = { "after_end", SLEEPING_POINT },
	[TORUS_POINT_BEFORE_BIND] = { "before_bind", SLEEPING_POINT },
	[TORUS_POINT_AFTER_BIND] = { "after_bind", SLEEPING_POINT },
	[TORUS_POINT_AFTER_START] = { "after_start", SLEEPING_POINT },
	[TORUS_POINT_BEFORE_ACTIVATE] = { "before_activate", SLEEPING_POINT },
	[TORUS_POINT_IN_REVOKE] = { "in_revoke", SLEEPING_POINT },
	[TORUS_POINT_BEFORE_ADD_DISK] = { "before_add_disk", SLEEPING_POINT },
	[TORUS_POINT_BEFORE_DELETE] = { "before_delete", SLEEPING_POINT },
	[TORUS_POINT_AFTER_DELETE] = { "after_delete", SLEEPING_POINT },
};

/* A leaf lock; protects all knobs, which are reached in any context. */
static DEFINE_SPINLOCK(lock);
/* Woken when something has happened, and when a knob was written to. */
static DECLARE_WAIT_QUEUE_HEAD(changed);

static bool happens_locked(struct knob *knob)
{
	struct setting *set = &knob->set;

	lockdep_assert_held(&lock);
	if (!set->times)
		return false;
	if (knob->reached++ < set->skip)
		return false;
	if ((knob->reached - set->skip) % set->every)
		return false;
	if (set->chance < 100 && get_random_u32() % 100 >= set->chance)
		return false;
	if (set->times > 0)
		set->times--;
	knob->happened++;
	return true;
}

/* Whether it happens now; what is to be done is then in @set. */
static bool happens(struct knob *knob, struct setting *set,
		    unsigned int *round)
{
	unsigned long flags;
	bool yes;

	/* A knob that is off costs those who come by no lock. */
	if (!READ_ONCE(knob->set.times))
		return false;
	spin_lock_irqsave(&lock, flags);
	yes = happens_locked(knob);
	*set = knob->set;
	*round = knob->round;
	if (yes && knob->kind == SLEEPING_POINT && set->ms)
		knob->waiting++;
	spin_unlock_irqrestore(&lock, flags);
	if (yes)
		wake_up_all(&changed);
	return yes;
}

bool torus_fault(enum torus_fault fault)
{
	struct setting set;
	unsigned int round;

	return happens(&fault_knobs[fault], &set, &round);
}

static void kill_helper(pid_t nr)
{
	struct pid *pid;

	rcu_read_lock();
	pid = find_pid_ns(nr, &init_pid_ns);
	if (pid)
		kill_pid(pid, SIGKILL, 1);
	rcu_read_unlock();
}

static void stop_at(struct knob *knob, unsigned int ms, unsigned int round)
{
	wait_event_idle_timeout(changed, READ_ONCE(knob->round) != round,
				msecs_to_jiffies(ms));
	spin_lock_irq(&lock);
	knob->waiting--;
	spin_unlock_irq(&lock);
}

void torus_point(enum torus_point point, pid_t pid)
{
	struct knob *knob = &point_knobs[point];
	struct setting set;
	unsigned int round;

	if (knob->kind == SLEEPING_POINT)
		might_sleep();
	if (!happens(knob, &set, &round))
		return;
	if (set.kill && pid)
		kill_helper(pid);
	if (knob->kind == SLEEPING_POINT && set.ms)
		stop_at(knob, set.ms, round);
}

void torus_point_of(enum torus_point point, struct torus_device *dev)
{
	pid_t pid;

	spin_lock_bh(&dev->lock);
	pid = dev->session ? dev->session->pid : 0;
	spin_unlock_bh(&dev->lock);
	torus_point(point, pid);
}

/* ---- the files --------------------------------------------------------- */

static int knob_show(struct seq_file *m, void *unused)
{
	struct knob *knob = m->private, copy;

	spin_lock_irq(&lock);
	copy = *knob;
	spin_unlock_irq(&lock);
	seq_printf(m, "times=%d skip=%d every=%d chance=%d", copy.set.times,
		   copy.set.skip, copy.set.every, copy.set.chance);
	if (copy.kind != FAULT)
		seq_printf(m, " kill=%d", copy.set.kill);
	if (copy.kind == SLEEPING_POINT)
		seq_printf(m, " ms=%d", copy.set.ms);
	seq_printf(m, " reached=%u happened=%u waiting=%u\n", copy.reached,
		   copy.happened, copy.waiting);
	return 0;
}

static int knob_open(struct inode *inode, struct file *file)
{
	return single_open(file, knob_show, inode->i_private);
}

/* Sets one KEY=VALUE of a knob of @kind. */
static int parse_pair(struct setting *set, enum kind kind, char *pair)
{
	struct {
		const char *key;
		int *value;
		int min;
		int max;
		enum kind kind;
	} keys[] = {
		{ "times", &set->times, -1, INT_MAX, FAULT },
		{ "skip", &set->skip, 0, INT_MAX, FAULT },
		{ "every", &set->every, 1, INT_MAX, FAULT },
		{ "chance", &set->chance, 0, 100, FAULT },
		{ "kill", &set->kill, 0, 1, POINT },
		{ "ms", &set->ms, 0, PAUSE_MS_MAX, SLEEPING_POINT },
	};
	char *key = strsep(&pair, "=");
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (!strcmp(keys[i].key, key))
			break;
	if (i == ARRAY_SIZE(keys) || !pair || kind < keys[i].kind)
		return -EINVAL;
	ret = kstrtoint(pair, 10, keys[i].value);
	if (ret)
		return ret;
	return *keys[i].value < keys[i].min || *keys[i].value > keys[i].max ?
	       -ERANGE : 0;
}

static int parse(struct setting *set, enum kind kind, char *text)
{
	char *word;
	int ret;

	text = strim(text);
	*set = (struct setting) { .every = 1, .chance = 100 };
	if (!strcmp(text, "off"))
		return 0;
	set->times = 1;
	while ((word = strsep(&text, " \t"))) {
		if (!*word)
			continue;
		ret = parse_pair(set, kind, word);
		if (ret)
			return ret;
	}
	return 0;
}

static ssize_t knob_write(struct file *file, const char __user *data,
			  size_t len, loff_t *pos)
{
	struct knob *knob = ((struct seq_file *)file->private_data)->private;
	struct setting set;
	char text[TEXT_MAX];
	int ret;

	if (len >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, data, len))
		return -EFAULT;
	text[len] = 0;
	ret = parse(&set, knob->kind, text);
	if (ret)
		return ret;
	spin_lock_irq(&lock);
	knob->set = set;
	WRITE_ONCE(knob->round, knob->round + 1);
	knob->reached = 0;
	knob->happened = 0;
	spin_unlock_irq(&lock);
	wake_up_all(&changed);
	return len;
}

static __poll_t knob_poll(struct file *file, poll_table *wait)
{
	struct knob *knob = ((struct seq_file *)file->private_data)->private;

	poll_wait(file, &changed, wait);
	return EPOLLIN | EPOLLOUT | (READ_ONCE(knob->happened) ? EPOLLPRI : 0);
}

static const struct file_operations knob_fops = {
	.owner = THIS_MODULE,
	.open = knob_open,
	.read = seq_read,
	.write = knob_write,
	.poll = knob_poll,
	.llseek = seq_lseek,
	.release = single_release,
};

static void create_knobs(struct dentry *folder, struct knob *knobs,
			 unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		knobs[i].set = (struct setting) { .every = 1, .chance = 100 };
		debugfs_create_file(knobs[i].name, 0600, folder, &knobs[i],
				    &knob_fops);
	}
}

void torus_faults_init(struct dentry *root)
{
	struct dentry *folder = debugfs_create_dir("faults", root);

	create_knobs(folder, fault_knobs, ARRAY_SIZE(fault_knobs));
	create_knobs(folder, point_knobs, ARRAY_SIZE(point_knobs));
	pr_warn("torus: built with fault injection, for tests only\n");
}

MODULE_INFO(torus_faults, "Y");
