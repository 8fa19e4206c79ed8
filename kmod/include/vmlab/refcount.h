/* SPDX-License-Identifier: GPL-2.0-only */
/* linux/refcount.h, which 4.11 was the first to have: counts that do not go below zero unseen. */
#ifndef VMLAB_REFCOUNT_H
#define VMLAB_REFCOUNT_H

#include <linux/version.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(4, 11, 0)
#include <linux/refcount.h>
#define VMLAB_HAS_REFCOUNT
#endif

#endif
