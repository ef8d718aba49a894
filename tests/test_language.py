"""What each form of the language means: the graph that a spec becomes."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import netspec
from netspec import Body, Graph, SpecError

HEAD = "netspec: 1\nname: net\n"


def compiled(body: str, head: str = "input: [3, 32, 32]\n", **parameters: Any) -> Graph:
    return netspec.loads(HEAD + head + dedent(body), **parameters)


def paths(graph: Graph) -> list[str]:
    return [path for path, _ in graph.walk()]


def shapes(graph: Graph) -> dict[str, str]:
    return {path: ", ".join(map(str, node.output_types)) for path, node in graph.walk()}


def sources(graph: Graph, path: str) -> list[str]:
    return [value.name for value in graph.find(path).inputs]


def code_of(text: str, **parameters: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        compiled(text, **parameters)
    return [diagnostic.code for diagnostic in caught.value.diagnostics]


# Names and order -----------------------------------------------------------------------------------------------------


def test_a_list_is_a_chain_with_numbered_children() -> None:
    graph = compiled("graph: [{conv: [8, 3]}, relu, [batch_norm, relu]]")
    assert paths(graph) == ["0", "1", "2", "2.0", "2.1"]
    assert graph.root.form == "chain"


def test_a_mapping_names_its_children() -> None:
    graph = compiled("graph: {stem: {conv: [8, 3]}, act: relu}")
    assert paths(graph) == ["stem", "act"]
    assert sources(graph, "act") == ["stem"]


def test_dots_in_a_name_put_nodes_into_a_module_that_only_holds_them() -> None:
    graph = compiled(
        """
        graph:
          convs.0: {conv: [8, 1]}
          bns.0: batch_norm
          convs.1: {conv: [6, 1]}
          bns.1: batch_norm
        """
    )
    assert [node.name for node in graph.root.schedule] == ["convs.0", "bns.0", "convs.1", "bns.1"]
    assert paths(graph) == ["convs.0", "convs.1", "bns.0", "bns.1"]
    assert sources(graph, "convs.1") == ["bns.0"]
    assert graph.find("bns.1").kind == "batch_norm"
    for path in ("convs", "convs.2", "convs.0.weight", ""):
        with pytest.raises(KeyError):
            graph.find(path)


def test_what_a_module_holds_stands_together_at_every_level() -> None:
    graph = compiled("graph: {a.b.0: {conv: [8, 1]}, c: relu, a.d: relu, e: relu, a.b.1: relu}")
    assert paths(graph) == ["a.b.0", "a.b.1", "a.d", "c", "e"]


def test_names_with_dots_may_be_templates() -> None:
    graph = compiled(
        """
        graph:
          each:
            for: i in range(3)
            do:
              "convs.{i}": {from: x, conv: [8, 1]}
              "bns.{i}": {from: "convs.{i}", batch_norm: }
          add: {add: [bns.0, bns.1, bns.2]}
        """
    )
    assert paths(graph) == ["convs.0", "convs.1", "convs.2", "bns.0", "bns.1", "bns.2", "add"]
    assert [sources(graph, f"bns.{i}") for i in range(3)] == [["convs.0"], ["convs.1"], ["convs.2"]]


def test_an_absent_node_with_dots_passes_its_input_on() -> None:
    graph = compiled("graph: {a.0: {conv: [8, 1]}, a.1: {conv: [4, 1], if: false}, b: {add: [a.0, a.1]}}")
    assert sources(graph, "b") == ["a.0", "a.0"]


def test_a_merge_gets_a_name_that_no_branch_begins_with() -> None:
    graph = compiled("branches: {concat.0: {conv: [8, 1]}, concat.1: relu}\nmerge: concat\n")
    assert paths(graph) == ["concat.0", "concat.1", "concat_"]


def test_every_node_keeps_its_line() -> None:
    graph = compiled("graph:\n  stem: {conv: [8, 3]}\n  act: relu\n")
    assert [(node.span.line, node.span.column) for _, node in graph.walk()] == [(5, 10), (6, 8)]


def test_a_node_may_name_a_later_one_and_runs_after_it() -> None:
    graph = compiled(
        """
        graph:
          sum: {add: [late, x]}
          late: {from: x, conv: [3, 1]}
        outputs: sum
        """
    )
    assert [node.name for node in graph.root.schedule] == ["late", "sum"]
    assert [node.name for node in graph.root.nodes] == ["sum", "late"]


def test_the_default_input_is_the_node_before_in_the_file() -> None:
    graph = compiled("graph: {a: {conv: [8, 1]}, b: relu, c: relu}")
    assert sources(graph, "b") == ["a"]
    assert sources(graph, "c") == ["b"]


def test_a_parameter_is_never_the_default_input() -> None:
    graph = compiled(
        """
        graph:
          scale: {parameter: [3, 1, 1]}
          conv: {conv: [3, 1]}
          mul: {mul: [conv, scale]}
        """
    )
    assert sources(graph, "conv") == ["x"]
    assert list(graph.state()) == ["scale", "conv.weight", "conv.bias"]


# Conditions ----------------------------------------------------------------------------------------------------------


def test_an_absent_node_closes_up_a_list() -> None:
    graph = compiled("graph: [{conv: [8, 3]}, {batch_norm: , if: false}, relu]")
    assert [node.kind for _, node in graph.walk()] == ["conv", "relu"]
    assert paths(graph) == ["0", "1"]


def test_consumers_of_an_absent_node_see_its_own_input() -> None:
    graph = compiled("graph: {a: {conv: [8, 3]}, b: {batch_norm: , if: 1 > 2}, c: {add: [a, b]}}")
    assert sources(graph, "c") == ["a", "a"]


def test_an_absent_merge_passes_its_first_input_on() -> None:
    graph = compiled("graph: {a: {conv: [8, 3]}, b: {add: [a, x], if: false}, c: relu}")
    assert sources(graph, "c") == ["a"]


def test_a_condition_may_ask_for_shapes() -> None:
    text = """
        graph:
          conv: {conv: [channels, 3], padding: same}
          project: {from: x, if: x.channels != channels, conv: [channels, 1]}
          add: {add: [conv, project]}
        """
    head = "input: [3, 32, 32]\nparams: {channels: 3}\n"
    assert "project" not in paths(compiled(text, head))
    assert "project" in paths(compiled(text, head, channels=8))


def test_an_expression_may_ask_for_the_shape_of_a_node() -> None:
    graph = compiled("graph: {a: {conv: [8, 3]}, b: {conv: [a.channels * 2, 3]}, c: {conv: [input.channels, 1]}}")
    assert shapes(graph)["c"] == "16×28×28"


# Repeats and loops ---------------------------------------------------------------------------------------------------


def test_a_repeat_is_a_chain_of_copies_under_one_name() -> None:
    graph = compiled("graph: {stage: {repeat: 3, conv: [8, 3], stride: 2 if first else 1}}")
    assert paths(graph) == ["stage", "stage.0", "stage.1", "stage.2"]
    assert shapes(graph)["stage.2"] == "8×11×11"


def test_equal_copies_share_one_body() -> None:
    body = netspec.load("resnet50").find("layer3").target
    assert isinstance(body, Body)
    first, *others = [node.target for node in body.nodes]
    assert all(other is others[0] for other in others)
    assert first is not others[0]


def test_a_repeat_of_nothing_is_absent() -> None:
    assert paths(compiled("graph: {a: {repeat: 0, conv: [8, 3]}, b: relu}")) == ["b"]


def test_copies_can_have_names() -> None:
    graph = compiled('graph: {stage: {repeat: 2, name: "layer{i + 1}", conv: [8, 3]}}')
    assert paths(graph)[1:] == ["stage.layer1", "stage.layer2"]


def test_dense_copies_see_the_input_and_all_copies_before_them() -> None:
    graph = compiled("graph: {dense: {repeat: 3, connect: dense, conv: [4, 1]}}")
    assert shapes(graph)["dense"] == "15×32×32"
    widths = [graph.find(f"dense.{i}").input_types[0].channels for i in range(3)]
    assert widths == [3, 7, 11]


def test_what_joins_densely_wired_copies_gives_way_to_their_names() -> None:
    graph = compiled('graph: {dense: {repeat: 2, connect: dense, name: "concat{i + 1}", conv: [4, 1]}}')
    body = graph.find("dense").target
    assert isinstance(body, Body)
    assert [node.name for node in body.schedule] == ["concat1", "concat1_", "concat2", "concat2_"]


def test_a_loop_splices_into_a_list() -> None:
    graph = compiled("graph:\n  - for: c, k in [[8, 3], [16, 1]]\n    do: [{conv: [c, k]}, relu]\n  - flatten")
    assert [node.kind for _, node in graph.walk()] == ["conv", "relu", "conv", "relu", "flatten"]


def test_a_loop_in_a_graph_fills_in_names() -> None:
    graph = compiled('graph:\n  "conv{i}":\n    for: i in range(3)\n    conv: [8 * 2**i, 1]')
    assert shapes(graph) == {"conv0": "8×32×32", "conv1": "16×32×32", "conv2": "32×32×32"}


def test_a_loop_splices_named_nodes_into_a_graph() -> None:
    text = """
        graph:
          stages:
            for: i in range(2)
            do:
              "conv{i}": {conv: [8, 1]}
              "act{i}": relu
        """
    assert paths(compiled(text)) == ["conv0", "act0", "conv1", "act1"]


def test_the_variable_of_a_loop_wins_over_that_of_its_repeat() -> None:
    graph = compiled('graph:\n  "stage{i}":\n    for: i in [8, 16]\n    repeat: 2\n    conv: [i, 1]')
    assert shapes(graph)["stage16.0"] == "16×32×32"


def test_rows_may_be_unpacked_twice() -> None:
    graph = compiled("graph:\n  - for: k, (c, s) in enumerate([[8, 1], [16, 2]])\n    do: [{conv: [c + k, 1, s]}]")
    assert shapes(graph)["1"] == "17×16×16"


def test_a_schedule_differs_per_instance() -> None:
    graph = compiled("graph: {stage: {repeat: 3, mbconv: [3], drop: 0.3 * i / 2}}")
    rates = [graph.find(f"stage.{i}.stochastic_depth").target.p for i in range(3)]  # type: ignore[union-attr]
    assert rates == pytest.approx([0.0, 0.15, 0.3])


# Blocks --------------------------------------------------------------------------------------------------------------

RESIDUAL = """
blocks:
  residual:
    params: {channels: int, kernel: 3, act: relu}
    let: {half: channels // 2}
    graph:
      reduce: {conv: [half, 1]}
      act: act
      expand: {conv: [channels, kernel], padding: same}
      add: {add: [expand, x]}
"""


def test_a_block_takes_arguments_by_position_and_by_name() -> None:
    graph = compiled(RESIDUAL + "graph: {a: {residual: [3, 5], act: gelu}, b: {residual: 3, kernel: 1}}")
    assert shapes(graph)["a.reduce"] == "1×32×32"
    assert graph.find("a.act").kind == "gelu"
    assert graph.find("b.expand").target.kernel_size == 1  # type: ignore[union-attr]


def test_a_node_parameter_takes_a_node_with_arguments() -> None:
    graph = compiled("graph: [{conv_norm_act: [8, 3], norm: {batch_norm: , eps: 0.01}, act: {leaky_relu: 0.2}}]")
    assert graph.find("0.1").target.eps == 0.01  # type: ignore[union-attr]
    assert graph.find("0.2").target.negative_slope == 0.2  # type: ignore[union-attr]


def test_a_node_parameter_may_be_none() -> None:
    graph = compiled("graph: [{conv_norm_act: [8, 3], norm: none, act: none}]")
    assert paths(graph) == ["0", "0.0"]
    assert list(graph.state()) == ["0.0.weight", "0.0.bias"], "without norm there is a bias"


def test_a_node_is_passed_on_from_block_to_block() -> None:
    graph = compiled("graph: [{depthwise_separable: 8, act: {elu: 0.5}}]")
    assert graph.find("0.pointwise.2").target.alpha == 0.5  # type: ignore[union-attr]


def test_a_node_argument_is_read_where_it_is_written() -> None:
    text = "graph: {a: {repeat: 2, conv_norm_act: [8, 3], act: {leaky_relu: 0.1 * (i + 1)}}}"
    graph = compiled(text)
    slopes = [graph.find(f"a.{i}.2").target.negative_slope for i in range(2)]  # type: ignore[union-attr]
    assert slopes == pytest.approx([0.1, 0.2])


def test_a_name_parameter_takes_arguments_where_it_is_used() -> None:
    text = """
        blocks:
          activated:
            params: {act: {type: name, default: elu}}
            graph: [{act: 0.3}]
        graph: [activated, {activated: leaky_relu}]
        """
    graph = compiled(text)
    assert [node.kind for path, node in graph.walk() if "." in path] == ["elu", "leaky_relu"]


def test_a_block_of_one_node_adds_no_level() -> None:
    graph = compiled("blocks: {norm: {node: {batch_norm: 0.01}}}\ngraph: {a: norm}")
    assert paths(graph) == ["a"]
    assert graph.find("a").target.eps == 0.01  # type: ignore[union-attr]


def test_branches_read_one_input_and_are_merged() -> None:
    graph = compiled("graph: {a: {branches: {l: {conv: [4, 1]}, r: {conv: [6, 1]}}, merge: concat}}")
    assert shapes(graph)["a"] == "10×32×32"
    assert sources(graph, "a.r") == ["x"]


def test_an_inline_graph_has_its_own_input() -> None:
    text = "graph: {stem: {conv: [8, 1]}, inner: {graph: {a: {conv: [8, 1]}, add: {add: [a, x]}}}}"
    assert sources(compiled(text), "inner.add") == ["a", "x"]
    assert compiled(text).find("inner").input_types[0].channels == 8


def test_a_block_may_take_several_inputs_and_give_several_outputs() -> None:
    text = """
        blocks:
          cross:
            inputs: [a, b]
            graph:
              sum: {add: [a, b]}
              product: {mul: [a, b]}
            outputs: [sum, product]
        graph:
          left: {from: x, conv: [8, 1]}
          right: {from: x, conv: [8, 1]}
          cross: {from: [left, right], cross: }
          out: {concat: [cross.sum, cross.product]}
        """
    graph = compiled(text)
    assert shapes(graph)["out"] == "16×32×32"
    assert sources(graph, "out") == ["cross.sum", "cross.product"]


def test_blocks_can_be_imported_from_another_file(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "mine.yaml").write_text("netspec: 1\nblocks: {mine: {graph: [{conv: [8, 1]}]}}\n")
    (tmp_path / "parts" / "tail.yaml").write_text("netspec: 1\nparams: {n: 5}\ngraph: [flatten, {linear: n}]\n")
    text = "imports: [parts/mine.yaml, parts/tail.yaml]\ngraph: {a: mine, b: {tail: 7}}"
    graph = netspec.loads(HEAD + "input: [3, 8, 8]\n" + text, folder=tmp_path)
    assert graph.outputs["b"].shape == (7,)


def test_a_shipped_network_can_be_a_block() -> None:
    graph = compiled("imports: [resnet18]\ngraph: {backbone: {resnet18: , num_classes: 5}}")
    assert graph.outputs["backbone"].shape == (5,)
    assert "backbone.layer1.0.conv1.weight" in graph.state()


# Inputs, outputs, shared modules -------------------------------------------------------------------------------------


def test_several_inputs_have_names() -> None:
    head = "inputs: {image: [3, 8, 8], words: {shape: [5], dtype: int64}}\n"
    text = """
        graph:
          picture: {from: image, graph: [flatten, {linear: 4}]}
          text: {from: words, graph: [{embedding: [10, 4]}, {mean: 1}]}
          add: {add: [picture, text]}
        """
    graph = compiled(text, head)
    assert list(graph.inputs) == ["image", "words"]
    assert graph.outputs["add"].shape == (4,)


def test_outputs_may_be_a_dict() -> None:
    graph = compiled("graph: {a: {conv: [8, 1]}, b: relu}\noutputs: {dict: {features: a, out: b}}")
    assert list(graph.outputs) == ["features", "out"]
    assert graph.root.returns == "dict"


def test_training_only_outputs_vanish_outside_of_training() -> None:
    graph = netspec.load("googlenet")
    assert list(graph.outputs) == ["logits"]
    assert [o.name for o in graph.root.outputs] == ["logits", "aux_logits2", "aux_logits1"]


def test_a_training_only_node_runs_as_soon_as_its_input_exists() -> None:
    order = [node.name for node in netspec.load("googlenet").root.schedule]
    assert order.index("aux1") == order.index("inception4a") + 1


def test_training_only_cost_counts_for_parameters_and_not_for_macs() -> None:
    whole, lean = netspec.load("googlenet"), netspec.load("googlenet", aux_logits=False)
    assert whole.macs == lean.macs
    assert whole.parameters > lean.parameters


def test_a_module_called_again_shares_its_weights() -> None:
    head = "inputs: {left: [3, 8, 8], right: [3, 8, 8]}\n"
    text = "graph: {a: {from: left, conv: [8, 3]}, b: {from: right, call: a}, out: {concat: [a, b]}}"
    graph = compiled(text, head)
    assert list(graph.state()) == ["a.weight", "a.bias"]
    assert graph.parameters == 8 * 27 + 8
    assert graph.macs == 2 * 8 * 27 * 36


def test_one_of_several_outputs_is_named_behind_a_dot() -> None:
    graph = compiled("graph: {parts: {chunk: 3}, out: {concat: [parts.2, parts.0, parts.1]}}")
    assert sources(graph, "out") == ["parts.2", "parts.0", "parts.1"]


def test_an_output_is_named_behind_the_last_dot() -> None:
    text = "graph: {cut.0: {chunk: 3}, cut.1: {from: cut.0.2, relu: }, sum: {add: [cut.0.0, cut.0.1, cut.1]}}"
    graph = compiled(text)
    assert sources(graph, "cut.1") == ["cut.0.2"]
    assert sources(graph, "sum") == ["cut.0.0", "cut.0.1", "cut.1"]


def test_nodes_with_dots_in_their_names_are_returned_by_name() -> None:
    body = "graph: {heads.0: {conv: [8, 1]}, heads.1: {conv: [4, 1]}}\n"
    assert list(compiled(body + "outputs: heads.1").outputs) == ["heads.1"]
    assert list(compiled(body + "outputs: [heads.0, heads.1]").outputs) == ["heads_0", "heads_1"]
    assert list(compiled(body + "outputs: {dict: {a: heads.0, b: heads.1}}").outputs) == ["a", "b"]


def test_a_recurrent_op_gives_its_output_by_default() -> None:
    graph = compiled("graph: {rnn: {lstm: 16}, last: {select: [1, -1]}, out: {linear: 5}}", "input: [7, 8]\n")
    assert graph.find("last").input_types[0].shape == (7, 16)
    both = compiled("graph: {rnn: {lstm: 16}, out: {from: rnn.h, flatten: }}", "input: [7, 8]\n")
    assert both.outputs["out"].shape == (16,)


# Ranks ---------------------------------------------------------------------------------------------------------------


def test_one_spec_serves_sequences_pictures_and_volumes() -> None:
    text = "graph: [{conv: [8, 3]}, batch_norm, relu, {max_pool: 2}, {adaptive_avg_pool: 1}, flatten, {linear: 5}]"
    for shape in ([3, 20], [3, 20, 20], [3, 20, 20, 20]):
        assert compiled(text, input=shape).outputs["6"].shape == (5,)


# Extends -------------------------------------------------------------------------------------------------------------


def test_extends_overrides_parameters_and_nodes() -> None:
    text = "netspec: 1\nname: mine\nextends: resnet18\nparams: {layers: [1, 1, 1, 1]}\ngraph: {fc: {linear: 3}}\n"
    graph = netspec.loads(text)
    assert graph.name == "mine"
    assert graph.outputs["fc"].shape == (3,)
    assert "layer1.1.conv1.weight" not in graph.state()


def test_extends_reaches_into_nodes_by_path_and_removes_with_null() -> None:
    text = (
        "netspec: 1\nextends: alexnet\ngraph: {features.0: {conv: [32, 11, 4, 2]}, classifier.0: null, avgpool: null}\n"
    )
    graph = netspec.loads(text, input=[3, 224, 224])
    assert graph.find("features.0").output_types[0].channels == 32
    assert graph.find("classifier.0").kind == "linear"


BASE_WITH_DOTS = """
netspec: 1
input: [3, 8, 8]
graph:
  convs.0: {conv: [8, 1]}
  acts.0: [relu, relu]
  convs.1: {graph: {a.0: {conv: [8, 1]}, b: relu}}
"""


def varied(change: str, folder: Path) -> Graph:
    (folder / "base.yaml").write_text(BASE_WITH_DOTS)
    return netspec.loads(f"netspec: 1\nextends: base\ngraph:\n  {change}\n", folder=folder)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("convs.0: [silu]", "convs.0 convs.0.0 convs.1 convs.1.a.0 convs.1.b acts.0 acts.0.0 acts.0.1"),
        ("convs.0: null", "acts.0 acts.0.0 acts.0.1 convs.1 convs.1.a.0 convs.1.b"),
        ("acts.0.1: null", "convs.0 convs.1 convs.1.a.0 convs.1.b acts.0 acts.0.0"),
        ("convs.1.a.0: [silu]", "convs.0 convs.1 convs.1.a.0 convs.1.a.0.0 convs.1.b acts.0 acts.0.0 acts.0.1"),
        ("convs.1.a.1: silu", "convs.0 convs.1 convs.1.a.0 convs.1.a.1 convs.1.b acts.0 acts.0.0 acts.0.1"),
        ("convs.2: silu", "convs.0 convs.1 convs.1.a.0 convs.1.b convs.2 acts.0 acts.0.0 acts.0.1"),
    ],
)
def test_extends_changes_removes_and_appends_nodes_with_dots(change: str, expected: str, tmp_path: Path) -> None:
    assert paths(varied(change, tmp_path)) == expected.split()


@pytest.mark.parametrize("change", ["conv.0: relu", "convs.2.0: relu", "convs: null", "acts.0.2: relu"])
def test_a_path_with_dots_that_leads_nowhere_is_no_new_node(change: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        varied(change, tmp_path)
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["unknown-node"]


def test_extends_appends_new_nodes() -> None:
    graph = netspec.loads("netspec: 1\nextends: resnet18\ngraph: {probabilities: softmax}\n")
    assert list(graph.outputs) == ["probabilities"]


def test_a_short_default_keeps_the_declaration_it_overrides(tmp_path: Path) -> None:
    base = (
        "netspec: 1\ninput: [3, 8, 8]\nparams: {n: {type: int, default: 4, choices: [4, 8]}}\ngraph: [{conv: [n, 1]}]\n"
    )
    (tmp_path / "base.yaml").write_text(base)
    text = "netspec: 1\nextends: base\nparams: {n: 5}\n"
    with pytest.raises(SpecError) as caught:
        netspec.loads(text, folder=tmp_path)
    assert caught.value.diagnostics[0].code == "wrong-value"


# Parameters ----------------------------------------------------------------------------------------------------------


def test_parameters_are_checked_against_their_type() -> None:
    text = "graph: [{conv: [n, 3]}]"
    head = "input: [3, 8, 8]\nparams: {n: 4, names: {type: list, default: []}}\n"
    assert compiled(text, head, n=6).outputs["0"].channels == 6
    for wrong in ("many", 1.5, True, [4]):
        with pytest.raises(SpecError) as caught:
            compiled(text, head, n=wrong)
        assert caught.value.diagnostics[0].code in ("wrong-type", "unknown-name")


def test_a_parameter_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(SpecError) as caught:
        netspec.load("resnet50", num_class=10)
    assert caught.value.diagnostics[0].help == ("did you mean `num_classes`?",)


def test_a_python_caller_may_pass_nodes_by_name() -> None:
    graph = netspec.load("vgg16", norm="batch_norm")
    assert "features.1.running_mean" in graph.state()


def test_the_same_spec_gives_the_same_graph_twice() -> None:
    assert str(netspec.load("hybrid")) == str(netspec.load("hybrid"))


# Initialization ------------------------------------------------------------------------------------------------------


def assigned(graph: Graph) -> dict[str, str]:
    return {f"{a.path}.{a.parameter}": type(a.initializer).__name__ for a in graph.initializers}


def test_a_path_beats_an_op() -> None:
    text = """
        graph: {a: {conv: [8, 1]}, b: {conv: [8, 1]}}
        init: {conv: {weight: kaiming_normal, bias: zeros}, b: {weight: ones}}
        """
    found = assigned(compiled(text))
    assert (found["a.weight"], found["b.weight"], found["b.bias"]) == ("KaimingNormal", "Ones", "Zeros")


def test_a_block_brings_its_own_rules_and_the_network_can_overrule_them_by_path() -> None:
    text = """
        blocks: {mine: {graph: {conv: {conv: [8, 1]}}, init: {conv: {weight: ones}}}}
        graph: {a: mine, b: mine}
        init: {conv: {weight: zeros}, b.*: {weight: orthogonal}}
        """
    found = assigned(compiled(text))
    assert (found["a.conv.weight"], found["b.conv.weight"]) == ("Ones", "Orthogonal")


def test_initializer_arguments_may_use_the_layer_and_its_fans() -> None:
    rules = "{weight: {normal: {std: sqrt(2 / fan_in)}}, bias: {constant: out_channels}}"
    text = f"graph: [{{conv: [8, 3]}}]\ninit: {{conv: {rules}}}"
    std, value = (a.initializer for a in compiled(text).initializers)
    assert std.arguments()["std"] == pytest.approx((2 / 27) ** 0.5)
    assert value.arguments()["val"] == 8


# Expressions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 ** 3 + 1", 9),
        ("7 // 2 * 2", 6),
        ("-(3 - 5)", 2),
        ("8 if n > 3 else 4", 8),
        ("len(table) * 2", 4),
        ("table[1][0]", 5),
        ("sum(column(table, 1))", 6),
        ("sum(range(4)[:3])", 3),
        ("divisible(37, 8)", 40),
        ("divisible(9, 8)", 16),
        ("max(1, min(n, 3))", 3),
        ("round(2.6)", 3),
        ("ceil(n / 3)", 2),
        ("int(sqrt(n * 4))", 4),
        ("4 if n == 4 and not n > 5 else 1", 4),
        ("2 if n in [1, 4] else 1", 2),
        ("1 if 1 < n < 3 else 5", 5),
        ("0x10", 16),
    ],
)
def test_an_expression_gives(expression: str, value: int) -> None:
    head = "input: [3, 8, 8]\nparams: {n: 4, table: [[1, 2], [5, 4]], size: int}\n"
    text = f'let: {{v: "{expression}"}}\ngraph: [{{conv: [v, 1]}}]'
    assert compiled(text, head, size=1).outputs["0"].channels == value


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os')",
        "x.__class__",
        "().__class__.__bases__",
        "[c for c in range(3)]",
        "(lambda: 3)()",
        "open('/etc/passwd')",
        "n.bit_length()",
        "f'{n}'",
        "'a' * 1000000",
        "[0] * 1000000",
        "9 ** 9 ** 9",
        "1" * 5000,
        "(" * 300 + "1" + ")" * 300,
        "-" * 400 + "1",
        "range(10 ** 9)",
        "n := 3",
        "1e400",
        "n @ n",
        "1 << 60",
        "print(3)",
    ],
)
def test_an_expression_cannot_do(expression: str) -> None:
    text = f'params: {{n: 4}}\ngraph:\n  - conv:\n      - "{expression}"\n      - 1\n'
    assert code_of(text)
