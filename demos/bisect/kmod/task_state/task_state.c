// SPDX-License-Identifier: GPL-2.0-only
/*
 * Says what state the task that loads it is in, by the name that the field
 * had up to 5.13: commit 2f064a59a11f ("sched: Change task_struct::state")
 * of 5.14 made it __state, so that nobody reads it without READ_ONCE().
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/sched.h>

static int __init task_state_init(void)
{
	pr_info("%s is in state %ld\n", current->comm, (long)current->state);
	return 0;
}

static void __exit task_state_exit(void)
{
}

module_init(task_state_init);
module_exit(task_state_exit);
MODULE_DESCRIPTION("reads task_struct's state by its old name");
MODULE_LICENSE("GPL");
