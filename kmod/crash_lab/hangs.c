// SPDX-License-Identifier: GPL-2.0-only
/* A processor that does not come back, or that comes back with what it should have given up. */
#include <linux/errno.h>
#include <linux/interrupt.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "../include/vmlab/compiler.h"
#include "../include/vmlab/rcu.h"
#include "crash_lab.h"

/*
 * Keeps the processor for `ms`; it rests until each tick, and nobody else gets it. To the kernel
 * that is a loop like any other, and a virtual clock can leap over it.
 */
static noinline void hold_the_processor(void)
{
	unsigned long end = jiffies + msecs_to_jiffies(ms);

	preempt_disable();
	while (time_before(jiffies, end))
		asm volatile("sti; hlt" ::: "memory");
	preempt_enable();
}

noinline int lab_soft_lockup(void)
{
	hold_the_processor();
	return 0;
}

noinline int lab_hard_lockup(void)
{
	local_irq_disable();
	for (;;)
		cpu_relax();
	return 0;
}

/* A grace period must be under way: the thread that begins and ends them will not get to run. */
noinline int lab_rcu_stall(void)
{
#ifdef VMLAB_HAS_GRACE_PERIODS
	vmlab_grace_period_begin();
	rcu_read_lock();
	hold_the_processor();
	rcu_read_unlock();
	vmlab_grace_period_end();
	return 0;
#else
	printk(KERN_ERR LOG "what=rcu_stall: this kernel does not tell when it would come\n");
	return -EOPNOTSUPP;
#endif
}

/* Softirqs are off: that counts as atomic on every kernel, which disabled preemption does not. */
noinline int lab_atomic(void)
{
	local_bh_disable();
	set_current_state(TASK_INTERRUPTIBLE);
	schedule_timeout(1);
	local_bh_enable();
	return 0;
}

/* Nobody holds it; the kernel finds after the module's init that its count is off. */
noinline int lab_unlock(void)
{
	static spinlock_t lock;

	spin_lock_init(&lock);
	spin_unlock_bh(&lock);
	return 0;
}

/* In one order, then in the other: two who did so at once would wait for each other for ever. */
noinline int lab_lock_order(void)
{
	static spinlock_t first, second;

	spin_lock_init(&first);
	spin_lock_init(&second);
	spin_lock(&first);
	spin_lock(&second);
	spin_unlock(&second);
	spin_unlock(&first);
	spin_lock(&second);
	spin_lock(&first);
	spin_unlock(&first);
	spin_unlock(&second);
	return 0;
}

noinline int lab_printk(void)
{
	unsigned long end = jiffies + msecs_to_jiffies(ms);
	unsigned int i;

	for (i = 0; time_before(jiffies, end); i++)
		printk(KERN_ERR LOG "line %u of very many, and nobody asked for any of them\n", i);
	return 0;
}
