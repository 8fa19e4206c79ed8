// SPDX-License-Identifier: GPL-2.0-only
/*
 * The results port: KTAP on ttyS1, written by port I/O, so that a report is out
 * when the call returns and no driver's buffer or interrupt has a part in it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define UART 0x2f8
#define UART_STATUS (UART + 5)
#define UART_HAS_INPUT 0x01
#define UART_TAKES_OUTPUT 0x20
/* QEMU's isa-debug-exit: its process ends at once, with the status (value << 1) | 1. */
#define DEBUG_EXIT 0xf4
#define DEBUG_EXIT_VALUE 0x21
#define LEAVING_CYCLES 10000000000ULL
/*
 * ttyS0 and ttyS1 also go, in the order of their bytes, into one transcript. This byte
 * marks a place in it; the host counts from there how far the console had come.
 */
#define MARK '\x1e'
#define OUTPUT_LIMIT (256 * 1024)
#define INPUT_PAUSE_NS 2000000

static size_t output_size;
static int output_fresh = 1; /* the next byte of output begins a line */
static int silent;
static int output_broken; /* a note stands in the middle of a line of output */

static void send(char c)
{
	while (!(inb(UART_STATUS) & UART_TAKES_OUTPUT))
		;
	outb(c, UART);
}

static void put(char c)
{
	if (!silent)
		send(c);
}

static void put_all(const char *text, size_t size)
{
	while (size--)
		put(*text++);
}

void report_silence(void)
{
	silent = 1;
}

void port_write(const char *text, size_t size)
{
	while (size--)
		send(*text++);
}

void report(const char *format, ...)
{
	char line[1024];
	va_list list;
	int size;

	va_start(list, format);
	size = vsnprintf(line, sizeof(line), format, list);
	va_end(list);
	if (size >= (int)sizeof(line)) {
		size = sizeof(line) - 1;
		line[size - 1] = '\n';
	}
	put_all(line, size);
}

void report_mark(void)
{
	put(MARK);
}

/* One line's worth of text: backslash, newline, tab and what is not printable as escapes. */
void report_escaped(const char *text)
{
	for (; *text; text++) {
		unsigned char c = *text;

		if (c == '\\')
			put_all("\\\\", 2);
		else if (c == '\n')
			put_all("\\n", 2);
		else if (c == '\t')
			put_all("\\t", 2);
		else if (c < 32 || c == 127)
			report("\\x%02x", c);
		else
			put(c);
	}
}

void report_output_begin(void)
{
	output_size = 0;
	output_fresh = 1;
	output_broken = 0;
}

/* Before a line of our own: output may stand in the middle of a line, which goes on after it. */
void report_note(void)
{
	if (output_fresh || output_broken)
		return;
	put('\n');
	output_broken = 1;
}

/* Output of a step: each line after "# | ", of OUTPUT_LIMIT bytes at most; "# + " goes on with one. */
void report_output(const char *text, size_t size)
{
	for (; size; size--, text++) {
		if (output_size++ >= OUTPUT_LIMIT)
			continue;
		if (output_fresh || output_broken)
			report(output_fresh ? "# | " : "# + ");
		output_broken = 0;
		output_fresh = *text == '\n';
		put(*text == MARK ? '?' : *text);
	}
}

void report_output_end(void)
{
	report_note();
	if (output_size > OUTPUT_LIMIT)
		report("# cut=%zu\n", output_size - OUTPUT_LIMIT);
}

int port_next(void)
{
	return inb(UART_STATUS) & UART_HAS_INPUT ? inb(UART) : -1;
}

/* Waits for a line from the host; returns its length. */
int report_next_line(char *line, size_t size)
{
	const struct timespec pause = { 0, INPUT_PAUSE_NS };
	size_t length = 0;
	int c = 0;

	while (c != '\n') {
		c = port_next();
		if (c < 0) {
			nanosleep(&pause, NULL);
			continue;
		}
		if (c != '\n' && length + 1 < size)
			line[length++] = c;
	}
	line[length] = 0;
	return length;
}

void leave(void)
{
	unsigned long long began = __builtin_ia32_rdtsc();

	outb(DEBUG_EXIT_VALUE, DEBUG_EXIT);
	/* A newer QEMU than 7.2 ends a moment later: until then as little as can be happens in the guest. */
	while (__builtin_ia32_rdtsc() - began < LEAVING_CYCLES)
		;
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

static void __attribute__((noreturn)) give_up(const char *whose, const char *what, int error)
{
	silent = 0;
	report_note();
	report("Bail out! %s%s: %s\n", whose, what, strerror(error));
	leave();
}

void bail_out(const char *what, int error)
{
	give_up("", what, error);
}

/* Memory that ran out is no fault of the lab's, whatever it was for. */
void lab_fault(const char *what, int error)
{
	give_up(error == ENOMEM ? "" : "lab: ", what, error);
}
