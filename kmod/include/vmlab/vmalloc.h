/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * linux/vmalloc.h: when what vfree() was given, the code of unloaded modules too, is unmapped.
 *
 *   2.6.28  later, when 32 MB of it have come together, or when vm_unmap_aliases() is called
 *   2.6.37  at once again; only its addresses are kept from new owners until then
 */
#ifndef VMLAB_VMALLOC_H
#define VMLAB_VMALLOC_H

#include <linux/version.h>
#include <linux/vmalloc.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(2, 6, 28)
static inline void vmlab_unmap_freed(void)
{
}
#else
#define vmlab_unmap_freed vm_unmap_aliases
#endif

#endif
