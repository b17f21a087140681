// SPDX-License-Identifier: Apache-2.0
/*
 * torusctl attach NAME: starts a helper and returns when the device is there.
 * Where systemd runs and knows the unit, and nothing but the name was asked
 * for, the helper is a service, which is started again when it dies.
 */
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/error.h"
#include "ctl.h"
#include "front/control.h"
#include "meta/url.h"
#include "helper_spawn.h"

/* The helper gives up by itself before: io_timeout is 120 s. */
#define ATTACH_TIMEOUT_S 150

static int print_result(const struct ctl *ctl, const char *volume,
			const char *device, long pid)
{
	if (ctl->json)
		printf("{\"volume\":\"%s\",\"device\":\"%s\",\"helper_pid\":%ld}\n",
		       volume, device, pid);
	else
		printf("%s\n", device);
	return CTL_OK;
}

/* ---- as a service --------------------------------------------------------- */

static bool unit_is_installed(void)
{
	static const char *const folders[] = {
		"/etc/systemd/system", "/run/systemd/system",
		"/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
		"/lib/systemd/system",
	};
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		snprintf(path, sizeof(path), "%s/torus-helper@.service",
			 folders[i]);
		if (access(path, R_OK) == 0)
			return true;
	}
	return false;
}

static bool use_service(const struct ctl *ctl)
{
	/* The unit takes the metadata's URL from the configuration file only. */
	return !ctl->url && !getenv("TORUS_META") && !getenv("TORUS_CONF") &&
	       !ctl_given(ctl, OPT_DEVICE) && !ctl_given(ctl, OPT_READ_ONLY) &&
	       !ctl_given(ctl, OPT_FORCE) && !ctl_given(ctl, OPT_TIMEOUT) &&
	       !ctl_given(ctl, OPT_HELPER) && sd_booted() > 0 &&
	       unit_is_installed();
}

/* Exit status, or -errno. */
static int run_program(char *const argv[])
{
	int status, err;
	pid_t pid;

	fflush(stdout);
	err = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
	if (err)
		return error_set(-err, "%s: %s", argv[0], strerror(err));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set(-errno, "%s: %s", argv[0],
					 strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int attach_service(const struct ctl *ctl, const char *volume)
{
	char unit[VOLUME_NAME_MAX + 32];
	char *argv[] = { (char *)"systemctl", (char *)"start", unit, NULL };
	struct control_device device;
	struct control *control;
	char path[32];
	int err;

	snprintf(unit, sizeof(unit), "torus-helper@%s.service", volume);
	err = run_program(argv);
	if (err < 0)
		return ctl_fail(err);
	if (err > 0)
		return ctl_fail(error_set(-EIO, "the helper did not get ready: 'systemctl status %s' says why",
					  unit));
	err = control_open(&control);
	if (err)
		return ctl_fail(err);
	err = control_find(control, volume, &device);
	control_close(control);
	if (err)
		return ctl_fail(error_set(err, "%s runs, but the driver has no device for volume %s",
					  unit, volume));
	snprintf(path, sizeof(path), "/dev/torus%u", device.id);
	return print_result(ctl, volume, path, device.helper_pid);
}

/* ---- in the background ---------------------------------------------------- */

static void fill_args(const struct ctl *ctl, struct spawn *s, char *url)
{
	char **arg = s->args;

	*arg++ = (char *)"--volume";
	*arg++ = (char *)s->volume;
	*arg++ = (char *)"--meta";
	*arg++ = url;
	if (ctl_given(ctl, OPT_DEVICE)) {
		*arg++ = (char *)"--device";
		*arg++ = (char *)ctl->option[OPT_DEVICE];
	}
	if (ctl_given(ctl, OPT_READ_ONLY))
		*arg++ = (char *)"--read-only";
	if (ctl_given(ctl, OPT_FORCE))
		*arg++ = (char *)"--force";
}

static int parse_options(const struct ctl *ctl, struct spawn *s)
{
	uint64_t number;
	int err = 0;

	if (ctl_given(ctl, OPT_TIMEOUT)) {
		err = ctl_number("--timeout", ctl->option[OPT_TIMEOUT], 1,
				 86400, &number);
		s->timeout_s = (int)number;
	}
	if (!err && ctl_given(ctl, OPT_DEVICE))
		err = ctl_number("--device", ctl->option[OPT_DEVICE], 0,
				 TORUS_DEVICES_MAX - 1, &number);
	return err;
}

static int attach_here(const struct ctl *ctl, const char *volume)
{
	struct spawn s = { .volume = volume, .timeout_s = ATTACH_TIMEOUT_S,
			   .program = ctl->option[OPT_HELPER] };
	struct meta_settings settings;
	char url[META_URL_MAX];
	int err = parse_options(ctl, &s);

	if (err)
		return ctl_bad_value(err);
	err = meta_settings_resolve(&settings, ctl->url);
	/* The helper runs in the root directory. */
	if (!err)
		err = ctl_absolute_url(settings.url, url);
	if (!err)
		err = ctl_absolute_conf();
	if (!err) {
		fill_args(ctl, &s, url);
		err = spawn_helper(&s);
	}
	if (err)
		return ctl_fail(err);
	return print_result(ctl, volume, s.device, (long)s.pid);
}

/*
 * A name that is mistyped is told before anything else that may be wrong here,
 * such as a missing driver. A metadata store that cannot be asked is no answer:
 * the helper says so if it lasts.
 */
static int check_exists(struct ctl *ctl, const char *name)
{
	struct volume_doc doc;
	int err;

	if (ctl_meta_open(ctl) || ctl_cluster_load(ctl))
		return 0;
	err = ctl_volume_get(ctl, name, &doc);
	return err == -ENOENT ? err : 0;
}

int cmd_attach(struct ctl *ctl, int argc, char **argv)
{
	int err = volume_name_check(argv[0]);

	(void)argc;
	if (err)
		return ctl_bad_value(err);
	err = check_exists(ctl, argv[0]);
	if (err)
		return ctl_fail(err);
	if (use_service(ctl))
		return attach_service(ctl, argv[0]);
	return attach_here(ctl, argv[0]);
}
