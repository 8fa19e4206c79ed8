"""A module's crash in real guests, to the line of its source."""

import json
from pathlib import Path

import pytest
from test_debug_guest import vmlab

from vmlab.cache import Cache
from vmlab.catalog import Catalog, debug

KERNELS = ("5.10.0-32-686", "6.1.0-50-amd64")
MODULE = """\
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/init.h>
#include <linux/module.h>

struct box {
	int lid;
	int content;
};

static struct box *here;

static __always_inline void fill(struct box *box, int content)
{
	/* nobody looked whether there is one */
	box->content = content;
	pr_info("filled\\n");
}

static noinline int look(int more)
{
	fill(READ_ONCE(here), more);
	return more;
}

static int __init box_init(void)
{
	pr_info("got %d\\n", look(jiffies));
	return 0;
}

static void __exit box_exit(void)
{
}

module_init(box_init);
module_exit(box_exit);
MODULE_LICENSE("GPL");
"""
STEPS = """\
name: box
about: dereferences NULL in a function that is inlined
modules: [box]
steps:
  - insmod: box
"""

pytestmark = pytest.mark.guest


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("project")
    (made / "vmlab.yaml").touch()
    (made / "kmod" / "box").mkdir(parents=True)
    (made / "kmod" / "box" / "Kbuild").write_text("obj-m += box.o\n")
    (made / "kmod" / "box" / "box.c").write_text(MODULE)
    (made / "scenarios").mkdir()
    (made / "scenarios" / "box.yaml").write_text(STEPS)
    return made


def line_of(text: str) -> int:
    return MODULE.splitlines().index(text) + 1


def crashed(root: Path, kernel: str, *more: str) -> tuple[dict, str]:
    done = vmlab(root, "run", "box", "--kernel", kernel, "--json", "runs.json", *more)
    assert done.returncode == 1, done.stdout + done.stderr
    (run,) = json.loads((root / "runs.json").read_text())["runs"]
    assert run == json.loads((Path(run["dir"]) / "verdict.json").read_text())
    assert run["verdict"] == "crashed"
    return run["crash"], done.stdout


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_report_has_the_line_of_the_source(root, kernel):
    crash, said = crashed(root, kernel)
    frame = crash["frames"][0]
    at = line_of("	box->content = content;")
    assert (frame["function"].partition(".")[0], frame["module"]) == ("look", "box")
    assert frame["source"]["file"] == "kmod/box/box.c"
    assert frame["source"]["line"] == line_of("	fill(READ_ONCE(here), more);")
    (inlined,) = frame["inlined"]
    assert (inlined["function"], inlined["file"], inlined["line"]) == ("fill", "kmod/box/box.c", at)
    assert [number for number, _ in inlined["around"]] == list(range(at - 2, at + 3))
    caller = next(one for one in crash["frames"] if one["function"] == "box_init")
    assert caller["source"]["line"] == line_of('	pr_info("got %d\\n", look(jiffies));')
    assert f"  where:  fill (kmod/box/box.c:{at}), inlined in\n" in said
    assert f"            > {at}      box->content = content;\n" in said
    assert f"(kmod/box/box.c:{caller['source']['line']})\n" in said


def test_the_kernel_s_own_frames_have_theirs_where_its_debug_package_was_fetched(root):
    """Without fetching one: that is 0.7 to 1.2 GB."""
    catalog = Catalog.open(Cache.default())
    here = [one for one in catalog.select(None) if catalog.vmlinux(one)]
    if not here:
        pytest.skip("no debug package is here; `vmlab kernels fetch --fetch-debug ID` fetches one")
    kernels_own(crashed(root, here[-1].id)[0])


@pytest.mark.slow
def test_the_debug_package_is_fetched_where_that_is_asked_for(root):
    """0.7 GB to download, and 0.3 GB that stay in the cache."""
    cache = Cache.default()
    (kernel,) = Catalog.open(cache).select(KERNELS[0])
    cache.remove(debug.KIND, debug.key(kernel))
    without = crashed(root, kernel.id)[0]["frames"]
    assert not [one for one in without if one["source"] and not one["module"]]
    kernels_own(crashed(root, kernel.id, "--fetch-debug")[0])


def kernels_own(crash: dict) -> None:
    places = {one["function"]: one["source"] for one in crash["frames"] if not one["module"]}
    assert places["do_one_initcall"]["file"] == "init/main.c"
    assert places["do_init_module"]["file"] in ("kernel/module.c", "kernel/module/main.c")


def test_a_module_s_lines_do_not_depend_on_where_it_was_built(root, tmp_path):
    """Its debug information names no directory of this machine."""
    crashed(root, KERNELS[1])
    (file,) = sorted(root.glob("vmlab-out/*/box-6.1*/modules/box.ko"))[-1:]
    content = file.read_bytes()
    for name in (str(root), str(Cache.default().root), str(Path.home())):
        assert name.encode() not in content
