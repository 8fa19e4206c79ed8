"""Miniature kernel trees of several eras, and folders as a user brings them.

What a tree declares is what modules found in the headers of a real one of that release.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import old_pci

CONFIG = """\
CONFIG_X86=y
CONFIG_X86_32=y
CONFIG_PRINTK=y
CONFIG_TTY=y
CONFIG_SERIAL_8250=y
CONFIG_SERIAL_8250_CONSOLE=y
CONFIG_BLK_DEV_INITRD=y
CONFIG_BINFMT_ELF=y
CONFIG_PROC_FS=y
CONFIG_X86_IOPL_IOPERM=y
CONFIG_MODULES=y
"""


@dataclass(frozen=True)
class Era:
    """One release, and what its headers and its kbuild are like."""

    release: str
    zombie: str  # a zombie's state in its headers
    fields: str  # of task_struct, besides those that all have
    lock: bool = False  # tasklist_lock for modules
    hrtimer: str = "new"  # "", "old" (up to 2.6.20: an int, HRTIMER_ABS), "new"
    flags: str = "$(ccflags-y) $(EXTRA_CFLAGS)"  # what its kbuild reads
    kbuild: bool = True  # whether a Kbuild is read, not a Makefile alone
    legacy: bool = False  # whether kernel_thread() and daemonize() are for modules
    exact: str = ""  # more that only some have

    @property
    def number(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.release.split("."))

    @property
    def code(self) -> int:
        major, minor, patch = (*self.number, 0)[:3]
        return (major << 16) + (minor << 8) + min(patch, 255)


_EXTRA = "$(EXTRA_CFLAGS)"
_END = "unsigned long *end_of_stack(struct task_struct *task);\n"
_NO_END = "struct thread_info { int cpu; };\nstruct thread_info *current_thread_info(void);\n"
_ONCE = """\
#define READ_ONCE(x) (*(volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))
"""
_LEGACY = """\
#define CLONE_FS 0x200
#define CLONE_FILES 0x400
int kernel_thread(int (*f)(void *), void *data, unsigned long flags);
void daemonize(const char *name, ...);
"""
_UNMAP = "void vm_unmap_aliases(void);\n"
_SPLIT = "long state; int exit_state;"
ERAS = (
    Era("2.6.8", "#define TASK_ZOMBIE 8", "long state;", True, "", _EXTRA, False, True, _NO_END),
    Era("2.6.9", "#define TASK_ZOMBIE 16", "long state;", True, "", _EXTRA, False, True, _NO_END),
    Era("2.6.11", "#define EXIT_ZOMBIE 16", _SPLIT, True, "", _EXTRA, True, True, _NO_END),
    Era("2.6.20", "#define EXIT_ZOMBIE 16", _SPLIT, False, "old", _EXTRA, True, True, _NO_END),
    Era("2.6.32", "#define EXIT_ZOMBIE 16", _SPLIT, legacy=True, exact=_END),
    Era("3.19.8", "#define EXIT_ZOMBIE 32", _SPLIT, exact=_END),
    Era("4.4.155", "#define EXIT_ZOMBIE 32", _SPLIT, exact=_END + _ONCE),
)

_LOCK = """\
typedef struct { int held; } rwlock_t;
extern rwlock_t tasklist_lock;
void read_lock(rwlock_t *lock);
void read_unlock(rwlock_t *lock);
"""
_RCU = """\
void rcu_read_lock(void);
void rcu_read_unlock(void);
#define rcu_dereference(p) (p)
"""
_HRTIMER = {
    "": "",
    "old": """\
typedef struct { long long tv64; } ktime_t;
enum hrtimer_mode { HRTIMER_ABS };
#define HRTIMER_NORESTART 0
#define CLOCK_MONOTONIC 1
struct hrtimer { int (*function)(struct hrtimer *); };
void hrtimer_init(struct hrtimer *timer, int clock, enum hrtimer_mode mode);
int hrtimer_start(struct hrtimer *timer, ktime_t time, const enum hrtimer_mode mode);
int hrtimer_cancel(struct hrtimer *timer);
""",
    "new": """\
typedef struct { long long tv64; } ktime_t;
enum hrtimer_mode { HRTIMER_MODE_ABS };
enum hrtimer_restart { HRTIMER_NORESTART };
#define CLOCK_MONOTONIC 1
struct hrtimer { enum hrtimer_restart (*function)(struct hrtimer *); };
void hrtimer_init(struct hrtimer *timer, int clock, enum hrtimer_mode mode);
int hrtimer_start(struct hrtimer *timer, ktime_t time, const enum hrtimer_mode mode);
int hrtimer_cancel(struct hrtimer *timer);
""",
}
_CLOCK = {
    "old": "struct timespec { long tv_sec, tv_nsec; };\nvoid ktime_get_ts(struct timespec *now);\n",
    "new": "ktime_t ktime_get(void);\n",
}
_KTIME = """\
ktime_t ktime_set(long s, unsigned long ns);
ktime_t ktime_add_ns(ktime_t time, u64 ns);
long long ktime_to_ns(ktime_t time);
"""
_ALL = """\
#ifndef MINI_ALL_H
#define MINI_ALL_H
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int pid_t;
#define NULL ((void *)0)
#define INT_MAX 0x7fffffff
#define ENOMEM 12
#define EOPNOTSUPP 95
#define EINVAL 22
#define HZ 1000
#define __init
#define __exit
#define KERN_ALERT "<1>"
#define KERN_ERR "<3>"
#define KERN_WARNING "<4>"
#define KERN_INFO "<6>"
#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max_t(t, a, b) ((t)(a) > (t)(b) ? (t)(a) : (t)(b))
#define barrier() __asm__ __volatile__("" : : : "memory")
#define do_div(n, by) ((n) = (n) / (by))
#define module_param(name, type, mode) extern int mini_parameter_##name
#define MODULE_PARM_DESC(name, text) extern int mini_text_##name
#define MODULE_LICENSE(text) extern int mini_license
#define MODULE_DESCRIPTION(text) extern int mini_description
#define EXPORT_SYMBOL_GPL(name) extern int mini_export_##name
#define module_init(function) int init_module(void) { return function(); }
#define module_exit(function) void cleanup_module(void) { function(); }
#define TASK_RUNNING 0
#define TASK_INTERRUPTIBLE 1
#define TASK_UNINTERRUPTIBLE 2
int printk(const char *text, ...);
int snprintf(char *to, unsigned long size, const char *text, ...);
int strcmp(const char *a, const char *b);
void *vmalloc(unsigned long size);
void vfree(void *at);
struct task_struct {
	@FIELDS@
	pid_t pid;
	char comm[16];
	void *mm, *fs, *files;
	struct task_struct *real_parent, *next;
};
extern struct task_struct init_task, *current;
#define for_each_process(p) for (p = &init_task; (p = p->next) != &init_task;)
@ZOMBIE@
void set_current_state(long state);
void __set_current_state(long state);
void schedule(void);
long schedule_timeout(long jiffies);
unsigned long msecs_to_jiffies(unsigned int ms);
extern unsigned long jiffies;
int wake_up_process(struct task_struct *task);
struct task_struct *kthread_create(int (*f)(void *), void *data, const char *name, ...);
#define kthread_run kthread_create
int kthread_stop(struct task_struct *task);
int kthread_should_stop(void);
#define IS_ERR(p) ((unsigned long)(p) > -1000UL)
#define PTR_ERR(p) ((long)(p))
struct timer_list { unsigned long expires, data; void (*function)(unsigned long); };
void init_timer(struct timer_list *timer);
int mod_timer(struct timer_list *timer, unsigned long expires);
int del_timer_sync(struct timer_list *timer);
struct completion { int done; };
void init_completion(struct completion *x);
void complete(struct completion *x);
void wait_for_completion(struct completion *x);
void complete_and_exit(struct completion *x, long code);
#define time_before(a, b) ((long)((a) - (b)) < 0)
void preempt_disable(void);
void preempt_enable(void);
void local_irq_disable(void);
void local_bh_disable(void);
void local_bh_enable(void);
void cpu_relax(void);
typedef struct { int slock; } spinlock_t;
void spin_lock_init(spinlock_t *lock);
void spin_lock(spinlock_t *lock);
void spin_unlock(spinlock_t *lock);
void spin_unlock_bh(spinlock_t *lock);
#define GFP_KERNEL 0xd0
void *kmalloc(unsigned long size, int flags);
void kfree(const void *at);
unsigned long __get_free_page(unsigned int flags);
void free_page(unsigned long at);
void *memset(void *at, int c, unsigned long size);
struct list_head { struct list_head *next, *prev; };
#define LIST_HEAD(name) struct list_head name = { &(name), &(name) }
void list_add(struct list_head *one, struct list_head *head);
void panic(const char *text, ...);
#define BUG_ON(x) do { if (x) panic("BUG"); } while (0)
#define WARN_ON(x) do { if (x) printk("WARNING"); } while (0)
struct module { void (*exit)(void); };
extern struct module __this_module;
#define THIS_MODULE (&__this_module)
@EXACT@
struct timeval { long tv_sec, tv_usec; };
void do_gettimeofday(struct timeval *now);
#endif
"""
_HEADERS = [
    "compiler",
    "completion",
    "delay",
    "div64",
    "err",
    "errno",
    "gfp",
    "init",
    "interrupt",
    "io",
    "jiffies",
    "kernel",
    "kthread",
    "list",
    "mm",
    "module",
    "moduleparam",
    "preempt",
    "processor",
    "rcupdate",
    "sched",
    "slab",
    "spinlock",
    "string",
    "time",
    "timer",
    "types",
    "vmalloc",
]

# Each makes an object of each word in obj-m and calls it a module, as kbuild's first stage does.
_MAKEFILE = """\
VERSION = {release}
EXTRAVERSION =
export objtree := $(CURDIR)
modules:
\t@$(MAKE) --no-print-directory -f scripts/Makefile.build obj=$(M) M=$(M)
\t@echo {release} >> written-here
"""
_BUILD = """\
{include}
all: $(patsubst %,$(obj)/%,$(filter %.o,$(obj-m))) $(filter %/,$(obj-m))
$(obj)/%.o: $(obj)/%.c
\t$(CC) -Wall -Werror -nostdinc -Iinclude {flags} -DVERMAGIC='"{release}"' -c -o $@ $<
\t$(if $(filter $(notdir $@),$(obj-m)),cp $@ $(@:.o=.ko))
%/: FORCE
\t@$(MAKE) --no-print-directory -f scripts/Makefile.build obj=$(obj)/$(@:/=)
FORCE:
define whole
$(obj)/$(1): $(addprefix $(obj)/,$($(1:.o=-objs)))
\tld -m elf_i386 -r -o $$@ $$^
\tcp $$@ $$(@:.o=.ko)
endef
$(foreach m,$(obj-m),$(if $($(m:.o=-objs)),$(eval $(call whole,$(m)))))
"""
_EITHER = "include $(if $(wildcard $(obj)/Kbuild),$(obj)/Kbuild,$(obj)/Makefile)"


def tree(era: Era, folder: Path) -> Path:
    """A tree that modules of this era are built against."""
    linux = folder / "include/linux"
    linux.mkdir(parents=True)
    (folder / "include/asm").mkdir()
    text = _ALL.replace("@FIELDS@", era.fields).replace("@ZOMBIE@", era.zombie)
    more = (_LEGACY if era.legacy else "") + (_UNMAP if era.number >= (2, 6, 28) else "")
    text = text.replace("@EXACT@", era.exact + more)
    (linux / "mini.h").write_text(text)
    version = f"#define LINUX_VERSION_CODE {era.code}\n"
    version += f'#define UTS_RELEASE "{era.release}"\n'
    version += "#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))\n"
    (linux / "version.h").write_text(version)
    guard = "#ifndef MINI_{0}_H\n#define MINI_{0}_H\n#include <linux/mini.h>\n{1}#endif\n"
    pci = guard.format("PCI", old_pci.declared(era.number, firmware=era.hrtimer == "new"))
    for name in old_pci.HEADERS:
        (linux / f"{name}.h").write_text(pci)
    for name in _HEADERS:
        of_arch = name in ("div64", "processor") or (name == "io" and era.number < (2, 6, 20))
        place = folder / "include/asm" if of_arch else linux
        (place / f"{name}.h").write_text("#include <linux/mini.h>\n")
    walk = _LOCK if era.lock else ""
    (linux / "sched.h").write_text(guard.format("SCHED", walk))
    (linux / "rcupdate.h").write_text(guard.format("RCU", _RCU))
    if era.hrtimer:
        text = _HRTIMER[era.hrtimer] + _CLOCK[era.hrtimer] + _KTIME
        (linux / "hrtimer.h").write_text(guard.format("HRTIMER", text))
        (linux / "ktime.h").write_text("#include <linux/hrtimer.h>\n")
    (folder / "scripts").mkdir()
    include = _EITHER if era.kbuild else "include $(obj)/Makefile"
    text = _BUILD.format(include=include, flags=era.flags, release=era.release)
    (folder / "scripts/Makefile.build").write_text(text)
    (folder / "Makefile").write_text(_MAKEFILE.format(release=era.release))
    exported = ["printk", *(["kernel_thread", "daemonize"] if era.legacy else [])]
    symvers = "".join(f"0x00000000\t{name}\tvmlinux\n" for name in exported)
    (folder / "Module.symvers").write_text(symvers)
    (folder / ".config").write_text(CONFIG)
    return folder


def image(release: str, path: Path) -> None:
    """A bzImage's header, which names the release; nothing of it can boot."""
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = struct.pack("<H", 0x100)
    text = f"{release} (root@box) #1\0".encode()
    head[0x300 : 0x300 + len(text)] = text
    path.write_bytes(head)


def box(era: Era, folder: Path) -> Path:
    """A folder as a user takes it from an old box."""
    folder.mkdir()
    image(era.release, folder / "bzImage")
    (folder / "config").write_text(CONFIG)
    (folder / "System.map").write_text("c0100000 T _text\n")
    tree(era, folder / "build")
    return folder
