"""Looking closer, in real guests: memory images under gdb, and shells on a terminal."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import pexpect
import pytest
from test_virtme import processes

KERNELS = ("5.10.0-32-686", "6.1.0-50-amd64")
BLOW = """\
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/module.h>

static noinline void blow_deepest(int *where)
{
	*where = 1;
}

static noinline int blow_middle(int *where)
{
	blow_deepest(where);
	return *where;
}

static int __init blow_init(void)
{
	return blow_middle(NULL) ? -EINVAL : 0;
}

module_init(blow_init);
MODULE_LICENSE("GPL");
"""
SCENARIOS = {
    "blow": "modules: [blow]\nsteps:\n  - insmod: blow\n",
    "sysrq": "steps:\n  - run: echo c > /proc/sysrq-trigger\n",
    "fine": "steps:\n  - run: head -c 8 /dev/urandom | md5sum\n",
    "state": "timeout: 10m\nsteps:\n  - run: echo 1 > /tmp/one\n  - sleep: 5m\n"
    "  - run: echo 2 > /tmp/two\n  - console: never printed\n  - run: echo 3 > /tmp/three\n",
}
PROMPT = r"(?:686|amd64):/program# "

pytestmark = pytest.mark.guest


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    made = tmp_path_factory.mktemp("project")
    (made / "vmlab.yaml").touch()
    (made / "kmod" / "blow").mkdir(parents=True)
    (made / "kmod" / "blow" / "Kbuild").write_text("obj-m += blow.o\n")
    (made / "kmod" / "blow" / "blow.c").write_text(BLOW)
    (made / "scenarios").mkdir()
    for name, text in SCENARIOS.items():
        (made / "scenarios" / f"{name}.yaml").write_text(f"name: {name}\nabout: x\n{text}")
    return made


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def ran(root: Path, *words: str) -> list[dict[str, object]]:
    words = ("run", *words, "-j", "1", "--json", "runs.json")
    subprocess.run(["vmlab", *words], cwd=root, env=environment(), capture_output=True, check=False)
    return json.loads((root / "runs.json").read_text())["runs"]


def guests(root: Path) -> list[str]:
    """QEMU's processes with files in a project."""
    return [
        words
        for words in processes(str(root))
        if "qemu-system" in words.partition(" -")[0] + words[:200]
    ]


@pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed")
@pytest.mark.parametrize("kernel", KERNELS)
def test_gdb_finds_the_guilty_function_in_a_dead_guest_s_memory(root, kernel):
    (run,) = ran(root, "blow", "--kernel", kernel)
    assert (run["verdict"], run["no_image"], run["no_command"]) == ("crashed", None, None)
    assert [one["format"] for one in run["images"]] == ["elf", "kdump"]
    assert all(0 < one["bytes"] < 192 << 20 for one in run["images"])
    kdump = Path(run["images"][1]["file"]).read_bytes()
    assert kdump[:8] == b"KDUMP   "
    assert f"OSRELEASE={kernel}\n".encode() in kdump[-8192:]
    (look,) = run["look"]
    told = subprocess.run(
        f"{look.replace('gdb -q', 'gdb -q -batch')}",
        shell=True, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    frames = re.findall(r"^#\d+ +(?:0x\w+ in )?(\S+) \(", told.stdout, re.MULTILINE)
    frames = frames[frames.index("panic") :]  # gdb shows the first one twice
    assert frames.index("blow_deepest") + 1 == frames.index("blow_middle")
    assert frames.index("blow_middle") + 1 == frames.index("blow_init")
    assert frames.index("blow_init") + 1 == frames.index("do_one_initcall"), told.stdout
    assert "blow_deepest (where=0x0) at blow.c:6" in told.stdout
    assert guests(root) == []


@pytest.mark.parametrize("kernel", KERNELS)
def test_images_change_no_byte_and_are_left_by_dead_guests_only(root, kernel):
    with_images = ran(root, "sysrq", "fine", "--kernel", kernel, "--dump", "elf")
    without = ran(root, "sysrq", "fine", "--kernel", kernel, "--no-dump")
    assert [one["token"] for one in with_images] == [one["token"] for one in without]
    assert [one["verdict"] for one in without] == ["crashed", "passed"]
    died, fine = (Path(str(one["dir"])) for one in with_images)
    assert sorted(path.name for path in died.glob("memory*")) == ["memory.elf", "memory.gdb"]
    assert list(fine.glob("memory*")) == []
    assert not any(list(Path(str(one["dir"])).glob("memory*")) for one in without)
    assert "images" not in without[0] and "images" not in with_images[1]


@pytest.fixture(autouse=True)
def no_guest_outlives_its_test(root):
    yield
    for child in Terminal.all:
        child.close(force=True)
    Terminal.all.clear()
    assert guests(root) == []


class Terminal:
    """`vmlab shell` on a terminal of 30 lines and 100 columns."""

    all: ClassVar[list[pexpect.spawn]] = []

    def __init__(self, root: Path, *words: str) -> None:
        self.child = pexpect.spawn(
            "vmlab", list(words), cwd=str(root), env={**environment(), "TERM": "xterm"},
            encoding="utf-8", timeout=120, dimensions=(30, 100),
        )  # fmt: skip
        self.all.append(self.child)

    def say(self, text: str) -> str:
        """Types a line; what was shown until the next prompt."""
        self.child.sendline(text)
        self.child.expect(PROMPT)
        return self.child.before

    def end(self) -> tuple[str, int]:
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.before, self.child.exitstatus


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_shell_in_a_fresh_guest(root, kernel):
    terminal = Terminal(root, "shell", kernel)
    child = terminal.child
    child.expect(r"messages: (\S+)\r")
    console = root / child.match[1]
    child.expect(PROMPT)
    assert kernel in terminal.say("uname -r")
    assert "blow.ko" in terminal.say("ls")
    assert "30 100" in terminal.say("stty size")
    child.setwinsize(40, 120)
    child.expect(PROMPT)  # the shell shows it anew
    assert "40 120" in terminal.say("stty size")
    first, began = float(terminal.say("cat /proc/uptime").split()[-2]), time.monotonic()
    assert first < 60  # it goes on where the snapshot's clock stood
    time.sleep(3)
    passed = float(terminal.say("cat /proc/uptime").split()[-2]) - first
    assert 1 < passed < time.monotonic() - began + 2  # idle time goes by the host's clock
    child.sendline("sleep 1000")
    time.sleep(0.5)
    child.sendintr()
    child.expect(PROMPT)
    assert "130" in terminal.say("echo $?")
    child.send("\x1b[A")  # the line before
    child.expect(r"echo \$\?")
    child.send("\r")
    child.expect(r"\n0\r")
    child.expect(PROMPT)
    child.sendline("~c")
    child.expect("messages are shown")
    child.sendline("echo the-kernel-says > /dev/kmsg")
    child.expect(r"\d\] the-kernel-says")
    assert "the-kernel-says" in console.read_text()
    child.send("\r~.")
    said, status = terminal.end()
    assert (status, "the guest has ended" in said) == (0, True)
    assert guests(root) == []


def test_a_shell_s_script_comes_from_a_pipe(root):
    done = subprocess.run(
        ["vmlab", "shell", KERNELS[0]], cwd=root, env=environment(), text=True,
        input="uname -r; echo $((6 * 7))\n", capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, f"{KERNELS[0]}\n42" in done.stdout.replace("\r", "")) == (0, True)


def test_a_shell_whose_lab_is_ended_leaves_no_guest(root):
    terminal = Terminal(root, "shell", KERNELS[1])
    terminal.child.expect(PROMPT)
    assert len(guests(root)) == 1
    terminal.child.kill(15)
    assert terminal.end()[1] == 143
    assert guests(root) == []


def test_a_kernel_that_dies_in_a_shell_is_told(root):
    terminal = Terminal(root, "shell", KERNELS[1])
    terminal.child.expect(PROMPT)
    terminal.child.sendline("insmod blow.ko")
    said, status = terminal.end()
    assert "the guest died: NULL dereference" in said
    assert re.search(r"shell-\S+/memory\.elf", said)
    assert (status, guests(root)) == (1, [])


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_shell_after_a_failed_step_is_in_that_run_s_guest(root, kernel):
    terminal = Terminal(root, "shell", "--after", "state", "--kernel", kernel)
    terminal.child.expect("state on .* after step 4: failed")
    terminal.child.expect(PROMPT)
    assert terminal.say("ls /tmp").split()[2:] == ["one", "two"] or {"one", "two"} <= {
        re.sub(r"\x1b\[[\d;]*m", "", word) for word in terminal.say("ls /tmp").split()
    }
    assert "No such file" in terminal.say("cat /tmp/three")
    assert 300 < float(terminal.say("cat /proc/uptime").split()[-2]) < 400
    terminal.child.sendline("exit")
    assert terminal.end()[1] == 0


@pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed")
def test_a_shell_after_a_step_with_gdb_beside_it(root):
    terminal = Terminal(root, "shell", "--after", "state:1", "--kernel", KERNELS[1], "--gdb")
    terminal.child.expect(r"\n  (gdb -q -x \S+)\r")
    words = [*terminal.child.match[1].split(), "-batch", "-ex", "backtrace", "-ex", "detach"]
    terminal.child.expect("after step 1|" + PROMPT)
    told = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert re.search(r"#\d+ .* (?:cpu_startup_entry|do_syscall_64) \(", told.stdout)
    assert "No such file" in terminal.say("cat /tmp/two")
    assert "1" in terminal.say("cat /tmp/one")
    terminal.child.sendeof()
    assert terminal.end()[1] == 0


def test_a_run_that_fails_ends_in_a_shell_where_it_is_asked_for(root):
    words = ("run", "fine", "state", "--kernel", KERNELS[1], "--shell-on-fail")
    terminal = Terminal(root, *words)
    terminal.child.expect(PROMPT)
    assert "two" in terminal.say("ls /tmp")
    terminal.child.sendline("exit")
    assert terminal.end()[1] == 1


def test_a_shell_comes_before_the_step_that_crashed(root):
    terminal = Terminal(root, "shell", "--after", "blow", "--kernel", KERNELS[1])
    terminal.child.expect("before step 1: crashed")
    terminal.child.expect(PROMPT)
    assert "blow " not in terminal.say("cat /proc/modules")
    terminal.child.sendline("exit")
    assert terminal.end()[1] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("5.*",), "one kernel is wanted"),
        ((KERNELS[0], "--kernel", KERNELS[1]), "are two kernels: name one"),
        (("--after", "state:9", "--kernel", KERNELS[1]), "steps 1 to 5; there is no step 9"),
        (("--after", "stat", "--kernel", KERNELS[1]), "unknown sc"),
    ],
)
def test_what_no_shell_can_be_had_for_is_said(root, words, message):
    done = subprocess.run(
        ["vmlab", "shell", *words], cwd=root, env=environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
