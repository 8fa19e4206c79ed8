/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The end of a thread's own kernel stack:
 *
 *   2.6.8   thread_info lies there
 *   2.6.22  end_of_stack
 *   3.18    the word there is looked at by the scheduler (CONFIG_SCHED_STACK_END_CHECK)
 *   4.9     a page that is not mapped lies below it (CONFIG_VMAP_STACK; not on i386)
 *   4.11    end_of_stack is in sched/task_stack.h
 */
#ifndef VMLAB_STACK_H
#define VMLAB_STACK_H

#include <linux/sched.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(4, 11, 0)
#include <linux/sched/task_stack.h>
#endif

#ifdef CONFIG_VMAP_STACK
#define VMLAB_STACK_GUARDED
#endif

static inline unsigned long vmlab_stack_end(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(2, 6, 22)
	return (unsigned long)end_of_stack(current);
#else
	return (unsigned long)(current_thread_info() + 1);
#endif
}

#endif
