"""The names that a spec may give: of nodes, blocks, parameters, inputs, outputs and variables."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection
from typing import Literal

from netspec.diagnostics import Problem
from netspec.spec import NODE_WORDS

MAX_NAME = 200  # characters of a node's name
MAX_PARTS = 8  # of a node's name, between dots

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
CHILD_NAME = re.compile(r"(?:[A-Za-z][A-Za-z0-9_-]*|[0-9]{1,6})\Z")

MODULE_ATTRIBUTES = frozenset((
    "add_module", "apply", "bfloat16", "buffers", "call_super_init", "children", "compile", "cpu", "cuda", "double",
    "dump_patches", "eval", "extra_repr", "float", "forward", "get_buffer", "get_extra_state", "get_parameter",
    "get_submodule", "half", "ipu", "load_state_dict", "modules", "mtia", "named_buffers", "named_children",
    "named_modules", "named_parameters", "parameters", "register_backward_hook", "register_buffer",
    "register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook",
    "register_full_backward_pre_hook", "register_load_state_dict_post_hook", "register_load_state_dict_pre_hook",
    "register_module", "register_parameter", "register_state_dict_post_hook", "register_state_dict_pre_hook",
    "requires_grad_", "set_extra_state", "set_submodule", "share_memory", "state_dict", "to", "to_empty", "train",
    "training", "type", "xpu", "zero_grad", "T_destination",
))  # fmt: skip
"""Attributes of `nn.Module`: a child of that name would break it."""


def check_name(name: str, what: Literal["block", "parameter", "input", "output", "name"]) -> None:
    """Raise a `Problem` unless `name` can name a parameter, block, input or output."""
    if not NAME.match(name) or keyword.iskeyword(name):
        help = ("use letters, digits and underscores, beginning with a letter, and no word of Python",)
        article = "an" if what[0] in "aio" else "a"
        raise Problem("invalid-name", f"`{name[:60]}` cannot name {article} {what}", help=help)


def check_free(name: str) -> None:
    """Raise a `Problem` where a variable would hide a word of the language."""
    if name in NODE_WORDS or name in ("x", "input"):
        raise Problem("reserved-name", f"`{name}` has a meaning of its own", help=("choose another name",))


def check_node_name(name: str) -> None:
    """Raise a `Problem` unless `name` can name a node of a mapping: names of children, joined by dots."""
    parts = name.split(".", MAX_PARTS)
    if len(parts) > MAX_PARTS:
        help: tuple[str, ...] = (f"a name has at most {MAX_PARTS} parts",)
    elif len(parts) > 1 and "" in parts:
        help = ("a dot stands between two names",)
    else:
        help = next((help for part in parts if (help := _objection(part))), ())
    if help:
        raise Problem("invalid-name", f"`{name[:60]}` cannot name a node", help=help)


def check_copy_name(name: str) -> None:
    """Raise a `Problem` unless `name` can name a copy of a `repeat`, which stands in a list: it has no dots."""
    if help := _objection(name):
        raise Problem("invalid-name", f"`{name[:60]}` cannot name a copy", help=help)


def _objection(name: str) -> tuple[str, ...]:
    """How to name a child of an `nn.Module` instead; nothing where `name` will do."""
    if len(name) > MAX_NAME:
        return (f"a name has at most {MAX_NAME} characters",)
    if not CHILD_NAME.match(name) or keyword.iskeyword(name):
        return ("use letters, digits, underscores and hyphens, and no word of Python",)
    if name in MODULE_ATTRIBUTES:
        return (f"`nn.Module` has an attribute `{name}`: choose another name, such as `{name}_`",)
    return ("`x` is the input",) if name == "x" else ()


def underscored(name: str, taken: Collection[str]) -> str:
    """The name, with as many underscores behind it as it takes to be none of those `taken`."""
    while name in taken:
        name += "_"
    return name


def numbered(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where it is `taken`: `name_2`, `name_3` ..."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
