"""Networks that nobody wrote: what holds for every spec holds for random ones."""

from __future__ import annotations

from typing import Any

import networkx
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import netspec
from netspec import SpecError
from netspec.backends.summary import to_summary
from netspec.catalog import shipped_specs
from tests.effort import examples

QUICK = examples(40)

CHANNELS = st.sampled_from([4, 6, 8])
SIMPLE = st.sampled_from(["relu", "batch_norm", "identity", {"dropout": 0.1}, {"group_norm": 2}, "gelu"])


def conv(channels: int, kernel: int, stride: int) -> dict[str, Any]:
    return {"conv": [channels, kernel, stride], "padding": "same"}


CONV = st.builds(conv, CHANNELS, st.sampled_from([1, 3, 5]), st.sampled_from([1, 1, 2]))
BLOCKS = st.one_of(
    st.builds(lambda c, s: {"basic_block": c, "stride": s}, CHANNELS, st.sampled_from([1, 2])),
    st.builds(lambda c, n: {"repeat": n, "bottleneck": c, "stride": "2 if first else 1"}, CHANNELS, st.integers(0, 3)),
    st.builds(lambda c: {"inception": [c] * 6}, CHANNELS),
    st.builds(lambda c, s: {"mbconv": [c, 3, s], "expand_ratio": 2}, CHANNELS, st.sampled_from([1, 2])),
    st.builds(lambda n: {"dense_block": [n, 4]}, st.integers(1, 3)),
    st.just({"squeeze_excitation": 2}),
    st.builds(lambda c: {"branches": {"a": conv(c, 1, 1), "b": conv(c, 3, 1)}, "merge": "add"}, CHANNELS),
)
NODES = st.recursive(
    st.one_of(CONV, SIMPLE, BLOCKS, st.just({"max_pool": [3, 2, 1]})),
    lambda inner: st.lists(inner, min_size=1, max_size=3),
    max_leaves=6,
)


@st.composite
def specs(draw: st.DrawFn) -> str:
    """A network of random nodes behind a convolution, some of them joined by shortcuts, and a classifier."""
    graph: dict[str, Any] = {"stem": conv(8, 3, 1)}
    for index, node in enumerate(draw(st.lists(NODES, max_size=5))):
        graph[f"node{index}"] = node
        if draw(st.booleans()):
            last = list(graph)[-1]
            graph[f"left{index}"] = {"from": last, **conv(6, 1, 1)}
            graph[f"right{index}"] = {"from": last, **conv(6, 3, 1)}
            graph[f"join{index}"] = {draw(st.sampled_from(["add", "mul", "concat"])): [f"left{index}", f"right{index}"]}
    graph |= {"pool": {"adaptive_avg_pool": 1}, "flatten": "flatten", "fc": {"linear": 3}}
    document = {"netspec": 1, "name": "random", "input": [3, 32, 32], "graph": graph}
    return yaml.safe_dump(document, sort_keys=False)


@QUICK
@given(specs())
def test_a_random_network_is_compiled_the_same_way_twice(text: str) -> None:
    assert str(netspec.loads(text)) == str(netspec.loads(text))


@QUICK
@given(specs())
def test_totals_equal_the_sum_of_the_rows(text: str) -> None:
    graph = netspec.loads(text)
    summary = to_summary(graph)
    assert (summary.parameters, summary.macs) == (graph.parameters, graph.macs)
    trained = sum(state.elements for state in graph.state().values() if state.trainable)
    assert graph.parameters == trained


@examples(20)
@given(specs())
def test_the_module_is_what_the_graph_says(text: str) -> None:
    graph = netspec.loads(text)
    module = graph.build(device="meta")
    built = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    assert list(built.items()) == [(key, state.shape) for key, state in graph.state().items()]
    shapes: dict[str, tuple[int, ...]] = {}
    for name, child in module.named_modules():
        child.register_forward_hook(
            lambda m, i, o, name=name: shapes.update({name: tuple(o.shape)} if isinstance(o, torch.Tensor) else {})
        )
    with FlopCounterMode(display=False) as counter:
        module.eval()(torch.empty(2, 3, 32, 32, device="meta"))
    assert counter.get_total_flops() == 2 * 2 * graph.macs
    for path, node in graph.walk():
        if path in shapes:
            assert shapes[path] == (2, *node.output_types[0].shape), path


@QUICK
@given(specs())
def test_the_networkx_graph_is_acyclic_and_connected(text: str) -> None:
    graph = netspec.loads(text).to_networkx()
    assert networkx.is_directed_acyclic_graph(graph)
    assert networkx.is_weakly_connected(graph)
    assert networkx.descendants(graph, "x") == set(graph) - {"x"}


WORDS = st.sampled_from(
    ["conv", "relu", "graph", "from", "x", "if", "repeat", "for", "do", "i in range(3)", "64", "-1", "add", "a", "~"]
)
JUNK = st.recursive(
    st.one_of(WORDS, st.integers(-5, 99), st.booleans(), st.none(), st.text(max_size=8), st.floats()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@examples(120)
@given(JUNK)
def test_whatever_stands_in_a_graph_the_outcome_is_a_graph_or_diagnostics(junk: Any) -> None:
    document = {"netspec": 1, "input": [3, 8, 8], "graph": {"a": {"conv": [4, 1]}, "b": junk}}
    outcome_is_a_graph_or_diagnostics(yaml.safe_dump(document, allow_unicode=True))


@examples(80)
@given(st.sampled_from(sorted(shipped_specs())), st.data())
def test_a_damaged_spec_is_a_graph_or_diagnostics(name: str, data: st.DataObject) -> None:
    text = shipped_specs()[name].read_text(encoding="utf-8")
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 12))
    outcome_is_a_graph_or_diagnostics(text[:start] + data.draw(st.text(max_size=4)) + text[start + length :])


@examples(80)
@given(st.text(alphabet="x.()[]+-*/%<>= ,0123456789abif else not and or in len range", max_size=40))
def test_whatever_the_expression_the_outcome_is_a_graph_or_diagnostics(expression: str) -> None:
    document = {"netspec": 1, "input": [3, 8, 8], "graph": [{"conv": [expression, 1]}]}
    outcome_is_a_graph_or_diagnostics(yaml.safe_dump(document))


def outcome_is_a_graph_or_diagnostics(text: str) -> None:
    try:
        graph = netspec.loads(text)
    except SpecError as error:
        if not error.diagnostics or not str(error):
            raise AssertionError("a failure without a message") from error
    else:
        assert str(graph)
        assert to_summary(graph).text()


def test_random_networks_are_not_all_alike() -> None:
    texts: set[str] = set()

    @settings(max_examples=20, deadline=None, database=None)
    @given(specs())
    def collect(text: str) -> None:
        texts.add(text)

    collect()
    assert len(texts) > 5
