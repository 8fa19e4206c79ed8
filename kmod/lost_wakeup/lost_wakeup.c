// SPDX-License-Identifier: GPL-2.0-only
/*
 * The classical lost wakeup. A thread asks a device, works, and sleeps until the answer is there:
 * it looks for the answer first and sets its state afterwards. When the answer comes in between,
 * waking the thread does nothing, for it is still running; then it goes to sleep for good.
 * With fixed=1 it sets its state first, and then looks.
 *
 * The device is an hrtimer, so that it interrupts the thread on one CPU too, where nothing else
 * runs in the middle of kernel code. It answers at the beats of a clock of its own, which began
 * when the module was loaded; the thread asks at the kernel's ticks. Where the two stand to each
 * other decides whether an answer ever hits the gap. Kernels before 2.6.16 have no hrtimers: the
 * device answers at a tick there, so that `work` must last about a tick for an answer to hit it.
 */
#define LOG "lost_wakeup: "

#include <linux/err.h>
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <asm/div64.h>

#include "../include/vmlab/compiler.h"
#include "../include/vmlab/hrtimer.h"
#include "../include/vmlab/sched.h"

#define REQUESTS_MAX 1000000
#define WORK_MAX 1000000
#define BEAT_MIN_NS 1000 /* where the clock is too coarse to measure the way */
#define BEAT_MAX_NS 1000000000
#define WAYS 4 /* a beat is so many times as long as the way from a request to the look */
#define MEASURED 3
#define FAR_NS 1000000000

static int fixed;
module_param(fixed, int, 0444);
MODULE_PARM_DESC(fixed, "1: the thread sets its state before it looks for the answer (0)");

static int requests = 20;
module_param(requests, int, 0444);
MODULE_PARM_DESC(requests, "how often the thread asks, 1 to 1000000 (20)");

static int work = 250;
module_param(work, int, 0444);
MODULE_PARM_DESC(work, "turns of an empty loop between a request and the look, up to 1000000 (250)");

static int beat_ns;
module_param(beat_ns, int, 0444);
MODULE_PARM_DESC(beat_ns,
		 "nanoseconds between the device's beats, up to a second; 0: tuned to the thread's loop (0)");

static struct task_struct *thread;
static struct vmlab_hrtimer device;
static u64 began_ns;
static int answered; /* the device has answered the request */
static int asked; /* requests so far */
static int taken; /* answers that the thread has seen */

static vmlab_hrtimer_restart answer(struct vmlab_hrtimer *timer)
{
	WRITE_ONCE(answered, 1);
	wake_up_process(thread);
	return HRTIMER_NORESTART;
}

/* The device takes the request, and answers at the next beat of its clock. */
static void ask(u32 beat)
{
	u64 now = vmlab_now_ns(), since = now - began_ns;

	WRITE_ONCE(answered, 0);
	asked++;
	vmlab_hrtimer_start_at(&device, now + beat - do_div(since, beat));
}

static void do_work(void)
{
	int turns;

	for (turns = work; turns; turns--)
		barrier();
}

/* Wrong: an answer after the look and before the state is set wakes nobody. */
static void wait_wrong(void)
{
	while (!READ_ONCE(answered) && !kthread_should_stop()) {
		set_current_state(TASK_INTERRUPTIBLE);
		schedule();
	}
}

/* Right: an answer after the state is set makes the thread running again, and schedule() returns. */
static void wait_right(void)
{
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (READ_ONCE(answered) || kthread_should_stop())
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
}

/* The time from a request to the look; the shortest, for an interrupt may come in between. */
static u64 way_ns(void)
{
	u64 shortest = FAR_NS, began;
	int i;

	for (i = 0; i < MEASURED; i++) {
		began = vmlab_now_ns();
		vmlab_hrtimer_start_at(&device, began + FAR_NS);
		do_work();
		shortest = min(shortest, vmlab_now_ns() - began);
		vmlab_hrtimer_cancel(&device);
	}
	return shortest;
}

static void wait_for_unload(void)
{
	set_current_state(TASK_INTERRUPTIBLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_INTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
}

static int ask_all(void *unused)
{
	u32 beat = beat_ns ? beat_ns : max_t(u64, way_ns() * WAYS, BEAT_MIN_NS);

	printk(KERN_INFO LOG "the device's beat is %u ns\n", beat);
	while (asked < requests && !kthread_should_stop()) {
		set_current_state(TASK_INTERRUPTIBLE);
		schedule_timeout(1);
		ask(beat);
		do_work();
		if (fixed)
			wait_right();
		else
			wait_wrong();
		taken += READ_ONCE(answered);
	}
	if (taken == requests && !kthread_should_stop())
		printk(KERN_INFO LOG "%d requests, all answered\n", taken);
	wait_for_unload();
	return 0;
}

static int check_number(const char *parameter, int value, int least, int most)
{
	if (value >= least && value <= most)
		return 0;
	printk(KERN_ERR LOG "parameter %s: %d is not between %d and %d\n", parameter, value, least,
	       most);
	return -EINVAL;
}

static int __init lost_wakeup_init(void)
{
	if (check_number("fixed", fixed, 0, 1) ||
	    check_number("requests", requests, 1, REQUESTS_MAX) ||
	    check_number("work", work, 0, WORK_MAX) ||
	    check_number("beat_ns", beat_ns, 0, BEAT_MAX_NS))
		return -EINVAL;
	vmlab_hrtimer_setup(&device, answer);
	began_ns = vmlab_now_ns();
	thread = kthread_create(ask_all, NULL, "lost_wakeup");
	if (IS_ERR(thread)) {
		printk(KERN_ERR LOG "starting the thread: error %ld\n", PTR_ERR(thread));
		return PTR_ERR(thread);
	}
	wake_up_process(thread); /* the device wakes it too, and so `thread` is set before it runs */
	return 0;
}

/* Says first what the thread was doing: stopping it wakes it. */
static void __exit lost_wakeup_exit(void)
{
	if (READ_ONCE(answered) && READ_ONCE(taken) < READ_ONCE(asked) && vmlab_task_state(thread))
		printk(KERN_INFO LOG "request %d was answered, and the thread sleeps\n", asked);
	kthread_stop(thread);
	vmlab_hrtimer_cancel(&device);
}

module_init(lost_wakeup_init);
module_exit(lost_wakeup_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("kernel thread that loses a wakeup");
