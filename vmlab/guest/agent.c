// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's first process. Reads the program, a ustar archive, from QEMU's
 * fw_cfg by port I/O (it needs no driver, so it works on any x86 kernel), runs
 * each line of its file "steps" and writes the results as KTAP to ttyS1. The
 * console, ttyS0, is left to the kernel alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define FW_CFG_SELECT 0x510
#define FW_CFG_DATA 0x511
#define FW_CFG_FILE_DIR 0x19
#define SYSLOG_SIZE_UNREAD 9
#define PROGRAM "opt/vmlab/program"
#define MAX_WORDS 64

static int results = -1;

static void say(const char *format, ...)
{
	char line[4096];
	va_list list;
	int size, done = 0, n;

	va_start(list, format);
	size = vsnprintf(line, sizeof(line), format, list);
	va_end(list);
	if (size >= (int)sizeof(line))
		size = sizeof(line) - 1;
	while (done < size) {
		n = write(results, line + done, size - done);
		if (n <= 0 && errno != EINTR)
			return;
		if (n > 0)
			done += n;
	}
}

static void power_off(void)
{
	tcdrain(results);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void bail_out(const char *what)
{
	say("Bail out! %s: %s\n", what, strerror(errno));
	power_off();
}

static uint32_t big_endian(int bytes)
{
	uint32_t value = 0;

	while (bytes--)
		value = value << 8 | inb(FW_CFG_DATA);
	return value;
}

/* Leaves fw_cfg selected on the program; returns its size in bytes, 0 without one. */
static uint32_t select_program(void)
{
	struct { uint32_t size, selector; char name[56]; } file;
	uint32_t count;

	outw(FW_CFG_FILE_DIR, FW_CFG_SELECT);
	for (count = big_endian(4); count; count--) {
		file.size = big_endian(4);
		file.selector = big_endian(2);
		big_endian(2);
		insb(FW_CFG_DATA, file.name, sizeof(file.name));
		if (!strncmp(file.name, PROGRAM, sizeof(file.name))) {
			outw(file.selector, FW_CFG_SELECT);
			return file.size;
		}
	}
	errno = ENOENT;
	return 0;
}

/* Unpacks the plain files of a ustar archive into the current directory. */
static void unpack(const char *archive, uint32_t size)
{
	uint32_t at = 0, length;
	int file;

	while (at + 512 <= size && archive[at]) {
		length = strtoul(archive + at + 124, NULL, 8);
		if (length > size - at - 512) {
			errno = EINVAL;
			bail_out("the program is cut short");
		}
		file = open(archive + at, O_CREAT | O_WRONLY | O_TRUNC, 0755);
		if (file < 0 || write(file, archive + at + 512, length) != (ssize_t)length)
			bail_out(archive + at);
		close(file);
		at += 512 + (length + 511) / 512 * 512;
	}
}

static char *whole_file(const char *name, long *size)
{
	struct stat about;
	char *text;
	int file = open(name, O_RDONLY);

	if (file < 0 || fstat(file, &about))
		return NULL;
	text = malloc(about.st_size + 1);
	*size = read(file, text, about.st_size);
	close(file);
	if (*size != about.st_size) {
		errno = EIO;
		return NULL;
	}
	text[*size] = 0;
	return text;
}

/* Each line of a step's output becomes a KTAP diagnostic. */
static void relay(int from)
{
	char block[512];
	int n, i, fresh = 1;

	while ((n = read(from, block, sizeof(block))) > 0)
		for (i = 0; i < n; i++) {
			say(fresh ? "# | %c" : "%c", block[i]);
			fresh = block[i] == '\n';
		}
	if (!fresh)
		say("\n");
}

/* Returns the exit status, or 128 + the signal that ended the command. */
static int run(char **words)
{
	int ends[2], status;
	pid_t child;

	if (pipe(ends))
		bail_out("pipe");
	child = fork();
	if (child < 0)
		bail_out("fork");
	if (!child) {
		dup2(ends[1], 1);
		dup2(ends[1], 2);
		close(ends[0]);
		close(ends[1]);
		execv(words[0], words);
		dprintf(2, "%s: %s\n", words[0], strerror(errno));
		_exit(127);
	}
	close(ends[1]);
	relay(ends[0]);
	close(ends[0]);
	while (waitpid(child, &status, 0) != child)
		;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Returns 0 or the errno with which the kernel refused the module. */
static int insmod(char **words)
{
	char parameters[1024] = "";
	long size;
	char *image = whole_file(words[0], &size);
	char **word;

	if (!image)
		return errno;
	for (word = words + 1; *word; word++) {
		strncat(parameters, *word, sizeof(parameters) - strlen(parameters) - 2);
		strcat(parameters, " ");
	}
	errno = 0;
	syscall(SYS_init_module, image, size, parameters);
	free(image);
	return errno;
}

static int rmmod(char **words)
{
	errno = 0;
	syscall(SYS_delete_module, words[0], O_NONBLOCK);
	return errno;
}

static void step(int number, char *line)
{
	char *words[MAX_WORDS + 1] = { NULL };
	char *label = strdup(line), *uptime;
	char text[64] = "";
	int count = 0, outcome, file;

	for (line = strtok(line, " "); line && count < MAX_WORDS; line = strtok(NULL, " "))
		words[count++] = line;
	if (count < 2)
		outcome = EINVAL;
	else if (!strcmp(words[0], "run"))
		outcome = run(words + 1);
	else if (!strcmp(words[0], "insmod"))
		outcome = insmod(words + 1);
	else if (!strcmp(words[0], "rmmod"))
		outcome = rmmod(words + 1);
	else
		outcome = EINVAL;
	file = open("/proc/uptime", O_RDONLY);
	if (file >= 0) {
		if (read(file, text, sizeof(text) - 1) < 0)
			text[0] = 0;
		close(file);
	}
	uptime = strtok(text, " ");
	say("# uptime=%s printk=%d outcome=%d\n", uptime ? uptime : "?",
	    klogctl(SYSLOG_SIZE_UNREAD, NULL, 0), outcome);
	say("%s %d - %s\n", outcome ? "not ok" : "ok", number, label);
	free(label);
}

static void open_results(void)
{
	struct termios raw;

	mkdir("/dev", 0755);
	mknod("/dev/ttyS1", S_IFCHR | 0600, makedev(4, 65));
	results = open("/dev/ttyS1", O_RDWR | O_NOCTTY);
	if (results >= 0 && !tcgetattr(results, &raw)) {
		cfmakeraw(&raw);
		tcsetattr(results, TCSANOW, &raw);
	}
}

int main(void)
{
	struct utsname kernel;
	char *archive, *steps, *line, *save;
	uint32_t size;
	long length;
	int number = 0, total = 0;

	open_results();
	mkdir("/proc", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	uname(&kernel);
	if (iopl(3))
		bail_out("iopl");
	size = select_program();
	archive = size ? malloc(size) : NULL;
	if (!archive)
		bail_out(PROGRAM);
	insb(FW_CFG_DATA, archive, size);
	mkdir("/program", 0755);
	if (chdir("/program"))
		bail_out("/program");
	unpack(archive, size);
	free(archive);
	steps = whole_file("steps", &length);
	if (!steps)
		bail_out("steps");
	for (line = steps; *line; line++)
		total += *line == '\n';
	say("KTAP version 1\n# kernel=%s\n1..%d\n", kernel.release, total);
	for (line = strtok_r(steps, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		step(++number, line);
	power_off();
}
