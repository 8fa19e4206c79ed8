"""Memory that a module leaves behind, and what of that plain kernels tell."""

import pytest

from vmlab import lab
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.executor import execute
from vmlab.project import Project, Settings
from vmlab.verdict import Verdict

# With a size and flags that caches of the kernel's own have too: such are merged.
LEAVES = """\
#include <linux/module.h>
#include <linux/slab.h>
static struct kmem_cache *nest;
static int __init leaves_init(void)
{
	nest = kmem_cache_create("nest", 200, 0, SLAB_ACCOUNT, NULL);
	return nest && kmem_cache_alloc(nest, GFP_KERNEL) ? 0 : -ENOMEM;
}
static void __exit leaves_exit(void) { kmem_cache_destroy(nest); }
module_init(leaves_init);
module_exit(leaves_exit);
MODULE_LICENSE("GPL");
"""
STEPS = """\
name: leaves
about: a cache is destroyed with an object in it
modules: [leaves]
steps:
  - insmod: leaves
  - rmmod: leaves
"""


@pytest.mark.guest
def test_an_object_that_is_left_in_a_destroyed_cache_is_told(tmp_path):
    (tmp_path / "kmod/leaves").mkdir(parents=True)
    (tmp_path / "kmod/leaves/Kbuild").write_text("obj-m += leaves.o\n")
    (tmp_path / "kmod/leaves/leaves.c").write_text(LEAVES)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios/leaves.yaml").write_text(STEPS)
    made = Artifacts(Cache.default(), Catalog.open(Cache.default(), print))
    project = Project(tmp_path, Settings())
    options = lab.Options(accel="tcg")
    runner, pairs = lab.prepare(project, made, [], [], "5.10.0-32-amd64,6.1.0-50-686", options)
    runs = list(execute(runner, pairs, 1, lambda pair: None))
    for run in runs:
        assert run.verdict is Verdict.CRASHED, run.judgement
        assert "Objects remaining in nest" in run.judgement.reason
    assert len(runs) == 2
