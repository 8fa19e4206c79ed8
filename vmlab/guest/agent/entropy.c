// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's random numbers. Without a hardware source the first read waits for entropy that a
 * quiet guest does not have: it is credited. What later reads give depends on the seed.
 */
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent.h"

#define POOL_BYTES 512

/* Fails on a kernel without the device or the call; such a one does without. */
static void add(const char *text, size_t length)
{
	struct {
		int bits, size;
		char bytes[POOL_BYTES];
	} entropy = { POOL_BYTES * 8, POOL_BYTES, { 0 } };
	int file = open("/dev/urandom", O_RDWR);
	size_t at;

	if (file < 0)
		return;
	for (at = 0; at < POOL_BYTES; at++)
		entropy.bytes[at] = text[at % length] + at;
	ioctl(file, RNDADDENTROPY, &entropy);
	ioctl(file, RNDRESEEDCRNG);
	close(file);
}

void entropy_credit(void)
{
	add("vmlab", strlen("vmlab"));
}

void entropy_seed(const char *seed)
{
	if (*seed)
		add(seed, strlen(seed));
}
