"""What `netspec build` says: the module is built, fed one batch of noise in eval mode, and measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from netspec.backends.export import check_formats, export
from netspec.backends.module import Init, freeze_parameters, to_module
from netspec.backends.program import sample
from netspec.backends.weights import build_with_weights
from netspec.files import extra, unknown_format, whole
from netspec.paths import covering
from netspec.quantities import byte_size, short

if TYPE_CHECKING:
    from torch import nn

    from netspec.graph import Graph

WEIGHT_FORMATS = (".safetensors", ".pth")


def build_and_report(
    graph: Graph,
    *,
    weights: str | None,
    init: Init = "once",
    seed: int | None,
    freeze: Iterable[str],
    checkpoint: Iterable[str] = (),
    batch: int,
    optimized: str | None = None,
    outputs: Iterable[str] = (),
) -> str:
    """Build the module, run it once, optimize it for a dtype and write files where asked, and describe all of it."""
    check_formats(outputs)
    graph = replace(graph, freeze=(*graph.freeze, *freeze), checkpoint=(*graph.checkpoint, *checkpoint))
    frozen = graph.frozen()
    peaks = [graph.activation_memory(batch=batch, training=training) for training in (False, True)]
    start = perf_counter()
    loaded = None
    if weights is None:
        module = to_module(graph, init=init, seed=seed)
    else:
        module, loaded = build_with_weights(graph, weights, seed=seed)
    freeze_parameters(module, frozen)
    build_seconds = perf_counter() - start
    inputs = [sample(type, batch) for type in graph.inputs.values()]
    module.eval()
    start = perf_counter()
    with torch.inference_mode():
        results = _tensors(module(*inputs))
    run_seconds = perf_counter() - start
    size = sum(p.nbytes for p in module.parameters()) + sum(b.nbytes for b in module.buffers())
    lines = [
        ("network", f"{graph.name}, built in {build_seconds:.2f} s"),
        ("inputs", ", ".join(f"{name}: {type}" for name, type in graph.inputs.items())),
        ("outputs", ", ".join(f"{name}: {type}" for name, type in graph.outputs.items())),
        ("parameters", f"{sum(p.numel() for p in module.parameters()):,}, {byte_size(size)} with buffers"),
        ("cost", f"{short(graph.macs)}MACs, {short(2 * graph.macs)}FLOPs for one sample"),
        ("memory", f"activations take {byte_size(peaks[0])} at most in eval mode, {byte_size(peaks[1])} in training"),
        ("run", f"a batch of {batch} in {run_seconds:.3f} s, giving {_shapes(results)}"),
    ]
    if optimized is not None:
        lines.extend(_optimized(module, inputs, optimized))
    if frozen:
        lines.append(("frozen", _frozen(module)))
    if loaded is not None:
        lines.append(("weights", str(loaded)))
    for output in outputs:
        lines.append(("saved", export(graph, output, module)))
    return "\n".join(f"{name:<10}  {text}" for name, text in lines)


def _optimized(module: nn.Module, inputs: list[torch.Tensor], dtype: str) -> Iterator[tuple[str, str]]:
    """What came of optimizing, line by line."""
    from netspec.backends.optimize.optimize import optimize

    plan = optimize(module, *inputs, dtype=dtype).plan
    for number, line in enumerate(str(plan).splitlines()):
        yield ("" if number else "optimized", line)


def save_weights(module: nn.Module, path: str | Path) -> None:
    """Write the `state_dict` of `module` to a `.safetensors` or `.pth` file, whole or not at all."""
    state = {key: value.contiguous() for key, value in module.state_dict().items()}
    suffix = Path(path).suffix
    if suffix not in WEIGHT_FORMATS:
        raise unknown_format(path, list(WEIGHT_FORMATS))
    save = extra("safetensors.torch", "torch", "a .safetensors file").save_file if suffix == ".safetensors" else None
    with whole(path) as temporary:
        try:
            if save is not None:
                save(state, temporary, metadata={"format": "pt"})
            else:
                torch.save(state, temporary)
        except Exception as error:  # each library has a kind of its own, and PyTorch's does not name the cause
            raise OSError("the disk may be full") from error


def _frozen(module: nn.Module) -> str:
    """How many parameters are not trained, and the paths that hold them."""
    frozen = {name: p.numel() for name, p in module.named_parameters() if not p.requires_grad}
    trained = {name: p.numel() for name, p in module.named_parameters() if p.requires_grad}
    paths = ", ".join(covering(frozen, trained))
    return f"{sum(frozen.values()):,} parameters in {paths}; {sum(trained.values()):,} are trained"


def _tensors(result: Any) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    return list(result.values()) if isinstance(result, dict) else list(result)


def _shapes(tensors: list[torch.Tensor]) -> str:
    return ", ".join("×".join(map(str, tensor.shape)) for tensor in tensors)
