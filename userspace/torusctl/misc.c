// SPDX-License-Identifier: Apache-2.0
/*
 * torusctl version, torusctl completion. The completion is made from the table
 * of commands, so that it cannot lag behind it.
 */
#include <stdio.h>
#include <string.h>

#include "ctl.h"

int cmd_version(struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	if (ctl->json)
		printf("{\"version\":\"%s\",\"protocol\":%u,\"format\":%u}\n",
		       TORUS_VERSION, WIRE_VERSION, RECORD_VERSION);
	else
		printf("torusctl %s (protocol %u, format %u)\n", TORUS_VERSION,
		       WIRE_VERSION, RECORD_VERSION);
	return 0;
}

/*
 * Options may stand anywhere: the command's words are those that are neither
 * options nor the value of one.
 */
static const char completion_head[] =
"# SPDX-License-Identifier: Apache-2.0\n"
"# shellcheck shell=bash\n"
"# bash completion of torusctl, written by 'torusctl completion': source it, or\n"
"# install it as /usr/share/bash-completion/completions/torusctl\n"
"_torusctl()\n{\n"
"\tlocal cur=${COMP_WORDS[COMP_CWORD]} noun='' verb='' place=0 i words=''\n"
"\tlocal options='--meta --json --help'\n"
"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
"\t\tcase ${COMP_WORDS[i]} in\n";

/* The shell has split words at ':' and '='. */
static const char completion_words[] =
"\t\t: | =) i=$((i + 1)) ;;\n"
"\t\t-*) ;;\n"
"\t\t*)\n"
"\t\t\tplace=$((place + 1))\n"
"\t\t\t[ $place -ne 1 ] || noun=${COMP_WORDS[i]}\n"
"\t\t\t[ $place -ne 2 ] || verb=${COMP_WORDS[i]}\n"
"\t\t\t;;\n"
"\t\tesac\n"
"\tdone\n";

static const char completion_tail[] =
"\tesac\n"
"\t# shellcheck disable=SC2207\n"
"\tcase $cur in\n"
"\t-*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
"\t*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
"\tesac\n"
"}\n"
"complete -o default -F _torusctl torusctl\n";

/* Options whose value is the next word. */
static void print_values(void)
{
	printf("\t\t--meta");
	for (int i = 0; i < OPT_COUNT; i++)
		if (ctl_option_argument(i))
			printf(" | --%s", ctl_option_name(i));
	printf(")\n\t\t\ti=$((i + 1))\n"
	       "\t\t\t[ \"${COMP_WORDS[i]}\" != = ] || i=$((i + 1))\n"
	       "\t\t\t;;\n");
}

static void print_nouns(void)
{
	const char *last = "";

	printf("\tcase $place.$noun in\n\t0.*) words='");
	for (const struct ctl_command *c = ctl_commands(); c->noun; c++) {
		if (strcmp(last, c->noun) != 0)
			printf("%s%s", *last ? " " : "", c->noun);
		last = c->noun;
	}
	printf("' ;;\n");
}

static void print_verbs(const char *noun)
{
	const char *space = "";

	printf("\t1.%s) words='", noun);
	for (const struct ctl_command *c = ctl_commands(); c->noun; c++) {
		if (!c->verb || strcmp(c->noun, noun) != 0)
			continue;
		printf("%s%s", space, c->verb);
		space = " ";
	}
	printf("' ;;\n");
}

static void print_options(const struct ctl_command *c)
{
	if (c->options[0] == OPT_NONE)
		return;
	printf("\t%s.%s) options+='", c->noun, c->verb ? c->verb : "*");
	for (const enum ctl_option *o = c->options; *o != OPT_NONE; o++)
		printf(" --%s", ctl_option_name(*o));
	printf("' ;;\n");
}

int cmd_completion(struct ctl *ctl, int argc, char **argv)
{
	const struct ctl_command *c;
	const char *last = "";

	(void)ctl;
	(void)argc;
	(void)argv;
	fputs(completion_head, stdout);
	print_values();
	fputs(completion_words, stdout);
	print_nouns();
	for (c = ctl_commands(); c->noun; c++) {
		if (c->verb && strcmp(last, c->noun) != 0)
			print_verbs(c->noun);
		last = c->noun;
	}
	printf("\tesac\n\tcase $noun.$verb in\n");
	for (c = ctl_commands(); c->noun; c++)
		print_options(c);
	fputs(completion_tail, stdout);
	return 0;
}
