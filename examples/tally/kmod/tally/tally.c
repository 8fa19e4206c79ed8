// SPDX-License-Identifier: GPL-2.0
/* /dev/tally counts the lines that are written into it, up to a limit. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/uaccess.h>

static unsigned int limit = 3;
module_param(limit, uint, 0444);
MODULE_PARM_DESC(limit, "lines that are counted, from 1 on (3)");

static DEFINE_MUTEX(lock);
static unsigned int lines;

/* Counts whole writes: one with a line too many changes nothing. */
static ssize_t tally_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	unsigned int more = 0;
	size_t i;
	char c;

	for (i = 0; i < size; i++) {
		if (get_user(c, from + i))
			return -EFAULT;
		more += c == '\n';
	}
	mutex_lock(&lock);
	if (more > limit - lines) {
		pr_warn("%u lines, and no room for %u more\n", lines, more);
		mutex_unlock(&lock);
		return -ENOSPC;
	}
	lines += more;
	mutex_unlock(&lock);
	return size;
}

static ssize_t tally_read(struct file *file, char __user *to, size_t size, loff_t *at)
{
	char text[sizeof("lines=4294967295\n")];
	int length;

	mutex_lock(&lock);
	length = scnprintf(text, sizeof(text), "lines=%u\n", lines);
	mutex_unlock(&lock);
	return simple_read_from_buffer(to, size, at, text, length);
}

static const struct file_operations tally_fops = {
	.owner = THIS_MODULE,
	.read = tally_read,
	.write = tally_write,
	.llseek = default_llseek,
};

static struct miscdevice tally = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "tally",
	.fops = &tally_fops,
};

static int __init tally_init(void)
{
	int error;

	if (limit == 0) {
		pr_err("limit=0 counts nothing\n");
		return -EINVAL;
	}
	error = misc_register(&tally);
	if (error) {
		pr_err("misc_register: error %d\n", error);
		return error;
	}
	pr_info("counting up to %u lines\n", limit);
	return 0;
}

static void __exit tally_exit(void)
{
	misc_deregister(&tally);
	pr_info("%u lines at the end\n", lines);
}

module_init(tally_init);
module_exit(tally_exit);
MODULE_DESCRIPTION("Counts the lines that are written into it");
MODULE_LICENSE("GPL");
