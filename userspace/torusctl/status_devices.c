// SPDX-License-Identifier: Apache-2.0
/* status: the devices of this machine. */
#include <stdio.h>
#include <string.h>

#include "status.h"

static void add_device(struct status *s, const struct ctl_device *d)
{
	bool recovering = strcmp(d->state, "recovering") == 0;
	bool failed = strcmp(d->state, "failed") == 0;
	struct finding *f;
	char path[48];

	snprintf(path, sizeof(path), "/dev/%s", d->name);
	f = status_add(s, CTL_DEGRADED, "device-down", path);
	finding_what(f, "device %s (volume %s) is %s", path, d->volume,
		     d->state);
	finding_means(f, "%s", recovering ?
		      "its helper is gone; I/O waits for the next one" :
		      "it serves no I/O");
	finding_command(f, failed ?
			"torusctl detach --force %s, then torusctl attach %s" :
			"torusctl detach --force %s, or torusctl attach %s",
			path, d->volume);
}

void status_devices(struct status *s)
{
	for (size_t i = 0; i < s->device_count; i++)
		if (strcmp(s->devices[i].state, "live") != 0)
			add_device(s, &s->devices[i]);
}
