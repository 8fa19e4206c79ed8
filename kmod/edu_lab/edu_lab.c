// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver for QEMU's device for teaching ("edu", docs/specs/edu.txt of QEMU), which shows what a
 * PCI driver has to do with: registers, an interrupt, DMA in both directions, and, where it is
 * asked for, a firmware file, whose bytes are then what goes by DMA.
 *
 * Everything is tried once, when the device is found; what was seen is printed, and what went wrong
 * is the errno with which the device is refused.
 */
#define LOG "edu_lab: "

#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "../include/vmlab/pci.h"

#define VENDOR 0x1234
#define DEVICE 0x11e8

#define REG_ID 0x00
#define ID 0x010000edU
#define REG_LIVE 0x04 /* what is written is read inverted */
#define REG_FACTORIAL 0x08
#define REG_STATUS 0x20
#define STATUS_COMPUTING 0x01
#define REG_IRQ_STATUS 0x24
#define REG_IRQ_RAISE 0x60
#define REG_IRQ_ACK 0x64
#define REG_DMA_FROM 0x80
#define REG_DMA_TO 0x88
#define REG_DMA_SIZE 0x90
#define REG_DMA_COMMAND 0x98
#define DMA_START 0x01
#define DMA_TO_RAM 0x02
#define DMA_IRQ 0x04
#define DMA_IRQ_STATUS 0x100
#define DMA_BITS 28
#define DEVICE_BUFFER 0x40000 /* where the device keeps what it was given */
#define BUFFER_SIZE 4096

#define WORD 0x5eed
#define POLLS 1000000
#define WAIT_MS 1000 /* a transfer takes 100 ms */

static int factorial;
module_param(factorial, int, 0444);
MODULE_PARM_DESC(factorial, "a number, up to 12, whose factorial the device computes (0: none)");

static char *firmware = "";
module_param(firmware, charp, 0444);
MODULE_PARM_DESC(firmware, "a firmware file, whose bytes go by DMA (none: a text)");

struct edu {
	struct pci_dev *pci;
	void __iomem *regs;
	struct completion irq;
	u32 irq_status;
	char *buffer;
	dma_addr_t bus;
	size_t size; /* of what is in the buffer */
};

static VMLAB_IRQ_HANDLER(on_irq, number, data)
{
	struct edu *edu = data;
	u32 status = readl(edu->regs + REG_IRQ_STATUS);

	if (!status)
		return IRQ_NONE;
	writel(status, edu->regs + REG_IRQ_ACK);
	edu->irq_status = status;
	complete(&edu->irq);
	return IRQ_HANDLED;
}

static int try_registers(struct edu *edu)
{
	u32 id = readl(edu->regs + REG_ID), live;

	writel(WORD, edu->regs + REG_LIVE);
	live = readl(edu->regs + REG_LIVE);
	printk(KERN_INFO LOG "id %08x, inverted %08x\n", id, live);
	return id == ID && live == ~(u32)WORD ? 0 : -ENODEV;
}

/* The device computes in its own time: the register is looked at until it is done. */
static int try_factorial(struct edu *edu)
{
	int polls;

	if (!factorial)
		return 0;
	writel(factorial, edu->regs + REG_FACTORIAL);
	for (polls = 0; polls < POLLS; polls++) {
		if (!(readl(edu->regs + REG_STATUS) & STATUS_COMPUTING)) {
			printk(KERN_INFO LOG "%d! = %u\n", factorial, readl(edu->regs + REG_FACTORIAL));
			return 0;
		}
		cpu_relax();
	}
	printk(KERN_ERR LOG "factorial: the device still computes\n");
	return -ETIMEDOUT;
}

static int wait_for(struct edu *edu, const char *what, u32 wanted)
{
	if (!vmlab_wait_for(&edu->irq, WAIT_MS)) {
		printk(KERN_ERR LOG "%s: no interrupt in %d ms\n", what, WAIT_MS);
		return -ETIMEDOUT;
	}
	printk(KERN_INFO LOG "%s: interrupt %x\n", what, edu->irq_status);
	return edu->irq_status == wanted ? 0 : -EIO;
}

static int try_interrupt(struct edu *edu)
{
	writel(WORD, edu->regs + REG_IRQ_RAISE);
	return wait_for(edu, "raised", WORD);
}

static int transfer(struct edu *edu, const char *what, u32 from, u32 to, u32 command)
{
	writel(from, edu->regs + REG_DMA_FROM);
	writel(to, edu->regs + REG_DMA_TO);
	writel(edu->size, edu->regs + REG_DMA_SIZE);
	writel(command | DMA_START | DMA_IRQ, edu->regs + REG_DMA_COMMAND);
	return wait_for(edu, what, DMA_IRQ_STATUS);
}

/* What goes by DMA: the firmware's bytes, where there is one. */
static int fill(struct edu *edu)
{
	const struct firmware *file;
	int error;

	if (!*firmware) {
		edu->size = snprintf(edu->buffer, BUFFER_SIZE, "there and back again");
		return 0;
	}
	error = vmlab_request_firmware(&file, firmware, &edu->pci->dev);
	if (error) {
		printk(KERN_ERR LOG "firmware %s: error %d\n", firmware, error);
		return error;
	}
	edu->size = min_t(size_t, file->size, BUFFER_SIZE / 2);
	memcpy(edu->buffer, file->data, edu->size);
	printk(KERN_INFO LOG "firmware %s: %zu bytes\n", firmware, file->size);
	vmlab_release_firmware(file);
	return 0;
}

static int try_dma(struct edu *edu)
{
	char *back = edu->buffer + BUFFER_SIZE / 2;
	u32 bus = edu->bus;
	int error = fill(edu);

	if (!error)
		error = transfer(edu, "to the device", bus, DEVICE_BUFFER, 0);
	if (!error)
		error = transfer(edu, "from the device", DEVICE_BUFFER, bus + BUFFER_SIZE / 2, DMA_TO_RAM);
	if (!error && memcmp(edu->buffer, back, edu->size))
		error = -EIO;
	if (!error)
		printk(KERN_INFO LOG "came back: %.*s\n", (int)strcspn(back, "\n"), back);
	return error;
}

static int try_all(struct edu *edu)
{
	int error = try_registers(edu);

	if (!error)
		error = try_factorial(edu);
	if (!error)
		error = try_interrupt(edu);
	return error ? error : try_dma(edu);
}

static void put(struct edu *edu)
{
	if (edu->buffer)
		dma_free_coherent(&edu->pci->dev, BUFFER_SIZE, edu->buffer, edu->bus);
	if (edu->regs)
		vmlab_pci_iounmap(edu->pci, edu->regs);
	pci_release_regions(edu->pci);
	pci_disable_device(edu->pci);
	kfree(edu);
}

static int get(struct edu *edu)
{
	int error = pci_enable_device(edu->pci);

	if (error)
		return error;
	error = pci_request_regions(edu->pci, "edu_lab");
	if (error) {
		pci_disable_device(edu->pci);
		return error;
	}
	pci_set_master(edu->pci);
	edu->regs = vmlab_pci_iomap(edu->pci, 0);
	error = edu->regs ? vmlab_dma_set_masks(edu->pci, DMA_BITS) : -ENOMEM;
	if (!error)
		edu->buffer = dma_alloc_coherent(&edu->pci->dev, BUFFER_SIZE, &edu->bus, GFP_KERNEL);
	return error || edu->buffer ? error : -ENOMEM;
}

static int edu_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct edu *edu = kmalloc(sizeof(*edu), GFP_KERNEL);
	int error;

	if (!edu)
		return -ENOMEM;
	memset(edu, 0, sizeof(*edu));
	edu->pci = pci;
	init_completion(&edu->irq);
	error = get(edu);
	if (error) {
		printk(KERN_ERR LOG "getting the device: error %d\n", error);
		goto failed;
	}
	error = request_irq(pci->irq, on_irq, IRQF_SHARED, "edu_lab", edu);
	if (error)
		goto failed;
	pci_set_drvdata(pci, edu);
	error = try_all(edu);
	if (!error)
		return 0;
	printk(KERN_ERR LOG "trying the device: error %d\n", error);
	free_irq(pci->irq, edu);
failed:
	put(edu);
	return error;
}

static void edu_remove(struct pci_dev *pci)
{
	struct edu *edu = pci_get_drvdata(pci);

	free_irq(pci->irq, edu);
	put(edu);
	printk(KERN_INFO LOG "gone\n");
}

static const struct pci_device_id edu_ids[] = {
	{ PCI_DEVICE(VENDOR, DEVICE) },
	{ 0 },
};
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name = "edu_lab",
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
};

static int __init edu_lab_init(void)
{
	return pci_register_driver(&edu_driver);
}

static void __exit edu_lab_exit(void)
{
	pci_unregister_driver(&edu_driver);
}

module_init(edu_lab_init);
module_exit(edu_lab_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("tries what QEMU's edu device can do");
