/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the workloads share: small static programs that print key=value lines, then "ready", and
 * stay until a signal ends them. Errors go to stderr; wrong usage ends with status 2.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_NAMED 64 /* children that are told by pid */

static inline void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static inline void say(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	putchar('\n');
	fflush(stdout);
}

static inline void sleep_ms(long ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&time, &time) && errno == EINTR)
		;
}

/* For a workload that has no options but --help. */
static inline void no_options(int argc, char **argv, const char *about)
{
	if (argc == 1)
		return;
	if (argc == 2 && !strcmp(argv[1], "--help")) {
		printf("usage: %s\n%s\n", argv[0], about);
		exit(0);
	}
	fprintf(stderr, "usage: %s; \"%s\" is more than it takes\n", argv[0], argv[1]);
	exit(2);
}

/* The only option of the others: --count N. */
static inline int option_count(int argc, char **argv, const char *about, int least, int most)
{
	char *end;
	long count = 1;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		printf("usage: %s [--count N]\n%s\n", argv[0], about);
		exit(0);
	}
	if (argc == 1)
		return 1;
	if (argc == 3 && !strcmp(argv[1], "--count")) {
		count = strtol(argv[2], &end, 10);
		if (!*end && end != argv[2] && count >= least && count <= most)
			return count;
	}
	fprintf(stderr, "usage: %s [--count N], N from %d to %d\n", argv[0], least, most);
	exit(2);
}

/* Forks children that end at once; they share a pipe whose end of file says that all are gone. */
static inline pid_t *fork_children(int count)
{
	pid_t *pids = calloc(count, sizeof(*pids));
	int ends[2], i;
	char c;

	if (!pids || pipe(ends))
		fail("preparing children");
	for (i = 0; i < count; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			fail("fork");
		if (!pids[i])
			_exit(0);
	}
	close(ends[1]);
	while (read(ends[0], &c, 1) < 0 && errno == EINTR)
		;
	close(ends[0]);
	return pids;
}

/* The letter of /proc/PID/stat, 0 where there is no such process. */
static inline char state_of(pid_t pid)
{
	char path[32], text[512], *at;
	FILE *file;
	size_t size;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	size = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[size] = 0;
	at = strrchr(text, ')');
	return at ? at[2] : 0;
}

static inline void wait_for_state(pid_t pid, char state)
{
	while (state_of(pid) != state)
		sleep_ms(1);
}

/* Blocks a signal, so that wait_for_signal() finds it however early it comes. */
static inline void block_signal(int number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		fail("sigprocmask");
}

static inline void wait_for_signal(int number)
{
	sigset_t set;
	int got;

	sigemptyset(&set);
	sigaddset(&set, number);
	while (sigwait(&set, &got))
		;
}

static inline void stay(void)
{
	for (;;)
		pause();
}

static inline void name_children(const pid_t *pids, int count)
{
	int i;

	for (i = 0; i < count && i < MOST_NAMED; i++)
		say("child%d=%d", i + 1, pids[i]);
}

#endif
