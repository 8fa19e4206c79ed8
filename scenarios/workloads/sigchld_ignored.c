// SPDX-License-Identifier: GPL-2.0-only
/*
 * Children of a process that ignores SIGCHLD: they end and leave no zombie. Whether that is so is
 * left to whoever looks: this only gives them the time to end, and tells what wait() says.
 */
#include "workload.h"

int main(int argc, char **argv)
{
	int count = option_count(argc, argv, "N children that leave no zombie", 1, 1000);
	pid_t *pids;

	if (signal(SIGCHLD, SIG_IGN) == SIG_ERR)
		fail("signal");
	pids = fork_children(count);
	sleep_ms(100);
	name_children(pids, count);
	say("count=%d", count);
	say("wait=%s", waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD ? "ECHILD" : "children");
	say("ready");
	stay();
}
