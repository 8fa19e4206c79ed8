/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * linux/sched.h, and what became of it:
 *
 *   2.6.9   TASK_ZOMBIE (8) became EXIT_ZOMBIE (16), in the same field
 *   2.6.11  exit_state split from state
 *   3.15    EXIT_ZOMBIE and EXIT_DEAD changed places: a zombie is 32
 *   4.11    for_each_process moved to linux/sched/signal.h
 *   5.14    state became __state
 */
#ifndef VMLAB_SCHED_H
#define VMLAB_SCHED_H

#include <linux/sched.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(4, 11, 0)
#include <linux/sched/signal.h>
#endif

/* The state by which a reader knows the task: how it exited, or else how it waits. */
static inline long vmlab_task_state(struct task_struct *task)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 14, 0)
	return task->exit_state ? task->exit_state : READ_ONCE(task->__state);
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(2, 6, 11)
	return task->exit_state ? task->exit_state : task->state;
#else
	return task->state;
#endif
}

static inline int vmlab_task_is_zombie(struct task_struct *task)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(2, 6, 11)
	return task->exit_state == EXIT_ZOMBIE;
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(2, 6, 9)
	return task->state == EXIT_ZOMBIE;
#else
	return task->state == TASK_ZOMBIE;
#endif
}

#endif
