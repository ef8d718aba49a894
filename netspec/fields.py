"""Typed records: what ops and initializers are made of.

A record class lists its arguments as annotated fields. Arguments are validated by pydantic's compiled core, with a
schema made from the annotations on first use: the front end of pydantic takes longer to import than a network takes to
check.
"""

from __future__ import annotations

from functools import cached_property
from inspect import get_annotations
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic_core import SchemaValidator, ValidationError

from netspec.diagnostics import Problem, listing, suggest
from netspec.expressions import show


class Expects(NamedTuple):
    """What a field takes, in words, for error messages."""

    text: str


class Limits(NamedTuple):
    """Bounds of a number, or the least length of a list, in pydantic's words."""

    gt: float | None = None
    ge: float | None = None
    le: float | None = None
    min_length: int | None = None


class Field(NamedTuple):
    """A field of a record: its annotation, and its default unless it is required."""

    annotation: Any
    required: bool
    default: Any = None

    @property
    def expectation(self) -> str:
        """What the field takes, in words."""
        return next((item.text for item in _metadata(self.annotation) if isinstance(item, Expects)), None) or (
            listing(self.choices, "or") if self.choices else _NAMES.get(_bare(self.annotation), "valid")
        )

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that the field accepts."""
        return tuple(_words(self.annotation))


class Record:
    """Base class: an immutable value with validated fields, equal to another of the same class and fields."""

    def __init__(self, **arguments: Any) -> None:
        """Raises `Problem` about the first argument that is wrong."""
        _fill(self, type(self).__name__, arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"

    @classmethod
    def fields(cls) -> dict[str, Field]:
        """The fields by name, in the order of positional arguments."""
        return _facts(cls).fields

    def changed(self, *names: str) -> dict[str, Any]:
        """The named fields whose value is not the default: the keyword arguments worth writing."""
        defaults = _facts(type(self)).defaults
        return {name: value for name in names if (value := self.__dict__[name]) != defaults[name]}


RecordType = TypeVar("RecordType", bound=Record)


def create(cls: type[RecordType], name: str, arguments: dict[str, Any]) -> RecordType:
    """Make a record that messages call `name`. Raises `Problem` about the first argument that is wrong."""
    record = cls.__new__(cls)
    _fill(record, name, arguments)
    return record


def _fill(record: Record, name: str, arguments: dict[str, Any]) -> None:
    cls = type(record)
    facts = _facts(cls)
    try:
        validated = facts.validator.validate_python(arguments)
    except ValidationError as error:
        raise _argument_problem(cls, name, arguments, error) from None
    record.__dict__.update(facts.defaults | validated)


class _Facts:
    """What is known of a record class, each fact found out on first use."""

    def __init__(self, cls: type[Record]) -> None:
        self.cls = cls

    @cached_property
    def fields(self) -> dict[str, Field]:
        bases = [base for base in self.cls.__mro__[:0:-1] if issubclass(base, Record)]
        hints = {name: field.annotation for base in bases for name, field in _facts(base).fields.items()}
        hints |= get_annotations(self.cls, eval_str=True)
        return {
            name: Field(hint, not hasattr(self.cls, name), getattr(self.cls, name, None))
            for name, hint in hints.items()
            if hint is not ClassVar and get_origin(hint) is not ClassVar
        }

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """Every field, in order; None for one that is required."""
        return {name: field.default for name, field in self.fields.items()}

    @cached_property
    def words(self) -> dict[str, tuple[str, ...]]:
        return {name: field.choices for name, field in self.fields.items()}

    @cached_property
    def validator(self) -> SchemaValidator:
        return SchemaValidator(_record_schema(self.fields))


_FACTS: dict[type, _Facts] = {}


def _facts(cls: type[Record]) -> _Facts:
    facts = _FACTS.get(cls)
    return facts if facts is not None else _FACTS.setdefault(cls, _Facts(cls))


# Schemas -------------------------------------------------------------------------------------------------------------


def _record_schema(fields: dict[str, Field]) -> Any:
    items = {
        name: {"type": "typed-dict-field", "schema": _schema(field.annotation), "required": field.required}
        for name, field in fields.items()
    }
    return {"type": "typed-dict", "fields": items, "extra_behavior": "forbid"}


def _schema(annotation: Any) -> dict[str, Any]:
    """The pydantic-core schema of an annotation; nothing is converted but integers to floats."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        schema = _schema(arguments[0])
        for item in arguments[1:]:
            if isinstance(item, Limits):
                schema |= {name: bound for name, bound in item._asdict().items() if bound is not None}
        return schema
    if origin in (Union, UnionType):
        return {"type": "union", "choices": [_schema(choice) for choice in arguments]}
    if origin is Literal:
        return {"type": "literal", "expected": list(arguments)}
    if origin is tuple:
        variadic = arguments[-1] is Ellipsis
        items = [_schema(item) for item in (arguments[:-1] if variadic else arguments)]
        schema = {"type": "tuple", "items_schema": items, "strict": True}
        return schema | ({"variadic_item_index": 0} if variadic else {})
    return dict(_PLAIN[annotation])


_PLAIN: dict[Any, dict[str, Any]] = {
    int: {"type": "int", "strict": True},
    float: {"type": "float", "strict": True, "allow_inf_nan": False},
    bool: {"type": "bool", "strict": True},
    str: {"type": "str", "strict": True},
    type(None): {"type": "none"},
    None: {"type": "none"},
    Any: {"type": "any"},
}

_NAMES = {bool: "`true` or `false`", int: "an integer", float: "a number", str: "a word"}


def _metadata(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _words(annotation: Any) -> list[str]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return [word for word in arguments if isinstance(word, str)]
    if origin is Annotated:
        return _words(arguments[0])
    return [word for part in arguments for word in _words(part)] if arguments else []


def word_choices(cls: type[Record], argument: str) -> tuple[str, ...]:
    """The words that an argument accepts; such a word means itself, whatever else is in scope."""
    return _facts(cls).words.get(argument, ())


# Problems ------------------------------------------------------------------------------------------------------------


def _argument_problem(cls: type[Record], name: str, arguments: dict[str, Any], error: ValidationError) -> Problem:
    first = error.errors(include_url=False, include_context=False)[0]
    fields = _facts(cls).fields
    argument = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return unknown_argument(name, argument, fields)
    if first["type"] == "missing":
        missing = [field for field, info in fields.items() if info.required and field not in arguments]
        return Problem("missing-argument", f"`{name}` needs {listing(missing)}", help=(f"write `{usage(cls, name)}`",))
    value = arguments[argument]
    help = suggest(value, fields[argument].choices) if isinstance(value, str) else ()
    if isinstance(value, float) and value.is_integer() and int in _numbers(fields[argument].annotation):
        help = ("divide with `//` for a whole number, or use `int(...)`",)
    message = f"`{argument}` of `{name}` must be {fields[argument].expectation}, got `{show(value)}`"
    return Problem("wrong-type", message, argument=argument, help=help)


def _numbers(annotation: Any) -> set[Any]:
    arguments = get_args(annotation)
    return {annotation} if not arguments else {kind for part in arguments for kind in _numbers(part)}


def unknown_argument(name: str, argument: str, known: Any) -> Problem:
    """The problem of an argument that an op, block or initializer does not have."""
    help = suggest(argument, known)
    if not help:
        help = (f"`{name}` takes {listing(known)}" if known else f"`{name}` takes no arguments",)
    return Problem("unknown-argument", f"`{name}` has no argument `{argument}`", argument=argument, help=help)


def usage(cls: type[Record], name: str) -> str:
    """How a node of this op is written, required arguments alone."""
    required = [field for field, info in _facts(cls).fields.items() if info.required]
    if not required:
        return name
    return f"{name}: {required[0]}" if len(required) == 1 else f"{name}: [{', '.join(required)}]"
