"""Guests on other machines: all that was asked for comes back once, whatever becomes of them."""

import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from unittest.mock import Mock

import clusters
import pytest
from clusters import Cluster, wait

from vmlab import lab
from vmlab.arch import ARCHES
from vmlab.backend import QemuBackend
from vmlab.cache import Cache
from vmlab.cluster import content, crew, reach, without_dask, work
from vmlab.cluster import worker as serving
from vmlab.cluster.backend import ClusterBackend
from vmlab.cluster.content import Content
from vmlab.cluster.order import File, Order, recipe_key
from vmlab.errors import LabError, UsageError
from vmlab.guest import qemu
from vmlab.verdict import Verdict

I386 = ARCHES["i386"]
pytest.importorskip("distributed", reason="the extra `cluster` is not installed")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


@pytest.fixture
def cluster(scheduler, tmp_path, fake_qemu):
    """Without workers; those that a test starts are ended."""
    scheduler.folder = tmp_path
    yield scheduler
    scheduler.end_workers()


def travelled(cache: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in (cache / content.KIND).glob("[!.]*"))


def test_what_workers_give_is_what_guests_here_give(cluster, tmp_path):
    caches = [cluster.worker(name) for name in ("one", "two")]
    made = clusters.runner(tmp_path / "far", cluster.crew(workers=2))
    far = list(clusters.runs(made, 6))
    here = list(clusters.runs(clusters.runner(tmp_path / "near", None, QemuBackend(None)), 6))
    assert {run.judgement.verdict for run in far} == {Verdict.PASSED}
    assert sorted(map(clusters.output, far)) == sorted(map(clusters.output, here))
    assert {str(run.token) for run in far} == {str(run.token) for run in here}
    assert {run.environment["worker"] for run in far} == {"one", "two"}
    # Kernel and image (the same file here) once to each worker, programs where they were run.
    programs = [travelled(cache).count("program.tar") for cache in caches]
    assert [travelled(cache).count("stand") for cache in caches] == [1, 1]
    assert 6 <= sum(programs) <= 12 and all(programs)


def test_workers_that_die_lose_nothing_and_nothing_comes_twice(cluster, tmp_path):
    for name in ("one", "two", "three"):
        cluster.worker(name)
    made = clusters.runner(tmp_path / "far", cluster.crew(workers=3))
    deaths = {3: "one", 6: "two"}
    came = []
    for run in clusters.runs(made, 14, jobs=10):
        came.append(run)
        if name := deaths.get(len(came)):
            cluster.kill(name)
    assert [run.judgement.verdict for run in came] == [Verdict.PASSED] * 14
    assert len({run.scenario for run in came}) == 14
    assert came[-1].environment["worker"] == "three"


@pytest.mark.slow
def test_a_worker_that_comes_late_takes_part(cluster, tmp_path):
    cluster.worker("early", 1)
    made = clusters.runner(tmp_path / "far", cluster.crew(workers=1))
    workers = []
    for run in clusters.runs(made, 16, "sleep 0.6"):
        workers.append(run.environment["worker"])
        if len(workers) == 1:
            cluster.worker("late", 4)
    assert set(workers) == {"early", "late"}


def test_a_worker_of_another_qemu_is_given_no_guests(cluster, tmp_path):
    said = []
    cluster.worker("old", VMLAB_FAKE_VERSION="5.2.0")
    cluster.worker("new")
    made = clusters.runner(tmp_path / "far", cluster.crew(said.append, workers=2))
    came = list(clusters.runs(made, 6))
    assert {run.environment.get("worker") for run in came} == {"new"}
    assert said == [
        "worker old is given no guests: it has QEMU emulator version 5.2.0, and here it is "
        "QEMU emulator version 7.2.22"
    ]
    cluster.kill("new")
    wait(lambda: len(made.backend.crew.workers()) == 1)
    assert said[1:] == ["worker new is gone: its runs are given to others"]
    made = clusters.runner(tmp_path / "far", made.backend.crew)
    (run,) = clusters.runs(made, 1)
    assert run.judgement.verdict is Verdict.BROKEN
    assert "takes guests: worker old: it has QEMU emulator version 5.2.0" in run.judgement.reason


def test_guests_end_when_the_lab_stops(cluster, tmp_path, monkeypatch):
    cluster.worker("one", VMLAB_FAKE="hang")
    made = clusters.runner(tmp_path / "far", cluster.crew(workers=1))
    worker = cluster.processes["one"].pid

    def stop_when_it_runs():
        wait(lambda: _guests(worker))
        made.stop()

    watcher = threading.Thread(target=stop_when_it_runs)
    watcher.start()
    (run,) = clusters.runs(made, 1)
    watcher.join()
    assert (run.judgement.verdict, run.judgement.reason) == (
        Verdict.BROKEN, "the lab was stopped",
    )  # fmt: skip
    wait(lambda: not _guests(worker), 10)


def _guests(worker: int) -> list[str]:
    children = Path(f"/proc/{worker}/task").glob("*/children")
    return [pid for path in children for pid in path.read_text().split()]


LAB = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import clusters
from vmlab.cluster.crew import connect
list(clusters.runs(clusters.runner(Path(sys.argv[2]), connect(sys.argv[3], print)), 2))
"""


def test_guests_end_when_the_lab_is_killed(cluster, tmp_path):
    cluster.worker("one", VMLAB_FAKE="hang")
    cluster.crew(workers=1)
    words = [str(Path(__file__).parent), str(tmp_path / "far"), cluster.address]
    killed = subprocess.Popen([sys.executable, "-c", LAB, *words])
    worker = cluster.processes["one"].pid
    wait(lambda: len(_guests(worker)) == 2)
    killed.kill()
    killed.wait()
    wait(lambda: not _guests(worker), 20)


@pytest.mark.slow
def test_a_run_with_which_workers_die_is_broken_and_given_up(fake_qemu, tmp_path, request):
    cluster = Cluster(
        tmp_path, PYTHONPATH=str(Path(__file__).parent),
        DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0",
    )  # fmt: skip
    request.addfinalizer(cluster.close)
    cluster.worker("one")
    backend = ClusterBackend(cluster.crew(workers=1), False, clusters.die)
    (run,) = clusters.runs(clusters.runner(tmp_path / "far", None, backend), 1)
    assert (run.judgement.verdict, run.judgement.reason) == (
        Verdict.BROKEN, "workers died with this run, the last of them one",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"format": 0}, "its vmlab takes orders of format 1, and this one gives 0"),
        ({"qemu": "QEMU 5"}, "it has QEMU 7, and here it is QEMU 5"),
        ({"machine": qemu.Machine(I386, 256)}, "its vmlab starts such a machine in another way"),
    ],
)
def test_a_worker_refuses_what_it_would_do_otherwise(change, why):
    machine, none = qemu.Machine(I386), File("x", "y")
    order = Order(
        "", "6.1", "6.1", machine, none, none, none, b"", 1.0, None, True, "QEMU 7",
        recipe_key(machine),
    )  # fmt: skip
    assert work._not_for(dataclasses.replace(order, **change), "QEMU 7") == why


def test_a_second_worker_of_one_name_is_told(cluster):
    cluster.worker("one")
    cluster.crew(workers=1)
    first = cluster.processes.pop("one")
    cluster.worker("one")
    assert cluster.processes["one"].wait(60) == 3
    assert "has a worker of the name one already; give this one another --name" in cluster.said(
        "one"
    )
    cluster.processes["first"] = first
    assert first.poll() is None


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.0 400 Bad\r\n\r\n"], ids=["silent", "another service"]
)
def test_one_who_takes_the_call_and_is_no_scheduler(answer, monkeypatch):
    monkeypatch.setattr(crew, "ANSWER_S", 0.5)
    monkeypatch.setattr(crew, "_GRACE_S", 0.5)
    held = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken, _ = listening.accept()
                    held.append(taken)
                    taken.sendall(answer)

        threading.Thread(target=take, daemon=True).start()
        said = "does not answer.*what listens there is no scheduler of Dask's"
        with pytest.raises(LabError, match=said):
            crew.connect(f"tcp://127.0.0.1:{listening.getsockname()[1]}", print)
    for one in held:
        one.close()


def test_an_address_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(crew, "ANSWER_S", 0.5)
    said = r"the cluster at 127[.]0[.]0[.]1:9 does not answer .*; nothing listens there: start"
    with pytest.raises(LabError, match=said):
        crew.connect("127.0.0.1:9", print)
    with pytest.raises(LabError, match=r"nowhere[.]invalid is no machine's name here"):
        crew.connect("nowhere.invalid:8786", print)
    monkeypatch.setattr(reach, "_CALL_S", 0.1)
    monkeypatch.setattr(reach.socket, "create_connection", Mock(side_effect=TimeoutError))
    assert "its machine does not take the call: look at" in reach.trouble("tls://[::1]:1", 0.5)
    with pytest.raises(UsageError, match="'smoke://here:1' is no address of a cluster"):
        crew.connect("smoke://here:1", print)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://127.0.0.1:9", (LabError, "nothing listens there")),
        ("smoke://here:1", (UsageError, "is no address of a cluster .*; it is tcp://HOST:PORT")),
        ("tls://127.0.0.1:9", (UsageError, "is not spoken to: .*docs/cluster.md says how")),
    ],
)
def test_a_worker_that_finds_no_scheduler_says_what_it_found(address, said, monkeypatch):
    monkeypatch.setattr(serving, "ANSWER_S", 0.5)
    with pytest.raises(said[0], match=said[1]):
        serving.serve(address, "w", 1, print)


@pytest.mark.parametrize("address", ["", " "])
def test_an_address_that_a_script_forgot_does_not_mean_here(address):
    with pytest.raises(UsageError, match="--cluster is empty: name its scheduler"):
        lab._backend(lab.Options(cluster=address), None)


def test_without_dask_it_is_said_what_this_python_installs():
    found = str(without_dask("a worker", ImportError("No module named 'dask'")))
    assert found.startswith("a worker needs Dask (No module named 'dask'): install it with `")
    assert found.endswith(f"`{sys.executable} -m pip install 'distributed>=2024.8'`")


@pytest.mark.slow
def test_a_scheduler_that_goes_away_breaks_the_runs_that_are_left(fake_qemu, tmp_path, request):
    cluster = Cluster(tmp_path)
    request.addfinalizer(cluster.close)
    cluster.worker("one")
    made = clusters.runner(tmp_path / "far", cluster.crew(workers=1))
    came = []
    for run in clusters.runs(made, 6, "sleep 0.5", jobs=3):
        came.append(run)
        if len(came) == 1:
            cluster.kill("scheduler")
    assert len(came) == 6
    assert came[0].judgement.verdict is Verdict.PASSED
    assert came[-1].judgement.verdict is Verdict.BROKEN
    assert "the cluster at" in came[-1].judgement.reason


def test_a_worker_s_input_that_is_damaged_is_asked_for_again(tmp_path):
    kept = Content(Cache(tmp_path))
    file = File("vmlinuz", content.digest(b"kernel"))
    assert kept.missing((file,)) == (file.digest,)
    kept.put(file, b"kernel")
    assert kept.missing((file,)) == ()
    kept.path(file).write_bytes(b"kernal")
    os.utime(kept.path(file), ns=(1, 1))
    assert kept.missing((file,)) == (file.digest,)
    with pytest.raises(LabError, match="vmlinuz came with another content"):
        kept.put(file, b"kernal")
    kept.put(file, b"kernel")
    assert kept.path(file).read_bytes() == b"kernel"
