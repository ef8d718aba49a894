"""JSON text in, entries out: plain data that is checked as it is taken, each with the way that leads to it.

A file is read as JSON, which is quick. Only where something is wrong is it read again as YAML, which JSON is a part
of, to find the place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from math import isfinite
from typing import Any, NamedTuple, cast

from netspec import source
from netspec.diagnostics import Problem, SourceFile, Span, SpecError, listing, suggest
from netspec.expressions import MAX_MAGNITUDE, bounded
from netspec.limits import limits

Way = tuple[str | int, ...]
"""The keys and positions that lead to an entry."""


class Mistake(Exception):
    """A problem of the entry that `way` leads to."""

    def __init__(self, problem: Problem, way: Way) -> None:
        self.problem = problem
        self.way = way


class Entry(NamedTuple):
    """A value of the file, and the way to it. A method gives the value as what it is named after, or a `Mistake`."""

    value: Any
    way: Way = ()

    def at(self, problem: Problem) -> Mistake:
        return Mistake(problem, self.way)

    @property
    def name(self) -> str:
        """What messages call it."""
        key = next((step for step in reversed(self.way) if isinstance(step, str)), None)
        if key is None:
            return "a graph file"
        return f"`{key}`" if self.way[-1] == key else f"an item of `{key}`"

    def text(self) -> str:
        return cast(str, self._of(str, "a text"))

    def flag(self) -> bool:
        return cast(bool, self._of(bool, "`true` or `false`"))

    def integer(self, least: int, most: int) -> int:
        number = cast(int, self._of(int, "an integer"))
        if not least <= number <= most:
            raise self.at(Problem("wrong-value", f"{self.name} must be from {least:,} to {most:,}"))
        return number

    def word(self, words: Sequence[str]) -> str:
        text = self.text()
        if text not in words:
            message = f"{self.name} must be {listing(words, 'or')}, got `{text}`"
            raise self.at(Problem("wrong-value", message, help=suggest(text, words)))
        return text

    def line(self) -> str:
        """A text on one line, which may stand in generated code behind a comment sign."""
        if not self.text().isprintable():
            raise self.at(Problem("wrong-value", f"{self.name} must be a text on one line"))
        return self.text()

    def items(self) -> list[Entry]:
        return [Entry(item, (*self.way, index)) for index, item in enumerate(self._of(list, "a list"))]

    def texts(self) -> tuple[str, ...]:
        return tuple(item.text() for item in self.items())

    def entries(self) -> dict[str, Entry]:
        return {key: Entry(value, (*self.way, key)) for key, value in self._of(dict, "a mapping").items()}

    def record(self, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Entry]:
        """The entries of a mapping that has the `required` keys, and of others the `optional` ones alone."""
        entries = self.entries()
        for key, entry in entries.items():
            if key not in required and key not in optional:
                help = suggest(key, (*required, *optional))
                raise entry.at(Problem("unknown-key", f"{self.name} has no key `{key}`", help=help))
        if missing := [key for key in required if key not in entries]:
            raise self.at(Problem("missing-key", f"{self.name} needs {listing(missing)}"))
        return entries

    def argument(self) -> Any:
        """A value of the language: a number, a word, or a tuple of them for a list."""
        with self.catch():
            return _argument(self.value)

    @contextmanager
    def catch(self, called: str = "", below: str = "") -> Iterator[None]:
        """Place a `Problem` that is raised inside here, or at the argument of `called` that it is about."""
        try:
            yield
        except Problem as problem:
            problem.message = problem.message.replace("{op}", f"`{called}`")
            way = (*self.way, below, problem.argument) if problem.argument and below else self.way
            raise Mistake(problem, way) from None

    def _of(self, kind: type, expected: str) -> Any:
        if not isinstance(self.value, kind) or (isinstance(self.value, bool) and kind is not bool):
            raise self.at(Problem("wrong-type", f"{self.name} must be {expected}"))
        return self.value


def _argument(value: Any) -> Any:
    if isinstance(value, dict):
        raise Problem("wrong-type", "expected a number, a word or a list here, got a mapping")
    if isinstance(value, list):
        return bounded(tuple(map(_argument, value)))
    if isinstance(value, int) and abs(value) > MAX_MAGNITUDE:
        raise Problem("value-too-large", "an integer beyond 2**63")
    if isinstance(value, float) and not isfinite(value):
        raise Problem("value-too-large", f"`{value}` is not a finite number")
    return value


def decode(file: SourceFile) -> Entry:
    """The whole of a file. Raises `SpecError` where it is no JSON."""
    if _nesting(file.text) > limits().nesting:
        problem = Problem("too-deep", f"more than {limits().nesting} levels of lists and mappings")
        raise SpecError([problem.at(file.start)])
    try:
        return Entry(json.loads(file.text, object_pairs_hook=_mapping))
    except json.JSONDecodeError as error:
        span = Span(file, error.lineno, error.colno, error.lineno, error.colno + 1)
        message = f"invalid JSON: {error.msg[:1].lower()}{error.msg[1:]}"
        raise SpecError([Problem("invalid-json", message).at(span)]) from None
    except _Repeated as repeated:
        problem = Problem("duplicate-key", f"`{repeated}` is there twice in one mapping")
        raise SpecError([problem.at(file.start)]) from None
    except ValueError:
        raise SpecError([Problem("value-too-large", "a number has too many digits").at(file.start)]) from None


_INSIDE = re.compile(r"""[^]["{}]+|"(?:[^"\\]|\\.)*"?""", re.DOTALL)  # neither opens nor closes anything


def _nesting(text: str) -> int:
    """How deep the brackets of a text go. Python's own reader would go on until the stack of the process ends."""
    steps = (1 if bracket in "[{" else -1 for bracket in _INSIDE.sub("", text))
    return max(accumulate(steps), default=0)


class _Repeated(Exception):
    """A mapping with two values for one key."""


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _Repeated(next(key for key in keys if keys.count(key) > 1))
    return mapping


def place(file: SourceFile, way: Way) -> Span:
    """Where an entry is, or as much of the way to it as there is; the start of a file that YAML cannot read."""
    try:
        found = source.read_text(file.text, file.name)
    except SpecError:
        return file.start
    for step in way:
        inner: source.Source | None = None
        if isinstance(found, source.Mapping):
            inner = found.get(str(step))
        elif isinstance(found, source.Sequence) and isinstance(step, int):
            inner = found.items[step]
        if inner is None:
            break
        found = inner
    return found.span._replace(file=file)
