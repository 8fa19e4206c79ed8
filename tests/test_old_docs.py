"""docs/old-kernels.md says what the tables in the code say."""

from pathlib import Path

from vmlab.build import compilers, eras

PAGE = (Path(__file__).parent.parent / "docs/old-kernels.md").read_text()


def dotted(number: tuple[int, ...]) -> str:
    return ".".join(map(str, number))


def compiler_row(era: compilers.Era) -> str:
    newest = "any newer" if era.newest == compilers.NEWEST else dotted(era.newest[:1])
    newest = dotted(era.newest) if era.newest == (3, 4) else newest
    return (
        f"| {dotted(era.since)} | {dotted(era.oldest)} | {newest} | "
        f"`{era.package}` (Debian {era.release}) | {era.why} |"
    )


def flag_row(flag: eras.Flag) -> str:
    return f"| `{flag.text}` | before {dotted(flag.until)} | {flag.why} |"


def test_its_table_of_compilers_is_the_lab_s():
    rows = [line for line in PAGE.splitlines() if " (Debian " in line and line.startswith("| ")]
    assert rows == [compiler_row(one) for one in compilers.ERAS]


def test_its_flags_are_the_lab_s():
    rows = [line for line in PAGE.splitlines() if line.startswith("| `-")]
    assert rows == [flag_row(one) for one in eras.FLAGS]
