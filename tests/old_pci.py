"""What drivers of PCI devices find declared in old trees, for the miniature ones of old_trees."""

Number = tuple[int, ...]

_ALL = """\
typedef unsigned long size_t;
#define ENODEV 19
#define EIO 5
#define ETIMEDOUT 110
#define min_t(t, a, b) ((t)(a) < (t)(b) ? (t)(a) : (t)(b))
int memcmp(const void *a, const void *b, size_t size);
void *memcpy(void *to, const void *from, size_t size);
size_t strcspn(const char *text, const char *stops);
typedef unsigned long long dma_addr_t;
struct device { int id; };
struct pci_dev { struct device dev; int irq; };
struct pci_device_id { unsigned int vendor, device; };
#define PCI_DEVICE(v, d) .vendor = (v), .device = (d)
#define MODULE_DEVICE_TABLE(type, name) extern int mini_table_##name
struct pci_driver {
	char *name;
	const struct pci_device_id *id_table;
	int (*probe)(struct pci_dev *pci, const struct pci_device_id *id);
	void (*remove)(struct pci_dev *pci);
};
int pci_register_driver(struct pci_driver *driver);
void pci_unregister_driver(struct pci_driver *driver);
int pci_enable_device(struct pci_dev *pci);
void pci_disable_device(struct pci_dev *pci);
int pci_request_regions(struct pci_dev *pci, const char *name);
void pci_release_regions(struct pci_dev *pci);
void pci_set_master(struct pci_dev *pci);
void pci_set_drvdata(struct pci_dev *pci, void *data);
void *pci_get_drvdata(struct pci_dev *pci);
int dma_set_mask(struct device *device, u64 mask);
void *dma_alloc_coherent(struct device *device, size_t size, dma_addr_t *bus, int flags);
void dma_free_coherent(struct device *device, size_t size, void *at, dma_addr_t bus);
u32 readl(const void *at);
void writel(u32 value, void *at);
void free_irq(unsigned int number, void *data);
typedef int irqreturn_t;
#define IRQ_NONE 0
#define IRQ_HANDLED 1
struct firmware { size_t size; unsigned char *data; };
"""
_FIRMWARE = """\
#define CONFIG_FW_LOADER 1
int request_firmware(const struct firmware **file, const char *name, struct device *device);
void release_firmware(const struct firmware *file);
"""
# What is declared from a release on, and what was before it.
_SINCE = (
    ((2, 6, 9), "#define __iomem\nvoid *pci_iomap(struct pci_dev *p, int bar, unsigned long max);\n"
     "void pci_iounmap(struct pci_dev *p, void *at);\n",
     "unsigned long pci_resource_start(struct pci_dev *p, int bar);\n"
     "unsigned long pci_resource_len(struct pci_dev *p, int bar);\n"
     "void *ioremap(unsigned long at, unsigned long size);\nvoid iounmap(void *at);\n"),
    ((2, 6, 11),
     "unsigned long wait_for_completion_timeout(struct completion *x, unsigned long ticks);\n",
     "#define time_after(a, b) ((long)((b) - (a)) < 0)\n"),
    ((2, 6, 18), "#define IRQF_SHARED 0x80\n", "#define SA_SHIRQ 0x04000000\n"),
    ((2, 6, 19), "typedef irqreturn_t irq_handler_t(int number, void *data);\n",
     "struct pt_regs;\n"
     "typedef irqreturn_t irq_handler_t(int number, void *data, struct pt_regs *registers);\n"),
    ((2, 6, 24), "#define DMA_BIT_MASK(n) ((1ULL << (n)) - 1)\n", ""),
    ((2, 6, 34), "int dma_set_coherent_mask(struct device *device, u64 mask);\n",
     "int pci_set_consistent_dma_mask(struct pci_dev *pci, u64 mask);\n"),
)  # fmt: skip
_IRQ = (
    "int request_irq(unsigned int number, irq_handler_t *handler, unsigned long flags,"
    " const char *name, void *data);\n"
)
HEADERS = ("dma-mapping", "firmware", "pci")


def declared(number: Number, firmware: bool) -> str:
    """The declarations of a release; those of firmware where its loader is configured."""
    eras = "".join(new if number >= since else old for since, new, old in _SINCE)
    return _ALL + (_FIRMWARE if firmware else "") + eras + _IRQ
