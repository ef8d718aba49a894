"""What a run of a module allocates on the CPU, as PyTorch's profiler sees it: the truth that estimates are held to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile


class Peak(NamedTuple):
    """Most bytes at any time, parameters, their gradients and inputs aside.

    `tensors` leaves out the scratch memory of kernels: what one operator allocates and frees again. `kernels` has it.
    """

    tensors: int
    kernels: int


class _Piece(NamedTuple):
    """A piece of memory: when it was allocated and freed, and by which operators, 0 being none."""

    begin: int
    end: int
    size: int
    address: int
    allocated_by: int
    freed_by: int

    @property
    def is_scratch(self) -> bool:
        return bool(self.allocated_by) and self.allocated_by == self.freed_by


def inference(module: nn.Module, *inputs: Tensor) -> Peak:
    """The peak of a run in eval mode, without gradients."""
    module.eval()

    def run() -> Any:
        with torch.no_grad():
            return module(*inputs)

    return _peak(module, run)


def training(module: nn.Module, *inputs: Tensor) -> Peak:
    """The peak of a forward and a backward pass in training mode."""
    module.train()

    def run() -> Any:
        result = module(*inputs)
        _Loss.apply(*([result] if isinstance(result, Tensor) else result)).backward()
        return result

    for parameter in module.parameters():
        parameter.grad = None
    return _peak(module, run)


class _Loss(torch.autograd.Function):
    """A number that takes no memory, and whose gradients do: nobody but the backward pass holds them."""

    @staticmethod
    def forward(ctx: Any, *outputs: Tensor) -> Tensor:
        ctx.shapes = [output.shape for output in outputs]
        return torch.zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        return tuple(map(torch.ones, ctx.shapes))


def _peak(module: nn.Module, run: Callable[[], Any]) -> Peak:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = run()
    pieces = list(_pieces(profiler))
    del result
    last = max(piece.end for piece in pieces)
    kept = {p.grad.untyped_storage().data_ptr() for p in module.parameters() if p.grad is not None}
    pieces = [piece for piece in pieces if not (piece.end == last and piece.address in kept)]
    return Peak(_most([piece for piece in pieces if not piece.is_scratch]), _most(pieces))


def _pieces(profiler: profile) -> Iterator[_Piece]:
    """All that was allocated, in the order of time; what was not freed lives to the end."""
    results: Any = profiler.profiler and profiler.profiler.kineto_results
    pending: list[tuple[Any, int]] = [(event, 0) for event in results.experimental_event_tree()]
    events: list[tuple[int, Any, int]] = []
    while pending:
        event, operator = pending.pop()
        if event.typed[0].name == "Allocation":
            events.append((event.start_time_ns, event.typed[1], operator))
        if not operator and event.name.startswith("aten::"):
            operator = event.start_time_ns
        pending.extend((child, operator) for child in event.children)
    events.sort(key=lambda event: event[0])
    alive: dict[int, tuple[int, int, int]] = {}
    for now, (_, allocation, operator) in enumerate(events):
        if allocation.alloc_size > 0:
            alive[allocation.ptr] = (now, allocation.alloc_size, operator)
        elif allocation.ptr in alive:  # else it was there before
            begin, size, allocated_by = alive.pop(allocation.ptr)
            yield _Piece(begin, now, size, allocation.ptr, allocated_by, operator)
    for address, (begin, size, allocated_by) in alive.items():
        yield _Piece(begin, len(events), size, address, allocated_by, 0)


def _most(pieces: list[_Piece]) -> int:
    """The greatest sum of the sizes of pieces that are there at once."""
    changes: dict[int, int] = {}
    for piece in pieces:
        changes[piece.begin] = changes.get(piece.begin, 0) + piece.size
        changes[piece.end] = changes.get(piece.end, 0) - piece.size
    now = most = 0
    for time in sorted(changes):
        now += changes[time]
        most = max(most, now)
    return most
