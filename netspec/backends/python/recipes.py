"""What a body constructs, as data, and what several bodies have in common.

A recipe is the construction of one child: a call of a constructor, a chain of recipes, or a tensor. `unify` lays the
recipes of several instances over each other: equal in structure, with a column of values wherever a value stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from netspec.formulas import HOLE, Column, DifferentError
from netspec.ops.base import ModuleCall, Op, StateCall

POSITIONAL: dict[str, tuple[str, ...]] = {
    "nn.Conv": ("in_channels", "out_channels", "kernel_size"),
    "nn.BatchNorm": ("num_features",),
    "nn.InstanceNorm": ("num_features",),
    "nn.GroupNorm": ("num_groups", "num_channels"),
    "nn.LayerNorm": ("normalized_shape",),
    "nn.Linear": ("in_features", "out_features"),
    "nn.Embedding": ("num_embeddings", "embedding_dim"),
    "nn.MultiheadAttention": ("embed_dim", "num_heads"),
    "nn.LSTM": ("input_size", "hidden_size"),
    "nn.GRU": ("input_size", "hidden_size"),
    "nn.RNN": ("input_size", "hidden_size"),
    "nn.MaxPool": ("kernel_size",),
    "nn.AvgPool": ("kernel_size",),
    "nn.LPPool": ("norm_type", "kernel_size"),
    "nn.Adaptive": ("output_size",),
    "nn.Dropout": ("p",),
    "nn.ChannelShuffle": ("groups",),
    "torchvision.ops.StochasticDepth": ("p", "mode"),
}
"""Names of the positional arguments in the records of ops, by the beginning of the target."""


@dataclass(frozen=True, eq=False)
class Slot:
    """The values that stand in one place, one for each instance. `role` is the name of the argument.

    A slot for a whole module has its classes as values, and is `in_place` where the modules write over their input.
    """

    values: Column
    role: str = ""
    in_place: bool = False


@dataclass(frozen=True)
class Module:
    """A class of modules as a value: an argument such as `act=nn.SiLU`."""

    target: str


@dataclass(frozen=True)
class Make:
    """A call of a constructor. `defaults` are the values of options that are not written."""

    target: str
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict, compare=False)

    def renamed(self, target: str) -> Make:
        """The same call of another class."""
        return Make(target, self.args, self.options, self.roles, self.defaults)

    @property
    def bare(self) -> bool:
        """True where the class alone says it all, but for whether it works in place."""
        return not self.args and self.options.keys() <= {"inplace"}


@dataclass(frozen=True)
class Chain:
    """An `nn.Sequential`: names and recipes in their order."""

    items: tuple[tuple[str, Any], ...]

    @property
    def numbered(self) -> bool:
        return [name for name, _ in self.items] == [str(index) for index in range(len(self.items))]


@dataclass(frozen=True)
class Tensor:
    """A learned parameter or a constant of the module itself."""

    call: StateCall
    shape: tuple[Any, ...]
    fill: Any = None  # a number that fills it, nested rows, or None for a learned parameter


@dataclass(frozen=True, eq=False)
class Optional:
    """A recipe that only some instances follow."""

    present: Column
    part: Any


def module_recipe(call: ModuleCall, op: Op, *, in_place: bool = False) -> Make:
    """The construction of an op's module, which may write over its input."""
    roles = next((names for prefix, names in POSITIONAL.items() if call.target.startswith(prefix)), ())
    roles = (*roles, *("" for _ in call.args))[: len(call.args)]
    defaults = {name: record.default for name, record in type(op).fields().items() if not record.required}
    options = call.kwargs | ({"inplace": True} if in_place else {})
    return Make(call.target, call.args, options, roles, defaults | {"inplace": False})


def tensor_recipe(call: StateCall) -> Tensor:
    """The making of a tensor that belongs to no module."""
    return Tensor(call, call.state.shape, call.values)


# Unification ---------------------------------------------------------------------------------------------------------


def unify(parts: Sequence[Any]) -> Any:
    """The common form of what the instances construct; `HOLE` stands for one that constructs nothing here.

    Raises `DifferentError`.
    """
    there = [part for part in parts if part is not HOLE]
    first = there[0]
    if not all(type(part) is type(first) for part in there):
        raise DifferentError
    if isinstance(first, Make):
        return _unify_makes(parts, there)
    if isinstance(first, Chain):
        return _unify_chains(parts)
    return _unify_tensors(parts, there)


def _unify_makes(parts: Sequence[Any], there: list[Make]) -> Make | Slot:
    first = there[0]
    in_place = all("inplace" in part.options for part in there)
    if any(part.target != first.target for part in there):
        if not all(part.bare and part.target.startswith("nn.") for part in there):
            raise DifferentError
        modules = tuple(HOLE if part is HOLE else Module(part.target) for part in parts)
        return Slot(modules, "module", in_place)
    if any(len(part.args) != len(first.args) for part in there):
        raise DifferentError
    args = tuple(
        Slot(tuple(HOLE if part is HOLE else part.args[index] for part in parts), role)
        for index, role in enumerate(first.roles)
    )
    fullest = list(max(there, key=lambda part: len(part.options)).options)
    names = dict.fromkeys([*fullest, *(name for part in there for name in part.options)])
    options = {}
    for name in names:
        if not all(name in part.options or name in part.defaults for part in there):
            raise DifferentError
        if name != "inplace" or in_place:
            values = (HOLE if part is HOLE else part.options.get(name, part.defaults.get(name)) for part in parts)
            options[name] = Slot(tuple(values), name)
    return Make(first.target, args, options, first.roles, first.defaults)


def _unify_tensors(parts: Sequence[Any], there: list[Tensor]) -> Tensor:
    first = there[0]
    if any(len(part.shape) != len(first.shape) for part in there):
        raise DifferentError
    for part in there:
        state, other = part.call.state, first.call.state
        if state._replace(shape=()) != other._replace(shape=()) or part.fill != first.fill:
            raise DifferentError
    shape = tuple(
        Slot(tuple(HOLE if part is HOLE else part.shape[axis] for part in parts), "shape")
        for axis in range(len(first.shape))
    )
    return Tensor(first.call, shape, first.fill)


def _unify_chains(parts: Sequence[Any]) -> Chain:
    """Chains laid over each other; an item that some of them lack becomes optional."""
    count = len(parts)
    columns: list[list[Any]] = []
    names: list[str] = []
    numbered = all(part.numbered for part in parts if part is not HOLE)
    order = sorted((i for i in range(count) if parts[i] is not HOLE), key=lambda i: -len(parts[i].items))
    for index in order:
        items = parts[index].items
        for place, item in _alignment(columns, [item for _, item in items]):
            if place is None:
                raise DifferentError
            if place == len(columns):
                columns.append([HOLE] * count)
                names.append(items[place][0])
            columns[place][index] = item
        if not numbered and [name for name, _ in items] != names:
            raise DifferentError
    result = []
    for name, column in zip(names, columns, strict=True):
        part = unify(column)
        there = tuple(item is not HOLE for item in column)
        relevant = [is_there for is_there, whole in zip(there, parts, strict=True) if whole is not HOLE]
        result.append((name, part if all(relevant) else Optional(_among(parts, there), part)))
    return Chain(tuple(result))


def _among(parts: Sequence[Any], there: Column) -> Column:
    return tuple(HOLE if whole is HOLE else is_there for whole, is_there in zip(parts, there, strict=True))


def _alignment(columns: list[list[Any]], items: list[Any]) -> Iterator[tuple[int | None, Any]]:
    """The column of each item: those that fit best, in order. With no columns yet, each item opens one."""
    if not columns:
        yield from enumerate(items)
        return
    rows = [next(item for item in column if item is not HOLE) for column in columns]
    best: dict[tuple[int, int], tuple[float, int | None]] = {}
    for i in range(len(items), -1, -1):
        for j in range(len(rows), -1, -1):
            if i == len(items):
                best[i, j] = (0.0, None)
            elif j == len(rows):
                best[i, j] = (float("-inf"), None)
            else:
                skipped = best[i, j + 1]
                score = _likeness(items[i], rows[j]) + best[i + 1, j + 1][0]
                best[i, j] = (score, j) if score >= skipped[0] else skipped
    j = 0
    for i, item in enumerate(items):
        score, column = best[i, j]
        if column is None or score == float("-inf"):
            yield None, item
            return
        yield column, item
        j = column + 1


def _likeness(item: Any, other: Any) -> float:
    """How well two recipes fit into one column, minus infinity where they do not."""
    if type(item) is not type(other):
        return float("-inf")
    if isinstance(item, Chain):
        return 1.0
    if item.target != other.target:
        return 0.5 if item.bare and other.bare else float("-inf")
    return 1.0 + SequenceMatcher(None, _pattern(item), _pattern(other), autojunk=False).ratio()


def _pattern(make: Make) -> list[tuple[str, Any]]:
    """The arguments with their numbers as which of them are equal, and which are 1."""
    seen: dict[Any, int] = {}
    values = {**{str(index): value for index, value in enumerate(make.args)}, **make.options}
    return [
        (name, value if value in (0, 1, None) or isinstance(value, str) else -1 - seen.setdefault(value, len(seen)))
        for name, value in values.items()
    ]
