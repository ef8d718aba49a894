"""Terms in, laid over each other, the one term that describes them all out, with slots where they differ.

A node that only some of them have is optional: where it is absent, whoever reads it reads its first input, as in the
language itself. Terms that have no common form raise `DifferentError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from netspec.formulas import HOLE, Column, DifferentError, common_order, constant, present
from netspec.importing.fold.reading import is_aside
from netspec.importing.fold.terms import (
    Chain,
    Group,
    Linear,
    Loop,
    Repeat,
    Share,
    Step,
    Use,
    Varying,
    form,
    parts,
    rebuilt,
)
from netspec.ops import OP_NAMES, op_class

RESHAPED = "new_shape"
"""The role of a shape in which one length may be left open."""

_MOST_ALIGNED = 32  # nodes of a list that is aligned with another one of other length


@dataclass(frozen=True, eq=False)
class Slot:
    """The values that stand in one place, one for each term. `role` is the argument, `label` the node around it.

    The values of a slot for a `node` are uses of ops or blocks, those for `presence` whether something is there.
    """

    column: Column
    role: str = ""
    label: str = ""
    kind: str = "value"


def lay(rows: Sequence[Any], role: str = "", label: str = "") -> Any:
    """The common form of terms or values, where `HOLE` stands for none. Raises `DifferentError`."""
    there = present(tuple(rows))
    if not there:
        return HOLE
    first = there[0]
    if not isinstance(first, Use | Chain | Group | Repeat | Loop | Step | Varying | Linear | Share):
        if any(isinstance(row, Varying | Linear) for row in there):
            return _lay_varying(rows, role, label)
        return first if constant(tuple(rows)) else Slot(tuple(rows), role, label)
    if isinstance(first, Share) and len(there) < len(rows) and all(_is_known(row) for row in there):
        return Slot(tuple(rows), role, label)
    if all(row is first or row == first for row in there):
        return first
    if isinstance(first, Share):
        if any(not isinstance(row, Share) for row in there):
            raise DifferentError
        if all(_is_known(row) for row in there):
            return Slot(tuple(rows), role, label)
        return replace(first, number=lay([HOLE if row is HOLE else row.number for row in rows], role, label))
    if {type(row) for row in there} in ({Chain, Repeat}, {Group, Repeat}):
        return lay([one_copy(row) if isinstance(row, Chain | Group) else row for row in rows], role, label)
    if isinstance(first, Varying | Linear):
        return _lay_varying(rows, role, label)
    if any(type(row) is not type(first) for row in there):
        raise DifferentError
    if isinstance(first, Use):
        return _lay_uses(rows, there, role, label)
    if isinstance(first, Chain) and len({len(row.steps) for row in there}) > 1:
        return _lay_chains(rows, label)
    if isinstance(first, Group) and len({form(row) for row in there}) + len({_names(row) for row in there}) > 2:
        return _lay_groups(rows, label)
    if any(form(row) != form(first) for row in there):
        raise DifferentError
    return _lay_parts(rows, first, label)


def _is_known(row: Any) -> bool:
    """Whether a value is a share by a number, which does not vary from copy to copy."""
    return isinstance(row, Share) and isinstance(row.number, int)


def one_copy(body: Chain | Group) -> Repeat:
    """A body of one node as a repeat, to stand beside longer ones. Raises `DifferentError`."""
    if len(body.steps) != 1:
        raise DifferentError
    step = body.steps[0]
    name = re.sub(r"([01])(?=\D*$)", lambda start: "{i + 1}" if start[1] == "1" else "{i}", step.name)
    if isinstance(body, Group) and (body.outputs or step.sources not in (None, body.inputs) or name == step.name):
        raise DifferentError
    return Repeat(1, _only_first(step.node), name)


def _only_first(node: Any) -> Any:
    """A node whose numbers say nothing of further copies."""
    if not isinstance(node, Use):
        return node
    return replace(node, arguments=tuple((name, _of_first(value)) for name, value in node.arguments))


def _of_first(value: Any) -> Any:
    if isinstance(value, Share):
        return replace(value, number=Varying(value.number, HOLE))
    return Varying(value, HOLE) if isinstance(value, int) and not isinstance(value, bool) else value


def _lay_parts(rows: Sequence[Any], first: Any, label: str) -> Any:
    roles: tuple[str, ...]
    if isinstance(first, Step):
        label = first.name or label
        roles = ("", "if")
    else:
        roles = ("",) * len(parts(first))
        if isinstance(first, Repeat):
            roles = ("repeat", "", "name")
        elif isinstance(first, Loop):
            roles = ("repeat", *roles[1:])
    columns = zip(*(parts(row) if row is not HOLE else (HOLE,) * len(roles) for row in rows), strict=True)
    return rebuilt(first, tuple(lay(column, role, label) for column, role in zip(columns, roles, strict=True)))


def _names(group: Group) -> tuple[str, ...]:
    return tuple(step.name for step in group.steps)


# Values --------------------------------------------------------------------------------------------------------------


def _lay_varying(rows: Sequence[Any], role: str, label: str) -> Any:
    """Values of which some vary from copy to copy; one that does not is the same in each."""
    lines = any(isinstance(row, Linear) for row in rows)
    if lines and any(isinstance(row, Varying) and row.others is not HOLE for row in rows):
        raise DifferentError
    pairs = [row if row is HOLE else _pair(row, lines) for row in rows]
    firsts = tuple(HOLE if pair is HOLE else pair[0] for pair in pairs)
    others = tuple(HOLE if pair is HOLE else pair[1] for pair in pairs)
    if not lines and all(constant(pair) for pair in zip(firsts, others, strict=True) if HOLE not in pair):
        return lay(firsts, role, label)
    return (Linear if lines else Varying)(lay(firsts, role, label), lay(others, role, label))


def _pair(row: Any, lines: bool) -> tuple[Any, Any]:
    """The value of the first copy, and the step to the next or the value of all others."""
    if isinstance(row, Varying):
        return row.first, row.others
    if isinstance(row, Linear):
        return row.start, row.step
    return row, 0 if lines else row


# Uses of ops and blocks ----------------------------------------------------------------------------------------------


def _lay_uses(rows: Sequence[Any], there: list[Use], role: str, label: str) -> Any:
    first = there[0]
    if any(use.head != first.head for use in there):
        if any(use.merges or use.aside or not isinstance(use.head, str) for use in there):
            raise DifferentError
        return Slot(tuple(rows), role or kind_of_node(there), label, "node")
    if first.head == "conv":
        rows = _with_like_padding(rows)
    names = list(dict.fromkeys(name for use in present(tuple(rows)) for name, _ in use.arguments))
    names.sort(key=first.names.index)
    arguments = []
    for name in names:
        column = [HOLE if use is HOLE else _argument(use, name) for use in rows]
        arguments.append((name, lay(column, RESHAPED if (first.head, name) == ("reshape", "shape") else name, label)))
    return replace(first, arguments=tuple(arguments))


def _with_like_padding(rows: Sequence[Any]) -> Sequence[Any]:
    """Convolutions whose padding is `same` in all, or a number in all, where some have the one and some the other."""
    there: list[Use] = present(tuple(rows))
    paddings = {_argument(use, "padding") for use in there}
    if "same" not in paddings or len(paddings) == 1:
        return rows
    if all(_argument(use, "padding") == "same" or _has_no_margins(use) for use in there):
        return [use if use is HOLE else _with(use, "padding", "same") for use in rows]
    return [use if use is HOLE else _with(use, "padding", _margins(use)) for use in rows]


def _has_no_margins(use: Use) -> bool:
    """Whether a convolution reads single positions, so that its padding of 0 is half of its kernel, too."""
    kernel = _argument(use, "kernel_size")
    return _argument(use, "padding") == 0 and set(kernel if isinstance(kernel, tuple) else (kernel,)) == {1}


def _margins(use: Use) -> Any:
    """The padding of a convolution as a number, or as one for each axis."""
    padding, kernel, dilation = (_argument(use, name) for name in ("padding", "kernel_size", "dilation"))
    if padding != "same":
        return padding
    if not isinstance(kernel, tuple) and not isinstance(dilation, tuple):
        return dilation * (kernel - 1) // 2
    kernels = kernel if isinstance(kernel, tuple) else (kernel,) * len(dilation)
    dilations = dilation if isinstance(dilation, tuple) else (dilation,) * len(kernels)
    return tuple(d * (k - 1) // 2 for k, d in zip(kernels, dilations, strict=True))


def _with(use: Use, name: str, value: Any) -> Use:
    """The use with an argument set, in the order of all arguments."""
    arguments = dict(use.arguments) | {name: value}
    return replace(use, arguments=tuple((key, arguments[key]) for key in use.names if key in arguments))


def _argument(use: Use, name: str) -> Any:
    for own, value in use.arguments:
        if own == name:
            return value
    if use.head not in OP_NAMES:
        raise DifferentError
    return op_class(use.head).fields()[name].default


def kind_of_node(there: list[Use]) -> str:
    """`act` or `norm`, where all the nodes of a column are such."""
    categories = {op_class(use.head).category if use.head in OP_NAMES else "" for use in there}
    return {"activation": "act", "batch_norm": "norm", "norm": "norm"}.get(
        categories.pop() if len(categories) == 1 else "", "layer"
    )


# Lists ---------------------------------------------------------------------------------------------------------------


def _lay_chains(rows: Sequence[Any], label: str) -> Chain:
    """Lists laid over the longest of them; what another one lacks is optional."""
    longest: Chain = max(present(tuple(rows)), key=lambda chain: len(chain.steps))
    if len(longest.steps) > _MOST_ALIGNED:
        raise DifferentError
    columns: list[list[Any]] = [[HOLE] * len(rows) for _ in longest.steps]
    for index, row in enumerate(rows):
        if row is not HOLE:
            for place, step in zip(_alignment(row.steps, longest.steps), row.steps, strict=True):
                columns[place][index] = step
    return Chain(tuple(_optional(column, rows, label) for column in columns))


def _optional(column: list[Any], rows: Sequence[Any], label: str) -> Step:
    """The step that a column stands for, with whether it is there where some lack it."""
    step: Step = lay(column, "", label)
    there = tuple(HOLE if row is HOLE else item is not HOLE for item, row in zip(column, rows, strict=True))
    if all(present(there)):
        return step
    if step.condition not in ("", True):
        raise DifferentError
    return replace(step, condition=Slot(there, "if", step.name or label, "presence"))


def _alignment(steps: Sequence[Step], longest: Sequence[Step]) -> Iterator[int]:
    """The place of each step in the longest list, in order, so that they are as alike as can be."""
    best: dict[tuple[int, int], tuple[float, bool]] = {}
    for i in range(len(steps), -1, -1):
        for j in range(len(longest), -1, -1):
            if i == len(steps):
                best[i, j] = (0.0, False)
            elif j == len(longest):
                best[i, j] = (float("-inf"), False)
            else:
                taken = _likeness(steps[i].node, longest[j].node) + best[i + 1, j + 1][0]
                skipped = best[i, j + 1][0]
                best[i, j] = (taken, True) if taken >= skipped else (skipped, False)
    if best[0, 0][0] == float("-inf"):
        raise DifferentError
    i = j = 0
    while i < len(steps):
        if best[i, j][1]:
            yield j
            i += 1
        j += 1


def _likeness(node: Any, other: Any) -> float:
    """How well two nodes fit into one place, minus infinity where they do not."""
    if type(node) is not type(other):
        return float("-inf")
    if not isinstance(node, Use):
        return 1.0
    if node.head != other.head:
        return 0.1 if kind_of_node([node, other]) != "layer" else float("-inf")
    ours, theirs = _outline(node), _outline(other)
    alike: int = sum(ours[name] == theirs.get(name) for name in ours)
    return 1.0 + alike / (1 + len(ours.keys() | theirs.keys()))


def _outline(use: Use) -> dict[str, Any]:
    """The arguments with their numbers as which of them are equal, and which are 0 or 1."""
    seen: dict[Any, int] = {}
    return {
        name: value if value in (0, 1, None) or isinstance(value, str | Use) else -1 - seen.setdefault(value, len(seen))
        for name, value in use.arguments
    }


# Mappings ------------------------------------------------------------------------------------------------------------


def _lay_groups(rows: Sequence[Any], label: str) -> Group:
    """Mappings laid over each other by the names of their nodes."""
    there: list[Group] = present(tuple(rows))
    first = there[0]
    if any((group.inputs, group.returns) != (first.inputs, first.returns) for group in there):
        raise DifferentError
    order = common_order([list(_names(group)) for group in there])
    nodes = [HOLE if group is HOLE else {step.name: step for step in group.steps} for group in rows]
    wiring = _Wiring(nodes, order)
    steps = []
    for name in order:
        column = [known if known is HOLE else known.get(name, HOLE) for known in nodes]
        column = [step if step is HOLE else replace(step, sources=wiring.sources[name]) for step in column]
        steps.append(_optional(column, rows, label))
    returned = [_returned(group) for group in there]
    names = {tuple(name for name, _ in row) if first.returns != "bare" else len(row) for row in returned}
    if len(names) > 1:
        raise DifferentError
    outputs = tuple(
        (column[0][0], wiring.common([source for _, source in column], [k for k in nodes if k is not HOLE]))
        for column in zip(*returned, strict=True)
    )
    if first.returns == "bare" and outputs[0][1] == _last(steps):
        outputs = ()
    return Group(first.inputs, tuple(steps), first.returns, outputs)


def _last(steps: Sequence[Step]) -> str:
    return next((step.name for step in reversed(steps) if not is_aside(step)), "")


def _returned(group: Group) -> tuple[tuple[str, str], ...]:
    return group.outputs or (("", _last(group.steps)),)


def _numbered(source: str) -> bool:
    """Whether a name is that of one of several outputs, of which there may be fewer elsewhere."""
    return source.rpartition(".")[2].isdigit() and "." in source


class _Wiring:
    """What each node of some mappings reads, in the words of the one that they are laid into."""

    def __init__(self, nodes: Sequence[Any], order: list[str]) -> None:
        self.nodes = nodes
        self.sources: dict[str, tuple[str, ...]] = {}
        self.optional = {name for name in order for known in nodes if known is not HOLE and name not in known}
        for name in sorted(order, key=lambda name: name not in self.optional):
            owners = [known for known in nodes if known is not HOLE and name in known]
            rows = [known[name].sources for known in owners]
            if None in rows or (name in self.optional and any(_numbered(source) for row in rows for source in row)):
                raise DifferentError
            if len({len(row) for row in rows}) > 1:
                raise DifferentError
            self.sources[name] = tuple(self.common(list(column), owners) for column in zip(*rows, strict=True))

    def common(self, column: list[str], owners: Sequence[dict[str, Step]]) -> str:
        """The one name that means each of these, in the mapping that it is from."""
        names = list(dict.fromkeys(column))
        candidates = sorted(names, key=lambda name: name.partition(".")[0] not in self.optional)
        for candidate in candidates:
            if all(self.meaning(candidate, known) == name for name, known in zip(column, owners, strict=True)):
                return candidate
        raise DifferentError

    def meaning(self, source: str, known: dict[str, Step]) -> str:
        """What a name stands for where some nodes are absent."""
        while source in self.optional and source not in known:
            if source not in self.sources or not self.sources[source]:
                raise DifferentError
            source = self.sources[source][0]
        return source
