// SPDX-License-Identifier: GPL-2.0-only
/*
 * Crashes on purpose: `what=` names one, and loading the module brings it about. What a lab must
 * see in the kernel's log, and say, can be tried with it; ../README.md lists them.
 */
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/string.h>

#include "crash_lab.h"

#define MS_MAX 3600000

static char *what = "";
module_param(what, charp, 0444);
MODULE_PARM_DESC(what, "which crash; an unknown word lists them all");

int ms = 30000;
module_param(ms, int, 0444);
MODULE_PARM_DESC(ms, "how long a hang takes, or how often a thread wakes up, 1 to 3600000 (30000)");

static const struct {
	const char *word;
	int (*act)(void);
} crashes[] = {
	{ "null_read", lab_null_read },	      { "null_write", lab_null_write },
	{ "bug", lab_bug },		      { "warn", lab_warn },
	{ "panic", lab_panic },		      { "irq", lab_irq },
	{ "divide", lab_divide },	      { "opcode", lab_opcode },
	{ "stack", lab_stack },		      { "double_free", lab_double_free },
	{ "use_after_free", lab_use_after_free }, { "list", lab_list },
	{ "refcount", lab_refcount },	      { "oom", lab_oom },
	{ "soft_lockup", lab_soft_lockup },   { "hard_lockup", lab_hard_lockup },
	{ "rcu_stall", lab_rcu_stall },	      { "atomic", lab_atomic },
	{ "unlock", lab_unlock },	      { "printk", lab_printk },
	{ "hung_task", lab_hung_task },	      { "thread", lab_thread },
	{ "no_exit", lab_no_exit },	      { "out_of_bounds", lab_out_of_bounds },
	{ "leak", lab_leak },		      { "lock_order", lab_lock_order },
	{ "shift", lab_shift },		      { "race", lab_race },
	{ "unmap_freed", lab_unmap_freed },
};

static int __init list_words(void)
{
	unsigned int i;

	printk(KERN_ERR LOG "parameter what: \"%s\" is none of\n", what);
	for (i = 0; i < ARRAY_SIZE(crashes); i++)
		printk(KERN_ERR LOG "  %s\n", crashes[i].word);
	return -EINVAL;
}

static int __init crash_lab_init(void)
{
	unsigned int i;

	if (ms < 1 || ms > MS_MAX) {
		printk(KERN_ERR LOG "parameter ms: %d is not between 1 and %d\n", ms, MS_MAX);
		return -EINVAL;
	}
	for (i = 0; i < ARRAY_SIZE(crashes); i++)
		if (!strcmp(what, crashes[i].word)) {
			printk(KERN_INFO LOG "what=%s\n", what);
			return crashes[i].act();
		}
	return list_words();
}

static void __exit crash_lab_exit(void)
{
	lab_irq_stop();
	lab_threads_stop();
}

module_init(crash_lab_init);
module_exit(crash_lab_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("crashes the kernel in the way that is asked for");
