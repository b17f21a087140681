// SPDX-License-Identifier: Apache-2.0
/* The torus devices of this machine, as sysfs shows them. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ctl.h"

static void read_attribute(const char *device, const char *name, char *buf,
			   size_t len)
{
	char path[320];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/torus/%s", device, name);
	buf[0] = '\0';
	f = fopen(path, "re");
	if (!f)
		return;		/* the device has just gone: empty fields */
	if (fgets(buf, (int)len, f))
		buf[strcspn(buf, "\n")] = '\0';
	fclose(f);
}

static void fill_device(const char *name, struct ctl_device *d)
{
	char pid[16];

	memset(d, 0, sizeof(*d));
	snprintf(d->name, sizeof(d->name), "%.31s", name);
	read_attribute(name, "volume", d->volume, sizeof(d->volume));
	read_attribute(name, "state", d->state, sizeof(d->state));
	read_attribute(name, "helper_pid", pid, sizeof(pid));
	d->helper_pid = (int)strtol(pid, NULL, 10);
}

static int is_torus(const struct dirent *e)
{
	return strncmp(e->d_name, "torus", 5) == 0;
}

int ctl_devices(struct ctl_device **devices, size_t *count)
{
	struct dirent **entries = NULL;
	int n = scandir("/sys/block", &entries, is_torus, versionsort);

	*count = 0;
	*devices = calloc(n > 0 ? (size_t)n : 1, sizeof(**devices));
	for (int i = 0; i < n; i++) {
		if (*devices)
			fill_device(entries[i]->d_name, &(*devices)[(*count)++]);
		free(entries[i]);
	}
	free(entries);
	return *devices ? 0 : error_set(-ENOMEM, "out of memory");
}
