/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * linux/hrtimer.h:
 *
 *   2.6.16  hrtimers; before it a timer of the kernel's ticks stands in for one
 *   2.6.18  the function is given its hrtimer, and not the timer's data
 *   2.6.21  HRTIMER_MODE_ABS, which was HRTIMER_ABS; enum hrtimer_restart, which was int;
 *           ktime_get, which only the kernel itself had: modules had ktime_get_ts
 *   4.10    ktime_t is a plain number on every architecture
 *   6.13    hrtimer_setup does what hrtimer_init and setting `function` did; 6.15 has it alone
 */
#ifndef VMLAB_HRTIMER_H
#define VMLAB_HRTIMER_H

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(2, 6, 16)

#include <linux/jiffies.h>
#include <linux/time.h>
#include <linux/timer.h>
#include <linux/types.h>
#include <asm/div64.h>

#define HRTIMER_NORESTART 0
typedef int vmlab_hrtimer_restart;

/* It goes off at a tick, the first at or after its time; the clock is the time of day's. */
struct vmlab_hrtimer {
	struct timer_list timer;
	vmlab_hrtimer_restart (*function)(struct vmlab_hrtimer *);
};

static void vmlab_hrtimer_expired(unsigned long address)
{
	struct vmlab_hrtimer *timer = (struct vmlab_hrtimer *)address;

	timer->function(timer);
}

static inline void vmlab_hrtimer_setup(struct vmlab_hrtimer *timer,
				       vmlab_hrtimer_restart (*function)(struct vmlab_hrtimer *))
{
	init_timer(&timer->timer);
	timer->timer.function = vmlab_hrtimer_expired;
	timer->timer.data = (unsigned long)timer;
	timer->function = function;
}

static inline u64 vmlab_now_ns(void)
{
	struct timeval now;

	do_gettimeofday(&now);
	return (u64)now.tv_sec * 1000000000 + now.tv_usec * 1000;
}

static inline void vmlab_hrtimer_start_at(struct vmlab_hrtimer *timer, u64 ns)
{
	u64 now = vmlab_now_ns(), left = ns > now ? ns - now : 0;

	do_div(left, 1000000000 / HZ);
	mod_timer(&timer->timer, jiffies + 1 + (unsigned long)left);
}

static inline void vmlab_hrtimer_cancel(struct vmlab_hrtimer *timer)
{
	del_timer_sync(&timer->timer);
}

#else

#include <linux/hrtimer.h>
#include <linux/ktime.h>

#define vmlab_hrtimer hrtimer
#define vmlab_hrtimer_cancel hrtimer_cancel

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
#if LINUX_VERSION_CODE < KERNEL_VERSION(2, 6, 18)
	timer->function = (int (*)(void *))function;
	timer->data = timer;
#else
	timer->function = function;
#endif
#endif
}

/* The monotonic clock, nanoseconds. */
static inline u64 vmlab_now_ns(void)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(2, 6, 21)
	struct timespec now;

	ktime_get_ts(&now);
	return (u64)now.tv_sec * 1000000000 + now.tv_nsec;
#else
	return ktime_to_ns(ktime_get());
#endif
}

static inline void vmlab_hrtimer_start_at(struct hrtimer *timer, u64 ns)
{
	hrtimer_start(timer, ktime_add_ns(ktime_set(0, 0), ns), HRTIMER_MODE_ABS);
}

#endif
#endif
