"""What is legal but likely wrong: told where PyTorch agrees, and only there."""

from __future__ import annotations

import warnings
from pathlib import Path
from textwrap import indent

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import netspec
from netspec.backends.pictures.dot import to_dot
from netspec.backends.pictures.drawing import to_drawing
from netspec.backends.pictures.palette import LIGHT
from netspec.catalog import library_blocks, shipped_specs
from netspec.graph import Graph
from tests.commands import Run

DEAD_END = """
netspec: 1
input: [3, 8, 8]
graph:
  aside: {conv: [8, 3], padding: same}
  last: {conv: [4, 3]}
  parts: {from: x, chunk: 3}
  scale: {parameter: [4, 1, 1]}
  main: {from: x, conv: [4, 3]}
"""

USES = {
    "auxiliary_classifier": "{block: {auxiliary_classifier: 10}}",
    "basic_block": "{block: {basic_block: [16, 2]}}",
    "basic_conv": "{block: {basic_conv: 16}}",
    "bottleneck": "{block: {bottleneck: [4, 2]}}",
    "conv_norm_act": "{block: {conv_norm_act: 16}}",
    "dense_block": "{block: {dense_block: 3}}",
    "dense_layer": "{block: {dense_layer: 4}}",
    "depthwise_separable": "{block: {depthwise_separable: 16}}",
    "fire": "{block: {fire: [2, 4, 6]}}",
    "from_windows": "{cut: {window_partition: 4}, block: {from_windows: [4, 8, 8]}}",
    "fused_mbconv": "{block: {fused_mbconv: 8}}",
    "imagenet_to_inception": "{block: imagenet_to_inception}",
    "inception": "{block: {inception: [4, 2, 6, 2, 4, 4]}}",
    "inverted_residual": "{block: {inverted_residual: 8}}",
    "mbconv": "{block: {mbconv: 8}}",
    "mlp": "{block: {mlp: 16}}",
    "query_key_value": "{rows: {reshape: [4, 6, 32]}, linear: {linear: 12}, block: {query_key_value: 2},"
    " k: {from: block.key, relu: }, v: {from: block.value, relu: }, sum: {add: [block.query, k, v]}}",
    "relative_position_bias": "{table: {parameter: [9, 2]}, index: {relative_position_index: 2},"
    " block: {from: [table, index], relative_position_bias: },"
    " flat: {from: x, reshape: [24, 2, 4, 4]}, sum: {add: [flat, block]}}",
    "scaled_tanh": "{block: scaled_tanh}",
    "shuffle_unit": "{block: {shuffle_unit: 8}}",
    "squeeze_excitation": "{block: {squeeze_excitation: 2}}",
    "table_conv": "{block: {table_conv: [[[0, 1], [2, 3]], 3]}}",
    "to_windows": "{block: {to_windows: [4, 2, 2]}, key: {from: block.windows, transpose: [-2, -1]},"
    " scores: {matmul: [block.windows, key]}, heads: {unsqueeze: 2}, mask: {mask_segments: [heads, block.segments]}}",
    "transformer_block": "{rows: {reshape: [48, 16]}, block: {transformer_block: [2, 8]}}",
    "transition": "{block: transition}",
}
"""A network around each block of the library."""


def codes(text: str, folder: Path | None = None) -> list[str]:
    return [warning.code for warning in netspec.loads(text, folder=folder).warnings]


def network(graph: str, input: str = "[4, 8, 8]", rest: str = "") -> str:
    return f"netspec: 1\ninput: {input}\n{rest}graph: {graph}\n"


# Specs that ship -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped_specs())
def test_a_shipped_spec_has_no_warnings(name: str) -> None:
    assert netspec.load(name).warnings == ()


@pytest.mark.parametrize("name", library_blocks())
def test_a_block_of_the_library_has_no_warnings(name: str) -> None:
    block = library_blocks()[name].read_text(encoding="utf-8").removeprefix("netspec: 1\n")
    channels = 3 if name == "imagenet_to_inception" else 8
    text = network(USES[name], f"[{channels}, 8, 12]", f"blocks:\n  {name}:\n{indent(block, '    ')}")
    assert codes(text) == []


def test_another_input_can_be_a_mistake() -> None:
    (warning,) = netspec.load("vit_b_16", input=[3, 224, 225]).warnings
    assert (warning.code, warning.message) == ("dropped-columns", "`conv` reads 224×224 of 224×225")


# Tensors that nothing reads ------------------------------------------------------------------------------------------


def test_a_node_that_nothing_reads_runs_counts_and_has_its_keys() -> None:
    graph = netspec.loads(DEAD_END)
    assert {warning.code for warning in graph.warnings} == {"unused-node"}
    module = graph.build(seed=0)
    keys = [key.partition(".")[0] for key in module.state_dict()]
    assert list(dict.fromkeys(keys)) == ["scale", "aside", "last", "main"]
    with FlopCounterMode(display=False) as counter:
        result = module.eval()(torch.ones(1, 3, 8, 8))
    assert counter.get_total_flops() == 2 * graph.macs
    assert torch.equal(result, module.get_submodule("main")(torch.ones(1, 3, 8, 8)))


def test_every_backend_takes_a_node_that_nothing_reads() -> None:
    graph = netspec.loads(DEAD_END)
    assert "aside" in to_dot(to_drawing(graph), LIGHT)
    assert "aside" in graph.summary()
    assert "aside: conv(x" in str(graph)
    assert graph.to_networkx().out_degree("last") == 0
    assert [path for path, _ in graph.select("aside").walk()] == ["aside"]


def test_a_training_only_node_that_nothing_reads_runs_in_training() -> None:
    module = netspec.loads(
        network("{norm: {from: x, batch_norm: , training_only: true}, main: {from: x, relu: }}")
    ).build()
    module(torch.randn(2, 4, 8, 8))
    module.eval()(torch.randn(2, 4, 8, 8))
    assert module.get_buffer("norm.num_batches_tracked").item() == 1


def test_an_input_that_nothing_reads_changes_nothing() -> None:
    graph = netspec.loads("netspec: 1\ninputs: {a: [4], b: [4]}\ngraph: {out: {from: b, linear: 2}}\n")
    assert [warning.message for warning in graph.warnings] == ["nothing uses the input `a`"]
    module, b = graph.build(seed=0), torch.randn(1, 4)
    assert torch.equal(module(torch.zeros(1, 4), b), module(torch.ones(1, 4), b))


def test_an_input_whose_shape_is_asked_for_is_used() -> None:
    text = network(
        "{other: {conv: [6, 1]}, both: {from: [x, other], like: }}",
        rest=("blocks: {like: {inputs: [value, model], graph: {conv: {from: value, conv: [model.channels, 1]}}}}\n"),
    )
    assert codes(text) == []


def test_a_node_that_one_copy_reads_is_used() -> None:
    graph = "{a: {conv: [4, 1]}, b: {from: x, conv: [4, 1]}, sum: {if: i == 1, add: [b, a]}}"
    assert codes(network(f"{{stage: {{repeat: 2, graph: {graph}}}}}")) == []
    assert codes(network(f"{{stage: {{repeat: 1, graph: {graph}}}}}")) == ["unused-node", "constant-condition"]


# Names ---------------------------------------------------------------------------------------------------------------


def test_an_unused_parameter_changes_nothing_and_a_used_one_does() -> None:
    text = network("{conv: {conv: [width, 3], stride: 1}}", rest="params: {width: 8, stride: 1}\n")
    (warning,) = netspec.loads(text).warnings
    assert warning.message == "nothing uses the parameter `stride`"
    assert str(netspec.loads(text, stride=2)) == str(netspec.loads(text))
    assert str(netspec.loads(text, width=2)) != str(netspec.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        network("[{conv: [a, 1]}]", rest="params: {a: 8}\n"),
        network("[{conv: [b, 1]}]", rest="params: {a: 8, b: {type: int, default: a * 2}}\n"),
        network("[{conv: [b, 1]}]", rest="params: {a: 8}\nlet: {b: a * 2}\n"),
        network("[a]", rest="params: {a: relu}\n"),
        network("[{conv_norm_act: 8, act: {elu: , alpha: a}}]", rest="params: {a: 1.0}\n"),
        network("[{repeat: a, relu: }]", rest="params: {a: 2}\n"),
        network("[{repeat: 2, name: 'b{i + a}', relu: }]", rest="params: {a: 2}\n"),
        network("[{for: _ in range(a), relu: }]", rest="params: {a: 2}\n"),
        network("[{relu: , if: a}, silu]", rest="params: {a: true}\n"),
        network("{'b{a}': relu}", rest="params: {a: 2}\n"),
        network("[{conv: [8, 1]}]", rest="params: {a: 2.0}\ninit: {conv: {weight: {constant: a}}}\n"),
        network("[flatten]", input="[a, 8]", rest="params: {a: 2}\n"),
        network("[{a: }]", rest="params: {a: {type: name, default: relu}}\n"),
    ],
)
def test_a_parameter_may_be_used_anywhere(text: str) -> None:
    assert codes(text) == []


def test_a_block_that_is_handed_over_takes_what_it_is_given() -> None:
    blocks = "{wide: {params: [c], graph: [{conv: [c, 1]}]}, same: {params: [c], graph: [relu]}}"
    chosen = "params: {kind: {type: name, default: same, choices: [same, wide]}}\n"
    assert codes(network("[{kind: 8}]", rest=f"{chosen}blocks: {blocks}\n")) == []
    assert codes(network("[{same: 8}, {wide: 8}]", rest=f"blocks: {blocks}\n")) == ["unused-parameter"]


def test_a_number_with_the_name_of_an_op_hides_nothing() -> None:
    assert codes(network("[{dropout: dropout}]", rest="params: {dropout: 0.5}\n")) == []


def test_a_loop_variable_may_be_left_out_by_name() -> None:
    assert codes(network("[{for: '_, c in [[1, 8]]', conv: [c, 1]}, {for: '_skip in [1]', relu: }]")) == []


def test_other_files_are_their_own_business(tmp_path: Path) -> None:
    unused = "params: {unused: 1}\nlet: {also: 2}\n"
    parts = "blocks: {brick: {params: {c: 1}, graph: [{conv: [8, 1]}, batch_norm]}, lonely: {graph: [relu]}}\n"
    (tmp_path / "base.yaml").write_text(network("{a: {conv: [8, 1]}, b: batch_norm}", rest=unused + parts))
    assert codes((tmp_path / "base.yaml").read_text()).count("unused-parameter") == 2
    assert codes("netspec: 1\nextends: base.yaml\n", tmp_path) == []
    assert codes(network("[brick]", rest="imports: [base.yaml]\n"), tmp_path) == []
    assert codes("netspec: 1\nextends: base.yaml\nparams: {unused: 2}\n", tmp_path) == ["unused-parameter"]


# Bias before a norm --------------------------------------------------------------------------------------------------


def bias_has_an_effect(graph: Graph) -> bool:
    """Whether another bias of the module `a` changes what the network gives in training."""
    module = graph.build(seed=0).double()
    inputs = [torch.randn(3, *type.shape, dtype=torch.float64) for type in graph.inputs.values()]
    before = module(*inputs)
    nn.init.normal_(module.get_submodule("a").get_parameter("bias"))
    after = module(*inputs)
    pairs = zip(before, after, strict=True) if isinstance(before, tuple) else [(before, after)]
    return not all(torch.allclose(first, second, rtol=1e-6) for first, second in pairs)


@pytest.mark.parametrize(
    "text",
    [
        network("{a: {conv: [8, 3]}, b: batch_norm}"),
        network("{a: {conv: [8, 3]}, b: {batch_norm: , affine: false, track_running_stats: false}}"),
        network("{a: {conv: [8, 3], padding: same, groups: 4}, b: instance_norm, c: relu}"),
        network("{a: {conv_transpose: [8, 3]}, b: batch_norm}"),
        network("{a: {linear: 8}, b: batch_norm}", input="[4]"),
        network("{a: {linear: 8}, b: batch_norm}", input="[4, 6]"),
        network("{a: {conv: [8, 3]}, b: {group_norm: 2}}"),
        network("{a: {linear: 8}, b: layer_norm}", input="[4]"),
        network("{a: {conv: [8, 3]}, b: relu, c: batch_norm}"),
        network("{a: {conv: [4, 1]}, b: batch_norm, c: {add: [a, b]}}"),
        network("{a: {conv: [4, 1]}, b: batch_norm}", rest="outputs: [a, b]\n"),
        network("{a: {conv: [4, 1]}, b: batch_norm, c: {call: a}}"),
    ],
)
def test_a_bias_is_void_exactly_where_there_is_a_warning(text: str) -> None:
    graph = netspec.loads(text)
    assert [warning.code for warning in graph.warnings] == ([] if bias_has_an_effect(graph) else ["bias-before-norm"])


def test_a_bias_that_is_written_out_is_meant() -> None:
    assert codes(network("[{conv: [8, 3], bias: true}, batch_norm]")) == []


def test_a_bias_that_one_use_of_a_block_needs_is_none_too_many() -> None:
    blocks = "blocks: {brick: {params: {norm: node}, graph: [{conv: [4, 1]}, norm]}}\n"
    assert codes(network("[{brick: batch_norm}, {brick: none}]", rest=blocks)) == []
    assert codes(network("[{brick: batch_norm}, {brick: instance_norm}]", rest=blocks)) == ["bias-before-norm"]


# Columns that are dropped --------------------------------------------------------------------------------------------


def columns_read(graph: Graph) -> int:
    """How many positions of the input have a gradient."""
    module = graph.build().double()
    for parameter in module.parameters():
        nn.init.ones_(parameter)
    (type,) = graph.inputs.values()
    x = torch.rand(1, *type.shape, dtype=torch.float64, requires_grad=True)
    module(x).sum().backward()
    assert x.grad is not None
    return int((x.grad != 0).any(dim=1).sum())


@pytest.mark.parametrize("size", range(12, 18))
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 3), (4, 4), (2, 3), (3, 5)])
@pytest.mark.parametrize("op", ["conv: [4, {}, {}]", "avg_pool: [{}, {}]", "lp_pool: [2, {}, {}]"])
def test_the_columns_that_are_read_are_those_with_a_gradient(op: str, kernel: int, stride: int, size: int) -> None:
    graph = netspec.loads(network(f"[{{{op.format(kernel, stride)}}}]", input=f"[4, {size}]"))
    read = columns_read(graph)
    expected = [] if read == size else [f"`{graph.root.nodes[0].kind}` reads {read} of {size}"]
    assert [warning.message for warning in graph.warnings] == expected


@pytest.mark.parametrize(
    "node", ["{conv: [4, 2, 2], padding: 0}", "{conv: [4, 2, 2, 0]}", "{max_pool: 2, ceil_mode: false}"]
)
def test_a_padding_that_is_written_out_is_meant(node: str) -> None:
    assert codes(network(f"[{node}]", input="[4, 9]")) == []


@pytest.mark.parametrize(
    "node", ["{conv: [4, 1, 2]}", "{max_pool: [3, 2]}", "{conv: [4, 3, 2]}", "{conv: [4, 2, 3], dilation: 2}"]
)
def test_samples_and_windows_that_overlap_are_usual(node: str) -> None:
    graph = netspec.loads(network(f"[{node}]", input="[4, 8]"))
    assert columns_read(graph) < 8
    assert graph.warnings == ()


# Conditions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "graph",
    [
        "[{repeat: n, conv: [4, 1, 2 if i > 3 else 1]}]",  # another `n` may have more copies
        "[{for: 'i, c in enumerate(widths)', conv: [c, 1, 2 if i > 3 else 1]}]",
        "[{repeat: 3, conv: [4, 1, 2 if i > n else 1]}]",
        "[{repeat: 3, conv: [4, 1], if: n > 9}]",  # a switch
        "[{repeat: 3, conv: [4, 1], if: 1 > 2}]",
        "[{repeat: 3, conv: [4, 1, 2 if first else 1]}]",
        "[{for: i in range(2), repeat: i + 1, conv: [4, 1, 2 if i == 1 else 1]}]",
        "[{repeat: 2, graph: [{repeat: 4, conv: [4, 1, 2 if i == 3 else 1]}]}]",
    ],
)
def test_a_condition_that_can_be_both_is_none_too_many(graph: str) -> None:
    assert "constant-condition" not in codes(network(graph, rest="params: {n: 2, widths: [4, 4]}\n"))


@pytest.mark.parametrize(
    "graph",
    [
        "[{repeat: 3, conv: [4, 1, 2 if i > 2 else 1]}]",
        "[{repeat: 3, conv: [4, 1, 2 if i >= 0 else 1]}]",
        "[{repeat: 1, conv: [4, 1, 2 if first else 1]}]",
        "[{for: i in range(2), repeat: i + 1, conv: [4, 1, 2 if i == 2 else 1]}]",
        "[{repeat: n, graph: [{repeat: 4, conv: [4, 1, 2 if i == 4 else 1]}]}]",
        "[{for: i in range(3), do: [{conv: [4, 1], if: i > 2}, relu]}]",
        "[{repeat: 3, conv_norm_act: [4, 1], act: {elu: , alpha: 2.0 if i > 2 else 1.0}}]",
    ],
)
def test_a_condition_that_is_always_the_same_is_told(graph: str) -> None:
    assert codes(network(graph, rest="params: {n: 2}\n")).count("constant-condition") == 1


@pytest.mark.parametrize(
    "node",
    [
        "{for: 'a, b in [1, 2]', conv: [a, 1, b if a > 3 else 1]}",
        "{for: a in 4, conv: [a, 1, 2 if a > 3 else 1]}",
        "{for: a in range(10 ** 5), conv: [a, 1, 2 if a < 0 else 1]}",
        "{repeat: 1.5, conv: [4, 1, 2 if i > 3 else 1]}",
        "{repeat: -1, conv: [4, 1, 2 if i > 3 else 1]}",
        "{repeat: 10 ** 9, conv: [4, 1, 2 if i < 0 else 1]}",
        "{repeat: 2, conv: [4, 1, '2 if i[0] > 3 else 1']}",
        "{repeat: 2, conv: [4, 1, 2 if if else 1]}",
    ],
)
def test_what_is_wrong_in_a_block_that_nothing_uses_is_not_looked_at(node: str) -> None:
    assert codes(network("[relu]", rest=f"blocks: {{lonely: {{graph: [{node}]}}}}\n")) == ["unused-block"]


# Where warnings go ---------------------------------------------------------------------------------------------------


def test_load_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert netspec.loads(DEAD_END).warnings
    assert capsys.readouterr() == ("", "")


def test_check_shows_warnings_and_passes_unless_it_is_strict(run: Run) -> None:
    Path("dead_end.yaml").write_text(DEAD_END)
    status, out, err = run("check", "dead_end.yaml")
    assert (status, out.split(":")[1][:3]) == (0, " ok")
    assert err.count("warning[unused-node]: ") == 3
    assert run("check", "dead_end.yaml", "--strict")[0] == 1
    assert run("check", "lenet5", "--strict")[0] == 0


def test_other_commands_do_not_show_them(run: Run) -> None:
    Path("dead_end.yaml").write_text(DEAD_END)
    assert run("summary", "dead_end.yaml")[2] == ""


@pytest.mark.parametrize("format", ["json", "github", "sarif"])
def test_every_report_has_them(run: Run, format: str) -> None:
    Path("dead_end.yaml").write_text(DEAD_END)
    status, out, _ = run("check", "dead_end.yaml", "--format", format)
    assert status == 0
    assert "unused-node" in out


def test_warnings_are_in_the_order_of_the_file() -> None:
    lines = [warning.span.line for warning in netspec.loads(DEAD_END).warnings if warning.span]
    assert lines == [6, 7, 8]
