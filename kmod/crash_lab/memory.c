// SPDX-License-Identifier: GPL-2.0-only
/* What the allocators and the structures in memory tell, sooner or later. */
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "../include/vmlab/compiler.h"
#include "../include/vmlab/refcount.h"
#include "../include/vmlab/vmalloc.h"
#include "crash_lab.h"

#define SIZE 256
#define OTHERS 64
#define LETTER 0x6b /* what the memory's next owner fills it with */

struct object {
	struct object *next;
	char filling[SIZE - sizeof(void *)];
};

/* Volatile: the compiler does not see that what it points to is gone. */
static void *volatile kept;

noinline int lab_double_free(void)
{
	kept = kmalloc(SIZE, GFP_KERNEL);
	if (!kept)
		return -ENOMEM;
	kfree(kept);
	kfree(kept);
	return 0;
}

/* The memory has another owner by then, who wrote his own data into it. */
noinline int lab_use_after_free(void)
{
	void *others[OTHERS];
	struct object *gone;
	int i;

	kept = kmalloc(sizeof(*gone), GFP_KERNEL);
	if (!kept)
		return -ENOMEM;
	kfree(kept);
	for (i = 0; i < OTHERS; i++) {
		others[i] = kmalloc(sizeof(*gone), GFP_KERNEL);
		if (others[i])
			memset(others[i], LETTER, sizeof(*gone));
	}
	gone = kept;
	printk(KERN_INFO LOG "the next one's next is %p\n", (void *)READ_ONCE(gone->next->next));
	for (i = 0; i < OTHERS; i++)
		kfree(others[i]);
	return 0;
}

/* Kernels that check their lists find an entry that does not point back. */
noinline int lab_list(void)
{
	static struct list_head first, second;
	static LIST_HEAD(head);

	list_add(&first, &head);
	first.prev = &second;
	list_add(&second, &head);
	return 0;
}

/* Beside the object, and yet in the allocator's memory for it: only KASAN sees that. */
noinline int lab_out_of_bounds(void)
{
	char *volatile bytes = kmalloc(SIZE - 1, GFP_KERNEL);

	if (!bytes)
		return -ENOMEM;
	*(volatile char *)(bytes + SIZE - 1) = LETTER;
	kfree(bytes);
	return 0;
}

/* What nothing points to any more; several, for an old pointer may stand on some stack. */
noinline int lab_leak(void)
{
	int i;

	for (i = 0; i < OTHERS; i++) {
		kept = kmalloc(SIZE, GFP_KERNEL);
		if (!kept)
			return -ENOMEM;
	}
	kept = NULL;
	return 0;
}

/* UBSAN says what C leaves to the processor. */
noinline int lab_shift(void)
{
	volatile int by = 8 * sizeof(int) + 1, one = 1;

	printk(KERN_INFO LOG "1 << %d is %d\n", by, one << by);
	return 0;
}

noinline int lab_refcount(void)
{
#ifdef VMLAB_HAS_REFCOUNT
	static refcount_t count;
	int gone;

	refcount_set(&count, 1);
	gone = refcount_dec_and_test(&count);
	gone += refcount_dec_and_test(&count);
	printk(KERN_INFO LOG "gone %d times\n", gone);
	return 0;
#else
	printk(KERN_ERR LOG "what=refcount: this kernel has no refcount_t\n");
	return -EOPNOTSUPP;
#endif
}

/* Not a crash: after it, one who uses what vfree() was given finds no page there on any kernel. */
noinline int lab_unmap_freed(void)
{
	vmlab_unmap_freed();
	return 0;
}

/* Each page begins with the address of the one before. */
static void free_all(void **page)
{
	void **before;

	for (; page; page = before) {
		before = *page;
		free_page((unsigned long)page);
	}
}

/* Takes pages until the kernel kills somebody for it: the process that asks, if nobody else. */
noinline int lab_oom(void)
{
	void **last = NULL, **page;

	while ((page = (void **)__get_free_page(GFP_KERNEL))) {
		*page = last;
		last = page;
	}
	free_all(last);
	return -ENOMEM;
}
