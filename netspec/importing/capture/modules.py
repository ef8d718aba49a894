"""A layer in, the op that constructs an equal one out: the inverse of `Op.torch`.

The fields of an op carry PyTorch's names, so they are read from the module's attributes. What the op then constructs
must have the same class, the same plain attributes and tensors of the same shapes; otherwise it is no such layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from netspec.diagnostics import Problem
from netspec.importing.capture.calls import Term, module_class
from netspec.importing.capture.layout import Layout
from netspec.ops import OP_NAMES, op_class
from netspec.ops.base import ModuleCall, Op

_BY_RANK = {
    "Conv": "conv",
    "ConvTranspose": "conv_transpose",
    "BatchNorm": "batch_norm",
    "InstanceNorm": "instance_norm",
    "MaxPool": "max_pool",
    "AvgPool": "avg_pool",
    "LPPool": "lp_pool",
    "AdaptiveAvgPool": "adaptive_avg_pool",
    "AdaptiveMaxPool": "adaptive_max_pool",
    "Dropout": "spatial_dropout",
}
_BY_NAME = {
    "Linear": "linear",
    "Embedding": "embedding",
    "LayerNorm": "layer_norm",
    "GroupNorm": "group_norm",
    "LocalResponseNorm": "local_response_norm",
    "MultiheadAttention": "multihead_attention",
    "Upsample": "upsample",
    "Flatten": "flatten",
    "ChannelShuffle": "channel_shuffle",
    "PixelShuffle": "pixel_shuffle",
    "PixelUnshuffle": "pixel_unshuffle",
    "LSTM": "lstm",
    "GRU": "gru",
    "RNN": "rnn",
    "Dropout": "dropout",
    "AlphaDropout": "alpha_dropout",
    "FeatureAlphaDropout": "feature_alpha_dropout",
}
_ELSEWHERE = {
    ("torchvision.ops.stochastic_depth", "StochasticDepth"): "stochastic_depth",
    ("timm.layers.drop", "DropPath"): "stochastic_depth",
}
_AXES = ("dim", "start_dim", "end_dim")


class Leaf(NamedTuple):
    """A module that is one op: which of its arguments are the inputs, and how each output is taken and lies."""

    op: Op
    kind: str
    inputs: tuple[str, ...]
    takes: tuple[Callable[[Any], Tensor], ...]
    layouts: tuple[Layout, ...]


def recognize(module: nn.Module, arguments: Mapping[str, Term], kwargs: Mapping[str, Any]) -> Leaf | None:
    """The op of a module that is called with `arguments`, or None where it has none."""
    kind = _kinds().get(type(module)) or _elsewhere(type(module))
    if kind is None:
        return None
    terms = list(arguments.values())
    layout = terms[0].layout
    if not layout.plain and any(hasattr(module, name) for name in _AXES):
        return None  # its axis numbers are those of the code
    try:
        if isinstance(module, nn.MultiheadAttention):
            return _attention(module, arguments, kwargs)
        if len(arguments) != 1:
            return None
        op = _op(kind, module)
        types = (terms[0].value.type,)
        op.outputs(*types)
        call = op.torch(*types)
    except (Problem, AttributeError):
        return None
    if not isinstance(call, ModuleCall) or not (_is_stand_in(module) or _equal(module, call)):
        return None
    names = tuple(arguments)
    if isinstance(module, nn.RNNBase):
        return _recurrent(module, op, kind, names)
    return Leaf(op, kind, names, (lambda output: output,), (layout,))


@cache
def _kinds() -> dict[type, str]:
    """The op of each class of PyTorch that is a layer."""
    found = {getattr(nn, name): kind for name, kind in _BY_NAME.items()}
    for name, kind in _BY_RANK.items():
        for rank in (1, 2, 3):
            found[getattr(nn, f"{name}{rank}d")] = kind
    for name, (family, _) in OP_NAMES.items():
        if family == "activation" and hasattr(op_class(name), "target"):
            found[module_class(op_class(name).target)] = name  # type: ignore[attr-defined]
    return found


def _elsewhere(cls: type) -> str | None:
    return _ELSEWHERE.get((cls.__module__, cls.__name__))


def _is_stand_in(module: nn.Module) -> bool:
    """Whether a module is another library's form of the one that the op constructs; timm scales what it keeps, too."""
    return type(module).__module__ == "timm.layers.drop" and bool(module.scale_by_keep)


def _op(kind: str, module: nn.Module) -> Op:
    """The op whose fields are the attributes of a module. Raises `Problem` or `AttributeError`."""
    cls = op_class(kind)
    given: dict[str, Any] = {}
    for name in cls.fields():
        value = getattr(module, _ATTRIBUTES.get((type(module).__name__, name), name), _MISSING)
        if name == "bias" and not isinstance(value, bool):
            value = value is not None
        if value is not _MISSING:
            given[name] = compact(value)
    if isinstance(module, nn.LayerNorm):
        given["axes"] = len(module.normalized_shape)
    if given.get("padding_mode") and isinstance(given["padding"], str):
        given["padding"] = compact(_padding(module))
    return cls(**given)


_MISSING = object()
_ATTRIBUTES = {("DropPath", "p"): "drop_prob"}


def _padding(module: nn.Module) -> tuple[int, ...]:
    """The numbers behind a word of padding. Raises `Problem` where they differ on the two sides."""
    numbers: list[int] = vars(module)["_reversed_padding_repeated_twice"]
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))[::-1]
    if any(before != behind for before, behind in pairs):
        raise Problem("cannot-import", "padding differs on the two sides")
    return tuple(before for before, _ in pairs)


def compact(value: Any) -> Any:
    """A list as a tuple, and one number in place of equal ones for each axis."""
    if isinstance(value, list | tuple):
        values = tuple(value)
        return values[0] if values and len(set(values)) == 1 and isinstance(values[0], int | float) else values
    return value


def _equal(module: nn.Module, call: ModuleCall) -> bool:
    """Whether a call constructs a module like this one."""
    if type(module) is not module_class(call.target):
        return False
    made = _constructed(call.target, repr((call.args, call.kwargs)), call)
    return _attributes(module) == _attributes(made) and _tensors(module) == _tensors(made)


_MADE: dict[tuple[str, str], nn.Module] = {}


def _constructed(target: str, arguments: str, call: ModuleCall) -> nn.Module:
    """The module of a call, without memory; those of equal arguments are one."""
    if (target, arguments) not in _MADE:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            _MADE[target, arguments] = module_class(target)(*call.args, **call.kwargs)
    return _MADE[target, arguments]


def _attributes(module: nn.Module) -> dict[str, Any]:
    """What a module was constructed with; whether it writes over its input is not up to the spec."""
    left_out = ("training", "inplace")
    kept = {name: value for name, value in vars(module).items() if name[0] != "_" and name not in left_out}
    if isinstance(kept.get("padding"), str):
        kept["padding"] = _padding(module)
    return {name: compact(value) for name, value in kept.items() if not isinstance(value, nn.Module | dict)}


def _tensors(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors of a module."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: tuple(tensor.shape) for name, tensor in named}


# Layers with several inputs or outputs -------------------------------------------------------------------------------


def _attention(module: nn.MultiheadAttention, arguments: Mapping[str, Term], kwargs: Mapping[str, Any]) -> Leaf | None:
    """Attention with one, two or three different inputs, whose weights nobody reads."""
    if set(arguments) != {"query", "key", "value"} or not module.batch_first:
        return None
    query, key, value = (arguments[name] for name in ("query", "key", "value"))
    inputs: tuple[str, ...] = ("query", "key", "value")
    if key.value is value.value:
        inputs = ("query",) if query.value is key.value else ("query", "key")
    op = op_class("multihead_attention")(
        num_heads=module.num_heads,
        dropout=module.dropout,
        bias=module.in_proj_bias is not None,
        add_bias_kv=module.bias_k is not None,
        add_zero_attn=module.add_zero_attn,
    )
    types = [arguments[name].value.type for name in inputs]
    op.outputs(*types)
    call = op.torch(*types)
    assert isinstance(call, ModuleCall)
    if kwargs.get("attn_mask") is not None or kwargs.get("key_padding_mask") is not None or not _equal(module, call):
        return None
    return Leaf(op, "multihead_attention", inputs, (lambda output: output[0],), (query.layout,))


def _recurrent(module: nn.RNNBase, op: Op, kind: str, names: tuple[str, ...]) -> Leaf | None:
    """A recurrent layer: the batch of its final states is their second axis."""
    if not module.batch_first:
        return None
    states = Layout(1)
    if kind == "lstm":
        return Leaf(op, kind, names, (lambda o: o[0], lambda o: o[1][0], lambda o: o[1][1]), (Layout(), states, states))
    return Leaf(op, kind, names, (lambda o: o[0], lambda o: o[1]), (Layout(), states))
