"""Single mistakes in the specs that ship, as a slip of the hand makes them, and where netspec sees them.

A mutation drops a key with its value, misspells a word, or changes a number. What comes of it is a valid spec, or
diagnostics, of which one at least should be where the mistake is: on its lines, or on those around a dropped key.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import netspec
from netspec import SpecError
from netspec.catalog import shipped_specs
from netspec.diagnostics import Span
from netspec.source import Mapping, Scalar, Sequence, Source, read

KINDS = ("drop a key", "misspell a word", "change a number")
PROSE = ("about", "reference", "name")


class Mutation(NamedTuple):
    """A spec with one mistake, and the lines of the mutated text that the mistake is on, both ends included."""

    spec: str
    kind: str
    what: str
    text: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.spec}:{self.first}: {self.kind}: {self.what}"


class Outcome(NamedTuple):
    """What came of a mutation, and the first message.

    It is `valid`; or a diagnostic is `at its place`, or names it among the related places; or all are `elsewhere`; or
    there is a `traceback`.
    """

    verdict: str
    message: str = ""


def mutations(count: int, seed: int) -> Iterator[Mutation]:
    """`count` mutations of specs that ship, of each kind as many, the same for the same seed."""
    chance = random.Random(seed)
    sources = {name: read(path) for name, path in shipped_specs().items()}
    made: set[tuple[str, str]] = set()
    while len(made) < count:
        kind = KINDS[len(made) % len(KINDS)]
        name = chance.choice(sorted(sources))
        mutation = _mutation(name, kind, sources[name], chance)
        if mutation is not None and (name, mutation.text) not in made:
            made.add((name, mutation.text))
            yield mutation


def outcome(mutation: Mutation) -> Outcome:
    """Compile a mutated spec as if it stood among those that ship."""
    try:
        netspec.loads(mutation.text, name=mutation.spec, folder=shipped_specs()[mutation.spec].parent)
    except SpecError as error:
        for diagnostic in error.diagnostics:
            if diagnostic.span is not None and _touches(diagnostic.span, mutation):
                return Outcome("at its place", str(diagnostic))
        for diagnostic in error.diagnostics:
            if any(_touches(span, mutation) for span in diagnostic.related):
                return Outcome("named", str(diagnostic))
        return Outcome("elsewhere", str(error))
    except Exception as error:
        return Outcome("traceback", repr(error))
    return Outcome("valid")


def _touches(span: Span, mutation: Mutation) -> bool:
    own = span.file.name in (mutation.spec, f"{mutation.spec}.yaml")
    return own and span.line <= mutation.last and span.end_line >= mutation.first


def tally(count: int, seed: int) -> tuple[Counter[str], list[tuple[Mutation, Outcome]]]:
    """How often each verdict was given, and the mutations that were neither valid nor reported at their place."""
    verdicts: Counter[str] = Counter()
    misplaced = []
    for mutation in mutations(count, seed):
        result = outcome(mutation)
        verdicts[result.verdict] += 1
        if result.verdict in ("elsewhere", "traceback"):
            misplaced.append((mutation, result))
    return verdicts, misplaced


# One mutation --------------------------------------------------------------------------------------------------------


def _mutation(name: str, kind: str, source: Source, chance: random.Random) -> Mutation | None:
    text = shipped_specs()[name].read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    if kind == "drop a key":
        key, value = chance.choice(list(_entries(source)))
        return _without(name, lines, key, value)
    scalars = [scalar for scalar in _scalars(source) if scalar.span.line == scalar.span.end_line]
    change = _misspelled if kind == "misspell a word" else _other_number
    scalar = chance.choice(scalars)
    changed = change(scalar.text, chance)
    row = lines[scalar.span.line - 1]
    start, end = scalar.span.column - 1, scalar.span.end_column - 1
    if changed is None or scalar.text not in row[start:end]:
        return None
    lines[scalar.span.line - 1] = row[:start] + row[start:end].replace(scalar.text, changed, 1) + row[end:]
    return Mutation(name, kind, f"`{scalar.text}` to `{changed}`", "".join(lines), scalar.span.line, scalar.span.line)


def _without(name: str, lines: list[str], key: Scalar, value: Source) -> Mutation | None:
    """The text without an entry. Its place is where it stood: the lines before and behind it touch it."""
    start, end = key.span, value.span
    if start.line != end.line or lines[start.line - 1][: start.column - 1].strip(" -") == "":
        last = max(end.end_line, start.line)
        if end.end_line > start.line and end.end_column == 1:
            last -= 1
        head = lines[start.line - 1][: start.column - 1]
        kept = [head.rstrip(" ") + "\n"] if head.strip() else []
        text = "".join([*lines[: start.line - 1], *kept, *lines[last:]])
        return Mutation(name, KINDS[0], f"`{key.text}`", text, max(1, start.line - 1), start.line)
    row = lines[start.line - 1]
    before, behind = row[: start.column - 1], row[end.end_column - 1 :]
    if behind.lstrip().startswith(","):
        behind = behind.lstrip()[1:].lstrip()
    else:
        before = before.rstrip(" ,")
    lines[start.line - 1] = before + behind
    return Mutation(name, KINDS[0], f"`{key.text}`", "".join(lines), start.line, start.line)


def _misspelled(word: str, chance: random.Random) -> str | None:
    """A word with two letters swapped, or with one left out or doubled."""
    if len(word) < 3 or not word.replace("_", "").isalpha():
        return None
    position = chance.randrange(len(word) - 1)
    a, b = word[position], word[position + 1]
    changed = chance.choice([b + a, b, a + a + b])
    return None if changed == a + b else word[:position] + changed + word[position + 2 :]


def _other_number(text: str, chance: random.Random) -> str | None:
    if not text.isdecimal():
        return None
    number = int(text)
    return str(
        chance.choice([n for n in (0, number - 1, number + 1, 2 * number, 10 * number) if n >= 0 and n != number])
    )


def _entries(source: Source) -> Iterator[tuple[Scalar, Source]]:
    """Every key with its value, prose aside."""
    if isinstance(source, Mapping):
        for key, value in source.entries:
            yield key, value
            if key.text not in PROSE:
                yield from _entries(value)
    elif isinstance(source, Sequence):
        for item in source.items:
            yield from _entries(item)


def _scalars(source: Source) -> Iterator[Scalar]:
    """Every key and every value, prose aside."""
    if isinstance(source, Scalar):
        yield source
    elif isinstance(source, Sequence):
        for item in source.items:
            yield from _scalars(item)
    else:
        for key, value in source.entries:
            yield key
            if key.text not in PROSE:
                yield from _scalars(value)


def main() -> None:
    """Print every mutation that is not reported at its place, and the share of those that are."""
    verdicts, misplaced = tally(500, seed=1)
    for mutation, result in misplaced:
        print(f"{mutation}\n{result.message}\n")
    print(dict(verdicts))


if __name__ == "__main__":
    main()
