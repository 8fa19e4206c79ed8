// SPDX-License-Identifier: GPL-2.0-only
/*
 * A zombie and its living brother, whose parent ends at SIGUSR1 without having waited: both go to
 * init, which reaps the zombie.
 */
#include "workload.h"

static pid_t child(void (*what)(void))
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (!pid) {
		what();
		_exit(0);
	}
	return pid;
}

static void end(void)
{
}

static void parent(int to)
{
	pid_t pids[2];

	pids[0] = child(end);
	pids[1] = child(stay);
	wait_for_state(pids[0], 'Z');
	if (write(to, pids, sizeof(pids)) != sizeof(pids))
		fail("telling the pids");
	stay();
}

int main(int argc, char **argv)
{
	pid_t middle, pids[2];
	int ends[2];

	no_options(argc, argv, "a zombie and its living brother; SIGUSR1 ends their parent");
	block_signal(SIGUSR1);
	if (pipe(ends))
		fail("pipe");
	middle = fork();
	if (middle < 0)
		fail("fork");
	if (!middle)
		parent(ends[1]);
	close(ends[1]);
	if (read(ends[0], pids, sizeof(pids)) != sizeof(pids))
		fail("learning the pids");
	say("parent=%d", middle);
	say("zombie=%d", pids[0]);
	say("living=%d", pids[1]);
	say("ready");
	wait_for_signal(SIGUSR1);
	kill(middle, SIGKILL);
	waitpid(middle, NULL, 0);
	while (state_of(pids[0]))
		sleep_ms(1);
	say("gone=%d", pids[0]);
	stay();
}
