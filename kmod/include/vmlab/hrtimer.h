/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * linux/hrtimer.h:
 *
 *   2.6.16  hrtimers; no kernel before it has them
 *   2.6.21  HRTIMER_MODE_ABS, which was HRTIMER_ABS; enum hrtimer_restart, which was int
 *   4.10    ktime_t is a plain number on every architecture
 *   6.13    hrtimer_setup does what hrtimer_init and setting `function` did; 6.15 has it alone
 */
#ifndef VMLAB_HRTIMER_H
#define VMLAB_HRTIMER_H

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(2, 6, 16)
#error "hrtimers are needed, which 2.6.16 was the first to have"
#endif

#include <linux/hrtimer.h>
#include <linux/ktime.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(2, 6, 21)
#define HRTIMER_MODE_ABS HRTIMER_ABS
typedef int vmlab_hrtimer_restart;
#else
typedef enum hrtimer_restart vmlab_hrtimer_restart;
#endif

/* A timer on the monotonic clock, which is started for a time on that clock. */
static inline void vmlab_hrtimer_setup(struct hrtimer *timer,
				       vmlab_hrtimer_restart (*function)(struct hrtimer *))
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(timer, function, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
#else
	hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
	timer->function = function;
#endif
}

/* The monotonic clock, nanoseconds. */
static inline u64 vmlab_now_ns(void)
{
	return ktime_to_ns(ktime_get());
}

static inline void vmlab_hrtimer_start_at(struct hrtimer *timer, u64 ns)
{
	hrtimer_start(timer, ktime_add_ns(ktime_set(0, 0), ns), HRTIMER_MODE_ABS);
}

#endif
