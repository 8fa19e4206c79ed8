"""The configuration tiny, the fragments, and what kconfig's files say of dependencies."""

import fake_kernel
import pytest

from vmlab import sources
from vmlab.arch import ARCHES
from vmlab.cache import Cache
from vmlab.catalog import Catalog, Kernel, kconfig
from vmlab.catalog.pins import Pins
from vmlab.errors import UsageError
from vmlab.sources import bases, configure, dependencies, tiny
from vmlab.sources.build import Options, build

I386, X86_64 = ARCHES["i386"], ARCHES["x86_64"]


@pytest.mark.parametrize("arch", [I386, X86_64], ids=lambda arch: arch.name)
@pytest.mark.parametrize("number", [(3, 10), (4, 4, 155), (5, 10), (6, 1), (7, 2)], ids=str)
def test_tiny_has_what_a_guest_needs(arch, number):
    assert kconfig.problems(tiny.options(arch, number), number) == []


def test_no_option_of_tiny_is_asked_for_twice():
    for arch in (I386, X86_64):
        lines = [line for line in tiny.text(arch, (6, 1)).splitlines() if line[:1] == "C"]
        names = [line.partition("=")[0] for line in lines]
        assert sorted(names) == sorted(set(names))


def test_each_option_of_tiny_has_its_reason_before_it():
    text = tiny.text(I386, (6, 1))
    assert all(part.startswith("# ") for part in text.split("\n\n"))


@pytest.mark.parametrize("name", configure.shipped_fragments())
def test_a_fragment_asks_for_something_and_says_why(name):
    text = configure.fragment(name, (6, 1))
    assert text.startswith("# ") and configure.options(text)


def test_there_are_the_fragments_that_are_promised():
    wanted = {"kasan", "lockdep", "kmemleak", "kcsan", "ubsan", "debug-info"}
    assert wanted <= set(configure.shipped_fragments())


@pytest.mark.parametrize(
    ("name", "option"),
    [("kcsan", "KCSAN_EARLY_ENABLE"), ("ubsan", "UBSAN_SANITIZE_ALL"),
     ("kunit", "KUNIT_DEFAULT_ENABLED")],
)  # fmt: skip
def test_what_is_y_by_itself_is_asked_for(name, option):
    """The configuration tiny begins with allnoconfig, which answers n to all that it can."""
    assert configure.options(configure.fragment(name, (6, 1)))[option] == "y"


def test_an_unknown_fragment_is_refused_with_those_that_there_are():
    with pytest.raises(UsageError, match=r"no fragment 'kasam'.*kasan, kcsan"):
        configure.fragment("kasam", (6, 1))


@pytest.mark.parametrize(
    ("config", "fragments", "said"),
    [
        ("tinny", (), "no configuration 'tinny': it is tiny, distro or a file"),
        ("tiny", ("kasan", "lokdep"), "no fragment 'lokdep'"),
    ],
)
def test_names_that_mean_nothing_are_refused_before_a_source_is_fetched(
    tmp_path, config, fragments, said
):
    source = sources.parse("debian-source:6.1")
    catalog = Catalog(Cache(tmp_path), Pins((), (), ()))
    with pytest.raises(UsageError, match=said):
        build(catalog, source, Options(I386, config, fragments))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "number", "options"),
    [
        ("kunit", (6, 0, 9), {"KUNIT": "m", "KUNIT_DEFAULT_ENABLED": None}),
        ("kunit", (6, 1), {"KUNIT": "m", "KUNIT_DEFAULT_ENABLED": "y"}),
        ("kunit", (7,), {"KUNIT_DEFAULT_ENABLED": "y"}),
        ("ubsan", (4, 19, 3), {"UBSAN": "y", "UBSAN_MISC": None, "UBSAN_SANITIZE_ALL": "y"}),
        ("ubsan", (5, 10, 223), {"UBSAN_MISC": "y", "UBSAN_SHIFT": None}),
        ("ubsan", (6, 1), {"UBSAN_MISC": None, "UBSAN_SHIFT": "y", "UBSAN_SANITIZE_ALL": "y"}),
        ("ubsan", (6, 8, 12), {"UBSAN_SANITIZE_ALL": "y"}),
        ("ubsan", (6, 9), {"UBSAN_SHIFT": "y", "UBSAN_SANITIZE_ALL": None}),
    ],
)
def test_an_option_of_a_fragment_is_asked_of_kernels_that_have_it(name, number, options):
    wanted = configure.options(configure.fragment(name, number))
    assert {option: wanted.get(option) for option in options} == options


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("CONFIG_A=y\n", {"A": "y"}),
        ("CONFIG_A=y\n# CONFIG_A is not set\n", {"A": "n"}),
        ('CONFIG_A="a b"\nCONFIG_B=0x10\n', {"A": '"a b"', "B": "0x10"}),
        ("# CONFIG_A=y\n# a word\n", {}),
    ],
)
def test_what_a_fragment_asks_for(text, made):
    assert configure.options(text) == made


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("A", 2), ("M", 1), ("N", 0), ("UNKNOWN", 0), ("!A", 0), ("!M", 1), ("A && M", 1),
        ("N || M", 1), ("A=y", 2), ("M=y", 0), ("N=n", 2), ("A != y", 0), ("(N || A) && M", 1),
        ("!(N || A)", 0), ("y", 2), ("$(cc-option,-fx)", 2), ("STR = \"x\"", 2), ("A && N # c", 0),
    ],
)  # fmt: skip
def test_an_expression_of_kconfig(expression, value):
    found = {"A": "y", "M": "m", "STR": '"x"'}
    assert dependencies.value(expression, found) == value


def test_dependencies_are_read_through_menus_ifs_and_sourced_files(tmp_path):
    made = dependencies.Dependencies.of(fake_kernel.tree(tmp_path / "linux"), I386)
    assert made.entries["LOUD"] == [["PRINTK", "TTY && !QUIET"]]
    assert made.entries["SERIAL_8250_CONSOLE"] == [["TTY", "SERIAL_8250=y"]]
    assert made.entries["QUIET"] == [[]] and made.entries["X86"] == [[]]
    assert "NOTHING" not in made.entries


def test_of_two_entries_the_nearer_one_is_told(tmp_path):
    (tmp_path / "Kconfig").write_text(
        'config A\n\tbool "a"\n\tdepends on B && C\nconfig A\n\tbool "a"\n\tdepends on D || E\n'
    )
    made = dependencies.Dependencies.of(tmp_path, I386)
    said = made.why("A", "y", {})
    assert said.endswith("it depends on D || E (D is not set, E is not set)")


def kernel(release: str, arch=X86_64) -> Kernel:
    return Kernel(release, arch, False, (), ())


@pytest.mark.parametrize(
    ("number", "nearest"),
    [((6, 1, 5), "6.1.0-50"), ((6, 3), "6.1.0-50"), ((6, 11), "6.12.95"), ((5, 4), "5.10.0-32"),
     ((8, 0), "7.2.12"), ((2, 6, 32), "5.10.0-32")],
)  # fmt: skip
def test_the_distribution_s_configuration_is_of_the_nearest_kernel(number, nearest):
    there = [kernel(one) for one in ("5.10.0-32", "6.1.0-50", "6.12.95", "7.2.12")]
    there.append(kernel("6.3.0", I386))
    assert bases.nearest(there, X86_64, number).id == nearest


def test_there_may_be_no_distribution_for_an_architecture():
    with pytest.raises(UsageError, match="no kernel for i386"):
        bases.nearest([kernel("6.1.0")], I386, (6, 1))
