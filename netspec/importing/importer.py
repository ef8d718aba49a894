"""The recipe behind `netspec.from_module`: a module is captured as a graph, folded into a text, and both compared."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from netspec.compiler import loads
from netspec.diagnostics import Problem, SpecError
from netspec.importing.capture.calls import same_bits
from netspec.importing.capture.capture import batch_like, capture, copied
from netspec.importing.capture.tensors import tensors_in
from netspec.importing.fold.fold import fold

ROUNDING = 1e-5  # differences below it may come from another order of the same sums
SAMPLES = 2  # of the batch that is compared: another number than the one captured


def from_module(
    module: nn.Module,
    *example_inputs: Tensor,
    name: str | None = None,
    max_depth: int | None = None,
    verify: bool = True,
) -> str:
    """The text of a spec for `module`: `netspec.loads(text)` gives its graph.

    `module` is run on random batches like `example_inputs`, which have a batch axis in front; it stays as it is. `name`
    is that of the spec, after the class by default. Modules below `max_depth` levels are written in line, under names
    with dots, so keys stay the same. Of what `torch.compile` made, the module inside is imported.

    With `verify` the spec is built with the weights of the module, and must give the same bits in eval mode. Raises
    `SpecError` with everything that cannot be imported.
    """
    module = getattr(module, "_orig_mod", module)
    if not isinstance(module, nn.Module):
        raise _no_module(module)
    if max_depth is not None and (not isinstance(max_depth, int) or max_depth < 0):
        message = f"`max_depth` is an integer of at least 0, got `{max_depth}`"
        raise SpecError([Problem("wrong-value", message).at(None)])
    text = fold(capture(module, *example_inputs, name=name, max_depth=max_depth))
    if verify:
        check(text, module, *example_inputs)
    return text


def _no_module(given: object) -> SpecError:
    if isinstance(given, type):
        message, help = f"`from_module` takes a module, got the class `{given.__name__}`", f"`{given.__name__}(...)`"
    else:
        message, help = f"`from_module` takes a module, got a {type(given).__name__}", "`netspec import` takes names"
    return SpecError([Problem("cannot-import", message, help=(help,)).at(None)])


def check(text: str, module: nn.Module, *example_inputs: Tensor) -> None:
    """Raise a `SpecError` unless a spec is the module: the same keys, and the same outputs in eval mode."""
    theirs = copied(module).eval()
    ours = loads(text).build(weights=theirs.state_dict()).eval()
    inputs = batch_like(example_inputs, SAMPLES, seed=1)
    with torch.no_grad():
        pairs = list(zip(tensors_in(ours(*inputs)), tensors_in(theirs(*inputs)), strict=True))
    if all(same_bits(*pair) for pair in pairs):
        return
    differences = [(a - b).abs().max().item() for a, b in pairs if a.shape == b.shape]
    notes = (f"outputs differ by up to {max(differences, default=0.0):.2g}",)
    help = ("does it draw random numbers in eval mode, depend on the size of the batch, or call code in C++?",)
    if differences and max(differences) < ROUNDING:
        help = ("tensors may lie in another order in memory, which rounds differently: `--no-verify` takes the spec",)
    message = "the spec computes something else than the module"
    raise SpecError([Problem("import-differs", message, notes=notes, help=help).at(None)])
