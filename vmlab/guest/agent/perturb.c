// SPDX-License-Identifier: GPL-2.0-only
/*
 * An explored run: the host has the program begin later by some instructions, and pauses before
 * its steps. The numbers come with the mode; a plain run has none, and nothing here takes time.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "agent.h"

#define MAX_PAUSES 64

static unsigned long pauses_us[MAX_PAUSES];
static int count, next;

/* A few instructions a turn: finer than any sleep. */
static void spin(unsigned long turns)
{
	for (; turns; turns--)
		__asm__ volatile("");
}

/* "TURNS US US ...": the turns are taken now, a pause before each step. */
void perturb_start(const char *numbers)
{
	char *end;
	unsigned long turns = strtoul(numbers, &end, 10);

	while (*end && count < MAX_PAUSES)
		pauses_us[count++] = strtoul(end, &end, 10);
	spin(turns);
}

void perturb_pause(void)
{
	struct timespec pause = { 0, 0 };

	if (!count)
		return;
	pause.tv_sec = pauses_us[next] / 1000000;
	pause.tv_nsec = pauses_us[next] % 1000000 * 1000;
	next = (next + 1) % count;
	while (nanosleep(&pause, &pause) && errno == EINTR)
		;
}
