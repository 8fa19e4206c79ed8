/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * linux/compiler.h: READ_ONCE and WRITE_ONCE, one access that the compiler does not repeat. 2.6.32
 * has ACCESS_ONCE for it, and older kernels have nothing; 3.19 has READ_ONCE and later WRITE_ONCE.
 * noinline is not everywhere in 2.6.
 */
#ifndef VMLAB_COMPILER_H
#define VMLAB_COMPILER_H

#include <linux/compiler.h>

#ifndef READ_ONCE
#define READ_ONCE(x) (*(volatile __typeof__(x) *)&(x))
#endif

#ifndef WRITE_ONCE
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))
#endif

#ifndef noinline
#define noinline __attribute__((noinline))
#endif

#endif
