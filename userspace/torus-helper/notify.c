// SPDX-License-Identifier: Apache-2.0
#include "notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

void notify_ready(uint32_t device, const char *volume)
{
	sd_notifyf(0, "READY=1\nMAINPID=%ld\nX_TORUS_DEVICE=/dev/torus%u\nSTATUS=Serving volume %s as /dev/torus%u",
		   (long)getpid(), device, volume, device);
}

void notify_status(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sd_notifyf(0, "STATUS=%s", text);
}

void notify_main(pid_t pid)
{
	sd_notifyf(0, "MAINPID=%ld", (long)pid);
}

void notify_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}

void notify_failed(int err, const char *sentence)
{
	sd_notifyf(0, "STATUS=%s\nERRNO=%d", sentence, -err);
}
