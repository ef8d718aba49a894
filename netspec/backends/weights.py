"""Weights of a checkpoint become those of a network, which is made without memory of its own.

What a network holds is known from its graph, so a checkpoint is compared with it before anything is built. Nothing is
initialized but what the checkpoint leaves out, such as a head for other classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import is_zipfile

import torch
from torch import nn

from netspec.backends.module import to_module
from netspec.backends.published import DEFAULT, find_published, published_file
from netspec.diagnostics import Diagnostic, Problem, SpecError, first_line, suggest
from netspec.expressions import show
from netspec.files import WEIGHT_FILES, extra, unknown_format
from netspec.graph import Graph
from netspec.paths import covering

Weights = str | Path | Mapping[str, torch.Tensor]

WRAPPERS = ("state_dict", "model")  # under which training scripts put the tensors beside their own notes
COUNTER = "num_batches_tracked"  # of a batch norm; PyTorch before 0.4.1 had none, and it starts at 0
MOST_ROWS = 12  # of a table of what does not fit, and of a list in a report

RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\."), r"\1\2."),
    (re.compile(r"\.mlp\.linear_1\."), ".mlp.0."),
    (re.compile(r"\.mlp\.linear_2\."), ".mlp.3."),
)
"""What modules were called when torchvision published its DenseNets and vision transformers, and what they are now."""


class Mismatch(NamedTuple):
    """An entry of a checkpoint whose shape is not the one that the network needs."""

    key: str
    found: tuple[int, ...]
    needed: tuple[int, ...]

    def __str__(self) -> str:
        return f"`{self.key}` is {_shape(self.found)} there and {_shape(self.needed)} here"


class LoadReport(NamedTuple):
    """What became of the entries of a checkpoint, and of those of the network, by key.

    `loaded` are taken over. `redrawn` have another shape and `missing` are not in the checkpoint: they are initialized.
    `unexpected` are not in the network; `left_out` belong to parts of it that were left out on purpose. Both are
    skipped. `counters` of batch norms are not in old checkpoints, and start at 0.
    """

    source: str
    loaded: tuple[str, ...]
    redrawn: tuple[Mismatch, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    counters: tuple[str, ...] = ()

    @property
    def as_expected(self) -> bool:
        """Whether all that the network holds is loaded, and all that was not left out on purpose is used."""
        return not (self.redrawn or self.missing or self.unexpected)

    def __str__(self) -> str:
        unfit = [mismatch.key for mismatch in self.redrawn]
        held = len(self.loaded) + len(unfit) + len(self.missing) + len(self.counters)
        initialized = [str(mismatch) for mismatch in self.redrawn]
        in_part = (*self.loaded, *unfit, *self.counters)
        initialized += [f"`{path}` is missing there" for path in covering(self.missing, in_part)]
        skipped = [f"`{path}`" for path in covering((*self.unexpected, *self.left_out), in_part)]
        parts = [f"{held if len(self.loaded) == held else f'{len(self.loaded)} of {held}'} tensors from {self.source}"]
        if initialized:
            parts.append(f"initialized: {', '.join(_first(initialized))}")
        if skipped:
            parts.append(f"skipped: {', '.join(_first(skipped))}")
        if self.counters:
            parts.append(f"{len(self.counters)} counters of batch norms start at 0")
        return "; ".join(parts)


def build_with_weights(
    graph: Graph, weights: Weights, *, seed: int | None = None, device: str | None = None
) -> tuple[nn.Module, LoadReport]:
    """The network with the weights of a checkpoint, in training mode, and what became of its entries.

    `weights` is a file, the name of weights that the spec names, or a `state_dict`. Where the network is adapted from
    the one that they were trained for, what fits is taken and the rest initialized, from `seed` where there is one.
    Raises `SpecError` with a table of what does not fit.
    """
    source, tensors = _read(graph, weights)
    tensors = _renamed(graph, tensors)
    report = compare(graph, source, tensors)
    if not report.as_expected and not (graph.adapted and report.loaded):
        raise SpecError([_unfit(report)])
    taken = {key: tensors[key] if device is None else tensors[key].to(device) for key in report.loaded}
    module = to_module(graph, seed=seed, device=device, given=taken)
    return module, report


def compare(graph: Graph, source: str, tensors: Mapping[str, torch.Tensor]) -> LoadReport:
    """Compare what a checkpoint has with what a network holds."""
    held = graph.state()
    redrawn = tuple(
        Mismatch(key, tuple(tensors[key].shape), state.shape)
        for key, state in held.items()
        if key in tensors and tuple(tensors[key].shape) != state.shape
    )
    other = {mismatch.key for mismatch in redrawn}
    absent = tuple(f"{name}." for name in graph.root.absent)
    more = [key for key in tensors if key not in held]
    left_out = {key for key in more if key in graph.left_out or f"{key}.".startswith(absent)}
    missing = [key for key in held if key not in tensors]
    return LoadReport(
        source,
        tuple(key for key in held if key in tensors and key not in other),
        redrawn,
        tuple(key for key in missing if not key.endswith(COUNTER)),
        tuple(key for key in more if key not in left_out),
        tuple(key for key in more if key in left_out),
        tuple(key for key in missing if key.endswith(COUNTER)),
    )


def _renamed(graph: Graph, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """The tensors under the names of today, where the network has such and the checkpoint has older ones."""
    held = graph.state().keys() | graph.left_out
    names = {}
    for key in tensors:
        names[key] = key
        for pattern, now in RENAMED if key not in held else ():
            if (name := pattern.sub(now, key)) in held:
                names[key] = name
    return {names[key]: value for key, value in tensors.items()}


# Checkpoints ---------------------------------------------------------------------------------------------------------


def _read(graph: Graph, weights: Weights) -> tuple[str, Mapping[str, torch.Tensor]]:
    """What to call a checkpoint, and its tensors."""
    if isinstance(weights, Mapping):
        return "the state_dict", weights
    if not isinstance(weights, str | Path):
        message = f"`weights` is a file, a name or a `state_dict`, got a {type(weights).__name__}"
        raise SpecError([Problem("wrong-type", message).at(None)])
    path = Path(weights)
    if path.suffix in WEIGHT_FILES:
        return str(path), read_file(path)
    if path.is_file():
        raise unknown_format(path, list(WEIGHT_FILES))
    for name, value in graph.weights_need.items():
        if graph.root.arguments.get(name) != value:
            message = f"the weights of `{graph.name}` were trained with `{name}: {show(value)}`"
            help = (f"`netspec.load(..., {name}={value!r})`, or `--set {name}={show(value)}`",)
            raise SpecError([Problem("weights-mismatch", message, help=help).at(None)])
    file = weights_file(graph, str(weights))
    return f"{weights} ({file.name})", read_file(file)


def weights_file(graph: Graph, name: str) -> Path:
    """The file of the weights called `name` that the spec names: its own, or one that a library publishes."""
    own = Path(graph.weights)
    if own.suffix not in WEIGHT_FILES:
        return published_file(find_published(graph.name, graph.weights, name))
    if name != DEFAULT:
        message = f"`{name}` is neither a file of weights nor the name of any for `{graph.name}`"
        help = (f"`{DEFAULT}` is `{own.name}`",)
        raise SpecError([Problem("unknown-weights", message, help=help).at(None)])
    return own


def read_file(path: Path) -> Mapping[str, torch.Tensor]:
    """The tensors of a checkpoint, mapped into memory where its format allows it. Pickles may hold tensors alone."""
    if not path.is_file():
        raise SpecError([Problem("unknown-weights", f"there is no file `{path}`").at(None)])
    try:
        if path.suffix == ".safetensors":
            loaded: Any = extra("safetensors.torch", "torch", "a .safetensors file").load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    except SpecError:
        raise
    except Exception as error:
        problem = Problem("unreadable-weights", f"cannot read `{path}`: {first_line(error)}")
        raise SpecError([problem.at(None)]) from None
    for wrapper in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise SpecError([Problem("unreadable-weights", f"`{path}` does not hold tensors by name").at(None)])
    return loaded


def _unfit(report: LoadReport) -> Diagnostic:
    rows = [f"missing there: `{key}`{_near(key, report.unexpected)}" for key in report.missing]
    rows += [f"missing here: `{key}`" for key in report.unexpected]
    rows += [str(mismatch) for mismatch in report.redrawn]
    entries = "1 entry" if len(rows) == 1 else f"{len(rows)} entries"
    message = f"{entries} of {report.source} {'does' if len(rows) == 1 else 'do'} not fit the network"
    return Diagnostic("weights-mismatch", message, notes=tuple(_first(rows)))


def _first(rows: list[str]) -> list[str]:
    return rows if len(rows) <= MOST_ROWS else [*rows[:MOST_ROWS], f"and {len(rows) - MOST_ROWS} more"]


def _near(key: str, others: tuple[str, ...]) -> str:
    near = suggest(key, others)
    return f" ({near[0]})" if near else ""


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"
