"""What a scenario file may say. The JSON Schema and the reference are made from these models."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from vmlab.guest import devices
from vmlab.scenario.crashes import AllowedEntry, Wanted
from vmlab.scenario.values import (
    DeviceName,
    Duration,
    Errno,
    Memory,
    Name,
    Option,
    PackageName,
    Size,
    Status,
    Text,
    Title,
)

READY_MS = 10_000
TIMEOUT_MS = 120_000
MEMORY_MIB = 192
MOST_CPUS = 8

_NEEDS = "what the kernel must have (see Needs); where it lacks it, the step is passed over"


class Model(BaseModel):
    # Built when it is first used: a scenario has few of the verbs.
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)


class Step(Model):
    """One entry of `steps:`; its first key is the verb."""

    verb: ClassVar[str]
    action: ClassVar[bool] = True  # a later `console` looks at what was printed since it began
    needs: list[Title] = Field(default=[], description=_NEEDS)

    on: Literal["a", "b"] | None = Field(
        default=None, description="which guest of a pair does it; a without it"
    )

    @property
    def argument(self) -> str:
        """The text after the verb."""
        return str(getattr(self, self.verb))

    @property
    def capture(self) -> str | None:
        """The name under which later steps refer to what this one gave."""
        return getattr(self, "as_", None)

    @property
    def expect(self) -> str:
        """What the agent expects as the outcome."""
        return getattr(self, "errno", None) or getattr(self, "status", None) or "0"

    @property
    def ms(self) -> int:
        """Guest milliseconds that the agent is given."""
        return 0

    @property
    def folds(self) -> bool:
        """Whether its output is made of tests."""
        return bool(getattr(self, "ktap", False))

    def skips(self, outcome: int) -> bool:
        """Whether an outcome says that this guest has nothing for the step."""
        return getattr(self, "or_skip", None) == str(outcome)

    def why(self) -> str:
        """Why it is then, as words behind others; empty where the scenario does not tell."""
        because: str | None = getattr(self, "because", None)
        return f", for {because}" if because else ""

    def patterns(self) -> dict[str, str]:
        """The patterns among its options, by key."""
        found = {key: getattr(self, key, None) for key in ("output", "no_output")}
        return {key: text for key, text in found.items() if text is not None}


_ERRNO = "the errno with which the kernel must refuse it, by name, or `any`; without it, success"
_OR_SKIP = (
    "the errno that means that this guest has nothing for it, ENODEV for instance: the run is "
    "skipped then"
)
_AS = "a name for what it gives; later steps write `{name.key}`"
_OUTPUT = "a pattern that its output must match"
_NO_OUTPUT = "a pattern that its output must not match"
_KTAP = (
    "its output is TAP or KTAP: each test in it is told of by itself, and one that fails fails the "
    "step"
)
_STATUS = "the exit status that it must end with, `nonzero` or `any`"

ErrnoField = Annotated[Errno | None, Field(description=_ERRNO)]
OrSkipField = Annotated[Errno | None, Field(description=_OR_SKIP)]
BecauseField = Annotated[
    Text | None, Field(description="with `or_skip`: why that is, told with it")
]
AsField = Annotated[Name | None, Field(alias="as", description=_AS)]
OutputField = Annotated[Text | None, Field(description=_OUTPUT)]
NoOutputField = Annotated[Text | None, Field(description=_NO_OUTPUT)]
KtapField = Annotated[bool, Field(description=_KTAP)]
StatusField = Annotated[Status, Field(description=_STATUS)]


class Await(Step):
    """What the lab gives one of two guests for a step of the other's; no scenario says it."""

    verb = "await"
    action = False
    await_: str

    @property
    def argument(self) -> str:
        return self.await_


class Insmod(Step):
    """Loads a module of the project: its name, then parameters."""

    verb = "insmod"
    insmod: Text = Field(
        description="`NAME parameter=value ...`; NAME@other is built for another kernel"
    )
    errno: ErrnoField = None
    or_skip: OrSkipField = None
    because: BecauseField = None


class Rmmod(Step):
    """Unloads a module."""

    verb = "rmmod"
    rmmod: Text = Field(description="the module's name")
    errno: ErrnoField = None


class Modprobe(Step):
    """Loads a module, the project's or the kernel's own, with what it depends on, `softdep` too."""

    verb = "modprobe"
    modprobe: Text = Field(
        description="`NAME parameter=value ...`; success if loaded or built in already, "
        "ENOENT if the kernel lacks it; NAME may be an alias, as `fs-ext4` or `pci:v00008086d...`"
    )
    errno: ErrnoField = None
    or_skip: OrSkipField = None
    because: BecauseField = None


class Kunit(Step):
    """Loads a module that tests, as `modprobe` does, and folds what it prints into tests."""

    verb = "kunit"
    kunit: Text = Field(
        description="`NAME parameter=value ...`, of the project or of the kernel's own; KUnit's "
        "KTAP is read, and the words of the kernel's `test_*`; that none is told of is a failure"
    )
    errno: ErrnoField = None
    or_skip: OrSkipField = None
    because: BecauseField = None


class Run(Step):
    """Runs a shell command to its end."""

    verb = "run"
    run: Text = Field(description="the command; several lines are a script")
    status: StatusField = "0"
    output: OutputField = None
    no_output: NoOutputField = None
    ktap: KtapField = False
    as_: AsField = None


class Spawn(Step):
    """Starts a command that goes on while later steps run; waits until it prints `ready`."""

    verb = "spawn"
    spawn: Text = Field(description="the command, a workload for instance")
    within: Duration = Field(default=READY_MS, description="guest time until `ready`")
    output: OutputField = None
    no_output: NoOutputField = None
    as_: AsField = None

    @property
    def ms(self) -> int:
        return self.within


class Signal(Step):
    """Sends a signal."""

    verb = "signal"
    signal: Text = Field(description="`NAME PID`, as in `USR1 {z.pid}`")
    errno: ErrnoField = None


class Sleep(Step):
    """Lets guest time pass; on the virtual clock it costs next to nothing."""

    verb = "sleep"
    action = False
    sleep: Duration = Field(description="guest time")

    @property
    def argument(self) -> str:
        return ""

    @property
    def ms(self) -> int:
        return self.sleep


class Write(Step):
    """Writes a line to a file that exists, of /proc or /sys for instance."""

    verb = "write"
    write: Text = Field(description="`PATH VALUE`")
    errno: ErrnoField = None


class Read(Step):
    """Reads a file."""

    verb = "read"
    action = False
    read: Text = Field(description="the path")
    errno: ErrnoField = None
    output: OutputField = None
    no_output: NoOutputField = None
    ktap: KtapField = False
    as_: AsField = None


class Console(Step):
    """The kernel must have printed a match since the last action began, or print it in time."""

    verb = "console"
    action = False
    console: Text = Field(description="the pattern")
    within: Duration = Field(default=1000, description="guest time that is waited before looking")
    times: int | None = Field(default=None, ge=0, description="exactly so many matches")

    @property
    def ms(self) -> int:
        return self.within


class NoConsole(Step):
    """The kernel must not print a match while guest time passes."""

    verb = "no_console"
    action = False
    no_console: Text = Field(description="the pattern")
    for_: Duration = Field(alias="for", description="guest time")

    @property
    def ms(self) -> int:
        return self.for_


class ExpectCrash(Step):
    """The kernel must crash so, and not otherwise, since the last action began. The last step."""

    verb = "expect_crash"
    action = False
    expect_crash: Wanted = Field(description="`{kind: ..., title: ..., within: ...}`")

    @property
    def argument(self) -> str:
        wanted = self.expect_crash
        return " or ".join(wanted.kind) + (f": {wanted.title}" if wanted.title else "")

    @property
    def ms(self) -> int:
        return self.expect_crash.within

    def patterns(self) -> dict[str, str]:
        return {"title": self.expect_crash.title} if self.expect_crash.title else {}


STEPS: tuple[type[Step], ...] = (
    Insmod, Rmmod, Modprobe, Kunit, Spawn, Run, Signal, Sleep, Write, Read, Console, NoConsole,
    ExpectCrash,
)  # fmt: skip
BY_VERB = {step.verb: step for step in STEPS}


class SkipIf(Model):
    """Where a scenario is not run, and why."""

    kernel: Text = Field(description="kernels, as `vmlab run --kernel` takes them")
    reason: Text = Field(description="what is not so there; shown in the table")


class Scenario(Model):
    """One scenario file."""

    name: Title = Field(description="as the file is named, without .yaml")
    about: Text = Field(description="what it shows, in one sentence")
    parameters: dict[Name, list[Text]] = Field(
        default={}, description="values for `{name}`; each combination is a run of its own"
    )
    kernels: Text | None = Field(default=None, description="only on these, as --kernel takes them")
    modules: list[Text] = Field(default=[], description="modules of the project it needs")
    workloads: list[Text] = Field(default=[], description="workloads besides those its steps name")
    memory: Memory = Field(default=MEMORY_MIB, description="the guest's memory, 192M")
    cpus: int = Field(default=1, ge=1, le=MOST_CPUS, description="the guest's processors")
    clock: Literal["virtual", "real"] = Field(
        default="virtual", description="virtual: idle time passes at once, and runs repeat"
    )
    image: Literal["tiny", "debian"] = Field(
        default="tiny", description="the guest's userland: busybox and ps, or Debian's packages"
    )
    packages: list[PackageName] = Field(
        default=[], description="Debian packages that the image `debian` has besides"
    )
    udev: bool = Field(default=False, description="whether udev runs in the image `debian`")
    firmware: list[Text] = Field(
        default=[], description="files of the project's firmware, which request_firmware() finds"
    )
    devices: list[DeviceName] = Field(
        default=[],
        max_length=devices.MOST,
        description="devices that QEMU adds to the machine, see below",
    )
    network: Literal["none", "pair"] = Field(
        default="none", description="pair: a second guest at the other end of its cards' wire"
    )
    timeout: Duration = Field(
        default=TIMEOUT_MS, description="for all steps in guest time, and for the run on the host"
    )
    tags: list[Title] = Field(
        default=[], description="`demo`, `slow` and `crash` are left out of plain runs"
    )
    config: list[Option] = Field(
        default=[],
        description="options that the kernel must have been configured with (y or m), as "
        "CONFIG_DETECT_HUNG_TASK, or CONFIG_SLAB|CONFIG_SLUB where either is enough, by today's "
        "names; elsewhere it is skipped",
    )
    needs: list[Title] = Field(
        default=[],
        description="what the kernel must have, probed in the guest (see Needs); elsewhere it is "
        "skipped",
    )
    probes: dict[Title, Text] = Field(
        default={}, description="needs of its own: a shell command that succeeds where it is met"
    )
    flood: Size | None = Field(
        default=None, description="a guest that prints more is ended: a flood"
    )
    allow: list[AllowedEntry] = Field(
        default=[], description="what is not held against the kernel: kinds of crash, or patterns"
    )
    skip_if: list[SkipIf] = Field(default=[], description="where it is not run, and why")
    steps: list[
        Insmod
        | Rmmod
        | Modprobe
        | Kunit
        | Spawn
        | Run
        | Signal
        | Sleep
        | Write
        | Read
        | Console
        | NoConsole
        | ExpectCrash
    ] = Field(min_length=1, description="what is done and seen, in order")
