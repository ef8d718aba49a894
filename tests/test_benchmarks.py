"""The benchmarks' runner: its arithmetic, its turns, and one run of a tiny benchmark from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from operator import mul
from pathlib import Path
from time import sleep
from types import ModuleType

import pytest

import netspec
from benchmarks import plot
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.check import NETWORK, by_flop_counter, by_netspec, process
from benchmarks.contest import (
    BOXES,
    CPU_TIME,
    FEWEST_ROUNDS,
    FILE_SIZE,
    MAPPED,
    PEAK,
    TIMES,
    WALL_TIME,
    Contest,
    Spread,
    mean_ratios,
    memory_of,
    ratios,
    run,
)
from benchmarks.drawing import LONG_SPEC, count_boxes
from benchmarks.fresh import RESET_PEAK
from benchmarks.report import BYTES, SECONDS, digits, means, quantity, table

linux = pytest.mark.skipif(not RESET_PEAK.exists(), reason="peak memory is counted by Linux")


def silent(text: str) -> None:
    """Progress that nobody watches."""


# Arithmetic ----------------------------------------------------------------------------------------------------------


def test_a_spread_is_the_quartiles() -> None:
    assert Spread.of([5, 1, 4, 2, 3]) == Spread(2, 3, 4)
    assert Spread.of([7]) == Spread(7, 7, 7)


def test_a_ratio_compares_what_ran_in_the_same_round() -> None:
    slow_round = 100
    assert ratios([2, 2 * slow_round, 6], [1, slow_round, 2]) == Spread(2, 2, 2.5)


@pytest.mark.parametrize(
    ("spread", "text"),
    [
        (Spread(0.0840, 0.0861, 0.1), "86.1 ms (84.0–100)"),
        (Spread(1.9, 2.44, 2.5), "2.44 s (1.90–2.50)"),
        (Spread(2e-7, 3e-7, 4e-7), "0.30 µs (0.20–0.40)"),
    ],
)
def test_quartiles_have_the_unit_of_the_median(spread: Spread, text: str) -> None:
    assert quantity(spread, SECONDS) == text


def test_memory_and_ratios_are_written_with_three_digits() -> None:
    assert quantity(Spread(2**20, 3 * 2**20, 200 * 2**20), BYTES) == "3.00 MiB (1.00–200)"
    assert quantity(Spread(5.04, 12.34, 1234.5)) == "12.3 (5.04–1,234)"
    assert [digits(number) for number in (0.0123, 0.123, 9.996, 99.96, -4.5)] == [
        "0.012",
        "0.12",
        "10.0",
        "100",
        "-4.50",
    ]


def test_a_table_compares_with_the_first_contestant() -> None:
    samples = {"ours": {PEAK: [2.0**20] * 3, MAPPED: [0.0] * 3}, "theirs": {PEAK: [2.0**21] * 3, MAPPED: [2.0**20] * 3}}
    head, ours, theirs = table("small.pth", samples)
    assert head.split() == ["small.pth", *PEAK.split(), "ratio", *MAPPED.split()]
    assert ours.split()[-4:] == ["1", "0.000", "KiB", "(0.000–0.000)"]
    assert theirs.split()[-5:] == ["2.00", "(2.00–2.00)", "1.00", "MiB", "(1.00–1.00)"]


def test_facts_stand_beside_what_is_measured() -> None:
    samples = {
        name: {TIMES[0]: [size], FILE_SIZE: [size * 1024], BOXES: [size]} for name, size in (("a", 2.0), ("b", 9.0))
    }
    head, first, second = table("pictures", samples)
    assert head.split() == ["pictures", "CPU", "time", "ratio", "file", "size", "boxes"]
    assert first.split()[-4:] == ["1", "2.00", "KiB", "2"]
    assert second.split()[-5:] == ["4.50", "(4.50–4.50)", "9.00", "KiB", "9"]


def test_the_mean_over_a_group_is_geometric() -> None:
    contests = [{"ours": {CPU_TIME: [1.0]}, "theirs": {CPU_TIME: [time]}} for time in (2.0, 8.0)]
    assert mean_ratios(contests, "theirs", "ours", CPU_TIME) == pytest.approx((2, 4, 8))
    head, row = means("forward", contests)
    assert head.split() == ["forward,", "mean", "of", "2", "ratio", "of", "CPU", "time"]
    assert row.split() == ["theirs", "4.00", "(2.00–8.00)"]


def test_the_last_word_of_a_fact_says_its_unit() -> None:
    facts = {"preparation time": 0.5, "weights size": 2.0**20, "error": 0.0123, "guards": 1358.0}
    _, row = table("facts", {"ours": {what: [value] for what, value in facts.items()}})
    assert row.split() == ["ours", "500", "ms", "1.00", "MiB", "0.012", "1,358"]


def test_a_fact_that_a_contestant_lacks_leaves_its_cell_empty() -> None:
    _, first, second = table("facts", {"a": {BOXES: [1.0]}, "b": {FILE_SIZE: [2.0**10], BOXES: [3.0]}})
    assert first.split() == ["a", "1"]
    assert second.index("3") == first.index("1")
    assert "1.00 KiB" in second


# Measuring -----------------------------------------------------------------------------------------------------------


def test_contestants_take_turns_and_each_begins_a_round() -> None:
    calls: list[str] = []
    contest = Contest("turns", {name: partial(calls.append, name) for name in "abc"})
    samples = run(contest, 3, silent)
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab", "the first round is a warm-up"
    assert all(len(values) == 3 for measured in samples.values() for values in measured.values())


def test_more_work_takes_more_time() -> None:
    contest = Contest("sums", {"short": partial(sum, range(1_000)), "long": partial(sum, range(1_000_000))})
    samples = run(contest, 3, silent)
    for what in TIMES:
        assert ratios(samples["long"][what], samples["short"][what]).median > 10


def test_the_time_of_processes_that_a_job_starts_counts() -> None:
    def process(work: str) -> partial[subprocess.CompletedProcess[bytes]]:
        return partial(subprocess.run, [sys.executable, "-S", "-c", work], check=True)

    contest = Contest("processes", {"idle": process("pass"), "busy": process("sum(range(10_000_000))")})
    samples = run(contest, 3, silent)
    assert ratios(samples["busy"]["CPU time"], samples["idle"]["CPU time"]).median > 2


def test_a_fact_is_kept_once() -> None:
    samples = run(Contest("sums", {"short": partial(sum, range(10))}, facts={"short": {BOXES: 3}}), 2, silent)
    assert samples["short"][BOXES] == [3]
    assert {len(samples["short"][what]) for what in TIMES} == {2}


def test_there_may_be_facts_alone() -> None:
    assert run(Contest("facts", {}, facts={"a": {BOXES: 3}}), 2, silent) == {"a": {BOXES: [3]}}


def test_a_contest_that_takes_long_ends_with_the_fewest_rounds() -> None:
    samples = run(Contest("slow", {"only": partial(sleep, 0.001)}), 50, silent, seconds=0)
    assert len(samples["only"][WALL_TIME]) == FEWEST_ROUNDS


def test_a_short_job_runs_again_and_again_and_its_mean_counts() -> None:
    calls: list[str] = []
    samples = run(Contest("short", {"only": partial(calls.append, "x")}, least=0.01), 1, silent)
    assert len(calls) > 10
    assert samples["only"][WALL_TIME][0] < 0.01


def test_a_device_is_settled_before_each_reading_of_the_clock() -> None:
    done: list[str] = []
    run(Contest("device", {"job": partial(done.append, "job")}, settle=partial(done.append, "settled")), 1, silent)
    assert done == ["settled", "job", "settled"] * 2


@linux
def test_peak_memory_is_what_the_job_adds() -> None:
    size = 50 * 2**20
    measured = memory_of(partial(mul, b"x", size))
    assert size <= measured[PEAK] < 1.1 * size
    assert measured[MAPPED] < 0.1 * size


@linux
def test_a_job_that_fails_in_its_process_says_why() -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        memory_of(partial(divmod, 1, 0))


# The command ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark called `tiny`."""

    def contests(folder: Path) -> Iterator[Contest]:
        assert folder.is_dir()
        yield Contest("sums", {"short": partial(sum, range(10)), "long": partial(sum, range(1_000))}, group="all")

    module = ModuleType("benchmarks.tiny")
    monkeypatch.setattr(module, "contests", contests, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(BENCHMARKS, "tiny", "sums of numbers")


@pytest.mark.usefixtures("tiny")
def test_a_benchmark_prints_a_table_and_writes_its_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["tiny", "--repeat", "2", "-o", str(tmp_path / "results.json")])
    printed = capsys.readouterr()
    words = [line.split()[0] for line in printed.out.splitlines() if line]
    assert words == ["sums", "short", "long", "all,", "long"], "the mean of a group comes last"
    assert printed.err == "", "a pipe sees no progress"
    record = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    (contest,) = record["benchmarks"]["tiny"]
    assert record["repeat"] == 2
    assert contest["title"] == "sums"
    assert {len(contest["samples"][name][what]) for name in ("short", "long") for what in TIMES} == {2}


def test_every_benchmark_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--list"])
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    folder = Path(__file__).parent.parent / "benchmarks"
    runner = {"__init__", "__main__", "allocations", "contest", "fresh", "peers", "plot", "report"}
    assert set(listed) == {path.stem for path in folder.glob("*.py")} - runner


def test_an_unknown_benchmark_is_a_mistake_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["wights"])
    assert "no benchmark is called 'wights': there is check, drawing" in capsys.readouterr().err


@pytest.mark.usefixtures("tiny")
def test_the_samples_of_a_contestant_are_one_line_of_the_record(tmp_path: Path) -> None:
    main(["tiny", "--repeat", "3", "-o", str(tmp_path / "results.json")])
    lines = (tmp_path / "results.json").read_text(encoding="utf-8").splitlines()
    assert sum("time" in line and line.count(",") >= 2 for line in lines) == len(TIMES) * 2


@pytest.mark.usefixtures("tiny")
def test_a_plot_has_a_row_for_each_group_with_the_ratio(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    main(["tiny", "--repeat", "2", "--plot", str(tmp_path / "ratios.svg"), "-o", str(tmp_path / "results.json")])
    drawn = (tmp_path / "ratios.svg").read_text(encoding="utf-8")
    assert "all: long to short" in drawn
    (entry,) = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["benchmarks"]["tiny"]
    mean = mean_ratios([entry["samples"]], "long", "short", CPU_TIME).median
    assert f">{digits(mean)}<" in drawn


def test_a_plot_compares_what_was_measured_alike() -> None:
    timed = {"title": "job", "group": "", "samples": {"a": {CPU_TIME: [1.0]}, "b": {CPU_TIME: [2.0]}}}
    weighed = {"title": "job", "group": "", "samples": {"a": {PEAK: [1.0]}}}
    (row,) = plot.rows([timed, weighed], "cpu")
    assert (row.label, row.spread.median) == ("job: b to a", 2)


@pytest.mark.usefixtures("tiny")
def test_a_plot_that_cannot_be_drawn_is_refused_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=r"unknown format `\.bmp`"):
        main(["tiny", "--plot", str(tmp_path / "ratios.bmp")])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit, match=r"a plot needs the package `matplotlib`"):
        main(["tiny", "--plot", str(tmp_path / "ratios.svg")])
    assert capsys.readouterr().out == ""


def test_a_device_that_is_not_there_is_a_mistake_of_the_command_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for device, message in (
        ("cuda", "there is no device 'cuda': PyTorch finds no GPU"),
        ("tpu", "unknown device 'tpu'"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(["run", "--device", device])
        assert message in capsys.readouterr().err


def test_a_benchmark_that_uses_no_device_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(SystemExit, match="2"):
        main(["check", "--device", "cuda"])
    assert "'check' does not run on a device: " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["check", "drawing"])
def test_a_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchinfo", None)
    monkeypatch.setitem(sys.modules, "torchview", None)
    with pytest.raises(SystemExit, match=r"pip install 'netspec\[benchmarks\]'"):
        main([name])


# The contestants -----------------------------------------------------------------------------------------------------


def test_the_flop_counter_counts_the_same() -> None:
    assert by_netspec(NETWORK) == by_flop_counter(NETWORK)


def test_a_process_may_use_compiled_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    process("import sys; assert not sys.dont_write_bytecode")
    with pytest.raises(subprocess.CalledProcessError):
        process("import sys; assert sys.dont_write_bytecode")


def test_the_long_network_has_a_thousand_blocks_and_few_boxes() -> None:
    graph = netspec.loads(LONG_SPEC)
    blocks = [node for _, node in graph.walk() if node.kind == "bottleneck"]
    assert len(blocks) == 1000
    assert count_boxes(graph, "block") <= count_boxes(graph, "op") < 20
