// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel thread that walks the task list and reports zombies, after the article "Linux Kernel
 * Threads" by Dinesh Ahuja (2006), whose messages it keeps. What differs stands in ../README.md.
 */
#define LOG "kthread_monitor: "

#include <linux/errno.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "../include/kthread_monitor.h"
#include "../include/vmlab/kernel_thread.h"
#include "../include/vmlab/sched.h"
#include "../include/vmlab/tasklist.h"

#define PERIOD_MAX_MS 3600000
#define SLACK 64

static char *comm = "MyTask";
module_param(comm, charp, 0444);
MODULE_PARM_DESC(comm, "the thread's name, cut at 15 characters (MyTask)");

static int period_ms = 30000;
module_param(period_ms, int, 0444);
MODULE_PARM_DESC(period_ms, "milliseconds between iterations, 1 to 3600000 (30000)");

static char *report = "all";
module_param(report, charp, 0444);
MODULE_PARM_DESC(report, "what an iteration prints: all, zombies or summary (all)");

static int iterations;
module_param(iterations, int, 0444);
MODULE_PARM_DESC(iterations, "how many iterations, 0 for ever (0)");

static char *sleep_state = "interruptible";
module_param(sleep_state, charp, 0444);
MODULE_PARM_DESC(sleep_state,
		 "the state to sleep in: interruptible, uninterruptible, or running, which does not sleep (interruptible)");

static int legacy_thread;
module_param(legacy_thread, int, 0444);
MODULE_PARM_DESC(legacy_thread,
		 "1: the thread is made by kernel_thread(), as in the article, where it is exported (0)");

static const char *const reports[] = { "all", "zombies", "summary" };
enum { REPORT_ALL, REPORT_ZOMBIES, REPORT_SUMMARY };

static const char *const states[] = { "interruptible", "uninterruptible", "running" };
enum { SLEEP_INTERRUPTIBLE, SLEEP_UNINTERRUPTIBLE, SLEEP_RUNNING };

struct entry {
	pid_t pid, ppid;
	long state;
	int zombie;
};

struct snapshot {
	struct entry *entries;
	unsigned int room, count, zombies;
};

static struct task_struct *thread;
static char name[VMLAB_COMM_LEN];
static int what, state;

static int should_stop(void)
{
	return legacy_thread ? vmlab_legacy_should_stop() : kthread_should_stop();
}

unsigned int kthread_monitor_zombies(void)
{
	struct task_struct *task;
	unsigned int count = 0;

	vmlab_tasklist_lock();
	for_each_process(task)
		count += vmlab_task_is_zombie(task);
	vmlab_tasklist_unlock();
	return count;
}
EXPORT_SYMBOL_GPL(kthread_monitor_zombies);

static unsigned int count_processes(void)
{
	struct task_struct *task;
	unsigned int count = 0;

	vmlab_tasklist_lock();
	for_each_process(task)
		count++;
	vmlab_tasklist_unlock();
	return count;
}

/* Returns whether every process had room. */
static int fill(struct snapshot *now)
{
	struct task_struct *task;
	struct entry *entry;
	int whole = 1;

	now->count = 0;
	now->zombies = 0;
	vmlab_tasklist_lock();
	for_each_process(task) {
		if (now->count == now->room) {
			whole = 0;
			break;
		}
		entry = &now->entries[now->count++];
		entry->pid = task->pid;
		entry->ppid = vmlab_task_parent(task)->pid;
		entry->state = vmlab_task_state(task);
		entry->zombie = entry->state == VMLAB_ZOMBIE;
		now->zombies += entry->zombie;
	}
	vmlab_tasklist_unlock();
	return whole;
}

/*
 * Copies the list, so that nothing is printed while it is held still, and each process is
 * reported once although others come and go.
 */
static int take(struct snapshot *now)
{
	for (;;) {
		now->room = count_processes() + SLACK;
		now->entries = vmalloc(now->room * sizeof(*now->entries));
		if (!now->entries)
			return -ENOMEM;
		if (fill(now))
			return 0;
		vfree(now->entries);
	}
}

static void print(const struct snapshot *now)
{
	const struct entry *entry;

	if (what == REPORT_SUMMARY) {
		printk(KERN_INFO "Task List::Processes = %u,::Zombies = %u\n", now->count,
		       now->zombies);
		return;
	}
	for (entry = now->entries; entry < now->entries + now->count; entry++)
		if (what == REPORT_ALL || entry->zombie)
			printk(KERN_INFO
			       "Task List::Process PID = %i,::PPID = %i,::State = %ld ::Zombie=%s\n",
			       entry->pid, entry->ppid, entry->state,
			       entry->zombie ? "ZOMBIE" : "NON-ZOMBIE");
}

static void iterate(void)
{
	struct snapshot now;
	int error;

	printk(KERN_ALERT "Starting Iteration\n");
	error = take(&now);
	if (error) {
		printk(KERN_ERR LOG "copying the task list of %u: error %d\n", now.room, error);
		return;
	}
	print(&now);
	vfree(now.entries);
}

/* Without a state set before, schedule_timeout() returns at once: sleep_state=running shows it. */
static void pause_until_next(void)
{
	if (state == SLEEP_INTERRUPTIBLE)
		set_current_state(TASK_INTERRUPTIBLE);
	else if (state == SLEEP_UNINTERRUPTIBLE)
		set_current_state(TASK_UNINTERRUPTIBLE);
	if (!should_stop())
		schedule_timeout(msecs_to_jiffies(period_ms));
	__set_current_state(TASK_RUNNING);
}

static void wait_for_unload(void)
{
	set_current_state(TASK_INTERRUPTIBLE);
	while (!should_stop()) {
		schedule();
		set_current_state(TASK_INTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
}

static void introduce(void)
{
	struct task_struct *parent;

	printk(KERN_INFO "Kernel Thread::Current Process is \"%s\" (pid: %i)\n", current->comm,
	       current->pid);
	vmlab_tasklist_lock();
	parent = vmlab_task_parent(current);
	printk(KERN_INFO "Kernel Thread::mm = %s ::fs = %s ::files = %s ::Parent = \"%s\" (pid: %i)\n",
	       current->mm ? "own" : "none", current->fs == parent->fs ? "shared" : "own",
	       current->files == parent->files ? "shared" : "own", parent->comm, parent->pid);
	vmlab_tasklist_unlock();
}

static int monitor(void *unused)
{
	int done;

	printk(KERN_ALERT "::Inside Thread Function::\n");
	introduce();
	for (done = 0; !should_stop() && (!iterations || done < iterations); done++) {
		iterate();
		pause_until_next();
	}
	wait_for_unload();
	printk(KERN_ALERT "Exiting Thread Function::\n");
	return 0;
}

/* Returns the value's place among the words, or -EINVAL after saying which are meant. */
static int word_of(const char *parameter, const char *value, const char *const *words, int count)
{
	int i;

	for (i = 0; i < count; i++)
		if (!strcmp(value, words[i]))
			return i;
	printk(KERN_ERR LOG "parameter %s: \"%s\" is none of %s, %s, %s\n", parameter, value,
	       words[0], words[1], words[2]);
	return -EINVAL;
}

static int check_number(const char *parameter, int value, int least, int most)
{
	if (value >= least && value <= most)
		return 0;
	printk(KERN_ERR LOG "parameter %s: %d is not between %d and %d\n", parameter, value, least,
	       most);
	return -EINVAL;
}

static int check_comm(void)
{
	if (!*comm) {
		printk(KERN_ERR LOG "parameter comm: the name is empty\n");
		return -EINVAL;
	}
	if (snprintf(name, sizeof(name), "%s", comm) >= (int)sizeof(name))
		printk(KERN_WARNING LOG "parameter comm: cut to \"%s\"\n", name);
	return 0;
}

static int __init check_parameters(void)
{
	what = word_of("report", report, reports, ARRAY_SIZE(reports));
	state = word_of("sleep_state", sleep_state, states, ARRAY_SIZE(states));
	if (what < 0 || state < 0)
		return -EINVAL;
	if (check_number("period_ms", period_ms, 1, PERIOD_MAX_MS) ||
	    check_number("iterations", iterations, 0, INT_MAX) ||
	    check_number("legacy_thread", legacy_thread, 0, 1))
		return -EINVAL;
	return check_comm();
}

static int __init run_as_the_article(void)
{
	int error = vmlab_legacy_run(monitor, name);

	if (error == -EOPNOTSUPP)
		printk(KERN_ERR LOG "parameter legacy_thread: this kernel does not export kernel_thread()\n");
	else if (error)
		printk(KERN_ERR LOG "starting the thread: error %d\n", error);
	return error;
}

static int __init kthread_monitor_init(void)
{
	int error = check_parameters();

	if (error)
		return error;
	if (legacy_thread)
		return run_as_the_article();
	thread = kthread_run(monitor, NULL, "%s", name);
	if (IS_ERR(thread)) {
		printk(KERN_ERR LOG "starting the thread: error %ld\n", PTR_ERR(thread));
		return PTR_ERR(thread);
	}
	return 0;
}

static void __exit kthread_monitor_exit(void)
{
	if (legacy_thread)
		vmlab_legacy_stop();
	else
		kthread_stop(thread);
}

module_init(kthread_monitor_init);
module_exit(kthread_monitor_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("kernel thread that reports zombie processes");
