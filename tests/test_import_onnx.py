"""ONNX files become graphs: under the names of the file, with its weights, and with what onnxruntime computes."""

from __future__ import annotations

import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchvision
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import netspec
from netspec import Graph, SpecError
from netspec.importing.equality import equal
from netspec.importing.fold.fold import fold
from netspec.importing.onnx.check import check_onnx
from netspec.importing.onnx.file import from_onnx
from tests.commands import Run

RANDOM = np.random.default_rng(0)


def random(*shape: int) -> np.ndarray[Any, Any]:
    return RANDOM.standard_normal(shape).astype(np.float32)


def save(
    path: Path,
    nodes: list[Any],
    weights: dict[str, np.ndarray[Any, Any]],
    shape: tuple[int | str, ...] = ("batch", 4, 9, 8),
    outputs: tuple[str, ...] = ("y",),
    opset: int = 20,
) -> Path:
    """A file with one input `image` of that shape."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), path)
    return path


def compared(path: Path, batch: int = 2) -> Graph:
    """The graph of a file that onnxruntime computes the same of, as it is and after it was folded into a spec."""
    graph, weights = from_onnx(path)
    assert {key: tuple(value.shape) for key, value in weights.items()} == {
        key: state.shape for key, state in graph.state().items() if not key.endswith("num_batches_tracked")
    }
    assert equal(graph, netspec.loads(fold(graph))) is None
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(batch, *type.shape, generator=generator) for type in graph.inputs.values()]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    expected = session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})
    found = graph.build(weights=weights).eval()(*inputs)
    for value, theirs in zip(found.values() if isinstance(found, dict) else [found], expected, strict=True):
        np.testing.assert_allclose(value.detach().numpy(), theirs, rtol=1e-4, atol=1e-5)
    return graph


def mistakes(path: Path) -> list[str]:
    with pytest.raises(SpecError) as error:
        from_onnx(path)
    places = [mistake.at.removeprefix(str(path)).removeprefix(": ") for mistake in error.value.diagnostics]
    return [
        f"{mistake.code}: {mistake.message}" + (f" at {place}" if place else "")
        for mistake, place in zip(error.value.diagnostics, places, strict=True)
    ]


# Files of PyTorch ----------------------------------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels * stride, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels * stride)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels * stride, channels * stride, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels * stride)
        self.downsample = nn.Sequential(nn.Conv2d(channels, channels * stride, 1, stride)) if stride > 1 else None

    def forward(self, x: torch.Tensor) -> Any:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardswish(), nn.MaxPool2d(2))
        self.layers = nn.Sequential(Block(4, 1), Block(4, 2), Block(8, 1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> Any:
        return self.fc(torch.flatten(self.pool(self.layers(self.stem(x))), 1))


def residual() -> nn.Module:
    torch.manual_seed(0)
    module = Residual().eval()
    for buffer in module.buffers():
        if buffer.dtype == torch.float32:
            buffer.uniform_(0.5, 1.5)
    return module


def exported(module: nn.Module, path: Path, size: int = 18, **options: Any) -> Path:
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(module, (torch.zeros(2, 3, size, size),), str(path), dynamo=False, **options)
    return path


def test_a_file_of_pytorch_has_the_keys_and_weights_of_its_module(tmp_path: Path) -> None:
    module = residual()
    keeping: dict[str, Any] = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    path = exported(module, tmp_path / "residual.onnx", **keeping)
    compared(path)
    graph, weights = from_onnx(path)
    assert list(graph.state()) == list(module.state_dict())
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in weights.items())
    assert [path for path, node in graph.walk() if node.kind == "block"] == ["layers.0", "layers.2"]


def test_batch_norms_that_the_file_has_folded_stay_folded(tmp_path: Path) -> None:
    graph = compared(exported(residual(), tmp_path / "residual.onnx"))
    assert not [path for path, node in graph.walk() if node.kind == "batch_norm"]
    assert "layers.1.conv1.bias" in graph.state()


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["resnet18", "googlenet", "densenet121", "mobilenet_v3_small", "efficientnet_b0"])
def test_a_file_of_a_torchvision_model_has_its_keys(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = {"init_weights": False} if name == "googlenet" else {}
    module = torchvision.models.get_model(name, weights=None, **options)
    module(torch.randn(4, 3, 64, 64))  # the statistics of its batch norms keep signals alive
    keeping: dict[str, Any] = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    path = exported(module.eval(), tmp_path / f"{name}.onnx", 64, **keeping)
    graph = compared(path)
    kept = [key for key in module.state_dict() if not key.startswith("aux")]
    assert sorted(graph.state()) == sorted(kept)


def test_the_length_of_the_batch_may_be_free(tmp_path: Path) -> None:
    path = exported(residual(), tmp_path / "free.onnx", input_names=["x"], dynamic_axes={"x": {0: "n"}})
    compared(path, batch=3)


# Operators -----------------------------------------------------------------------------------------------------------


def node(operator: str, *constants: str, inputs: tuple[str, ...] = ("image",), **attributes: Any) -> Any:
    return helper.make_node(operator, [*inputs, *constants], ["y"], operator, **attributes)


def number(value: float) -> np.ndarray[Any, Any]:
    return np.array(value, np.float32)


def integers(*numbers: int) -> np.ndarray[Any, Any]:
    return np.array(numbers, np.int64)


OPERATORS: dict[str, tuple[Any, dict[str, np.ndarray[Any, Any]]]] = {
    "conv": (node("Conv", "w", "b", strides=[2, 1], pads=[1, 0, 1, 0]), {"w": random(6, 4, 3, 2), "b": random(6)}),
    "conv with margins on one side": (node("Conv", "w", pads=[0, 1, 2, 0], group=2), {"w": random(6, 2, 3, 2)}),
    "conv that keeps the size": (node("Conv", "w", auto_pad="SAME_UPPER", strides=[2, 2]), {"w": random(6, 4, 3, 3)}),
    "conv that keeps the size below": (node("Conv", "w", auto_pad="SAME_LOWER"), {"w": random(6, 4, 2, 2)}),
    "conv_transpose": (
        node("ConvTranspose", "w", "b", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 0], group=2),
        {"w": random(4, 3, 3, 3), "b": random(6)},
    ),
    "max_pool": (node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1), {}),
    "avg_pool": (node("AveragePool", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 1, 1, 1]), {}),
    "avg_pool that counts margins": (
        node("AveragePool", kernel_shape=[3, 2], pads=[1, 0, 1, 1], count_include_pad=1),
        {},
    ),
    "global pools": (node("GlobalMaxPool"), {}),
    "mean of the axes": (node("ReduceMean", "axes", keepdims=0), {"axes": integers(2, 3)}),
    "mean of the channels": (node("ReduceMean", "axes"), {"axes": integers(1)}),
    "greatest": (node("ReduceMax", "axes"), {"axes": integers(-1)}),
    "batch_norm": (
        node("BatchNormalization", "s", "b", "m", "v", epsilon=1e-3),
        {"s": random(4), "b": random(4), "m": random(4), "v": random(4) ** 2},
    ),
    "instance_norm": (node("InstanceNormalization", "s", "b"), {"s": random(4), "b": random(4)}),
    "layer_norm": (node("LayerNormalization", "s", "b", axis=2), {"s": random(9, 8), "b": random(9, 8)}),
    "local_response_norm": (node("LRN", size=3, alpha=0.1, bias=2.0), {}),
    "relu6": (node("Clip", "least", "most"), {"least": number(0), "most": number(6)}),
    "clamp": (node("Clip", "least"), {"least": number(-0.5)}),
    "hardsigmoid": (node("HardSigmoid", alpha=1 / 6), {}),
    "hardswish": (node("HardSwish"), {}),
    "gelu": (node("Gelu", approximate="tanh"), {}),
    "leaky_relu": (node("LeakyRelu", alpha=0.2), {}),
    "prelu": (node("PRelu", "slope"), {"slope": random(4, 1, 1)}),
    "softmax": (node("Softmax", axis=1), {}),
    "dropout": (node("Dropout"), {}),
    "sum with a tensor": (node("Add", "shift"), {"shift": random(4, 1, 1)}),
    "difference from a number": (node("Sub", inputs=("one", "image")), {"one": number(1)}),
    "product with a number": (node("Mul", "factor"), {"factor": number(3)}),
    "quotient": (node("Div", "divisor"), {"divisor": number(4)}),
    "product with itself": (node("Mul", inputs=("image", "image")), {}),
    "matmul": (node("MatMul", "w"), {"w": random(8, 3)}),
    "flatten": (node("Flatten"), {}),
    "reshape": (node("Reshape", "shape"), {"shape": integers(0, 2, 2, -1)}),
    "transpose": (node("Transpose", perm=[0, 2, 3, 1]), {}),
    "unsqueeze": (node("Unsqueeze", "axes"), {"axes": integers(1, -1)}),
    "slice": (
        node("Slice", "starts", "ends", "axes", "steps"),
        {"starts": integers(1, 0), "ends": integers(3, 2**63 - 1), "axes": integers(1, 3), "steps": integers(1, 2)},
    ),
    "select": (node("Gather", "index", axis=2), {"index": np.array(4)}),
    "pad": (node("Pad", "pads", "", mode="reflect"), {"pads": integers(0, 0, 1, 2, 0, 0, 0, 1)}),
    "pixel_shuffle": (node("DepthToSpace", blocksize=2, mode="CRD"), {}),
    "upsample": (
        node("Resize", "", "scales", mode="linear", coordinate_transformation_mode="half_pixel"),
        {"scales": np.array([1, 1, 2, 2], np.float32)},
    ),
    "upsample twice": (
        node("Resize", "", "scales", coordinate_transformation_mode="asymmetric"),
        {"scales": np.array([1, 1, 2, 2], np.float32)},
    ),
    "upsample with corners": (
        node("Resize", "", "", "sizes", mode="linear", coordinate_transformation_mode="align_corners"),
        {"sizes": integers(2, 4, 5, 20)},
    ),
    "upsample by cubes": (node("Resize", "", "", "sizes", mode="cubic"), {"sizes": integers(2, 4, 5, 20)}),
    "softplus": (node("Softplus"), {}),
    "sum of three": (node("Sum", inputs=("image", "image", "image")), {}),
    "upsample to a size": (
        node("Resize", "", "", "sizes", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        {"sizes": integers(2, 4, 12, 11)},
    ),
}


@pytest.mark.parametrize("case", OPERATORS)
def test_an_operator_computes_what_it_does_in_onnxruntime(case: str, tmp_path: Path) -> None:
    made, weights = OPERATORS[case]
    compared(save(tmp_path / "small.onnx", [made], weights))


def test_a_product_with_a_matrix_and_the_sum_behind_it_are_one_layer(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["image", "onnx::1"], ["product"], "/head/fc/MatMul"),
        helper.make_node("Add", ["head.fc.bias", "product"], ["y"], "/head/fc/Add"),
    ]
    graph = compared(save(tmp_path / "a.onnx", nodes, {"onnx::1": random(8, 3), "head.fc.bias": random(3)}))
    assert list(graph.state()) == ["head.fc.weight", "head.fc.bias"]


def test_activations_in_parts_are_put_together(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Sigmoid", ["image"], ["gate"], "/act/Sigmoid"),
        helper.make_node("Mul", ["image", "gate"], ["a"], "/act/Mul"),
        helper.make_node("Div", ["a", "root"], ["scaled"], "/gelu/Div"),
        helper.make_node("Erf", ["scaled"], ["erf"], "/gelu/Erf"),
        helper.make_node("Add", ["erf", "one"], ["sum"], "/gelu/Add"),
        helper.make_node("Mul", ["a", "sum"], ["product"], "/gelu/Mul"),
        helper.make_node("Mul", ["product", "half"], ["y"], "/gelu/Mul_1"),
    ]
    numbers = {"root": number(2**0.5), "one": number(1), "half": number(0.5)}
    graph = compared(save(tmp_path / "a.onnx", nodes, numbers))
    assert [(path, node.kind) for path, node in graph.walk()] == [("act", "silu"), ("gelu", "gelu")]


def test_shapes_that_nodes_calculate_are_known(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Shape", ["image"], ["height"], start=2, end=3),
        helper.make_node("Gather", ["shape", "zero"], ["length"], axis=0),
        helper.make_node("Unsqueeze", ["length", "front"], ["first"]),
        helper.make_node("Mul", ["height", "eight"], ["some"]),
        helper.make_node("Concat", ["first", "some", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["image", "target"], ["y"]),
    ]
    weights = {"zero": np.array(0), "front": integers(0), "eight": integers(8), "rest": integers(-1)}
    graph = compared(save(tmp_path / "a.onnx", nodes, weights))
    assert [str(node.output_types[0]) for _, node in graph.walk()] == ["72×4"]


# The command and its check --------------------------------------------------------------------------------------------


def test_the_command_prints_the_spec_of_a_file(tmp_path: Path, run: Run) -> None:
    exported(residual(), tmp_path / "residual.onnx")
    status, text, _ = run("import", "residual.onnx")
    assert status == 0
    assert text == fold(from_onnx("residual.onnx")[0])
    assert netspec.loads(text).name == "residual"


def test_a_spec_that_computes_something_else_is_a_mistake(tmp_path: Path) -> None:
    path = exported(residual(), tmp_path / "residual.onnx")
    graph, weights = from_onnx(path)
    check_onnx(fold(graph), path, weights)
    weights["fc.bias"] += 1
    with pytest.raises(SpecError, match=r"import-differs\]: the spec computes something else than .* differs by 1"):
        check_onnx(fold(graph), path, weights)


# The tree of bodies --------------------------------------------------------------------------------------------------


def test_parts_that_run_in_turns_stay_in_one_body(tmp_path: Path) -> None:
    """Convolutions and batch norms in two lists, of which neither can run before the other."""
    nodes, weights, value = [], {}, "image"
    for number in range(2):
        weights[f"convs.{number}.weight"] = random(4, 4, 1, 1)
        names = [f"bns.{number}.{name}" for name in ("weight", "bias", "running_mean", "running_var")]
        weights |= {name: random(4) ** 2 for name in names}
        nodes.append(helper.make_node("Conv", [value, f"convs.{number}.weight"], [f"conv{number}"]))
        value = f"bn{number}" if number == 0 else "y"
        nodes.append(helper.make_node("BatchNormalization", [f"conv{number}", *names], [value]))
    graph = compared(save(tmp_path / "a.onnx", nodes, weights))
    assert [node.name for node in graph.root.nodes] == ["convs.0", "bns.0", "convs.1", "bns.1"]


def test_a_part_may_give_several_values(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["image"], ["a"], "/stem/Relu"),
        helper.make_node("Tanh", ["a"], ["b"], "/stem/Tanh"),
        helper.make_node("Split", ["b", "lengths"], ["c", "d"], "/cut/Split", axis=1),
        helper.make_node("Concat", ["a", "d", "c"], ["y"], "/join/Concat", axis=1),
    ]
    path = save(tmp_path / "a.onnx", nodes, {"lengths": integers(1, 3)}, outputs=("y", "b"))
    graph = compared(path)
    assert list(graph.outputs) == ["y", "b"]


def test_a_layer_that_is_called_again_shares_its_weights(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["image", "head.0.weight"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "head.0.weight"], ["c"]),
        helper.make_node("Conv", ["c", "head.0.weight"], ["y"], strides=[2, 2]),
    ]
    graph = compared(save(tmp_path / "a.onnx", nodes, {"head.0.weight": random(4, 4, 1, 1)}))
    assert [(path, node.shares) for path, node in graph.walk() if node.kind == "conv"] == [
        ("head.0", None),
        ("head.conv_2", "0"),
        ("head.conv_3", None),
    ]


def test_names_that_no_module_can_have_are_changed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["image", "train.a:b.weight"], ["a"]),
        helper.make_node("Conv", ["a", "train.a:b.x.weight"], ["y"]),
    ]
    graph = compared(
        save(
            tmp_path / "a.onnx",
            nodes,
            {name: random(4, 4, 1, 1) for name in ("train.a:b.weight", "train.a:b.x.weight")},
        )
    )
    assert list(graph.state()) == ["train_.a_b.conv.weight", "train_.a_b.x_.weight"]


def test_five_thousand_nodes_take_seconds(tmp_path: Path) -> None:
    def seconds(count: int) -> float:
        names = ["image", *(f"v{number}" for number in range(1, count)), "y"]
        nodes = [helper.make_node("Relu", [a], [b]) for a, b in pairwise(names)]
        path = save(tmp_path / "a.onnx", nodes, {})
        start = time.process_time()
        graph, _ = from_onnx(path)
        assert graph.root.size == count
        return time.process_time() - start

    assert seconds(5000) < 10


# Files that cannot be imported ---------------------------------------------------------------------------------------


def test_all_operators_that_netspec_lacks_are_named_at_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Det", ["image"], ["a"], "layer.0.Det"),
        helper.make_node("Relu", ["a"], ["b"], "after"),
        helper.make_node("Erf", ["image"], ["c"]),
        helper.make_node("Reshape", ["image", "shape"], ["d"], "mixes"),
        helper.make_node("Flatten", ["image"], ["e"], "flat", axis=2),
        helper.make_node("Sum", ["b", "c", "d", "e"], ["y"], "all"),
    ]
    assert mistakes(save(tmp_path / "a.onnx", nodes, {"shape": integers(-1, 9)})) == [
        "cannot-import: `Det` cannot be imported: netspec has no op for it at layer.0.Det",
        "cannot-import: `Erf` cannot be imported: it is not the error function of a GELU at c",
        "cannot-import: `Reshape` cannot be imported: the shape [-1, 9] moves elements from sample to sample at mixes",
        "cannot-import: `Flatten` cannot be imported: `axis` is 2, and a sample is flattened from axis 1 on at flat",
    ]


def test_lengths_that_are_not_fixed_are_a_mistake(tmp_path: Path) -> None:
    path = save(tmp_path / "a.onnx", [node("Relu")], {}, shape=("batch", 3, "height", "width"))
    assert mistakes(path) == [
        "cannot-import: the lengths of the input `image` are not known: batch × 3 × height × width"
    ]


def test_weights_of_another_shape_are_a_mistake(tmp_path: Path) -> None:
    path = save(tmp_path / "a.onnx", [node("Conv", "w")], {"w": random(6, 3, 3, 3)})
    assert mistakes(path) == [
        "shape-mismatch: `Conv` needs a weight of 6×4×3×3 32-bit floats, and the file has 6×3×3×3 float32 at Conv"
    ]


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x3a\xff\xff\xff\xff\x0f", b"\x3a\x02" * 500])
def test_a_file_of_something_else_is_a_mistake(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    (mistake,) = mistakes(tmp_path / "a.onnx")
    assert mistake.startswith(f"cannot-import: `{tmp_path / 'a.onnx'}` is no ONNX file")


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    assert mistakes(tmp_path / "a.onnx")[0].startswith("unreadable-file: cannot read")


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "link.bin"])
def test_data_outside_of_the_folder_is_not_read(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(1000))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = save(folder / "a.onnx", [node("Conv", "w")], {"w": random(6, 4, 3, 3)})
    point_outside(path, location, length=6 * 4 * 3 * 3 * 4)
    assert mistakes(path) == [
        f"outside-folder: the data of a tensor is in `{location}`, outside of the folder of the file at w"
    ]


def test_data_beside_the_file_is_read(tmp_path: Path) -> None:
    weight = random(6, 4, 3, 3)
    path = save(tmp_path / "a.onnx", [node("Conv", "stem.weight")], {"stem.weight": weight})
    (tmp_path / "a.data").write_bytes(weight.tobytes())
    point_outside(path, "a.data", length=weight.nbytes)
    _, weights = from_onnx(path)
    assert np.array_equal(weights["stem.weight"].numpy(), weight)
    (tmp_path / "a.data").write_bytes(bytes(10))
    assert mistakes(path)[0].startswith("unreadable-weights: ")


def point_outside(path: Path, location: str, length: int) -> None:
    """Let the first weight of a file lie in another one."""
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())


def test_sizes_beyond_all_memory_are_a_mistake(tmp_path: Path) -> None:
    huge = node("Resize", "", "", "sizes", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    path = save(tmp_path / "a.onnx", [huge], {"sizes": integers(1, 4, 2**40, 2**40)})
    assert mistakes(path) == ["network-too-large: `Resize` needs more than 1.00 TiB at Resize"]
    path = save(tmp_path / "b.onnx", [node("Conv", "w")], {"w": random(1, 4, 1, 1)})
    model = onnx.load(path)
    model.graph.initializer[0].dims[0] = 2**40
    path.write_bytes(model.SerializeToString())
    assert mistakes(path)[0].startswith("unreadable-weights: the data of a tensor cannot be read")


def test_graphs_inside_of_nodes_are_a_mistake(tmp_path: Path) -> None:
    inner = helper.make_graph([], "inner", [], [helper.make_tensor_value_info("image", TensorProto.FLOAT, None)])
    branch = helper.make_node("If", ["image"], ["y"], "choice", then_branch=inner, else_branch=inner)
    assert mistakes(save(tmp_path / "a.onnx", [branch], {})) == [
        "cannot-import: `If` cannot be imported: netspec has no op for it at choice"
    ]
