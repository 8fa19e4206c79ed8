// SPDX-License-Identifier: GPL-2.0-only
/* A thread group's leader that ends before its thread; at SIGUSR1 the thread ends too. */
#include <pthread.h>
#include <sys/syscall.h>

#include "workload.h"

static void *thread(void *unused)
{
	(void)unused;
	wait_for_state(getpid(), 'Z');
	say("thread=%ld", (long)syscall(SYS_gettid));
	say("leader=%d", getpid());
	say("ready");
	wait_for_signal(SIGUSR1);
	_exit(0);
}

int main(int argc, char **argv)
{
	pthread_t made;

	no_options(argc, argv, "a leader that ends before its thread; SIGUSR1 ends it");
	block_signal(SIGUSR1);
	errno = pthread_create(&made, NULL, thread, NULL);
	if (errno)
		fail("pthread_create");
	syscall(SYS_exit, 0);
}
