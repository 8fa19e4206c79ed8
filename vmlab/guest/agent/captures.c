// SPDX-License-Identifier: GPL-2.0-only
/* Captures: `name.key` stands for a value that a step gave; {name.key} is put in before a step runs. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"

struct capture {
	struct capture *next;
	char *name, *value;
};

static struct capture *captures;

static struct capture *find(const char *name, size_t length)
{
	struct capture *at;

	for (at = captures; at; at = at->next)
		if (strlen(at->name) == length && !memcmp(at->name, name, length))
			return at;
	return NULL;
}

void capture_set(const char *name, const char *key, const char *value)
{
	struct capture *at;
	char full[128];
	int length;

	if (!name || !strcmp(name, "-"))
		return;
	length = snprintf(full, sizeof(full), "%s.%s", name, key);
	if (length >= (int)sizeof(full))
		return;
	at = find(full, length);
	if (!at) {
		at = calloc(1, sizeof(*at));
		if (!at)
			bail_out(full, ENOMEM);
		at->name = strdup(full);
		at->next = captures;
		captures = at;
	}
	free(at->value);
	at->value = strdup(value);
	if (!at->name || !at->value)
		bail_out(full, ENOMEM);
	report_note();
	report("# set %s=", full);
	report_escaped(value);
	report("\n");
}

/* Takes a line of output where it reads key=value. */
void capture_line(const char *name, const char *line)
{
	const char *at = line;
	char key[64];

	while (isalnum((unsigned char)*at) || *at == '_')
		at++;
	if (*at != '=' || at == line || at - line >= (int)sizeof(key))
		return;
	memcpy(key, line, at - line);
	key[at - line] = 0;
	capture_set(name, key, at + 1);
}

static const struct capture *reference(const char *text, size_t *length)
{
	size_t at = 1;

	if (*text != '{')
		return NULL;
	while (isalnum((unsigned char)text[at]) || text[at] == '_' || text[at] == '.')
		at++;
	if (text[at] != '}')
		return NULL;
	*length = at + 1;
	return find(text + 1, at - 1);
}

/* Returns the text (malloc) with the references to known captures replaced. */
char *captures_resolve(const char *text)
{
	size_t used = 0, length;
	const struct capture *found;
	const char *at;
	char *out, *grown;

	out = malloc(strlen(text) + 1);
	for (at = text; out && *at;) {
		found = at > text && at[-1] == '$' ? NULL : reference(at, &length);
		if (!found) {
			out[used++] = *at++;
			continue;
		}
		at += length;
		grown = realloc(out, used + strlen(found->value) + strlen(at) + 1);
		if (!grown)
			bail_out("captures", ENOMEM);
		out = grown;
		memcpy(out + used, found->value, strlen(found->value));
		used += strlen(found->value);
	}
	if (!out)
		bail_out("captures", ENOMEM);
	out[used] = 0;
	return out;
}
