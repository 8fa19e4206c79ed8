// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes or removes a device of the device mapper: table NAME SECTORS TARGET ARGUMENTS..., or
 * table NAME. The node is /dev/NAME.
 */
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define ROOM 4096

static struct dm_ioctl *begun(const char *name, unsigned int size)
{
	static char room[ROOM] __attribute__((aligned(8)));
	struct dm_ioctl *call = (struct dm_ioctl *)room;

	memset(room, 0, ROOM);
	call->version[0] = DM_VERSION_MAJOR;
	call->data_size = size;
	call->data_start = sizeof(*call);
	snprintf(call->name, sizeof(call->name), "%s", name);
	return call;
}

static void done(int control, unsigned long request, struct dm_ioctl *call, const char *what)
{
	if (!ioctl(control, request, call))
		return;
	perror(what);
	exit(1);
}

static void load(int control, const char *name, const char *sectors, char **words)
{
	struct dm_ioctl *call = begun(name, ROOM);
	struct dm_target_spec *target = (struct dm_target_spec *)(call + 1);
	char *text = (char *)(target + 1), *end = (char *)call + ROOM;
	int i;

	call->target_count = 1;
	target->length = strtoull(sectors, NULL, 10);
	snprintf(target->target_type, sizeof(target->target_type), "%s", words[0]);
	for (i = 1; words[i]; i++)
		text += snprintf(text, end - text, "%s%s", i > 1 ? " " : "", words[i]);
	target->next = ROOM - sizeof(*call);
	done(control, DM_TABLE_LOAD, call, "loading the table");
}

int main(int argc, char **argv)
{
	int control = open("/dev/mapper/control", O_RDWR);
	struct dm_ioctl *call;
	char node[64];

	if (control < 0) {
		perror("/dev/mapper/control");
		return 1;
	}
	snprintf(node, sizeof(node), "/dev/%s", argc > 1 ? argv[1] : "");
	if (argc == 2) {
		remove(node);
		done(control, DM_DEV_REMOVE, begun(argv[1], sizeof(*call)), "removing");
		return 0;
	}
	if (argc < 4)
		return 2;
	done(control, DM_DEV_CREATE, begun(argv[1], sizeof(*call)), "creating");
	load(control, argv[1], argv[2], argv + 3);
	call = begun(argv[1], sizeof(*call));
	done(control, DM_DEV_SUSPEND, call, "resuming"); /* without its flag it resumes */
	if (mknod(node, S_IFBLK | 0600, makedev((call->dev >> 8) & 0xfff, call->dev & 0xff)))
		perror(node);
	return 0;
}
