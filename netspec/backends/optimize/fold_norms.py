"""Batch norms vanish into the convolution or linear layer before them, which computes the same in eval mode.

A batch norm in eval mode multiplies each channel by a number and adds another, and so does a layer whose weights were
multiplied and whose bias was shifted before. The weights of the module are left alone: the folded ones are new tensors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import fx
from torch.nn import functional

from netspec.backends.optimize.tracing import Program

CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)
TRANSPOSED = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)


class Affine(NamedTuple):
    """What a batch norm does in eval mode: each channel times its `scale`, plus its `shift`; both are (channels,)."""

    scale: torch.Tensor
    shift: torch.Tensor


def affine(program: Program, node: fx.Node) -> Affine:
    """The numbers of a batch norm, calculated with twice the digits that they have."""
    mean, variance, weight, bias = (program.tensor(argument) for argument in node.args[1:5])
    dtype = mean.dtype
    scale = torch.rsqrt(variance.double() + node.args[7])
    if weight is not None:
        scale = scale * weight.double()
    shift = -mean.double() * scale
    if bias is not None:
        shift = shift + bias.double()
    return Affine(scale.to(dtype), shift.to(dtype))


def fold_batch_norms(program: Program) -> None:
    """Fold each batch norm that is the only reader of a layer's result; needs the ranks that `run` has noted."""
    for node in program.calls():
        if node.target is not functional.batch_norm:
            continue
        layer = node.args[0]
        if isinstance(layer, fx.Node) and len(layer.users) == 1 and _folds(layer):
            _fold(program, layer, node)
    program.clean()


def _folds(layer: fx.Node) -> bool:
    """Whether the channels of a layer's result are those of a batch norm behind it."""
    if layer.target is functional.linear:
        return len(layer.meta["shape"]) == 2  # with more axes, a batch norm's channels are another one
    return layer.target in (*CONVOLUTIONS, *TRANSPOSED)


def _fold(program: Program, layer: fx.Node, norm: fx.Node) -> None:
    weight, bias = (program.tensor(argument) for argument in layer.args[1:3])
    scale, shift = affine(program, norm)
    folded = _scaled(weight, scale, layer)
    shift = shift if bias is None else torch.addcmul(shift, bias, scale)
    with program.graph.inserting_before(layer):
        arguments: tuple[Any, ...] = (
            layer.args[0],
            program.read(folded, f"{layer.name}_weight"),
            program.read(shift, f"{layer.name}_bias"),
            *layer.args[3:],
        )
    layer.args = arguments
    norm.replace_all_uses_with(layer)
    program.graph.erase_node(norm)


def _scaled(weight: torch.Tensor, scale: torch.Tensor, layer: fx.Node) -> torch.Tensor:
    """The weight with each output channel times its scale; a transposed convolution has its groups before them."""
    ones = (1,) * (weight.dim() - 2)
    if layer.target not in TRANSPOSED:
        return weight * scale.view(-1, 1, *ones)
    groups: Any = layer.args[6]
    split = weight.view(groups, -1, *weight.shape[1:])
    return (split * scale.view(groups, 1, -1, *ones)).view_as(weight)
