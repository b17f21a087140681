// SPDX-License-Identifier: Apache-2.0
/*
 * torusctl detach. Three different things, by what is there:
 *
 *   a device of this machine     the driver is asked to delete it, which it
 *                                refuses while it is open; its helper then
 *                                detaches the volume and ends
 *   the same with --force        the driver deletes it whatever happens. Nobody
 *                                else is asked, least of all the metadata store:
 *                                this must work with the cluster gone
 *   another machine's, --force   only the attachment in the metadata is cleared
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "ctl.h"
#include "front/control.h"

#define DETACH_TIMEOUT_S 180
#define FORCE_TIMEOUT_MS 3500
/* udev has a disk open for a moment when it was closed after writing. */
#define BUSY_FOR_MS 2000
#define BUSY_AGAIN_MS 50

struct detach {
	struct ctl *ctl;
	struct control *control;
	struct control_events *events;
	struct control_device device;
	int pidfd;			/* of the helper, or -1 */
	int64_t deadline;		/* ms */
	bool refused, deleted;
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

/* ---- which device -------------------------------------------------------- */

/* N of "torusN" or "/dev/torusN" (or a link to it), else -1. */
static long device_number(const char *what)
{
	char real[PATH_MAX];
	const char *name = what;
	char *end;
	long n;

	if (strncmp(what, "/dev/", 5) == 0)
		name = (realpath(what, real) ? real : what) + 5;
	if (strncmp(name, "torus", 5) != 0 || name[5] < '0' || name[5] > '9')
		return -1;
	n = strtol(name + 5, &end, 10);
	return *end || n >= TORUS_DEVICES_MAX ? -1 : n;
}

/* A volume may be called torus0: names of volumes come first. */
static int find_device(struct control *control, const char *what,
		       struct control_device *device)
{
	long number = device_number(what);
	int err = control_find(control, what, device);

	if (err != -ENOENT)
		return err;
	if (number < 0)
		return -ENOENT;
	err = control_get(control, (uint32_t)number, device);
	return err == -ENODEV ? -ENOENT : err;
}

/* ---- waiting --------------------------------------------------------------- */

static void on_event(void *ctx, const struct control_event *e)
{
	struct detach *d = ctx;

	if (e->lost || e->id != d->device.id)
		return;
	if (e->error == -EBUSY)
		d->refused = true;
	if (e->state == TORUS_STATE_DELETED)
		d->deleted = true;
}

/* Events can be lost: whether the device is there decides. */
static void look(struct detach *d)
{
	struct control_device now;
	int err = control_get(d->control, d->device.id, &now);

	if (!err && uuid_equal(&now.incarnation, &d->device.incarnation))
		return;
	if (!err || err == -ENODEV)
		d->deleted = true;
}

static int wait_deleted(struct detach *d)
{
	struct pollfd pfd = { .fd = control_events_fd(d->events),
			      .events = POLLIN };
	int64_t left;

	look(d);
	while (!d->deleted && !d->refused) {
		left = d->deadline - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&pfd, 1, (int)left) > 0) {
			control_events_read(d->events);
			look(d);
		}
	}
	return d->deleted ? 0 : -EBUSY;
}

static int wait_helper(struct detach *d)
{
	struct pollfd pfd = { .fd = d->pidfd, .events = POLLIN };
	int64_t left = d->deadline - now_ms();

	while (d->pidfd >= 0 && poll(&pfd, 1, left > 0 ? (int)left : 0) < 1) {
		left = d->deadline - now_ms();
		if (left <= 0)
			return error_set(-ETIMEDOUT, "/dev/torus%u is gone, but its helper (process %u) still detaches volume %s",
					 d->device.id, d->device.helper_pid,
					 d->device.volume);
	}
	return 0;
}

/* ---- a device of this machine ---------------------------------------------- */

/* Where it is mounted, for the message; "" if it is not. */
static void find_mount(uint32_t id, char *where, size_t len)
{
	char path[32], line[PATH_MAX + 512], folder[PATH_MAX];
	unsigned int maj, min;
	struct stat st;
	FILE *f;

	where[0] = '\0';
	snprintf(path, sizeof(path), "/dev/torus%u", id);
	if (stat(path, &st))
		return;
	f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return;
	while (!where[0] && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &maj, &min,
			   folder) == 3 && makedev(maj, min) == st.st_rdev)
			snprintf(where, len, "%.*s", (int)len - 1, folder);
	fclose(f);
}

static bool is_mounted(const struct detach *d)
{
	char where[256];

	find_mount(d->device.id, where, sizeof(where));
	return where[0];
}

/* The driver refuses while it is open, and tells no end of that. */
static int delete_once_closed(struct detach *d)
{
	int64_t until = now_ms() + BUSY_FOR_MS;
	int err;

	for (;;) {
		err = control_delete(d->control, d->device.id, false);
		if (err != -EBUSY || is_mounted(d) || now_ms() >= until ||
		    now_ms() >= d->deadline)
			return err;
		poll(NULL, 0, BUSY_AGAIN_MS);
	}
}

static int say_busy(const struct detach *d)
{
	char where[256];

	find_mount(d->device.id, where, sizeof(where));
	if (where[0])
		return error_set(-EBUSY, "/dev/torus%u is in use: it is mounted on %s; unmount it first",
				 d->device.id, where);
	return error_set(-EBUSY, "/dev/torus%u is in use (mounted elsewhere, or opened by a program); 'torusctl detach --force /dev/torus%u' fails what uses it",
			 d->device.id, d->device.id);
}

static int say_dead(const struct detach *d)
{
	return error_set(-ENXIO, "/dev/torus%u has no helper (it is %s): 'torusctl attach %s' starts one that takes it over, 'torusctl detach --force /dev/torus%u' drops it",
			 d->device.id, control_state_name(d->device.state),
			 d->device.volume, d->device.id);
}

/* A helper tells the world by its end only; the metadata tell how it went. */
static int check_detached(struct detach *d)
{
	struct ctl *ctl = d->ctl;
	struct volume_doc doc;

	/* A null device (torus-helper --null) is in no metadata. */
	if (!strncmp(d->device.volume, CONTROL_NULL_PREFIX,
		     strlen(CONTROL_NULL_PREFIX)))
		return 0;
	if (ctl_meta_open(ctl) || ctl_cluster_load(ctl) ||
	    ctl_volume_get(ctl, d->device.volume, &doc)) {
		fprintf(stderr, "torusctl: /dev/torus%u is gone; whether volume %s was detached in order is not known: %s\n",
			d->device.id, d->device.volume, error_text(-EIO));
		return 0;
	}
	if (!doc.attachment.present ||
	    !uuid_equal(&doc.attachment.incarnation, &d->device.incarnation))
		return 0;
	return error_set(-EIO, "/dev/torus%u is gone, but its helper ended without detaching volume %s, whose attachment remains in the metadata: 'torusctl detach %s --force' clears it",
			 d->device.id, d->device.volume, d->device.volume);
}

static int detach_plain(struct detach *d)
{
	int err;

	if (!d->device.session_id && d->device.state != TORUS_STATE_FAILED &&
	    d->device.state != TORUS_STATE_NEW)
		return say_dead(d);
	err = delete_once_closed(d);
	if (err == -EBUSY)
		return say_busy(d);
	if (err && err != -EALREADY && err != -ENODEV)
		return err;
	err = wait_deleted(d);
	if (err == -EBUSY)
		return say_busy(d);
	if (err)
		return error_set(err, "/dev/torus%u is still being deleted: what was written to it is on its way to the cluster",
				 d->device.id);
	err = wait_helper(d);
	return err ? err : check_detached(d);
}

/* sysfs knows the same without netlink. */
static int abort_device(uint32_t id)
{
	char path[64];
	int fd, err = 0;

	snprintf(path, sizeof(path), "/sys/block/torus%u/torus/abort", id);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1", 1) != 1)
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

static void say_what_remains(const struct detach *d)
{
	const char *volume = d->device.volume;

	fprintf(stderr, "/dev/torus%u is removed; what used it gets errors.\n",
		d->device.id);
	if (d->device.helper_pid)
		fprintf(stderr, "Its helper (process %u) is left to detach volume %s and to exit. If it cannot, the\n"
			"attachment remains in the metadata; this clears it: torusctl detach %s --force\n",
			d->device.helper_pid, volume, volume);
	else
		fprintf(stderr, "The attachment of volume %s remains in the metadata; this clears it:\n"
			"torusctl detach %s --force\n", volume, volume);
}

static int detach_forced(struct detach *d)
{
	int err = control_delete(d->control, d->device.id, true);

	if (err && err != -EALREADY && err != -ENODEV &&
	    abort_device(d->device.id))
		return err;
	err = wait_deleted(d);
	if (err)
		return error_set(err, "/dev/torus%u fails every request and is being deleted, but is not gone yet",
				 d->device.id);
	say_what_remains(d);
	return 0;
}

static int detach_device(struct detach *d, bool force)
{
	int err = control_events_open(&d->events, on_event, d);

	d->pidfd = -1;
	if (err)
		return err;
	if (d->device.helper_pid && !force)
		d->pidfd = (int)syscall(SYS_pidfd_open, d->device.helper_pid, 0);
	err = force ? detach_forced(d) : detach_plain(d);
	if (d->pidfd >= 0)
		close(d->pidfd);
	control_events_close(d->events);
	return err;
}

/* ---- only the metadata ------------------------------------------------------ */

static int put_doc(struct ctl *ctl, const struct volume_doc *doc)
{
	char key[META_KEY_MAX];
	char *value = volume_doc_encode(doc);
	struct meta_txn txn = {
		.compare = { { key, doc->mod_revision } },
		.compare_count = 1,
		.put = { { key, value, 0 } },
		.put_count = 1,
	};
	int err;

	if (!value)
		return error_set(-ENOMEM, "out of memory");
	key_volume(&ctl->cluster.id, doc->name, key);
	err = ctl_txn(ctl, &txn);
	free(value);
	return err;
}

/* -ENOENT: there is a cluster, and it has no such volume. */
static int load_doc(struct ctl *ctl, const char *name, struct volume_doc *doc)
{
	int err = ctl_meta_open(ctl);

	if (!err)
		err = ctl_cluster_load(ctl);
	if (err)
		return err == -ENOENT ? -ENODEV : err;
	return ctl_volume_get(ctl, name, doc);
}

/* A number can have passed to another process: a warning is all it gives. */
static void warn_if_it_runs(const struct attachment *was)
{
	char host[HOST_MAX + 1] = "";

	if (gethostname(host, sizeof(host) - 1) || strcmp(host, was->host) != 0)
		return;
	if (was->pid == 0 || was->pid > INT_MAX || kill((pid_t)was->pid, 0))
		return;
	fprintf(stderr, "torusctl: warning: there is a process %" PRIu64 " on this machine: if it still serves the volume, end it\n",
		was->pid);
}

/* The new epoch makes sure that the old writer's next word is refused. */
static int clear_attachment(struct ctl *ctl, const char *name)
{
	struct attachment was;
	struct volume_doc doc;
	int err = load_doc(ctl, name, &doc);

	if (err)
		return err;
	if (!doc.attachment.present) {
		printf("volume %s is not attached\n", name);
		return 0;
	}
	was = doc.attachment;
	memset(&doc.attachment, 0, sizeof(doc.attachment));
	doc.epoch++;
	err = put_doc(ctl, &doc);
	if (err)
		return err;
	printf("cleared the attachment of volume %s: it was %s on host %s (process %" PRIu64 "), which can write no more once the volume is attached again\n",
	       name, was.device, was.host, was.pid);
	warn_if_it_runs(&was);
	return 0;
}

/* Where the volume is, if the metadata store can be asked. */
static int say_where(struct ctl *ctl, const char *name)
{
	struct volume_doc doc;
	const struct attachment *a = &doc.attachment;
	int err = load_doc(ctl, name, &doc);

	if (err == -ENOENT)
		return error_set(err, "volume %s has no device on this machine, and the cluster has no such volume: 'torusctl volume list' shows those that exist",
				 name);
	if (err)
		return error_set(-ENOENT, "volume %s has no device on this machine; 'torusctl volume info %s' tells where it is attached, and 'torusctl detach %s --force' clears the attachment of a host that is gone",
				 name, name, name);
	if (!a->present)
		return error_set(-ENOENT, "volume %s has no device on this machine, and is not attached anywhere else",
				 name);
	return error_set(-ENOENT, "volume %s has no device on this machine: it is attached as %s on host %s (process %" PRIu64 "); %s there, or if that is gone for good: torusctl detach %s --force",
			 name, a->device, a->host, a->pid,
			 strcmp(a->device, "nbdkit") == 0 ? "end nbdkit" :
			 "detach it", name);
}

static int not_here(struct ctl *ctl, const char *what, bool force)
{
	if (strncmp(what, "/dev/", 5) == 0)
		return error_set(-ENODEV, "%s is no torus device", what);
	if (force)
		return clear_attachment(ctl, what);
	return say_where(ctl, what);
}

static int set_deadline(struct detach *d, bool force)
{
	const char *text = d->ctl->option[OPT_TIMEOUT];
	uint64_t seconds = DETACH_TIMEOUT_S;
	int err = 0;

	if (text)
		err = ctl_number("--timeout", text, 1, 86400, &seconds);
	d->deadline = now_ms() + (force && !text ? FORCE_TIMEOUT_MS :
				  (int64_t)seconds * 1000);
	return err;
}

int cmd_detach(struct ctl *ctl, int argc, char **argv)
{
	bool force = ctl_given(ctl, OPT_FORCE);
	struct detach d = { .ctl = ctl };
	int err = set_deadline(&d, force);

	(void)argc;
	if (err)
		return ctl_bad_value(err);
	err = control_open(&d.control);
	if (!err) {
		err = find_device(d.control, argv[0], &d.device);
		if (!err)
			err = detach_device(&d, force);
		else if (err == -ENOENT)
			err = not_here(ctl, argv[0], force);
		control_close(d.control);
	} else if (err == -ENODEV && strncmp(argv[0], "/dev/", 5) != 0) {
		err = not_here(ctl, argv[0], force);
	}
	return err ? ctl_fail(err) : CTL_OK;
}
