"""mkdocs's hooks: pages that stand outside docs/ are in the site, and links lead there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
OUTSIDE = {
    "README.md": "index.md",
    "kmod/README.md": "kmod.md",
    "examples/tally/README.md": "example.md",
}
"""Where pages stand in the repository, and what they are in docs/."""
_LINK = re.compile(r"(\]\()([^)#\s]+)")


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages from outside; a page that mkdocs.yml does not name comes last."""
    for source, name in OUTSIDE.items():
        text = relinked((ROOT / source).read_text(), Path(source).parent)
        files.append(File.generated(config, name, content=text))
    pages = [file.src_uri for file in files.documentation_pages()]
    if more := sorted(set(pages) - set(_named(config.nav))):
        config.nav.append({"More": more})
    return files


def _named(nav: Any) -> Iterator[str]:
    """The pages that mkdocs.yml gives a place."""
    if isinstance(nav, str):
        yield nav
    else:
        for one in nav.values() if isinstance(nav, dict) else nav:
            yield from _named(one)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links from docs/ to those outside; those from outside are right already."""
    known = page.file.src_uri in OUTSIDE.values()
    return markdown if known else relinked(markdown, Path("docs"))


def relinked(text: str, folder: Path) -> str:
    """The links of a page in `folder` as they are from docs/."""
    return _LINK.sub(lambda found: found[1] + _target(found[2], folder), text)


def _target(link: str, folder: Path) -> str:
    if ":" in link:
        return link
    path = (ROOT / folder / link).resolve().relative_to(ROOT).as_posix()
    return OUTSIDE.get(path, path.removeprefix("docs/"))
