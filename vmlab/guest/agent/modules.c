// SPDX-License-Identifier: GPL-2.0-only
/* Kernel modules: the program's NAME.ko goes in, a loaded one goes out. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"
#include "modules.h"

#define MODULE_LIMIT (64 * 1024 * 1024)
#define DEPENDS_LIMIT (1024 * 1024)
#define NAMES_LIMIT 512

static int load(const char *name, const char *parameters)
{
	char path[256];
	size_t size;
	char *image;

	if (snprintf(path, sizeof(path), "%s/%s.ko", PROGRAM_DIR, name) >= (int)sizeof(path))
		return ENAMETOOLONG;
	image = whole_file(path, MODULE_LIMIT, &size);
	if (!image)
		return errno;
	return syscall(SYS_init_module, image, size, parameters) ? errno : 0;
}

/* Cuts the first word off; returns the rest. */
static char *after_word(char *text)
{
	char *rest = strchr(text, ' ');

	if (!rest)
		return text + strlen(text);
	*rest++ = 0;
	return rest + strspn(rest, " ");
}

int module_insert(char *argument)
{
	char *parameters = after_word(argument);

	return load(argument, parameters);
}

/* What the line "NAME: FIRST SECOND" of the program's file `depends` lists, NULL without one. */
static char *listed(const char *name)
{
	size_t size, length = strlen(name);
	char *text = whole_file(PROGRAM_DIR "/depends", DEPENDS_LIMIT, &size), *line;

	for (line = text ? strtok(text, "\n") : NULL; line; line = strtok(NULL, "\n"))
		if (!strncmp(line, name, length) && line[length] == ':')
			return line + length + 1;
	return NULL;
}

/*
 * Loads what is listed for the module: what it depends on, itself with the parameters, what follows
 * it; nothing where it is built into the kernel. What is loaded already is no error, nor is what
 * it can do without, which has a `?` before its name. Itself is the last that it cannot.
 */
int module_probe(char *argument)
{
	char *parameters = after_word(argument), *list = listed(argument), *name, *own = NULL;
	char *names[NAMES_LIMIT];
	size_t count = 0, at;
	int error = 0;

	for (name = strtok(list ? list : argument, " "); name; name = strtok(NULL, " ")) {
		if (count == NAMES_LIMIT)
			return E2BIG;
		names[count++] = name;
		if (*name != '?')
			own = name;
	}
	for (at = 0; at < count && !error; at++) {
		name = names[at];
		error = load(*name == '?' ? name + 1 : name, name == own ? parameters : "");
		if (error == EEXIST || *name == '?')
			error = 0;
	}
	return error;
}

int module_remove(char *argument)
{
	after_word(argument);
	return syscall(SYS_delete_module, argument, O_NONBLOCK) ? errno : 0;
}
