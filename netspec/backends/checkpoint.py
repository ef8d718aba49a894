"""Activation checkpointing: what runs in the generated `forward` of a body with nodes that are `checkpoint`ed.

PyTorch's own checkpoint keeps the inputs of a part of the network and runs it again in the backward pass. Here that
leaves running statistics alone, and joins inputs that were better kept apart.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint as run_again


def checkpoint(
    run: Callable[..., Any], *inputs: torch.Tensor | list[torch.Tensor], training: bool, join: int = 1
) -> Any:
    """What `run` gives for the inputs, of which nothing but the inputs is kept for the backward pass.

    Lists of tensors among the inputs are joined along the axis `join`. Outside of training nothing is computed again.
    """
    joined = partial(_joined, run, join)
    if not training or not torch.is_grad_enabled():
        return joined(*inputs)
    if torch.compiler.is_compiling():  # a compiled function updates statistics once, whatever it computes again
        return run_again(joined, *inputs, use_reentrant=False)
    return run_again(joined, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _StatisticsAside(run)))


def _joined(run: Callable[..., Any], axis: int, *inputs: torch.Tensor | list[torch.Tensor]) -> Any:
    return run(*(torch.cat(x, axis) if isinstance(x, list) else x for x in inputs))


class _StatisticsAside(AbstractContextManager[None]):
    """Inside, what runs updates copies of its running statistics, so that a batch counts once."""

    def __init__(self, run: Callable[..., Any]) -> None:
        modules = run.modules() if isinstance(run, nn.Module) else ()
        self.norms = [module for module in modules if hasattr(module, "num_batches_tracked")]
        self.aside: list[tuple[nn.Module, str, torch.Tensor]] = []

    def __enter__(self) -> None:
        self.aside = [(norm, name, buffer) for norm in self.norms for name, buffer in norm.named_buffers(recurse=False)]
        for norm, name, buffer in self.aside:
            setattr(norm, name, buffer.clone())

    def __exit__(self, *failure: object) -> None:
        for norm, name, buffer in self.aside:
            setattr(norm, name, buffer)
