"""Terms in, the text of a spec out, in the layout of `netspec fmt`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log
from typing import Any

from netspec.expressions import show
from netspec.importing.fold.terms import Chain, Group, Loop, Step, Text, Use
from netspec.layout import WIDTH, write
from netspec.parts import DOCUMENT_KEYS
from netspec.shapes import TensorType
from netspec.source import read_text

_QUOTED = re.compile(r"[-?]\s|[^\w.(/+-]|.*(?:[{}\n\"'\\]|: |:$| #)", re.DOTALL)  # what YAML would read in another way
_QUOTED_INSIDE = re.compile(r".*[,\[\]]", re.DOTALL)  # and inside braces or brackets
_MOST_DIGITS = 8  # of a number that is written as it is
_MOST_LOGARITHM = 7  # that is looked for among those of whole numbers
_MOST_INLINE = 4  # nodes of a list that stands on one line


@dataclass(frozen=True)
class Parameter:
    """A parameter with its type, and its default unless it is required."""

    name: str
    kind: str
    default: Any = ...

    @property
    def required(self) -> bool:
        return self.default is ...


@dataclass(frozen=True)
class Block:
    """A block, or the network itself: parameters, values computed once, and what it is made of."""

    parameters: tuple[Parameter, ...]
    lets: tuple[tuple[str, Any], ...]
    node: Any
    name: str = ""


def spec_text(name: str, about: str, inputs: dict[str, TensorType], network: Block, blocks: tuple[Block, ...]) -> str:
    """The text of the spec of a network that uses `blocks`."""
    document: dict[str, Any] = {"netspec": "1", "name": name}
    if about:
        document["about"] = about
    if list(inputs) == ["x"]:
        document["input"] = _input(inputs["x"])
    else:
        document["inputs"] = {name: _input(type) for name, type in inputs.items()}
    parts = _block(network)
    parts.pop("inputs", None)
    document |= {key: parts[key] for key in ("params", "let") if key in parts}
    if blocks:
        document["blocks"] = {block.name: _block(block) for block in blocks}
    document |= {key: value for key, value in parts.items() if key not in document}
    return write(read_text("\n".join(_lines(document, 0)) + "\n"), DOCUMENT_KEYS)


def _input(type: TensorType) -> Any:
    shape = [str(length) for length in type.shape]
    return shape if type.dtype == "float32" else {"shape": shape, "dtype": type.dtype}


# Terms to plain data: texts, lists and mappings ----------------------------------------------------------------------


def _block(block: Block) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if block.parameters:
        plain = all(parameter.kind == "int" and parameter.required for parameter in block.parameters)
        names = [parameter.name for parameter in block.parameters]
        data["params"] = names if plain else {p.name: _parameter(p) for p in block.parameters}
    if block.lets:
        data["let"] = {name: _value(value) for name, value in block.lets}
    return data | (_body(block.node) if isinstance(block.node, Chain | Group) else {"node": _node(block.node)})


def _parameter(parameter: Parameter) -> Any:
    if parameter.required:
        return parameter.kind
    default = parameter.default
    value = _value(default)
    told = (
        "bool"
        if isinstance(default, bool)
        else "int"
        if isinstance(default, int)
        else "number"
        if isinstance(default, float)
        else "node"
        if isinstance(default, Use) and isinstance(value, str)
        else ""
    )
    if isinstance(default, tuple):
        told = "table" if all(isinstance(row, tuple) for row in default) else "list"
    return value if told == parameter.kind else {"type": parameter.kind, "default": value}


def _body(node: Chain | Group) -> dict[str, Any]:
    """The keys that say what a block or group is made of."""
    if isinstance(node, Chain):
        return {"graph": [_step(step) for step in node.steps]}
    data: dict[str, Any] = {} if node.inputs == ("x",) else {"inputs": list(node.inputs)}
    data["graph"] = _mapping(node.steps)
    if node.outputs:
        data["outputs"] = _outputs(node)
    return data


def _outputs(group: Group) -> Any:
    named = dict(group.outputs)
    if group.returns == "bare":
        return next(iter(named.values()))
    if group.returns == "dict":
        return {"dict": named}
    return list(named) if all(name == source for name, source in named.items()) else named


def _mapping(steps: tuple[Step, ...]) -> dict[str, Any]:
    return {step.name or _label(step.node): _step(step) for step in steps}


def _label(loop: Loop) -> str:
    """The key in front of a loop: the name of its node, or for several a label."""
    return (
        loop.steps[0].name if _is_single(loop) else f"each_{loop.steps[0].name.partition('{')[0].strip('_.0123456789')}"
    )


def _is_single(loop: Loop) -> bool:
    return len(loop.steps) == 1 and not isinstance(loop.steps[0].node, Loop)


def _step(step: Step) -> Any:
    """A node with the words around it."""
    if isinstance(step.node, Loop):
        return _loop(step.node)
    words: dict[str, Any] = {}
    merges = isinstance(step.node, Use) and step.node.merges
    if step.sources is not None and not merges:
        sources = list(step.sources)
        words["from"] = sources[0] if len(sources) == 1 else sources
    data = {"call": step.call} if step.call else _node(step.node, step.sources or ())
    if step.training_only:
        words["training_only"] = "true"
    if step.condition not in ("", True):
        words["if"] = _value(step.condition)
    if not words:
        return data
    if isinstance(data, str):
        data = {data: ""}
    elif isinstance(data, list):
        data = {"graph": data}
    first = {"from": words.pop("from")} if "from" in words else {}
    return first | words | data if "graph" in data else first | data | words


def _loop(loop: Loop) -> dict[str, Any]:
    table = loop.table.text if isinstance(loop.table, Text) else show(loop.table)
    table = f"range({table})" if loop.counted else table
    head = {"for": f"{loop.targets} in {table}"}
    if _is_single(loop):
        inner = _step(loop.steps[0])
        if isinstance(inner, list):
            inner = {"graph": inner}
        return head | (inner if isinstance(inner, dict) else {inner: ""})
    named = bool(loop.steps[0].name)
    return head | {"do": _mapping(loop.steps) if named else [_step(s) for s in loop.steps]}


def _node(node: Any, sources: tuple[str, ...] = ()) -> Any:
    if isinstance(node, Use):
        return _use(node, sources)
    if isinstance(node, Chain):
        return [_step(step) for step in node.steps]
    if isinstance(node, Group):
        return _body(node)
    inner = _node(node.node)
    if isinstance(inner, list):
        inner = {"graph": inner}
    elif isinstance(inner, str):
        inner = {inner: ""}
    name = {"name": node.name} if node.name else {}
    return {"repeat": _value(node.count)} | name | inner


def _use(use: Use, sources: tuple[str, ...]) -> Any:
    """`relu`, `{conv: [64, 3], bias: false}`, or `{add: [a, b]}`."""
    named = dict(use.arguments)
    if use.merges:
        positional: Any = list(sources)
    elif use.variadic is not None:
        positional = _value(named.pop(use.variadic, ""))
        if isinstance(positional, list) and len(positional) == 1 and not isinstance(positional[0], list):
            positional = positional[0]
    else:
        values = []
        for name in use.names:
            if name not in named or isinstance(named[name], bool | str | Use) or named[name] is None:
                break
            values.append(_value(named.pop(name)))
        single = len(values) == 1 and not isinstance(values[0], list)
        positional = values[0] if single else values or ""
    head = use.head.text if isinstance(use.head, Text) else use.head
    if positional == "" and not named:
        return head
    return {head: positional} | {name: _value(value) for name, value in named.items()}


def _value(value: Any) -> Any:
    if isinstance(value, Use):
        return _use(value, ())
    if isinstance(value, Text):
        return value.text
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    return value if isinstance(value, str) else _number(value) if isinstance(value, float) else show(value)


def _number(value: float) -> str:
    """A number, as the short expression that gives it where it has many digits."""
    text = show(value)
    if len(text) <= _MOST_DIGITS:
        return text
    rest = round(1 - value, 6)
    if 1 - rest == value:
        return f"1 - {rest}"
    for divisor in range(3, 20):
        if (dividend := round(value * divisor)) and dividend / divisor == value:
            return f"{dividend} / {divisor}"
    if 1 < value < _MOST_LOGARITHM and log(whole := round(exp(value))) == value:
        return f"log({whole})"
    square = round(value**-2) if value > 0 else 0
    return f"{square}**-0.5" if square and square**-0.5 == value else text


# Plain data to lines -------------------------------------------------------------------------------------------------


def _lines(data: dict[str, Any] | list[Any], indent: int) -> Iterator[str]:
    """Each entry on lines of its own."""
    entries = data.items() if isinstance(data, dict) else [("", item) for item in data]
    for key, value in entries:
        head = " " * indent + (f"{_spelled(key)}:" if isinstance(data, dict) else "-")
        if isinstance(value, str):
            yield f"{head} {_spelled(value)}".rstrip()
        elif head != "graph:" and not _is_open(value, WIDTH - len(head) - 1):
            yield f"{head} {_flow(value)}"
        elif isinstance(data, dict):
            yield head
            yield from _lines(value, indent + 2)
        else:
            first, *others = _lines(value, indent + 2)
            yield f"{head} {first.lstrip()}"
            yield from others


def _is_open(data: Any, room: int) -> bool:
    """Whether a list or mapping takes several lines, because it holds named nodes, or many."""
    if isinstance(data, str):
        return False
    if isinstance(data, dict):
        named = any(isinstance(data.get(key), dict) for key in ("graph", "do", "blocks"))
        return named or any(_is_open(value, WIDTH) for value in data.values()) or len(_flow(data)) > room
    nodes = [item for item in data if isinstance(item, dict)]
    many = len(data) > _MOST_INLINE and bool(nodes)
    text = _flow(data) if nodes else _flow(data).replace(", ", ",")  # rows of numbers do without spaces
    return many or any(_is_open(item, room) for item in data) or len(text) > room


def _flow(data: Any) -> str:
    if isinstance(data, str):
        return _spelled(data, inside=True)
    if isinstance(data, list):
        return f"[{', '.join(map(_flow, data))}]"
    return f"{{{', '.join(f'{_flow(key)}: {_flow(value)}' for key, value in data.items())}}}"


def _spelled(text: str, *, inside: bool = False) -> str:
    """A scalar, in quotation marks if it needs them; `inside` braces or brackets more of them do."""
    quoted = text and (_QUOTED.match(text) or (inside and _QUOTED_INSIDE.match(text)))
    return json.dumps(text, ensure_ascii=False) if quoted else text
