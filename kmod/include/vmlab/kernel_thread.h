/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kernel_thread() and daemonize(), with which modules made threads before there was kthread_run():
 *
 *   2.6.8   both are exported
 *   3.7     kernel_thread() no longer is, on x86; daemonize() is gone in 3.8
 *
 * The Kbuild looks whether this kernel exports them, and defines VMLAB_HAS_KERNEL_THREAD then.
 */
#ifndef VMLAB_KERNEL_THREAD_H
#define VMLAB_KERNEL_THREAD_H

#include <linux/errno.h>
#include <linux/sched.h>

#include "compiler.h"

#ifdef VMLAB_HAS_KERNEL_THREAD
#include <linux/completion.h>
#include <asm/processor.h>

static struct {
	struct task_struct *task;
	struct completion begun, gone;
	int (*act)(void *unused);
	const char *name;
	int stopping;
} vmlab_legacy;

/* daemonize() gives up what came from insmod: init, since 2.6.22 kthreadd, is its parent then. */
static int vmlab_legacy_begin(void *unused)
{
	daemonize("%s", vmlab_legacy.name);
	vmlab_legacy.task = current;
	complete(&vmlab_legacy.begun);
	vmlab_legacy.act(unused);
	complete_and_exit(&vmlab_legacy.gone, 0);
	return 0;
}

/* Returns once the thread is about to begin `act`, or a negative errno. One for each module. */
static inline int vmlab_legacy_run(int (*act)(void *unused), const char *name)
{
	int pid;

	init_completion(&vmlab_legacy.begun);
	init_completion(&vmlab_legacy.gone);
	vmlab_legacy.act = act;
	vmlab_legacy.name = name;
	pid = kernel_thread(vmlab_legacy_begin, NULL, CLONE_FS | CLONE_FILES);
	if (pid < 0)
		return pid;
	wait_for_completion(&vmlab_legacy.begun);
	return 0;
}

static inline int vmlab_legacy_should_stop(void)
{
	return READ_ONCE(vmlab_legacy.stopping);
}

/* Returns when the thread has left the module's code for good. */
static inline void vmlab_legacy_stop(void)
{
	WRITE_ONCE(vmlab_legacy.stopping, 1);
	wake_up_process(vmlab_legacy.task);
	wait_for_completion(&vmlab_legacy.gone);
}

#else

static inline int vmlab_legacy_run(int (*act)(void *unused), const char *name)
{
	return -EOPNOTSUPP;
}

static inline int vmlab_legacy_should_stop(void)
{
	return 1;
}

static inline void vmlab_legacy_stop(void)
{
}

#endif
#endif
