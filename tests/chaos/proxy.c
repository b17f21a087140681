// SPDX-License-Identifier: Apache-2.0
/*
 * chaos-proxy: TCP ports that stand for servers, and fail on command.
 *
 * Commands on stdin, each answered by "ok" or "error WHAT" on stdout:
 *   link NAME PORT SERVER_PORT
 *   rule NAME CLASS DIRECTION pass|hold|delay|slow|cut [AMOUNT [JITTER]]
 *   refuse NAME | accept NAME
 * CLASS is who speaks: any, volume, peer, admin; DIRECTION is up (to the
 * server), down or both. It ends with stdin.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "link.h"

#define LINKS_MAX 128

static struct link *links[LINKS_MAX];
static size_t count;

static struct link *find(const char *name)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (strcmp(links[i]->name, name) == 0)
			return links[i];
	return NULL;
}

/* The place of a word in a list that NULL ends; -1: it is not there. */
static int place(const char *word, const char *const *words)
{
	int i;

	for (i = 0; words[i]; i++)
		if (strcmp(words[i], word) == 0)
			return i;
	return -1;
}

static const char *add_link(const char *line)
{
	unsigned int port, server;
	char name[32];

	if (sscanf(line, "link %31s %u %u", name, &port, &server) != 3 ||
	    port > UINT16_MAX || server > UINT16_MAX)
		return "link NAME PORT SERVER_PORT";
	if (find(name) || count == LINKS_MAX)
		return "the name is taken, or there are too many";
	links[count] = link_new(name, (uint16_t)port, (uint16_t)server);
	if (!links[count])
		return "cannot listen";
	count++;
	return NULL;
}

static const char *set_rule(const char *line)
{
	static const char *const classes[] = { "other", "volume", "peer",
					       "admin", "any", NULL };
	static const char *const directions[] = { "up", "down", "both", NULL };
	static const char *const modes[] = { "pass", "hold", "delay", "slow",
					     "cut", NULL };
	char name[32], words[3][16];
	uint64_t amount = 0, jitter = 0;
	int class, direction, mode, i, j;
	struct link *link;

	if (sscanf(line, "rule %31s %15s %15s %15s %" SCNu64 " %" SCNu64, name,
		   words[0], words[1], words[2], &amount, &jitter) < 4)
		return "rule NAME CLASS DIRECTION MODE [AMOUNT [JITTER]]";
	link = find(name);
	class = place(words[0], classes);
	direction = place(words[1], directions);
	mode = place(words[2], modes);
	if (!link || class < 0 || direction < 0 || mode < 0)
		return "no such link, class, direction or mode";
	for (i = 0; i < LINK_CLASSES; i++)
		for (j = 0; j < LINK_DIRECTIONS; j++)
			if ((class == LINK_CLASSES || class == i) &&
			    (direction == LINK_DIRECTIONS || direction == j))
				link_set(link, (unsigned int)i, j, mode, amount,
					 jitter);
	return NULL;
}

static const char *set_refusing(const char *line)
{
	char verb[16], name[32];
	struct link *link = NULL;

	if (sscanf(line, "%15s %31s", verb, name) == 2)
		link = find(name);
	if (!link)
		return "no such link";
	link_refuse(link, strcmp(verb, "refuse") == 0);
	return NULL;
}

static const char *obey(const char *line)
{
	if (strncmp(line, "link ", 5) == 0)
		return add_link(line);
	if (strncmp(line, "rule ", 5) == 0)
		return set_rule(line);
	if (strncmp(line, "refuse ", 7) == 0 || strncmp(line, "accept ", 7) == 0)
		return set_refusing(line);
	return "no such command";
}

int main(void)
{
	const char *wrong;
	char line[256];

	signal(SIGPIPE, SIG_IGN);
	while (fgets(line, sizeof(line), stdin)) {
		wrong = obey(line);
		if (wrong)
			printf("error %s: %s", wrong, line);
		else
			printf("ok\n");
		fflush(stdout);
	}
	return 0;
}
