"""Whether a Python file is the network of a graph: the file is run without PyTorch, and what it does is compared.

Stand-ins for torch write down what is constructed, with its arguments, and what is computed of what. The same is found
out from the graph, node by node. Equal records mean the same modules under the same names, and the same computation.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType, SimpleNamespace
from typing import Any

from netspec.backends.class_names import class_name
from netspec.graph import Body, Graph, Node
from netspec.ops.base import FunctionCall, ModuleCall


def is_network(source: str, graph: Graph) -> bool:
    """True where the file constructs the modules of the graph, in their order, and computes what it computes."""
    records = _Records()
    try:
        module = _run_file(source, class_name(graph.name), records)
    except Exception:  # whatever is wrong with the file, it is not the network
        return False
    wanted = list(_wanted(graph))
    if list(_constructed(module, "", dict(wanted))) != wanted:
        return False
    for training in (True, False):
        expected = _Expected(records, training).outputs(graph)
        records.training = training
        try:
            result = module(*(records.input(name) for name in graph.inputs))
        except Exception:
            return False
        if records.key(_plain(result)) != records.key(expected):
            return False
    return True


def _plain(result: Any) -> Any:
    return tuple(result) if isinstance(result, tuple) else result


# What is computed ----------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Records:
    """Every value that is computed, by a number for what it is computed of."""

    numbers: dict[Any, int] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)  # of the outputs of what gives several
    training: bool = True

    def value(self, *key: Any) -> _Value:
        return _Value(self, self.numbers.setdefault(key, len(self.numbers)))

    def input(self, name: str) -> _Value:
        return self.value("input", name)

    def key(self, value: Any) -> Any:
        """Something hashable that says what a value or argument is."""
        if isinstance(value, _Value):
            return ("value", value.number)
        if isinstance(value, list | tuple):
            return (type(value).__name__, *map(self.key, value))
        if isinstance(value, dict):
            return ("dict", *((name, self.key(item)) for name, item in value.items()))
        if isinstance(value, slice):
            return ("slice", self.key(value.start), self.key(value.stop), self.key(value.step))
        return (type(value).__name__, value)


class _Value:
    """A tensor, a function or a module of PyTorch, of which only is known how it came to be."""

    def __init__(self, records: _Records, number: int) -> None:
        self.records = records
        self.number = number

    def __getattr__(self, name: str) -> _Value:
        if name.startswith("__"):
            raise AttributeError(name)
        plain = name.removesuffix("_")  # what works in place gives the same
        return self.records.value("attribute", self.number, plain)

    def __call__(self, *args: Any, **kwargs: Any) -> _Value:
        return self.records.value("call", self.number, self.records.key(args), self.records.key(kwargs))

    def __getitem__(self, index: Any) -> _Value:
        return self.records.value("item", self.number, self.records.key(index))

    def __iter__(self) -> Iterator[_Value]:
        return iter([self[index] for index in range(self.records.counts[self.number])])


def _operation(name: str, *, swapped: bool = False) -> Any:
    def method(self: _Value, *others: Any) -> _Value:
        keys = [self.records.key(value) for value in (self, *others)]
        if name in ("add", "mul"):  # `y += x` gives what `x + y` does
            keys.sort(key=repr)
        return self.records.value(name, *(reversed(keys) if swapped and name not in ("add", "mul") else keys))

    return method


for _name in ("add", "sub", "mul", "truediv", "matmul", "pow", "mod", "floordiv"):
    setattr(_Value, f"__{_name}__", _operation(_name))
    setattr(_Value, f"__r{_name}__", _operation(_name, swapped=True))
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "neg", "invert"):
    setattr(_Value, f"__{_name}__", _operation(_name))


@dataclass(eq=False)
class _Expected:
    """What a graph computes, node by node."""

    records: _Records
    training: bool

    def outputs(self, graph: Graph) -> Any:
        return self.body(graph.root, "", [self.records.input(name) for name in graph.inputs])

    def body(self, body: Body, path: str, inputs: list[Any]) -> Any:
        values: dict[Any, Any] = dict(zip(body.inputs, inputs, strict=True))
        for node in body.schedule:
            if node.training_only and not self.training:
                continue
            results = self.node(node, path, [values[value] for value in node.inputs])
            values |= zip(node.outputs, results, strict=True)
        outputs = body.outputs if self.training else body.eval_outputs
        if body.returns == "dict":
            return {output.name: values[output.value] for output in outputs}
        if len(outputs) == 1:
            return values[outputs[0].value]
        return tuple(values[output.value] for output in outputs)

    def node(self, node: Node, path: str, inputs: list[Any]) -> list[Any]:
        path = path + (node.shares or node.name)
        if isinstance(node.target, Body):
            result = self.body(node.target, f"{path}.", inputs)
            return [result] if len(node.outputs) == 1 and not isinstance(result, dict) else list(_items(result))
        call = node.target.torch(*node.input_types)
        names = [f"x{index}" for index in range(len(inputs))]
        scope = {"torch": self.records.value("torch"), "F": self.records.value("F")}
        scope |= dict(zip(names, inputs, strict=True))
        if isinstance(call, ModuleCall):
            scope["module"] = self.records.value("module", path)
            result = _evaluated(f"module({call.takes.format(*names)})", scope)
        elif isinstance(call, FunctionCall):
            result = _evaluated(call.code.format(*names, training=str(self.training)), scope)
        else:
            return [self.records.value("state", path)]
        if len(call.gives) > 1:
            self.records.counts[result.number] = len(call.gives)
        return [_evaluated(give.format("result"), {"result": result}) for give in call.gives]


def _items(result: Any) -> Any:
    return result.values() if isinstance(result, dict) else result


def _evaluated(code: str, scope: dict[str, Any]) -> Any:
    return eval(_compiled(code), {"__builtins__": {}}, scope)  # noqa: S307 - the code of an op, not of a spec


@lru_cache(maxsize=4096)
def _compiled(code: str) -> CodeType:
    return compile(code, "<op>", "eval")


# What is constructed -------------------------------------------------------------------------------------------------


class _Module:
    """Stands for `nn.Module`: keeps its children in order, and those of them that are tensors apart."""

    records: _Records
    training = property(lambda self: self.records.training)

    def __init__(self) -> None:
        self._parts: dict[str, Any] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, _Module | _Tensor):
            self._parts[name] = value
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        parts = self.__dict__.get("_parts", {})
        if name not in parts:
            raise AttributeError(name)
        part = parts[name]
        return part.value if isinstance(part, _Tensor) and part.value is not None else part

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def add_module(self, name: str, module: Any) -> None:
        self._parts[name] = module

    def register_buffer(self, name: str, value: Any, persistent: bool = True) -> None:
        self._parts[name] = _Tensor("buffer", (persistent, value.number))

    def children(self) -> Iterator[Any]:
        return (part for part in self._parts.values() if isinstance(part, _Module))

    def modules(self) -> Iterator[Any]:
        return iter(())  # what is drawn is not compared here

    named_modules = modules

    def get_parameter(self, name: str) -> Any:
        return None


class _Tensor:
    """A parameter or a buffer of a module."""

    def __init__(self, kind: str, facts: Any) -> None:
        self.kind = kind
        self.facts = facts
        self.value: Any = None


class _Parameter:
    """Stands for a tensor that is asked for to fill it."""

    def __getitem__(self, index: Any) -> Any:
        return self

    def numel(self) -> int:
        return 1


class _Leaf(_Module):
    """Stands for a module of PyTorch's own."""

    target = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.arguments = (args, kwargs)
        self.value: Any = None

    def call(self, wanted: Any) -> Any:
        """What constructed it, without the options that say what goes without saying."""
        args, kwargs = self.arguments
        defaults = wanted[-1] if isinstance(wanted, tuple) else {}
        said = {key: value for key, value in kwargs.items() if key not in defaults or defaults[key] != value}
        said.pop("inplace", None)  # where a result is written is not what it is
        return self.target, args, said, defaults

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.value is None:  # an identity that is not in the graph
            return args[0]
        return self.value(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return _Parameter()


class _Sequential(_Module):
    def __init__(self, *modules: Any) -> None:
        super().__init__()
        named = modules[0].items() if len(modules) == 1 and isinstance(modules[0], dict) else enumerate(modules)
        for name, module in named:
            self._parts[str(name)] = module

    def forward(self, x: Any) -> Any:
        for module in self._parts.values():
            x = module(x)
        return x


class _Holder(_Module):
    """Stands for `nn.ModuleList` and `nn.ModuleDict`."""

    def __init__(self, modules: Any) -> None:
        super().__init__()
        for name, module in modules.items() if isinstance(modules, dict) else enumerate(modules):
            self._parts[str(name)] = module

    def __getitem__(self, name: int | str) -> Any:
        return self._parts[str(name)]


def _run_file(source: str, name: str, records: _Records) -> Any:
    """The network that a file makes of the stand-ins."""
    kinds: dict[str, type] = {}
    base = type("Module", (_Module,), {"records": records})

    def leaf(target: str) -> type:
        return kinds.setdefault(target, type(target, (_Leaf,), {"target": target, "records": records}))

    class Names:
        def __getattr__(self, name: str) -> Any:
            return leaf(f"nn.{name}")

    def mixed(cls: type) -> type:
        return type(cls.__name__, (cls,), {"records": records})

    nn: Any = Names()
    nn.Module, nn.Sequential = base, mixed(_Sequential)
    nn.ModuleList = nn.ModuleDict = mixed(_Holder)
    nn.functional, nn.init = records.value("F"), records.value("init")
    nn.Parameter = lambda value: _Tensor("parameter", value.number)
    fake = {
        "torch": SimpleNamespace(nn=nn, Tensor=object),
        "torch.nn": nn,
        "torchvision.ops": SimpleNamespace(StochasticDepth=leaf("torchvision.ops.StochasticDepth")),
    }

    def importing(module: str, globals: Any, locals: Any, names: Any = (), level: int = 0) -> Any:
        if module == "torch" and not names:
            return records.value("torch")
        return fake[module] if module in fake else builtins.__import__(module, globals, locals, names, level)

    scope: dict[str, Any] = {"__builtins__": {**vars(builtins), "__import__": importing}, "__name__": name}
    exec(compile(source, f"{name}.py", "exec", dont_inherit=True), scope)  # noqa: S102 - what was written just now
    return scope[name]()


def _constructed(module: Any, path: str, wanted: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a network of the stand-ins holds, by path; each part learns what it is for the records."""
    for name, part in module._parts.items():
        inner = f"{path}{name}"
        if isinstance(part, _Tensor):
            part.value = module.records.value("state", inner)
            yield inner, part.kind
            continue
        if isinstance(part, _Leaf):
            if inner in wanted:
                part.value = module.records.value("module", inner)
                yield inner, part.call(wanted[inner])
            elif part.target != "nn.Identity":
                yield inner, "not in the graph"
            continue
        yield from _constructed(part, f"{inner}.", wanted)


def _wanted(graph: Graph) -> Iterator[tuple[str, Any]]:
    """What the network of a graph holds, by path."""
    pending = [("", node) for node in reversed(graph.root.nodes)]
    while pending:
        path, node = pending.pop()
        path += node.name
        if node.shares:
            continue
        if isinstance(node.target, Body):
            pending.extend((f"{path}.", inner) for inner in reversed(node.target.nodes))
            continue
        call = node.target.torch(*node.input_types)
        if isinstance(call, ModuleCall):
            fields = type(node.target).fields().items()
            yield path, (call.target, call.args, call.kwargs, {name: field.default for name, field in fields})
        elif not isinstance(call, FunctionCall):
            yield path, "parameter" if call.state.trainable else "buffer"
