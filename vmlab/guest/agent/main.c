// SPDX-License-Identifier: GPL-2.0-only
/* Start: file systems, the program, its steps, the end. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "modules.h"

#define PANIC_TIMEOUT "/proc/sys/kernel/panic"
#define PROGRAM_FILE "opt/vmlab/program"
#define MODE_FILE "opt/vmlab/mode"
#define DATE_FIRST 1577836800 /* 2020-01-01 UTC */
#define DATE_RANGE (10u * 365 * 86400)
#define ARCHIVE_KEPT (4 * 1024 * 1024)
#define SETTLE_S 1
#define AFTER " after "
#define SHELL_MODE " shell"
#define PEER_MODE " peer"
#define RESCAN_MODE " rescan "

static const struct {
	const char *type, *at, *options;
} mounts[] = {
	{ "proc", "/proc", NULL },
	{ "sysfs", "/sys", NULL },
	{ "devtmpfs", "/dev", NULL },
	{ "devpts", "/dev/pts", NULL },
	{ "tmpfs", "/tmp", NULL },
	{ "debugfs", "/sys/kernel/debug", NULL },
	{ "tracefs", "/sys/kernel/tracing", NULL },
	{ "tmpfs", PROGRAM_DIR, "mode=755" },
};

static const struct {
	const char *path;
	int major, minor;
} devices[] = {
	{ "/dev/null", 1, 3 },	 { "/dev/zero", 1, 5 }, { "/dev/full", 1, 7 }, { "/dev/random", 1, 8 },
	{ "/dev/urandom", 1, 9 }, { "/dev/kmsg", 1, 11 }, { "/dev/tty", 5, 0 },
	{ "/dev/ptmx", 5, 2 },
};

/* An old kernel may lack one of these; the step that needs it will say so. */
static void mount_all(void)
{
	size_t i;

	for (i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
		mkdir(mounts[i].at, 0755);
		mount(mounts[i].type, mounts[i].at, mounts[i].type, 0, mounts[i].options);
	}
	for (i = 0; i < sizeof(devices) / sizeof(*devices); i++)
		mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor));
}

/* The kernel opened the console for us; nothing but the kernel writes there. */
static void let_go_of_console(void)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0)
		bail_out("/dev/null", errno);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	if (null > 2)
		close(null);
}

/* Kernels before 3.0 take panic=-1 for 0, and would stand there for ever: they reset after 1 s. */
static void reset_at_panic(void)
{
	char text[8] = "";
	int file = open(PANIC_TIMEOUT, O_RDWR);

	if (file < 0)
		return;
	if (read(file, text, sizeof(text) - 1) > 0 && !strcmp(text, "0\n"))
		if (lseek(file, 0, SEEK_SET) || write(file, "1", 1) != 1)
			report("# the reset at a panic: %s\n", strerror(errno));
	close(file);
}

static char *unpack_program(void)
{
	uint32_t archive_size;
	char *archive = fwcfg_read(PROGRAM_FILE, &archive_size), *steps;
	int error;

	if (!archive)
		lab_fault("reading " PROGRAM_FILE, errno);
	if (chdir(PROGRAM_DIR))
		bail_out(PROGRAM_DIR, errno);
	error = archive_unpack(archive, archive_size);
	if (error)
		lab_fault("unpacking the program", error);
	steps = archive_text(archive, archive_size, "steps");
	if (!steps)
		lab_fault("the program's steps", errno);
	/* Giving memory back takes time as well: a small archive stays. */
	if (archive_size > ARCHIVE_KEPT)
		free(archive);
	return steps;
}

/*
 * "LIMIT_MS SEED", and after it " interactive OPTION", " rescan PCI-ID", " peer", " perturb TURNS US ...", " shell" or
 * " after STEPS": the shell comes after so many steps, or the first that fails. In the mode
 * "freeze MS" the guest stops here, after so many milliseconds, and a snapshot is made of it; each guest that begins
 * from it finds a mode of its own.
 */
static char *read_mode(int *frozen)
{
	uint32_t size;
	char *mode = fwcfg_read(MODE_FILE, &size);

	*frozen = mode && !strncmp(mode, "freeze", strlen("freeze"));
	if (*frozen) {
		int settle_ms = atoi(mode + strlen("freeze"));

		/* Other processors go on for a moment after this one has stopped: they are let fall idle. */
		if (settle_ms)
			usleep(1000 * settle_ms);
		/* From this time the host sets the snapshot's clock, which may have gone on since. */
		report("# frozen tsc=%llu\n", (unsigned long long)__builtin_ia32_rdtsc());
		outb(PVPANIC_PANICKED, PVPANIC);
		mode = fwcfg_read(MODE_FILE, &size);
	}
	if (!mode)
		lab_fault("reading " MODE_FILE, errno);
	return mode;
}

/*
 * What the last step left behind may strike only now: a timer of a module that is gone, work that
 * uses freed memory. The console is looked at to its end, and idle time costs nothing.
 */
static void settle(void)
{
	struct timespec left = { SETTLE_S, 0 };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

/* The date is the seed's: a second of the ten years from 2020 on. */
static void set_date(const char *mode)
{
	struct timeval now = { DATE_FIRST, 0 };
	char *seed;

	strtoull(mode, &seed, 10);
	now.tv_sec += (uint32_t)strtoull(seed, NULL, 10) * 2654435761u % DATE_RANGE;
	settimeofday(&now, NULL);
}

int main(int count, char **words)
{
	struct utsname kernel;
	char *steps, *mode, *served, *perturbed, *rescanned, *after;
	int ran, frozen;

	if (module_asked_for(count, words))
		return module_answer(words[REQUEST_WORDS - 1]);
	if (iopl(3))
		return 1;
	mount_all();
	let_go_of_console();
	setenv("PATH", PROGRAM_DIR ":/bin:/sbin:/usr/bin:/usr/sbin", 1);
	setenv("HOME", "/tmp", 1);
	uname(&kernel);
	reset_at_panic();
	entropy_credit();
	userland_start();
	health_start();
	mode = read_mode(&frozen);
	after = strstr(mode, AFTER);
	if (after) /* that is no part of what the kernel's random numbers come from */
		*after = 0;
	entropy_seed(mode);
	set_date(mode);
	if (strstr(mode, SHELL_MODE))
		report_silence();
	report("KTAP version 1\n# kernel=%s\n", kernel.release);
	steps = unpack_program();
	firmware_start();
	modules_offer();
	rescanned = strstr(mode, RESCAN_MODE);
	if (rescanned)
		pci_rescan(rescanned + strlen(RESCAN_MODE), frozen);
	if (strstr(mode, PEER_MODE))
		peer_start();
	children_start(strtoull(mode, NULL, 10));
	served = strstr(mode, " interactive ");
	perturbed = strstr(mode, " perturb ");
	if (perturbed)
		perturb_start(perturbed + strlen(" perturb "));
	if (served)
		steps_serve(served + strlen(" interactive "));
	if (after) {
		steps_run(steps, atoi(after + strlen(AFTER)));
		/* Here the host takes the guest's state, to begin another from it, with another clock. */
		outb(PVPANIC_PANICKED, PVPANIC);
	}
	if (after || strstr(mode, SHELL_MODE)) {
		shell_serve();
		leave();
	}
	ran = steps_run(steps, -1);
	health_unloaded();
	settle();
	if (ran)
		health_report();
	leave();
}
