"""On a kernel that is really built: suites of KUnit, and which lines of a module ran."""

import json
import os
import re
from pathlib import Path

import pytest
from test_sources_real import artifacts, checked, pytestmark  # noqa: F401
from typer.testing import CliRunner

from vmlab import sources
from vmlab.artifacts import Artifacts
from vmlab.catalog import Kernel, added
from vmlab.cli import app
from vmlab.lab import Options as LabOptions
from vmlab.lab import load, runner
from vmlab.project import find
from vmlab.runner import Run
from vmlab.sources.build import add
from vmlab.verdict import Verdict

NAME = "suites"
MODULE = """\
// SPDX-License-Identifier: GPL-2.0-only
#include <kunit/test.h>
#include <linux/module.h>

static void floats(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, true);
}

static void sinks(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 2 + 2, 5);
}

static void flies(struct kunit *test)
{
	kunit_skip(test, "it is of rubber");
}

static struct kunit_case cases[] = {
	KUNIT_CASE(floats), KUNIT_CASE(sinks), KUNIT_CASE(flies), {}
};

static struct kunit_suite suite = { .name = "duck", .test_cases = cases };
kunit_test_suite(suite);

MODULE_LICENSE("GPL");
"""
POND = """\
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/err.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static int loud;
module_param(loud, int, 0444);

static noinline void quack(int time)
{
	if (loud)
		printk(KERN_INFO "QUACK %d\\n", time);
	else
		printk(KERN_INFO "quack %d\\n", time);
}

static int __init pond_init(void)
{
	int i;

	for (i = 0; i < 3; i++)
		quack(i);
	return PTR_ERR_OR_ZERO(&loud); /* a function of the kernel's headers */
}

static void __exit pond_exit(void)
{
}

module_init(pond_init);
module_exit(pond_exit);
MODULE_LICENSE("GPL");
"""
SCENARIOS = {
    "ours": "modules: [duck]\nsteps:\n  - kunit: duck\n",
    "theirs": "config: [CONFIG_KUNIT]\nsteps:\n  - kunit: list-test\n"
    "  - kunit: kunit-example-test\n",
    "quiet": "modules: [pond]\nsteps:\n  - insmod: pond\n  - rmmod: pond\n",
    "loud": "modules: [pond]\nsteps:\n  - insmod: pond loud=1\n  - rmmod: pond\n",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Kernels that are added here are none of the user's."""
    place = tmp_path_factory.mktemp("kernels")
    before = os.environ.get(added.ENVIRONMENT)
    os.environ[added.ENVIRONMENT] = str(place)
    yield added.Store.default()
    del os.environ[added.ENVIRONMENT]
    if before is not None:
        os.environ[added.ENVIRONMENT] = before


@pytest.fixture(scope="module")
def kernel(store, tmp_path_factory) -> Kernel:
    options = checked(tmp_path_factory.mktemp("config"))
    return add(artifacts(), store, sources.parse("debian-source:6.1"), options, NAME)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    for name, text in {"duck": MODULE, "pond": POND}.items():
        (tmp_path / "kmod" / name).mkdir(parents=True)
        (tmp_path / "kmod" / name / f"{name}.c").write_text(text)
        (tmp_path / "kmod" / name / "Kbuild").write_text(f"obj-m += {name}.o\n")
    (tmp_path / "scenarios").mkdir()
    for name, text in SCENARIOS.items():
        (tmp_path / f"scenarios/{name}.yaml").write_text(f"name: {name}\nabout: x\n{text}")
    (tmp_path / "vmlab.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder: Path, kernel: Kernel, name: str) -> tuple[Run, dict[str, str]]:
    """A scenario's run, and its subtests with their states."""
    made: Artifacts = artifacts()
    project = find(folder)
    (expanded,) = load(project, made.catalog, [name], [])
    done = runner(project, made, LabOptions()).run(expanded, kernel)
    told = json.loads((Path(done.dir) / "verdict.json").read_text())
    tests = [one for step in told["steps"] for one in step.get("tests", ())]
    return done, {one["name"]: one["state"] for one in tests}


def test_suites_of_the_kernel_s_own_are_folded(kernel, project):
    done, tests = run(project, kernel, "theirs")
    assert done.judgement.verdict is Verdict.PASSED, done.judgement
    assert tests["list-kunit-test.list_test_list_init"] == "passed"
    assert tests["example.example_skip_test"] == "skipped"
    assert len(tests) > 30


def test_a_test_that_fails_is_named_with_what_it_expected(kernel, project):
    done, tests = run(project, kernel, "ours")
    assert tests == {"duck.floats": "passed", "duck.sinks": "failed", "duck.flies": "skipped"}
    assert done.judgement.verdict is Verdict.FAILED
    assert done.judgement.reason == "1 of 3 tests failed"
    assert "duck.sinks" in done.judgement.seen and "2 + 2 == 4" in done.judgement.seen


def counted(folder: Path, *names: str) -> dict[str, str]:
    """How often each line of the pond ran, by its text, as the tracefile of its pages says it."""
    words = ["run", *names, "--kernel", NAME, "--coverage", "out"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert re.search(r"pond\.c: \d+ of \d+ lines \(\d+ %\)", done.output)
    info = (folder / "out/coverage.info").read_text()
    pond = info.partition(f"SF:{folder}/kmod/pond/pond.c\n")[2].partition("end_of_record")[0]
    lines = POND.splitlines()
    found = re.findall(r"^DA:(\d+),(\d+)$", pond, re.MULTILINE)
    return {lines[int(number) - 1].strip(): count for number, count in found}


LOUD, QUIET = (f'printk(KERN_INFO "{word} %d\\n", time);' for word in ("QUACK", "quack"))


def test_lines_of_a_module_are_counted_over_runs(kernel, project):
    one = counted(project, "quiet")
    assert (one["if (loud)"], one[LOUD], one[QUIET]) == ("3", "0", "3")
    both = counted(project, "quiet", "loud")
    assert (both["if (loud)"], both[LOUD], both[QUIET]) == ("6", "3", "3")
    pages = "".join(path.read_text() for path in (project / "out").rglob("*.html"))
    assert "quack" in pages and "pond.c" in pages
