"""A module in, its graph out: the tree of modules one to one, each layer and function an op.

The module is copied and run twice, in eval mode and in training mode, on a batch made like the example inputs. What the
runs did is merged and becomes bodies. The module itself is left as it was.
"""

from __future__ import annotations

import inspect
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from netspec.diagnostics import Problem, SpecError, first_line, listing
from netspec.graph import Graph
from netspec.importing.capture.body import to_graph
from netspec.importing.capture.merge import merge
from netspec.importing.capture.mistakes import Report
from netspec.importing.capture.record import Recorder, UnbatchedError
from netspec.importing.capture.steps import Run
from netspec.importing.capture.tensors import DTYPES, input_name, kind_of
from netspec.importing.capture.tidy import tidy
from netspec.recursion import deep_recursion

BATCH = 3  # samples of a run; no network is made for as many
MOST_TIES = 20  # that are reported
MOST_LAZY = 5  # layers that are named


@deep_recursion
def capture(module: nn.Module, *examples: Tensor, name: str | None = None, max_depth: int | None = None) -> Graph:
    """The graph of what `module` does with inputs like `examples`, which have a batch axis.

    Modules deeper than `max_depth` are written in line, under names with dots. Raises `SpecError` with everything that
    cannot be imported.
    """
    _check_layers(module)
    report = Report()
    inputs = _inputs(module, examples)
    own = copied(module)
    _check_ties(own)
    buffers = {key: buffer.clone() for key, buffer in own.named_buffers()}
    run = _run(own.eval(), inputs, examples, report)
    training = _run(own.train(), inputs, examples, report)
    report.raise_if_failed()
    merge(run, training, report)
    report.raise_if_failed()
    with torch.no_grad():
        for key, buffer in own.named_buffers():
            buffer.copy_(buffers[key])
    graph = to_graph(tidy(run), name or kind_of(module), max_depth, report)
    report.raise_if_failed()
    assert graph is not None, "a module that returns nothing was reported"
    _check_keys(own, graph)
    return graph


def _check_layers(module: nn.Module) -> None:
    """Raise a `SpecError` for a single layer, whose weights have no path, and for layers that have no weights yet."""
    if type(module).__module__.startswith("torch.nn.") and module._parameters:
        help = "put it into an `nn.Sequential`"
        if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
            help = "import a module whose `forward` calls it and returns tensors, such as `self.layer(...)[0]`"
        raise _refused("a single layer has no name in the network", help)
    lazy = [path or "the module itself" for path, child in module.named_modules() if _is_lazy(child)]
    if lazy:
        message = f"{listing(lazy[:MOST_LAZY])} got no weights yet, as the module has never run"
        raise _refused(message, "run the module once first: `module(example)`")


def _is_lazy(module: nn.Module) -> bool:
    return any(map(is_lazy, (*module.parameters(recurse=False), *module.buffers(recurse=False))))


def batch_like(examples: tuple[Tensor, ...], size: int, seed: int) -> list[Tensor]:
    """Random samples like the examples; whole numbers are taken from the examples, as they may be positions."""
    generator = torch.Generator().manual_seed(seed)
    batch = []
    for example in examples:
        sample = example.detach().cpu()
        if sample.is_floating_point():
            batch.append(torch.randn((size, *sample.shape[1:]), generator=generator))
        else:
            batch.append(sample[torch.arange(size) % len(sample)])
    return batch


def _inputs(module: nn.Module, examples: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """A batch for a run, by the names that the inputs of the network get. Raises `SpecError`."""
    for example in examples:
        if not isinstance(example, Tensor) or example.dim() == 0 or not len(example):
            given = f"one of shape {tuple(example.shape)}" if isinstance(example, Tensor) else type(example).__name__
            raise _refused(f"an example input is a tensor with a batch axis, got {given}")
        if not example.is_floating_point() and example.dtype not in DTYPES:
            raise _refused(f"an input of dtype {example.dtype} cannot be declared")
    if not examples:
        raise _refused("a network is imported by running it on an example input")
    tensors = batch_like(examples, BATCH, seed=0)
    if len(tensors) == 1:
        return {"x": tensors[0]}
    parameters = list(inspect.signature(module.forward).parameters)
    names = [input_name(parameters[n] if n < len(parameters) else "", n) for n in range(len(tensors))]
    return dict(zip(names, tensors, strict=True))


def _refused(message: str, help: str = "netspec.from_module(module, torch.randn(1, 3, 224, 224))") -> SpecError:
    return SpecError([Problem("cannot-import", message, help=(help,)).at(None)])


def copied(module: nn.Module) -> nn.Module:
    """A copy that may be run and changed, on the CPU and in float32. Raises `SpecError`."""
    try:
        return deepcopy(module).cpu().float()
    except Exception as error:  # of whatever the module holds
        message = f"the module cannot be copied: {first_line(error)}"
        raise SpecError([Problem("cannot-import", message).at(None)]) from None


def _run(module: nn.Module, inputs: dict[str, Tensor], examples: tuple[Tensor, ...], report: Report) -> Run:
    """Run a module on a batch that is made of `examples`, and record it. Raises `SpecError` where it fails."""
    recorder = Recorder(module, BATCH, report)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            return recorder.record(inputs)
        except SpecError:
            raise
        except UnbatchedError as error:
            raise _refused(str(error), _batched(examples)) from None
        except Exception as error:  # of the network
            report.raise_if_failed()
            mode = "training" if module.training else "eval"
            at = recorder.scope.path
            message = f"the module fails in {mode} mode on a batch of {BATCH}: {first_line(error)}"
            help = (_batched(examples),) if _lacks_batch_axis(module, examples) else ()
            raise SpecError([Problem("forward-failed", message, help=help).at(None, at)]) from error


def _batched(examples: tuple[Tensor, ...]) -> str:
    """How to give examples the batch axis that they lack."""
    lengths = ", ".join(map(str, (1, *examples[0].shape)))
    return f"an example has a batch axis in front: `example.unsqueeze(0)`, or `torch.zeros({lengths})`"


def _lacks_batch_axis(module: nn.Module, examples: tuple[Tensor, ...]) -> bool:
    """Whether a module takes each example as one sample, and not as a batch."""
    return not _runs(module, examples) and _runs(module, tuple(example.unsqueeze(0) for example in examples))


def _runs(module: nn.Module, examples: tuple[Tensor, ...]) -> bool:
    """Whether a module runs on one sample like the examples."""
    try:
        with torch.no_grad():
            module(*batch_like(examples, 1, seed=0))
    except Exception:  # of the network
        return False
    return True


def _check_ties(module: nn.Module) -> None:
    """Raise a `SpecError` where one tensor has two keys, which the language cannot say."""
    keys: dict[int, list[str]] = {}
    for key, tensor in module.state_dict(keep_vars=True).items():
        keys.setdefault(id(tensor), []).append(key)
    tied = [f"{listing(names)} are one tensor" for names in keys.values() if len(names) > 1]
    if tied:
        help = ("give each its own, or call one module twice in `forward`",)
        raise SpecError([Problem("cannot-import", text, help=help).at(None) for text in tied[:MOST_TIES]])


def _check_keys(module: nn.Module, graph: Graph) -> None:
    """Raise a `SpecError` where the graph has other weights than the module."""
    theirs, ours = module.state_dict(), graph.state()
    missing = [key for key in theirs if key not in ours]
    if missing:
        names = ", ".join(f"`{key}`" for key in missing[:5]) + (f" and {len(missing) - 5} more" * (len(missing) > 5))
        message = f"{len(missing)} of {len(theirs)} tensors of the module are never used: {names}"
        help = ("delete them from the module, or give the inputs for which it uses them",)
        raise SpecError([Problem("unreached-weights", message, help=help).at(None)])
