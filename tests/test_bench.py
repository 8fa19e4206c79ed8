import json
import math
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from vmlab.artifacts import Artifacts
from vmlab.bench import WAYS, Growth, Restored, Samples, as_json, measure, record, spread
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.cli import app
from vmlab.errors import LabError
from vmlab.measure import PHASES, Guests
from vmlab.report import bench as report
from vmlab.report import chart

GROWTH = Growth(runs=64, descriptors=0, processes=0, files=0, rss_mb=0.25)
SVG = "{http://www.w3.org/2000/svg}"


class FakeBench:
    """Each measure takes one more millisecond than the last: the order shows in the figures."""

    def __init__(self):
        self.calls = []

    def _next(self, name, kernel):
        self.calls.append((name, kernel))
        return len(self.calls) / 1000

    def restored(self, kernel):
        return Restored(self._next("restored", kernel), 0.05, 52.0, 30.0, 20.0)

    def cold(self, kernel):
        return 8 + self._next("cold", kernel)

    def virtme(self, kernel):
        return 40 + self._next("virtme", kernel)

    def virtme_lean(self, kernel):
        return 9 + self._next("virtme_lean", kernel)

    def runs_per_min(self, kernel, guests):
        self._next(f"{guests} at once", kernel)
        return 100.0 * guests


@pytest.fixture
def found():
    return measure(FakeBench(), ["5.10.0-1-686", "6.1.0-1-amd64"], 3, [1, 2], lambda line: None)


@pytest.fixture
def document(found):
    return as_json(found, GROWTH, {"cores": 2}, 3)


def test_a_round_has_a_restored_guest_just_before_each_guest_it_is_compared_with():
    bench, said = FakeBench(), []
    measure(bench, ["a", "b"], 2, [1, 2], said.append)
    ways = ["restored", "cold", "restored", "virtme", "restored", "virtme_lean"]
    one_round = [*ways, "1 at once", "2 at once"]
    assert [name for name, _ in bench.calls] == one_round * 4
    assert [kernel for _, kernel in bench.calls] == ([*"aaaaaaaa", *"bbbbbbbb"]) * 2
    assert said[0] == "round 1 of 2: a: restored" and said[-1] == "round 2 of 2: b: 2 at once"


def test_a_ratio_is_of_two_guests_of_one_round(found):
    samples = found["5.10.0-1-686"]
    assert samples.ratios["cold"][0] == (8 + 0.002) / 0.001
    assert samples.ratios["virtme"][0] == (40 + 0.004) / 0.003
    assert len(samples.first_s["restored"]) == 9 and len(samples.first_s["cold"]) == 3


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([4.0], (4, 4, 4, 4, 4, 1)),
        ([1.0, 3.0], (1, 1.5, 2, 2.5, 3, 2)),
        ([5.0, 1.0, 3.0, 2.0, 4.0], (1, 2, 3, 4, 5, 5)),
        ([1.0, 1.0, 1.0, 100.0], (1, 1, 1, 25.75, 100, 4)),
        ([0.123456], (0.1235, 0.1235, 0.1235, 0.1235, 0.1235, 1)),
    ],
)
def test_spread(values, wanted):
    assert tuple(spread(values).values()) == wanted
    assert list(spread(values)) == ["min", "q1", "median", "q3", "max", "n"]


def test_the_json_holds_medians_and_their_spread_under_the_same_names(document):
    made = json.loads(document)
    assert list(made["kernels"]) == ["5.10.0-1-686", "6.1.0-1-amd64"]
    one = made["kernels"]["5.10.0-1-686"]
    assert set(one["first_result_s"]) == {"restored", "cold", "virtme", "virtme_lean"}
    assert one["restore_s"] == 0.05 and one["rss_mb"] == 52.0
    assert one["runs_per_min"] == {"1": 100.0, "2": 200.0}
    assert set(one["spread"]) == set(one) - {"spread"}
    assert one["spread"]["first_result_s"]["cold"]["median"] == one["first_result_s"]["cold"]
    assert one["spread"]["rss_mb"]["n"] == 9
    assert made["growth"] == vars(GROWTH)
    assert made["rounds"] == 3 and made["host"] == {"cores": 2}


def test_what_was_not_measured_is_left_out():
    samples = Samples()
    samples.restored.append(Restored(0.1, 0.05, 52.0, 30.0, 20.0))
    samples.first_s["restored"].append(0.1)
    assert record(samples)["first_result_s"] == {"restored": 0.1}
    assert record(samples)["ratio"] == {}


def test_the_text_names_each_figure_with_its_unit(document):
    text = report.text(document)
    assert "first result, cold boot" in text and "8.018 s   (8.002 to 8.034, 3 times)" in text
    assert "52.0 MB" in text
    assert "from run 1 to run 64: +0 descriptors, +0 processes, +0 files, +0.25 MB" in text


def test_the_profile_tells_each_phase_by_the_one_before():
    seen = [{"a": 0.010, "b": 0.030}, {"a": 0.020, "b": 0.050}, {"a": 0.030, "b": 0.040}]
    text = report.profile("k", ["a", "b"], seen)
    assert [line.split() for line in text.splitlines()[2:]] == [
        ["a", "20.0", "20.0", "10.0"],
        ["b", "40.0", "20.0", "10.0"],
    ]


class TestChart:
    def bars(self, document):
        root = ET.fromstring(chart.of_json(document))
        return root, [one for one in root.iter(f"{SVG}rect") if one.get("class") != "paper"]

    def test_it_has_one_bar_for_each_kernel_and_way_within_the_picture(self, document):
        root, bars = self.bars(document)
        assert [bar.get("class") for bar in bars] == [
            "restored", "cold", "virtme", "virtme_lean",
        ] * 2  # fmt: skip
        width, height = float(root.get("width")), float(root.get("height"))
        for bar in bars:
            assert float(bar.get("x")) + float(bar.get("width")) < width - 100
            assert float(bar.get("y")) + float(bar.get("height")) < height

    def test_a_bar_s_length_is_the_logarithm_of_its_seconds(self, document):
        _, bars = self.bars(document)
        widths = [float(bar.get("width")) for bar in bars[:3]]  # each takes longer than the last
        one = json.loads(document)["kernels"]["5.10.0-1-686"]["first_result_s"]
        assert widths == sorted(widths)
        times = [one[way] for way in ("restored", "cold", "virtme")]
        decade = (widths[2] - widths[1]) / math.log10(times[2] / times[1])
        assert (widths[1] - widths[0]) / math.log10(times[1] / times[0]) == pytest.approx(
            decade, rel=0.01
        )

    def test_it_names_kernels_axis_and_figures_and_needs_nothing_from_elsewhere(self, document):
        text = chart.of_json(document)
        for word in ("5.10.0-1-686", "virtme-ng", "seconds from the start", "8.02 s ("):
            assert word in text
        assert "prefers-color-scheme: dark" in text
        assert "href" not in text and "url(" not in text and "<script" not in text

    def test_a_name_is_no_markup(self, found):
        odd = {"<6.1&>": found["6.1.0-1-amd64"]}
        root, _ = self.bars(as_json(odd, GROWTH, {}, 3))
        assert any(one.text == "<6.1&>" for one in root.iter(f"{SVG}text"))


@pytest.mark.parametrize("option", ["--json", "--svg"])
def test_a_file_that_cannot_be_written_is_named_after_the_figures(monkeypatch, found, option):
    guests = SimpleNamespace(ready=lambda one: one, growth=lambda kernel, runs: GROWTH)
    catalog = SimpleNamespace(select=lambda kernel: ["6.1.0-1-amd64"])
    monkeypatch.setattr("vmlab.cli.common.artifacts", lambda: SimpleNamespace(catalog=catalog))
    monkeypatch.setattr("vmlab.measure.Guests", lambda artifacts: guests)
    monkeypatch.setattr("vmlab.measure.host", lambda: {"cores": 2})
    monkeypatch.setattr("vmlab.bench.measure", lambda *given: found)
    done = CliRunner().invoke(app, ["bench", option, "no/such/folder"])
    assert isinstance(done.exception, LabError), done.exception
    assert str(done.exception) == "writing no/such/folder: no such file or directory"
    assert "first result, cold boot" in done.output


@pytest.mark.guest
class TestRealGuests:
    @pytest.fixture
    def guests(self):
        cache = Cache.default()
        return Guests(Artifacts(cache, Catalog.open(cache)))

    @pytest.fixture
    def kernel(self, guests):
        return guests.ready(Catalog.open(Cache.default()).select("6.1*686")[0])

    def test_a_restored_guest_comes_past_each_phase_in_order(self, guests, kernel):
        seen = guests.timeline(kernel)
        assert sorted(seen.at, key=lambda phase: seen.at[phase]) == list(PHASES)
        assert 10_000_000 < seen.memory["Pss"] <= seen.memory["Rss"]

    def test_a_second_command_like_the_first_needs_hardly_any_new_code(self, guests, kernel):
        none, one, two = (guests.blocks(kernel, ["true"] * count) for count in (0, 1, 2))
        assert 1000 < none < one < two < one + (one - none) // 10

    def test_runs_leave_no_descriptor_process_file_or_memory(self, guests, kernel):
        assert_nothing_is_left(guests.growth(kernel, 30))

    def test_a_guest_that_gives_no_result_is_told(self, guests, kernel, monkeypatch):
        monkeypatch.setattr("vmlab.measure._COMMAND", "false")
        with pytest.raises(LabError, match="gave no result"):
            guests.whole_run(kernel)

    @pytest.mark.slow
    def test_a_thousand_runs_leave_nothing(self, guests, kernel):
        assert_nothing_is_left(guests.growth(kernel, 1000))

    @pytest.mark.slow
    def test_one_round_of_everything(self, guests, kernel):
        found = measure(guests, [kernel], 1, [1], print)[kernel]
        assert all(found.ratios[way][0] > 5 for way in WAYS[1:])
        assert found.first_s["virtme"][0] > found.first_s["virtme_lean"][0]
        assert found.runs_per_min[1][0] > 1


def assert_nothing_is_left(growth):
    assert (growth.descriptors, growth.processes, growth.files) == (0, 0, 0)
    assert growth.rss_mb < 4  # the allocator's own; a leak of 10 KB a run shows in 1,000 runs
