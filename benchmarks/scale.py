"""Large and deep networks: how time and memory grow with the number of nodes, and with the levels of nesting.

Each network is made twice: written out node by node, and by loops, whose copies share what they are made of. Growth is
the exponent of a power of the size, by least squares of the logarithms: 1 is linear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import log
from pathlib import Path
from statistics import linear_regression

import netspec
import netspec.backends.module  # so that no job pays for an import
from benchmarks.contest import CPU_TIME, PEAK, Contest, Job, memory_of, time_of
from benchmarks.fresh import RESET_PEAK
from netspec.graph import Graph

SIZES = (100, 1_000, 10_000)
LARGEST = 50_000  # nodes, in a full run
LEVELS = (125, 250, 500)
COPIES = (125, 250, 500)  # of a densely wired layer

FEWEST = 900  # nodes of a network whose growth is measured
STAGES = 10
LIMITS = netspec.Limits(file_bytes=50_000_000, values=5_000_000, work=10**9, steps=1_000_000)

MEASURED_IN_MEMORY = ("check", "build on meta")

HEAD = "netspec: 1\nname: {name}\ninput: [8, 16, 16]\n"

Make = Callable[[int], str]
"""The text of a spec of about so many nodes, levels or copies."""


def contests(folder: Path, *, full: bool = False) -> Iterator[Contest]:
    """For each way to make a network: every job at every size, and how its time and memory grow."""
    sizes = (*SIZES, LARGEST) if full else SIZES
    for name, make in {**WRITTEN, **LOOPED}.items():
        yield growth(name, make, sizes, "nodes", folder)
    for name, make in NESTED.items():
        yield growth(name, make, LEVELS, "levels", folder)
    stored = {f"{copies} layers": {"inputs": stored_inputs(copies)} for copies in COPIES}
    yield Contest("dense wiring, what is stored", {}, facts=stored)


def growth(name: str, make: Make, sizes: Sequence[int], unit: str, folder: Path) -> Contest:
    """What every job takes for a network of each size; peak memory of the longest jobs at the two largest."""
    facts: dict[str, dict[str, float]] = {job: {} for job in JOBS}
    took: dict[str, dict[int, float]] = {job: {} for job in JOBS}
    used: dict[str, dict[int, float]] = {job: {} for job in JOBS}
    for size in sizes:
        spec = folder / f"{size}.yaml"
        spec.write_text(make(size), encoding="utf-8")
        graph = check(spec)
        reached = graph.root.size if unit == "nodes" else size
        for job, run in JOBS.items():
            took[job][reached] = time_of(alone(job, graph, spec))[CPU_TIME]
            facts[job][f"{size:,} {unit}, time"] = took[job][reached]
            if size in sizes[-2:] and job in MEASURED_IN_MEMORY and RESET_PEAK.exists():
                used[job][reached] = memory_of(partial(run, spec))[PEAK]
                facts[job][f"{size:,} {unit}, memory"] = used[job][reached]
    for job in JOBS:
        facts[job]["time exponent"] = exponent(took[job])
        if used[job]:
            facts[job]["memory exponent"] = exponent(used[job])
    return Contest(f"{name}, growth", {}, facts=facts)


def exponent(values: Mapping[int, float]) -> float:
    """The power of its key that a value grows with. Below `FEWEST` nodes, what does not grow weighs too much."""
    large = {size: value for size, value in values.items() if size >= FEWEST}
    fitted = large if len(large) > 1 else values
    return linear_regression(list(map(log, fitted)), list(map(log, fitted.values()))).slope


def stored_inputs(copies: int) -> int:
    """How many inputs the nodes of a densely wired block of so many layers have together."""
    graph = netspec.loads(HEAD.format(name="dense") + f"graph: [{{repeat: {copies}, connect: dense, conv: [4, 1]}}]\n")
    return sum(len(node.inputs) for _, node in graph.walk())


# Jobs ----------------------------------------------------------------------------------------------------------------


def check(spec: Path) -> Graph:
    graph = netspec.load(spec, limits=LIMITS)
    assert graph.parameters >= 0, "counted when asked for at the latest"
    return graph


def summarize(spec: Path) -> str:
    return check(spec).summary()


def draw(spec: Path) -> None:
    check(spec).draw(spec.with_suffix(".dot"), depth="stage")


def build(spec: Path) -> object:
    return check(spec).build(device="meta")


JOBS: dict[str, Callable[[Path], object]] = {
    "check": check,
    "summary": summarize,
    "stage-level drawing": draw,
    "build on meta": build,
}


def alone(job: str, graph: Graph, spec: Path) -> Job:
    """The job without the check that it begins with."""
    jobs: dict[str, Job] = {
        "check": partial(check, spec),
        "summary": graph.summary,
        "stage-level drawing": partial(graph.draw, spec.with_suffix(".dot"), depth="stage"),
        "build on meta": partial(graph.build, device="meta"),
    }
    return jobs[job]


# Networks ------------------------------------------------------------------------------------------------------------


def staged(name: str, stage: Callable[[int], Iterator[str]]) -> Make:
    """A spec of stages, each a mapping whose lines `stage` gives for so many nodes."""

    def make(nodes: int) -> str:
        stages = (
            f"  stage{i}:\n    graph:\n" + "".join(f"      {line}\n" for line in stage(max(2, nodes // STAGES)))
            for i in range(STAGES)
        )
        return HEAD.format(name=name) + "graph:\n" + "".join(stages)

    return make


def chain(nodes: int) -> Iterator[str]:
    for i in range(nodes // 2):
        yield f"conv{i}: {{conv: [{8 + i % 89}, 1]}}"
        yield f"act{i}: relu"
    yield "last: {conv: [8, 1]}"


def residual(nodes: int) -> Iterator[str]:
    before = "x"
    for i in range(max(1, nodes // 4)):
        yield f"wide{i}: {{from: {before}, conv: [{8 + i % 89}, 1]}}"
        yield f"narrow{i}: {{conv: [8, 1]}}"
        yield f"sum{i}: {{add: [narrow{i}, {before}]}}"
        yield f"act{i}: relu"
        before = f"act{i}"


def dense(nodes: int) -> Iterator[str]:
    before = "x"
    for i in range(max(1, nodes // 2)):
        if i % 50 == 49:
            yield f"squeeze{i}: {{conv: [{8 + i % 89}, 1]}}"
            before = f"squeeze{i}"
        yield f"conv{i}: {{from: {before}, conv: [{1 + i % 7}, 1]}}"
        yield f"join{i}: {{concat: [{before}, conv{i}]}}"
        before = f"join{i}"
    yield "last: {conv: [8, 1]}"


def inception(nodes: int) -> Iterator[str]:
    for i in range(max(1, nodes // 9)):
        yield f"mix{i}:"
        yield "  branches:"
        yield f"    small: {{conv: [{8 + i % 89}, 1]}}"
        yield f"    large: [{{conv: [{4 + i % 13}, 1]}}, relu, {{conv: [8, 3], padding: same}}]"
        yield "    pooled: {max_pool: [3, 1, 1]}"
        yield "  merge: concat"
        yield f"narrow{i}: {{conv: [8, 1]}}"


def looped(block: str, nodes_in_block: int) -> Callable[[int], Iterator[str]]:
    """A stage of copies of a block, in groups of at most 100."""

    def stage(nodes: int) -> Iterator[str]:
        copies = max(1, nodes // nodes_in_block)
        groups = -(-copies // 100)
        yield f"groups: {{repeat: {groups}, graph: [{{repeat: {-(-copies // groups)}, {block}}}]}}"

    return stage


RESIDUAL = "graph: {wide: {conv: [16, 1]}, narrow: {conv: [8, 1]}, sum: {add: [narrow, x]}, act: relu}"
DENSE = "graph: [{repeat: 50, connect: dense, conv: [2, 1]}, {conv: [8, 1]}]"
INCEPTION = (
    "graph: [{branches: {small: {conv: [8, 1]}, large: [{conv: [4, 1]}, relu, {conv: [8, 3], padding: same}], "
    "pooled: {max_pool: [3, 1, 1]}}, merge: concat}, {conv: [8, 1]}]"
)

WRITTEN: dict[str, Make] = {
    f"{stage.__name__}, written out": staged(stage.__name__, stage) for stage in (chain, residual, dense, inception)
}
LOOPED: dict[str, Make] = {
    "chain, by loops": staged("chain", looped("graph: [{conv: [8, 1]}, relu]", 3)),
    "residual, by loops": staged("residual", looped(RESIDUAL, 5)),
    "dense, by loops": staged("dense", looped(DENSE, 103)),
    "inception, by loops": staged("inception", looped(INCEPTION, 10)),
}


def recursive(levels: int) -> str:
    """A block that uses itself, until its parameter is used up."""
    block = "nest: {params: {depth: int}, graph: [{conv: [8, 1]}, {nest: depth - 1, if: depth > 1}]}"
    return HEAD.format(name="recursive") + f"blocks: {{{block}}}\ngraph: [{{nest: {levels}}}]\n"


def blocks(levels: int) -> str:
    """A chain of blocks, each with the next one in it."""
    inner = "".join(f"  nest{i}: {{graph: [{{conv: [8, 1]}}, nest{i + 1}]}}\n" for i in range(levels - 1))
    return HEAD.format(name="blocks") + f"blocks:\n{inner}  nest{levels - 1}: {{graph: [relu]}}\ngraph: [nest0]\n"


def groups(levels: int) -> str:
    """Groups written inside groups."""
    opened, closed = "{conv: {conv: [8, 1]}, nest: {graph: " * levels, "}}" * levels
    return HEAD.format(name="groups") + f"graph: {opened}[relu]{closed}\n"


NESTED: dict[str, Make] = {"recursive block": recursive, "block in block": blocks, "group in group": groups}
