// SPDX-License-Identifier: Apache-2.0
/*
 * The command line: `torusctl [--meta URL] [--json] NOUN [VERB] [options]
 * arguments`. Options may stand anywhere. The table below is the only place
 * that knows which command takes what; help and completion come from it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "ctl.h"
#include "env/env_uring.h"
#include "env/longopt.h"
#include "meta/url.h"

static const struct {
	const char *name;
	const char *argument;
} options[OPT_COUNT] = {
	[OPT_REPLICATION] = { "replication", "R" },
	[OPT_CHUNK_SIZE] = { "chunk-size", "SIZE" },
	[OPT_RING] = { "ring", "TYPE" },
	[OPT_VIEW] = { "view", NULL },
	[OPT_ALL_PEERS] = { "all-peers", NULL },
	[OPT_FORCE] = { "force", NULL },
	[OPT_TYPE] = { "type", "TYPE" },
	[OPT_UUIDS] = { "uuids", "A,B,..." },
	[OPT_DEVICE] = { "device", "N" },
	[OPT_READ_ONLY] = { "read-only", NULL },
	[OPT_YES] = { "yes-i-am-sure", NULL },
	[OPT_CA] = { "etcd-ca", "FILE" },
	[OPT_CERT] = { "etcd-cert", "FILE" },
	[OPT_KEY] = { "etcd-key", "FILE" },
	[OPT_USER] = { "etcd-user", "NAME:PASSWORD" },
	[OPT_TIMEOUT] = { "timeout", "SECONDS" },
	[OPT_HELPER] = { "helper", "PROGRAM" },
	[OPT_ADD] = { "add", "SIZE[,zone=Z][,rack=R][,host=H]" },
	[OPT_REMOVE] = { "remove", "PEER" },
	[OPT_DRAIN] = { "drain", "PEER" },
	[OPT_CHUNKS] = { "chunks", "N" },
	[OPT_MEMBERS] = { "members", "FILE" },
	[OPT_FROM_PEERS] = { "from-peers", "ADDRESS[,ADDRESS...]" },
	[OPT_CHOOSE] = { "choose", "VOLUME=PEER|ROOT[,...]" },
	[OPT_CONFIRM] = { "yes", NULL },
	[OPT_WITHOUT_ABSENT] = { "without-absent", NULL },
	[OPT_TRUNCATE] = { "truncate", "VOLUME" },
};

static const struct ctl_command commands[] = {
	{ "init", NULL, "", "make a new cluster in the metadata store", 0, 0,
	  { OPT_REPLICATION, OPT_CHUNK_SIZE, OPT_RING, OPT_VIEW, OPT_NONE },
	  true, false, cmd_init },
	{ "peer", "list", "", "show the peers", 0, 0, { OPT_NONE },
	  true, true, cmd_peer_list },
	{ "peer", "add", "ADDRESS|UUID...", "put peers into the ring", 0, -1,
	  { OPT_ALL_PEERS, OPT_FORCE, OPT_NONE }, true, true, cmd_peer_add },
	{ "peer", "drain", "ADDRESS|UUID...", "move all data off peers", 1, -1,
	  { OPT_FORCE, OPT_NONE }, true, true, cmd_peer_drain },
	{ "peer", "undrain", "ADDRESS|UUID...", "put data on peers again",
	  1, -1, { OPT_FORCE, OPT_NONE }, true, true, cmd_peer_undrain },
	{ "peer", "remove", "ADDRESS|UUID...", "take peers out of the ring",
	  1, -1, { OPT_FORCE, OPT_NONE }, true, true, cmd_peer_remove },
	{ "ring", "get", "", "show the ring", 0, 0, { OPT_NONE },
	  true, true, cmd_ring_get },
	{ "ring", "set-replication", "R", "set the default number of copies",
	  1, 1, { OPT_FORCE, OPT_NONE }, true, true, cmd_ring_set_replication },
	{ "ring", "manual-change", "", "build a ring by hand (advanced)", 0, 0,
	  { OPT_TYPE, OPT_UUIDS, OPT_ALL_PEERS, OPT_REPLICATION, OPT_FORCE,
	    OPT_NONE }, true, true, cmd_ring_manual_change },
	{ "ring", "simulate", "", "show what a change would move", 0, 0,
	  { OPT_ADD, OPT_REMOVE, OPT_DRAIN, OPT_TYPE, OPT_REPLICATION,
	    OPT_CHUNKS, OPT_MEMBERS, OPT_NONE }, false, false,
	  cmd_ring_simulate },
	{ "volume", "create", "NAME SIZE", "make a volume", 2, 2,
	  { OPT_REPLICATION, OPT_NONE }, true, true, cmd_volume_create },
	{ "volume", "list", "", "show the volumes", 0, 0, { OPT_NONE },
	  true, true, cmd_volume_list },
	{ "volume", "info", "NAME", "show all about one volume", 1, 1,
	  { OPT_NONE }, true, true, cmd_volume_info },
	{ "volume", "delete", "NAME", "delete a volume and its data", 1, 1,
	  { OPT_NONE }, true, true, cmd_volume_delete },
	{ "attach", NULL, "NAME", "make a volume a block device here", 1, 1,
	  { OPT_DEVICE, OPT_READ_ONLY, OPT_FORCE, OPT_TIMEOUT, OPT_HELPER,
	    OPT_NONE }, false, false, cmd_attach },
	{ "detach", NULL, "NAME|DEVICE", "end an attachment", 1, 1,
	  { OPT_FORCE, OPT_TIMEOUT, OPT_NONE }, false, false, cmd_detach },
	{ "scrub", "start", "[ADDRESS|UUID...]",
	  "verify all copies of peers, from the beginning", 0, -1,
	  { OPT_NONE }, true, true, cmd_scrub_start },
	{ "scrub", "status", "[ADDRESS|UUID...]",
	  "show how far verifying is, and bad copies", 0, -1,
	  { OPT_NONE }, true, true, cmd_scrub_status },
	{ "scrub", "pause", "[ADDRESS|UUID...]", "stop verifying for now",
	  0, -1, { OPT_NONE }, true, true, cmd_scrub_pause },
	{ "scrub", "resume", "[ADDRESS|UUID...]", "go on with verifying",
	  0, -1, { OPT_NONE }, true, true, cmd_scrub_resume },
	{ "status", NULL, "", "say what is well and what is not", 0, 0,
	  { OPT_NONE }, true, true, cmd_status },
	{ "recover", NULL, "[ADDRESS...]",
	  "rebuild lost metadata from the peers", 0, -1,
	  { OPT_FROM_PEERS, OPT_CHOOSE, OPT_CONFIRM, OPT_FORCE,
	    OPT_WITHOUT_ABSENT, OPT_TRUNCATE, OPT_NONE }, true, false,
	  cmd_recover },
	{ "wipe", NULL, "", "delete the cluster from the metadata store", 0, 0,
	  { OPT_YES, OPT_FORCE, OPT_NONE }, true, false, cmd_wipe },
	{ "config", NULL, "", "write or show the configuration file", 0, 0,
	  { OPT_VIEW, OPT_CA, OPT_CERT, OPT_KEY, OPT_USER, OPT_NONE },
	  false, false, cmd_config },
	{ "version", NULL, "", "print the version", 0, 0, { OPT_NONE },
	  false, false, cmd_version },
	{ "completion", NULL, "", "print a completion script for bash", 0, 0,
	  { OPT_NONE }, false, false, cmd_completion },
	{ 0 }
};

const struct ctl_command *ctl_commands(void)
{
	return commands;
}

const char *ctl_option_name(enum ctl_option option)
{
	return options[option].name;
}

const char *ctl_option_argument(enum ctl_option option)
{
	return options[option].argument;
}

static void print_usage_line(FILE *out, const struct ctl_command *c)
{
	fprintf(out, "  torusctl %s%s%s", c->noun, c->verb ? " " : "",
		c->verb ? c->verb : "");
	if (*c->args)
		fprintf(out, " %s", c->args);
	for (const enum ctl_option *o = c->options; *o != OPT_NONE; o++)
		fprintf(out, " [--%s%s%s]", options[*o].name,
			options[*o].argument ? " " : "",
			options[*o].argument ? options[*o].argument : "");
	fputc('\n', out);
}

static void print_help_of(const struct ctl_command *c)
{
	printf("usage:\n");
	print_usage_line(stdout, c);
	printf("        %s\n\nSee torusctl(8).\n", c->help);
}

/* All commands, or those of one noun. */
static void print_help(const char *noun)
{
	printf("usage: torusctl [--meta URL] [--json] COMMAND ...\n\n");
	for (const struct ctl_command *c = commands; c->noun; c++) {
		if (noun && strcmp(c->noun, noun) != 0)
			continue;
		print_usage_line(stdout, c);
		printf("        %s\n", c->help);
	}
	printf("\n"
		"URL is etcd://HOST:PORT[,HOST:PORT...] or local:PATH; without --meta it comes\n"
		"from TORUS_META, else from /etc/torus/torus.conf. --json makes every list and\n"
		"info machine-readable. Sizes: 4096, 64MiB, 1.5TiB. See torusctl(8).\n");
}

int ctl_fail(int err)
{
	fprintf(stderr, "torusctl: %s\n", error_text(err));
	return CTL_FAILED;
}

int ctl_bad_value(int err)
{
	ctl_fail(err);
	return CTL_USAGE;
}

int ctl_usage(const struct ctl *ctl, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "torusctl: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (ctl->command) {
		fprintf(stderr, "usage:\n");
		print_usage_line(stderr, ctl->command);
	} else {
		fprintf(stderr, "Try 'torusctl --help'.\n");
	}
	return CTL_USAGE;
}

int ctl_number(const char *what, const char *text, uint64_t min, uint64_t max,
	       uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno ||
	    *value < min || *value > max)
		return error_set(-EINVAL,
				 "%s must be a number from %llu to %llu, not '%s'",
				 what, (unsigned long long)min,
				 (unsigned long long)max, text);
	return 0;
}

/*
 * Options may come before or after the command's words, so that the words are
 * not known while options are parsed: all are parsed, and what the command
 * does not take is refused afterwards.
 */
enum { LONG_META = 1000, LONG_JSON, LONG_HELP, LONG_VERSION };

static int bad_option(const struct ctl *ctl, int opt, const char *word)
{
	if (opt == ':')
		return ctl_usage(ctl, "option '%s' needs a value", word);
	/* optopt: 0 for an unknown long one, the letter of a short one. */
	if (optopt == 0)
		return ctl_usage(ctl, "unknown option '%s'", word);
	if (strncmp(word, "--", 2) != 0)
		return ctl_usage(ctl, "unknown option '-%c'", optopt);
	return ctl_usage(ctl, "option '%.*s' takes no value",
			 (int)strcspn(word, "="), word);
}

/* These may be given more than once; of the others the last one counts. */
static bool adds_up(int opt)
{
	return opt == OPT_ADD || opt == OPT_REMOVE || opt == OPT_DRAIN;
}

static void join_value(struct ctl *ctl, int opt)
{
	char *text;

	if (asprintf(&text, "%s\n%s", ctl->option[opt], optarg) < 0) {
		fprintf(stderr, "torusctl: out of memory\n");
		exit(CTL_FAILED);
	}
	free(ctl->joined[opt]);
	ctl->joined[opt] = text;
	ctl->option[opt] = text;
}

static void take_option(struct ctl *ctl, int opt)
{
	switch (opt) {
	case LONG_HELP:
	case 'h':
		ctl->help = true;
		break;
	case LONG_META:
		ctl->url = optarg;
		break;
	case LONG_JSON:
		ctl->json = true;
		break;
	default:
		if (ctl->option[opt] && adds_up(opt))
			join_value(ctl, opt);
		else
			ctl->option[opt] = optarg ? optarg : "";
	}
}

static int parse_options(struct ctl *ctl, int argc, char **argv)
{
	struct option list[OPT_COUNT + 5];
	int opt, i, which = -1;

	for (i = 0; i < OPT_COUNT; i++)
		list[i] = (struct option){ options[i].name,
			options[i].argument ? required_argument : no_argument,
			NULL, i };
	list[i++] = (struct option){ "meta", required_argument, NULL, LONG_META };
	list[i++] = (struct option){ "json", no_argument, NULL, LONG_JSON };
	list[i++] = (struct option){ "help", no_argument, NULL, LONG_HELP };
	list[i++] = (struct option){ "version", no_argument, NULL, LONG_VERSION };
	list[i] = (struct option){ 0 };
	opterr = 0;
	for (; (opt = getopt_long(argc, argv, ":hV", list, &which)) != -1;
	     which = -1) {
		if (opt == '?' || opt == ':')
			return bad_option(ctl, opt, argv[optind - 1]);
		if (which >= 0 && longopt_check(&list[which], argv))
			return ctl_bad_value(-EINVAL);
		if (opt == LONG_VERSION || opt == 'V')
			exit(cmd_version(ctl, 0, NULL));
		take_option(ctl, opt);
	}
	return 0;
}

static const struct ctl_command *find_command(int argc, char **argv, int *words)
{
	for (const struct ctl_command *c = commands; c->noun; c++) {
		*words = c->verb ? 2 : 1;
		if (argc < *words || strcmp(argv[0], c->noun) != 0)
			continue;
		if (!c->verb || strcmp(argv[1], c->verb) == 0)
			return c;
	}
	return NULL;
}

/* "add, list or remove", as the table has them; "" if there is no such noun. */
static void list_verbs(const char *noun, char *text, size_t len)
{
	const struct ctl_command *c = commands;
	size_t used = 0;

	*text = '\0';
	for (; c->noun && used < len; c++) {
		bool last = !c[1].noun || strcmp(c[1].noun, noun) != 0;

		if (strcmp(c->noun, noun) == 0 && c->verb)
			used += (size_t)snprintf(text + used, len - used, "%s%s",
						 !used ? "" : last ? " or " : ", ",
						 c->verb);
	}
}

static int unknown_command(const struct ctl *ctl, int argc, char **argv)
{
	char verbs[128];

	if (argc == 0)
		return ctl_usage(ctl, "no command given");
	list_verbs(argv[0], verbs, sizeof(verbs));
	if (!*verbs)
		return ctl_usage(ctl, "unknown command '%s'", argv[0]);
	if (argc == 1)
		return ctl_usage(ctl, "'%s' needs a verb: %s", argv[0], verbs);
	return ctl_usage(ctl, "unknown command '%s %s': after '%s' comes %s",
			 argv[0], argv[1], argv[0], verbs);
}

/* The words may be a command, the noun of some, or none: then all are shown. */
static int help(const struct ctl *ctl, int argc, char **argv)
{
	char verbs[128] = "";

	if (argc > 0)
		list_verbs(argv[0], verbs, sizeof(verbs));
	if (ctl->command)
		print_help_of(ctl->command);
	else if (argc == 0 || (argc == 1 && *verbs))
		print_help(argc ? argv[0] : NULL);
	else
		return unknown_command(ctl, argc, argv);
	return CTL_OK;
}

static int check_options(const struct ctl *ctl)
{
	if (ctl->url && meta_url_check(ctl->url))
		return ctl_bad_value(-EINVAL);
	for (int i = 0; i < OPT_COUNT; i++) {
		const enum ctl_option *o = ctl->command->options;

		while (*o != OPT_NONE && (int)*o != i)
			o++;
		if (ctl->option[i] && *o == OPT_NONE)
			return ctl_usage(ctl, "'%s%s%s' takes no option --%s",
					 ctl->command->noun,
					 ctl->command->verb ? " " : "",
					 ctl->command->verb ? ctl->command->verb : "",
					 options[i].name);
	}
	return 0;
}

static int run_command(struct ctl *ctl, int argc, char **argv)
{
	const struct ctl_command *c = ctl->command;
	int err;

	if (argc < c->args_min)
		return ctl_usage(ctl, "too few arguments");
	if (c->args_max >= 0 && argc > c->args_max)
		return ctl_usage(ctl, "too many arguments: '%s'",
				 argv[c->args_max]);
	err = c->needs_meta ? ctl_meta_open(ctl) : 0;
	if (!err && c->needs_cluster)
		err = ctl_cluster_load(ctl);
	/* Whoever asks in the night first wants to know this. */
	if (err && c->run == cmd_status)
		error_prefix("how the cluster is cannot be told; volumes that are attached go on meanwhile");
	return err ? ctl_fail(err) : c->run(ctl, argc, argv);
}

int main(int argc, char **argv)
{
	struct ctl ctl = { 0 };
	int status, words;

	log_set_sink(log_sink_stderr);
	log_set_level(LOG_LEVEL_ERROR);
	status = parse_options(&ctl, argc, argv);
	if (status)
		return status;
	argc -= optind;
	argv += optind;
	ctl.command = find_command(argc, argv, &words);
	if (!ctl.help && !ctl.command)
		return unknown_command(&ctl, argc, argv);
	status = ctl.help ? help(&ctl, argc, argv) : check_options(&ctl);
	if (!status && !ctl.help)
		status = run_command(&ctl, argc - words, argv + words);
	if (ctl.meta)
		ctl.meta->ops->close(ctl.meta);
	if (ctl.env)
		env_uring_free(ctl.env);
	for (int i = 0; i < OPT_COUNT; i++)
		free(ctl.joined[i]);
	if (fflush(stdout) != 0) {
		fprintf(stderr, "torusctl: cannot write the output: %m\n");
		return CTL_FAILED;
	}
	return status;
}
