"""Graphs folded into short specs: the text compiles to the very network, and reads as if a person had written it."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import netspec
from netspec import Body, Graph, Node, SpecError, Value
from netspec.catalog import shipped_specs
from netspec.graph import Output
from netspec.importing.equality import equal
from netspec.importing.fold.blocks import BlockFinder
from netspec.importing.fold.fold import fold
from netspec.layout import tidy
from netspec.parts import DOCUMENT_KEYS
from netspec.source import read_text
from tests.test_random_networks import specs

SOME = ["alexnet", "crnn", "densenet121", "dla34", "efficientnet_b0", "googlenet", "lrcn", "mobilenet_v3_small"]
SOME += ["regnet_y_400mf", "resnet50", "shufflenet_v2_x1_0", "swin_t", "vgg16", "vit_b_16", "xception"]
OTHERS = [name for name in shipped_specs() if name not in SOME]

QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def stripped(graph: Graph) -> Graph:
    """The graph as one captured from a module is: each body for itself, and nothing known of the spec."""
    return Graph(graph.name, _copy(graph.root))


def _copy(body: Body) -> Body:
    values = {value: Value(value.name, value.type) for value in body.inputs}
    made: dict[str, Node] = {}
    for node in body.schedule:
        outputs = tuple(Value(value.name, value.type) for value in node.outputs)
        values |= dict(zip(node.outputs, outputs, strict=True))
        target = _copy(node.target) if isinstance(node.target, Body) else node.target
        inputs = tuple(values[value] for value in node.inputs)
        made[node.name] = Node(
            node.name, node.kind, target, inputs, outputs, node.span, node.training_only, node.shares
        )
    nodes = tuple(made[node.name] for node in body.nodes)
    schedule = tuple(made[node.name] for node in body.schedule)
    outputs_of_body = tuple(Output(output.name, values[output.value], output.training_only) for output in body.outputs)
    inputs_of_body = tuple(values[value] for value in body.inputs)
    kind = "sequential" if body.kind in ("chain", "repeat") else body.kind
    return Body(kind, body.form, inputs_of_body, nodes, schedule, outputs_of_body, body.span, body.returns)


def folded(text: str) -> str:
    """The text that the network of a spec folds into, which is that network."""
    graph = stripped(netspec.loads(text))
    result = fold(graph)
    assert equal(graph, netspec.loads(result)) is None
    return result


def of_graph(text: str) -> str:
    """The part of a text from `graph` on."""
    return text[text.index("\ngraph:") + 1 :]


# What a text is ------------------------------------------------------------------------------------------------------


def check_shipped(name: str) -> None:
    graph = stripped(netspec.load(name))
    text = fold(graph)
    again = netspec.loads(text)
    assert list(again.state().items()) == list(graph.state().items())
    assert (again.parameters, again.macs) == (graph.parameters, graph.macs)
    assert tidy(read_text(text), DOCUMENT_KEYS) == text
    assert again.warnings == ()
    assert len(text.splitlines()) <= 2 * written_lines(name)


def written_lines(name: str) -> int:
    """The lines of a spec, or of the longest that it extends."""
    lines = shipped_specs()[name].read_text(encoding="utf-8").splitlines()
    extended = [line.split()[1] for line in lines if line.startswith("extends:")]
    return max(len(lines), *(written_lines(other) for other in extended), 0)


@pytest.mark.parametrize("name", SOME)
def test_a_shipped_network_folds_into_at_most_twice_the_lines_that_a_person_wrote(name: str) -> None:
    check_shipped(name)


@pytest.mark.heavy
@pytest.mark.parametrize("name", OTHERS)
def test_any_shipped_network_folds_into_at_most_twice_the_lines_that_a_person_wrote(name: str) -> None:
    check_shipped(name)


@QUICK
@given(specs())
def test_a_random_network_folds_into_a_spec_of_itself(text: str) -> None:
    folded(text)


@QUICK
@given(st.randoms(use_true_random=False))
def test_a_random_network_of_random_blocks_folds_into_a_spec_of_itself(random: Random) -> None:
    blocks = [_random_block(random, number) for number in range(random.randint(1, 3))]
    graph = {}
    for number in range(random.randint(2, 6)):
        arguments = [random.choice([8, 16, 24]), random.choice([1, 3]), random.choice(["true", "false"])]
        use = {f"block{random.randrange(len(blocks))}": [*arguments, random.choice(["relu", "silu"])]}
        graph[f"stage{number}"] = {"repeat": random.randint(1, 3), **use}
    named = {f"block{number}": block for number, block in enumerate(blocks)}
    folded(yaml.safe_dump({"netspec": 1, "input": [8, 6, 6], "blocks": named, "graph": graph}, sort_keys=False))


def _random_block(random: Random, number: int) -> dict[str, Any]:
    """A block whose nodes read any before them, and may be absent; it may hold blocks with a smaller number."""
    kinds: list[Any] = [{"conv": [width, "k"], "padding": "same"} for width in ("c", "2 * c", "x.channels", 8)]
    kinds += [{"relu": None}, {"act": None}, {"batch_norm": None}, {"conv_norm_act": ["c", "k"]}]
    kinds += [{"graph": [{"conv": ["c", 1]}, "batch_norm", {"relu": None, "if": "flag"}]}]
    kinds += [{f"block{inner}": ["c", "k", "flag", "act"]} for inner in range(number)]
    graph: dict[str, Any] = {}
    for place in range(random.randint(1, 5)):
        node = {"from": random.choice(["x", *graph])} | random.choice(kinds)
        absent = {"if": random.choice(["flag", "k > 1", "x.channels != c"])} if random.random() < 0.3 else {}
        graph[f"node{place}"] = node | absent
    graph["last"] = {"conv": ["c", 1]}
    graph["side"] = {"from": "x", "if": "x.channels != c", "conv": ["c", 1]}
    graph["sum"] = {"add": ["last", "side"]}
    return {"params": {"c": "int", "k": "int", "flag": "bool", "act": "node"}, "graph": graph}


def test_the_text_is_the_same_each_time() -> None:
    graph = netspec.load("mobilenet_v2")
    assert fold(stripped(graph)) == fold(stripped(graph))


def test_resnet_50_reads_as_if_written_by_hand() -> None:
    assert fold(stripped(netspec.load("resnet50"))) == (
        "netspec: 1\n"
        "name: resnet50\n"
        "input: [3, 224, 224]\n"
        "params: {layers: [3, 4, 6, 3]}\n"
        "graph:\n"
        "  conv1: {conv: [64, 7, 2], padding: same, bias: false}\n"
        "  bn1: batch_norm\n"
        "  relu: relu\n"
        "  maxpool: {max_pool: [3, 2, 1]}\n"
        '  "layer{i + 1}":\n'
        "    for: i, depth in enumerate(layers)\n"
        "    repeat: depth\n"
        "    bottleneck: [64 * 2**i, 2 if i > 0 and first else 1]\n"
        "  avgpool: {adaptive_avg_pool: 1}\n"
        "  flatten: flatten\n"
        "  fc: {linear: 1000}\n"
    )


# What is left out, and what is found ---------------------------------------------------------------------------------


def test_numbers_that_differ_become_parameters_and_what_follows_from_them_an_expression() -> None:
    text = folded(
        "netspec: 1\ninput: [8, 32, 32]\n"
        "blocks:\n"
        "  lateral:\n"
        "    params: {out: int, reduction: 2}\n"
        "    graph: {down: {conv: [out // reduction, 1]}, up: {conv: [out, 3], padding: same}, act: relu}\n"
        "graph: {a: {lateral: 16}, b: {lateral: 24}, c: {lateral: 40}}\n"
    )
    assert (
        "  lateral:\n"
        "    params: [out_channels]\n"
        "    graph: {down: {conv: [out_channels, 1]}, up: {conv: [2 * out_channels, 3], padding: same}, act: relu}\n"
    ) in text


def test_a_shortcut_that_only_some_blocks_have_gets_a_condition() -> None:
    text = folded(
        "netspec: 1\ninput: [8, 32, 32]\n"
        "blocks:\n"
        "  unit:\n"
        "    params: {out: int}\n"
        "    graph:\n"
        "      body: {conv: [out, 3], padding: same}\n"
        "      side: {from: x, conv: [out, 1], if: x.channels != out}\n"
        "      sum: {add: [body, side]}\n"
        "graph: [{unit: 8}, {unit: 16}, {unit: 16}, {unit: 24}]\n"
    )
    assert "side: {from: x, conv: [out_channels, 1], if: x.channels != out_channels}\n" in text


def test_blocks_of_one_kind_without_a_common_form_become_several() -> None:
    text = folded(
        "netspec: 1\ninput: [8, 32, 32]\n"
        "blocks:\n"
        "  unit:\n"
        "    params: {wide: bool}\n"
        "    graph:\n"
        "      a: {conv: [8, 1]}\n"
        "      b: {from: x, conv: [8, 3], padding: same}\n"
        "      sum: {mul: [a, b], if: wide}\n"
        "      other: {sub: [b, a], if: not wide}\n"
        "      last: {from: other, relu: }\n"
        "graph: [{unit: true}, {unit: false}, {unit: true}, {unit: false}]\n"
    )
    assert "  unit:\n" in text


def test_another_activation_is_a_parameter_that_holds_a_node() -> None:
    text = folded(
        "netspec: 1\ninput: [8, 32, 32]\n"
        "blocks:\n"
        "  unit:\n"
        "    params: {act: relu}\n"
        "    graph: {conv: {conv: [8, 3]}, act: act}\n"
        "graph: {a: unit, b: {unit: {leaky_relu: 0.1}}, c: {unit: silu}}\n"
    )
    assert "    params: {act: node}\n" in text
    assert "act: {leaky_relu: 0.1}" in text


def test_rows_of_a_list_become_a_loop_over_a_table() -> None:
    text = folded(
        "netspec: 1\ninput: [3, 64, 64]\ngraph:\n"
        "  features:\n"
        "    - {for: 'width, kernel in [[12, 3], [20, 5], [24, 1], [60, 3]]',"
        " do: [{conv: [width, kernel], padding: same}, gelu]}\n"
    )
    assert "params: {stages: [[12, 3], [20, 5], [24, 1], [60, 3]]}\n" in text
    assert "channels, kernel in stages" in text


def test_names_with_dots_and_numbers_become_a_loop() -> None:
    text = folded(
        'netspec: 1\ninput: [8, 16, 16]\ngraph:\n  "blocks.{i}": {for: i in range(5), conv: [8, 3], padding: same}\n'
    )
    assert of_graph(text) == 'graph:\n  "blocks.{i}": {for: i in range(5), conv: [8, 3], padding: same}\n'


def test_stochastic_depth_that_grows_in_equal_steps_is_written_as_shares_of_its_rate() -> None:
    text = folded(
        "netspec: 1\ninput: [8, 16, 16]\ngraph:\n"
        "  deep:\n"
        "    repeat: 6\n"
        "    graph: {conv: {conv: [8, 1]}, drop: {stochastic_depth: 0.3 * i / 5}, sum: {add: [drop, x]}}\n"
    )
    assert "0.3 * i / 5" in text


def test_a_node_that_every_second_copy_has_is_told_by_the_number_of_the_copy() -> None:
    text = folded(
        "netspec: 1\ninput: [8, 16, 16]\n"
        "blocks:\n"
        "  unit:\n"
        "    params: {shifted: bool}\n"
        "    graph:\n"
        "      roll: {roll: [1, 1], if: shifted}\n"
        "      conv: {conv: [8, 3], padding: same}\n"
        "      back: {roll: [-1, 1], if: shifted}\n"
        "graph: {a: {repeat: 6, unit: i % 2 == 1}, b: {repeat: 2, unit: i % 2 == 1}}\n"
    )
    assert "a: {repeat: 6, unit: i % 2 == 1}" in text
    assert "b: {repeat: 2, unit: not first}" in text


def test_a_number_with_many_digits_is_written_as_the_fraction_that_it_is() -> None:
    text = folded("netspec: 1\ninput: [8, 4, 4]\ngraph: [{times: 2 / 3}, {times: 0.1}, {times: 64 ** -0.5}]\n")
    assert of_graph(text) == "graph:\n  - {times: 2 / 3}\n  - {times: 0.1}\n  - {times: 0.125}\n"


def test_a_bias_before_a_norm_is_written_out_so_that_nothing_warns() -> None:
    text = folded("netspec: 1\ninput: [3, 8, 8]\ngraph: [{conv: [8, 3], bias: true}, batch_norm, relu]\n")
    assert "bias: true" in text


def test_a_module_that_is_called_again_is_called_again() -> None:
    text = folded(
        "netspec: 1\ninput: [8, 8, 8]\ngraph:\n"
        "  conv: {conv: [8, 3], padding: same}\n"
        "  act: relu\n"
        "  again: {call: conv}\n"
        "  other: {call: act}\n"
    )
    assert "again: {call: conv}\n" in text
    assert "other: relu\n" in text  # no key tells it from the same one


@pytest.mark.parametrize(
    "outputs",
    [
        "outputs: [low, high]",
        "outputs: {fine: low, coarse: high}",
        "outputs: {dict: {a: low, b: high}}",
        "outputs: low",
    ],
)
def test_outputs_keep_their_names_and_kind(outputs: str) -> None:
    text = f"netspec: 1\ninput: [3, 16, 16]\ngraph: {{low: {{conv: [4, 1]}}, high: {{conv: [8, 3]}}}}\n{outputs}\n"
    assert outputs in folded(text)


def test_several_inputs_parameters_and_parts_for_training_alone_stay_what_they_are() -> None:
    text = folded(
        "netspec: 1\ninputs: {image: [3, 8, 8], tokens: {shape: [6], dtype: int64}}\ngraph:\n"
        "  look: [{conv: [8, 3]}, relu, global_avg_pool]\n"
        "  read: {from: tokens, embedding: [100, 8]}\n"
        "  meaning: {mean: 1}\n"
        "  scale: {parameter: [8]}\n"
        "  scaled: {mul: [meaning, scale]}\n"
        "  aux: {from: look, linear: 4, training_only: true}\n"
        "  joined: {concat: [look, scaled]}\n"
        "  fc: {linear: 4}\n"
        "outputs: {logits: fc, aux: aux}\n"
    )
    assert "inputs: {image: [3, 8, 8], tokens: {shape: [6], dtype: int64}}\n" in text
    assert "training_only: true" in text


@pytest.mark.parametrize("graph", ["[{conv: [4, 1]}, relu]", "{conv: {conv: [4, 1]}, sum: {add: [conv, image]}}"])
def test_an_input_keeps_its_name(graph: str) -> None:
    text = folded(f"netspec: 1\ninputs: {{image: [4, 8, 8]}}\ngraph: {graph}\n")
    assert "inputs: {image: [4, 8, 8]}\n" in text


def test_blocks_that_hold_their_own_kind_are_told_apart() -> None:
    folded(
        "netspec: 1\ninput: [8, 8, 8]\n"
        "blocks:\n"
        "  tree:\n"
        "    params: {depth: int}\n"
        "    graph:\n"
        "      leaf: {conv: [8, 3], padding: same, if: depth == 0}\n"
        "      left: {from: x, tree: depth - 1, if: depth > 0}\n"
        "      right: {tree: depth - 1, if: depth > 0}\n"
        "graph: [{tree: 2}, {tree: 1}, relu]\n"
    )


# Robustness ----------------------------------------------------------------------------------------------------------


def test_a_reading_that_is_not_the_network_gives_way_to_a_plainer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = stripped(netspec.load("resnet18"))
    find = BlockFinder.find

    def wrong(self: BlockFinder) -> object:
        return find(self) if self.plain else find(BlockFinder(netspec.load("alexnet").root, self.library))

    monkeypatch.setattr(BlockFinder, "find", wrong)
    text = fold(graph)
    assert equal(graph, netspec.loads(text)) is None
    assert "basic_block" not in text


def test_what_the_language_cannot_say_is_a_diagnostic() -> None:
    graph = stripped(netspec.loads("netspec: 1\ninput: [3, 8, 8]\ngraph: {conv: {conv: [8, 3]}}"))
    graph.root.nodes[0].name = "not a name"
    with pytest.raises(SpecError) as caught:
        fold(graph)
    assert caught.value.diagnostics[0].code == "cannot-import"


def test_the_time_grows_with_the_layers_and_not_with_their_square() -> None:
    def seconds(layers: int) -> float:
        text = (
            f"netspec: 1\ninput: [8, 8, 8]\ngraph: [{{for: i in range({layers}), do: [{{conv: [8, 1]}}, relu, gelu]}}]"
        )
        graph = stripped(netspec.loads(text))
        start = time.process_time()
        assert len(fold(graph).splitlines()) < 12
        return time.process_time() - start

    seconds(50)
    assert seconds(1200) < 10 * seconds(300)


# Equality ------------------------------------------------------------------------------------------------------------

BASE = "netspec: 1\ninput: [8, 8, 8]\ngraph:\n"


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ("  a: {conv: [8, 1]}\n", "  b: {conv: [8, 1]}\n", "`a.weight` is in the first alone"),
        ("  a: {conv: [8, 1]}\n", "  a: {conv: [9, 1]}\n", "`a.weight` is (8, 8, 1, 1) and (9, 8, 1, 1)"),
        ("  a: {conv: [8, 3, 1, 1]}\n", "  a: {conv: [8, 3]}\n", "`a` does something else"),
        (
            "  a: {conv: [8, 1]}\n  b: {from: x, conv: [8, 1]}\n",
            "  a: {conv: [8, 1]}\n  b: {conv: [8, 1]}\n",
            "`b` reads another value",
        ),
        ("  a: {conv: [8, 1]}\n  r: relu\n", "  a: {conv: [8, 1]}\n  r: gelu\n", "the outputs differ"),
        ("  a: {conv: [8, 1]}\n", "  a: {conv: [8, 1]}\n  b: {call: a}\n", "the outputs differ"),
        (
            "  a: {conv: [8, 1]}\n  s: {from: x, relu: }\n  b: {from: a, batch_norm: }\n",
            "  a: {conv: [8, 1]}\n  b: {from: a, batch_norm: }\n",
            "there are other ops without a state",
        ),
    ],
)
def test_the_first_difference_is_told(first: str, second: str, difference: str) -> None:
    assert equal(netspec.loads(BASE + first), netspec.loads(BASE + second)) == difference


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("  a: {conv: [8, 3], padding: 1}\n", "  a: {conv: [8, [3, 3]], padding: same}\n"),
        ("  a: {conv: [8, 1]}\n  r: relu\n", "  a: {conv: [8, 1]}\n  other: {graph: {act: relu}}\n"),
        ("  a: {conv: [8, 1]}\n  s: {add: [a, x]}\n", "  a: {conv: [8, 1]}\n  s: {add: [x, a]}\n"),
        (
            "  a: {conv: [8, 1]}\n  s: {concat: [x, a]}\n  t: {concat: [s, a]}\n",
            "  a: {conv: [8, 1]}\n  t: {concat: [x, a, a]}\n",
        ),
    ],
)
def test_what_makes_no_difference_is_none(first: str, second: str) -> None:
    assert equal(netspec.loads(BASE + first), netspec.loads(BASE + second)) is None
