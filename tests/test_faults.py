"""Faults put into the lab: each has its verdict, and leaves its files and no process."""

import re

import faults_of_guests
import faults_of_hosts
import faults_of_snapshots
import pytest
from faulty import Bench, Fault, check, no_orphans

TABLE = (*faults_of_guests.ROWS, *faults_of_hosts.ROWS, *faults_of_snapshots.ROWS)


def row(fault: Fault):
    marks = [pytest.mark.slow] if fault.slow else []
    return pytest.param(fault, id=re.sub(r"[^\w]+", "-", fault.name).strip("-"), marks=marks)


@pytest.mark.guest
@pytest.mark.parametrize("fault", [row(fault) for fault in TABLE])
def test_a_fault_has_its_verdict_and_leaves_nothing_half_done(
    fault, tmp_path, monkeypatch, request
):
    bench = Bench(tmp_path, monkeypatch, more=request.getfixturevalue)
    try:
        run = fault.inject(bench)
        if run is not None:
            check(fault, bench, run)
    finally:
        assert no_orphans(bench)
    assert (run is None) == (fault.verdict is None)


def test_the_table_has_its_rows_once():
    names = [fault.name for fault in TABLE]
    assert len(set(names)) == len(names) >= 60
