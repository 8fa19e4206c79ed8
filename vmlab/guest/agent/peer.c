// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two guests that do the steps of one program in turn: after each of its own a guest says on ttyS2
 * how it came out, and before it goes on after one of the other's it waits to be told. The port is
 * spoken to by port I/O, as the results' is.
 */
#include <errno.h>
#include <sys/io.h>

#include "agent.h"

#define UART 0x3e8
#define UART_STATUS (UART + 5)
#define UART_HAS_INPUT 0x01
#define UART_TAKES_OUTPUT 0x20
#define FINE '+'
#define FAILED '-'
#define PAUSE_MS 1

static int there;

void peer_start(void)
{
	there = 1;
}

void peer_tell(int fine)
{
	if (!there)
		return;
	while (!(inb(UART_STATUS) & UART_TAKES_OUTPUT))
		;
	outb(fine ? FINE : FAILED, UART);
}

/* Until the other guest has done its step: 0, or ECANCELED where that failed. */
int peer_wait(void)
{
	while (!(inb(UART_STATUS) & UART_HAS_INPUT))
		wait_ms(PAUSE_MS);
	return inb(UART) == FINE ? 0 : ECANCELED;
}
