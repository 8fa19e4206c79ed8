// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes of the guest, and the one place where the agent waits: while it waits it reaps
 * every child, also those it inherits as init, and reads what the running ones say.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define MAX_CHILDREN 64
#define LINE_SIZE 512

struct child {
	const char *name;
	pid_t pid; /* 0: the slot is free */
	int from; /* what it writes, -1: closed */
	int status;
	unsigned ended : 1, ready : 1, background : 1;
	size_t length;
	char line[LINE_SIZE];
};

static struct child children[MAX_CHILDREN];
static int wake[2];
static uint64_t deadline_us;
static pid_t last;

static void on_child(int number)
{
	int saved = errno;

	(void)number;
	if (write(wake[1], "", 1) < 0)
		errno = saved; /* the pipe is full: a wake-up is pending anyway */
	errno = saved;
}

uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void make_pipe(int ends[2], int reader_blocks)
{
	if (pipe(ends))
		bail_out("pipe", errno);
	fcntl(ends[0], F_SETFD, FD_CLOEXEC);
	fcntl(ends[1], F_SETFD, FD_CLOEXEC);
	if (!reader_blocks)
		fcntl(ends[0], F_SETFL, O_NONBLOCK);
}

/* Guest time from now on for all steps together; 0: any. */
void children_limit(uint64_t limit_ms)
{
	deadline_us = limit_ms ? now_us() + limit_ms * 1000 : 0;
}

void children_start(uint64_t limit_ms)
{
	struct sigaction action = { .sa_handler = on_child, .sa_flags = SA_RESTART | SA_NOCLDSTOP };

	make_pipe(wake, 0);
	fcntl(wake[1], F_SETFL, O_NONBLOCK);
	sigaction(SIGCHLD, &action, NULL);
	children_limit(limit_ms);
}

static void take_line(struct child *child)
{
	child->line[child->length] = 0;
	child->length = 0;
	if (child->ready) {
		report_note();
		report("# %s: ", child->name);
		report_escaped(child->line);
		report("\n");
	}
	if (!strcmp(child->line, "ready"))
		child->ready = 1;
	else
		capture_line(child->name, child->line);
}

static void take(struct child *child, const char *text, ssize_t size)
{
	/* A step's output is what its own command says; what others say later goes by their name. */
	if (!child->ready)
		report_output(text, size);
	for (; size > 0; size--, text++) {
		if (*text == '\n')
			take_line(child);
		else if (child->length + 1 < LINE_SIZE)
			child->line[child->length++] = *text;
	}
}

/* Reads what is there now. */
static void drain(struct child *child)
{
	char block[4096];
	ssize_t n;

	while (child->from >= 0) {
		n = read(child->from, block, sizeof(block));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			if (child->length)
				take_line(child);
			close(child->from);
			child->from = -1;
			return;
		}
		take(child, block, n);
	}
}

static void reap(void)
{
	char block[64];
	int status, i;
	pid_t pid;

	while (read(wake[0], block, sizeof(block)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (i = 0; i < MAX_CHILDREN; i++)
			if (children[i].pid == pid) {
				children[i].ended = 1;
				children[i].status = status;
			}
}

/* Waits for anything to happen, until the given time or the end of all steps' time. */
static void wait_once(uint64_t until_us)
{
	struct pollfd polled[MAX_CHILDREN + 1] = { { .fd = wake[0], .events = POLLIN } };
	uint64_t now = now_us(), until = until_us;
	int count = 1, i;

	if (deadline_us && now >= deadline_us)
		bail_out("timeout of the steps", ETIMEDOUT);
	if (deadline_us && deadline_us < until)
		until = deadline_us;
	for (i = 0; i < MAX_CHILDREN; i++)
		if (children[i].pid && children[i].from >= 0)
			polled[count++] = (struct pollfd){ .fd = children[i].from, .events = POLLIN };
	if (until > now + 3600000000ULL)
		until = now + 3600000000ULL;
	if (poll(polled, count, now < until ? (until - now + 999) / 1000 : 0) > 0) {
		for (i = 0; i < MAX_CHILDREN; i++)
			if (children[i].pid)
				drain(&children[i]);
		reap();
	}
}

void wait_ms(uint64_t ms)
{
	uint64_t until = now_us() + ms * 1000;

	do
		wait_once(until);
	while (now_us() < until);
}

static struct child *new_child(const char *name)
{
	int i;

	for (i = 0; i < MAX_CHILDREN; i++)
		if (!children[i].pid || (children[i].ended && children[i].from < 0)) {
			memset(&children[i], 0, sizeof(children[i]));
			children[i].name = name;
			return &children[i];
		}
	lab_fault("more than 64 processes were spawned", EAGAIN);
}

/* A new child's slot and the pipe that it writes into; returns the pipe's other end. */
static struct child *prepare(const char *name, int *output)
{
	struct child *child = new_child(name);
	int ends[2];

	make_pipe(ends, 0);
	child->from = ends[0];
	*output = ends[1];
	return child;
}

static void begun(struct child *child, int output)
{
	if (child->pid < 0)
		bail_out("fork", errno);
	last = child->pid;
	close(output);
}

/*
 * Begins a command. With vfork no pages are copied, and QEMU need not translate the kernel's code
 * for it, which costs more than running it; the child only makes calls and execs.
 */
static struct child *start(const char *name, const char *command, const char *for_shell)
{
	int output;
	struct child *child = prepare(name, &output);

	command_prepare(command, for_shell);
	child->pid = vfork();
	if (!child->pid) {
		setsid();
		dup2(output, 1);
		dup2(output, 2);
		command_exec();
	}
	begun(child, output);
	return child;
}

static int exit_status(const struct child *child)
{
	if (WIFSIGNALED(child->status))
		return 128 + WTERMSIG(child->status);
	return WEXITSTATUS(child->status);
}

/* What it leaves running in the background may hold the pipe: its own end is what counts. */
static int wait_end(struct child *child)
{
	int status;

	while (!child->ended)
		wait_once(UINT64_MAX);
	drain(child);
	if (child->from >= 0)
		close(child->from);
	status = exit_status(child);
	child->pid = 0;
	return status;
}

/* Starts a command that goes on while later steps run; its lines key=value become captures. */
struct child *child_spawn(const char *name, const char *command)
{
	char pid[16], *line = malloc(strlen(command) + 6);
	struct child *child;

	if (!line)
		bail_out("spawn", ENOMEM);
	strcat(strcpy(line, "exec "), command);
	child = start(strdup(name), command, line);
	free(line);
	child->background = 1;
	snprintf(pid, sizeof(pid), "%d", child->pid);
	capture_set(name, "pid", pid);
	return child;
}

/*
 * Returns 0 once it says `ready`; where it ends before, its exit status, or NOT_READY + ENODATA if
 * that is 0: it is not there for the steps that count on it. NOT_READY + ETIMEDOUT after ms.
 */
int child_wait_ready(struct child *child, uint64_t ms)
{
	uint64_t until = now_us() + ms * 1000;

	while (!child->ready && !child->ended && now_us() < until)
		wait_once(until);
	drain(child);
	if (child->ready)
		return 0;
	if (!child->ended)
		return NOT_READY + ETIMEDOUT;
	return exit_status(child) ? exit_status(child) : NOT_READY + ENODATA;
}

/* Runs a shell command to its end; returns its exit status. */
int child_run(const char *name, const char *command)
{
	return wait_end(start(name, command, command));
}

/*
 * Makes a call in a process of its own, so that one that hangs or dies leaves the agent alive.
 * Its errno comes back in shared memory: an exit status would cut those above 255 (ENOTSUPP).
 */
int child_call(int (*call)(char *argument), char *argument)
{
	int *error = mmap(NULL, sizeof(*error), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct child *child;
	int output, status;

	if (error == MAP_FAILED)
		bail_out("shared memory", errno);
	child = prepare("-", &output);
	child->pid = fork();
	if (!child->pid) {
		signal(SIGCHLD, SIG_DFL);
		dup2(output, 1);
		*error = call(argument);
		_exit(0);
	}
	begun(child, output);
	status = wait_end(child);
	if (!status)
		status = *error;
	munmap(error, sizeof(*error));
	return status;
}

/* The youngest process that was begun here. */
pid_t child_last(void)
{
	return last;
}

/* Begins a shell for whom sits at a terminal. */
struct child *child_on(const char *terminal)
{
	struct child *child = new_child("shell");
	int file;

	child->from = -1;
	child->pid = fork();
	if (!child->pid) {
		signal(SIGCHLD, SIG_DFL);
		setsid();
		file = open(terminal, O_RDWR);
		if (file < 0)
			_exit(127);
		dup2(file, 0);
		dup2(file, 1);
		dup2(file, 2);
		if (file > 2)
			close(file);
		execl("/bin/sh", "sh", "-i", NULL);
		_exit(127);
	}
	if (child->pid < 0)
		bail_out("fork", errno);
	return child;
}

int child_ended(const struct child *child)
{
	return child->ended;
}
