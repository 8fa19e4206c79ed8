/* SPDX-License-Identifier: GPL-2.0-only */
/* What kthread_monitor offers to other modules. */
#ifndef KTHREAD_MONITOR_H
#define KTHREAD_MONITOR_H

/* The number of processes that are zombies now, by their thread group's leader. */
unsigned int kthread_monitor_zombies(void);

#endif
