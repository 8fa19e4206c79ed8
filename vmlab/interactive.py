"""A guest to work with from Python: each call is one step, done when it returns."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from vmlab import crash, health
from vmlab.artifacts import Artifacts
from vmlab.catalog import Kernel
from vmlab.errors import VmlabError
from vmlab.guest import begin, program, qemu
from vmlab.guest.console import Console
from vmlab.guest.results import Health, StepResult
from vmlab.guest.session import GuestLost, Session, session
from vmlab.health import Finding
from vmlab.project import Project
from vmlab.qemus import chosen
from vmlab.scenario import errnos
from vmlab.scenario.crashes import Allowed
from vmlab.snapshots import Snapshots


class StepFailed(VmlabError):
    """A step's outcome was not the expected one; `result` is what came back."""

    def __init__(self, result: StepResult, expect: str) -> None:
        self.result = result
        super().__init__(
            f"{result.verb} {result.argument}: outcome {result.outcome}, and {expect} was wanted"
            + (f"; it said:\n{result.output}" if result.output else "")
        )


class KernelSick(VmlabError):
    """The kernel is sick, whatever the step said; `finding` says of what."""

    def __init__(self, kernel: Kernel, finding: Finding) -> None:
        self.finding = finding
        super().__init__(f"kernel {kernel.id}: {finding}")


class Guest:
    """One running guest with the project's modules and workloads in it.

    Calls raise KernelSick where the kernel is sick after a step, whether it is still there or not,
    StepFailed where the outcome is not `expect` (an exit status, an errno by name or in decimal,
    `nonzero` or `any`), and GuestLost where the guest is gone.
    """

    def __init__(self, kernel: Kernel, inner: Session) -> None:
        self.kernel = kernel
        self._inner = inner
        self._allowed: list[Allowed] = []
        self._looked = 0  # bytes of the console
        self._known: set[int] = set()  # bits of the kernel's taint that the console has told of
        self._steps = 0

    def allow(self, kind: str | None = None, title: str | None = None) -> None:
        """From now on such a crash is not held against the kernel, as with a scenario's `allow`."""
        self._allowed.append(Allowed(kind=kind, title=title))

    @property
    def console(self) -> Console:
        """The kernel's console, for pexpect: `guest.console.expect("pattern")`."""
        return self._inner.console

    @property
    def values(self) -> Mapping[str, str]:
        """All captures so far, "z.pid" -> "57"."""
        steps = self._inner.results().steps
        return steps[-1].values if steps else {}

    def run(self, command: str, expect: str | int = 0, name: str = "-") -> StepResult:
        """Runs a shell command to its end."""
        return self.step("run", command, expect, name)

    def insmod(self, module: str, expect: str | int = 0) -> StepResult:
        """Loads a module of the project: its name, then parameters."""
        return self.step("insmod", module, expect)

    def rmmod(self, module: str, expect: str | int = 0) -> StepResult:
        """Unloads a module, by its name."""
        return self.step("rmmod", module, expect)

    def spawn(self, command: str, name: str, ready_ms: int = 10_000) -> StepResult:
        """Starts a command and waits until it prints `ready`, `ready_ms` of guest time at most."""
        return self.step("spawn", command, 0, name, ready_ms)

    def signal(self, number: str, pid: int | str) -> StepResult:
        """Sends a process a signal, by number or by name without SIG."""
        return self.step("signal", f"{number} {pid}")

    def sleep(self, seconds: float) -> StepResult:
        """Lets that many seconds of the guest's time pass."""
        return self.step("sleep", "", ms=round(seconds * 1000))

    def read(self, path: str) -> str:
        """The text of a file in the guest, without its last newline."""
        return self.step("read", path).output

    def write(self, path: str, value: str) -> StepResult:
        """Writes a line into a file that is there; a newline is added."""
        return self.step("write", f"{path} {value}")

    def step(
        self, verb: str, argument: str, expect: str | int = 0, name: str = "-", ms: int = 0
    ) -> StepResult:
        """Any step of a scenario, as the agent knows it; `ms` is its time, in milliseconds.

        `name` is what its captures are found by in `values`.
        """
        self._steps += 1
        wanted = str(errnos.NUMBERS.get(str(expect), expect))
        try:
            result = self._inner.step(program.step(verb, argument, wanted, name, ms))
        except GuestLost:
            self.check()
            raise
        self.check(result.health)
        if result.state != "passed":
            raise StepFailed(result, str(expect))
        return result

    def check(self, told: Health | None = None) -> None:
        """Raises KernelSick for the first trouble that came since the last look."""
        text = self._inner.printed(self._looked)
        text = text[: text.rfind(b"\n") + 1]
        self._looked += len(text)
        shown = [
            Finding(one.kind, one.title, self._steps, one)
            for one in crash.parse(text.decode(errors="replace"))
        ]
        self._known |= health.explained(shown)
        agent = health.of_agent(told, self._steps, self._known) if told else ()
        if found := health.first([*shown, *agent, *health.unread(shown)], self._allowed):
            raise KernelSick(self.kernel, found)


@contextlib.contextmanager
def boot(
    project: Project,
    artifacts: Artifacts,
    kernel: Kernel,
    machine: qemu.Machine | None = None,
    snapshots: Snapshots | None = None,
) -> Iterator[Guest]:
    """A guest with all modules and workloads of the project; it ends with the block.

    It begins from a snapshot where `snapshots` is given, else it boots. Raises KernelSick at the
    block's end too, for what came after the last step.
    """
    kernel = artifacts.catalog.obtain(kernel)
    machine = machine or qemu.Machine(kernel.arch)
    names = sorted(project.module_names())
    whole = project.settings.build != "apart"  # what this kernel cannot have is not there then
    wanted = [] if whole else names
    modules = artifacts.modules(kernel, project.folder, wanted) if names else {}
    files = {f"{name}.ko": path.read_bytes() for name, path in modules.items()}
    for name, source in project.workloads().items():
        files[name] = artifacts.program(kernel.arch, source, name).read_bytes()
    with tempfile.TemporaryDirectory(prefix="vmlab-guest-") as folder:
        run = qemu.RunDirectory(Path(folder))
        image, vmlinuz = artifacts.image(kernel.arch), artifacts.catalog.image(kernel)
        emulator = chosen(machine, artifacts.catalog)
        cold = qemu.Boot(machine, vmlinuz, image, run, emulator=emulator)
        with _begun(cold, files, snapshots) as inner:
            guest = Guest(kernel, inner)
            yield guest
            guest.check()


@contextlib.contextmanager
def _begun(
    cold: qemu.Boot, files: dict[str, bytes], snapshots: Snapshots | None
) -> Iterator[Session]:
    """A session; begun once more where another process has just taken its snapshot away."""

    def boot() -> qemu.Boot:
        return replace(cold, memory=snapshots.memory(cold)) if snapshots else cold

    with contextlib.ExitStack() as stack:
        try:
            inner = stack.enter_context(session(boot(), files))
        except begin.GoneError:
            inner = stack.enter_context(session(boot(), files))
        yield inner
