// SPDX-License-Identifier: GPL-2.0-only
/*
 * Zombies in a PID namespace, told by the pids that the host sees; SIGUSR1 ends its init. With --try
 * its status says whether the kernel makes one: those that do not know the flag pass over it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <sched.h>

#include "workload.h"

#define STACK_SIZE 65536
#define CHILDREN 1000

static int inner(void *argument)
{
	int *settings = argument;
	pid_t *pids = fork_children(settings[0]);
	int i;

	/* /proc is the host's, so the states cannot be read here: the caller does. */
	for (i = 0; i < settings[0]; i++)
		if (pids[i] <= 1)
			return 1;
	if (write(settings[1], "x", 1) != 1)
		return 1;
	stay();
	return 0;
}

static int is_init(void *unused)
{
	(void)unused;
	return getpid() != 1;
}

static void try(void)
{
	static char stack[STACK_SIZE] __attribute__((aligned(16)));
	pid_t pid = clone(is_init, stack + STACK_SIZE, CLONE_NEWPID | SIGCHLD, NULL);
	int status;

	if (pid < 0)
		fail("clone with CLONE_NEWPID");
	exit(waitpid(pid, &status, 0) != pid || status);
}

static pid_t parent_of(pid_t pid)
{
	char path[32], text[512], *at;
	FILE *file;
	size_t size;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	size = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[size] = 0;
	at = strrchr(text, ')');
	if (at)
		sscanf(at + 4, "%d", &parent);
	return parent;
}

static int find_children(pid_t parent, pid_t *pids)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	if (!proc)
		fail("/proc");
	while ((entry = readdir(proc)) && count < CHILDREN)
		if (atoi(entry->d_name) > 0 && parent_of(atoi(entry->d_name)) == parent)
			pids[count++] = atoi(entry->d_name);
	closedir(proc);
	return count;
}

int main(int argc, char **argv)
{
	static char stack[STACK_SIZE] __attribute__((aligned(16)));
	const char *about = "N zombies in a PID namespace; SIGUSR1 ends it";
	int trying = argc == 2 && !strcmp(argv[1], "--try");
	int count = trying ? 0 : option_count(argc, argv, about, 1, 100);
	pid_t pids[CHILDREN], init;
	int ends[2], settings[2], i;
	char c;

	if (trying)
		try();
	block_signal(SIGUSR1);
	if (pipe(ends))
		fail("pipe");
	settings[0] = count;
	settings[1] = ends[1];
	init = clone(inner, stack + STACK_SIZE, CLONE_NEWPID | SIGCHLD, settings);
	if (init < 0)
		fail("clone with CLONE_NEWPID");
	if (read(ends[0], &c, 1) != 1 || find_children(init, pids) != count)
		fail("finding the children of the namespace's init");
	for (i = 0; i < count; i++)
		wait_for_state(pids[i], 'Z');
	say("init=%d", init);
	name_children(pids, count);
	say("ready");
	wait_for_signal(SIGUSR1);
	kill(init, SIGKILL);
	waitpid(init, NULL, 0);
	say("ended=%d", init);
	stay();
}
