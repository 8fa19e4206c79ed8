/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * linux/rcupdate.h: how to be in the middle of a grace period.
 *
 *   2.6.36  usleep_range
 *   4.19    rcu_get_gp_seq, for modules that try RCU: its last two bits say whether one is under way;
 *           not where RCU is built for one processor
 *   6.2     call_rcu may put off what it is asked for by seconds, call_rcu_hurry does not
 */
#ifndef VMLAB_RCU_H
#define VMLAB_RCU_H

#include <linux/delay.h>
#include <linux/rcupdate.h>
#include <linux/version.h>

#define VMLAB_LOOKS 10000

#if LINUX_VERSION_CODE >= KERNEL_VERSION(4, 19, 0) && !defined(CONFIG_TINY_RCU)
#define VMLAB_HAS_GRACE_PERIODS

unsigned long rcu_get_gp_seq(void);

static struct rcu_head vmlab_asked;
static volatile int vmlab_answered;

static inline void vmlab_grace_period_over(struct rcu_head *head)
{
	vmlab_answered = 1;
}

static inline void vmlab_ask(void)
{
	vmlab_answered = 0;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
	call_rcu_hurry(&vmlab_asked, vmlab_grace_period_over);
#else
	call_rcu(&vmlab_asked, vmlab_grace_period_over);
#endif
}

/* Asks for grace periods until it is in the middle of one; does not sleep after the look. */
static inline void vmlab_grace_period_begin(void)
{
	int looks;

	vmlab_ask();
	for (looks = 0; looks < VMLAB_LOOKS && !(rcu_get_gp_seq() & 3); looks++) {
		if (vmlab_answered)
			vmlab_ask();
		usleep_range(50, 100);
	}
}

/* Returns once the one that was asked for is over. */
static inline void vmlab_grace_period_end(void)
{
	rcu_barrier();
}
#endif

#endif
