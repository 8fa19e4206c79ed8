// SPDX-License-Identifier: GPL-2.0-only
/* Children that end and are not waited for, until SIGUSR1: then all are reaped. */
#include "workload.h"

int main(int argc, char **argv)
{
	int count = option_count(argc, argv, "N zombies; SIGUSR1 reaps them", 1, 4000);
	int reaped = 0, i;
	pid_t *pids;

	block_signal(SIGUSR1);
	pids = fork_children(count);
	for (i = 0; i < count; i++)
		wait_for_state(pids[i], 'Z');
	name_children(pids, count);
	say("count=%d", count);
	say("ready");
	wait_for_signal(SIGUSR1);
	while (reaped < count && wait(NULL) > 0)
		reaped++;
	say("reaped=%d", reaped);
	stay();
}
