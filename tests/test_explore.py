"""Exploring: the seed alone says how a run is shifted in time."""

from dataclasses import replace
from pathlib import Path

import pytest

from vmlab.arch import ARCHES
from vmlab.guest import qemu
from vmlab.perturb import DILATIONS, PAUSES, SPIN_TURNS, Perturbation, perturbation
from vmlab.snapshots import name


def test_a_seed_s_perturbation_never_changes():
    """Tokens and notes of seeds rely on it: these numbers stay."""
    assert perturbation(0) == Perturbation(0, 955, (99, 96, 28, 808, 9, 1, 7598, 855))
    assert perturbation(1) != perturbation(0)
    assert perturbation(0).option == "perturb 955 99 96 28 808 9 1 7598 855"


def test_perturbations_cover_their_ranges():
    many = [perturbation(seed) for seed in range(1000)]
    assert {one.dilation for one in many} == set(DILATIONS)
    assert min(one.spin for one in many) < 50 < SPIN_TURNS - 50 < max(one.spin for one in many)
    pauses = [pause for one in many for pause in one.pauses_us]
    assert len(pauses) == 1000 * PAUSES
    assert len({one.pauses_us for one in many}) == 1000
    assert min(pauses) == 0 and 9000 < max(pauses) < 10_000
    assert 0.3 < sum(pause < 100 for pause in pauses) / len(pauses) < 0.6


@pytest.mark.parametrize(("arch", "plain"), [("i386", 3), ("x86_64", 1)])
def test_dilation_is_the_clock_s_shift_and_another_snapshot(arch, plain, tmp_path):
    machine = qemu.Machine(ARCHES[arch])
    slow = replace(machine, perturbation=Perturbation(1, 0, ()))
    assert (machine.shift, slow.shift) == (plain, plain + 1)
    assert f"shift={plain + 1},sleep=off" in qemu.icount_args(slow)
    same = replace(machine, perturbation=Perturbation(0, 7, (1, 2)))
    assert qemu.icount_args(same) == qemu.icount_args(machine)

    def of(one: qemu.Machine) -> str:
        return name(qemu.Boot(one, Path("vmlinuz"), Path("initramfs"), qemu.RunDirectory(tmp_path)))

    assert of(same) == of(machine) != of(slow)
