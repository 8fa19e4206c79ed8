// SPDX-License-Identifier: GPL-2.0-only
/*
 * An interactive shell on ttyS1, whose bytes go by port I/O as the results do: no driver of the
 * kernel has a part in it. The shell has a terminal of its own (a pty), so that Ctrl-C, jobs and
 * programs for the whole screen are as they should be.
 *
 * What the host sends is typed in, but for SHELL_ESCAPE: after it comes a line, or once more the same
 * byte, which is typed in. A line is "ROWS COLUMNS", the terminal's size; "NAME=VALUE", which goes
 * into the shell's environment; or "go", with which the shell begins.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent.h"

#define SHELL_ESCAPE 0x1e
#define BUSY_MS 2
#define IDLE_MS 20
#define BUSY_TURNS 500 /* a second after the last byte */

#define LINE_SIZE 256

struct terminal {
	int master;
	int begun;
	int waiting; /* a byte that could not be typed in yet, -1: none */
	int escaped; /* -1: no; else how many bytes of the line have come */
	char line[LINE_SIZE];
};

static int open_terminal(char *slave, size_t size)
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), number, unlocked = 0;

	if (master < 0)
		bail_out("/dev/ptmx", errno);
	if (ioctl(master, TIOCSPTLCK, &unlocked) || ioctl(master, TIOCGPTN, &number))
		bail_out("a terminal", errno);
	snprintf(slave, size, "/dev/pts/%d", number);
	fcntl(master, F_SETFL, O_NONBLOCK);
	return master;
}

static void obey(struct terminal *terminal)
{
	struct winsize size = { 0 };
	char *end = strchr(terminal->line, '=');

	if (end) {
		*end = 0;
		setenv(terminal->line, end + 1, 1);
		return;
	}
	if (!strcmp(terminal->line, "go")) {
		terminal->begun = 1;
		return;
	}
	size.ws_row = strtoul(terminal->line, &end, 10);
	size.ws_col = strtoul(end, NULL, 10);
	ioctl(terminal->master, TIOCSWINSZ, &size);
}

/* What nobody reads fills the terminal at some time; until there is room, the host has to wait. */
static void type(struct terminal *terminal, char c)
{
	terminal->waiting = write(terminal->master, &c, 1) < 0 && errno == EAGAIN ? (unsigned char)c : -1;
}

static void take(struct terminal *terminal, char c)
{
	if (terminal->escaped < 0 && c == SHELL_ESCAPE) {
		terminal->escaped = 0;
	} else if (terminal->escaped < 0 || (!terminal->escaped && c == SHELL_ESCAPE)) {
		terminal->escaped = -1;
		type(terminal, c);
	} else if (c == '\n') {
		terminal->line[terminal->escaped] = 0;
		terminal->escaped = -1;
		obey(terminal);
	} else if (terminal->escaped + 1 < LINE_SIZE) {
		terminal->line[terminal->escaped++] = c;
	}
}

/* Returns whether anything went either way. */
static int relay(struct terminal *terminal)
{
	char block[512];
	int moved = 0, c;
	ssize_t n;

	if (terminal->waiting >= 0)
		type(terminal, terminal->waiting);
	while (terminal->waiting < 0 && (c = port_next()) >= 0) {
		take(terminal, c);
		moved = 1;
	}
	n = read(terminal->master, block, sizeof(block));
	if (n > 0) {
		port_write(block, n);
		moved = 1;
	}
	return moved;
}

/* Serves one shell to its end. */
void shell_serve(void)
{
	struct terminal terminal = { .waiting = -1, .escaped = -1 };
	struct pollfd polled = { .events = POLLIN };
	struct child *child;
	char slave[32];
	int quiet = 0;

	children_limit(0);
	report_silence();
	terminal.master = polled.fd = open_terminal(slave, sizeof(slave));
	while (!terminal.begun)
		if (!relay(&terminal))
			wait_ms(BUSY_MS);
	child = child_on(slave);
	while (!child_ended(child)) {
		if (relay(&terminal)) {
			quiet = 0;
			continue;
		}
		/* Until the shell has opened it, the terminal says that it is hung up. */
		if (poll(&polled, 1, quiet++ < BUSY_TURNS ? BUSY_MS : IDLE_MS) > 0 &&
		    (polled.revents & POLLHUP))
			wait_ms(BUSY_MS);
		wait_ms(0);
	}
	while (relay(&terminal))
		;
}
