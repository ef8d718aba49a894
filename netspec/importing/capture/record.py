"""Runs a module and records what it does: a tensor goes in, and each module and function that it meets is a step.

Sizes are plain numbers meanwhile, so a loop or condition over shapes just runs. Each function becomes an op of the
language, is computed again by the op's own code, and must give the same bits. What cannot be recorded is reported with
the line of the code that did it, and the run goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from keyword import iskeyword
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from netspec.diagnostics import Problem
from netspec.graph import Value
from netspec.importing.capture.calls import Call, Term, Unknown, computed, functional, same_bits
from netspec.importing.capture.functions import FUNCTIONS
from netspec.importing.capture.layout import Layout
from netspec.importing.capture.mistakes import Finding, Report, code_line
from netspec.importing.capture.modules import Leaf, recognize
from netspec.importing.capture.steps import Run, Scope, Step
from netspec.importing.capture.tensors import (
    DTYPES,
    arguments_of,
    constant,
    function_name,
    kind_of,
    relative_positions,
    tensors_in,
)
from netspec.names import NAME
from netspec.ops.base import Op
from netspec.ops.state import Parameter
from netspec.shapes import TensorType

_METADATA = (
    "size dim numel nelement ndimension stride is_contiguous element_size is_floating_point is_complex get_device "
    "storage_offset data_ptr __len__ __repr__ __hash__ __format__ type is_same_size"
)
METADATA = frozenset(_METADATA.split())
"""Functions that tell what is known of a tensor before any number in it."""

_BLANK = "new_zeros new_ones new_full new_empty new_tensor zeros_like ones_like full_like empty_like"
BLANK = frozenset(_BLANK.split())
"""Functions that take no more than shape, dtype and device of a tensor."""

_UNCHANGED = "contiguous clone to float type type_as cpu alias requires_grad_"
UNCHANGED = frozenset(_UNCHANGED.split())
"""Functions that give the tensor itself, or a copy of it, as long as shape and dtype stay."""

_WINDOWED = re.compile(r"(?:conv|conv_transpose|(?:adaptive_)?(?:max|avg)_pool|lp_pool)([123])d\Z")
"""Functions that take a batch and channels before their spatial axes, but one sample of them, too."""

_BATCH_FIRST = frozenset(("lstm", "gru", "rnn_tanh", "rnn_relu", "multi_head_attention_forward"))
"""What layers call that have an op only in the common case."""


class UnbatchedError(Exception):
    """The network takes the batch axis of its input for the channels of a single sample."""


class Traced(NamedTuple):
    """What a tensor is: a value, how it lies, and its version.

    It has no value where something that it depends on could not be recorded: the `failures`.
    """

    value: Value | None
    layout: Layout
    version: int
    failures: tuple[Finding, ...] = ()


class Recorder(TorchFunctionMode):
    """Records one run of `module`, which it hooks into, on a batch of `batch` samples."""

    def __init__(self, module: nn.Module, batch: int, report: Report) -> None:
        super().__init__()
        self.module = module
        self.batch = batch
        self.report = report
        self.modules: dict[int, str] = {}
        for path, child in module.named_modules(remove_duplicate=False):
            self.modules.setdefault(id(child), path)
        saved = module.state_dict(keep_vars=True).items()  # a buffer that is not saved is a constant like any other
        self.owned = {id(tensor): path for path, tensor in saved if not path.endswith("num_batches_tracked")}
        self.homes: dict[Value, Scope] = {}
        self.makers: dict[Value, Step] = {}
        self.states: dict[tuple[Scope, str], Value] = {}
        self.root = self.scope = Scope("", kind_of(module), None, {})
        self.rolled: tuple[Term, Any, Any] | None = None  # by which shifts along which axes, as masks follow it
        self.rewritten: tuple[Tensor, Term] | None = None  # what a function wrote over, besides its result
        self.leaf: tuple[nn.Module, Leaf | None, list[Term]] | None = None

    def record(self, inputs: Mapping[str, Tensor]) -> Run:
        """Run the module on `inputs`, named as those of the network are to be."""
        for name, tensor in inputs.items():
            type = TensorType(tuple(tensor.shape[1:]), DTYPES[tensor.dtype])
            self.root.arguments[name] = self.made(Value(name, type), self.root)
            self.mark(tensor, Traced(self.root.arguments[name], Layout(), tensor._version))
        with ExitStack() as hooks, torch.no_grad():
            for module in dict.fromkeys(self.module.modules()):
                if module is not self.module:
                    before = module.register_forward_pre_hook(self.enter, prepend=True, with_kwargs=True)
                    behind = module.register_forward_hook(self.leave, with_kwargs=True)
                    hooks.callback(before.remove)
                    hooks.callback(behind.remove)
            hooks.enter_context(self.watching_gradients())
            with self:
                result = self.module(*inputs.values())
        return self.run(result)

    @contextmanager
    def watching_gradients(self) -> Iterator[None]:
        """Refuse functions with a gradient of their own, which would be lost, as long as the context lasts."""
        function = torch.autograd.Function
        apply = vars(function)["apply"]

        def refused(cls: Any, *args: Any, **kwargs: Any) -> Any:
            result = apply.__get__(None, cls)(*args, **kwargs)
            problem = Problem("cannot-import", f"`{cls.__name__}` has a gradient of its own, which no op has")
            self.forget(result, [self.finding(problem)])
            return result

        function.apply = classmethod(refused)
        try:
            yield
        finally:
            function.apply = apply

    def run(self, result: Any) -> Run:
        """The recorded run, which returned `result`."""
        names: tuple[str, ...] = ()
        returns: Literal["bare", "tuple", "dict"] = "tuple"
        if isinstance(result, Tensor):
            returns = "bare"
        elif isinstance(result, Mapping):
            returns, names, result = "dict", tuple(map(str, result)), list(result.values())
        elif hasattr(result, "_fields"):
            names = result._fields
        results = [result] if isinstance(result, Tensor) else result
        if not isinstance(results, list | tuple) or not all(isinstance(item, Tensor | None) for item in results):
            help = ("return a tensor, a tuple of tensors or a dict of them",)
            problem = Problem("cannot-import", "the module returns something other than tensors", help=help)
            self.report.add(problem)
            results = []
        if len(names) < len(results):
            names = tuple(f"output{number}" for number in range(len(results)))
        for name in names:
            if not NAME.match(name) or iskeyword(name):
                help = ("rename it in what the module returns: use letters, digits and underscores",)
                message = f"`{name}` cannot name an output of a network"
                self.report.add(Problem("cannot-import", message, help=help))
        kept = [(name, item) for name, item in zip(names, results, strict=True) if item is not None]
        for _, tensor in kept:
            traced = self.traced(tensor)
            if traced is None:
                message = "the module returns a tensor that does not depend on its input"
                self.report.add(Problem("cannot-import", message))
            elif traced.value is None:
                for failure in traced.failures:
                    self.report.keep(failure)
            else:
                if not traced.layout.plain:
                    message = "the module returns a tensor whose first axis is not the batch"
                    self.report.add(Problem("cannot-import", message))
                self.root.results.append(traced.value)
        return Run(self.root, self.homes, returns, tuple(name for name, _ in kept), in_order(self.module))

    # Modules ---------------------------------------------------------------------------------------------------------

    def enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before a module runs: a layer is one step, anything else a scope of its own."""
        if self.leaf is not None:
            return
        path = self.modules[id(module)]
        with self.paused():
            arguments = arguments_of(module, args, kwargs)
            given = {name: tensor for name, tensor in arguments.items() if self.depends(tensor)}
            terms = {name: self.term(tensor) for name, tensor in given.items()}
            known = {name: term for name, term in terms.items() if term is not None}
            if isinstance(module, nn.Identity):
                self.leaf = (module, None, [])
            elif known and len(known) == len(terms):
                leaf = recognize(module, known, kwargs)
                if leaf is not None:
                    self.leaf = (module, leaf, [known[name] for name in leaf.inputs])
        if self.leaf is None:
            values = {name: term.value for name, term in known.items()}
            self.scope = Scope(path, kind_of(module), self.scope, values)
            assert self.scope.around is not None
            self.scope.around.steps.append(self.scope)

    def leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """After a module ran. Returns what is to take the place of its output."""
        if self.leaf is None:
            with self.paused():
                traced = [self.traced(tensor) for tensor in tensors_in(output)]
            self.scope.results = [item.value for item in traced if item is not None and item.value is not None]
            assert self.scope.around is not None
            self.scope = self.scope.around
            return output
        inside, leaf, terms = self.leaf
        if inside is not module:
            return output
        self.leaf = None
        if leaf is None:
            return output
        with self.paused():
            if any(output is given for given in args) and not getattr(module, "inplace", False):
                output = output.view_as(output)  # in eval mode dropout gives its input; others hold that one
            path = self.modules[id(module)]
            try:
                values = self.step(leaf.op, leaf.kind, terms, path)
                given = [take(output) for take in leaf.takes]
                for tensor, value, layout in zip(given, values, leaf.layouts, strict=True):
                    if tuple(tensor.shape) != layout.physical(value.type, self.batch):
                        raise Problem("cannot-import", f"`{leaf.kind}` gives another shape than {value.type}")
                    self.mark(tensor, Traced(value, layout, tensor._version))
            except Problem as problem:
                self.forget(output, [self.finding(problem)._replace(path=path)])
            for tensor in tensors_in(output):
                if not self.depends(tensor):  # such as the weights of attention, which the op does not give
                    beside = Problem("cannot-import", "the op of this layer does not give this")
                    self.forget(tensor, [self.finding(beside)])
        return output

    # Functions -------------------------------------------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.leaf is not None:
            return func(*args, **kwargs)
        name = function_name(func)
        if name == "__get__":  # an attribute: one such as `x.shape` tells nothing new, `x.mT` is a tensor
            name = func.__self__.__name__
            if not isinstance(func(*args, **kwargs), Tensor):
                return func(*args, **kwargs)
        given = list(tensors_in((args, kwargs)))
        if not any(map(self.depends, given)) or name in BLANK or name in METADATA:
            return func(*args, **kwargs)
        found: Term | list[Term] | Problem | None = None
        if not any(map(self.has_failed, given)):
            try:
                found = self.interpreted(func, name, args, kwargs)
            except Problem as problem:
                found = problem
        versions = [tensor._version for tensor in given]
        result = func(*args, **kwargs)
        if name == "__setitem__":
            self.finish(found, args[0], given)
        elif not any(True for _ in tensors_in(result)):
            if result is not None:
                self.report.keep(self.finding(reading(func)))
        else:
            written = versions != [tensor._version for tensor in given] or kwargs.get("inplace")
            if any(result is tensor for tensor in given) and not written and name not in UNCHANGED:
                result = result.view_as(result)  # in eval mode dropout gives its input; others hold that one
            self.finish(found, result, given)
        return result

    def interpreted(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The terms that a function gives, whose steps are recorded. Raises `Problem` where it has no op."""
        if name in UNCHANGED:
            return self.term(args[0])
        self.check_batched(name, args)
        handler = FUNCTIONS.get(name.strip("_"))
        if handler is None:
            raise unknown(func)
        try:
            return handler(Call(self, name.strip("_"), args, kwargs))
        except Unknown:
            return None
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
            message = f"`{name.strip('_')}` is called in a way that has no op"
            raise Problem("cannot-import", message) from None

    def check_batched(self, name: str, args: tuple[Any, ...]) -> None:
        """Raise an `UnbatchedError` where a function takes the samples of an input for channels."""
        spatial = _WINDOWED.match(name)
        traced = self.traced(args[0]) if spatial and args and isinstance(args[0], Tensor) else None
        if spatial is None or traced is None or traced.value is None or not traced.layout.plain:
            return
        axes = int(spatial[1]) + 2
        ranks = {value.type.rank for value in self.root.arguments.values()}
        if args[0].dim() == axes - 1 and traced.value.type.rank in ranks:
            message = f"`{name}` takes {axes} axes, the batch in front, and gets the {axes - 1} of the example input"
            raise UnbatchedError(message)

    def finish(self, found: Term | list[Term] | Problem | None, result: Any, given: list[Tensor]) -> None:
        """Mark what a function of `given` tensors returned as what it was found to be."""
        tensors = list(tensors_in(result))
        rewritten, self.rewritten = self.rewritten, None
        try:
            if isinstance(found, Problem):
                raise found
            if found is None:
                return self.forget(result, [failure for tensor in given for failure in self.failures(tensor)])
            terms = found if isinstance(found, list) else [found]
            if len(terms) != len(tensors):
                raise Problem("cannot-import", "this returns another number of tensors than its op")
            pairs = [*zip(tensors, terms, strict=True), *([rewritten] if rewritten is not None else [])]
            for tensor, term in pairs:
                self.agree(tensor, term)
            for tensor, term in pairs:
                self.mark(tensor, Traced(term.value, term.layout, tensor._version))
        except Problem as problem:
            self.forget(result, [self.finding(problem)])

    def finding(self, problem: Problem) -> Finding:
        """A problem of the module that runs, at the line of its code."""
        return Finding(problem, code_line(), self.scope.path)

    def forget(self, result: Any, failures: Iterable[Finding]) -> None:
        """Mark what could not be recorded. Failures are told where the network returns what depends on them."""
        for tensor in tensors_in(result):
            self.mark(tensor, Traced(None, Layout(), tensor._version, tuple(dict.fromkeys(failures))))

    def agree(self, tensor: Tensor, term: Term) -> None:
        """Raise a `Problem` unless a tensor is what the ops computed, to the last bit."""
        type = term.value.type
        if tuple(tensor.shape) != term.layout.physical(type, self.batch) or DTYPES.get(tensor.dtype) != type.dtype:
            message = f"this gives {tuple(tensor.shape)}, where an op of the language gives {type}"
            raise Problem("cannot-import", message)
        if term.tensor is None:
            return
        found = term.layout.logical(tensor, type, self.batch)
        if not same_bits(found, term.tensor):
            difference = (found.double() - term.tensor.double()).abs().max().item()
            message = f"this computes something else than the op of the language, by up to {difference:.2g}"
            raise Problem("cannot-import", message)

    # Values ----------------------------------------------------------------------------------------------------------

    def paused(self) -> Any:
        """A context in which functions are not recorded."""
        return torch._C.DisableTorchFunction()

    def mark(self, tensor: Tensor, traced: Traced) -> None:
        tensor._netspec = (self, traced)  # type: ignore[attr-defined]

    def noted(self, tensor: Tensor) -> Traced | None:
        """What this run has marked a tensor as; code may keep one of another run."""
        recorder, traced = getattr(tensor, "_netspec", (None, None))
        return traced if recorder is self else None

    def depends(self, tensor: Tensor) -> bool:
        """Whether a tensor depends on inputs or weights; a constant does not."""
        return self.noted(tensor) is not None or id(tensor) in self.owned

    def has_failed(self, tensor: Tensor) -> bool:
        """Whether nothing is known of a tensor because its maker could not be recorded."""
        noted = self.noted(tensor)
        return noted is not None and noted.value is None

    def failures(self, tensor: Tensor) -> tuple[Finding, ...]:
        """Why nothing is known of a tensor; nothing where something is."""
        noted = self.noted(tensor)
        return noted.failures if noted is not None else ()

    def traced(self, tensor: Tensor) -> Traced | None:
        """What a tensor is; None for a constant, which depends on neither inputs nor weights."""
        traced = self.noted(tensor)
        if traced is None and id(tensor) in self.owned:
            return Traced(self.state(tensor, self.owned[id(tensor)]), Layout(None), tensor._version)
        if traced is not None and traced.version != tensor._version:
            message = "this reads a tensor that was written over through another view of it"
            self.forget(tensor, [self.finding(Problem("cannot-import", message))])
            traced = self.noted(tensor)
        return traced

    def term(self, tensor: Tensor) -> Term | None:
        """A tensor as the functions that recognize ops take it: a constant becomes a node. None where it failed."""
        traced = self.traced(tensor)
        if traced is None:
            (value,) = self.step(constant(tensor, persistent=False), "constant", [])
            return Term(value, Layout(None), tensor)
        if traced.value is None:
            return None
        return Term(traced.value, traced.layout, traced.layout.logical(tensor, traced.value.type, self.batch))

    def state(self, tensor: Tensor, path: str) -> Value | None:
        """The value of a parameter or buffer that is used by itself, in the innermost body that holds it."""
        home = self.scope
        while not (path.startswith(home.path + ".") or not home.path) and home.around is not None:
            home = home.around
        value = self.states.get((home, path))
        if value is None:
            try:
                op, kind = self.held(tensor, path)
            except Problem as problem:
                self.report.keep(self.finding(problem))
                return None
            value = self.made(Value(path.rpartition(".")[2], *op.outputs()), home)
            step = Step(op, kind, (), (value,), path)
            position = len(home.steps) - (home is not self.scope and bool(home.steps))
            home.steps.insert(position, step)  # before the module that is running, which uses it
            self.states[home, path] = value
        return value

    def held(self, tensor: Tensor, path: str) -> tuple[Op, str]:
        """The op of a parameter or buffer, and its name."""
        if isinstance(tensor, nn.Parameter):
            if tensor.dtype != torch.float32:
                raise Problem("cannot-import", f"the parameter `{path}` is not of dtype float32")
            return Parameter(shape=tuple(tensor.shape)), "parameter"
        return relative_positions(tensor) or (constant(tensor, persistent=True), "constant")

    def made(self, value: Value, scope: Scope) -> Value:
        self.homes[value] = scope
        return value

    def step(self, op: Op, kind: str, terms: Iterable[Term], path: str = "") -> tuple[Value, ...]:
        """Record an op on `terms`; returns its outputs. Raises `Problem` where they do not fit."""
        inputs = tuple(term.value for term in terms)
        with naming(kind):
            types = op.outputs(*(value.type for value in inputs))
        values = tuple(self.made(Value(kind, type), self.scope) for type in types)
        step = Step(op, kind, inputs, values, path)
        self.scope.steps.append(step)
        self.makers.update(dict.fromkeys(values, step))
        return values

    def emit(self, op: Op, kind: str, terms: list[Term], layout: Layout | None = None) -> list[Term]:
        """Record an op of a function, and compute it; its outputs lie as its first input does unless `layout` says."""
        types = tuple(term.value.type for term in terms)
        values = self.step(op, kind, terms)
        lies = layout if layout is not None else next((t.layout for t in terms if t.value.type.batched), Layout(None))
        random = self.module.training and op.category == "regularization"
        tensors = computed(op.torch(*types), [term.tensor for term in terms]) if not random else [None] * len(values)
        return [Term(value, lies, tensor) for value, tensor in zip(values, tensors, strict=True)]

    def layer(self, op: Op, kind: str, x: Term, states: Mapping[str, Any]) -> Term:
        """Record a function whose weights, by the names of the op, are all those of one module.

        Raises `Problem` where they are not.
        """
        path = self.owner(op, x, states)
        if path is None:
            message = f"the weights of this `{kind}` are computed, or not those that such a layer of {x.value.type} has"
            raise Problem("cannot-import", message)
        if path == self.scope.path:
            self.scope.open = True  # its name is that of the layer
        (value,) = self.step(op, kind, [x], path)
        held = self.held_by(path)
        tensor = None if self.module.training else functional(op.torch(x.value.type), held, x.tensor)
        return Term(value, x.layout, tensor)

    def owner(self, op: Op, x: Term, states: Mapping[str, Any]) -> str | None:
        """The path of the module that holds tensors under these names, all that the op needs and no others."""
        paths = {name: self.owned.get(id(tensor), "") for name, tensor in states.items() if tensor is not None}
        owners = {path.rpartition(".")[0] for path in paths.values()}
        path = owners.pop() if len(owners) == 1 else ""
        if not path or any(key != f"{path}.{name}" for name, key in paths.items()):
            return None
        needed = {name: state.shape for name, state in op.state(x.value.type).items()}
        return path if needed == {name: tuple(held.shape) for name, held in self.held_by(path).items()} else None

    def held_by(self, path: str) -> dict[str, Tensor]:
        """The tensors that a module holds itself."""
        module = self.module.get_submodule(path)
        return dict(module.named_parameters(recurse=False)) | dict(module.named_buffers(recurse=False))


def in_order(module: nn.Module) -> dict[str, tuple[int, int]]:
    """Where each module, and each tensor that it holds itself, stands in the `state_dict`."""
    found: dict[str, tuple[int, int]] = {}
    for number, (path, child) in enumerate(module.named_modules(remove_duplicate=False)):
        found[path] = (number, -1)
        for position, name in enumerate((*child._parameters, *child._buffers)):
            found[f"{path}.{name}" if path else name] = (number, position)
    return found


# Messages ------------------------------------------------------------------------------------------------------------


@contextmanager
def naming(kind: str) -> Iterator[None]:
    """Give the problems of an op its name."""
    try:
        yield
    except Problem as problem:
        problem.message = problem.message.replace("{op}", f"`{kind}`")
        raise


def unknown(func: Any) -> Problem:
    """The problem of a function that has no op."""
    name = function_name(func).strip("_")
    layers = "such layers have an op with `batch_first=True`, for a batch of 3 axes, without masks and first states"
    help = (layers,) if name in _BATCH_FIRST else ()
    return Problem("cannot-import", f"the function `{name}` has no op in the language", help=help)


def reading(func: Any) -> Problem:
    """The problem of a run that depends on the numbers in a tensor."""
    name = function_name(func).strip("_")
    message = f"what the network does depends on the numbers in a tensor, which `{name}` reads"
    help = ("a spec is the same network for every input: decide by shapes or by arguments",)
    return Problem("data-dependent", message, help=help)
