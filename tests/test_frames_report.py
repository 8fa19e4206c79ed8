"""A crash's frames as they stand in a terminal."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from vmlab.crash import Crash, Frame, Inlined, Source
from vmlab.report import frames, table
from vmlab.runner import Run
from vmlab.verdict import Judgement, Verdict

CODE = ((8, ""), (9, "{"), (10, "\tbox->lid = 1;\x1b[2J"), (11, "}"))
INNER = Inlined("lid_of", "kmod/box/box.c", 10, CODE)
LOOK = Frame(
    "look.constprop.0", 0xB, 0x13, "box",
    source=Source("kmod/box/box.c", 22, ((22, "\tlid_of(box);"),)), inlined=(INNER,),
)  # fmt: skip
OPEN = Frame("box_open", 4, 0x20, "box", reliable=False, source=Source("kmod/box/box.c", 30))
READ = Frame("vfs_read", 0x23F, 0x310)
OLD = Frame("kfree", 1, 2, reliable=False, source=Source("mm/slub.c", 7))
CRASH = Crash(
    "NULL dereference", "t", "t", 1, 2, function="look",
    frames=(LOOK, replace(LOOK, reliable=False), OPEN, READ, OLD),
)  # fmt: skip


def test_the_guilty_frame_has_the_lines_around_it_and_around_what_was_inlined():
    assert frames.guilty(CRASH) == [
        "lid_of (kmod/box/box.c:10), inlined in",
        "     8",
        "     9  {",
        "  > 10      box->lid = 1;\\x1b[2J",
        "    11  }",
        "look.constprop.0+0xb/0x13 [box] (kmod/box/box.c:22)",
        "  > 22      lid_of(box);",
    ]


def test_the_stack_has_what_is_sure_and_the_modules_own():
    assert frames.stack(CRASH) == [
        "lid_of (kmod/box/box.c:10) (inlined)",
        "look.constprop.0+0xb/0x13 [box] (kmod/box/box.c:22)",
        "? box_open+0x4/0x20 [box] (kmod/box/box.c:30)",
        "vfs_read+0x23f/0x310",
    ]


def test_a_long_stack_is_cut_and_that_is_said():
    long = replace(CRASH, frames=(LOOK, *[READ] * 20))
    assert frames.stack(long)[-1] == "and 5 more"


@pytest.mark.parametrize("function", [None, "vfs_read", "somewhere_else", "look/vfs_read"])
def test_without_a_guilty_frame_of_known_source_it_is_the_first_with_its_lines(function):
    assert frames.guilty(replace(CRASH, function=function)) == frames.guilty(CRASH)


@pytest.mark.parametrize(
    ("frame", "function"),
    [
        ("look.isra.0.cold", "look"),
        ("look.12", "look"),
        ("look.v2", "look.v2"),
        ("__x64_sys_look", "sys_look"),
        ("ksys_look", "look"),
    ],
)
def test_a_frame_is_the_guilty_function_s_by_the_name_that_crashes_have(frame, function):
    first = replace(READ, source=Source("fs/read_write.c", 1, ((1, "{"),)))
    other = replace(LOOK, function="look.other")
    named = replace(LOOK, function=frame)
    found = frames.guilty(replace(CRASH, function=function, frames=(first, other, named)))
    assert found[-2].startswith(f"{frame}+0xb/0x13")


def test_without_sources_nothing_is_added():
    bare = replace(CRASH, frames=(READ, replace(LOOK, source=None, inlined=())))
    assert frames.guilty(bare) == frames.stack(bare) == []


def test_a_crashed_run_shows_both():
    judged = Judgement(Verdict.CRASHED, "reason", seen="seen", crash=CRASH)
    out = io.StringIO()
    run = Run("a", "6.1", "i386", "qemu", judged, 1.0, 1.0, "")
    table.show([run], Console(file=out, width=100, highlight=False))
    shown = out.getvalue()
    assert "  where:  lid_of (kmod/box/box.c:10), inlined in\n" in shown
    assert "            > 10      box->lid = 1;\\x1b[2J\n" in shown
    assert "  stack:  lid_of (kmod/box/box.c:10) (inlined)\n" in shown
    assert "\x1b" not in shown
