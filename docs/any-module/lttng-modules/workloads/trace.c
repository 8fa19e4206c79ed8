// SPDX-License-Identifier: GPL-2.0-only
/*
 * Takes a trace of one event with LTTng's tracer, and looks at the packets that its ring buffer
 * holds: trace EVENT. Without an event it lists those that loaded probes have.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PADDING 288
#define MMAP 1
#define PACKET_MAGIC 0xc1fc1fc1u /* of the Common Trace Format */

/* The tracer's calls, as its version 2.13 has them on /proc/lttng. */
struct channel {
	uint64_t buffer_size, buffers;
	uint32_t switch_us, read_us, output, overwrite;
	char padding[PADDING];
} __attribute__((packed));

struct event {
	char name[256];
	uint32_t instrumentation; /* 0: a tracepoint */
	uint64_t token;
	char padding[8 + PADDING];
} __attribute__((packed));

#define SESSION _IO(0xf6, 0x45)
#define LIST _IO(0xf6, 0x47)
#define CHANNEL _IOW(0xf6, 0x55, struct channel)
#define START _IO(0xf6, 0x56)
#define STOP _IO(0xf6, 0x57)
#define STREAM _IO(0xf6, 0x62)
#define EVENT _IOW(0xf6, 0x63, struct event)
#define ENABLE _IO(0xf6, 0x82)
#define NEXT _IO(0xf6, 0x05)
#define NEXT_DONE _IO(0xf6, 0x06)
#define MMAP_SIZE _IOR(0xf6, 0x0a, unsigned long)
#define MMAP_PLACE _IOR(0xf6, 0x0b, unsigned long)
#define CONTENT_BITS _IOR(0xf6, 0x23, uint64_t)

static int called(int file, unsigned long request, void *with, const char *what)
{
	int got = ioctl(file, request, with);

	if (got < 0) {
		perror(what);
		exit(1);
	}
	return got;
}

static int list(int tracer)
{
	FILE *events = fdopen(called(tracer, LIST, NULL, "listing"), "r");
	char line[512];

	while (events && fgets(line, sizeof(line), events))
		fputs(line, stdout);
	return !events;
}

static void read_packets(int stream)
{
	unsigned long size, place, packets = 0, bytes = 0;
	uint64_t bits;
	char *all;

	called(stream, MMAP_SIZE, &size, "the buffer's size");
	all = mmap(NULL, size, PROT_READ, MAP_PRIVATE, stream, 0);
	if (all == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	while (!ioctl(stream, NEXT)) {
		called(stream, MMAP_PLACE, &place, "the packet's place");
		called(stream, CONTENT_BITS, &bits, "the packet's size");
		if (*(uint32_t *)(all + place) != PACKET_MAGIC) {
			fprintf(stderr, "no packet: %#x\n", *(uint32_t *)(all + place));
			exit(1);
		}
		packets++;
		bytes += bits / 8;
		called(stream, NEXT_DONE, NULL, "giving the packet back");
	}
	printf("packets=%lu\nbytes=%lu\n", packets, bytes);
}

int main(int argc, char **argv)
{
	struct channel about = { .buffer_size = 65536, .buffers = 4, .output = MMAP };
	struct event event = { .instrumentation = 0 };
	int tracer = open("/proc/lttng", O_RDWR), session, channel, stream, enabled, i;

	if (tracer < 0) {
		perror("/proc/lttng");
		return 1;
	}
	if (argc < 2)
		return list(tracer);
	session = called(tracer, SESSION, NULL, "a session");
	channel = called(session, CHANNEL, &about, "a channel");
	stream = called(channel, STREAM, NULL, "a stream");
	snprintf(event.name, sizeof(event.name), "%s", argv[1]);
	enabled = called(channel, EVENT, &event, "the event");
	called(enabled, ENABLE, NULL, "enabling the event");
	called(session, START, NULL, "starting");
	for (i = 0; i < 100; i++)
		usleep(1000);
	called(session, STOP, NULL, "stopping");
	read_packets(stream);
	return 0;
}
