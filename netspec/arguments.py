"""Which argument is which: positional and named arguments of a node, matched with the fields of its op or block.

Nothing is evaluated, so a wrong name is found even where a shape is not known.
"""

from __future__ import annotations

from collections.abc import Container
from functools import cache
from typing import NamedTuple

from netspec.diagnostics import Problem, Span, listing
from netspec.fields import unknown_argument, usage
from netspec.ops import op_class
from netspec.source import Mapping, Sequence, Source
from netspec.spec import BlockSpec, NodeSpec, ParameterSpec


class Signature(NamedTuple):
    """What an op or block takes. A `variadic` field takes all positional arguments; a merge takes none."""

    name: str
    names: tuple[str, ...]
    required: tuple[str, ...] = ()
    variadic: str | None = None
    merges: bool = False
    plain: bool = False  # no argument is a node, so none is a mapping
    help: tuple[str, ...] = ()


@cache
def op_signature(name: str) -> Signature:
    """The signature of the op called `name`."""
    cls = op_class(name)
    fields = cls.fields()
    required = tuple(field for field, info in fields.items() if info.required)
    return Signature(name, tuple(fields), required, cls.variadic, cls.merges, True, (f"write `{usage(cls, name)}`",))


def block_signature(name: str, parameters: dict[str, ParameterSpec], span: Span) -> Signature:
    """The signature of a block, which is defined at `span`."""
    required = tuple(parameter.name for parameter in parameters.values() if parameter.default is None)
    return Signature(name, tuple(parameters), required, help=(f"`{name}` is defined at {span}",))


def arguments_of(spec: NodeSpec, target: str | BlockSpec) -> dict[str, Source]:
    """The arguments of a node by name, for the op or block that it is. Raises `Problem` as `bind` does.

    They are found once, but for a node whose op or block is that of a parameter.
    """
    if spec.bound is not None and not spec.parameter:
        return spec.bound
    if isinstance(target, str):
        signature = op_signature(target)
    else:
        signature = block_signature(target.name, target.parameters, target.span)
    bound = spec.bound = bind(signature, spec)
    return bound


def bind(signature: Signature, spec: NodeSpec, known: Container[str] = ()) -> dict[str, Source]:
    """The arguments of a node by name. Raises `Problem`, placed at the argument that is wrong.

    `known` are the names of ops and blocks: one of them among the arguments is a second op in the same node.
    """
    if isinstance(spec.positional, Mapping) and signature.plain:
        names = ", ".join(f"{key.text}: ..." for key, _ in spec.positional.entries)
        help = (f"named arguments stand next to the op: `{{{signature.name}: , {names}}}`",)
        message = f"the arguments of `{signature.name}` are a value or a list, not a mapping"
        raise Problem("wrong-type", message, help=help).place(spec.positional.span)
    bound = _positional(signature, spec)
    for key, value in spec.named:
        if key.text not in signature.names:
            problem = unknown_argument(signature.name, key.text, signature.names)
            if key.text in known:
                message = f"`{signature.name}` and `{key.text}` stand in one node"
                help = (f"write a list of two nodes: `[{{{signature.name}: ...}}, {{{key.text}: ...}}]`",)
                problem = Problem("two-kinds", message, help=help)
            raise problem.place(key.span)
        if key.text in bound:
            raise Problem("duplicate-argument", f"`{key.text}` is given twice, by position and by name").place(key.span)
        bound[key.text] = value
    missing = [name for name in signature.required if name not in bound]
    if missing:
        raise Problem("missing-argument", f"`{signature.name}` needs {listing(missing)}", help=signature.help)
    return bound


def _positional(signature: Signature, spec: NodeSpec) -> dict[str, Source]:
    if spec.positional is None or signature.merges:
        return {}
    if signature.variadic is not None:
        return {signature.variadic: spec.positional}
    items = spec.positional.items if isinstance(spec.positional, Sequence) else [spec.positional]
    names = signature.names
    if len(items) > len(names):
        takes = f"takes {len(names)} argument{'s' if len(names) > 1 else ''}" if names else "takes no arguments"
        help = (f"in this order: {listing(names)}" if names else f"write `{signature.name}` alone",)
        raise Problem("too-many-arguments", f"`{signature.name}` {takes}, got {len(items)}", help=help)
    return dict(zip(names, items, strict=False))
