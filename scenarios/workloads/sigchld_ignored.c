// SPDX-License-Identifier: GPL-2.0-only
/* Children of a process that ignores SIGCHLD: they end and leave no zombie. */
#include "workload.h"

int main(int argc, char **argv)
{
	int count = option_count(argc, argv, "N children that leave no zombie", 1, 1000), i;
	pid_t *pids;

	if (signal(SIGCHLD, SIG_IGN) == SIG_ERR)
		fail("signal");
	pids = fork_children(count);
	for (i = 0; i < count; i++)
		while (state_of(pids[i]))
			sleep_ms(1);
	name_children(pids, count);
	say("count=%d", count);
	say("ready");
	stay();
}
