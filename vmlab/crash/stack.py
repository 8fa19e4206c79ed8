"""Stacks, registers and tasks, as the kernel prints them: one table of formats per thing.

x86: arch/x86/kernel/dumpstack*.c and process_*.c (traps*.c before 2.6.25), lib/dump_stack.c
(dump_stack_print_info); arm and arm64: arch/*/kernel/{traps,process,unwind}.c. Addresses stand
before the function until 4.9 on x86; old x86_64 writes decimal offsets in braces.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from vmlab.crash.lines import Message
from vmlab.crash.model import Frame, Inlined, Source

_NAME = r"[A-Za-z_.$][\w.$]{0,120}"
_AT = rf"({_NAME})\+(0x[0-9a-f]{{1,8}})/(0x[0-9a-f]{{1,8}})"
_MODULE = r"(?: \[([\w-]{1,60})[^\]\n]{0,60}\])?"
_PLACE = r"([\w./+-]{1,200}):(\d{1,7})"
_ADDRESS = r"(?:\[<([0-9a-f]{8,16})>\] {0,2})"
_POWERPC = r"(?:\[[0-9a-f]{8,16}\] \[[0-9a-f]{8,16}\] )"  # stack pointer and address

# ` [<c0103f6e>] ? function+0x1/0x2 [module]`, and the same without the address
_FRAME = re.compile(rf"\s*(?:{_ADDRESS}|{_POWERPC})?(\? )?{_AT}{_MODULE}(?: {_PLACE})?{_MODULE}")
# `<ffffffff8010f3b6>{:module:function+12}`: x86_64 until 2.6.18
_BRACES = re.compile(r"<([0-9a-f]{16})>\{(?::(\w{1,60}):)?(" + _NAME + r")\+(\d{1,8})\}")
# `function file.c:12 [inline]`, after scripts/decode_stacktrace.sh and the like
_INLINE = re.compile(rf"\s*({_NAME}) {_PLACE} \[inline\]")
# `(function) from [<c0103f6e>] (caller+0x1/0x2)`, `function from caller+0x1/0x2`: arm
_FROM = re.compile(
    rf"\s*{_ADDRESS}?\(?({_NAME})(?:\+(0x[0-9a-f]+)/(0x[0-9a-f]+))?{_MODULE}\)? from {_ADDRESS}?"
    rf"\(?({_NAME})\+0x"
)
_IP = re.compile(
    r"(?:RIP:? {1,2}(?:e030:|e033:|(?P<segment>[0-9a-f]{4}):)?|EIP: ?(?:(?P<old>[0-9a-f]{4}):)?"
    r"|E?IP is at |IP: |PC is at |pc ?: |epc ?: |NIP |\$ra )"
    rf"(?: *\[<(?P<address>[0-9a-f]{{8,16}})>\] *)*(?:{_AT}{_MODULE})?"
)
_OWN = re.compile(
    r"CPU|Pid: |Process |Modules linked in|Hardware name|Workqueue: |Code: |Tainted: |RIP|E?IP\b"
    r"|PC is at|LR is at|</?(?:IRQ|TASK|NMI|SOFTIRQ)>|\[<|[0-9a-f]{8,16}(?: |$)|#\d+: |=====|-----"
    r"|>?[0-9a-f]{8,16}: |(?:Read|Write) (?:of size|at addr)|Exception stack|Dumping ftrace"
)
_ASIDE = "RCU grace-period kthread stack dump"  # of the thread that the stall keeps from running
_CONTEXTS = ("<IRQ>", "<TASK>", "<NMI>", "<SOFTIRQ>")
STACK = re.compile(
    r"(?:Call [Tt]race|[Bb]acktrace|stack backtrace|Stack|stack trace)\b"
    r"|(?:Use-after-free|Out-of-bounds|Invalid|Corrupted memory) |Invalid free of "
    r"|(?:read|write|read-write)(?: \(\w+\))* to 0x|race at unknown origin"
)
"""Headlines of the stacks that a crash is about; others tell who allocated, freed or locked."""
_ENTRY = re.compile(
    r"entry_\w+|ret_from_\w+|start_kernel|start_secondary|secondary_startup\w*|\w+_start_kernel"
    r"|system_call\w*|sysenter\w*|syscall_call|kernel_thread_helper|child_rip|startup_32_smp"
    r"|do_syscall_\d+|do_\w*fast_syscall\w*|do_int80\w*|el0\w*|ret_fast_syscall"
)
_USER_SEGMENTS = ("0033", "0023", "002b", "0073")

_HEADS = re.compile(
    r"(?:Call Trace|Call trace|Backtrace|backtrace|stack backtrace|Stack|stack trace)(?:\s*:|$)"
    r"|Call Trace:<| ?Trace; "
    r"|(?:Allocated|Freed|Last potentially related work creation|Second to last potentially)\b"
    r"|(?:Uninit was (?:stored|created)|Local variable|Bytes \d|allocated by task|freed by task)"
    r"|(?:(?:read|write|read-write)(?: \(\w+\))* to 0x|race at unknown origin|value changed)"
    r"|(?:Use-after-free|Out-of-bounds|Invalid|Corrupted memory) .{0,80}at 0x|Invalid free of 0x"
    r"|page last|page_owner|Memory state|The buggy address|</TASK>"
    r"|\.{3} which became|which became"
    r"|-> #\d+ |the existing dependency chain|\{[A-Z-]{2,30}\} state was registered at"
    r"|(?:hard|soft)irqs last|last (?:en|dis)abled at|Preemption disabled at"
    r"|NMI backtrace for cpu|Sending NMI|Showing all locks|\d+ locks? held by|INFO: lockdep"
)
_REGISTER = re.compile(
    r"(?<![\w])([A-Z][A-Z0-9]{1,7}|[er]?[abcds][xpi]|eip|[rx]\d{1,2}|sp|lr|pc|fp|ip|psr|pstate)"
    r" {0,2}: {0,2}(?:[0-9a-f]{4}:)?(?:\[<)?([0-9a-f]{8,16})(?![0-9a-f])"
)
_REGISTERS = re.compile(
    r"(?:R[A-Z0-9]{2}|E[A-Z]{2}|e[a-z]{2}|EFLAGS|CR2|CS|DS|r\d+ ?|x\d+ ?|sp ?|pc ?):"
)

_WHO = re.compile(
    r"CPU: {0,4}(?P<cpu>\d+)(?: UID: \d+)? PID: (?P<pid>\d+) Comm: (?P<task>.{0,40}?)"
    r" (?P<taint>Not tainted|Tainted: .{1,60}?) (?=\d+\.\d+)"
)
_WHO_OLD = re.compile(
    r"Pid: (?P<pid>\d+), comm: (?P<task>.{0,40}?)"
    r" (?P<taint>Not tainted|Tainted: [A-Z](?: {0,3}[A-Z-]| ){0,40})(?= *\(| +\d|$)"
)
_PROCESS = re.compile(r"Process (?P<task>.{1,40}?) \(pid: (?P<pid>\d+)[,)]")
_CPU_OLD = re.compile(r"CPU:? {1,4}(?P<cpu>\d+)\s*:?$")
_TAINT_OLD = re.compile(r"E?IP: .{0,60}(?P<taint>Not tainted|Tainted: [A-Z ]+)")
_WHO_BY = {
    "CPU": (_WHO, _CPU_OLD), "Pid": (_WHO_OLD,), "Pro": (_PROCESS,), "EIP": (_TAINT_OLD,),
    "IP:": (_TAINT_OLD,),
}  # fmt: skip
"""Which formats may begin so."""
_MODULES = re.compile(r"Modules linked in:(?P<modules>.*)")


@dataclass
class Section:
    """A stack under its headline."""

    head: str
    frames: list[Frame] = field(default_factory=list)


@dataclass
class Facts:
    """What the lines of one report say, in the order in which they say it."""

    sections: list[Section] = field(default_factory=list)
    ip: Frame | None = None
    registers: dict[str, str] = field(default_factory=dict)
    task: str | None = None
    pid: int | None = None
    cpu: int | None = None
    taint: str | None = None
    tainted_known: bool = False
    modules: list[str] = field(default_factory=list)
    last: int = 0  # the last line that was of the report by its form
    trapped: bool = False
    aside: bool = False  # the next stack is none that the crash is about
    inlined: list[Inlined] = field(default_factory=list)  # of the frame that comes next
    user: bool = False  # the registers of user mode have begun
    entered: bool = False  # the stack was seen as far as where the kernel was entered
    mixed: bool = False  # another task's stack began before


def gather(lines: list[Message], trapped: bool = False) -> Facts:
    """Reads the lines of one report; a trap's place is the first instruction pointer."""
    facts = Facts(sections=[Section("")], trapped=trapped)
    for line in lines:
        if _take(facts, line.text):
            facts.last = line.number
    return facts


def _take(facts: Facts, text: str) -> bool:
    """Whether the line is of a report: told by its form."""
    stripped = text.strip()
    if not stripped:
        return False
    if _ASIDE in stripped:
        facts.aside = True
        facts.sections.append(Section(_ASIDE))  # arm prints no headline of its own there
    head = facts.sections[-1].head
    if stripped in _CONTEXTS and head != _ASIDE and not STACK.match(head):
        facts.sections.append(Section("Call Trace:"))  # its own line was lost
    elif _HEADS.match(stripped):
        aside, facts.aside = facts.aside and not facts.sections[-1].frames, False
        facts.sections.append(Section(_ASIDE if aside else stripped))
    if "[inline]" in text and (inlined := _INLINE.match(text)):
        facts.inlined.append(Inlined(inlined[1], inlined[2], int(inlined[3])))
        return True
    if found := list(frames(text)):
        if facts.inlined:
            found[0] = replace(found[0], inlined=tuple(facts.inlined))
            facts.inlined.clear()
        _take_frames(facts.sections[-1], found)
        facts.entered = facts.entered or bool(_ENTRY.fullmatch(found[-1].function))
        return True
    facts.inlined.clear()
    _take_ip(facts, stripped)
    _take_registers(facts, stripped)
    _take_who(facts, stripped)
    return bool(_OWN.match(stripped) or _HEADS.match(stripped) or _REGISTERS.match(stripped))


def _take_frames(section: Section, found: list[Frame]) -> None:
    """A caller stands for itself until its own frame comes: arm names both on one line."""
    if section.frames and section.frames[-1].size == -1 and not section.frames[-1].address:
        section.frames.pop()
    section.frames += found


def frames(text: str) -> Iterator[Frame]:
    """The frames that one line holds: one, or several in braces."""
    if "+0x" in text and (found := _FRAME.match(text)):
        address, unsure, function, offset, size, module, file, line, late = found.groups()
        yield Frame(
            function, int(offset, 16), int(size, 16), module or late, address, not unsure,
            Source(file, int(line)) if file else None,
        )  # fmt: skip
    elif " from " in text and (found := _FROM.match(text)):
        address, function, offset, size, module, _, caller = found.groups()
        where = (int(offset, 16), int(size, 16)) if offset else (-1, -1)
        yield Frame(function, *where, module, address)
        if caller:
            yield Frame(caller)
    elif ">{" in text:
        for old in _BRACES.finditer(text):
            yield Frame(old[3], int(old[4]), -1, old[2], old[1])


def _take_ip(facts: Facts, text: str) -> None:
    found = _IP.match(text)
    if found is None:
        return
    segment = found["segment"] or found["old"]
    if segment in _USER_SEGMENTS:
        facts.user = facts.entered = True
        return
    frame = _ip_frame(found, text)
    if frame is None:
        return
    unstacked = not any(section.frames for section in facts.sections)
    if facts.ip is None and (facts.trapped or unstacked):
        facts.ip = frame
    elif facts.sections[-1].frames and text.startswith(("RIP: 0010", "EIP: 0060", "EIP: ")):
        facts.sections[-1].frames.append(frame)  # what an interrupt or a trap stopped


def _ip_frame(found: "re.Match[str]", text: str) -> Frame | None:
    groups = found.groups()
    function, offset, size, module = groups[-4:]
    if function:
        return Frame(function, int(offset, 16), int(size, 16), module, found["address"])
    for old in _BRACES.finditer(text):
        return Frame(old[3], int(old[4]), -1, old[2], old[1])
    return None


def _take_registers(facts: Facts, text: str) -> None:
    if facts.user or not _REGISTERS.match(text):
        return
    for name, value in _REGISTER.findall(text):
        facts.registers.setdefault(name.upper() if name[0] in "er" else name, value)


def _take_who(facts: Facts, text: str) -> None:
    for pattern in _WHO_BY.get(text[:3], ()):
        if found := pattern.match(text):
            _fill(facts, found.groupdict())
    if not facts.modules and (found := _MODULES.match(text)):
        facts.modules += module_names(found["modules"])


def _fill(facts: Facts, said: dict[str, str]) -> None:
    if (
        facts.pid is not None
        and not facts.entered
        and said.get("pid", "") not in ("", str(facts.pid))
    ):
        facts.mixed = True
    if facts.task is None and "task" in said:
        facts.task, facts.pid = said["task"], int(said["pid"])
    if facts.cpu is None and "cpu" in said:
        facts.cpu = int(said["cpu"])
    if not facts.tainted_known and "taint" in said:
        facts.tainted_known = True
        facts.taint = taint_letters(said["taint"])


def taint_letters(said: str) -> str | None:
    """`Tainted: G    B D` -> "GBD"; None where it is not tainted."""
    letters = said.removeprefix("Tainted:")
    if letters == said:
        return None
    return "".join(re.findall(r"\[([A-Z])\]=", letters) or re.findall(r"[A-Z]", letters)) or None


def module_names(said: str) -> list[str]:
    """`vfat(E) hello(O+) [last unloaded: x]` -> vfat, hello"""
    return re.findall(r"(?<!\S)([\w-]{1,60})(?:\([A-Z+-]*\))?(?!\S)", said.partition("[")[0])
