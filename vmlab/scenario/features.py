"""What kernels have or lack: for each need of a step the command that shows it in the guest."""

from collections.abc import Mapping
from types import MappingProxyType

FEATURES: Mapping[str, str] = MappingProxyType(
    {
        "devtmpfs": "grep -qw devtmpfs /proc/filesystems",  # 2.6.32
        "tmpfs": "grep -qw tmpfs /proc/filesystems",
        "sysfs": "grep -qw sysfs /proc/filesystems",
        "debugfs": "grep -qw debugfs /proc/filesystems",  # 2.6.11
        "tracefs": "test -e /sys/kernel/tracing/tracing_on",  # 4.1
        "cgroup": "grep -qw cgroup /proc/filesystems",  # 2.6.24
        "overlay": "grep -qw overlay /proc/filesystems",  # 3.18
        "pid-namespaces": "test $(unshare -p -f sh -c 'echo $$') = 1",  # by unshare: 3.8
        "kallsyms": "head -1 /proc/kallsyms | grep .",
        "slabinfo": "head -1 /proc/slabinfo | grep .",
        "unreclaimable-slab": "grep -q ^SUnreclaim /proc/meminfo",  # 2.6.19
        "vmallocinfo": "test -e /proc/vmallocinfo",  # 2.6.28
        "comm-files": "test -e /proc/self/comm",  # 2.6.33
        "nspid": "grep -q ^NSpid /proc/self/status",  # 4.1
        "fine-timers": 'grep -q "hres_active\\|resolution: *1 nsecs" /proc/timer_list',  # 2.6.21
        "context-switches": "grep -q ^voluntary_ctxt /proc/self/status",  # 2.6.23
        "timestamps": 'dmesg | grep -q "^.*\\[ *[0-9]*\\.[0-9]*\\]"',  # 2.6.12
        "smp": "uname -v | grep -q SMP",
        "preemption": "uname -v | grep -q 'PREEMPT\\( \\|$\\)'",
    }
)
"""Shell commands by need; the kernel that was the first to have it beside them."""


def lacking(name: str) -> str:
    """What is said of a kernel that lacks a need."""
    return f"the kernel has no {name.replace('-', ' ')}"
