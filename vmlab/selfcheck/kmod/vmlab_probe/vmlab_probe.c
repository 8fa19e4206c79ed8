// SPDX-License-Identifier: GPL-2.0-only
/* Shows that modules can be built for a kernel, and get in and out. */
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static int answer;
module_param(answer, int, 0444);
MODULE_PARM_DESC(answer, "what it says (0)");

static int __init vmlab_probe_init(void)
{
	printk(KERN_INFO "vmlab_probe: answer %d\n", answer);
	return 0;
}

static void __exit vmlab_probe_exit(void)
{
	printk(KERN_INFO "vmlab_probe: gone\n");
}

module_init(vmlab_probe_init);
module_exit(vmlab_probe_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("says that it is there");
