"""The commands that settings may use: those that only look, as functions of their input."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vmlab.build.shell.conditions import test
from vmlab.build.shell.errors import Refused
from vmlab.build.shell.files import Files
from vmlab.build.shell.lookers import LOOKERS
from vmlab.build.shell.patterns import compiled

_BUILDERS = ("make", "gcc", "cc", "ld", "sh", "bash")
_SETS = {
    "[:upper:]": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "[:lower:]": "abcdefghijklmnopqrstuvwxyz",
    "[:digit:]": "0123456789", "[:space:]": " \t\n\r\v\f", "[:blank:]": " \t",
}  # fmt: skip


@dataclass(frozen=True)
class Given:
    """What a command is started with."""

    name: str
    words: Sequence[str]
    input: str
    files: Files
    uname: Mapping[str, str]  # what each option of uname prints

    def options(self, letters: str) -> tuple[set[str], list[str]]:
        """Its options, which are all known, and its other words."""
        on: set[str] = set()
        rest = list(self.words)
        while rest and len(rest[0]) > 1 and rest[0][0] == "-":
            word = rest.pop(0)
            if word == "--":
                break
            if unknown := set(word[1:]) - set(letters):
                raise Refused(f"runs {self.name} -{min(unknown)}, which is not known here")
            on |= set(word[1:])
        return on, rest

    def text(self, names: Sequence[str]) -> str | None:
        """The content of its files, else its input; None where a file is not there."""
        if not names:
            return self.input
        found = [self.files.read(name) for name in names]
        return None if None in found else "".join(one or "" for one in found)


Done = tuple[int, str]  # exit status, output


def _echo(given: Given) -> Done:
    words = list(given.words)
    end = "\n"
    while words and words[0] in ("-n", "-e"):
        end = "" if words.pop(0) == "-n" else end
    return 0, " ".join(words) + end


def _printf(given: Given) -> Done:
    text = (given.words or [""])[0].replace("\\n", "\n").replace("\\t", "\t")
    parts = text.split("%s")
    words = [*given.words[1:], *[""] * len(parts)]
    if "%" in "".join(parts):
        raise Refused("runs printf with more than %s")
    return 0, parts[0] + "".join(w + p for w, p in zip(words, parts[1:], strict=False))


def _grep(given: Given) -> Done:
    on, rest = given.options("qEFioscwxevP" if given.name == "grep" else "qioscwxv")
    text = given.text(rest[1:])
    if not rest or text is None:
        return 2, ""
    literal = "F" in on
    extended = bool(on & set("EP")) or given.name == "egrep"
    inner = re.escape(rest[0]) if literal else rest[0]
    pattern = compiled(inner, extended or literal, "i" in on)
    lines = [line for line in text.splitlines() if _matches(pattern, line, on) != ("v" in on)]
    shown = [found[0] for line in lines for found in pattern.finditer(line)] if "o" in on else lines
    output = f"{len(lines)}\n" if "c" in on else "".join(f"{line}\n" for line in shown)
    return int(not lines), "" if "q" in on else output


def _matches(pattern: "re.Pattern[str]", line: str, on: set[str]) -> bool:
    if "x" in on:
        return bool(pattern.fullmatch(line))
    if "w" in on:
        return bool(re.search(rf"\b(?:{pattern.pattern})\b", line, pattern.flags))
    return bool(pattern.search(line))


def _sed(given: Given) -> Done:
    on, rest = given.options("nErse")
    text = given.text(rest[1:])
    if not rest or text is None:
        return 2, ""
    lines = text.splitlines()
    output: list[str] = []
    edits = list(_edits(rest[0], bool(on & set("Er"))))
    for line in lines:
        printed = False
        for pattern, new, flags in edits:
            line, count = pattern.subn(new, line, count=0 if "g" in flags else 1)
            printed = printed or bool(count and "p" in flags)
        output += [line] * (printed + ("n" not in on))
    return 0, "".join(f"{line}\n" for line in output)


def _edits(script: str, extended: bool) -> Iterator[tuple["re.Pattern[str]", str, str]]:
    """The substitutions of a script; more of sed is refused."""
    left = script.strip()
    while left:
        part = r"((?:\\.|(?!\1)[^\\])*)"
        found = re.match(rf"s([^\w\s\\]){part}\1{part}\1([gp]*)\s*(?:;\s*|\n\s*|$)", left)
        if not found:
            raise Refused(f"runs sed with more than substitutions: {script}")
        new = re.sub(r"(?<!\\)&", r"\\g<0>", found[3])
        yield compiled(found[2], extended), new, found[4]
        left = left[found.end() :]


def version_key(text: str) -> list[tuple[int, int, str]]:
    """For versions in their order: numbers by value, the rest by its characters."""
    parts = re.findall(r"\d+|\D+", text)
    return [(1, int(one), "") if one.isdigit() else (0, 0, one) for one in parts]


def _sort(given: Given) -> Done:
    on, rest = given.options("VCcrun")
    lines = (given.text(rest) or "").splitlines()
    key: Callable[[str], object] = version_key if on & set("Vn") else str
    ordered = sorted(lines, key=key, reverse="r" in on)  # type: ignore[arg-type]
    if on & set("Cc"):
        return int(lines != ordered), ""
    kept = list(dict.fromkeys(ordered)) if "u" in on else ordered
    return 0, "".join(f"{line}\n" for line in kept)


def _cut(given: Given) -> Done:
    words = " ".join(given.words)
    found = re.fullmatch(
        r"-d ?(.) -f ?(\d+)(-?)(?: (\S+))?|-f ?(\d+)(-?) -d ?(.)(?: (\S+))?", words
    )
    if not found:
        raise Refused(f"runs cut {words}, which is not known here")
    mark, field = found[1] or found[7], int(found[2] or found[5])
    on, name = bool(found[3] or found[6]), found[4] or found[8]
    text = given.text([name] if name else [])
    if text is None:
        return 1, ""
    lines = []
    for line in text.splitlines():
        parts = line.split(mark)
        lines.append(mark.join(parts[field - 1 :] if on else parts[field - 1 : field]))
    return 0, "".join(f"{line}\n" for line in lines)


def _cat(given: Given) -> Done:
    text = given.text(given.options("")[1])
    return (1, "") if text is None else (0, text)


def _ends(given: Given) -> Done:
    found = re.fullmatch(r"(?:-n ?|-)?(\d*)(?: (\S+))?", " ".join(given.words))
    text = given.text([found[2]] if found and found[2] else [])
    if not found or text is None:
        return 1, ""
    lines, count = text.splitlines(), int(found[1] or 10)
    kept = lines[:count] if given.name == "head" else lines[-count:]
    return 0, "".join(f"{line}\n" for line in kept)


def _tr(given: Given) -> Done:
    on, rest = given.options("ds")
    if not rest or len(rest) > 2 - ("d" in on):
        raise Refused(f"runs tr {' '.join(given.words)}, which is not known here")
    old, new = _set(rest[0]), _set((rest[1:] or [""])[0])
    if "d" in on:
        return 0, "".join(one for one in given.input if one not in old)
    table = dict(zip(old, new.ljust(len(old), new[-1:] or " "), strict=False)) if new else {}
    made = "".join(table.get(one, one) for one in given.input)
    if "s" in on:
        made = re.sub(rf"([{re.escape(new or old)}])\1+", r"\1", made)
    return 0, made


def _set(text: str) -> str:
    """The characters that a word of tr's means: ranges, classes, `\\n`."""
    for name, characters in _SETS.items():
        text = text.replace(name, characters)
    text = text.replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\")
    return re.sub(
        r"([A-Za-z0-9])-([A-Za-z0-9])",
        lambda found: "".join(map(chr, range(ord(found[1]), ord(found[2]) + 1))),
        text,
    )


def _uname(given: Given) -> Done:
    word = "".join(given.words) or "-s"
    if word not in given.uname:
        raise Refused(f"runs uname {word}, which is not known here")
    return 0, given.uname[word] + "\n"


def _path(given: Given) -> Done:
    whole = (given.words or [""])[0].rstrip("/")
    front, _, name = whole.rpartition("/")
    if given.name == "dirname":
        return 0, (front or ".") + "\n"
    ending = given.words[1] if len(given.words) > 1 else ""
    return 0, name.removesuffix(ending) + "\n"


def _command(given: Given) -> Done:
    if not given.words or given.words[0] not in ("-v", "-V"):
        raise Refused("runs command without -v, which is not known here")
    return _which(given)


def _which(given: Given) -> Done:
    """What this reader knows itself, and what builds: no other program is there."""
    words = [one for one in given.words if not one.startswith("-")]
    found = [one for one in words if one in COMMANDS or one in _BUILDERS]
    return int(found != words or not words), "".join(f"/usr/bin/{one}\n" for one in found)


def _test(given: Given) -> Done:
    words = list(given.words)
    if given.name != "test":
        end = {"[": "]", "[[": "]]"}[given.name]
        if not words or words.pop() != end:
            raise Refused(f"has a {given.name} without {end}")
    return int(not test(words, given.files, given.name == "[[")), ""


COMMANDS: Mapping[str, Callable[[Given], Done]] = {
    **dict.fromkeys(("test", "[", "[["), _test),
    # Where a file is looked for depends on its name alone: directories are not changed.
    **dict.fromkeys(("true", ":", "cd", "pushd", "popd"), lambda given: (0, "")),
    "false": lambda given: (1, ""),
    "echo": _echo, "printf": _printf, "grep": _grep, "egrep": _grep, "sed": _sed, "sort": _sort,
    "cut": _cut, "cat": _cat, "head": _ends, "tail": _ends, "tr": _tr, "uname": _uname,
    "which": _which, "command": _command, "basename": _path, "dirname": _path, **LOOKERS,
}  # fmt: skip
