"""Writes `docs/reference.md`: every op, block, initializer, expression function and limit, taken from the code.

Run `python docs/make_reference.py`; with `--check` nothing is written, and the exit status is 1 when the page is stale.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import Any, get_type_hints

from pages import main

from netspec.describe import docstring, library, takes
from netspec.expressions import CONSTANTS, FUNCTIONS, compile_expression, shape_attributes, show
from netspec.fields import Record, usage
from netspec.initializers import INITIALIZERS
from netspec.layout import write
from netspec.limits import Limits
from netspec.ops import OP_NAMES, op_class
from netspec.ops.base import Op
from netspec.shapes import AXIS_NAMES, BYTES, TensorType
from netspec.spec import KINDS, BlockSpec, ParameterSpec

PAGE = Path(__file__).with_name("reference.md")
PACKAGE = PAGE.parent.parent / "netspec"

INTRODUCTION = """\
# Reference

Everything a spec can name. This page is generated from the code by `docs/make_reference.py`: change the code, run it
again, and never edit the page by hand. How the language works is in the [guide](guide.md).

- [Ops](#ops): the primitives, by family
- [Library blocks](#library-blocks): blocks written in YAML that every spec can use
- [Parameter types](#parameter-types), [dtypes](#dtypes), [initializers](#initializers)
- [Expressions](#expressions): functions, constants and what a shape can be asked
- [Limits](#limits)
"""

OPS = """\
## Ops

Fields are listed in the order of their positional arguments and carry PyTorch's names and defaults; one in **bold** is
required. Shapes leave the batch axis out. An op takes one float32 input with a batch axis unless its entry says more.
"""

BLOCKS = """\
## Library blocks

Each of these is a YAML file in `netspec/library`, written in the language that a user has. A parameter in **bold** is
required.
"""

# The third text of each is an example; its value on the page is what the evaluator gives.
_FUNCTION_USES = {
    "abs": ("`abs(n)`", "distance from 0", "abs(-3)"),
    "ceil": ("`ceil(n)`", "the next integer that is not smaller", "ceil(2.1)"),
    "column": ("`column(table, i)`", "column `i` of a table, as a list", "column([[1, 2], [3, 4]], 1)"),
    "divisible": (
        "`divisible(n, divisor)`",
        "`n` rounded to a multiple of `divisor`, never more than 10% below it; a third argument is the least result",
        "divisible(37, 8)",
    ),
    "enumerate": ("`enumerate(list)`", "pairs of position and item; a second argument is the first position",
                  "enumerate([7, 9])"),
    "float": ("`float(n)`", "`n` with a decimal point", "float(3)"),
    "floor": ("`floor(n)`", "the next integer that is not larger", "floor(2.9)"),
    "int": ("`int(n)`", "`n` without what is behind its decimal point", "int(64 / 2)"),
    "len": ("`len(list)`", "number of items", "len([3, 4, 6, 3])"),
    "log": ("`log(n)`", "natural logarithm", "round(log(1000))"),
    "log2": ("`log2(n)`", "logarithm to base 2", "log2(64)"),
    "max": ("`max(a, b)`", "the largest of its arguments, or of one list", "max(16, 40 // 4)"),
    "min": ("`min(a, b)`", "the smallest of its arguments, or of one list", "min([3, 1, 2])"),
    "range": ("`range(n)`", "0 to `n` - 1; also `range(start, stop)` and `range(start, stop, step)`", "range(1, 4)"),
    "reversed": ("`reversed(list)`", "the list backwards", "reversed([64, 128, 256])"),
    "round": ("`round(n)`", "the nearest integer, a half to the even one, as in Python", "round(2.5)"),
    "sqrt": ("`sqrt(n)`", "square root", "sqrt(64)"),
    "sum": ("`sum(list)`", "all items added up", "sum([3, 4, 6, 3])"),
    "zip": ("`zip(a, b)`", "rows of the items that stand at one position; the lists must be equally long",
            "zip([64, 128], [2, 3])"),
}  # fmt: skip

# Parts of the language, which no caller changes.
_FIXED = {
    "expressions.MAX_LENGTH": "characters of an expression",
    "expressions.MAX_DEPTH": "levels of an expression, and of lists in lists",
    "expressions.MAX_MAGNITUDE": "magnitude of an integer",
    "names.MAX_PARTS": "parts of a node's name, between dots",
    "names.MAX_NAME": "characters of a node's name",
    "instances.MAX_AXIS": "length of an axis",
}
_OF_MESSAGES = {"elaborate.MAX_SHOWN", "schedules.MAX_ROWS"}


def reference() -> str:
    """The whole page."""
    parts = [INTRODUCTION, OPS, *_families(), BLOCKS, *map(_block, library())]
    parts += [_parameter_types(), _dtypes(), _initializers(), _expressions(), _limits()]
    return "\n".join(parts)


# Ops -----------------------------------------------------------------------------------------------------------------


def _families() -> Iterator[str]:
    families = dict.fromkeys(family for family, _ in OP_NAMES.values())
    for family in families:
        names = [name for name, (its_family, _) in OP_NAMES.items() if its_family == family]
        module = import_module(f"netspec.ops.{family}")
        links = ", ".join(f"[`{name}`](#{name})" for name in names)
        yield f"### Family: {family}\n\n{cleandoc(module.__doc__ or '')}\n\n{links}\n"
        yield from (_op(name, op_class(name)) for name in names)


def _op(name: str, cls: type[Op]) -> str:
    description, facts = docstring(cls)
    lines = [f"#### {name}", "", f"`{usage(cls, name)}`" + _form(cls), "", description, ""]
    if cls.fields():
        lines += ["| field | takes | default |", "|:--|:--|:--|", *_fields(cls), ""]
    lines += [f"- {label}: {text}" for label, text in {**_inputs(cls), **facts}.items()]
    return "\n".join(lines) + "\n"


def _form(cls: type[Op]) -> str:
    if cls.merges:
        return ", with the names of its inputs as positional arguments"
    return f", where a list is all of `{cls.variadic}`" if cls.variadic else ""


def _fields(cls: type[Record]) -> Iterator[str]:
    for name, field in cls.fields().items():
        shown = f"**`{name}`**" if field.required else f"`{name}`"
        default = "" if field.required else f"`{show(field.default)}`"
        yield f"| {shown} | {field.expectation} | {default} |"


def _inputs(cls: type[Op]) -> dict[str, str]:
    """What is unusual about the inputs and outputs of an op."""
    facts: dict[str, str] = {}
    least, most = cls.arity
    if (least, most) != (1, 1):
        facts["Inputs"] = f"{least} or more" if most is None else f"{least}" if least == most else f"{least} to {most}"
    if cls.dtypes != {"float32"} and most != 0:
        facts["Dtypes"] = " ".join(dtype for dtype in BYTES if dtype in cls.dtypes).replace(" ", ", ")
    if cls.unbatched:
        facts["Also takes"] = "a `parameter` or `constant`"
    if cls.output_names:
        facts["Outputs"] = ", ".join(f"`{name}`" for name in cls.output_names)
    return facts


# Blocks --------------------------------------------------------------------------------------------------------------


def _block(block: BlockSpec) -> str:
    lines = [f"### {block.name}", "", block.about, ""]
    if block.parameters:
        lines += ["| parameter | takes | default |", "|:--|:--|:--|"]
        lines += [_parameter(parameter) for parameter in block.parameters.values()] + [""]
    if len(block.body.inputs) > 1:
        lines.append(f"- Inputs: {', '.join(f'`{name.text}`' for name in block.body.inputs)}")
    lines += [f"- Source: {reference}" for reference in block.reference]
    lines.append(f"- File: [`netspec/library/{block.name}.yaml`](../netspec/library/{block.name}.yaml)")
    return "\n".join(lines) + "\n"


def _parameter(parameter: ParameterSpec) -> str:
    kind = KINDS[parameter.kind]
    linked = "a [node](guide.md#nodes-as-arguments), or `none`" if parameter.kind == "node" else kind
    described = takes(parameter).replace(kind, linked, 1)
    if parameter.default is None:
        return f"| **`{parameter.name}`** | {described} |  |"
    default = write(parameter.default).strip()
    return f"| `{parameter.name}` | {described} | `{default}` |"


# The rest ------------------------------------------------------------------------------------------------------------


def _table(title: str, introduction: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(head)
    lines = [f"## {title}", "", introduction, "", f"| {' | '.join(head)} |", f"|{':--|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _parameter_types() -> str:
    introduction = "What `params` may hold. The type follows from the default, or is named: `{type: size, default: 3}`."
    return _table("Parameter types", introduction, ("type", "takes"), ((f"`{k}`", text) for k, text in KINDS.items()))


def _dtypes() -> str:
    rows = ((f"`{dtype}`", str(size)) for dtype, size in BYTES.items())
    return _table("Dtypes", "What an input may hold; float32 unless it says otherwise.", ("dtype", "bytes"), rows)


def _initializers() -> str:
    introduction = "The functions of `torch.nn.init`, with its argument names and defaults. See [init](guide.md#init)."

    def arguments(cls: type[Record]) -> str:
        fields = cls.fields().items()
        return ", ".join(f"`{n}`" if f.required else f"`{n}: {show(f.default)}`" for n, f in fields)

    rows = ((f"`{name}`", arguments(cls), docstring(cls)[0]) for name, cls in INITIALIZERS.items())
    return _table("Initializers", introduction, ("name", "arguments", "about"), rows)


def _expressions() -> str:
    missing = set(FUNCTIONS) ^ set(_FUNCTION_USES)
    assert not missing, f"describe {sorted(missing)} in _FUNCTION_USES"

    def row(name: str) -> tuple[str, ...]:
        form, meaning, example = _FUNCTION_USES[name]
        return form, meaning, f"`{example}` is `{show(compile_expression(example).evaluate({}))}`"

    functions = _table(
        "Expressions", "How to write them is in the [guide](guide.md#expressions). These are the functions:",
        ("function", "gives", "example"), map(row, sorted(FUNCTIONS)),
    )  # fmt: skip
    constants = ", ".join(f"`{name}`" for name in CONSTANTS)
    lines = [functions, f"The constants are {constants}.", "", "A value with a shape has these attributes:", ""]
    lines += ["| axes behind the batch | attributes |", "|:--|:--|"]
    for rank in AXIS_NAMES:
        attributes: dict[str, Any] = shape_attributes(TensorType((1,) * rank))
        lines.append(f"| {rank} | {', '.join(f'`{name}`' for name in attributes)} |")
    return "\n".join(lines) + "\n"


def _limits() -> str:
    set_somewhere = {
        f"{path.stem}.{name}"
        for path in PACKAGE.glob("*.py")
        for name in re.findall(r"^(MAX_\w+) = ", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    missing = set_somewhere - _OF_MESSAGES ^ set(_FIXED)
    assert not missing, f"describe {sorted(missing)} in _FIXED, or take it out"
    hints = get_type_hints(Limits, include_extras=True)
    adjustable = ((hints[name].__metadata__[0], f"{most:,}", f"`{name}`") for name, most in Limits()._asdict().items())

    def fixed(place: str) -> tuple[str, ...]:
        module, _, name = place.partition(".")
        return _FIXED[place], f"{getattr(import_module(f'netspec.{module}'), name):,}", ""

    introduction = (
        "A spec from a stranger must not exhaust the machine, so these are the most there can be of. Those with a\n"
        "name are [changed](security.md#limits) by whoever loads the spec."
    )
    return _table("Limits", introduction, ("what", "most", "name"), (*adjustable, *map(fixed, _FIXED)))


if __name__ == "__main__":
    raise SystemExit(main(lambda: {PAGE: reference()}, "make_reference.py"))
