"""What the parts of the language say of themselves: docstrings of ops, and the blocks of the library.

The reference page and the schema for editors are made of this.
"""

from __future__ import annotations

from inspect import cleandoc

from netspec.catalog import Origin, library_blocks
from netspec.diagnostics import Reporter, listing
from netspec.fields import Record
from netspec.parse import parse
from netspec.source import read_text
from netspec.spec import KINDS, BlockSpec, ParameterSpec


def docstring(cls: type[Record]) -> tuple[str, dict[str, str]]:
    """The description of a class, and its `Shape:`, `Cost:` and `Source:` lines."""
    description: list[str] = []
    facts: dict[str, str] = {}
    label = ""
    for line in cleandoc(cls.__doc__ or "").splitlines():
        start, colon, rest = line.partition(": ")
        if colon and start in ("Shape", "Cost", "Source"):
            label = start
            facts[label] = rest
        elif label:
            facts[label] += f" {line.strip()}"
        else:
            description.append(line)
    return "\n".join(description).strip(), facts


def library() -> list[BlockSpec]:
    """The blocks of the library, as the parser understands them."""
    reporter = Reporter()
    spec = parse(read_text("{netspec: 1, input: [1], graph: [identity]}"), Origin(None, None), "any", reporter)
    assert spec is not None
    found = [spec.network.namespace.block(name) for name in library_blocks()]
    reporter.raise_if_failed()
    return [block for block in found if block is not None]


def takes(parameter: ParameterSpec) -> str:
    """What a parameter takes, in words."""
    choices = f"one of {listing(parameter.choices)}" if parameter.choices else ""
    return "; ".join(filter(None, (KINDS[parameter.kind], choices, parameter.about)))
