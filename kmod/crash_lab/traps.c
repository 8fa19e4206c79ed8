// SPDX-License-Identifier: GPL-2.0-only
/* What stops the kernel, or is told, at the very instruction. */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "../include/vmlab/compiler.h"
#include "../include/vmlab/stack.h"
#include "../include/vmlab/timer.h"
#include "crash_lab.h"

#define FRAME 512 /* bytes of each call of the recursion */
#define ROOM 1024 /* bytes of the stack that its end is written from, where nothing guards it */

/* A structure whose members are told apart by the address that the kernel prints. */
struct thing {
	char filling[0x18];
	int read;
	char more[0x28 - 0x18 - sizeof(int)];
	int written;
	char rest[0x38 - 0x28 - sizeof(int)];
	int read_in_interrupt;
};

static struct thing *volatile nowhere; /* volatile: the compiler does not see through it */
static volatile int zero;
static struct timer_list timer;
static int armed;
static int shared; /* by a loop and an interrupt, and nothing says so to the compiler */

noinline int lab_null_read(void)
{
	return nowhere->read & zero;
}

noinline int lab_null_write(void)
{
	nowhere->written = 1;
	return 0;
}

noinline int lab_bug(void)
{
	BUG_ON(!zero);
	return 0;
}

noinline int lab_warn(void)
{
	WARN_ON(!zero);
	return 0;
}

noinline int lab_panic(void)
{
	panic(LOG "asked to");
	return 0;
}

noinline int lab_divide(void)
{
	volatile int one = 1;

	return one / zero;
}

/* The bytes of `lock nop`: no processor takes them. */
noinline int lab_opcode(void)
{
	asm volatile(".byte 0xf0, 0x90");
	return 0;
}

/* The timer's function, in the timers' interrupt. */
static noinline void in_interrupt_read(void)
{
	zero = nowhere->read_in_interrupt & zero;
}

noinline int lab_irq(void)
{
	armed = 1;
	vmlab_timer_start(&timer, in_interrupt_read, 1);
	return 0;
}

/* At each tick of the timers. */
static noinline void in_interrupt_write(void)
{
	shared++;
	mod_timer(&timer, jiffies + 1);
}

/* KCSAN waits between two looks at what is read, and sees that it was written. */
noinline int lab_race(void)
{
	unsigned long end = jiffies + msecs_to_jiffies(ms);
	int sum = 0;

	armed = 1;
	vmlab_timer_start(&timer, in_interrupt_write, 1);
	while (time_before(jiffies, end)) {
		sum += shared;
		barrier();
	}
	return sum & zero;
}

void lab_irq_stop(void)
{
	if (armed)
		vmlab_timer_stop(&timer);
}

#ifdef VMLAB_STACK_GUARDED
/* Until the guard page is hit. */
static int deep_enough(const volatile char *frame)
{
	return !frame;
}

static void at_the_bottom(void)
{
}
#else
/* Nothing stops it there: what lies below belongs to somebody else, so it ends just before. */
static int deep_enough(const volatile char *frame)
{
	return (unsigned long)frame < vmlab_stack_end() + ROOM;
}

/* The scheduler looks at the word at the stack's end. */
static void at_the_bottom(void)
{
	*(volatile unsigned long *)vmlab_stack_end() = 0;
}
#endif

static noinline int recurse(int depth)
{
	volatile char frame[FRAME];

	frame[0] = depth;
	if (deep_enough(frame)) {
		at_the_bottom();
		return depth;
	}
	return recurse(depth + 1) + frame[0];
}

noinline int lab_stack(void)
{
	recurse(0);
	schedule();
	return 0;
}
