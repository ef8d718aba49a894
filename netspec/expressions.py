"""The expressions that values are written in: arithmetic over parameters, loop variables and inferred shapes.

Python's own parser reads the text (`ast.parse` runs nothing); a whitelist of node types is then compiled to closures.
There are no attributes but those of shapes, no calls but those of `FUNCTIONS`, no assignments and no comprehensions,
and numbers, lists and powers are bounded, so evaluating an expression of a stranger is safe.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from netspec.diagnostics import Problem, listing, suggest
from netspec.limits import charge, limits
from netspec.shapes import AXIS_NAMES, TensorType

MAX_LENGTH = 500  # characters of one expression
MAX_DEPTH = 50  # levels of one expression
MAX_MAGNITUDE = 2**63 - 1  # of an integer

Value = Any
Scope = Mapping[str, Value]
Evaluate = Callable[[Scope], Value]

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NAMES = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Word(str):
    """A bare word that names nothing in scope: the value of `padding: same`."""

    __slots__ = ()


class Expression(NamedTuple):
    """A compiled expression. `evaluate(scope)` gives a number, boolean, word, tuple or shape, or raises `Problem`."""

    text: str
    evaluate: Evaluate


def divisible(value: float, divisor: int, minimum: int | None = None) -> int:
    """`value` rounded to a multiple of `divisor`, never more than 10% below it (the MobileNet rule)."""
    least = divisor if minimum is None else minimum
    rounded = max(least, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def column(table: tuple[Any, ...], index: int) -> tuple[Any, ...]:
    """One column of a table, as a list."""
    return tuple(row[index] for row in table)


def _round(number: float) -> int:
    """Python's `round` without its second argument, which could ask for billions of digits."""
    return round(number)


def _sum(numbers: tuple[Any, ...]) -> Any:
    """Python's `sum` without its second argument, which could be a list, to be joined with all others one by one."""
    return sum(numbers)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "column": column,
    "divisible": divisible,
    "enumerate": lambda items, start=0: tuple(enumerate(items, start)),
    "float": float,
    "floor": math.floor,
    "int": int,
    "len": len,
    "log": math.log,
    "log2": math.log2,
    "max": max,
    "min": min,
    "range": range,
    "reversed": lambda items: tuple(reversed(items)),
    "round": _round,
    "sqrt": math.sqrt,
    "sum": _sum,
    "zip": lambda *lists: tuple(zip(*lists, strict=True)),
}

CONSTANTS: dict[str, Value] = {"true": True, "false": False, "none": None, "null": None, "pi": math.pi}

TYPING_TRAPS = {"yes": "true", "no": "false", "on": "true", "off": "false", "True": "true", "False": "false"}


@lru_cache(maxsize=8192)
def compile_expression(text: str) -> Expression:
    """Compile `text`. Raises `Problem` where it is not an expression of the language."""
    if _INTEGER.match(text) and len(text) < 20:
        number = int(text)
        return Expression(text, lambda scope: number)
    if _NAME.match(text):
        return Expression(text, _bare_word(text))
    if len(text) > MAX_LENGTH:
        message = f"an expression of {len(text):,} characters, more than the {MAX_LENGTH} allowed"
        raise Problem("invalid-expression", message)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)  # such as `1if x else 2`
            tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        offset = (getattr(error, "offset", None) or 1) - 1
        reason, help = _syntax(str(getattr(error, "msg", None) or error))
        message = f"invalid expression `{_shorten(text)}`: {reason}"
        raise Problem("invalid-expression", message, extent=(offset, offset + 1), help=help) from None
    return Expression(text, _compile(tree.body, 0))


def evaluate(text: str, scope: Scope) -> Value:
    """The value of an expression, charged to the compilation. Raises `Problem`."""
    charge(len(text))
    return compile_expression(text).evaluate(scope)


def bounded(items: tuple[Value, ...] | range) -> tuple[Value, ...]:
    """The items as a list of the language, charged to the compilation. Raises `Problem` where there are too many."""
    most = limits().items
    size = len(items) if isinstance(items, range) else weight(items)
    if size > most:
        raise Problem("value-too-large", f"a list of more than {most:,} items")
    charge(size)
    return tuple(items)


def weight(value: Value, depth: int = 1) -> int:
    """How many items a list has, those of the lists in it included; stops counting where there are too many.

    Raises `Problem` where lists are nested too deeply.
    """
    if not isinstance(value, tuple):
        return 0
    if depth > MAX_DEPTH:
        raise Problem("value-too-large", f"lists in lists, more than {MAX_DEPTH} levels deep")
    size, most = len(value), limits().items
    for item in value:
        if size > most:
            break
        size += weight(item, depth + 1) if isinstance(item, tuple) else 0
    return size


def _syntax(message: str) -> tuple[str, tuple[str, ...]]:
    """What Python says of a text that it cannot parse, and what to do about it."""
    if "was never closed" in message:
        return "a bracket is not closed", ("between brackets or braces, quote an expression that has a comma",)
    if "recursion" in message or "nested" in message or not message:
        return "it is nested too deeply", ()
    return message.partition(" (")[0].partition(". ")[0].lower(), ()


@lru_cache(maxsize=8192)
def names_in(text: str) -> frozenset[str]:
    """Every identifier in `text`: a superset of the names that it may read from a scope."""
    return frozenset(_NAMES.findall(text))


_TEMPLATE = re.compile(r"\{([^{}]*)\}")


def fill(template: str, scope: Scope) -> str:
    """A name such as `layer{i + 1}` with its expressions replaced by their values."""
    if "{" not in template:
        return template
    charge(len(template))

    def value(match: re.Match[str]) -> str:
        try:
            result = evaluate(match[1].strip(), scope)
        except Problem as problem:
            raise Problem(problem.code, problem.message, extent=match.span(1), help=problem.help) from None
        if isinstance(result, Word) and result == match[1].strip():
            raise unknown_name(result, scope, match.span(1))
        if isinstance(result, bool) or not isinstance(result, (int, str)):
            message = f"`{{{match[1]}}}` in a name must be an integer or a name, got `{show(result)}`"
            raise Problem("wrong-type", message, extent=match.span(1))
        return str(result)

    return _TEMPLATE.sub(value, template)


@lru_cache(maxsize=1024)
def loop_targets(text: str) -> tuple[Any, ...]:
    """The variables before `in`: `a, (b, c)` gives `("a", ("b", "c"))`. Raises `Problem`."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body if len(text) <= MAX_LENGTH else None
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        tree = None

    def names(node: ast.expr | None) -> Any:
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, ast.Tuple) and node.elts:
            return tuple(names(item) for item in node.elts)
        raise Problem("invalid-loop", f"`{_shorten(text)}` is no list of loop variables")

    result = names(tree)
    return result if isinstance(result, tuple) else (result,)


def loop_names(text: str) -> tuple[str, ...]:
    """The variables of `loop_targets`, flat."""

    def flat(target: Any) -> Iterator[str]:
        if isinstance(target, str):
            yield target
        else:
            for inner in target:
                yield from flat(inner)

    return tuple(flat(loop_targets(text)))


def unpack(targets: tuple[Any, ...], row: Value) -> Iterator[tuple[str, Value]]:
    """Bind loop variables to one row of a table."""
    if len(targets) == 1 and isinstance(targets[0], str):
        yield targets[0], row
        return
    if not isinstance(row, tuple) or len(row) != len(targets):
        got = f"{len(row)} values" if isinstance(row, tuple) else f"`{show(row)}`"
        raise Problem("invalid-loop", f"a row has {got}, but there are {len(targets)} loop variables")
    for target, value in zip(targets, row, strict=True):
        if isinstance(target, str):
            yield target, value
        else:
            yield from unpack(target, value)


def types_of(value: Value) -> Any:
    """The type of a value, for a list those of its items: what tells `1`, `1.0` and `true` apart in a key."""
    return tuple(map(types_of, value)) if isinstance(value, tuple) else type(value)


def show(value: Value) -> str:
    """A value as a spec would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(show, value))}]"
    return _shorten(str(value))


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


# Compilation ---------------------------------------------------------------------------------------------------------


def _bare_word(name: str) -> Evaluate:
    word: Value = CONSTANTS.get(name, Word(name))

    def evaluate(scope: Scope) -> Value:
        if name in TYPING_TRAPS and name not in scope:
            raise unknown_name(name, scope)
        return scope.get(name, word)

    return evaluate


def unknown_name(name: str, scope: Scope, extent: tuple[int, int] | None = None) -> Problem:
    """The problem of a name that is not in scope."""
    if name in TYPING_TRAPS:
        help: tuple[str, ...] = (f"write `{TYPING_TRAPS[name]}`",)
    else:
        help = suggest(name, scope)
    return Problem("unknown-name", f"unknown name `{name}`", extent=extent, label="not in scope", help=help)


_BINARY: dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", operator.mod),
    ast.Pow: ("**", operator.pow),
}

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


def _extent(node: ast.expr) -> tuple[int, int]:
    return node.col_offset, node.end_col_offset or node.col_offset + 1


def _compile(node: ast.expr, depth: int) -> Evaluate:
    if depth > MAX_DEPTH:
        raise Problem("invalid-expression", f"an expression nested more than {MAX_DEPTH} levels", extent=_extent(node))
    compiler = _COMPILERS.get(type(node))
    if compiler is None:
        message = f"`{_shorten(ast.unparse(node))}` is not allowed in an expression"
        help = ("use arithmetic, comparisons, `a if b else c`, lists, and " + listing(sorted(FUNCTIONS)),)
        raise Problem("invalid-expression", message, extent=_extent(node), help=help)
    return compiler(node, depth + 1)


def _constant(node: ast.Constant, depth: int) -> Evaluate:
    value = node.value
    if isinstance(value, str):
        return lambda scope: Word(value)
    if not isinstance(value, (bool, int, float)):
        message = f"`{_shorten(ast.unparse(node))}` is not a number"
        raise Problem("invalid-expression", message, extent=_extent(node))
    checked = _check(value, node)
    return lambda scope: checked


def _name(node: ast.Name, depth: int) -> Evaluate:
    name, extent = node.id, _extent(node)
    constant = CONSTANTS.get(name, _MISSING)

    def evaluate(scope: Scope) -> Value:
        value = scope.get(name, constant)
        if value is _MISSING:
            raise unknown_name(name, scope, extent)
        return value

    return evaluate


_MISSING = object()


def _attribute(node: ast.Attribute, depth: int) -> Evaluate:
    owner, name, extent = _compile(node.value, depth), node.attr, _extent(node)

    def evaluate(scope: Scope) -> Value:
        value = owner(scope)
        if isinstance(value, TensorType):
            attributes = shape_attributes(value)
            if name in attributes:
                return attributes[name]
            help = suggest(name, attributes) or (f"a value of shape {value} has {listing(attributes)}",)
            message = f"a value of shape {value} has no `{name}`"
            raise Problem("unknown-name", message, extent=extent, help=help)
        message = f"`{_shorten(ast.unparse(node.value))}` is not a value with a shape, so it has no `{name}`"
        raise Problem("wrong-type", message, extent=extent)

    return evaluate


@lru_cache(maxsize=4096)
def shape_attributes(type: TensorType) -> dict[str, Value]:
    """What an expression can ask of a value: its axes by name, `rank`, `shape` and `elements`."""
    named = dict(zip(AXIS_NAMES.get(type.rank, ()), type.shape, strict=False))
    if type.shape:
        named |= {"channels": type.shape[0], "features": type.shape[-1]}
    return named | {"rank": type.rank, "shape": type.shape, "elements": type.elements}


def _subscript(node: ast.Subscript, depth: int) -> Evaluate:
    owner, extent = _compile(node.value, depth), _extent(node)
    index: Evaluate
    if isinstance(node.slice, ast.Slice):
        if node.slice.step is not None:
            raise Problem("invalid-expression", "a slice has no step here", extent=extent)
        bounds = [None if b is None else _compile(b, depth) for b in (node.slice.lower, node.slice.upper)]

        def index(scope: Scope) -> Value:
            return slice(*(None if bound is None else bound(scope) for bound in bounds))

    else:
        index = _compile(node.slice, depth)

    def evaluate(scope: Scope) -> Value:
        items, position = owner(scope), index(scope)
        if not isinstance(items, tuple):
            raise Problem("wrong-type", f"`{show(items)}` is not a list", extent=extent)
        try:
            return _check(items[position], node) if isinstance(position, slice) else items[position]
        except IndexError:
            message = f"index {position} is outside a list of {len(items)}"
            raise Problem("invalid-expression", message, extent=extent) from None
        except TypeError:
            raise Problem("wrong-type", f"a list index is an integer, got `{show(position)}`", extent=extent) from None

    return evaluate


def _unary(node: ast.UnaryOp, depth: int) -> Evaluate:
    operand, extent = _compile(node.operand, depth), _extent(node)
    if isinstance(node.op, ast.Not):
        return lambda scope: not operand(scope)
    if isinstance(node.op, ast.Invert):
        raise Problem("invalid-expression", "`~` is not an operator here", extent=extent)
    sign = -1 if isinstance(node.op, ast.USub) else 1

    def evaluate(scope: Scope) -> Value:
        value = operand(scope)
        if not isinstance(value, (int, float)):
            raise _operand_problem(value, extent)
        return sign * value

    return evaluate


def _binary(node: ast.BinOp, depth: int) -> Evaluate:
    extent = _extent(node)
    if type(node.op) not in _BINARY:
        raise Problem(
            "invalid-expression", f"`{ast.unparse(node)}` uses an operator that is not one here", extent=extent
        )
    symbol, apply = _BINARY[type(node.op)]
    left, right = _compile(node.left, depth), _compile(node.right, depth)

    def evaluate(scope: Scope) -> Value:
        a, b = left(scope), right(scope)
        if isinstance(a, tuple) and isinstance(b, tuple) and symbol == "+":
            return _check(a + b, node)
        for value in (a, b):
            if not isinstance(value, (int, float)):
                raise _operand_problem(value, extent)
        if symbol == "**" and abs(b) > 64:
            raise Problem("value-too-large", f"an exponent of {show(b)} is larger than 64", extent=extent)
        try:
            return _check(apply(a, b), node)
        except ZeroDivisionError:
            raise Problem("invalid-expression", "division by zero", extent=extent) from None
        except OverflowError:
            raise Problem("value-too-large", "the result is too large", extent=extent) from None

    return evaluate


def _operand_problem(value: Value, extent: tuple[int, int]) -> Problem:
    help = ("say which of its axes, such as `x.channels`",) if isinstance(value, TensorType) else ()
    return Problem("wrong-type", f"arithmetic needs numbers, got `{show(value)}`", extent=extent, help=help)


def _check(value: Value, node: ast.expr) -> Value:
    if isinstance(value, float) and not math.isfinite(value):
        raise Problem("value-too-large", "the result is not a finite number", extent=_extent(node))
    if isinstance(value, complex):
        raise Problem("invalid-expression", "the result is not a real number", extent=_extent(node))
    if isinstance(value, int) and abs(value) > MAX_MAGNITUDE:
        raise Problem("value-too-large", "an integer beyond 2**63", extent=_extent(node))
    if isinstance(value, (tuple, range)):
        try:
            return bounded(value)
        except Problem as problem:
            raise Problem(problem.code, problem.message, extent=_extent(node), help=problem.help) from None
    return value


def _boolean(node: ast.BoolOp, depth: int) -> Evaluate:
    operands = [_compile(value, depth) for value in node.values]
    stop = isinstance(node.op, ast.Or)

    def evaluate(scope: Scope) -> Value:
        value: Value = None
        for operand in operands:
            value = operand(scope)
            if bool(value) is stop:
                break
        return value

    return evaluate


def _comparison(node: ast.Compare, depth: int) -> Evaluate:
    extent = _extent(node)
    first = _word_or_name(node.left, depth)
    rest: list[tuple[Callable[[Any, Any], bool], Evaluate]] = []
    for operation, right in zip(node.ops, node.comparators, strict=True):
        if type(operation) not in _COMPARE:
            raise Problem("invalid-expression", "`is` is not a comparison here: use `==`", extent=extent)
        rest.append((_COMPARE[type(operation)], _word_or_name(right, depth)))

    def evaluate(scope: Scope) -> Value:
        left = first(scope)
        for compare, operand in rest:
            right = operand(scope)
            charge(weight(left) + weight(right))
            try:
                if not compare(left, right):
                    return False
            except TypeError:
                message = f"`{show(left)}` and `{show(right)}` cannot be compared"
                raise Problem("wrong-type", message, extent=extent) from None
            left = right
        return True

    return evaluate


def _word_or_name(node: ast.expr, depth: int) -> Evaluate:
    """Where a word may stand, as in `act == relu` or `same if pad else valid`: a name in scope, else the word."""
    if isinstance(node, (ast.List, ast.Tuple)) and depth <= MAX_DEPTH:
        items = [_word_or_name(item, depth + 1) for item in node.elts]
        return lambda scope: _check(tuple(item(scope) for item in items), node)
    return _bare_word(node.id) if isinstance(node, ast.Name) else _compile(node, depth)


def _conditional(node: ast.IfExp, depth: int) -> Evaluate:
    test = _compile(node.test, depth)
    then, other = _word_or_name(node.body, depth), _word_or_name(node.orelse, depth)
    return lambda scope: then(scope) if test(scope) else other(scope)


def _list(node: ast.List | ast.Tuple, depth: int) -> Evaluate:
    items = [_compile(item, depth) for item in node.elts]
    return lambda scope: _check(tuple(item(scope) for item in items), node)


def _call(node: ast.Call, depth: int) -> Evaluate:
    extent = _extent(node)
    if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
        name = ast.unparse(node.func)
        help = suggest(name, FUNCTIONS) or ("the functions are " + listing(sorted(FUNCTIONS)),)
        raise Problem("unknown-function", f"unknown function `{_shorten(name)}`", extent=_extent(node.func), help=help)
    if node.keywords:
        raise Problem("invalid-expression", f"`{node.func.id}` takes no named arguments", extent=extent)
    name, function = node.func.id, FUNCTIONS[node.func.id]
    arguments = [_compile(argument, depth) for argument in node.args]

    def evaluate(scope: Scope) -> Value:
        values = [argument(scope) for argument in arguments]
        charge(sum(map(weight, values)))
        try:
            return _check(function(*values), node)
        except (TypeError, ValueError, OverflowError, ZeroDivisionError, IndexError):
            message = f"`{name}` cannot take {', '.join(f'`{show(v)}`' for v in values) or 'nothing'}"
            raise Problem("wrong-type", message, extent=extent) from None

    return evaluate


_COMPILERS: dict[type[ast.expr], Callable[[Any, int], Evaluate]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.UnaryOp: _unary,
    ast.BinOp: _binary,
    ast.BoolOp: _boolean,
    ast.Compare: _comparison,
    ast.IfExp: _conditional,
    ast.List: _list,
    ast.Tuple: _list,
    ast.Call: _call,
}
