// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/block/torusN/torus/: what a person looks at, the timeouts, and "abort",
 * a forced delete that needs no netlink.
 *
 * The disk holds its device until free_disk(), so private_data is good in every
 * method.
 */
#include <linux/blkdev.h>
#include <linux/device.h>
#include <linux/kstrtox.h>
#include <linux/sysfs.h>

#include "device.h"
#include "lifecycle.h"
#include "session.h"
#include "sysfs.h"

static struct torus_device *to_torus(struct device *device)
{
	return dev_to_disk(device)->private_data;
}

static ssize_t volume_show(struct device *device, struct device_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "%s\n", to_torus(device)->volume);
}
static DEVICE_ATTR_RO(volume);

static ssize_t state_show(struct device *device, struct device_attribute *attr,
			  char *buf)
{
	struct torus_device *dev = to_torus(device);

	return sysfs_emit(buf, "%s\n", torus_state_name(READ_ONCE(dev->state)));
}
static DEVICE_ATTR_RO(state);

static ssize_t helper_pid_show(struct device *device,
			       struct device_attribute *attr, char *buf)
{
	struct torus_device *dev = to_torus(device);
	pid_t pid;

	spin_lock_bh(&dev->lock);
	pid = dev->session ? dev->session->pid : 0;
	spin_unlock_bh(&dev->lock);
	return sysfs_emit(buf, "%d\n", pid);
}
static DEVICE_ATTR_RO(helper_pid);

static ssize_t channel_show(struct device *device,
			    struct device_attribute *attr, char *buf)
{
	struct torus_device *dev = to_torus(device);
	const char *name = "";

	spin_lock_bh(&dev->lock);
	if (dev->session)
		name = torus_session_form_name(dev->session);
	spin_unlock_bh(&dev->lock);
	return sysfs_emit(buf, "%s\n", name);
}
static DEVICE_ATTR_RO(channel);

static ssize_t incarnation_show(struct device *device,
				struct device_attribute *attr, char *buf)
{
	struct torus_device *dev = to_torus(device);

	return sysfs_emit(buf, "%*phN\n", TORUS_INCARNATION_LEN,
			  dev->incarnation);
}
static DEVICE_ATTR_RO(incarnation);

static ssize_t sequence_show(struct device *device,
			     struct device_attribute *attr, char *buf)
{
	struct torus_device *dev = to_torus(device);
	u64 sequence;

	spin_lock_bh(&dev->lock);
	sequence = dev->sequence;
	spin_unlock_bh(&dev->lock);
	return sysfs_emit(buf, "%llu\n", sequence);
}
static DEVICE_ATTR_RO(sequence);

static int parse_timeout(const char *buf, u32 min, u32 *ms)
{
	int ret = kstrtou32(buf, 10, ms);

	if (ret)
		return ret;
	return *ms < min || *ms > TORUS_TIMEOUT_MS_LIMIT ? -ERANGE : 0;
}

static ssize_t io_timeout_ms_show(struct device *device,
				  struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n",
			  READ_ONCE(to_torus(device)->io_timeout_ms));
}

static ssize_t io_timeout_ms_store(struct device *device,
				   struct device_attribute *attr,
				   const char *buf, size_t count)
{
	u32 ms;
	int ret = parse_timeout(buf, 1, &ms);

	if (ret)
		return ret;
	torus_device_set_io_timeout(to_torus(device), ms);
	return count;
}
static DEVICE_ATTR_RW(io_timeout_ms);

static ssize_t dead_timeout_ms_show(struct device *device,
				    struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n",
			  READ_ONCE(to_torus(device)->dead_timeout_ms));
}

static ssize_t dead_timeout_ms_store(struct device *device,
				     struct device_attribute *attr,
				     const char *buf, size_t count)
{
	u32 ms;
	int ret = parse_timeout(buf, 0, &ms);

	if (ret)
		return ret;
	torus_device_set_dead_timeout(to_torus(device), ms);
	return count;
}
static DEVICE_ATTR_RW(dead_timeout_ms);

static ssize_t abort_store(struct device *device, struct device_attribute *attr,
			   const char *buf, size_t count)
{
	bool yes;
	int ret = kstrtobool(buf, &yes);

	if (ret)
		return ret;
	if (!yes)
		return -EINVAL;
	ret = torus_device_delete(to_torus(device), true, NULL);
	return ret ? ret : count;
}
static DEVICE_ATTR_WO(abort);

static struct attribute *torus_attrs[] = {
	&dev_attr_volume.attr,
	&dev_attr_state.attr,
	&dev_attr_helper_pid.attr,
	&dev_attr_channel.attr,
	&dev_attr_incarnation.attr,
	&dev_attr_sequence.attr,
	&dev_attr_io_timeout_ms.attr,
	&dev_attr_dead_timeout_ms.attr,
	&dev_attr_abort.attr,
	NULL
};

static const struct attribute_group torus_group = {
	.name = "torus",
	.attrs = torus_attrs,
};

const struct attribute_group *torus_disk_groups[] = {
	&torus_group,
	NULL
};
