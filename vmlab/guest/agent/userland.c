// SPDX-License-Identifier: GPL-2.0-only
/* What an image may want begun, firmware, and devices that a snapshot has forgotten. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

#define START "/etc/vmlab/start"
#define PCI "/sys/bus/pci"
#define GONE_MS 2000
#define FIRMWARE PROGRAM_DIR "/firmware"
#define FIRMWARE_DIR "/lib/firmware"
#define FIRMWARE_PATH "/sys/module/firmware_class/parameters/path" /* since 3.7 */

/* Before the guest is frozen, so that it is done once for all that begin from there. */
void userland_start(void)
{
	int status = 0;
	pid_t pid;

	if (access(START, X_OK))
		return;
	pid = fork();
	if (!pid) {
		setsid();
		execl(START, START, NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (pid < 0 || status)
		lab_fault("the image's start", pid < 0 ? -1 : WEXITSTATUS(status));
}

/*
 * Firmware that the program brings. Where the image has a directory of its own for it, the kernel
 * is told of ours; what it is told must not end in a newline.
 */
void firmware_start(void)
{
	int file;

	if (access(FIRMWARE, X_OK))
		return;
	mkdir("/lib", 0755);
	if (!symlink(FIRMWARE, FIRMWARE_DIR))
		return;
	file = open(FIRMWARE_PATH, O_WRONLY);
	if (file < 0 || write(file, FIRMWARE, strlen(FIRMWARE)) < 0)
		lab_fault("telling the kernel of " FIRMWARE, file < 0 ? 2 : 22);
	close(file);
}

static void put(const char *path, const char *value)
{
	int file = open(path, O_WRONLY);

	if (file < 0 || write(file, value, strlen(value)) < 0)
		lab_fault(path, file < 0 ? 2 : 5);
	close(file);
}

/* "0x1234\n" of a device's file in sysfs, as a number. */
static unsigned number_in(const char *device, const char *name)
{
	char path[300], text[16];
	unsigned value = 0;
	ssize_t size;
	int file;

	snprintf(path, sizeof(path), PCI "/devices/%s/%s", device, name);
	file = open(path, O_RDONLY);
	if (file < 0)
		return 0;
	size = read(file, text, sizeof(text) - 1);
	close(file);
	text[size > 0 ? size : 0] = 0;
	sscanf(text, "%x", &value);
	return value;
}

static int among(const char *ids, unsigned vendor, unsigned device)
{
	char id[16];

	snprintf(id, sizeof(id), "%04x:%04x", vendor, device);
	return strstr(ids, id) != NULL;
}

/* Kernels before 3.15 take a device away a moment after they were told to. */
static void gone(const char *path)
{
	int left;

	for (left = GONE_MS; left && !access(path, F_OK); left--)
		usleep(1000);
	if (!left)
		lab_fault("taking a PCI device away", EBUSY);
}

/*
 * Some of QEMU's devices are not in a snapshot's state: their registers are as at the machine's
 * start. The kernel forgets such devices, finds them anew, and gives them their addresses again.
 */
void pci_rescan(const char *ids, int frozen)
{
	DIR *devices;
	struct dirent *entry;
	char path[300], list[256];

	if (access(PCI "/rescan", W_OK)) { /* before 2.6.30, or without CONFIG_HOTPLUG */
		if (frozen)
			lab_fault("finding devices anew, which " PCI "/rescan does", errno);
		return;
	}
	devices = opendir(PCI "/devices");
	snprintf(list, sizeof(list), "%.*s", (int)strcspn(ids, " "), ids);
	while (devices && (entry = readdir(devices)))
		if (among(list, number_in(entry->d_name, "vendor"), number_in(entry->d_name, "device"))) {
			snprintf(path, sizeof(path), PCI "/devices/%s/remove", entry->d_name);
			put(path, "1");
			gone(path);
		}
	if (devices)
		closedir(devices);
	put(PCI "/rescan", "1");
}
