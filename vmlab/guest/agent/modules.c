// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel modules: the program's NAME.ko goes in, a loaded one goes out; and the kernel may ask for
 * one, where the program says what it may ask for.
 */
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
#define DEPENDS PROGRAM_DIR "/depends"
#define REQUESTS PROGRAM_DIR "/requests" /* as DEPENDS, for what modules of the project ask for */
#define MODPROBE "/proc/sys/kernel/modprobe"
#define PATH_LIMIT 256 /* of the kernel's, KMOD_PATH_LEN */

static int load(const char *name, const char *parameters)
{
	char path[256];
	size_t size;
	char *image;

	if (snprintf(path, sizeof(path), "%s/%s.ko", PROGRAM_DIR, name) >= (int)sizeof(path))
		return ENAMETOOLONG;
	image = whole_file(path, MODULE_LIMIT, &size);
	if (!image) {
		int error = errno;

		if (error == ENOENT)
			dprintf(1, "%s: neither the kernel nor the project has this module\n", name);
		return error;
	}
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

/* What the line "NAME: FIRST SECOND" of a file lists, NULL without one. */
static char *listed(const char *file, const char *name)
{
	size_t size, length = strlen(name);
	char *text = whole_file(file, DEPENDS_LIMIT, &size), *line;

	for (line = text ? strtok(text, "\n") : NULL; line; line = strtok(NULL, "\n"))
		if (!strncmp(line, name, length) && line[length] == ':')
			return line + length + 1;
	return NULL;
}

/*
 * Loads what a list names: what a module depends on, itself with the parameters, what follows it;
 * nothing where it is built into the kernel. What is loaded already is no error, nor is what
 * it can do without, which has a `?` before its name. Itself is the last that it cannot.
 */
static int load_all(char *list, const char *parameters)
{
	char *names[NAMES_LIMIT], *name, *own = NULL;
	size_t count = 0, at;
	int error = 0;

	for (name = strtok(list, " "); name; name = strtok(NULL, " ")) {
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

int module_probe(char *argument)
{
	char *parameters = after_word(argument), *list = listed(DEPENDS, argument);

	return load_all(list ? list : argument, parameters);
}

/* The kernel is to begin this program where it would begin modprobe. */
void modules_offer(void)
{
	char path[PATH_LIMIT] = "";
	int file;

	if (access(REQUESTS, F_OK) || access(MODPROBE, F_OK)) /* CONFIG_KMOD was an option up to 2.6.26 */
		return;
	file = open(MODPROBE, O_WRONLY);
	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0 || file < 0 ||
	    write(file, path, strlen(path)) < 0)
		lab_fault("telling the kernel of its modprobe", errno);
	close(file);
}

/* The first process may have words too: those of the kernel's command line that no one knows. */
int module_asked_for(int count, char **words)
{
	return count == REQUEST_WORDS && !strcmp(words[1], "-q") && !strcmp(words[2], "--");
}

/* The kernel takes an exit status that is not 0 for nothing worse than that nothing was loaded. */
int module_answer(const char *name)
{
	char *list = listed(REQUESTS, name);

	return !list || load_all(list, "");
}

int module_remove(char *argument)
{
	after_word(argument);
	return syscall(SYS_delete_module, argument, O_NONBLOCK) ? errno : 0;
}
