/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * linux/sched.h, and what became of it:
 *
 *   2.6.9   TASK_ZOMBIE is 16, and no longer 8
 *   2.6.11  EXIT_ZOMBIE came in its place, and with it a field of its own, exit_state
 *   3.15    EXIT_ZOMBIE and EXIT_DEAD changed places: a zombie is 32
 *   4.11    for_each_process moved to linux/sched/signal.h
 *   5.14    state became __state
 *
 * TASK_COMM_LEN is younger than the field, which has held 16 bytes all the while.
 */
#ifndef VMLAB_SCHED_H
#define VMLAB_SCHED_H

#include <linux/sched.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(4, 11, 0)
#include <linux/sched/signal.h>
#endif

#include "compiler.h"

#define VMLAB_COMM_LEN sizeof(((struct task_struct *)0)->comm)

#ifdef EXIT_ZOMBIE
#define VMLAB_ZOMBIE EXIT_ZOMBIE
#else
#define VMLAB_ZOMBIE TASK_ZOMBIE
#endif

/*
 * The state by which a reader knows the task: how it exited, or else how it waits. The bits of
 * both are distinct on every kernel, so that VMLAB_ZOMBIE means a zombie and nothing else. Each
 * field is read once: asked twice, a task that exits meanwhile would be two things in one line.
 */
static inline long vmlab_task_state(struct task_struct *task)
{
#ifdef EXIT_ZOMBIE
	long exited = READ_ONCE(task->exit_state);

	if (exited)
		return exited;
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 14, 0)
	return READ_ONCE(task->__state);
#else
	return READ_ONCE(task->state);
#endif
}

static inline int vmlab_task_is_zombie(struct task_struct *task)
{
	return vmlab_task_state(task) == VMLAB_ZOMBIE;
}

#endif
