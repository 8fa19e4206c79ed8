"""apt under a root of its own: its own sources, lists and cache, both architectures at once.

Nothing is installed on the host; signatures are checked against Debian's archive keys.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.arch import ARCHES
from vmlab.catalog.records import Package, Source
from vmlab.errors import LabError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "VMLAB_MIRROR"
_URI = re.compile(r"\bhttps?://\S+?/debian(?P<security>-security)?(?=/?\s|/?$)", re.MULTILINE)
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
    """apt with everything it owns under `root`."""

    def __init__(self, root: Path, sources: Mirrors) -> None:
        self.root = root
        self.mirrors = sources

    def download(self, file: str, suite: str, sha256: str, target: Path) -> None:
        """Fetches one file of the archive, checked. Raises LabError with apt's words."""
        uri = f"{self.mirrors.of(suite)}/{file}"
        command = ["/usr/lib/apt/apt-helper", "download-file", uri, str(target), f"SHA256:{sha256}"]
        self._run(command, f"downloading {Path(file).name}")

    def update(self, suites: Sequence[str]) -> None:
        """Fetches the indexes of these suites. Some may fail: what came is used."""
        self._configure(suites)
        command = ["apt-get", "update", "-q"]
        environment = {**os.environ, "APT_CONFIG": str(self.root / "apt.conf"), "LC_ALL": "C"}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if not list(self._lists()):
            raise LabError(
                f"fetching the indexes of {', '.join(suites)}: apt said: {_said(done)}; "
                "is the mirror reachable?"
            )

    def packages(self, suite: str, names: "re.Pattern[str]") -> Iterator[tuple[Package, str]]:
        """The packages of a suite whose name matches, each with its Depends."""
        for path in self._lists():
            if not path.name.endswith("_Packages") or f"_dists_{suite}_" not in path.name:
                continue
            for stanza in path.read_text().split("\n\n"):
                if names.fullmatch(stanza.partition("\n")[0].removeprefix("Package: ")):
                    entry = _fields(stanza)
                    yield _package(entry, suite), entry.get("Depends", "")

    def sources(self, suite: str, name: str) -> Iterator[Source]:
        """The upstream tar files of a source package."""
        for path in self._lists():
            if not path.name.endswith("_Sources") or f"_dists_{suite}_" not in path.name:
                continue
            for stanza in path.read_text().split("\n\n"):
                if stanza.startswith(f"Package: {name}\n"):
                    yield _source(_fields(stanza), suite)

    def _lists(self) -> Iterator[Path]:
        return (self.root / "state" / "lists").glob("*_dists_*")

    def _configure(self, suites: Sequence[str]) -> None:
        for folder in ("state/lists/partial", "cache/archives/partial", "etc", "log"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "status").touch()
        words = " ".join(f'"{arch.debian}";' for arch in ARCHES.values())
        (self.root / "apt.conf").write_text(
            _CONFIG.format(root=self.root, keyring=KEYRING, architectures=words)
        )
        lines = [
            f"{kind} [signed-by={KEYRING}] {self.mirrors.of(suite)} {suite} main\n"
            for suite in suites
            for kind in ("deb", "deb-src")
        ]
        (self.root / "etc" / "sources.list").write_text("".join(lines))

    def _run(self, command: Sequence[str], attempt: str) -> None:
        self._configure([])
        environment = {**os.environ, "APT_CONFIG": str(self.root / "apt.conf"), "LC_ALL": "C"}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=environment,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise LabError(f"{attempt}: {error.filename} was not found; is apt here?") from error
        if done.returncode:
            raise LabError(f"{attempt}: apt said: {_said(done)}")


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
