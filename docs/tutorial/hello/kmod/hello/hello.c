// SPDX-License-Identifier: GPL-2.0-only
/* The tutorial's module: greets whom it is told to, and refuses to greet nobody. */
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static char *who = "world";
module_param(who, charp, 0444);
MODULE_PARM_DESC(who, "whom to greet (world)");

static int __init hello_init(void)
{
	if (!*who)
		return -EINVAL;
	printk(KERN_INFO "hello, %s\n", who);
	return 0;
}

static void __exit hello_exit(void)
{
	printk(KERN_INFO "goodbye, %s\n", who);
}

module_init(hello_init);
module_exit(hello_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("the tutorial's module");
