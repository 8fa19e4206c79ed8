// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a step needs of the kernel. The program brings a script for each need, which succeeds where
 * the kernel has it; it is run once, just before the first step that needs it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"

struct need {
	struct need *next;
	char *name;
	int met;
};

static struct need *needs;

static int probe(const char *name)
{
	char command[256];
	int length = snprintf(command, sizeof(command), "sh " PROGRAM_DIR "/need-%s > /dev/null 2>&1", name);

	if (length >= (int)sizeof(command))
		lab_fault("a need's name is too long", ENAMETOOLONG);
	return !child_run("-", command);
}

static struct need *find(const char *name)
{
	struct need *at;

	for (at = needs; at; at = at->next)
		if (!strcmp(at->name, name))
			return at;
	at = malloc(sizeof(*at));
	if (!at || !(at->name = strdup(name)))
		bail_out("needs", ENOMEM);
	at->met = probe(name);
	at->next = needs;
	needs = at;
	return at;
}

/* The first of the names, with commas between, that the kernel lacks; NULL where it has them all. */
const char *need_lacking(char *names)
{
	char *name, *save;
	struct need *found;

	for (name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		found = find(name);
		if (!found->met)
			return found->name;
	}
	return NULL;
}
