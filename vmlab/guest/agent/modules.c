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

/* The line "NAME: FIRST SECOND" of the program's file `depends`, NULL without one. */
static char *dependencies(const char *name)
{
	size_t size, length = strlen(name);
	char *text = whole_file(PROGRAM_DIR "/depends", DEPENDS_LIMIT, &size), *line;

	for (line = text ? strtok(text, "\n") : NULL; line; line = strtok(NULL, "\n"))
		if (!strncmp(line, name, length) && line[length] == ':')
			return line + length + 1;
	return NULL;
}

/* As module_insert, after all that the module depends on; what is loaded already is no error. */
int module_probe(char *argument)
{
	char *parameters = after_word(argument), *list = dependencies(argument), *name;
	int error;

	for (name = list ? strtok(list, " ") : NULL; name; name = strtok(NULL, " ")) {
		error = load(name, "");
		if (error && error != EEXIST)
			return error;
	}
	error = load(argument, parameters);
	return error == EEXIST ? 0 : error;
}

int module_remove(char *argument)
{
	after_word(argument);
	return syscall(SYS_delete_module, argument, O_NONBLOCK) ? errno : 0;
}
