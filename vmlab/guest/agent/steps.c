// SPDX-License-Identifier: GPL-2.0-only
/*
 * The program's steps, one a line: verb, expected outcome, name, milliseconds, argument, with
 * tabs between them. The first whose outcome is not as expected is the last one that runs. After
 * the outcome may stand `?` and what the step needs; where the kernel lacks it, it is passed over.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent.h"
#include "modules.h"

#define SYSLOG_SIZE_UNREAD 9
#define READ_LIMIT (256 * 1024)
#define COMMAND_SIZE 65536

struct step {
	char *verb, *expect, *needs, *name, *argument;
	uint64_t ms;
};

static const struct {
	const char *name;
	int number;
} signals[] = {
	{ "HUP", SIGHUP },   { "INT", SIGINT },	  { "QUIT", SIGQUIT }, { "KILL", SIGKILL },
	{ "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "PIPE", SIGPIPE }, { "ALRM", SIGALRM },
	{ "TERM", SIGTERM }, { "CHLD", SIGCHLD }, { "CONT", SIGCONT }, { "STOP", SIGSTOP },
};

static int as_expected(const char *expect, int outcome)
{
	if (!strcmp(expect, "any"))
		return 1;
	if (!strcmp(expect, "nonzero"))
		return outcome != 0;
	return outcome == atoi(expect);
}

/*
 * Recent kernels hold back a line that a module left without its newline until another one comes,
 * and why a module was refused may be in it.
 */
static void release_kernel_line(void)
{
	int file = open("/dev/kmsg", O_WRONLY);

	if (file < 0)
		return;
	dprintf(file, "vmlab: the module was refused\n");
	close(file);
}

/* What a module leaves behind is looked for once it is gone; one that is refused is gone at once. */
static int load(struct step *step, int (*call)(char *argument))
{
	int error = child_call(call, step->argument);

	if (error && !as_expected(step->expect, error))
		release_kernel_line();
	health_loading(child_last());
	if (error)
		health_unloaded();
	return error;
}

static int do_insmod(struct step *step)
{
	return load(step, module_insert);
}

static int do_modprobe(struct step *step)
{
	return load(step, module_probe);
}

static int do_rmmod(struct step *step)
{
	int error = child_call(module_remove, step->argument);

	if (!error)
		health_unloaded();
	return error;
}

static int do_run(struct step *step)
{
	int status = child_run(step->name, step->argument);
	char text[16];

	snprintf(text, sizeof(text), "%d", status);
	capture_set(step->name, "status", text);
	return status;
}

static int do_spawn(struct step *step)
{
	return child_wait_ready(child_spawn(step->name, step->argument), step->ms);
}

static int do_signal(struct step *step)
{
	char *pid = strchr(step->argument, ' '), *end;
	const char *name = step->argument;
	size_t i;
	long number;

	if (!pid)
		return EINVAL;
	*pid++ = 0;
	number = strtol(pid, &end, 10);
	if (*end || end == pid)
		return EINVAL;
	if (!strncmp(name, "SIG", 3))
		name += 3;
	for (i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		if (!strcmp(signals[i].name, name))
			return kill(number, signals[i].number) ? errno : 0;
	return EINVAL;
}

static int do_wait(struct step *step)
{
	wait_ms(step->ms);
	return 0;
}

/* As echo does, with a newline: /dev/kmsg holds a line back until it is whole. */
static int write_value(char *argument)
{
	char *value = strchr(argument, ' '), *line;
	int file, error;

	if (!value)
		return EINVAL;
	*value++ = 0;
	line = malloc(strlen(value) + 2);
	if (!line)
		return ENOMEM;
	strcat(strcpy(line, value), "\n");
	file = open(argument, O_WRONLY | O_TRUNC);
	if (file < 0)
		return errno;
	error = write(file, line, strlen(line)) < 0 ? errno : 0;
	if (close(file) && !error)
		error = errno;
	return error;
}

static int do_write(struct step *step)
{
	return child_call(write_value, step->argument);
}

static void capture_lines(const char *name, char *text)
{
	char *line, *save;

	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		capture_line(name, line);
}

/* What a child has read, in memory that it shares with the agent. */
static struct {
	size_t size;
	char text[READ_LIMIT + 1];
} *shared;

static int read_value(char *argument)
{
	char *text = whole_file(argument, READ_LIMIT, &shared->size);

	if (!text)
		return errno;
	memcpy(shared->text, text, shared->size + 1);
	return 0;
}

static void report_value(const char *name, char *text, size_t size)
{
	report_output(text, size);
	while (size && isspace((unsigned char)text[size - 1]))
		text[--size] = 0;
	capture_set(name, "value", text);
	capture_lines(name, text);
}

/* In a process of its own: a file may keep its reader waiting for ever. */
static int do_read(struct step *step)
{
	int error;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		bail_out("shared memory", errno);
	error = child_call(read_value, step->argument);
	if (!error)
		report_value(step->name, shared->text, shared->size);
	munmap(shared, sizeof(*shared));
	return error;
}

static int do_await(struct step *step)
{
	(void)step;
	return peer_wait();
}

static const struct {
	const char *name;
	int (*act)(struct step *step);
} verbs[] = {
	{ "insmod", do_insmod },   { "rmmod", do_rmmod },  { "modprobe", do_modprobe },
	{ "kunit", do_modprobe },
	{ "run", do_run },	   { "spawn", do_spawn },  { "signal", do_signal },
	{ "sleep", do_wait },	   { "write", do_write },  { "read", do_read },
	{ "console", do_wait },	   { "no_console", do_wait }, { "expect_crash", do_wait },
	{ "await", do_await },
};

static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (*text == '\\' && text[1])
			text++;
		else {
			*to++ = *text;
			continue;
		}
		*to++ = *text == 'n' ? '\n' : *text == 't' ? '\t' : *text;
	}
	*to = 0;
}

static int parse(char *line, struct step *step)
{
	char *field[STEP_FIELDS];
	int i;

	for (i = 0; i < STEP_FIELDS; i++) {
		field[i] = line;
		if (i == STEP_FIELDS - 1)
			break;
		line = line ? strchr(line, '\t') : NULL;
		if (!line)
			return EINVAL;
		*line++ = 0;
	}
	unescape(field[4]);
	*step = (struct step){ .verb = field[0],
			       .expect = field[1],
			       .name = field[2],
			       .ms = strtoull(field[3], NULL, 10),
			       .argument = captures_resolve(field[4]) };
	step->needs = strchr(step->expect, '?');
	if (step->needs)
		*step->needs++ = 0;
	return 0;
}

static int act(struct step *step)
{
	size_t i;

	for (i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (!strcmp(verbs[i].name, step->verb))
			return verbs[i].act(step);
	return ENOSYS;
}

static void report_step(const char *state, int number, const char *verb, const char *argument)
{
	report("%s %d - %s%s", state, number, verb, *argument ? " " : "");
	report_escaped(argument);
}

/* Returns whether the outcome was as expected. */
static int run_step(int number, char *line)
{
	struct step step;
	const char *lacking;
	char *argument;
	uint64_t now;
	int outcome, fine;

	if (parse(line, &step))
		lab_fault("a step has too few fields", EINVAL);
	argument = strdup(step.argument);
	now = now_us();
	report_mark();
	report("# begin %d at=%llu.%06llu\n", number, (unsigned long long)now / 1000000,
	       (unsigned long long)now % 1000000);
	report_output_begin();
	lacking = step.needs ? need_lacking(step.needs) : NULL;
	outcome = lacking ? 0 : act(&step);
	wait_ms(0);
	report_output_end();
	if (lacking)
		report("# lacks %s\n", lacking);
	health_report();
	now = now_us();
	report_mark();
	report("# uptime=%llu.%06llu printk=%d outcome=%d\n", (unsigned long long)now / 1000000,
	       (unsigned long long)now % 1000000, klogctl(SYSLOG_SIZE_UNREAD, NULL, 0), outcome);
	fine = lacking || as_expected(step.expect, outcome);
	if (strcmp(step.verb, "await"))
		peer_tell(fine);
	report_step(fine ? "ok" : "not ok", number, step.verb, argument);
	report("\n");
	free(argument);
	free(step.argument);
	return fine;
}

static void skip_step(int number, char *line)
{
	struct step step;

	if (parse(line, &step))
		lab_fault("a step has too few fields", EINVAL);
	report_step("ok", number, step.verb, step.argument);
	report(" # SKIP an earlier step failed\n");
	free(step.argument);
}

/*
 * All steps, or where `count` is not negative the first of them up to one that fails. Returns how
 * many there are.
 */
int steps_run(char *text, int count)
{
	char *line, *save;
	int number = 0, total = 0, fine = 1;

	for (line = text; *line; line++)
		total += *line == '\n';
	report("1..%d\n", total);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		number++;
		if (count >= 0 && (number > count || !fine))
			return total;
		if (fine) {
			perturb_pause();
			fine = run_step(number, line);
		} else
			skip_step(number, line);
	}
	return total;
}

/* Serves steps that the host sends over ttyS1; with "freeze" the guest's clock stands in between. */
void steps_serve(char *options)
{
	int number = 0, freeze = !strcmp(options, "freeze");
	char *line = malloc(COMMAND_SIZE);

	if (!line)
		bail_out("interactive", ENOMEM);
	for (;;) {
		report("# waiting\n");
		if (freeze)
			outb(PVPANIC_PANICKED, PVPANIC);
		if (report_next_line(line, COMMAND_SIZE))
			run_step(++number, line);
		else
			leave();
	}
}
