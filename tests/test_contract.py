"""What host and guest promise one another, held by the stand-in and by real guests alike."""

import errno
from dataclasses import replace

import pytest

from vmlab import crash
from vmlab.arch import ARCHES
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.guest import launch, program, qemu
from vmlab.runner import read_results
from vmlab.snapshots import Snapshots

S = program.step


class Lab:
    """Begins a guest for a program, and reads what came of it."""

    def __init__(self, arch, kernel, image, directory, snapshots=None):
        self.arch, self.kernel, self.image, self.directory = arch, kernel, image, directory
        self.snapshots = snapshots

    def boot(self, steps, files=None, limit_ms=60_000, timeout_s=60.0):
        run = qemu.RunDirectory(self.directory)
        run.program.write_bytes(program.archive(steps, files or {}))
        run.mode.write_text(str(limit_ms))
        boot = qemu.Boot(qemu.Machine(self.arch), self.kernel, self.image, run)
        if self.snapshots:
            boot = replace(boot, memory=self.snapshots.memory(boot))
        ended = launch.run(boot, timeout_s)
        return ended, read_results(run), run.console.read_bytes()


@pytest.fixture(params=["fake", *(pytest.param(name, marks=pytest.mark.guest) for name in ARCHES)])
def lab(request, tmp_path):
    if request.param == "fake":
        request.getfixturevalue("fake_qemu")
        return Lab(ARCHES["i386"], tmp_path / "vmlinuz", tmp_path / "initrd", tmp_path)
    return real_lab(request.param, tmp_path)


def real_lab(name, directory) -> Lab:
    """A real guest's, begun from the snapshot that runs begin from."""
    arch = ARCHES[name]
    cache = Cache.default()
    artifacts = Artifacts(cache, Catalog.open(cache))
    kernel = [one for one in artifacts.catalog.select(None) if one.arch == arch][-1]
    kernel = artifacts.catalog.obtain(kernel)
    image = artifacts.image(arch)
    return Lab(arch, artifacts.catalog.image(kernel), image, directory, Snapshots(cache, print))


def test_steps_run_in_order_with_output_captures_and_places_in_the_console(lab):
    ended, found, console = lab.boot(
        [
            S("run", "echo one; echo key=value", name="r"),
            S("write", "/dev/kmsg first message"),
            S("write", "/dev/kmsg second message"),
            S("run", "echo {r.key} ${r} {r.status} {none.such}; exit 3", expect="3"),
            S("sleep", "", ms=300_000),
            S("run", "false", expect="nonzero"),
            S("run", "exit 9", expect="any"),
        ],
        limit_ms=1_000_000,
    )
    assert (ended.how, found.fault) == ("off", None)
    assert [step.state for step in found.steps] == ["passed"] * 7
    assert found.steps[0].output == "one\nkey=value"
    assert dict(found.steps[0].values) == {"r.key": "value", "r.status": "0"}
    assert found.steps[3].argument.startswith("echo value ${r} 0 {none.such}")
    assert [step.outcome for step in found.steps] == [0, 0, 0, 3, 0, 1, 9]
    assert found.steps[4].uptime - found.steps[3].uptime >= 300
    between = console[found.steps[1].console[0] : found.steps[2].console[0]]
    assert b"first message" in between
    assert b"second message" not in between
    assert b"second message" in console[slice(*found.steps[2].console)]


def test_the_first_step_that_fails_is_the_last_that_runs(lab):
    ended, found, _ = lab.boot([S("run", "exit 4"), S("run", "echo never"), S("sleep", "", ms=5)])
    assert (ended.how, found.fault, found.begun) == ("off", None, 1)
    assert [step.state for step in found.steps] == ["failed", "skipped", "skipped"]
    assert found.steps[0].outcome == 4
    assert found.steps[1].output == ""


@pytest.mark.guest
@pytest.mark.parametrize("arch", ARCHES)
def test_a_command_of_plain_words_does_what_a_shell_would_do(arch, tmp_path):
    """It is begun without one; what has no program, or is a shell's own, goes to the shell."""
    lab = real_lab(arch, tmp_path)
    script = {"script": b"echo script of $# words\n"}
    ended, found, _ = lab.boot(
        [
            S("run", "echo  two   words"),
            S("run", "no-such-program -x", expect="127"),
            S("run", "script a b"),
            S("run", "exit 3", expect="3"),
            S("run", "LEFT=right env | grep LEFT"),
            S("run", "LEFT=right printenv LEFT"),
            S("run", "/bin/false", expect="1"),
            S("run", "echo $((6 * 7)) '  '"),
        ],
        script,
    )
    assert ended.how == "off"
    assert [step.state for step in found.steps] == ["passed"] * 8
    said = [step.output for step in found.steps]
    assert said[0] == "two words"
    assert "no-such-program: not found" in said[1]
    assert said[2] == "script of 2 words"
    assert said[4] == "LEFT=right"
    assert said[5] == "right"
    assert said[7] == "42   "


def test_a_script_of_several_lines_with_tabs_and_backslashes_arrives_as_it_is(lab):
    script = "printf 'a\\tb\\n'\nif true; then\n\techo 'x\\\\y'\nfi\n"
    _, found, _ = lab.boot([S("run", script)])
    assert found.steps[0].state == "passed"
    assert found.steps[0].output.splitlines()[0] == "a\tb"


@pytest.mark.guest
@pytest.mark.parametrize("name", ARCHES)
class TestRealGuests:
    """What only a kernel can show."""

    @pytest.fixture
    def lab(self, name, tmp_path):
        return real_lab(name, tmp_path)

    def test_a_command_that_ends_before_it_is_ready_is_not_there(self, lab):
        _, found, _ = lab.boot([S("spawn", "echo a=b", name="z", ms=5000)])
        assert (found.steps[0].state, found.steps[0].outcome) == ("failed", 256 + errno.ENODATA)
        _, found, _ = lab.boot([S("spawn", "sh -c 'exit 3'", name="z", ms=5000)])
        assert (found.steps[0].state, found.steps[0].outcome) == ("failed", 3)
        _, found, _ = lab.boot([S("spawn", "sleep 9", name="z", ms=500)])
        assert (found.steps[0].state, found.steps[0].outcome) == ("failed", 256 + errno.ETIMEDOUT)

    def test_a_step_beyond_the_limit_of_guest_time_ends_the_run(self, lab):
        ended, found, _ = lab.boot([S("sleep", "", ms=600_000)], limit_ms=5_000)
        assert ended.how == "off"
        assert found.fault is not None and "timeout of the steps" in found.fault
        assert found.begun == 1

    @pytest.mark.parametrize("path", ["/dev/kmsg", "/tmp/pipe"])
    def test_a_read_that_waits_for_ever_is_ended_by_the_limit_too(self, lab, path):
        make = S("run", "mkfifo /tmp/pipe; echo a=b > /tmp/file")
        fine = S("read", "/tmp/file", name="f")
        steps = [make, fine, S("run", "test {f.a} = b"), S("read", path)]
        ended, found, _ = lab.boot(steps, limit_ms=5_000, timeout_s=20)
        assert (ended.how, found.begun, len(found.steps)) == ("off", 4, 3)
        assert found.fault is not None and "timeout of the steps" in found.fault
        assert [step.state for step in found.steps] == ["passed"] * 3
        assert (found.steps[1].output, found.steps[1].values["f.value"]) == ("a=b", "a=b")

    def test_what_others_say_in_the_middle_of_a_line_cuts_nothing(self, lab):
        talker = "sh -c 'echo ready; sleep 1; echo hello=1; sleep 1000'"
        half = S("run", "echo pid=1; printf abc; sleep 2; echo def", name="r")
        late = S("run", "printf 'name: '; sleep 900")
        steps = [S("spawn", talker, name="s", ms=5000), half, late]
        _, found, _ = lab.boot(steps, limit_ms=60_000)
        assert found.fault is not None and "timeout of the steps" in found.fault
        assert (len(found.steps), found.steps[1].output) == (2, "pid=1\nabcdef")
        values = found.steps[1].values
        assert (values["r.pid"], values["s.hello"]) == ("1", "1")

    def test_the_agent_s_own_limit_is_told_from_the_kernel_s(self, lab):
        many = [S("spawn", "sh -c 'echo ready; sleep 900'", name="s", ms=5000)] * 65
        ended, found, _ = lab.boot(many)
        assert (ended.how, len(found.steps), found.lab_s_fault) == ("off", 64, True)
        assert found.gave_up.startswith("lab: more than 64 processes were spawned: ")

    def test_a_panic_ends_the_guest_at_once(self, lab):
        ended, found, console = lab.boot(
            [S("run", "sleep 1"), S("write", "/proc/sysrq-trigger c"), S("sleep", "", ms=1)]
        )
        assert ended.how == "reset"
        assert found.begun == 2 and len(found.steps) == 1
        assert b"Kernel panic" in console

    def test_memory_that_runs_out_does_not_hang_the_lab(self, lab):
        fill = "mount -o remount,size=90% /tmp; dd if=/dev/zero of=/tmp/x bs=1M & tail /dev/zero"
        ended, _, console = lab.boot([S("run", fill, expect="any"), S("run", "true")])
        assert ended.how in ("off", "reset")
        assert crash.find(console.decode(errors="replace")).kind in ("out of memory", "panic")

    def test_a_guest_that_hangs_in_the_kernel_is_ended_in_time(self, lab):
        busy = S("run", "while :; do :; done")
        ended, found, _ = lab.boot([busy], limit_ms=10_000_000, timeout_s=6)
        assert ended.how == "timeout"
        assert found.begun == 1
