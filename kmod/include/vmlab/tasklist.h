/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What keeps the task list still while it is walked:
 *
 *   up to 2.6.11  tasklist_lock, which modules may take
 *   later         RCU; the lock is no longer exported
 */
#ifndef VMLAB_TASKLIST_H
#define VMLAB_TASKLIST_H

#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/version.h>

static inline void vmlab_tasklist_lock(void)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(2, 6, 12)
	read_lock(&tasklist_lock);
#else
	rcu_read_lock();
#endif
}

static inline void vmlab_tasklist_unlock(void)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(2, 6, 12)
	read_unlock(&tasklist_lock);
#else
	rcu_read_unlock();
#endif
}

/* The task's parent; to be read between lock and unlock. */
static inline struct task_struct *vmlab_task_parent(struct task_struct *task)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(2, 6, 12)
	return task->real_parent;
#else
	return rcu_dereference(task->real_parent);
#endif
}

#endif
