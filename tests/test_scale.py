"""Large and deep networks: work grows with the network, and no command meets Python's limit of frames."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Thread
from time import process_time

import pytest

import netspec
from benchmarks.scale import LIMITS, LOOPED, NESTED, WRITTEN, exponent, stored_inputs
from netspec import SpecError
from netspec.recursion import MOST_FRAMES, deep_recursion
from tests.commands import Run

LEVELS = 500
HEAD = "netspec: 1\nname: scale\ninput: [8, 16, 16]\n"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


# Depth ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=NESTED)
def deep(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    spec = tmp_path / "deep.yaml"
    spec.write_text(NESTED[request.param](LEVELS), encoding="utf-8")
    return spec


def deepest(spec: Path) -> str:
    return max((path for path, _ in netspec.load(spec).walk()), key=lambda path: path.count("."))


def test_every_text_of_500_levels_is_checked_and_formatted(deep: Path, run: Run) -> None:
    assert run("check", str(deep))[0] == 0
    assert run("show", str(deep))[0] == 0
    assert run("fmt", "--check", str(deep))[0] in (0, 1), "it is formatted, or would be"


def test_every_command_takes_500_levels(run: Run, tmp_path: Path) -> None:
    spec, other = str(tmp_path / "deep.yaml"), str(tmp_path / "other.yaml")
    text = NESTED["recursive block"](LEVELS)
    Path(spec).write_text(text, encoding="utf-8")
    Path(other).write_text(text.replace("conv: [8, 1]", "conv: [8, 3, 1, 1]"), encoding="utf-8")
    path = deepest(Path(spec))
    assert path.count(".") == LEVELS
    assert len(run("summary", spec, "--depth", "all")[1].splitlines()) > 2 * LEVELS - 1
    assert path in run("summary", spec, "--format", "json")[1]
    for depth, file in (("stage", "stage.dot"), ("op", "op.dot"), ("block", "page.html"), ("op", "op.txt")):
        assert run("draw", spec, "--depth", depth, "-o", str(tmp_path / file))[0] == 0
    assert path in run("explain", spec, path)[1]
    assert run("diff", spec, other, "--exit-code")[0] == 1


def test_a_network_of_500_levels_is_built(deep: Path) -> None:
    graph = netspec.load(deep)
    names = [name for name, _ in graph.build(device="meta").named_parameters()]
    assert names == [key for key, state in graph.state().items() if state.trainable]
    assert max(name.count(".") for name in names) >= LEVELS - 1
    assert graph.select(deepest(deep)).root.size <= graph.root.size


def test_levels_beyond_the_limit_get_a_diagnostic() -> None:
    for make in NESTED.values():
        with pytest.raises(SpecError) as caught:
            netspec.loads(make(1_300))
        assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["too-deep"]


def test_the_limit_of_python_is_as_it_was_when_the_work_is_done() -> None:
    usual = sys.getrecursionlimit()
    assert usual < MOST_FRAMES
    with deep_recursion, deep_recursion:
        thread = Thread(target=netspec.loads, args=(NESTED["recursive block"](50),))
        thread.start()
        thread.join()
        assert sys.getrecursionlimit() == MOST_FRAMES, "somebody still needs it"
    assert sys.getrecursionlimit() == usual
    with pytest.raises(SpecError):
        netspec.loads(f"{HEAD}graph: [rellu]")
    assert sys.getrecursionlimit() == usual


# Size ----------------------------------------------------------------------------------------------------------------


def cost(work: Callable[[], object]) -> float:
    start = process_time()
    work()
    return process_time() - start


@pytest.mark.parametrize("name", WRITTEN)
def test_four_times_the_nodes_take_about_four_times_the_work(name: str) -> None:
    small, large = (WRITTEN[name](nodes) for nodes in (200, 800))
    assert netspec.loads(large, limits=LIMITS).root.size > 3.5 * netspec.loads(small, limits=LIMITS).root.size

    def load(text: str, turn: int) -> Callable[[], object]:
        return partial(netspec.loads, f"# {turn}, so that no text is one that was read before\n{text}", limits=LIMITS)

    ratios = [cost(load(large, turn)) / cost(load(small, turn)) for turn in range(2)]
    assert min(ratios) < 8, "16 would be quadratic"


@pytest.mark.parametrize("name", LOOPED)
def test_copies_share_what_they_are_made_of(name: str) -> None:
    def bodies(nodes: int) -> tuple[int, int]:
        graph = netspec.loads(LOOPED[name](nodes))
        return graph.root.size, len({id(node.target) for _, node in graph.walk()})

    (size, made), (larger, made_then) = bodies(1_100), bodies(11_000)
    assert larger > 5 * size
    assert made_then < 2 * made


def test_dense_wiring_stores_a_few_inputs_for_each_layer() -> None:
    assert [stored_inputs(copies) / copies for copies in (125, 500)] == [pytest.approx(3, abs=0.02)] * 2


def test_an_exponent_is_that_of_a_power() -> None:
    assert exponent({1_000: 3e-3, 10_000: 3e-1, 50_000: 7.5}) == pytest.approx(2)
    assert exponent({10: 1.0, 1_000: 2.0, 2_000: 4.0}) == pytest.approx(1), "small networks are left out"


# The order of nodes --------------------------------------------------------------------------------------------------


def test_nodes_written_backwards_run_in_the_order_they_need() -> None:
    count = 2_000
    lines = [f"  n{i}: {{from: {f'n{i + 1}' if i < count else 'x'}, relu: }}\n" for i in range(count + 1)]
    graph = netspec.loads(f"{HEAD}outputs: n0\ngraph:\n{''.join(lines)}")
    assert [node.name for node in graph.root.schedule] == [f"n{i}" for i in reversed(range(count + 1))]


def test_training_only_nodes_run_as_soon_as_they_can() -> None:
    graph = netspec.loads(
        f"{HEAD}outputs: {{main: c, aux: late}}\n"
        "graph:\n"
        "  late: {from: early, relu: , training_only: true}\n"
        "  a: {from: x, relu: }\n"
        "  b: relu\n"
        "  early: {from: a, relu: , training_only: true}\n"
        "  c: {from: b, relu: }\n"
    )
    assert [node.name for node in graph.root.schedule] == ["a", "early", "late", "b", "c"]


def wide_below_deep(levels: int, names: int) -> Iterator[str]:
    yield f"{HEAD}graph: {'[' * levels}{{graph: {{"
    yield ", ".join(f"n{i}: relu" for i in range(names))
    yield f"}}}}{']' * levels}\n"


@pytest.mark.parametrize(
    "text",
    [
        "".join(wide_below_deep(1_100, 5_000)),
        f"{HEAD}blocks:\n  b0: {{graph: [relu, relu]}}\n"
        + "".join(f"  b{i + 1}: {{graph: [b{i}, b{i}]}}\n" for i in range(40))
        + "graph: {a: b40, p: {max_pool: 2}, c: {call: a}}\n",
    ],
    ids=["many names below many levels", "an exponential block that is called again"],
)
def test_a_deep_spec_cannot_ask_for_endless_work(text: str) -> None:
    start = process_time()
    with pytest.raises(SpecError) as caught:
        netspec.loads(text)
    assert {diagnostic.code for diagnostic in caught.value.diagnostics} == {"network-too-large"}
    assert process_time() - start < 10
