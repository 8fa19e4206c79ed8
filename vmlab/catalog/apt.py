"""apt under a root of its own: its own sources, lists and cache, both architectures at once.

Nothing is installed on the host; signatures are checked against Debian's archive keys.
"""

import contextlib
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.arch import ARCHES
from vmlab.cache import Cache
from vmlab.catalog.progress import Say, progress, silent
from vmlab.catalog.records import Gone, Package, Source
from vmlab.errors import LabError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "VMLAB_MIRROR"
_URI = re.compile(r"\bhttps?://\S+?/debian(?P<security>-security)?(?=/?\s|/?$)", re.MULTILINE)
HELPER = "/usr/lib/apt/apt-helper"
_NOT_FOUND = re.compile(r"\b(?:404|410) |File not found|No such file")
_NO_SUITE = re.compile(r"does not have a Release file|no longer has a Release file")
_PROXY = re.compile(r"Acquire::\w+::Proxy", re.IGNORECASE)
_NEXT_STEPS = {
    "Hash Sum mismatch": "try again; if it stays so, set VMLAB_MIRROR to another mirror",
    "No space left": "free some space at {root} (`vmlab cache prune`)",
}
_NOT_VOUCHED = (
    "no key in {keyring} vouches for it; --keyring names the file of another archive's public "
    "keys, and one that is not signed at all is not taken"
)
_REFUSED = ("is not signed", "GPG error", "OpenPGP signature verification failed")
_NO_INDEX_STEPS = {
    **dict.fromkeys(_REFUSED, _NOT_VOUCHED),
    "Mirror sync in progress": "try again later, or name another mirror, or one --arch alone",
    "have the component": "name one that the archive has: its Release file lists them",
}
_NOT_ALL_CAME = ("Failed to fetch", "previous index files will be used")
_FIELD = re.compile(r"^([A-Za-z0-9-]+): *(.*(?:\n .*)*)", re.MULTILINE)

# Testing and unstable are at times past their Valid-Until; what is signed is still checked.
_CONFIG = """\
Dir "{root}";
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Etc "{root}/etc";
Dir::Etc::trusted "{keyring}";
Dir::Log "{root}/log";
APT::Architecture "amd64";
APT::Architectures {{ {architectures} }};
APT::Sandbox::User "";
APT::Get::List-Cleanup "false";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::Retries "3";
Acquire::Languages "none";
"""


@dataclass(frozen=True)
class Mirrors:
    """Where Debian's archive is; both end without a slash."""

    main: str
    security: str

    def of(self, suite: str) -> str:
        return self.security if suite.endswith("-security") else self.main


def mirrors(etc: Path = Path("/etc/apt")) -> Mirrors:
    """From VMLAB_MIRROR (the main archive's address), else from the host's own apt sources.

    Raises LabError where neither names one.
    """
    chosen = os.environ.get(MIRROR)
    if chosen:
        main = chosen.rstrip("/")
        return Mirrors(main, f"{main.removesuffix('/debian')}/debian-security")
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    text = "\n".join(path.read_text(errors="replace") for path in files if path.is_file())
    text = re.sub(r"^\s*#.*", "", text, flags=re.MULTILINE)
    found = {bool(match["security"]): match[0] for match in reversed(list(_URI.finditer(text)))}
    if False not in found:
        raise LabError(
            f"looking for a Debian mirror: none of apt's sources in {etc} names one; "
            f"set {MIRROR} to the address of a mirror's directory `debian`"
        )
    main = found[False]
    return Mirrors(main, found.get(True, f"{main.removesuffix('/debian')}/debian-security"))


class Apt:
    """apt with everything it owns in the cache. One may be used by many processes at once."""

    def __init__(
        self,
        cache: Cache,
        sources: Mirrors,
        say: Say = silent,
        keyring: Path = KEYRING,
        component: str = "main",
        root: str = "root",
    ) -> None:
        self.cache = cache
        self.mirrors = sources
        self.say = say
        self.keyring = keyring
        self.component = component
        self.root = root  # the directory of its indexes; each archive has its own

    @contextlib.contextmanager
    def fetched(self, record: Package | Source) -> Iterator[Path]:
        """One file of the archive, whole and of the pinned checksum, for as long as it is held.

        What an interrupted download left is continued. Raises Gone where the archive has no such
        file, LabError with apt's words for everything else.
        """
        name = Path(record.file).name
        with self.cache.workspace("downloads", record.key) as directory:
            file = directory / name
            left = file.exists()
            try:
                self._download(record, file)
            except LabError:
                if not left or file.exists():
                    raise
                self.say(f"{name}: what an earlier download left was spoilt; from the start")
                self._download(record, file)
            yield file
            shutil.rmtree(directory)

    def update(
        self,
        suites: Sequence[str],
        sources: bool = False,
        signed: bool = False,
        architectures: Sequence[str] = (),
    ) -> None:
        """Fetches the indexes of these suites, with those of source packages if wanted.

        Some may fail: what came is used, now or before, and that is said; with `signed` no
        signature may. Where no suite has an index, raises Gone if the archive has none of the
        suites, LabError with apt's words for everything else. `architectures` are dpkg's words, all
        that the lab has without.
        """
        self.say(f"fetching the indexes of {', '.join(suites)}")
        with self.cache.workspace("apt", self.root) as root:
            only = f" arch={','.join(architectures)}" if architectures else ""
            lines = [
                f"{kind} [signed-by={self.keyring}{only}] {self.mirrors.of(suite)} {suite} "
                f"{self.component}\n"
                for suite in suites
                for kind in (("deb", "deb-src") if sources else ("deb",))
            ]
            environment = _configure(root, "".join(lines))
            where = " and ".join(dict.fromkeys(self.mirrors.of(suite) for suite in suites))
            attempt = f"fetching the indexes of {', '.join(suites)} from {where}"
            done = _output(["apt-get", "update", "-q"], environment, attempt)
        said = done.stdout + done.stderr
        refused = signed and any(word in said for word in _REFUSED)
        if refused or not any(True for suite in suites for _ in self._lists(suite, "Packages")):
            raise self._no_index(attempt, done, len(suites))
        if any(word in said for word in _NOT_ALL_CAME):
            self.say(f"{attempt}: not all came; what is here is used: {_said(done)}")

    def _download(self, record: Package | Source, file: Path) -> None:
        uri = f"{self.mirrors.of(record.suite)}/{record.file}"
        uri = re.sub("^file:", "copy:", uri)  # which leaves the file where it is
        command = [HELPER, "download-file", uri, str(file), f"SHA256:{record.sha256}"]
        attempt = f"downloading {file.name}"
        with progress(file, record.size, self.say):
            done = _output(command, _configure(file.parent, ""), attempt)
        if done.returncode:
            said = _said(done)
            for failed in file.parent.glob("*.FAILED"):
                failed.unlink()
            if _NOT_FOUND.search(said):
                shutil.rmtree(file.parent)
                raise Gone(f"{attempt}: the archive has it no longer (404)")
            raise LabError(f"{attempt}: apt said: {said}; {_next_step(said, self.cache)}")

    def packages(self, suite: str, names: "re.Pattern[str]") -> Iterator[tuple[Package, str]]:
        """The packages of a suite whose name matches, each with its Depends."""
        for path in self._lists(suite, "Packages"):
            for stanza in path.read_text().split("\n\n"):
                if names.fullmatch(stanza.partition("\n")[0].removeprefix("Package: ")):
                    entry = _fields(stanza)
                    yield _package(entry, suite), entry.get("Depends", "")

    def sources(self, suite: str, name: str) -> Iterator[Source]:
        """The upstream tar files of a source package."""
        for path in self._lists(suite, "Sources"):
            for stanza in path.read_text().split("\n\n"):
                if stanza.startswith(f"Package: {name}\n"):
                    yield _source(_fields(stanza), suite)

    def _lists(self, suite: str, kind: str) -> Iterator[Path]:
        lists = self.cache.root / "apt" / self.root / "state" / "lists"
        if suite.endswith("/"):  # of a flat archive, which has no components, and a root here
            return lists.glob(f"*_{kind}")
        return lists.glob(f"*_dists_{suite.replace('/', '_')}_*_{kind}")

    def _no_index(
        self, attempt: str, done: "subprocess.CompletedProcess[str]", suites: int
    ) -> LabError:
        said = done.stdout + done.stderr
        if len(_NO_SUITE.findall(said)) >= suites:
            return Gone(f"{attempt}: the archive has no such suite, or has it no longer")
        steps = (step for word, step in _NO_INDEX_STEPS.items() if word in said)
        step = next(steps, "is the mirror reachable?").format(keyring=self.keyring)
        return LabError(f"{attempt}: apt said: {_said(done)}; {step}")


def source_line(suite: str) -> str:
    """A suite as apt's sources have it. Raises LabError where no mirror is known."""
    return f"deb [signed-by={KEYRING}] {mirrors().of(suite)} {suite} main"


def root_options() -> list[str]:
    """Lines of apt's configuration for who uses apt under a root of another's making."""
    return ['Acquire::Check-Valid-Until "false"', *_proxies().splitlines()]


def _configure(root: Path, sources: str) -> dict[str, str]:
    """Makes `root` apt's own root; returns the environment that leads apt there."""
    for folder in ("state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "log"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "status").touch()
    words = " ".join(f'"{arch.debian}";' for arch in ARCHES.values())
    config = _CONFIG.format(root=root, keyring=KEYRING, architectures=words)
    (root / "apt.conf").write_text(config + _proxies())
    (root / "etc" / "sources.list").write_text(sources)
    return {**os.environ, "APT_CONFIG": str(root / "apt.conf"), "LC_ALL": "C"}


@functools.cache
def _proxies() -> str:
    """The host's own proxy settings, in apt's words."""
    done = _output(["apt-config", "dump"], {**os.environ, "LC_ALL": "C"}, "asking apt")
    lines = done.stdout.splitlines()
    return "".join(f"{line}\n" for line in lines if _PROXY.match(line))


def _output(
    command: Sequence[str], environment: Mapping[str, str], attempt: str
) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise LabError(f"{attempt}: {error.filename} was not found; is apt here?") from error


def _next_step(said: str, cache: Cache) -> str:
    for word, step in _NEXT_STEPS.items():
        if word in said:
            return step.format(root=cache.root)
    return "is the mirror reachable?"


def _said(done: "subprocess.CompletedProcess[str]") -> str:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line[:2] in ("E:", "W:")]
    return " ".join(lines)[-600:] or f"status {done.returncode}"


def _fields(stanza: str) -> dict[str, str]:
    return {found[1]: found[2].strip() for found in _FIELD.finditer(stanza)}


def _package(entry: dict[str, str], suite: str) -> Package:
    return Package(
        entry["Package"], entry["Version"], entry["Architecture"], suite, entry["Filename"],
        entry["SHA256"], int(entry["Size"]),
    )  # fmt: skip


def _source(entry: dict[str, str], suite: str) -> Source:
    for line in entry["Checksums-Sha256"].splitlines():
        words = line.split()
        if len(words) == 3 and ".orig.tar." in words[2] and not words[2].endswith(".asc"):
            return Source(
                entry["Package"], entry["Version"], suite, f"{entry['Directory']}/{words[2]}",
                words[0], int(words[1]),
            )  # fmt: skip
    raise LabError(f"source package {entry['Package']}: no upstream tar file is listed")
