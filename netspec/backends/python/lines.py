"""Calls and their arguments laid out in lines of Python, in the one way that formatters agree on.

What fits stays on one line; else the arguments get a line of their own, all together if they fit, else one each.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from textwrap import wrap
from typing import Any, NamedTuple

WIDTH = 120
INDENT = "    "


class Call(NamedTuple):
    """Something in brackets: what opens it, its items, and the bracket that closes it."""

    head: str
    items: tuple[Code, ...]
    tail: str = ")"


class Loop(NamedTuple):
    """A comprehension: what opens it, what it makes each time, its `for`, and what closes it."""

    head: str
    item: Code
    clause: str
    tail: str


class Row(NamedTuple):
    """An item with a comment, which is left out where the items share a line."""

    code: Code
    comment: str


Code = str | Call | Loop | Row


def flat(code: Code) -> str:
    """The code on one line."""
    if isinstance(code, str):
        return code
    if isinstance(code, Row):
        return flat(code.code)
    if isinstance(code, Loop):
        return f"{code.head}{flat(code.item)} {code.clause}{code.tail}"
    return f"{code.head}{', '.join(map(flat, code.items))}{code.tail}"


def lay(
    code: Code, indent: str = "", before: str = "", behind: str = "", comment: str = "", margin: int = 8
) -> list[str]:
    """The lines of one statement, `before` and `behind` around the code; `margin` is how far they will be indented."""
    if isinstance(code, Row):
        return lay(code.code, indent, before, behind, code.comment, margin)
    width = WIDTH - margin
    whole = f"{indent}{before}{flat(code)}{behind}"
    if isinstance(code, str) or (len(_commented(whole, comment, width)) <= width and not _rows(code)):
        return [_commented(whole, comment, width)]
    inner = indent + INDENT
    if isinstance(code, Loop):
        opened = f"{indent}{before}{code.head}"
        middle = f"{inner}{flat(code.item)} {code.clause}"
        item = [middle] if len(middle) <= width else [*lay(code.item, inner, margin=margin), f"{inner}{code.clause}"]
        return [_commented(opened, comment, width), *item, f"{indent}{code.tail}{behind}"]
    together = inner + ", ".join(map(flat, code.items))
    lines = [_commented(f"{indent}{before}{code.head}", comment, width)]
    if len(together) <= width and not _rows(code) and len(code.head) > 1:
        lines.append(together)
    else:
        lines.extend(line for item in code.items for line in lay(item, inner, behind=",", margin=margin))
    lines.append(f"{indent}{code.tail}{behind}")
    return lines


def literal(value: Any) -> str:
    """A plain value as Python writes it, texts in double quotes."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple | list):
        items = ", ".join(map(literal, value))
        if isinstance(value, list):
            return f"[{items}]"
        return f"({items},)" if len(value) == 1 else f"({items})"
    return repr(value).replace("e+", "e")


def docstring(about: str, references: Iterable[str], margin: int = 0) -> list[str]:
    """The lines of a docstring: what something is, and where it comes from. Nothing in the texts can end it."""
    paragraphs = [about, *(f"{reference}." for reference in references)]
    lines: list[str] = []
    for number, paragraph in enumerate(paragraphs):
        text = " ".join(paragraph.split()).replace("\\", "\\\\").replace('"', '\\"' if '"""' in paragraph else '"')
        room = WIDTH - margin - 3 * (len(paragraphs) == 1)  # the quotation marks that end a paragraph of its own
        lines += [""] * bool(number) + wrap(f'"""{text}' if number == 0 else text, room)
    if lines[-1].endswith('"'):
        lines[-1] = lines[-1][:-1] + '\\"'
    if len(lines) == 1:
        return [f'{lines[0]}"""']
    return [*lines, '"""']


def parsed(text: str) -> Code:
    """An expression as code that can be laid out: calls, lists and tuples are taken apart."""
    return _parsed(ast.parse(text, mode="eval").body, text)


def steps_of(text: str) -> list[str]:
    """`x.a(1).b(2) + y` as `x.a(1)`, `.b(2)` and ` + y`: what is done with one value after the other."""
    node = ast.parse(text, mode="eval").body
    steps: list[str] = []
    while True:
        whole = ast.get_source_segment(text, node) or ""
        if isinstance(node, ast.BinOp):
            inner: ast.expr = node.left
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Call)
        ):
            inner = node.func.value
        else:
            return [whole, *steps]
        start = ast.get_source_segment(text, inner) or ""
        if not whole.startswith(start):  # it is in brackets
            return [whole, *steps]
        steps.insert(0, whole.removeprefix(start))
        node = inner


def _parsed(node: ast.expr, text: str) -> Code:
    def part(inner: ast.AST) -> str:
        return ast.get_source_segment(text, inner) or ""

    if isinstance(node, ast.Call) and (node.args or node.keywords):
        items = [_parsed(item, text) for item in node.args]
        for keyword in node.keywords:
            value = _parsed(keyword.value, text)
            items.append(value if keyword.arg is None else _prefixed(f"{keyword.arg}=", value))
        return Call(f"{part(node.func)}(", tuple(items))
    if isinstance(node, ast.List) and node.elts:
        return Call("[", tuple(_parsed(item, text) for item in node.elts), "]")
    return part(node)


def _prefixed(prefix: str, code: Code) -> Code:
    return code._replace(head=prefix + code.head) if isinstance(code, Call) else f"{prefix}{flat(code)}"


def _rows(code: Code) -> bool:
    """True where an item has a comment, so that each needs a line."""
    return isinstance(code, Call) and any(isinstance(item, Row) or _rows(item) for item in code.items)


def _commented(line: str, comment: str, width: int) -> str:
    whole = f"{line}  # {comment}"
    return whole if comment and len(whole) <= width else line
