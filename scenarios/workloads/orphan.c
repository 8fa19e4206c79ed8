// SPDX-License-Identifier: GPL-2.0-only
/* A zombie whose parent ends at SIGUSR1 without having waited: it goes to init. */
#include "workload.h"

static void parent(int to)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (!pid)
		_exit(0);
	wait_for_state(pid, 'Z');
	if (write(to, &pid, sizeof(pid)) != sizeof(pid))
		fail("telling the pid");
	stay();
}

int main(int argc, char **argv)
{
	pid_t middle, zombie;
	int ends[2];

	option_count(argc, argv, "a zombie; SIGUSR1 ends its parent", 1, 1);
	block_signal(SIGUSR1);
	if (pipe(ends))
		fail("pipe");
	middle = fork();
	if (middle < 0)
		fail("fork");
	if (!middle)
		parent(ends[1]);
	if (read(ends[0], &zombie, sizeof(zombie)) != sizeof(zombie))
		fail("learning the pid");
	say("parent=%d", middle);
	say("zombie=%d", zombie);
	say("ready");
	wait_for_signal(SIGUSR1);
	kill(middle, SIGKILL);
	waitpid(middle, NULL, 0);
	while (state_of(zombie))
		sleep_ms(1);
	say("gone=%d", zombie);
	stay();
}
