"""What one process remembers from load to load changes nothing but the time: not for variants, nor for edited files."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import netspec
from netspec import Graph, Limits, SpecError
from netspec.catalog import Origin, find
from netspec.compiler import compile_source
from netspec.graph import Body
from netspec.limits import in_force, spent
from netspec.parse import _KEPT, KEPT
from netspec.source import read

ROOT = Path(__file__).parent.parent

WARNED = """\
netspec: 1
input: [3, 16, 16]
params: {width: 8, depth: 2, unused: 1}
blocks:
  unit:
    params: {planes: int, norm: batch_norm}
    graph: [{conv: [planes, 3], padding: same}, norm, relu]
graph:
  stem: {conv: [width, 3, 2]}
  units: {unit: width, repeat: depth}
  head: {conv: [width * 2, 1], groups: width // 4}
init:
  conv: {weight: {normal: {std: 1 / fan_in}}}
"""

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("resnet50", {}),
    ("resnet50", {"width_per_group": 128}),
    ("resnet50", {"width_per_group": 128, "groups": 2}),
    ("resnet50", {"groups": 7}),
    ("resnet50", {"layers": [1, 2, 1, 1], "num_classes": 10}),
    ("resnet50", {"input": [3, 64, 64]}),
    ("resnet50", {"input": [3, 2]}),
    ("resnet50", {"wdith": 3}),
    ("wide_resnet50_2", {"num_classes": 7}),
    ("mobilenet_v3_small", {"input": [3, 96, 96]}),
    ("vit_b_16", {}),
    (WARNED, {}),
    (WARNED, {"width": 16, "unused": 2}),
    (WARNED, {"width": 6}),
    (WARNED, {"width": True}),
    (WARNED, {"width": 8.0}),
    (WARNED, {"depth": 0}),
]

FRESH = """\
import json, os, sys
from tests.test_variants import VARIANTS, outcome
for number, (spec, parameters) in enumerate(VARIANTS):
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, json.dumps(outcome(spec, parameters)).encode())
        os._exit(0)
    os.close(write)
    print(os.fdopen(read).read())
    os.wait()
"""


def load(spec: str, parameters: dict[str, Any]) -> Graph:
    return netspec.loads(spec, **parameters) if "\n" in spec else netspec.load(spec, **parameters)


def outcome(spec: str, parameters: dict[str, Any]) -> str:
    """All that there is to see of a variant: a message, or a digest of the graph, which a pipe holds."""
    try:
        graph = load(spec, parameters)
    except SpecError as error:
        return str(error)
    places = [f"{path} {node.span} {node.target!r}" for path, node in graph.walk() if not isinstance(node.target, Body)]
    seen = [str(graph), *places, repr(graph.initializers), repr(graph.root.arguments), *map(str, graph.warnings)]
    shared = [id(node.target) for _, node in graph.walk() if isinstance(node.target, Body)]
    seen.append(str([shared.index(target) for target in shared]))
    return f"{graph!r} {hashlib.sha256(''.join(seen).encode()).hexdigest()}"


def test_variants_are_those_of_processes_that_load_nothing_else() -> None:
    done = subprocess.run([sys.executable, "-c", FRESH], cwd=ROOT, capture_output=True, check=True, text=True)
    fresh = list(map(json.loads, done.stdout.splitlines()))
    for _ in range(2):
        assert [outcome(*variant) for variant in VARIANTS] == fresh
    assert [outcome(*variant) for variant in reversed(VARIANTS)] == fresh[::-1]


def test_threads_may_load_variants_at_once() -> None:
    variants = [("resnet50", {"width_per_group": width}) for width in (40, 44, 48, 52)] * 3
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda variant: outcome(*variant), variants))
    assert found == [outcome(*variant) for variant in variants]


def test_an_edit_is_seen_even_if_time_and_size_of_the_file_stay(tmp_path: Path) -> None:
    file = tmp_path / "net.yaml"
    file.write_text("{netspec: 1, input: [3, 8, 8], graph: [{conv: [4, 3]}]}")
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    assert netspec.load(file).outputs["0"].shape == (4, 6, 6)
    file.write_text("{netspec: 1, input: [3, 8, 8], graph: [{conv: [5, 3]}]}")
    os.utime(file, ns=times)
    assert netspec.load(file).outputs["0"].shape == (5, 6, 6)


@pytest.mark.parametrize("word", ["extends: base.yaml", "imports: [base.yaml]"])
def test_an_edit_of_another_file_of_the_spec_is_seen(tmp_path: Path, word: str) -> None:
    def write(kernel: int) -> None:
        text = f"{{netspec: 1, input: [3, 8, 8], params: {{width: 4}}, graph: [{{conv: [width, {kernel}]}}]}}"
        (tmp_path / "base.yaml").write_text(text)

    file = tmp_path / "net.yaml"
    file.write_text(f"netspec: 1\n{word}\ninput: [3, 8, 8]\n" + ("" if "extends" in word else "graph: [{base: 4}]"))
    for kernel in (3, 5, 3):
        write(kernel)
        assert netspec.load(file).outputs["0"].shape == (4, 9 - kernel, 9 - kernel)
    (tmp_path / "base.yaml").unlink()
    with pytest.raises(SpecError, match=r"there is no file `base\.yaml`"):
        netspec.load(file)


def test_a_file_that_appears_beside_the_spec_takes_its_name(tmp_path: Path) -> None:
    file = tmp_path / "net.yaml"
    file.write_text("{netspec: 1, extends: lenet5}")
    shipped = netspec.load(file)
    (tmp_path / "lenet5.yaml").write_text("{netspec: 1, input: [8], graph: [identity]}")
    assert shipped.parameters > 0
    assert netspec.load(file).parameters == 0


def test_what_is_done_to_a_graph_does_not_reach_the_next() -> None:
    def parts(graph: Graph) -> list[Any]:
        nodes = [node for _, node in graph.walk()]
        bodies = [graph.root, *(node.target for node in nodes if isinstance(node.target, Body))]
        values = [value for node in nodes for value in (*node.inputs, *node.outputs)]
        return [graph, *nodes, *bodies, *values, *(body.arguments for body in bodies)]

    variants = VARIANTS[:2]
    for variant in variants:
        first, second = load(*variant), load(*variant)
        assert not set(map(id, parts(first))) & set(map(id, parts(second)))


@pytest.mark.parametrize("name", ["resnet50", "wide_resnet50_2", "googlenet"])
def test_every_load_pays_the_same(name: str) -> None:
    path, shown = find(name)
    paid = []
    for _ in range(3):
        with in_force(Limits(items=99_999)):  # which nothing has been loaded under
            compile_source(read(path, shown), Origin.of(path), name)
            paid.append(spent())
    assert paid[0] == paid[1] == paid[2] > 0


def test_limits_hold_for_a_spec_that_was_loaded_without() -> None:
    netspec.load("resnet50")
    for limits in (Limits(nodes=50), Limits(work=100), Limits(memory=1000), Limits(values=10), Limits(levels=1)):
        with pytest.raises(SpecError):
            netspec.load("resnet50", limits=limits)


def test_numbers_of_other_types_are_other_arguments() -> None:
    text = "{netspec: 1, input: [3, 8, 8], params: {size: {type: list, default: [3, 3]}}, graph: [{conv: [4, size]}]}"
    netspec.loads(text)
    for size in ([3.0, 3], [True, 3]):
        with pytest.raises(SpecError, match="`kernel_size` of `conv` must be"):
            netspec.loads(text, size=size)


def test_as_many_documents_are_kept_as_the_bound_says() -> None:
    for number in range(KEPT + 5):
        netspec.loads(f"{{netspec: 1, input: [{number + 1}], graph: [identity]}}")
    assert len(_KEPT) == KEPT
