"""The contract of every op against PyTorch on the meta device.

Shapes, dtypes, state and cost must be PyTorch's, and what netspec rejects PyTorch must reject, and the reverse. Where
netspec rejects more, the case stands in `STRICTER` with the reason, and PyTorch must accept it.
"""

from __future__ import annotations

import ast
import inspect
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  PyTorch's own name for it
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.swin_transformer import ShiftedWindowAttentionV2

import netspec.ops
from netspec.diagnostics import Problem
from netspec.fields import create
from netspec.initializers import NormalTable
from netspec.ops import OP_NAMES, op_class
from netspec.ops.base import FunctionCall, Op, StateCall
from netspec.shapes import TensorType
from tests.effort import examples
from tests.op_runner import make_module, run

BATCH = 3
REJECTIONS = (RuntimeError, ValueError, IndexError, AssertionError, NotImplementedError, ZeroDivisionError)
CODES = {
    "does-not-divide",
    "even-kernel",
    "invalid-axis",
    "kernel-too-large",
    "missing-argument",
    "padding-too-large",
    "shape-mismatch",
    "wrong-dtype",
    "wrong-rank",
    "wrong-type",
    "wrong-value",
}
OPS_FOLDER = Path(netspec.ops.__file__).parent
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torch")
FAMILIES = sorted(path.stem for path in OPS_FOLDER.glob("*.py") if path.stem not in ("__init__", "base"))


# Cases ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """An op with its arguments on inputs of these types."""

    op: str
    inputs: tuple[TensorType, ...]
    arguments: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        arguments = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.op}({arguments}) on {', '.join(map(str, self.inputs))}"

    def create(self) -> Op:
        return create(op_class(self.op), self.op, self.arguments)

    def tensors(self) -> list[Tensor]:
        return [torch.ones(whole_shape(x), dtype=getattr(torch, x.dtype)) for x in self.inputs]


def whole_shape(x: TensorType) -> tuple[int, ...]:
    return (BATCH, *x.shape) if x.batched else x.shape


Input = tuple[int, ...] | TensorType


def case(op: str, *inputs: Input, **arguments: Any) -> Case:
    types = tuple(x if isinstance(x, TensorType) else TensorType(x) for x in inputs)
    return Case(op, types, arguments)


def ints(*shape: int) -> TensorType:
    return TensorType(shape, "int64")


def bools(*shape: int) -> TensorType:
    return TensorType(shape, "bool")


def whole(*shape: int) -> TensorType:
    """A parameter or constant, which has no batch axis."""
    return TensorType(shape, batched=False)


def whole_ints(*shape: int) -> TensorType:
    return TensorType(shape, "int64", batched=False)


SEQUENCE, SIGNAL, IMAGE, VOLUME = (5, 8), (4, 9), (4, 9, 10), (4, 5, 6, 7)
MAPS = (SIGNAL, IMAGE, VOLUME)
ANY_RANK = ((), (6,), *MAPS)
DIVISORS_NEED_RANK_2 = {"divisor_override": 5}

PLAIN_ACTIVATIONS = [op for op, (family, _) in OP_NAMES.items() if family == "activation" and not op_class(op).fields()]

ACCEPTED = [
    # activation
    *(case(op, shape) for op in PLAIN_ACTIVATIONS for shape in ((), IMAGE)),
    *(case(op, whole(4, 1)) for op in PLAIN_ACTIVATIONS),
    case("celu", IMAGE),
    case("celu", IMAGE, alpha=-2.0),
    case("clamp", IMAGE, min=-1, max=2.5),
    case("clamp", whole(4, 1, 1), max=4.6),
    case("elu", IMAGE, alpha=0.5),
    case("gelu", IMAGE),
    case("gelu", IMAGE, approximate="tanh"),
    case("glu", IMAGE),
    case("glu", IMAGE, dim=1),
    case("glu", whole(4, 3), dim=0),
    case("hardshrink", IMAGE, lambd=-0.25),
    case("hardtanh", IMAGE, min_val=-2, max_val=0.5),
    case("leaky_relu", IMAGE, negative_slope=0.2),
    *(
        case(op, shape, dim=dim)
        for op in ("log_softmax", "softmax", "softmin")
        for shape, dim in (((7,), -1), (IMAGE, 3))
    ),
    case("softmax", whole(4, 3), dim=0),
    *(case("prelu", shape, init=0.1) for shape in ((), (4,), IMAGE)),
    *(case("prelu", shape, num_parameters=4) for shape in ((4,), SIGNAL, VOLUME)),
    case("rrelu", IMAGE, lower=0.25, upper=0.25),
    case("rrelu", IMAGE, upper=0.5),
    case("softplus", IMAGE, beta=2, threshold=10),
    case("softshrink", IMAGE, lambd=0.0),
    case("threshold", IMAGE, threshold=0.1, value=20),
    # attention
    case("mask_segments", (2, 5, 5), ints(2, 5)),
    case("mask_segments", (3, 2, 5, 5), whole_ints(3, 1, 5), penalty=1e4),
    case("mask_segments", whole(5, 5), whole_ints(5)),
    case("multihead_attention", SEQUENCE, num_heads=2),
    case("multihead_attention", SEQUENCE, num_heads=1, dropout=0.1, bias=False),
    case("multihead_attention", SEQUENCE, num_heads=4, add_bias_kv=True),
    case("multihead_attention", SEQUENCE, num_heads=4, add_zero_attn=True, bias=False),
    case("multihead_attention", SEQUENCE, num_heads=4, add_bias_kv=True, add_zero_attn=True, is_causal=True),
    case("multihead_attention", SEQUENCE, (7, 8), num_heads=2),
    case("multihead_attention", SEQUENCE, (7, 3), num_heads=2, add_bias_kv=True),
    case("multihead_attention", SEQUENCE, (5, 3), num_heads=2, is_causal=True),
    case("multihead_attention", SEQUENCE, (7, 8), (7, 4), num_heads=2, bias=False),
    case("multihead_attention", SEQUENCE, (7, 3), (7, 8), num_heads=8),
    case("scaled_dot_product_attention", SEQUENCE, SEQUENCE, SEQUENCE),
    case("scaled_dot_product_attention", (2, 5, 8), (2, 7, 8), (2, 7, 6), is_causal=True),
    case("scaled_dot_product_attention", (2, 5, 8), (2, 7, 8), (2, 7, 6), dropout_p=0.5, scale=0.5),
    case("scaled_dot_product_attention", (2, 2, 5, 8), (2, 2, 7, 8), (2, 2, 7, 6)),
    # convolution
    case("conv", SIGNAL, out_channels=6, kernel_size=3),
    case("conv", IMAGE, out_channels=8, kernel_size=(3, 5), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=4),
    case("conv", IMAGE, out_channels=6, kernel_size=3, padding="same", bias=False, padding_mode="reflect"),
    case("conv", IMAGE, out_channels=6, kernel_size=3, padding="valid", stride=3),
    case("conv", VOLUME, out_channels=6, kernel_size=3, padding=1, padding_mode="circular"),
    case("conv_transpose", SIGNAL, out_channels=6, kernel_size=3),
    case("conv_transpose", IMAGE, out_channels=6, kernel_size=(3, 4), stride=2, padding=1, output_padding=1),
    case("conv_transpose", VOLUME, out_channels=6, kernel_size=2, stride=2, groups=2, bias=False, dilation=2),
    # linear
    *(case("linear", shape, out_features=7) for shape in ((6,), SIGNAL, VOLUME)),
    case("linear", SEQUENCE, out_features=7, bias=False),
    case("linear", whole(4, 8), out_features=7),
    case("affine", SEQUENCE, whole(3, 8)),
    case("affine", IMAGE, whole(3, 10), whole(3)),
    case("affine", whole(4, 8), whole(3, 8), whole(3)),
    # merge
    case("add", IMAGE, IMAGE, IMAGE),
    case("add", IMAGE, whole(4, 1, 1)),
    case("add", (5, 8), whole(1, 5, 8)),
    case("add", whole(5, 1), whole(8)),
    case("mul", IMAGE, (4, 1, 1)),
    case("mul", IMAGE, whole()),
    case("sub", IMAGE, IMAGE),
    case("concat", IMAGE),
    case("concat", IMAGE, (1, 9, 10), IMAGE),
    case("concat", IMAGE, (4, 9, 1), dim=-1),
    case("concat", ints(4), ints(3)),
    case("concat", whole(1, 1, 8), (5, 8)),
    case("concat", (5, 8), whole(1, 5, 2), whole(1, 5, 1), dim=2),
    case("concat", whole(3, 8), whole(5, 8), dim=0),
    case("lookup", whole(6, 8), whole_ints(5, 5)),
    case("lookup", whole(6, 8), ints(5)),
    case("lookup", whole(6, 8), whole_ints(5), dim=-1),
    case("lookup", IMAGE, whole_ints(7), dim=1),
    case("lookup", bools(4, 3), whole_ints(2, 2), dim=2),
    case("times", IMAGE, factor=0.125),
    case("times", whole(4), factor=-2),
    case("matmul", (5, 8), (8, 3)),
    case("matmul", (2, 5, 8), (2, 8, 3)),
    case("matmul", (5, 8), whole(8, 3)),
    case("matmul", whole(5, 8), (2, 8, 3)),
    case("matmul", whole(5, 8), whole(8, 3)),
    # normalization
    *(case("batch_norm", shape) for shape in ((6,), *MAPS)),
    case("batch_norm", IMAGE, eps=1e-3, momentum=None),
    case("batch_norm", IMAGE, momentum=0.01, affine=False),
    case("batch_norm", IMAGE, track_running_stats=False),
    *(case("group_norm", shape, num_groups=2) for shape in ((6,), *MAPS)),
    case("group_norm", IMAGE, num_groups=1, eps=0, affine=False),
    *(case("instance_norm", shape, affine=True) for shape in MAPS),
    case("instance_norm", IMAGE, eps=1e-3, momentum=0.2, track_running_stats=True),
    *(case("layer_norm", shape) for shape in ((6,), *MAPS)),
    case("layer_norm", IMAGE, axes=2, eps=1e-6, bias=False),
    case("layer_norm", VOLUME, axes=4),
    case("layer_norm", IMAGE, elementwise_affine=False),
    *(case("layer_norm", shape, channels_first=True) for shape in ((6,), *MAPS)),
    case("local_response_norm", SIGNAL, size=2),
    case("local_response_norm", IMAGE, size=5, alpha=1e-3, beta=0.5, k=2),
    case("local_response_norm", VOLUME, size=9),
    case("normalize", IMAGE),
    case("normalize", IMAGE, p=1, dim=-1, eps=1e-6),
    case("normalize", whole(3, 8), dim=0),
    # pooling
    *(case(op, shape, output_size=(3,)) for op in ("adaptive_avg_pool", "adaptive_max_pool") for shape in MAPS),
    case("adaptive_avg_pool", IMAGE, output_size=20),
    case("adaptive_avg_pool", IMAGE, output_size=(2, 3)),
    case("adaptive_max_pool", VOLUME, output_size=(2, 3, 4)),
    *(case("avg_pool", shape, kernel_size=3) for shape in MAPS),
    case("avg_pool", IMAGE, kernel_size=(3, 2), stride=(1, 2), padding=(1, 1), count_include_pad=False),
    case("avg_pool", IMAGE, kernel_size=3, stride=2, ceil_mode=True, **DIVISORS_NEED_RANK_2),
    case("avg_pool", (4, 2, 2), kernel_size=3, stride=2, ceil_mode=True),
    *(case(op, shape) for op in ("global_avg_pool", "global_max_pool") for shape in MAPS),
    *(case("lp_pool", shape, norm_type=2, kernel_size=3) for shape in MAPS),
    case("lp_pool", SIGNAL, norm_type=1.5, kernel_size=(3,), stride=2, ceil_mode=True),
    *(case("max_pool", shape, kernel_size=3) for shape in MAPS),
    case("max_pool", IMAGE, kernel_size=(3, 2), stride=(1, 2), padding=(1, 1), dilation=(2, 1)),
    case("max_pool", IMAGE, kernel_size=3, stride=2, ceil_mode=True),
    case("max_pool", (4, 2, 2), kernel_size=3, stride=2, ceil_mode=True),
    # recurrent
    case("gru", SEQUENCE, hidden_size=6),
    case("gru", SEQUENCE, hidden_size=6, num_layers=2, bias=False, dropout=0.1, bidirectional=True),
    case("lstm", SEQUENCE, hidden_size=6),
    case("lstm", SEQUENCE, hidden_size=6, num_layers=2, dropout=0.1, proj_size=3),
    case("lstm", SEQUENCE, hidden_size=6, num_layers=3, bias=False, bidirectional=True, proj_size=2),
    case("rnn", SEQUENCE, hidden_size=6),
    case("rnn", SEQUENCE, hidden_size=6, num_layers=2, nonlinearity="relu", dropout=0.1),
    case("rnn", SEQUENCE, hidden_size=6, bias=False, bidirectional=True),
    # regularization
    *(case(op, shape, p=0.1) for op in ("alpha_dropout", "dropout") for shape in ((), IMAGE)),
    *(case("feature_alpha_dropout", shape, p=0.1) for shape in ((6,), *MAPS)),
    *(case("spatial_dropout", shape, p=0.1) for shape in MAPS),
    case("stochastic_depth", IMAGE, p=0.2),
    case("stochastic_depth", SEQUENCE, p=0.2, mode="batch"),
    # resample
    *(case("upsample", shape, size=12) for shape in MAPS),
    case("upsample", IMAGE, size=(3, 4), mode="area"),
    case("upsample", SIGNAL, scale_factor=1.7, mode="linear"),
    case("upsample", IMAGE, scale_factor=(2, 0.35), mode="bilinear", align_corners=True),
    case("upsample", IMAGE, scale_factor=2, mode="bicubic", align_corners=False),
    case("upsample", VOLUME, scale_factor=2, mode="trilinear"),
    case("upsample", IMAGE, scale_factor=2.3, mode="nearest-exact"),
    # reshape
    *(case("identity", x) for x in (IMAGE, (), ints(5), bools(5), whole(5))),
    *(case("flatten", shape) for shape in ((6,), *MAPS)),
    case("flatten", VOLUME, start_dim=2, end_dim=-2),
    case("flatten", ints(2, 3)),
    case("flatten", whole(2, 3), start_dim=0),
    case("reshape", IMAGE, shape=(-1,)),
    case("reshape", IMAGE, shape=(2, -1, 10)),
    case("reshape", SEQUENCE, shape=(4, 2, 5)),
    case("reshape", ints(6), shape=(2, 3)),
    case("reshape", whole(6), shape=(2, -1)),
    case("permute", IMAGE, dims=(0, 2, 3, 1)),
    case("permute", IMAGE, dims=(-4, 3, -3, 2)),
    case("permute", whole(2, 3), dims=(1, 0)),
    case("transpose", IMAGE, dim0=1, dim1=-1),
    case("transpose", whole(2, 3), dim0=0, dim1=1),
    case("roll", IMAGE, shifts=3, dims=-1),
    case("roll", bools(4, 3), shifts=(-20, 1), dims=(1, 2)),
    case("roll", whole(4, 3), shifts=1, dims=0),
    case("roll_segments", (7, 9, 4), shifts=(-2, 3), dims=(1, 2)),
    case("roll_segments", SEQUENCE, shifts=0, dims=-2),
    case("window_partition", (6, 9, 4), window_size=3),
    case("window_partition", (6, 9, 4, 2), window_size=(2, 3)),
    case("window_partition", (4, 6, 9), window_size=(3,), channels_first=True),
    case("window_partition", (4, 6, 9, 2), window_size=(3, 3, 1), channels_first=True),
    case("window_partition", whole_ints(6, 9), window_size=(3, 3)),
    case("window_reverse", (6, 9, 4), window_size=3, size=(6, 9)),
    case("window_reverse", (9, 6, 4, 2), window_size=(2, 3), size=(6, 9)),
    case("window_reverse", (6, 9, 4), window_size=3, size=(6, 9), channels_first=True),
    case("window_reverse", whole(5, 2, 3), window_size=2, size=(10,)),
    *(case("channel_shuffle", shape, groups=2) for shape in (*MAPS, bools(4, 3))),
    case("pixel_shuffle", IMAGE, upscale_factor=2),
    case("pixel_shuffle", (2, 9, 4, 5), upscale_factor=3),
    case("pixel_unshuffle", (3, 4, 6), downscale_factor=2),
    case("pixel_unshuffle", (2, 3, 4, 6), downscale_factor=2),
    *(case("pad", shape, padding=(1,), mode=mode) for shape in MAPS for mode in ("constant", "reflect", "replicate")),
    *(case("pad", shape, padding=2, mode="circular") for shape in MAPS),
    *(case("pad", IMAGE, padding=(3, 4), mode=mode) for mode in ("constant", "reflect", "replicate", "circular")),
    *(case("pad", (6,), padding=(3, 4), mode=mode) for mode in ("constant", "reflect", "replicate", "circular")),
    *(case("pad", IMAGE, padding=(1, 2, 0, 1, 2, 2), mode=mode) for mode in ("constant", "reflect", "circular")),
    case("pad", VOLUME, padding=(1, 2, 0, 1, 2, 2, 3, 0)),
    case("pad", IMAGE, padding=(-1, 0, 0, -8), value=1.5),
    case("pad", ints(6), padding=(2, 0), value=1),
    *(case("crop", shape, size=(4,)) for shape in MAPS),
    case("crop", IMAGE, size=(9, 3)),
    case("slice", IMAGE, dim=1, end=2),
    case("slice", IMAGE, dim=-1, start=1, step=3),
    case("slice", IMAGE, dim=2, start=-100, end=100),
    case("slice", ints(6), dim=1, start=-3, end=-1),
    case("slice", whole(2, 3), dim=0, end=1),
    case("select", SEQUENCE, dim=1, index=0),
    case("select", SEQUENCE, dim=-1, index=-8),
    case("select", whole(2, 3), dim=0, index=1),
    case("split", IMAGE, split_size=2),
    case("split", IMAGE, split_size=4, dim=-1),
    case("split", IMAGE, split_size=(1, 3)),
    case("split", whole(5, 2), split_size=(1, 4), dim=0),
    case("chunk", IMAGE, chunks=2),
    case("chunk", IMAGE, chunks=4, dim=2),
    case("chunk", (7,), chunks=5),
    case("chunk", (2,), chunks=5),
    case("unbind", IMAGE),
    case("unbind", whole(2, 3), dim=0),
    case("mean", IMAGE, dim=(2, 3)),
    case("mean", IMAGE, dim=(-1,), keepdim=True),
    case("mean", whole(2, 3), dim=(0,)),
    case("sum", IMAGE, dim=(1,)),
    case("sum", ints(2, 3), dim=(1, -1), keepdim=True),
    case("max", bools(2, 3), dim=(1, 2)),
    case("max", IMAGE, dim=(3,), keepdim=True),
    case("squeeze", (4, 1, 3), dim=2),
    case("squeeze", whole(1, 3), dim=0),
    *(case("unsqueeze", IMAGE, dim=dim) for dim in (1, 4, -1, -4)),
    case("unsqueeze", whole(3), dim=0),
    # state
    case("constant", value=1.5),
    case("constant", value=((1, 2, 3), (4, 5, 6.5))),
    case("constant", shape=(2, 3), fill=0.5),
    case("constant", shape=(2,), persistent=False),
    case("embedding", ints(), num_embeddings=10, embedding_dim=4),
    case("embedding", ints(5), num_embeddings=10, embedding_dim=4, padding_idx=-10),
    case("parameter", shape=(1, 5, 8)),
    case("parameter", shape=()),
    case("relative_position_index", window_size=(3,)),
    case("relative_position_index", window_size=(2, 3, 2), flatten=True),
    case("relative_position_offsets", window_size=(3,)),
    case("relative_position_offsets", window_size=(2, 5)),
]


@dataclass(frozen=True)
class Rejected:
    """A case that is rejected with this code, about this argument.

    `torch` is the same in PyTorch's words, where the op has no call to ask: an expression over the inputs x, y and z.
    """

    code: str
    argument: str | None
    case: Case
    torch: str = ""
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.case}"


REJECTED = [
    # activation
    Rejected("wrong-value", "alpha", case("celu", IMAGE, alpha=0)),
    Rejected("wrong-type", "approximate", case("gelu", IMAGE, approximate="erf"), "nn.GELU('erf')(x)"),
    Rejected("missing-argument", None, case("clamp", IMAGE), "x.clamp()"),
    Rejected("does-not-divide", "dim", case("glu", IMAGE, dim=2)),
    Rejected("invalid-axis", "dim", case("glu", IMAGE, dim=4)),
    Rejected("wrong-value", "max_val", case("hardtanh", IMAGE, min_val=1, max_val=1)),
    Rejected("shape-mismatch", "num_parameters", case("prelu", IMAGE, num_parameters=2)),
    Rejected("shape-mismatch", "num_parameters", case("prelu", IMAGE, num_parameters=9)),
    Rejected("shape-mismatch", "num_parameters", case("prelu", (), num_parameters=2)),
    Rejected("wrong-value", "lower", case("rrelu", IMAGE, lower=0.5)),
    Rejected("invalid-axis", "dim", case("softmax", ())),
    Rejected("invalid-axis", "dim", case("log_softmax", IMAGE, dim=-5)),
    Rejected("invalid-axis", "dim", case("softmin", whole(3), dim=1)),
    Rejected("wrong-type", "lambd", case("softshrink", IMAGE, lambd=-1), "F.softshrink(x, -1.0)"),
    # attention
    Rejected(
        "shape-mismatch",
        None,
        case("mask_segments", (2, 5, 5), ints(2, 4)),
        "x - (y[..., None] != y[..., None, :]) * 1",
    ),
    Rejected("does-not-divide", "num_heads", case("multihead_attention", SEQUENCE, num_heads=3)),
    Rejected("shape-mismatch", None, case("multihead_attention", SEQUENCE, (6, 8), (7, 8), num_heads=2)),
    Rejected(
        "wrong-rank",
        None,
        case("multihead_attention", IMAGE, num_heads=2),
        "nn.MultiheadAttention(10, 2, batch_first=True)(x, x, x)",
    ),
    Rejected("shape-mismatch", None, case("scaled_dot_product_attention", SEQUENCE, (5, 7), SEQUENCE)),
    Rejected("shape-mismatch", None, case("scaled_dot_product_attention", SEQUENCE, SEQUENCE, (6, 8))),
    Rejected("shape-mismatch", None, case("scaled_dot_product_attention", (2, 5, 8), (4, 5, 8), (2, 5, 8))),
    # convolution
    Rejected("does-not-divide", "groups", case("conv", IMAGE, out_channels=6, kernel_size=3, groups=3)),
    Rejected("does-not-divide", "groups", case("conv", IMAGE, out_channels=6, kernel_size=3, groups=4)),
    Rejected("kernel-too-large", "kernel_size", case("conv", IMAGE, out_channels=6, kernel_size=10)),
    Rejected("wrong-rank", "kernel_size", case("conv", IMAGE, out_channels=6, kernel_size=(3, 3, 3))),
    Rejected(
        "wrong-type", "stride", case("conv", IMAGE, out_channels=6, kernel_size=3, stride=0), "nn.Conv2d(4, 6, 3, 0)(x)"
    ),
    Rejected(
        "padding-too-large",
        "padding",
        case("conv", IMAGE, out_channels=6, kernel_size=3, padding=9, padding_mode="reflect"),
    ),
    Rejected(
        "padding-too-large",
        "output_padding",
        case("conv_transpose", IMAGE, out_channels=6, kernel_size=3, output_padding=1),
    ),
    Rejected("padding-too-large", "padding", case("conv_transpose", IMAGE, out_channels=6, kernel_size=1, padding=5)),
    Rejected("does-not-divide", "groups", case("conv_transpose", IMAGE, out_channels=6, kernel_size=3, groups=4)),
    # linear
    Rejected("wrong-rank", None, case("linear", (), out_features=7), "nn.Linear(7, 7)(x)"),
    Rejected("wrong-dtype", None, case("linear", ints(6), out_features=7)),
    Rejected("shape-mismatch", None, case("affine", SEQUENCE, whole(3, 7))),
    Rejected("shape-mismatch", None, case("affine", SEQUENCE, whole(3, 8), whole(4))),
    Rejected("wrong-rank", None, case("affine", (), whole(3, 8)), "F.linear(x[0], y)"),
    # merge
    Rejected("shape-mismatch", None, case("add", IMAGE, (5, 9, 10))),
    Rejected("shape-mismatch", None, case("mul", (5, 8), whole(5, 5, 8))),
    Rejected("shape-mismatch", None, case("sub", IMAGE, whole(4))),
    Rejected("shape-mismatch", None, case("concat", IMAGE, (4, 9, 11))),
    Rejected("shape-mismatch", None, case("concat", IMAGE, SIGNAL)),
    Rejected("invalid-axis", "dim", case("concat", IMAGE, IMAGE, dim=4)),
    Rejected("shape-mismatch", None, case("concat", whole(2, 1, 8), (5, 8))),
    Rejected("wrong-dtype", None, case("lookup", whole(6, 8), whole(5))),
    Rejected("invalid-axis", "dim", case("lookup", whole(6, 8), whole_ints(5), dim=2), "x[:, :, y]"),
    Rejected("shape-mismatch", None, case("matmul", (5, 8), (7, 3))),
    Rejected("shape-mismatch", None, case("matmul", (2, 5, 8), (4, 8, 3))),
    # normalization
    Rejected("wrong-rank", None, case("batch_norm", ()), "nn.BatchNorm1d(3)(x)"),
    Rejected("wrong-type", "eps", case("batch_norm", IMAGE, eps=0), "nn.BatchNorm2d(4, eps=0)(x)"),
    Rejected("wrong-dtype", None, case("batch_norm", ints(4, 3))),
    Rejected("wrong-rank", None, case("group_norm", (), num_groups=1), "nn.GroupNorm(1, 1)(x)"),
    Rejected("does-not-divide", "num_groups", case("group_norm", IMAGE, num_groups=3)),
    Rejected("shape-mismatch", None, case("instance_norm", (4, 1, 1))),
    Rejected("wrong-rank", "axes", case("layer_norm", (6,), axes=2), "nn.LayerNorm((3, 6, 6))(x)"),
    Rejected("wrong-rank", None, case("local_response_norm", (6,), size=2)),
    Rejected("missing-argument", None, case("local_response_norm", IMAGE), "nn.LocalResponseNorm(0)(x)"),
    Rejected("invalid-axis", "dim", case("normalize", IMAGE, dim=4)),
    # pooling
    Rejected(
        "wrong-rank",
        "output_size",
        case("adaptive_avg_pool", IMAGE, output_size=(2, 3, 4)),
        "nn.AdaptiveAvgPool2d((2, 3, 4))(x)",
    ),
    Rejected("kernel-too-large", "kernel_size", case("avg_pool", VOLUME, kernel_size=7)),
    Rejected("kernel-too-large", "kernel_size", case("avg_pool", VOLUME, kernel_size=6, padding=2)),
    Rejected("kernel-too-large", "kernel_size", case("lp_pool", VOLUME, norm_type=2, kernel_size=6, ceil_mode=True)),
    Rejected("kernel-too-large", "kernel_size", case("lp_pool", IMAGE, norm_type=2, kernel_size=10)),
    Rejected("kernel-too-large", "kernel_size", case("max_pool", IMAGE, kernel_size=10)),
    Rejected("padding-too-large", "padding", case("avg_pool", IMAGE, kernel_size=3, padding=2)),
    *(
        Rejected("padding-too-large", "padding", case("max_pool", x, kernel_size=3, padding=2, dilation=2))
        for x in MAPS
    ),
    # recurrent
    Rejected("wrong-rank", None, case("lstm", IMAGE, hidden_size=6)),
    Rejected("wrong-value", "proj_size", case("lstm", SEQUENCE, hidden_size=6, proj_size=6)),
    Rejected("wrong-rank", None, case("gru", IMAGE, hidden_size=6)),
    Rejected(
        "wrong-type",
        "nonlinearity",
        case("rnn", SEQUENCE, hidden_size=6, nonlinearity="gelu"),
        "nn.RNN(8, 6, 1, 'gelu')",
    ),
    # regularization
    Rejected("wrong-type", "p", case("dropout", IMAGE, p=1.5), "nn.Dropout(1.5)"),
    Rejected("wrong-rank", None, case("feature_alpha_dropout", ())),
    Rejected(
        "wrong-type", "p", case("stochastic_depth", IMAGE, p=-0.5), "torchvision.ops.StochasticDepth(-0.5, 'row')(x)"
    ),
    # resample
    Rejected("missing-argument", None, case("upsample", IMAGE)),
    Rejected("wrong-value", "scale_factor", case("upsample", IMAGE, size=4, scale_factor=2)),
    Rejected("wrong-value", "scale_factor", case("upsample", IMAGE, scale_factor=0.1)),
    Rejected("wrong-rank", "scale_factor", case("upsample", IMAGE, scale_factor=(2.0,))),
    Rejected("wrong-rank", "size", case("upsample", IMAGE, size=(4, 4, 4))),
    Rejected("wrong-rank", "mode", case("upsample", IMAGE, scale_factor=2, mode="linear")),
    Rejected("wrong-rank", "mode", case("upsample", VOLUME, scale_factor=2, mode="bicubic")),
    Rejected("wrong-value", "align_corners", case("upsample", IMAGE, scale_factor=2, align_corners=False)),
    # reshape
    Rejected("invalid-axis", "start_dim", case("flatten", ())),
    Rejected("invalid-axis", "start_dim", case("flatten", IMAGE, start_dim=3, end_dim=2)),
    Rejected("invalid-axis", "end_dim", case("flatten", IMAGE, end_dim=4)),
    Rejected("shape-mismatch", "shape", case("reshape", whole(6), shape=(4,)), "x.reshape(4)"),
    Rejected("does-not-divide", "shape", case("reshape", (7,), shape=(-1, 2)), "x.reshape(3, -1, 2)"),
    Rejected("wrong-value", "shape", case("reshape", (6,), shape=(-1, -1)), "x.reshape(-1, -1)"),
    Rejected("invalid-axis", "dims", case("permute", IMAGE, dims=(0, 1, 2))),
    Rejected("invalid-axis", "dims", case("permute", IMAGE, dims=(0, 1, 2, 4))),
    Rejected("invalid-axis", "dims", case("permute", IMAGE, dims=(0, 1, 1, 2))),
    Rejected("invalid-axis", "dim1", case("transpose", IMAGE, dim0=1, dim1=4)),
    Rejected("wrong-rank", "shifts", case("roll", IMAGE, shifts=(1, 2, 3), dims=(1, 2)), "x.roll((1, 2, 3), (1, 2))"),
    Rejected("invalid-axis", "dims", case("roll", IMAGE, shifts=1, dims=4)),
    Rejected("wrong-rank", "shifts", case("roll_segments", IMAGE, shifts=1, dims=(1, 2)), "x.roll(1, (1, 2))"),
    Rejected(
        "does-not-divide",
        "window_size",
        case("window_partition", (6, 9, 4), window_size=4),
        "x.view(-1, 1, 4, 2, 4, 4)",
    ),
    Rejected("wrong-rank", "window_size", case("window_partition", (4,), window_size=2), "x.unfold(2, 2, 2)"),
    Rejected(
        "wrong-rank",
        "window_size",
        case("window_partition", (6, 9), window_size=(2, 3, 1)),
        "x.unfold(1, 2, 2).unfold(2, 3, 3).unfold(5, 1, 1)",
    ),
    Rejected(
        "does-not-divide",
        "window_size",
        case("window_reverse", (6, 9, 4), window_size=4, size=(6, 9)),
        "x.view(-1, 1, 2, 4, 4, 4)",
    ),
    Rejected(
        "shape-mismatch", "size", case("window_reverse", (6, 9, 4), window_size=3, size=(6, 6)), "x.view(3, 6, 6, 4)"
    ),
    Rejected(
        "wrong-rank",
        "window_size",
        case("window_reverse", (6, 9, 4), window_size=(3, 3), size=(6,)),
        "x.view(3, 2, -1, 7)",
    ),
    Rejected("wrong-rank", None, case("window_reverse", (6,), window_size=1, size=(6,)), "x[:, :, 0]"),
    Rejected("does-not-divide", "groups", case("channel_shuffle", IMAGE, groups=3)),
    Rejected("wrong-rank", None, case("channel_shuffle", (4,), groups=2)),
    Rejected("does-not-divide", "upscale_factor", case("pixel_shuffle", IMAGE, upscale_factor=4)),
    Rejected("wrong-rank", None, case("pixel_shuffle", (4, 9), upscale_factor=2)),
    Rejected("does-not-divide", "downscale_factor", case("pixel_unshuffle", IMAGE, downscale_factor=2)),
    Rejected("does-not-divide", "downscale_factor", case("pixel_unshuffle", IMAGE, downscale_factor=3)),
    Rejected("wrong-value", "padding", case("pad", IMAGE, padding=(1, 2, 3)), "F.pad(x, (1, 2, 3))"),
    Rejected("wrong-rank", "padding", case("pad", IMAGE, padding=(1,) * 10), "F.pad(x, (1,) * 10)"),
    Rejected(
        "wrong-rank", "padding", case("pad", VOLUME, padding=(1,) * 8, mode="reflect"), "F.pad(x, (1,) * 8, 'reflect')"
    ),
    Rejected(
        "wrong-rank", "mode", case("pad", (2, *VOLUME), padding=(1, 1), mode="reflect"), "F.pad(x, (1,) * 8, 'reflect')"
    ),
    Rejected("wrong-value", "value", case("pad", IMAGE, padding=1, mode="replicate", value=1)),
    Rejected("padding-too-large", "padding", case("pad", IMAGE, padding=9, mode="reflect")),
    Rejected("padding-too-large", "padding", case("pad", IMAGE, padding=10, mode="circular")),
    Rejected("padding-too-large", "padding", case("pad", IMAGE, padding=-10)),
    Rejected(
        "wrong-rank",
        "size",
        case("crop", IMAGE, size=(1, 2, 3)),
        "torchvision.transforms.functional.center_crop(x, (1, 2, 3))",
    ),
    Rejected("invalid-axis", "dim", case("slice", IMAGE, dim=4), "x.narrow(4, 0, 1)"),
    Rejected("wrong-value", "index", case("select", IMAGE, dim=1, index=4)),
    Rejected("wrong-value", "index", case("select", IMAGE, dim=1, index=-5)),
    Rejected("shape-mismatch", "split_size", case("split", IMAGE, split_size=(1, 2)), "x.split((1, 2), 1)"),
    Rejected("invalid-axis", "dim", case("chunk", IMAGE, chunks=2, dim=4), "x.chunk(2, 4)"),
    Rejected("invalid-axis", "dim", case("unbind", IMAGE, dim=4), "x.unbind(4)"),
    Rejected("invalid-axis", "dim", case("mean", IMAGE, dim=(1, -3))),
    Rejected("invalid-axis", "dim", case("sum", IMAGE, dim=(4,))),
    Rejected("wrong-dtype", None, case("mean", ints(4, 3), dim=(1,))),
    Rejected("invalid-axis", "dim", case("squeeze", IMAGE, dim=4)),
    Rejected("invalid-axis", "dim", case("unsqueeze", IMAGE, dim=5)),
    Rejected("invalid-axis", "dim", case("unsqueeze", IMAGE, dim=-6)),
    # state
    Rejected("shape-mismatch", "value", case("constant", value=((1, 2), (3,))), "torch.tensor(((1, 2), (3,)))"),
    Rejected(
        "wrong-value", "padding_idx", case("embedding", ints(5), num_embeddings=10, embedding_dim=4, padding_idx=10)
    ),
    Rejected("wrong-dtype", None, case("embedding", (5,), num_embeddings=10, embedding_dim=4)),
]

_BATCH_AXIS = "an op leaves the batch axis alone"
_UNBATCHED = "layers work on values of the network, not on parameters"
_EMPTY = "no axis of a network is empty"
_EXPLICIT = "a mistake rather than a wish"
STRICTER = [
    Rejected(
        "shape-mismatch",
        "is_causal",
        case("multihead_attention", SEQUENCE, (6, 8), num_heads=2, is_causal=True),
        "",
        "which position is later is a question within one sequence",
    ),
    *(
        Rejected("invalid-axis", argument, case(op, (BATCH, 1), **arguments), torch, _BATCH_AXIS)
        for op, argument, arguments, torch in (
            ("concat", "dim", {"dim": 0}, ""),
            ("softmax", "dim", {"dim": 0}, ""),
            ("flatten", "start_dim", {"start_dim": 0}, ""),
            ("mean", "dim", {"dim": (0,)}, ""),
            ("transpose", "dim0", {"dim0": 0, "dim1": 1}, ""),
            ("permute", "dims", {"dims": (1, 0, 2)}, ""),
            ("slice", "dim", {"dim": 0, "end": 1}, "x[:1]"),
            ("select", "dim", {"dim": 0, "index": 1}, "x[1]"),
            ("split", "dim", {"split_size": 2, "dim": 0}, "x.split(2)"),
            ("chunk", "dim", {"chunks": 2, "dim": 0}, "x.chunk(2)"),
            ("unbind", "dim", {"dim": 0}, "x.unbind(0)"),
            ("roll", "dims", {"shifts": 1, "dims": 0}, ""),
            ("squeeze", "dim", {"dim": 0}, ""),
            ("unsqueeze", "dim", {"dim": 0}, ""),
        )
    ),
    Rejected("shape-mismatch", None, case("add", (4,), (1, 4)), "", _BATCH_AXIS),
    Rejected("shape-mismatch", None, case("add", SEQUENCE, whole(1, 1, *SEQUENCE)), "", _BATCH_AXIS),
    Rejected("shape-mismatch", "shape", case("reshape", (8,), shape=(4,)), "x.reshape(-1, 4)", _BATCH_AXIS),
    Rejected("wrong-rank", "padding", case("pad", SIGNAL, padding=(1,) * 6), "F.pad(x, (1,) * 6)", _BATCH_AXIS),
    Rejected("wrong-value", "min", case("clamp", IMAGE, min=2, max=1), "", _EXPLICIT),
    Rejected("wrong-dtype", None, case("mask_segments", (5, 5), (5,)), "", "segments are counted"),
    Rejected("wrong-rank", None, case("mask_segments", (5, 5), ints()), "x - 0", "segments have an axis"),
    Rejected(
        "wrong-rank", None, case("affine", (5, 8), (3, 8)), "F.linear(x, y[0])", "its weights are those of all samples"
    ),
    Rejected(
        "wrong-rank", None, case("affine", (5, 8), whole(8)), "", "PyTorch takes it for one row and drops the axis"
    ),
    Rejected("shape-mismatch", "dim", case("lookup", IMAGE, ints(7), dim=1), "", _BATCH_AXIS),
    Rejected("shape-mismatch", "dim", case("lookup", whole(6, 8), ints(7), dim=1), "", _BATCH_AXIS),
    Rejected("invalid-axis", "dims", case("roll", IMAGE, shifts=(1, 2), dims=(1, -3)), "", _EXPLICIT),
    Rejected("wrong-value", "dim", case("unbind", (5000,)), "x.unbind(1)", "a guard against typos"),
    Rejected(
        "wrong-value",
        "window_size",
        case("relative_position_offsets", window_size=(1,)),
        "torch.zeros(1) / 0",
        "no offset but 0",
    ),
    Rejected(
        "wrong-value",
        "window_size",
        case("relative_position_index", window_size=(3000,)),
        "torch.zeros(1)",
        "a guard against typos",
    ),
    Rejected("wrong-rank", None, case("dropout", whole(4, 8)), "", _UNBATCHED),
    Rejected("wrong-rank", None, case("matmul", (8,), whole(8, 3)), "", "use `linear`, or `unsqueeze` before it"),
    Rejected(
        "wrong-rank", None, case("global_avg_pool", (2, *VOLUME)), "x.mean((2, 3, 4, 5))", "as all that is spatial"
    ),
    Rejected("wrong-rank", None, case("spatial_dropout", (6,)), "nn.Dropout1d()(x)", "use `dropout`"),
    Rejected("wrong-rank", None, case("spatial_dropout", (2, *VOLUME)), "nn.Dropout3d()(x)", "PyTorch only warns"),
    Rejected(
        "wrong-rank", None, case("batch_norm", (2, *VOLUME)), "F.batch_norm(x, None, None, training=True)", "no module"
    ),
    Rejected("wrong-dtype", None, case("relu", ints(4)), "", "activations are made for floating point"),
    Rejected("wrong-dtype", None, case("sum", bools(4, 3), dim=(1,)), "", "PyTorch changes the dtype to int64"),
    Rejected("wrong-dtype", None, case("pad", bools(4, 3), padding=1), "", "a number cannot fill a mask"),
    Rejected(
        "even-kernel",
        "padding",
        case("conv", IMAGE, out_channels=6, kernel_size=2, padding="same"),
        "nn.Conv2d(4, 6, 2, padding='same')(x)",
        "PyTorch pads one side more, which it warns about",
    ),
    Rejected(
        "wrong-rank", "kernel_size", case("max_pool", IMAGE, kernel_size=(3,)), "nn.MaxPool2d((3,))(x)", _EXPLICIT
    ),
    Rejected(
        "wrong-rank",
        "divisor_override",
        case("avg_pool", SIGNAL, kernel_size=3, divisor_override=2),
        "nn.AvgPool1d(3)(x)",
        "`nn.AvgPool1d` has no such argument",
    ),
    Rejected(
        "wrong-type",
        "norm_type",
        case("lp_pool", IMAGE, norm_type=-2, kernel_size=3),
        "nn.LPPool2d(-2, 3)(x)",
        _EXPLICIT,
    ),
    Rejected(
        "wrong-type",
        "divisor_override",
        case("avg_pool", IMAGE, kernel_size=3, divisor_override=-1),
        "nn.AvgPool2d(3, divisor_override=-1)(x)",
        _EXPLICIT,
    ),
    Rejected("wrong-type", "eps", case("layer_norm", IMAGE, eps=-1.0), "nn.LayerNorm(10, eps=-1.0)(x)", _EXPLICIT),
    Rejected("wrong-value", "axes", case("layer_norm", IMAGE, axes=2, channels_first=True), "", "not in PyTorch"),
    Rejected(
        "wrong-type",
        "output_size",
        case("adaptive_avg_pool", IMAGE, output_size=0),
        "nn.AdaptiveAvgPool2d(0)(x)",
        _EMPTY,
    ),
    Rejected("padding-too-large", "padding", case("pad", SIGNAL, padding=(-9, 0)), "", _EMPTY),
    Rejected("wrong-value", "padding", case("pad", SIGNAL, padding=(-1, 0), mode="reflect"), "", _EXPLICIT),
    Rejected(
        "shape-mismatch", "size", case("crop", IMAGE, size=20), "", "a slice that ends behind the axis ends with it"
    ),
    Rejected("wrong-value", "end", case("slice", IMAGE, dim=1, start=2, end=2), "", _EMPTY),
    Rejected("wrong-value", "start", case("slice", IMAGE, dim=1, start=4), "", _EMPTY),
    Rejected(
        "wrong-value", "split_size", case("split", (5000,), split_size=1), "x.split(1, 1)", "a guard against typos"
    ),
    Rejected("wrong-value", "chunks", case("chunk", (5000,), chunks=5000), "x.chunk(5000, 1)", "a guard against typos"),
    Rejected("shape-mismatch", "dim", case("squeeze", IMAGE, dim=1), "", "PyTorch then does nothing, in silence"),
    Rejected(
        "shape-mismatch",
        None,
        case("scaled_dot_product_attention", (2, 5, 8), (1, 5, 8), (1, 5, 8)),
        "",
        "the fused kernels do not broadcast",
    ),
    Rejected("missing-argument", None, case("constant"), "torch.empty(())", "not in PyTorch"),
    Rejected("wrong-value", "shape", case("constant", value=1, shape=(2,)), "torch.full((2,), 1)", _EXPLICIT),
    Rejected("wrong-value", "fill", case("constant", value=1, fill=2), "torch.full((), 1)", _EXPLICIT),
    Rejected("shape-mismatch", "value", case("constant", value=()), "torch.tensor(())", _EMPTY),
    Rejected("wrong-type", "value", case("constant", value=(True, 1)), "torch.tensor((True, 1))", _EXPLICIT),
    Rejected(
        "wrong-type", "value", case("constant", value=(1.0, math.inf)), "torch.tensor((1.0, math.inf))", _EXPLICIT
    ),
]


# The contract --------------------------------------------------------------------------------------------------------


def check_agreement(case: Case) -> None:
    """Shapes, dtypes, state and cost of an accepted case are those of PyTorch."""
    op = case.create()
    outputs, call = op.outputs(*case.inputs), op.torch(*case.inputs)
    needs_numbers = case.op == "batch_norm" and case.arguments.get("momentum", 0) is None
    with torch.device("cpu" if needs_numbers else "meta"), FlopCounterMode(display=False) as counter:
        module = make_module(call)
        results = run(call, module, case.tensors())
    expected = [(whole_shape(x), x.dtype) for x in outputs]
    assert [(tuple(y.shape), str(y.dtype).removeprefix("torch.")) for y in results] == expected
    assert len(op.output_names) in (0, len(results))
    samples = BATCH if any(x.batched for x in case.inputs) else 1
    assert 2 * samples * op.macs(*case.inputs) == counter.get_total_flops()
    state = op.state(*case.inputs)
    if isinstance(call, StateCall):
        assert state == {"": call.state}
    elif isinstance(call, FunctionCall):
        assert not state
    else:
        assert module is not None
        actual = [
            (name, tuple(x.shape), str(x.dtype).removeprefix("torch.")) for name, x in module.state_dict().items()
        ]
        assert [(name, x.shape, x.dtype) for name, x in state.items()] == actual
        assert [name for name, x in state.items() if x.trainable] == [name for name, _ in module.named_parameters()]


def rejection(case: Case) -> Problem | None:
    try:
        case.create().outputs(*case.inputs)
    except Problem as problem:
        return problem
    return None


def error_of(attempt: Callable[[], object]) -> Exception | None:
    """What PyTorch raises, if anything, on either device: each lets some mistakes pass that the other sees."""
    for device in ("meta", "cpu"):
        with torch.device(device):
            try:
                attempt()
            except REJECTIONS as error:
                return error
    return None


def torch_error(rejected: Rejected) -> Exception | None:
    def attempt() -> None:
        tensors = rejected.case.tensors()
        if rejected.torch:
            scope = {"torch": torch, "nn": nn, "F": F, "torchvision": torchvision, "math": math}
            eval(rejected.torch, scope | dict(zip("xyz", tensors, strict=False)))  # noqa: S307  from the table above
        else:
            call = rejected.case.create().torch(*rejected.case.inputs)
            run(call, make_module(call), tensors)

    return error_of(attempt)


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_an_accepted_case_agrees_with_torch(case: Case) -> None:
    check_agreement(case)


@pytest.mark.parametrize("rejected", REJECTED, ids=str)
def test_what_netspec_rejects_torch_rejects(rejected: Rejected) -> None:
    assert rejection(rejected.case) is not None
    assert torch_error(rejected) is not None


@pytest.mark.parametrize("rejected", STRICTER, ids=str)
def test_a_documented_exception_is_one(rejected: Rejected) -> None:
    assert rejected.reason
    assert rejection(rejected.case) is not None
    assert torch_error(rejected) is None


@pytest.mark.parametrize("rejected", [*REJECTED, *STRICTER], ids=str)
def test_a_rejection_names_the_mistake_and_the_argument(rejected: Rejected) -> None:
    problem = rejection(rejected.case)
    assert problem is not None
    assert (problem.code, problem.argument) == (rejected.code, rejected.argument)
    assert problem.code in CODES
    assert problem.argument is None or problem.argument in op_class(rejected.case.op).fields()
    for text in (problem.message, *problem.help):
        assert not text[0].isupper()
        assert not text.endswith(".")
        assert "\n" not in text
    assert "{" not in problem.message.replace("{op}", "")


@pytest.mark.parametrize("case", [case for case in ACCEPTED if case.create().initial(*case.inputs)], ids=str)
def test_initial_values_are_those_of_the_constructor(case: Case) -> None:
    """Bit for bit under one seed; attention makes its last projection first, and draws a bias that it sets to 0."""
    op = case.create()
    torch.manual_seed(0)
    module = make_module(op.torch(*case.inputs))
    assert module is not None
    expected = dict([*module.named_parameters(), *module.named_buffers()])
    states, initial = op.state(*case.inputs), op.initial(*case.inputs)
    torch.manual_seed(0)
    for name in sorted(states, key=lambda name: name != "out_proj.weight"):
        tensor = torch.zeros(states[name].shape, dtype=getattr(torch, states[name].dtype))
        if initializer := initial.get(name):
            getattr(nn.init, initializer.function)(tensor, **initializer.arguments())
        if isinstance(initializer, NormalTable):
            tensor[initializer.zero_row] = 0
        if name == "out_proj.weight" and "out_proj.bias" in states:
            torch.rand(states["out_proj.bias"].shape)
        assert torch.equal(tensor, expected[name]), name


# Generated cases -----------------------------------------------------------------------------------------------------

GENERATED = settings(examples(100), derandomize=True)


@st.composite
def maps(draw: st.DrawFn) -> tuple[int, ...]:
    """The shape of a feature map with 1 to 3 spatial axes."""
    channels = draw(st.sampled_from((1, 2, 4, 6)))
    return (channels, *draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))


def sizes(rank: int, least: int, most: int) -> st.SearchStrategy[int | tuple[int, ...]]:
    number = st.integers(least, most)
    return number | st.tuples(*[number] * rank)


def check_against_module(case: Case, make: Callable[[], nn.Module]) -> None:
    """Netspec accepts a case if and only if the module made by hand does, and then agrees with PyTorch.

    An empty output counts as rejected: PyTorch is of two minds about it.
    """

    def attempt() -> None:
        assert make()(*case.tensors()).numel()

    problem, error = rejection(case), error_of(attempt)
    assert (problem is None) == (error is None), f"{case}: netspec says {problem!r}, torch says {error!r}"
    if problem is None:
        check_agreement(case)
    else:
        assert problem.argument in case.arguments


@GENERATED
@given(st.data(), maps())
def test_any_convolution_agrees_with_torch(data: st.DataObject, shape: tuple[int, ...]) -> None:
    rank = len(shape) - 1
    arguments = {
        "out_channels": data.draw(st.sampled_from((1, 2, 4, 6))),
        "kernel_size": data.draw(sizes(rank, 1, 4)),
        "stride": data.draw(sizes(rank, 1, 3)),
        "padding": data.draw(sizes(rank, 0, 3) | st.just("valid")),
        "dilation": data.draw(sizes(rank, 1, 2)),
        "groups": data.draw(st.sampled_from((1, 1, 2, 3, 4))),
        "bias": data.draw(st.booleans()),
        "padding_mode": data.draw(st.sampled_from(("zeros", "zeros", "reflect", "replicate", "circular"))),
    }
    module = getattr(nn, f"Conv{rank}d")
    check_against_module(case("conv", shape, **arguments), lambda: module(shape[0], **arguments))


@GENERATED
@given(st.data(), maps())
def test_any_transposed_convolution_agrees_with_torch(data: st.DataObject, shape: tuple[int, ...]) -> None:
    rank = len(shape) - 1
    arguments = {
        "out_channels": data.draw(st.sampled_from((1, 2, 4, 6))),
        "kernel_size": data.draw(sizes(rank, 1, 4)),
        "stride": data.draw(sizes(rank, 1, 3)),
        "padding": data.draw(sizes(rank, 0, 2)),
        "output_padding": data.draw(sizes(rank, 0, 2)),
        "groups": data.draw(st.sampled_from((1, 1, 2, 3))),
        "bias": data.draw(st.booleans()),
        "dilation": data.draw(sizes(rank, 1, 3)),
    }
    module = getattr(nn, f"ConvTranspose{rank}d")
    check_against_module(case("conv_transpose", shape, **arguments), lambda: module(shape[0], **arguments))


@GENERATED
@given(st.data(), maps(), st.sampled_from(("max_pool", "avg_pool", "lp_pool")))
def test_any_pooling_agrees_with_torch(data: st.DataObject, shape: tuple[int, ...], op: str) -> None:
    rank = len(shape) - 1
    arguments: dict[str, Any] = {"kernel_size": data.draw(sizes(rank, 1, 4))}
    stride = data.draw(st.none() | sizes(rank, 1, 4))
    arguments |= {} if stride is None else {"stride": stride}
    arguments["ceil_mode"] = data.draw(st.booleans())
    if op == "lp_pool":
        arguments["norm_type"] = data.draw(st.sampled_from((1, 2, 2.5)))
        if rank == 1:  # `F.lp_pool1d` takes no list
            arguments["kernel_size"] = data.draw(st.integers(1, 4))
    else:
        arguments["padding"] = data.draw(st.just(0) | sizes(rank, 0, 2))
    if op == "max_pool":
        arguments["dilation"] = data.draw(sizes(rank, 1, 3))
    if op == "avg_pool":
        arguments["count_include_pad"] = data.draw(st.booleans())
        if rank > 1:
            arguments["divisor_override"] = data.draw(st.none() | st.integers(1, 9))
    module = getattr(nn, {"max_pool": "MaxPool", "avg_pool": "AvgPool", "lp_pool": "LPPool"}[op] + f"{rank}d")
    check_against_module(case(op, shape, **arguments), lambda: module(**arguments))


@GENERATED
@given(st.data(), maps(), st.sampled_from(("adaptive_avg_pool", "adaptive_max_pool")))
def test_any_adaptive_pooling_agrees_with_torch(data: st.DataObject, shape: tuple[int, ...], op: str) -> None:
    rank = len(shape) - 1
    size = data.draw(sizes(rank, 1, 12))
    module = getattr(
        nn, {"adaptive_avg_pool": "AdaptiveAvgPool", "adaptive_max_pool": "AdaptiveMaxPool"}[op] + f"{rank}d"
    )
    check_against_module(case(op, shape, output_size=size), lambda: module(size))


@GENERATED
@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(1, 9), st.booleans())
def test_any_linear_layer_agrees_with_torch(shape: list[int], out_features: int, bias: bool) -> None:
    linear = case("linear", tuple(shape), out_features=out_features, bias=bias)
    check_against_module(linear, lambda: nn.Linear(shape[-1], out_features, bias))


# What ops are made of ------------------------------------------------------------------------------------------------


def op_classes(family: str) -> list[type[Op]]:
    members = vars(import_module(f"netspec.ops.{family}")).values()
    mine = [m for m in members if inspect.isclass(m) and issubclass(m, Op) and m.__module__.endswith(f".{family}")]
    return [cls for cls in mine if not cls.__name__.startswith("_")]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_op_class_is_registered(family: str) -> None:
    registered = {cls for module, cls in OP_NAMES.values() if module == family}
    assert {cls.__name__ for cls in op_classes(family)} == registered


def test_no_two_ops_share_a_class() -> None:
    assert len(set(OP_NAMES.values())) == len(OP_NAMES)


def test_ops_are_listed_in_alphabetical_order() -> None:
    names = list(OP_NAMES)
    assert names == sorted(names, key=lambda name: (OP_NAMES[name][0], name))


@pytest.mark.parametrize("op", OP_NAMES)
def test_every_op_has_a_case(op: str) -> None:
    assert any(case.op == op for case in ACCEPTED)


@pytest.mark.parametrize("op", OP_NAMES)
def test_the_variadic_field_comes_first(op: str) -> None:
    cls = op_class(op)
    assert cls.variadic is None or next(iter(cls.fields())) == cls.variadic


@pytest.mark.parametrize("op", OP_NAMES)
def test_the_docstring_of_an_op_says_what_shape_and_cost(op: str) -> None:
    lines = inspect.cleandoc(op_class(op).__doc__ or "").splitlines()
    assert lines[0].endswith((".", ":"))
    assert any(line.startswith("Shape: ") for line in lines)
    assert any(line.startswith("Cost: ") for line in lines)


def signature(case: Case) -> Any:
    """All that an op derives from its fields."""
    try:
        op = case.create()
        return (
            op.outputs(*case.inputs),
            op.state(*case.inputs),
            op.macs(*case.inputs),
            op.torch(*case.inputs),
        )
    except Problem as problem:
        return problem.code


def another(value: Any, annotation: Any) -> Any:
    """A value of the same kind that is a little different."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, tuple):
        return (*(another(item, None) for item in value[:-1]), another(value[-1], None)) if value else (2,)
    return next(word for word in get_args(annotation) if word != value)


FIELDS = [(op, name) for op in OP_NAMES for name in op_class(op).fields()]


@pytest.mark.parametrize(("op", "name"), FIELDS)
def test_every_field_changes_something(op: str, name: str) -> None:
    info = op_class(op).fields()[name]
    for case in ACCEPTED:
        if case.op != op or name not in case.arguments:
            continue
        changed = dict(case.arguments)
        if info.required:
            changed[name] = another(changed[name], info.annotation)
        else:
            del changed[name]
        if signature(replace(case, arguments=changed)) != signature(case):
            return
    pytest.fail(f"no case shows what `{name}` of `{op}` does")


@pytest.mark.parametrize("path", sorted(OPS_FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_no_op_file_imports_torch(path: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert not imported & {"torch", "torchvision", "numpy"}


def test_using_every_op_does_not_load_torch() -> None:
    program = "import sys, netspec.ops as o; [o.op_class(n) for n in o.OP_NAMES]; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


# Facts of single ops -------------------------------------------------------------------------------------------------


def test_attention_drops_out_in_training_alone() -> None:
    inputs = [torch.ones(1, 2, 4, 8) for _ in range(3)]
    call = (
        case("scaled_dot_product_attention", *[(2, 4, 8)] * 3, dropout_p=0.9)
        .create()
        .torch(*[TensorType((2, 4, 8))] * 3)
    )
    assert torch.equal(run(call, None, inputs, training=False)[0], inputs[0])
    assert not torch.equal(run(call, None, inputs, training=True)[0], inputs[0])


def test_causal_attention_sees_no_later_position() -> None:
    attention = case("multihead_attention", SEQUENCE, num_heads=2, is_causal=True)
    call = attention.create().torch(*attention.inputs)
    module, x = make_module(call), torch.rand(1, *SEQUENCE)
    y = torch.cat([x[:, :-1], torch.rand(1, 1, 8)], 1)
    before, after = run(call, module, [x])[0], run(call, module, [y])[0]
    assert torch.allclose(before[:, :-1], after[:, :-1])
    assert not torch.allclose(before[:, -1], after[:, -1])


@pytest.mark.parametrize("shape", MAPS, ids=str)
def test_channels_first_layer_norm_normalizes_over_channels(shape: tuple[int, ...]) -> None:
    call = case("layer_norm", shape, channels_first=True).create().torch(TensorType(shape))
    result = run(call, make_module(call), [torch.rand(2, *shape)])[0]
    assert torch.allclose(result.mean(1), torch.zeros(()), atol=1e-5)


@pytest.mark.parametrize("op", ["gru", "lstm", "rnn"])
def test_the_final_state_of_a_recurrent_layer_has_the_batch_first(op: str) -> None:
    call = case(op, SEQUENCE, hidden_size=6).create().torch(TensorType(SEQUENCE))
    output, final, *_ = run(call, make_module(call), [torch.rand(2, *SEQUENCE)])
    assert torch.equal(final[:, 0], output[:, -1])


def test_added_key_positions_stay_visible_in_causal_attention() -> None:
    attention = case("multihead_attention", SEQUENCE, num_heads=2, is_causal=True, add_bias_kv=True).create()
    call = attention.torch(TensorType(SEQUENCE))
    module, x = make_module(call), torch.rand(1, *SEQUENCE)
    assert module is not None
    before = run(call, module, [x])[0]
    nn.init.constant_(module.get_parameter("bias_v"), 5.0)
    assert not torch.isclose(before, run(call, module, [x])[0]).all(-1).any()


def test_crop_takes_the_middle() -> None:
    x = torch.arange(7.0).reshape(1, 1, 7)
    call = case("crop", (1, 7), size=4).create().torch(TensorType((1, 7)))
    assert run(call, None, [x])[0].flatten().tolist() == [1, 2, 3, 4]


def test_a_parameter_in_a_concat_is_repeated_for_each_sample() -> None:
    types = (whole(1, 1, 2), TensorType((3, 2)))
    token, x = torch.ones(1, 1, 2), torch.zeros(5, 3, 2)
    result = run(case("concat").create().torch(*types), None, [token, x])[0]
    assert result.shape == (5, 4, 2)
    assert result[:, 0].eq(1).all()


def test_a_kernel_wider_than_the_input_fits_with_ceil_mode() -> None:
    pool = case("max_pool", (4, 2, 2), kernel_size=3, stride=2, ceil_mode=True)
    assert pool.create().outputs(*pool.inputs)[0].shape == (4, 1, 1)


@pytest.mark.parametrize("channels_first", [False, True])
def test_windows_are_put_back_where_they_were(channels_first: bool) -> None:
    shape = (4, 6, 9) if channels_first else (6, 9, 4)
    x = torch.rand(2, *shape)
    arguments: dict[str, Any] = {"window_size": (2, 3), "channels_first": channels_first}
    partition = case("window_partition", shape, **arguments).create().torch(TensorType(shape))
    windows = run(partition, None, [x])[0]
    assert torch.equal(windows[:, 1, :, 0], (x[:, 0] if channels_first else x[..., 0])[:, :2, 3:6].flatten(1))
    reverse = case("window_reverse", size=(6, 9), **arguments).create().torch(TensorType((9, 6, 4)))
    assert torch.equal(run(reverse, None, [windows])[0], x)


def test_segments_tell_the_two_sides_of_the_seam_apart() -> None:
    call = case("roll_segments", shifts=(-1, 2), dims=(1, 2)).create().torch(TensorType((3, 4, 8)))
    segments = run(call, None, [torch.zeros(1, 3, 4, 8)])[0]
    assert segments.tolist() == [[0, 0, 2, 2], [0, 0, 2, 2], [1, 1, 3, 3]]
    mask = case("mask_segments", penalty=5).create().torch(TensorType((4, 4)), whole_ints(4))
    scores = run(mask, None, [torch.zeros(1, 4, 4), segments[0]])[0]
    assert scores[0, 0].tolist() == [0, 0, -5, -5]


@pytest.mark.parametrize("window", [(2, 3), (7, 7), (8, 8), (12, 16)], ids=str)
def test_relative_positions_are_those_of_swin(window: tuple[int, int]) -> None:
    swin = ShiftedWindowAttentionV2(8, list(window), [0, 0], 2)
    index = case("relative_position_index", window_size=window, flatten=True).create().torch()
    offsets = case("relative_position_offsets", window_size=window).create().torch()
    assert torch.equal(run(index, None, [])[0], swin.get_buffer("relative_position_index"))
    assert torch.equal(run(offsets, None, [])[0], swin.get_buffer("relative_coords_table"))
