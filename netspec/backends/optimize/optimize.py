"""Module in, faster module out, for evaluation: the same function of the same inputs, as straight-line code.

What a module computes is traced into a program; batch norms are folded into the layers before them; every layer is
measured in the ways that there are to compute it, with what stands around it; and the fastest are written down.
"""

from __future__ import annotations

import copy
import linecache
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import chain
from math import inf
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from netspec.backends.optimize import fusion
from netspec.backends.optimize.fold_norms import CONVOLUTIONS, TRANSPOSED, fold_batch_norms
from netspec.backends.optimize.fusion import CHANNELS_LAST, INPUT, OTHER, PLAIN, Call, Group, Slot
from netspec.backends.optimize.overwrite import overwrite
from netspec.backends.optimize.plan import Plan
from netspec.backends.optimize.tracing import Program, Untraceable, trace
from netspec.backends.program import sample
from netspec.diagnostics import Problem, SpecError, first_line
from netspec.graph import Graph

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ROUNDS = 2  # of the final comparison, in which both networks take turns
MOST_ROUNDS = 6  # of measuring the ways of one layer, which take turns
LONG = 0.002  # seconds for one round, of which one is enough


def optimize(
    network: nn.Module | Graph,
    *inputs: torch.Tensor,
    weights: Any = None,
    dtype: str | torch.dtype = "float32",
    plan: Plan | str | Path | None = None,
) -> Optimized:
    """A module that computes what `network` does in eval mode, faster on this machine with the threads set now.

    `network` is a module, which stays as it is, with `inputs` to measure with; or a graph with `weights` as
    `Graph.build` takes them, for which one sample of noise does. The result takes and gives what the original does, for
    any batch size, and has a `plan`, which says what was decided and measured, and can be saved and given again.

    With float32, outputs are equal but for rounding. With bfloat16, weights and values between layers have 8 bits of
    precision, while inputs and outputs stay float32. Raises `SpecError`.
    """
    start = perf_counter()
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        help = (f"`dtype` is {' or '.join(DTYPES)}",)
        raise SpecError([Problem("wrong-value", f"cannot compute with `{name}`", help=help).at(None)])
    if isinstance(network, Graph):
        inputs = inputs or tuple(sample(type, 1) for type in network.inputs.values())
        network = _built(network, weights)
    if not isinstance(network, nn.Module):
        message = f"`optimize` takes a module or a graph, got a {type(network).__name__}"
        raise SpecError([Problem("wrong-type", message, help=("`netspec.load` makes a graph",)).at(None)])
    if not inputs:
        help = ("`netspec.optimize(module, torch.randn(1, 3, 224, 224))`",)
        raise SpecError([Problem("missing-example", "a module needs inputs to measure it with", help=help).at(None)])
    given = Plan.load(plan) if isinstance(plan, (str, Path)) else plan
    if given and given.dtype != name:
        help = (f'`dtype="{given.dtype}"`',)
        raise SpecError([Problem("wrong-plan", f"the plan is for {given.dtype}, not {name}", help=help).at(None)])
    with torch.no_grad():
        made = _optimized(_shared_copy(network), inputs, name, given)
    made.plan = replace(made.plan, prepared=perf_counter() - start)
    return made


def _built(graph: Graph, weights: Any) -> nn.Module:
    if weights is None:
        help = (
            "`netspec.optimize(graph, weights=...)` takes what `build` does",
            "`netspec.optimize(module, inputs)` takes a module of yours",
        )
        raise SpecError(
            [Problem("missing-example", f"`{graph.name}` is a graph, which has no weights", help=help).at(None)]
        )
    return graph.build(weights=weights)


class Optimized(nn.Module):
    """What `optimize` makes: a module for evaluation alone, whose weights are constants of its code.

    `plan` says how it was made, `code` is what runs. It has no parameters and no `state_dict`, cannot be trained or
    moved, and is not pickled: save the original's weights and the plan, from which it is made again.
    """

    def __init__(self, run: Callable[..., Any], code: str, plan: Plan) -> None:
        super().__init__()
        super().train(False)
        self._run, self.code, self.plan = run, code, plan

    def forward(self, *inputs: Any, **named: Any) -> Any:
        with torch.no_grad():
            return self._run(*inputs, **named)

    def train(self, mode: bool = True) -> Optimized:
        """Eval mode is the only one. Raises `RuntimeError` where the other is asked for."""
        if mode:
            raise RuntimeError("an optimized module is for evaluation: train the module that it was made from")
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> Optimized:
        raise RuntimeError("an optimized module stays as it is: move the original, and optimize that")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("an optimized module is made for this machine: save the original's weights, and the plan")

    def __deepcopy__(self, memo: dict[int, Any]) -> Optimized:
        return Optimized(self._run, self.code, self.plan)  # nothing that a copy shares can change


def _shared_copy(module: nn.Module) -> nn.Module:
    """The module in eval mode with the same parameters and buffers, in modules of their own."""
    tensors = chain(module.parameters(), module.buffers())
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors}).eval()


# The recipe ----------------------------------------------------------------------------------------------------------


def _optimized(original: nn.Module, inputs: tuple[torch.Tensor, ...], dtype: str, given: Plan | None) -> Optimized:
    """`original` is in eval mode, and its tensors are those of the user's module."""
    reference = original(*inputs)  # where the inputs do not fit, it is the original that says so
    shapes = tuple(tuple(value.shape) for value in inputs)
    plan = Plan(_machine(), torch.get_num_threads(), dtype, shapes)
    if given and not given.ways:
        return _unchanged(original, replace(plan, notes=given.notes))
    try:
        run, code, ways, notes = _program(original, inputs, dtype, given)
        error, scale = _difference(run(*inputs), reference)
        plan = replace(plan, ways=ways, error=error, scale=scale, notes=notes)
        if given:
            return Optimized(run, code, replace(plan, original=given.original, optimized=given.optimized))
        before, after = _compare(original, run, inputs)
        if after > before:
            raise NoGain(f"that takes {before * 1e3:.3g} ms here, and {after * 1e3:.3g} ms optimized")
        return Optimized(run, code, replace(plan, original=before, optimized=after))
    except (NoGain, Untraceable, RuntimeError, TypeError, ValueError) as refusal:
        if dtype != "float32":
            made = _optimized(original, inputs, "float32", None)
            made.plan = replace(made.plan, notes=(*made.plan.notes, f"not in {dtype}: {first_line(refusal)}"))
            return made
        return _unchanged(original, replace(plan, ways={}, notes=(f"it runs as it was: {first_line(refusal)}",)))


class NoGain(Exception):
    """That the original is faster."""


def _program(
    original: nn.Module, inputs: tuple[torch.Tensor, ...], dtype: str, given: Plan | None
) -> tuple[Callable[..., Any], str, dict[str, str], tuple[str, ...]]:
    """The optimized code, its source, how each layer is computed, and notes."""
    program = trace(original)
    _Runner(program).run(*inputs)  # notes shapes
    fold_batch_norms(program)
    _convert(program, DTYPES[dtype])
    missing = fusion.operators_missing(inputs[0].device)
    ways = _given_ways(program, given) if given else _fastest_ways(program, inputs, not missing)
    _write(program, ways, not missing)
    overwrite(program)
    _own(program, original)
    run, code = _compiled(program)
    return run, code, ways, (f"without fused operators: {missing}",) if missing else ()


def _unchanged(original: nn.Module, plan: Plan) -> Optimized:
    """The network as it was, in eval mode, with weights of its own."""
    return Optimized(copy.deepcopy(original).forward, "", plan)


def _machine() -> str:
    return f"{torch.backends.cpu.get_cpu_capability()}, PyTorch {torch.__version__}"


class _Runner(fx.Interpreter):
    """Runs a program node by node, and notes the shape and dtype of every value."""

    def __init__(self, program: Program) -> None:
        super().__init__(nn.Module(), graph=program.graph)
        self.program = program

    def fetch_attr(self, target: str) -> Any:
        return self.program.constants[target]

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor):
            n.meta |= {"shape": tuple(value.shape), "dtype": value.dtype}
        return value


# The dtype inside, and the order in memory ---------------------------------------------------------------------------


def _convert(program: Program, dtype: torch.dtype) -> None:
    """Let a program compute with `dtype` in channels-last order, while what it takes and gives stays as it is."""
    if dtype != torch.float32:
        for name, constant in program.constants.items():
            if isinstance(constant, nn.Module):
                constant.to(dtype)
            elif constant.dtype == torch.float32:
                program.constants[name] = constant.to(dtype)
    convolves = any(node.target in (*CONVOLUTIONS, *TRANSPOSED) for node in program.calls())
    graph = program.graph
    for node in list(graph.nodes):
        if node.meta.get("dtype") != torch.float32:
            continue
        node.meta["dtype"] = dtype
        rank = len(node.meta["shape"])
        if node.op == "placeholder":
            keywords: dict[str, Any] = {"dtype": dtype}
            if convolves and rank in CHANNELS_LAST:
                keywords["memory_format"] = CHANNELS_LAST[rank]
            with graph.inserting_after(node):
                converted = graph.call_method("to", (node,), keywords)
            converted.meta = dict(node.meta)
            node.replace_all_uses_with(
                converted, delete_user_cb=lambda user, converted=converted: user is not converted
            )
        elif dtype == torch.bfloat16 and _is_global_average(node):
            node.target, node.args = global_average, (node.args[0],)
    output = next(node for node in graph.nodes if node.op == "output")
    record = output.args[0]  # a named tuple is made by a call of its own
    holder = record if isinstance(record, fx.Node) and hasattr(record.target, "_fields") else output
    with graph.inserting_before(holder):
        holder.args = fx.map_arg(holder.args, lambda value: _restored(graph, value))


def _restored(graph: fx.Graph, value: fx.Node) -> fx.Node:
    if "shape" not in value.meta:
        return value
    if value.meta["dtype"] == torch.bfloat16:
        value = graph.call_method("to", (value, torch.float32))
    return graph.call_method("contiguous", (value,))


def _is_global_average(node: fx.Node) -> bool:
    return node.target is functional.adaptive_avg_pool2d and node.args[1] in (1, (1, 1), [1, 1])


def global_average(x: torch.Tensor) -> torch.Tensor:
    """The mean of each channel; PyTorch's adaptive pooling makes a float32 copy of bfloat16 input first."""
    return functional.avg_pool2d(x, x.shape[-2:])


# Which way each layer takes ------------------------------------------------------------------------------------------


def _given_ways(program: Program, given: Plan) -> dict[str, str]:
    """The ways of a plan. Raises `SpecError` where it is one for another network."""
    names = {group.layer.name for group in fusion.groups(program)}
    if names != given.ways.keys():
        unknown = sorted(names ^ given.ways.keys())
        message = f"the plan is for another network: only one of them has a layer `{unknown[0]}`"
        raise SpecError([Problem("wrong-plan", message, help=("optimize it without a plan",)).at(None)])
    return given.ways


def _fastest_ways(program: Program, inputs: tuple[torch.Tensor, ...], fusing: bool) -> dict[str, str]:
    """The fastest way of each layer, by its name."""
    runner = _Measurer(program, fusing)
    runner.run(*inputs)
    return runner.fastest


class _Measurer(_Runner):
    """Runs a program and measures each group on the values that it gets there; groups alike are measured once."""

    def __init__(self, program: Program, fusing: bool) -> None:
        super().__init__(program)
        self.fusing = fusing
        self.groups = {node: group for group in fusion.groups(program) for node in group.nodes}
        self.values: dict[Group, dict[Slot, torch.Tensor]] = {}
        self.known: dict[Any, str] = {}
        self.fastest: dict[str, str] = {}

    def run_node(self, n: fx.Node) -> Any:
        group = self.groups.get(n)
        if group is not None:
            values = self.values.setdefault(group, {})
            if n is group.layer:
                values[INPUT] = self.env[group.input]
            if n is group.sum and group.other is not None:
                values[OTHER] = self.env[group.other]
            if n is group.last:
                self.fastest[group.layer.name] = self.measured(group, self.values.pop(group))
        return super().run_node(n)

    def measured(self, group: Group, values: dict[Slot, torch.Tensor]) -> str:
        layer = group.layer
        activation = group.activation and (group.activation.target, group.activation.args[1:])
        numbers = tuple(str(argument) for argument in layer.args[1:] if not isinstance(argument, fx.Node))
        weight = self.program.tensor(layer.args[1])
        key = (layer.target, numbers, weight.shape, values[INPUT].shape, group.sum is None, activation)
        if key not in self.known:
            ways = fusion.ways(self.program, group, self.fusing)
            seconds = _seconds({way: fusion.calls(self.program, group, way) for way in ways}, values)
            self.known[key] = min(seconds, key=lambda way: seconds[way])
        return self.known[key]


def _seconds(ways: dict[str, list[Call]], values: dict[Slot, torch.Tensor]) -> dict[str, float]:
    """The shortest time that each way takes, which what else the machine does disturbs least; the ways take turns."""
    shortest = dict.fromkeys(ways, inf)
    if len(ways) == 1:
        return shortest
    for calls in ways.values():
        fusion.run(calls, values)  # fills caches
    for _ in range(MOST_ROUNDS):
        for way, calls in ways.items():
            shortest[way] = min(shortest[way], _time(fusion.run, calls, values))
        if sum(shortest.values()) > LONG:
            break
    return shortest


def _time(function: Callable[..., object], *arguments: Any) -> float:
    """Seconds that a call takes, with what it starts on a GPU."""
    start = perf_counter()
    function(*arguments)
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return perf_counter() - start


def _write(program: Program, ways: dict[str, str], fusing: bool) -> None:
    for group in fusion.groups(program):
        way = ways[group.layer.name]
        possible = fusion.ways(program, group, fusing)
        fusion.write(program, group, fusion.calls(program, group, way if way in possible else PLAIN))
    program.clean()


# The code ------------------------------------------------------------------------------------------------------------


def _own(program: Program, original: nn.Module) -> None:
    """Copy the constants that are still tensors of the original, which may be trained on."""
    held = {tensor.untyped_storage().data_ptr() for tensor in (*original.parameters(), *original.buffers())}
    for name, constant in program.constants.items():
        plain = isinstance(constant, torch.Tensor) and not constant.is_mkldnn
        if plain and constant.untyped_storage().data_ptr() in held:
            program.constants[name] = constant.clone()


def _compiled(program: Program) -> tuple[Callable[..., Any], str]:
    """The program as a Python function, and its source."""
    code = program.graph.python_code("constants")
    name = f"<netspec optimized {sha256(code.src.encode()).hexdigest()[:8]}>"
    linecache.cache[name] = (len(code.src), None, code.src.splitlines(keepends=True), name)
    variables = {**code.globals, "constants": SimpleNamespace(**program.constants)}
    exec(compile(code.src, name, "exec"), variables)  # noqa: S102 - written from the traced graph
    return partial(variables["forward"], None), code.src


# What came of it -----------------------------------------------------------------------------------------------------


def _compare(original: nn.Module, run: Callable[..., Any], inputs: tuple[torch.Tensor, ...]) -> tuple[float, float]:
    """Seconds for one run of both, in turns."""
    times: dict[Any, list[float]] = {original: [], run: []}
    for _ in range(ROUNDS):
        for function, seconds in times.items():
            seconds.append(_time(function, *inputs))
    return min(times[original]), min(times[run])


def _difference(result: Any, reference: Any) -> tuple[float, float]:
    """The largest difference of two results, and the largest number of the second."""
    pairs = list(zip(_tensors(result), _tensors(reference), strict=True))
    error = max((float((a.double() - b.double()).abs().max()) for a, b in pairs if a.numel()), default=0.0)
    return error, max((float(b.double().abs().max()) for _, b in pairs if b.numel()), default=0.0)


def _tensors(result: Any) -> Iterator[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        yield result
    elif isinstance(result, (tuple, list, dict)):
        for part in result.values() if isinstance(result, dict) else result:
            yield from _tensors(part)
