"""Weights of a checkpoint become those of a network, which is made without memory of its own.

What a network holds is known from its graph, so a checkpoint is compared with it before anything is built. Nothing is
initialized but what the checkpoint leaves out, such as a head for other classes.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from torch import nn

from netspec.backends.module import attach, body_module, initialize
from netspec.diagnostics import Diagnostic, Problem, SpecError, listing, suggest
from netspec.expressions import show
from netspec.files import extra
from netspec.graph import Body, Graph, Node

Weights = str | Path | Mapping[str, torch.Tensor]

SUFFIXES = (".safetensors", ".pth", ".pt")
MOST_ROWS = 12  # of a table of what does not fit


class Mismatch(NamedTuple):
    """An entry of a checkpoint whose shape is not the one that the network needs."""

    key: str
    found: tuple[int, ...]
    needed: tuple[int, ...]

    def __str__(self) -> str:
        return f"`{self.key}` is {_shape(self.found)} there and {_shape(self.needed)} here"


class LoadReport(NamedTuple):
    """What became of the entries of a checkpoint, by key.

    `redrawn` are initialized, since they have another shape; `missing` are not in the checkpoint, and `unexpected` not
    in the network.
    """

    source: str
    loaded: tuple[str, ...]
    redrawn: tuple[Mismatch, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        text = f"{len(self.loaded)} tensors from {self.source}"
        if self.redrawn:
            text += f"; initialized: {', '.join(map(str, self.redrawn))}"
        return text


def build_with_weights(graph: Graph, weights: Weights, *, device: str | None = None) -> tuple[nn.Module, LoadReport]:
    """The network with the weights of a checkpoint, in training mode, and what became of its entries.

    `weights` is a file, the name of weights that are published for the network, or a `state_dict`. Where the spec was
    loaded with parameters of its own, such as another number of classes, entries of another shape are initialized.
    Raises `SpecError` with a table of what does not fit.
    """
    source, tensors = _read(graph, weights)
    report = compare(graph, source, tensors)
    if report.missing or report.unexpected or (report.redrawn and not graph.overridden):
        raise SpecError([_unfit(report)])
    with torch.device("meta"):
        module = body_module(graph.root, graph.name)
    taken = {key: tensors[key] for key in report.loaded}
    owners = dict(module.named_modules())
    for path, node in graph.walk():
        if not isinstance(node.target, Body) and not node.shares:
            _fill(owners, graph, path, node, taken, device)
    if report.redrawn:
        warnings.warn(str(report), stacklevel=3)
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
    counters = ("num_batches_tracked",)  # PyTorch before 0.4.1 had none, and starts them at 0 since
    return LoadReport(
        source,
        tuple(key for key in held if key in tensors and key not in other),
        redrawn,
        tuple(key for key in held if key not in tensors and not key.endswith(counters)),
        tuple(key for key in tensors if key not in held and key.partition(".")[0] not in graph.root.absent),
    )


def _fill(
    owners: dict[str, nn.Module],
    graph: Graph,
    path: str,
    node: Node,
    tensors: dict[str, torch.Tensor],
    device: str | None,
) -> None:
    """Put tensors in the place of those without memory that the node at `path` holds."""
    states = node.target.state(*node.input_types) if not isinstance(node.target, Body) else {}
    fresh: dict[str, torch.Tensor] | None = None
    for name, state in states.items():
        key = f"{path}.{name}" if name else path
        if key in tensors:
            value = tensors[key].to(device=device, dtype=getattr(torch, state.dtype))
        else:
            fresh = fresh if fresh is not None else dict(_initialized(graph, path, node, device))
            value = fresh[name]
        owner_path, _, own_name = key.rpartition(".")
        owner = owners[owner_path]
        if state.trainable:
            owner._parameters[own_name] = nn.Parameter(value.detach())
        else:
            owner._buffers[own_name] = value


def _initialized(graph: Graph, path: str, node: Node, device: str | None) -> Iterator[tuple[str, torch.Tensor]]:
    """What the node at `path` holds, initialized, by name."""
    holder = nn.Module()
    with torch.device(device or "cpu"):
        attach(holder, node)
        for assignment in graph.initializers:
            if assignment.path == path:
                initialize(holder, node.name, assignment)
    held: Any = getattr(holder, node.name)
    if isinstance(held, torch.Tensor):
        yield "", held
    else:
        yield from held.named_parameters()
        yield from held.named_buffers()


# Checkpoints ---------------------------------------------------------------------------------------------------------


def _read(graph: Graph, weights: Weights) -> tuple[str, Mapping[str, torch.Tensor]]:
    """What to call a checkpoint, and its tensors."""
    if isinstance(weights, Mapping):
        return "the state_dict", weights
    path = Path(weights)
    if path.suffix in SUFFIXES:
        if not path.is_file():
            raise SpecError([Problem("unknown-weights", f"there is no file `{path}`").at(None)])
        return str(path), read_file(path)
    for name, value in graph.weights_need.items():
        if graph.root.arguments.get(name) != value:
            message = f"the published weights of `{graph.name}` were trained with `{name}: {show(value)}`"
            help = (f"`netspec.load(..., {name}={value!r})`, or `--set {name}={show(value)}`",)
            raise SpecError([Problem("weights-mismatch", message, help=help).at(None)])
    file = published_file(graph, str(weights))
    return f"{weights} ({file.name})", read_file(file)


def read_file(path: Path) -> Mapping[str, torch.Tensor]:
    """The tensors of a checkpoint, mapped into memory where its format allows it. Pickles may hold tensors alone."""
    try:
        if path.suffix == ".safetensors":
            loaded: Any = extra("safetensors.torch", "torch", "a .safetensors file").load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except SpecError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise SpecError([Problem("unreadable-weights", f"cannot read `{path}`: {reason}").at(None)]) from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise SpecError([Problem("unreadable-weights", f"`{path}` does not hold tensors by name").at(None)])
    return loaded


def published(graph: Graph, name: str) -> Any:
    """torchvision's entry for published weights, such as `DEFAULT`: it has `transforms()` and `meta["categories"]`.

    Raises `SpecError` where none are published under that name.
    """
    library, _, builder = graph.weights.partition("/")
    if library != "torchvision":
        message = f"no weights are published for `{graph.name}`, so `{name}` is none of them"
        raise SpecError(
            [Problem("unknown-weights", message, help=("name a file: .safetensors, .pth or .pt",)).at(None)]
        )
    entries = extra("torchvision", "torch", "published weights").models.get_model_weights(builder)
    names = ["DEFAULT", *(entry.name for entry in entries)]
    if name not in names:
        help = suggest(name, names) or (f"there are {listing(names)}, or name a file",)
        message = f"`{name}` is neither a file of weights nor the name of any for `{graph.name}`"
        raise SpecError([Problem("unknown-weights", message, help=help).at(None)])
    return entries[name]


def published_file(graph: Graph, name: str) -> Path:
    """The file of published weights: that in the cache of `torch.hub`, or downloaded into it and checked."""
    url = published(graph, name).url
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if not file.is_file():
        digest = re.search(r"-([a-f0-9]{8,})\.", file.name)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            prefix = digest[1] if digest else None
            torch.hub.download_url_to_file(url, str(file), prefix, progress=sys.stderr.isatty())
        except (URLError, OSError, RuntimeError) as error:
            reason = str(getattr(error, "reason", error))
            help = (f"download {url} elsewhere and put it at {file}",)
            problem = Problem("download-failed", f"cannot download `{file.name}`: {reason}", help=help)
            raise SpecError([problem.at(None)]) from None
    return file


def _unfit(report: LoadReport) -> Diagnostic:
    rows = [f"missing there: `{key}`{_near(key, report.unexpected)}" for key in report.missing]
    rows += [f"missing here: `{key}`" for key in report.unexpected]
    rows += [str(mismatch) for mismatch in report.redrawn]
    more = (f"and {len(rows) - MOST_ROWS} more",) if len(rows) > MOST_ROWS else ()
    message = f"{len(rows)} entries of {report.source} do not fit the network"
    return Diagnostic("weights-mismatch", message, notes=(*rows[:MOST_ROWS], *more))


def _near(key: str, others: tuple[str, ...]) -> str:
    near = suggest(key, others)
    return f" ({near[0]})" if near else ""


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"
