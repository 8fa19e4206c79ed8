// SPDX-License-Identifier: GPL-2.0
/* A ring with three bugs, for pictures of what vmlab says of them. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/module.h>
#include <linux/string.h>

struct ring {
	unsigned int head;
	unsigned int size;
};

static unsigned int slots = 8;
module_param(slots, uint, 0444);

static struct ring only, *ring = &only;

static noinline void ring_reset(struct ring *which)
{
	which->head = 0;
	pr_info("reset: %u slots\n", which->size);
}

/* The bug: after the first reset there is no ring. */
static int reset_set(const char *text, const struct kernel_param *param)
{
	ring_reset(ring);
	ring = NULL;
	return 0;
}

/* The bug: waits for a ring that nobody fills. */
static int wait_set(const char *text, const struct kernel_param *param)
{
	while (READ_ONCE(only.head) == 0)
		msleep(100);
	return 0;
}

/* The bug: counts one too few. */
static int count_set(const char *text, const struct kernel_param *param)
{
	pr_info("%u slots are free\n", only.size - only.head - 1);
	return 0;
}

static const struct kernel_param_ops reset_ops = { .set = reset_set };
static const struct kernel_param_ops wait_ops = { .set = wait_set };
static const struct kernel_param_ops count_ops = { .set = count_set };
module_param_cb(reset, &reset_ops, NULL, 0200);
module_param_cb(wait, &wait_ops, NULL, 0200);
module_param_cb(count, &count_ops, NULL, 0200);

static int __init ringlog_init(void)
{
	if (slots == 0)
		return -EINVAL;
	only.size = slots;
	pr_info("ready, %u slots\n", slots);
	return 0;
}

static void __exit ringlog_exit(void)
{
}

module_init(ringlog_init);
module_exit(ringlog_exit);
MODULE_DESCRIPTION("A ring with three bugs");
MODULE_LICENSE("GPL");
