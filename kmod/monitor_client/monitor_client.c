// SPDX-License-Identifier: GPL-2.0-only
/* Uses what kthread_monitor exports: prints the number of zombies when it is loaded. */
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "../include/kthread_monitor.h"

static int __init monitor_client_init(void)
{
	printk(KERN_INFO "monitor_client: zombies = %u\n", kthread_monitor_zombies());
	return 0;
}

static void __exit monitor_client_exit(void)
{
	printk(KERN_INFO "monitor_client: zombies = %u\n", kthread_monitor_zombies());
}

module_init(monitor_client_init);
module_exit(monitor_client_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("reads kthread_monitor's count of zombies");
