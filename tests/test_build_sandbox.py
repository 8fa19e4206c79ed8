"""Builds of a stranger's sources: what their Makefile tries, in a sandbox and without one."""

import os
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from vmlab.artifacts import Artifacts
from vmlab.build import sandbox, whole
from vmlab.build.kbuild import ModuleBuildError
from vmlab.build.musl import CompileError
from vmlab.build.sandbox import Builder, command
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.errors import LabError

MODULE = """\
#include <linux/module.h>
static int __init good_init(void) { return 0; }
module_init(good_init);
MODULE_LICENSE("GPL");
"""
SECRET = "a-secret-of-the-caller"
# Each line is one attack; what it gets is in the file `loot` beside the sources.
ATTACKS = """\
loot := $(src)/loot
say = $(shell { echo "$(1):"; { $(2) ; } 2>&1; } >> $(loot))
$(call say,home,echo owned > {home}/owned)
$(call say,secret,cat {home}/secret)
$(call say,environment,cat /proc/*/environ | tr '\\0' '\\n')
$(call say,processes,ls /proc | grep -c '^[0-9]')
$(call say,user,id -u; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status)
$(call say,shadow,cat /etc/shadow)
$(call say,network,{python} -c 'import socket; socket.create_connection(("127.0.0.1", {port}), 3)')
$(call say,cache,touch {cache}/owned)
$(call say,tools,touch /usr/owned)
$(call say,link,ln -s {home}/secret $(src)/linked.ko && echo linked)
obj-m += good.o
"""


@pytest.fixture
def host(tmp_path):
    """What there is to take: a home with a secret, a server, a cache with one module's sources."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "secret").write_text("the content of a secret file\n")
    home.chmod(0o755)  # that it is ours is not what holds
    (home / "secret").chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as server:
        other = subprocess.Popen(["sleep", "60"], env={**os.environ, "MY_SECRET": SECRET})
        yield home, server
        other.kill()
        other.wait()


def sources(tmp_path: Path, home: Path, port: int, cache: Cache) -> Path:
    folder = tmp_path / "kmod" / "good"
    folder.mkdir(parents=True)
    (folder / "good.c").write_text(MODULE)
    names = {"home": home, "port": port, "cache": cache.root, "python": "/usr/bin/python3"}
    text = ATTACKS
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", str(value))
    (folder / "Kbuild").write_text(text)
    return folder.parent


def loot(made: dict[str, Path]) -> dict[str, str]:
    """What each attack got."""
    text = (made["good"].parent / "loot").read_text()
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line.endswith(":") and " " not in line:
            name = line[:-1]
            found.setdefault(name, "")
        else:
            found[name] += line + "\n"
    return found


def artifacts(tmp_path: Path, sandboxed: bool) -> Artifacts:
    """A cache of this test's own for what is built; kernels come from the user's."""
    catalog = Catalog.open(Cache.default(), print)
    made = Artifacts(Cache(tmp_path / "cache"), catalog, sandboxed)
    made._builder = Builder(sandboxed, (catalog.cache.root,))
    return made


@pytest.fixture
def build(tmp_path, host, monkeypatch):
    home, server = host
    port = server.getsockname()[1]
    monkeypatch.setenv("VMLAB_CACHE", str(Cache.default().root))
    monkeypatch.setenv("HOME", str(home))

    def build(sandboxed: bool) -> "tuple[dict[str, Path], bool]":
        made = artifacts(tmp_path, sandboxed)
        kernel = made.catalog.obtain(made.catalog.select("6.1.0-50-686")[0])
        folder = sources(tmp_path, home, port, made.cache)
        return made.modules(kernel, whole.Folder(folder, "apart"), ["good"]), bool(
            select.select([server], [], [], 0)[0]
        )

    return build


def test_in_a_sandbox_a_makefile_gets_nothing_and_the_module_is_built(build, host, tmp_path):
    made, reached = build(True)
    got = loot(made)
    assert made["good"].read_bytes()[:4] == b"\x7fELF"
    assert "nonexistent" in got["home"] and not (host[0] / "owned").exists()
    assert "No such file" in got["secret"]
    assert SECRET not in got["environment"] and "MY_SECRET" not in got["environment"]
    assert int(got["processes"]) < 12
    assert got["user"].split()[0] not in ("0", "")
    assert "CapEff:\t0000000000000000\nNoNewPrivs:\t1\n" in got["user"]
    assert "No such file" in got["shadow"]
    assert "refused" in got["network"] or "unreachable" in got["network"]
    assert not reached
    assert not (tmp_path / "cache" / "owned").exists()
    assert "Read-only" in got["tools"] or "Permission denied" in got["tools"]
    assert got["link"] == "linked\n"
    assert set(made) == {"good"}, "a link is no result"


def test_without_one_the_same_makefile_gets_what_the_caller_has(build, host):
    made, reached = build(False)
    got = loot(made)
    assert (host[0] / "owned").exists()
    assert got["secret"] == "the content of a secret file\n"
    assert SECRET in got["environment"]
    assert reached


def test_both_ways_give_the_same_bytes(tmp_path):
    for way in (True, False):
        made = artifacts(tmp_path / str(way), way)
        kernel = made.catalog.obtain(made.catalog.select("6.1.0-50-686")[0])
        folder = tmp_path / str(way) / "kmod" / "good"
        folder.mkdir(parents=True)
        (folder / "good.c").write_text(MODULE)
        (folder / "Kbuild").write_text("obj-m += good.o\n")
        made.modules(kernel, whole.Folder(folder.parent, "apart"), ["good"])["good"].rename(
            tmp_path / f"{way}.ko"
        )
    assert (tmp_path / "True.ko").read_bytes() == (tmp_path / "False.ko").read_bytes()


def test_a_workload_is_compiled_in_the_sandbox_too(tmp_path, host):
    made = artifacts(tmp_path, True)
    arch = made.catalog.select("6.1.0-50-686")[0].arch
    folder = tmp_path / "workloads"
    folder.mkdir()
    (folder / "steal.c").write_text(
        f'__asm__(".incbin \\"{host[0]}/secret\\"");\nint main(void) {{ return 0; }}\n'
    )
    (folder / "fine.c").write_text('#include "fine.h"\nint main(void) { return FINE; }\n')
    (folder / "fine.h").write_text("#define FINE 0\n")
    assert made.program(arch, folder / "fine.c", "fine").read_bytes()[:4] == b"\x7fELF"
    with pytest.raises(CompileError, match=r"file not found: .*secret"):
        made.program(arch, folder / "steal.c", "steal")


def test_what_does_not_compile_is_said_as_without_a_sandbox(tmp_path):
    made = artifacts(tmp_path, True)
    kernel = made.catalog.obtain(made.catalog.select("6.1.0-50-686")[0])
    folder = tmp_path / "kmod" / "bad"
    folder.mkdir(parents=True)
    (folder / "bad.c").write_text("int x = no_such_thing;\n")
    (folder / "Kbuild").write_text("obj-m += bad.o\n")
    with pytest.raises(ModuleBuildError, match=r"bad/bad.c:1:9: error: .*no_such_thing"):
        made.modules(kernel, whole.Folder(folder.parent, "apart"), ["bad"])


def test_a_source_that_leads_out_of_the_project_is_not_copied_into_a_build(tmp_path):
    (tmp_path / "secret.h").write_text("a secret")
    folder = tmp_path / "kmod"
    folder.mkdir()
    (folder / "mine.h").symlink_to("../secret.h")
    Builder().refuse(folder, ["mine.h"])
    with pytest.raises(LabError, match=r"mine.h leads out of it, to .*/secret.h; put the file"):
        Builder(True).refuse(folder, ["mine.h"])


FAILING = '#!/bin/sh\necho "bwrap: No permissions to create a new namespace" >&2\nexit 1\n'


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("", "bwrap was not found; install bubblewrap"),
        (FAILING, "bwrap cannot make one here: bwrap: No permissions to create a new namespace"),
    ],
    ids=["not installed", "no user namespaces"],
)
def test_without_a_sandbox_to_be_had_nothing_is_built(tmp_path, monkeypatch, script, said):
    if script:
        (tmp_path / "bwrap").write_text(script)
        (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) if not script else f"{tmp_path}:{os.environ['PATH']}")
    sandbox.check.cache_clear()
    try:
        with pytest.raises(LabError, match=said):
            Builder(True).run(["touch", str(tmp_path / "built")], tmp_path)
    finally:
        sandbox.check.cache_clear()
    assert not (tmp_path / "built").exists()


def test_a_user_s_sandbox_has_a_user_namespace_and_root_s_another_user(tmp_path):
    user, root = (" ".join(command(tmp_path, [], who)) for who in (False, True))
    assert "--unshare-user " in user and "setpriv" not in user
    assert "--unshare-user" not in root and f"--reuid={sandbox.UID}" in root
    for words in (user, root):
        assert "--unshare-net" in words and "--bind / " not in words and "/root" not in words


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_a_plain_user_s_build_runs_in_a_sandbox(tmp_path):
    """As a user that is not root, who needs the user namespace."""
    tmp_path.chmod(0o755)
    work = Path("/tmp") / f"vmlab-test-{os.getpid()}"
    work.mkdir(mode=0o777)
    os.chown(work, 61190, 61190)
    words = [*command(work, [], False), "sh", "-c", "id -u; echo made > made; ls /root /home"]
    drop = ["setpriv", "--reuid=61190", "--regid=61190", "--clear-groups", "--"]
    try:
        done = subprocess.run([*drop, *words], capture_output=True, text=True, check=False)
        assert done.stdout.split() == ["61190"], done
        assert (work / "made").read_text() == "made\n"
        assert "No such file" in done.stderr
    finally:
        for path in work.iterdir():
            path.unlink()
        work.rmdir()


def test_the_command_line_and_the_environment_ask_for_it(tmp_path):
    code = "from vmlab.cli import common; print(common.artifacts(False)._builder.sandboxed)"
    for value, wanted in (("1", "True"), ("0", "False")):
        env = {**os.environ, "VMLAB_BUILD_SANDBOX": value}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == wanted
