"""Makes a project with something to bisect: python demos/bisect/make.py KIND DIR

    race      a module with twelve commits; from one of them on a race shows in few of the runs
    commits   a kernel with sixty commits; one plants a bug, five do not compile
    options   two configurations of a kernel that differ in two hundred options

Says which command finds it. Kernels are of Debian's linux-source-6.1; nothing of them is here.
"""

import argparse
import bisect
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from vmlab.bisect.options import differing
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.sources.configure import options

ROOT = Path(__file__).parents[2]
SERIES = "6.1"
KERNEL = "5.10.0-32-686"  # whose race is timed for
REQUESTS = 10  # of the module's thread: so few that the race shows in one seed of twenty
SIZE, PLANTED = 60, 37
UNBUILT = (12, 29, 36, 38, 50)  # among them both neighbours of the planted one
LEFT_OUT = ("Documentation", "drivers/gpu", "drivers/media", "drivers/net", "sound", "tools/perf",
            "tools/testing")  # fmt: skip
DIFFERING = 200
MENUS = ("IKCONFIG", "IKCONFIG_PROC", "CRYPTO", "NLS", "INPUT", "HID_SUPPORT", "HID")
HARMLESS = ("crypto/Kconfig", "fs/nls/Kconfig", "lib/Kconfig", "drivers/hid/Kconfig")
TRISTATE = re.compile(r"^config (\w+)\n\ttristate", re.MULTILINE)
HASTY = """
name: hasty
about: many requests, so that the race shows in a part of the seeds
modules: [lost_wakeup]
steps:
  - insmod: lost_wakeup requests={requests}
  - console: 'lost_wakeup: {requests} requests, all answered'
    within: 5s
  - rmmod: lost_wakeup
"""
VERSION = """
name: version
about: /proc/version begins as it always did
steps:
  - read: /proc/version
    output: '^Linux version '
"""
NO_CONFIG = """
name: no-config
about: the kernel does not tell its configuration
steps:
  - run: test ! -e /proc/config.gz
"""


def git(folder: Path, *words: str) -> str:
    who = {f"GIT_{part}_{what}": value for part in ("AUTHOR", "COMMITTER")
           for what, value in (("NAME", "a"), ("EMAIL", "a@b"))}  # fmt: skip
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", *words], cwd=folder, capture_output=True,
        text=True, check=True, env=os.environ | who,
    )  # fmt: skip
    return done.stdout.strip()


def project(folder: Path, name: str, scenario: str) -> None:
    """An empty one with a scenario."""
    (folder / "scenarios").mkdir(parents=True)
    (folder / "vmlab.yaml").write_text("")
    (folder / ".gitignore").write_text("vmlab-out\n")
    (folder / "scenarios" / f"{name}.yaml").write_text(scenario.lstrip())


def race(folder: Path, planted: int = 7, size: int = 12, requests: int = REQUESTS) -> list[str]:
    """The commits of a module that from one of them on looks first and goes to sleep then."""
    project(folder, "hasty", HASTY.replace("{requests}", str(requests)))
    kmod = folder / "kmod"
    for name in ("lost_wakeup", "include"):
        shutil.copytree(ROOT / "kmod" / name, kmod / name)
    module = kmod / "lost_wakeup" / "lost_wakeup.c"
    source = module.read_text()
    assert "static int fixed;" in source
    git(folder, "init", "-q")
    commits = []
    for number in range(size):
        fixed = int(number < planted)
        text = source.replace("static int fixed;", f"static int fixed = {fixed};")
        module.write_text(f"/* change {number} */\n{text}")
        git(folder, "add", ".")
        git(folder, "commit", "-qm", f"lost_wakeup: change {number}")
        commits.append(git(folder, "rev-parse", "HEAD"))
    return commits


def commits(folder: Path) -> list[str]:
    """The commits of a kernel, each of which changes one file."""
    project(folder, "version", VERSION)
    _, source = Catalog.open(Cache.default()).linux_source(SERIES)
    tree = folder / "linux"
    _copied(source, tree)
    file = tree / "fs" / "proc" / "version.c"
    before = file.read_text()
    git(tree, "init", "-q")
    git(tree, "add", "-A", "-f")
    git(tree, "commit", "-qm", "the source as it was")
    made = [git(tree, "rev-parse", "HEAD")]
    for number in range(1, SIZE):
        text = f"{before}\n/* change {number} */\n"
        if number >= PLANTED:
            text = text.replace("linux_proc_banner,", '"Linus" "%s%s%s",')
        if number in UNBUILT:
            text += "#error not ready\n"
        file.write_text(text)
        git(tree, "commit", "-qam", f"proc: change {number}")
        made.append(git(tree, "rev-parse", "HEAD"))
    return made


def _copied(source: Path, target: Path) -> None:
    """A kernel's source without what a small one never compiles; each Kconfig is needed."""

    def ignored(folder: str, names: list[str]) -> list[str]:
        here = str(Path(folder).relative_to(source))
        if here.startswith("arch/") and here.split("/")[1] not in ("x86", "um"):
            files = (name for name in names if (Path(folder) / name).is_file())
            return [name for name in files if not name.startswith("Kconfig")]
        if here.startswith(LEFT_OUT):
            return [name for name in names if name.endswith((".c", ".h", ".rst", ".txt", ".yaml"))]
        return []

    shutil.copytree(source, target, symlinks=True, ignore=ignored)


def configs(folder: Path) -> None:
    """good.config is the tiny one; bad.config has two hundred options more, that kconfig took."""
    project(folder, "no-config", NO_CONFIG)
    catalog = Catalog.open(Cache.default())
    words = ["kernels", "build", f"debian-source:{SERIES}", "--arch", "i386", "--config", "tiny"]
    # Built in the cache, and kept as a kernel for this folder alone.
    own = os.environ | {"VMLAB_KERNELS": str(folder / "vmlab-out" / "kernels")}
    subprocess.run([sys.executable, "-m", "vmlab", *words], cwd=folder, env=own, check=True)
    built = max(
        (catalog.cache.root / "built-kernels").glob("debian-6.1-tiny-i386-*/boot/config-*"),
        key=lambda path: path.stat().st_mtime,
    )
    good = built.read_text()
    _, source = catalog.linux_source(SERIES)
    names = [name for file in HARMLESS for name in TRISTATE.findall((source / file).read_text())]
    assert options(good).get("IKCONFIG", "n") == "n"
    more = "".join(f"CONFIG_{name}=y\n" for name in MENUS)
    # The first so many that make the difference large enough: some bring others with them.
    count = bisect.bisect_left(
        range(len(names)), DIFFERING,
        key=lambda count: len(differing(options(good), options(_settled(
            source, good + more + _modules(names[:count]))))),
    )  # fmt: skip
    bad = _settled(source, good + more + _modules(names[:count]))
    assert len(differing(options(good), options(bad))) >= DIFFERING
    (folder / "good.config").write_text(good)
    (folder / "bad.config").write_text(bad)


def _modules(names: list[str]) -> str:
    return "".join(f"CONFIG_{name}=m\n" for name in names)


def _settled(source: Path, text: str) -> str:
    """What kconfig makes of a configuration."""
    with tempfile.TemporaryDirectory() as out:
        config = Path(out) / ".config"
        config.write_text(text)
        words = ["make", "-C", str(source), f"O={out}", "ARCH=i386", "olddefconfig"]
        subprocess.run(words, check=True, capture_output=True)
        return config.read_text()


def _race(folder: Path) -> str:
    made = race(folder)
    return (
        f"vmlab bisect hasty --modules --kernel {KERNEL} --good {made[0][:12]} --bad "
        f"{made[-1][:12]} --confidence 0.9995 --rarest 0.01"
    )


def _commits(folder: Path) -> str:
    made = commits(folder)
    return (
        f"vmlab bisect version --tree linux --good {made[0][:12]} --bad {made[-1][:12]} --arch i386"
    )


def _options(folder: Path) -> str:
    configs(folder)
    return (
        f"vmlab bisect no-config --source debian-source:{SERIES} --config good.config bad.config "
        "--arch i386 --always"
    )


KINDS: dict[str, Callable[[Path], str]] = {
    "race": _race, "commits": _commits, "options": _options,
}  # fmt: skip


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS, metavar="KIND")
    parser.add_argument("dir", type=Path, metavar="DIR", help="is made, and must not be there")
    given = parser.parse_args()
    if given.dir.exists():
        parser.error(f"{given.dir} is there already; name a directory that is to be made")
    command = KINDS[given.kind](given.dir.absolute())
    print(f"cd {given.dir}\n{command}")


if __name__ == "__main__":
    main()
