"""Short texts for pictures: an op in a few characters, the arguments of a block, a name for copies."""

from __future__ import annotations

from collections import Counter
from typing import Any

from netspec.expressions import show
from netspec.graph import Body, Graph, Node
from netspec.ops.base import Op, compact
from netspec.shapes import TensorType

GROUPS = ("chain", "graph", "branches", "repeat")
"""Kinds of bodies that are a part of the network's own structure, and no block with a name."""

_MOST_KINDS = 4
_MOST_OPTIONS = 3
_LONGEST = 4  # numbers that are joined by ×
_LONGEST_TEXT = 24  # characters of a list that is written out
_KNOWN = ("kernel_size", "out_channels", "stride")
_POSITIONAL_FROM = 4  # this many arguments are written without their names, as in the spec


def copies_name(names: tuple[str, ...]) -> str:
    """One name for consecutive copies: `1–2`, or `denselayer1–6`."""
    first, last = names[0], names[-1]
    if first == last:
        return first
    stem = first.rstrip("0123456789")
    number = last.removeprefix(stem)
    return f"{first}–{number}" if number.isdigit() and last.startswith(stem) else f"{first}–{last}"


def heading(name: str, kind: str, count: int = 1) -> str:
    """`layer1 ×3 · bottleneck`; a name that only repeats the kind is left out, and so is the kind of a plain group."""
    times = f" ×{count}" if count > 1 else ""
    if name == kind or not kind:
        return f"{name}{times}"
    return f"{name}{times} · {kind}"


def contents(body: Body) -> str:
    """What a plain group holds, by kind: `conv ×2, max_pool, fire ×8`."""
    counts: Counter[str] = Counter()
    pending = list(reversed(body.schedule))
    while pending:
        node = pending.pop()
        if isinstance(node.target, Body) and (node.kind in GROUPS or node.target.repeated):
            pending.extend(reversed(node.target.schedule))
        else:
            counts[node.kind] += 1
    parts = [f"{kind} ×{count}" if count > 1 else kind for kind, count in counts.items()]
    return ", ".join(parts if len(parts) <= _MOST_KINDS else [*parts[: _MOST_KINDS - 1], "…"])


# Ops -----------------------------------------------------------------------------------------------------------------


def op_text(node: Node, *, width: bool = True) -> str:
    """An op with the arguments that tell it from others: `conv 7×7, 64, /2`.

    Without `width` the number of channels is left out, for where the shape beside it says that: `conv 7×7, /2`.
    """
    op: Any = node.target
    fields = type(op).fields()
    if op.category in ("convolution", "pooling") and "kernel_size" in fields:
        return f"{node.kind} {', '.join(_window(op, node.input_types[0], width))}"
    if op.category == "pooling" and "output_size" in fields:
        return f"{node.kind} {_sizes(op.output_size, node.input_types[0])}"
    parts = _options(op)
    return f"{node.kind} {', '.join(parts)}" if parts else node.kind


def _window(op: Any, x: TensorType, width: bool) -> list[str]:
    fields = type(op).fields()
    parts = [_sizes(op.kernel_size, x)]
    if width and "out_channels" in fields:
        parts.append(str(op.out_channels))
    step = op.kernel_size if op.stride is None else op.stride
    if not _is_one(step):
        sign = "×" if "output_padding" in fields else "/"  # a transposed convolution enlarges
        parts.append(sign + _number(compact(step) if isinstance(step, tuple) else step))
    groups = getattr(op, "groups", 1)
    if groups > 1:
        parts.append("depthwise" if groups == x.channels else f"groups {groups}")
    dilation = getattr(op, "dilation", 1)
    if not _is_one(dilation):
        parts.append(f"dilation {_number(dilation)}")
    return parts


def _is_one(value: int | tuple[int, ...]) -> bool:
    return set(value if isinstance(value, tuple) else (value,)) == {1}


def _sizes(value: Any, x: TensorType) -> str:
    """`3×3` for a size of 3 over two spatial axes."""
    lengths = value if isinstance(value, tuple) else (value,)
    lengths = lengths * (x.rank - 1) if len(lengths) == 1 else lengths
    return "×".join("any" if length is None else str(length) for length in lengths)


def _options(op: Op) -> list[str]:
    """Required arguments bare, then the changed ones by name; epsilons and biases tell nothing in a picture."""
    parts = []
    for name, info in type(op).fields().items():
        value = getattr(op, name)
        if name in ("dim", "dims") and isinstance(value, tuple):
            parts.append(", ".join(map(str, value)))
        elif info.required or name == "p":
            parts.append(_number(value))
        elif value != info.default and name not in ("bias", "eps", "momentum", "inplace", "scale"):
            parts.append(name.replace("_", " ") if value is True else f"{name} {_number(value)}")
    return parts[:_MOST_OPTIONS]


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, tuple):
        if all(isinstance(item, int) for item in value) and len(value) <= _LONGEST:
            return "×".join(map(_number, value))
        return show(value) if len(show(value)) <= _LONGEST_TEXT else f"{len(value)} values"
    return show(value)


# Blocks --------------------------------------------------------------------------------------------------------------


class Arguments:
    """Says of each block what differs from the network's other blocks of its kind; what they share is said once."""

    def __init__(self, graph: Graph) -> None:
        self.by_kind: dict[str, list[dict[str, Any]]] = {}
        seen: set[int] = set()
        pending = [graph.root]
        while pending:
            for node in pending.pop().nodes:
                if isinstance(node.target, Body) and id(node.target) not in seen:
                    seen.add(id(node.target))
                    pending.append(node.target)
                    if node.target.arguments:
                        self.by_kind.setdefault(node.kind, []).append(node.target.arguments)

    def varying(self, kind: str) -> list[str]:
        """Names of the arguments worth writing in each block of this kind."""
        known = self.by_kind.get(kind, [])
        names = list(known[0]) if known else []
        if len(known) == 1:
            return [name for name in names if _tells(known[0][name])]
        return [name for name in names if len({repr(arguments.get(name)) for arguments in known}) > 1]

    def text(self, bodies: tuple[Body, ...], kind: str) -> str:
        """`3×3, 80, /2, expand_ratio 6`; a range stands for what differs among copies.

        Kernel, channels and stride are written as an op's are. Many other arguments are written without names.
        """
        names = self.varying(kind)
        values = {name: [body.arguments[name] for body in bodies if name in body.arguments] for name in names}
        axes = bodies[0].inputs[0].type.rank - 1 if bodies[0].inputs else 0
        known = {
            name: _known(name, values[name][0], axes)
            for name in _KNOWN
            if len(set(map(repr, values.get(name, ())))) == 1
        }
        others = self._others(names)
        named = len(others) < _POSITIONAL_FROM
        parts = [f"{name} {_range(values[name])}" if named else _range(values[name]) for name in others]
        if len(set(values.get("stride", ()))) > 1:  # of copies, where the first one reduces the size
            known["stride"] = f"first {_known('stride', values['stride'][0], axes)}"
        ahead = [text for name, text in known.items() if name != "stride"]
        place = 0 if ahead else 1
        parts.insert(place, known.get("stride", ""))
        return ", ".join(filter(None, ahead + parts))

    def notes(self, kind: str) -> list[str]:
        """The order of arguments that are written without names, and what all blocks of a kind share."""
        names, known = self.varying(kind), self.by_kind.get(kind, [])
        others = self._others(names)
        notes = [f"{kind} ({', '.join(others)})"] if len(others) >= _POSITIONAL_FROM else []
        if len(known) > 1:
            shared = [f"{name} {_number(v)}" for name, v in known[0].items() if name not in names and _tells(v)]
            notes += [f"every {kind}: {', '.join(shared)}"] if shared else []
        return notes

    @staticmethod
    def _others(names: list[str]) -> list[str]:
        return [name for name in names if name not in _KNOWN]


def _known(name: str, value: Any, axes: int) -> str:
    """An argument that PyTorch's convolutions have too, written as for them."""
    if name == "kernel_size":
        return "×".join(map(str, value if isinstance(value, tuple) else (value,) * axes))
    if name == "stride":
        return "" if value == 1 else f"/{_number(value)}"
    return _number(value)


def _tells(value: Any) -> bool:
    """Whether a value is worth a place in a picture: switches that are off and factors of 1 are not."""
    return value not in (None, False, 0, 1) and not isinstance(value, (dict, list))


def _range(values: list[Any]) -> str:
    if not values:
        return ""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        low, high = _number(min(values)), _number(max(values))
        return low if low == high else f"{low}–{high}"
    texts = list(dict.fromkeys(map(_number, values)))
    return " or ".join(texts)
