/* SPDX-License-Identifier: GPL-2.0-only */
/* The ways in which crash_lab makes a kernel sick; each returns 0 where the kernel goes on. */
#ifndef CRASH_LAB_H
#define CRASH_LAB_H

#define LOG "crash_lab: "

extern int ms; /* the parameter: how long a hang takes, or how often a thread wakes up */

/* traps.c: the processor, or the kernel's own checks, stop it at once. */
int lab_null_read(void);
int lab_null_write(void);
int lab_bug(void);
int lab_warn(void);
int lab_panic(void);
int lab_irq(void);
int lab_race(void);
int lab_divide(void);
int lab_opcode(void);
int lab_stack(void);
void lab_irq_stop(void);

/* memory.c: what the allocator and the structures in memory tell. */
int lab_double_free(void);
int lab_use_after_free(void);
int lab_list(void);
int lab_refcount(void);
int lab_oom(void);
int lab_out_of_bounds(void);
int lab_leak(void);
int lab_shift(void);
int lab_unmap_freed(void);

/* hangs.c: the processor does not come back, or comes back wrong. */
int lab_soft_lockup(void);
int lab_hard_lockup(void);
int lab_rcu_stall(void);
int lab_atomic(void);
int lab_unlock(void);
int lab_lock_order(void);
int lab_printk(void);

/* threads.c: threads that stay, and a module that does. */
int lab_hung_task(void);
int lab_thread(void);
int lab_no_exit(void);
void lab_threads_stop(void);

#endif
