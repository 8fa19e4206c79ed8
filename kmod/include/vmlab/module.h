/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * linux/module.h: a module without a function for its end. 2.6.8 gives it one of the kernel's own,
 * which modules do not see; from 2.6.9 on it is NULL. Without CONFIG_MODULE_UNLOAD there is none.
 */
#ifndef VMLAB_MODULE_H
#define VMLAB_MODULE_H

#include <linux/module.h>
#include <linux/version.h>

#if defined(CONFIG_MODULE_UNLOAD) && LINUX_VERSION_CODE >= KERNEL_VERSION(2, 6, 9)
#define VMLAB_MODULES_MAY_LACK_EXIT
#endif

#endif
