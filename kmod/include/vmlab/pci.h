/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * linux/pci.h, and what a driver needs beside it:
 *
 *   2.6.9   pci_iomap; before it the resource's address is mapped
 *   2.6.11  wait_for_completion_timeout; before it the completion is looked at once a tick
 *   2.6.18  IRQF_SHARED, which was SA_SHIRQ
 *   2.6.19  an interrupt's handler is no longer given the registers
 *   2.6.20  linux/io.h is there for sure; before it asm/io.h serves
 *   2.6.24  DMA_BIT_MASK
 *   2.6.34  dma_set_coherent_mask; before it pci_set_consistent_dma_mask, which is gone in 5.18
 *
 * Without CONFIG_FW_LOADER there is no request_firmware: it is one that says EOPNOTSUPP.
 */
#ifndef VMLAB_PCI_H
#define VMLAB_PCI_H

#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/errno.h>
#include <linux/firmware.h>
#include <linux/interrupt.h>
#include <linux/jiffies.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(2, 6, 20)
#include <linux/io.h>
#else
#include <asm/io.h>
#endif

#ifndef __iomem
#define __iomem
#endif

#ifndef IRQF_SHARED
#define IRQF_SHARED SA_SHIRQ
#endif

#ifndef DMA_BIT_MASK
#define DMA_BIT_MASK(bits) ((1ULL << (bits)) - 1)
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(2, 6, 19)
#define VMLAB_IRQ_HANDLER(name, number, data) irqreturn_t name(int number, void *data)
#else
#define VMLAB_IRQ_HANDLER(name, number, data) \
	irqreturn_t name(int number, void *data, struct pt_regs *registers)
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(2, 6, 9)
static inline void __iomem *vmlab_pci_iomap(struct pci_dev *pci, int bar)
{
	return ioremap(pci_resource_start(pci, bar), pci_resource_len(pci, bar));
}

static inline void vmlab_pci_iounmap(struct pci_dev *pci, void __iomem *at)
{
	iounmap(at);
}
#else
static inline void __iomem *vmlab_pci_iomap(struct pci_dev *pci, int bar)
{
	return pci_iomap(pci, bar, 0);
}

static inline void vmlab_pci_iounmap(struct pci_dev *pci, void __iomem *at)
{
	pci_iounmap(pci, at);
}
#endif

/* For what the device is given in pieces and for what it shares with the driver. */
static inline int vmlab_dma_set_masks(struct pci_dev *pci, int bits)
{
	int error = dma_set_mask(&pci->dev, DMA_BIT_MASK(bits));

#if LINUX_VERSION_CODE >= KERNEL_VERSION(2, 6, 34)
	return error ? error : dma_set_coherent_mask(&pci->dev, DMA_BIT_MASK(bits));
#else
	return error ? error : pci_set_consistent_dma_mask(pci, DMA_BIT_MASK(bits));
#endif
}

/* Returns 0 where it was not completed in so many milliseconds. */
static inline int vmlab_wait_for(struct completion *completion, int ms)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(2, 6, 11)
	return wait_for_completion_timeout(completion, msecs_to_jiffies(ms)) != 0;
#else
	unsigned long end = jiffies + msecs_to_jiffies(ms);

	while (!*(volatile unsigned int *)&completion->done) {
		if (time_after(jiffies, end))
			return 0;
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule_timeout(1);
	}
	wait_for_completion(completion);
	return 1;
#endif
}

#if defined(CONFIG_FW_LOADER) || defined(CONFIG_FW_LOADER_MODULE)
#define vmlab_request_firmware request_firmware
#define vmlab_release_firmware release_firmware
#else
static inline int vmlab_request_firmware(const struct firmware **file, const char *name, struct device *device)
{
	return -EOPNOTSUPP;
}

static inline void vmlab_release_firmware(const struct firmware *file)
{
}
#endif

#endif
