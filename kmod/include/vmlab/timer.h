/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * linux/timer.h: a timer whose function takes no argument of its own.
 *
 *   2.6.0   init_timer, and function and data set by hand
 *   4.14    timer_setup; 4.15 has it alone, and the function is given the timer
 *   6.2     timer_delete_sync does what del_timer_sync did; 6.15 has it alone
 */
#ifndef VMLAB_TIMER_H
#define VMLAB_TIMER_H

#include <linux/jiffies.h>
#include <linux/timer.h>
#include <linux/version.h>

static void (*vmlab_timer_function)(void);

#if LINUX_VERSION_CODE >= KERNEL_VERSION(4, 15, 0)
static inline void vmlab_timer_struck(struct timer_list *timer)
{
	vmlab_timer_function();
}
#else
static inline void vmlab_timer_struck(unsigned long data)
{
	vmlab_timer_function();
}
#endif

/* Calls the function once, after so many milliseconds. One timer for each file that includes this. */
static inline void vmlab_timer_start(struct timer_list *timer, void (*function)(void), int ms)
{
	vmlab_timer_function = function;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(4, 15, 0)
	timer_setup(timer, vmlab_timer_struck, 0);
#else
	init_timer(timer);
	timer->function = vmlab_timer_struck;
#endif
	mod_timer(timer, jiffies + msecs_to_jiffies(ms));
}

static inline void vmlab_timer_stop(struct timer_list *timer)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
	timer_delete_sync(timer);
#else
	del_timer_sync(timer);
#endif
}

#endif
