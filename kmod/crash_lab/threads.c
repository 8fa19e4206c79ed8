// SPDX-License-Identifier: GPL-2.0-only
/* Threads that stay where they are, and a module that cannot be unloaded. */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "../include/vmlab/compiler.h"
#include "../include/vmlab/module.h"
#include "crash_lab.h"

static struct task_struct *waiting;

static int sleep_uninterruptibly(void *unused)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_UNINTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

/* Nobody will stop it, and once the module is gone its code is too. */
static int wake_up_for_ever(void *unused)
{
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		schedule_timeout(msecs_to_jiffies(ms));
	}
	return 0;
}

noinline int lab_hung_task(void)
{
	waiting = kthread_run(sleep_uninterruptibly, NULL, "crash_lab_hung");
	return IS_ERR(waiting) ? PTR_ERR(waiting) : 0;
}

noinline int lab_thread(void)
{
	struct task_struct *left = kthread_run(wake_up_for_ever, NULL, "crash_lab_left");

	return IS_ERR(left) ? PTR_ERR(left) : 0;
}

/* As if it had been written without a function for its end. */
noinline int lab_no_exit(void)
{
#ifdef VMLAB_MODULES_MAY_LACK_EXIT
	THIS_MODULE->exit = NULL;
	return 0;
#else
	printk(KERN_ERR LOG "what=no_exit: this kernel tells such modules otherwise\n");
	return -EOPNOTSUPP;
#endif
}

void lab_threads_stop(void)
{
	if (waiting)
		kthread_stop(waiting);
}
