// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether the kernel is well after a step: the bits of its taint that came, and the kernel threads
 * that stay although every module that steps have loaded is gone.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

#define TAINTED "/proc/sys/kernel/tainted"
#define MODULES "/proc/modules"
#define MODULES_LIMIT (1024 * 1024)
#define STAT_SIZE 1024
#define GRACE_MS 100 /* a thread that has been stopped may still be seen for a moment */
#define MOST_LEFT 16 /* threads that are told of a step */

static int tainted = -1; /* a kernel without the file does without */
static uint64_t known;
static int modules_before;
static pid_t loader; /* the process that loaded the first of the modules that are there */

static uint64_t taint(void)
{
	char text[32];
	ssize_t size;

	if (tainted < 0 || lseek(tainted, 0, SEEK_SET))
		return known;
	size = read(tainted, text, sizeof(text) - 1);
	if (size <= 0)
		return known;
	text[size] = 0;
	return strtoull(text, NULL, 10);
}

/* One line for each module; 0 on a kernel that has none, or does not say. */
static int modules(void)
{
	size_t size;
	char *text = whole_file(MODULES, MODULES_LIMIT, &size), *at;
	int count = 0;

	for (at = text; at && *at; at++)
		count += *at == '\n';
	free(text);
	return count;
}

/* Opened before the guest is frozen: QEMU need not translate the kernel's code for it afterwards. */
void health_start(void)
{
	tainted = open(TAINTED, O_RDONLY | O_CLOEXEC);
	known = taint();
	modules_before = modules();
}

/*
 * A thread without memory of its own that has not ended is the kernel's; its workers come and go by
 * themselves. Puts its name into `name`. (proc(5), stat: the state is the third field, vsize the 23rd.)
 */
static int is_kernel_thread(const char *pid, char *name, size_t room)
{
	char path[64], stat[STAT_SIZE], *begin, *end, *at;
	int file, fields;
	ssize_t size;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	file = open(path, O_RDONLY);
	if (file < 0)
		return 0;
	size = read(file, stat, sizeof(stat) - 1);
	close(file);
	stat[size > 0 ? size : 0] = 0;
	begin = strchr(stat, '(');
	end = strrchr(stat, ')');
	if (!begin || !end || !end[1] || strchr("ZX", end[2]))
		return 0;
	for (at = end + 2, fields = 3; at && fields < 23; fields++)
		at = strchr(at + 1, ' ');
	*end = 0;
	snprintf(name, room, "%s", begin + 1);
	return at && strtoull(at, NULL, 10) == 0 && strncmp(name, "kworker/", 8);
}

/* How many threads have begun since the first module was loaded, and are there; says which. */
static int left(int say)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	char name[STAT_SIZE];
	int count = 0;

	while (proc && (entry = readdir(proc)) && count < MOST_LEFT) {
		if (!isdigit((unsigned char)*entry->d_name) || atoi(entry->d_name) <= loader ||
		    !is_kernel_thread(entry->d_name, name, sizeof(name)))
			continue;
		count++;
		if (!say)
			continue;
		report("# leaked=%s ", entry->d_name);
		report_escaped(name);
		report("\n");
	}
	if (proc)
		closedir(proc);
	return count;
}

/* A process is about to load a module: what the module starts is younger. */
void health_loading(pid_t process)
{
	if (!loader)
		loader = process;
}

/* Modules may have gone. */
void health_unloaded(void)
{
	if (!loader || modules() > modules_before)
		return;
	if (left(0)) {
		wait_ms(GRACE_MS);
		left(1);
	}
	loader = 0;
}

void health_report(void)
{
	uint64_t now = taint();

	if (now & ~known)
		report("# tainted=%llu\n", (unsigned long long)(now & ~known));
	known |= now;
}
