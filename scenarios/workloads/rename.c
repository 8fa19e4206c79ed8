// SPDX-License-Identifier: GPL-2.0-only
/*
 * A zombie's parent that takes another name at each SIGUSR1. With --try its status says whether
 * the kernel lets a process do that (2.6.9).
 */
#include <sys/prctl.h>

#include "workload.h"

int main(int argc, char **argv)
{
	char name[32]; /* the kernel keeps 15 characters of it */
	pid_t *pids;
	int number;

	if (argc == 2 && !strcmp(argv[1], "--try"))
		return prctl(PR_SET_NAME, "tried") != 0;
	no_options(argc, argv, "a process that changes its name at each SIGUSR1");
	block_signal(SIGUSR1);
	pids = fork_children(1);
	wait_for_state(*pids, 'Z');
	name_children(pids, 1);
	say("ready");
	for (number = 1;; number++) {
		wait_for_signal(SIGUSR1);
		snprintf(name, sizeof(name), "renamed-%d", number);
		if (prctl(PR_SET_NAME, name))
			fail("prctl");
		say("name=%s", name);
	}
}
