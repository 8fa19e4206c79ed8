"""A workflow's text from its template; pure."""

import json
import shlex
import string
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.ci.keys import KINDS

IMAGE = "debian:12"
CACHE = ".vmlab-cache"  # in CI's working directory, which is all that it can keep


@dataclass(frozen=True)
class Wish:
    """What is asked for, and what it was found to need."""

    kernels: str  # as --kernel takes them
    shards: int
    install: str  # what pip installs
    packages: Sequence[str]
    folder: str  # the project's, from the repository's root; `.` for that itself
    keys: Mapping[str, str]


@dataclass(frozen=True)
class Service:
    """A CI, and where it looks for its file."""

    template: str
    place: str
    hint: str  # what to do where there is such a file already
    path: str  # one path in a list of what is cached
    quoted: Callable[[str], str]  # text within the shell's quotes, where the template has it


SERVICES = {
    "github": Service(
        "github.yaml", ".github/workflows/vmlab.yml",
        "write another with --output .github/workflows/NAME.yml",
        "            {}", str,
    ),
    "gitlab": Service(
        "gitlab.yaml", ".gitlab-ci.yml",
        "write --output .gitlab/vmlab.yml, and in .gitlab-ci.yml: "
        "include: [{local: .gitlab/vmlab.yml}]",
        "        - {}", lambda text: text.replace("'", "''"),
    ),
}  # fmt: skip


class _Template(string.Template):
    """`%{name}`: `$` and `{{` are the shell's and the CI's own."""

    delimiter = "%"


def text(service: Service, wish: Wish) -> str:
    """The file's content."""
    template = Path(__file__).with_name(service.template).read_text()
    return _Template(template).substitute(
        shards=wish.shards,
        numbers=", ".join(str(number) for number in range(1, wish.shards + 1)),
        kernels=json.dumps(wish.kernels),
        image=IMAGE,
        install=service.quoted(shlex.quote(wish.install)),
        packages=" ".join(wish.packages),
        folder=service.quoted(shlex.quote(wish.folder)),
        yaml_folder=json.dumps(wish.folder),
        prefix="" if wish.folder == "." else f"{wish.folder}/",
        kernel_paths=_paths(service, "kernels"),
        snapshot_paths=_paths(service, "snapshots"),
        kernels_key=wish.keys["kernels"],
        snapshots_key=wish.keys["snapshots"],
    )


def _paths(service: Service, kept: str) -> str:
    return "\n".join(service.path.format(f"{CACHE}/{kind}") for kind in KINDS[kept])


def requirement(
    version: str,
    direct_url: str | None,
    pushed: Callable[[Path], tuple[str, str] | None] = lambda folder: None,
) -> tuple[str, Path | None]:
    """What pip is to install so that CI has this vmlab: from where it was installed, if others
    reach that (`direct_url` is the text of direct_url.json), else by its version.

    `pushed` gives the address and the commit of a clone on this machine. Also gives the directory
    that nobody else reaches, where that is all that is known.
    """
    told = json.loads(direct_url) if direct_url else {}
    url = told.get("url", "")
    if git := told.get("vcs_info", {}).get("commit_id"):
        return f"vmlab @ git+{url}@{git}", None
    if url.startswith(("https:", "http:")):
        return f"vmlab @ {url}", None
    if not url.startswith("file:"):
        return f"vmlab=={version}", None
    folder = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path))
    if found := pushed(folder):
        return f"vmlab @ git+{found[0]}@{found[1]}", None
    return f"vmlab=={version}", folder
