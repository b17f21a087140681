// SPDX-License-Identifier: Apache-2.0
/* torusctl version, torusctl completion. */
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

static void print_words(void)
{
	const char *last = "";

	printf("\tlocal nouns='");
	for (const struct ctl_command *c = ctl_commands(); c->noun; c++) {
		if (strcmp(last, c->noun) != 0)
			printf("%s%s", *last ? " " : "", c->noun);
		last = c->noun;
	}
	printf("'\n");
}

static void print_verbs(const char *noun)
{
	printf("\t%s) words='", noun);
	for (const struct ctl_command *c = ctl_commands(); c->noun; c++)
		if (c->verb && strcmp(c->noun, noun) == 0)
			printf("%s ", c->verb);
	printf("' ;;\n");
}

static void print_options(const struct ctl_command *c)
{
	printf("\t'%s%s%s') options='--meta --json --help", c->noun,
	       c->verb ? " " : "", c->verb ? c->verb : "");
	for (const enum ctl_option *o = c->options; *o != OPT_NONE; o++)
		printf(" --%s", ctl_option_name(*o));
	printf("' ;;\n");
}

/* Made from the table of commands, so that it cannot lag behind it. */
int cmd_completion(struct ctl *ctl, int argc, char **argv)
{
	const struct ctl_command *c;
	const char *last = "";

	(void)ctl;
	(void)argc;
	(void)argv;
	printf("# bash completion of torusctl: source it, or install it as\n"
	       "# /usr/share/bash-completion/completions/torusctl\n"
	       "_torusctl()\n{\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} words='' options=''\n");
	print_words();
	printf("\tcase ${COMP_WORDS[1]} in\n");
	for (c = ctl_commands(); c->noun; c++) {
		if (c->verb && strcmp(last, c->noun) != 0)
			print_verbs(c->noun);
		last = c->noun;
	}
	printf("\tesac\n\t[ \"$COMP_CWORD\" = 1 ] && words=$nouns\n"
	       "\t[ \"$COMP_CWORD\" -gt 2 ] && words=''\n"
	       "\tcase \"${COMP_WORDS[1]}${words:+ ${COMP_WORDS[2]}}\" in\n");
	for (c = ctl_commands(); c->noun; c++)
		if (!c->verb)
			print_options(c);
	printf("\tesac\n\tcase \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n");
	for (c = ctl_commands(); c->noun; c++)
		if (c->verb)
			print_options(c);
	printf("\tesac\n"
	       "\t# shellcheck disable=SC2207\n"
	       "\tcase $cur in\n"
	       "\t-*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
	       "\t*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
	       "\tesac\n}\ncomplete -o default -F _torusctl torusctl\n");
	return 0;
}
