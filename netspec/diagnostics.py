"""What netspec says when something is wrong: the place, the fact and the repair.

Every stage reports mistakes as `Diagnostic` objects. A stage that cannot go on raises `SpecError`, which carries
all of them. Code that knows a fact but not its place (an op, an expression) raises `Problem`; whoever holds the span
turns it into a diagnostic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from netspec.graph import Graph

Level = Literal["error", "warning"]


class SourceFile:
    """A named text. `name` is what messages show: a path as the user wrote it, or `<text>`, or `--set`.

    `path` is where the text was read from, if it was read from a file.
    """

    def __init__(self, name: str, text: str, path: Path | None = None) -> None:
        self.name = name
        self.text = text
        self.path = path

    @property
    def start(self) -> Span:
        """The first place, for what is wrong with the file as a whole."""
        return Span(self, 1, 1, 1, 1)

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()


class Span(NamedTuple):
    """A stretch of a file. Lines and columns count from 1; the end is exclusive."""

    file: SourceFile
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}:{self.column}"

    def within(self, start: int, end: int) -> Span:
        """The columns `start` to `end`, counted from the start of this span, which must lie on one line."""
        if self.line != self.end_line or self.column + end > self.end_column:
            return self
        return Span(self.file, self.line, self.column + start, self.line, self.column + max(end, start + 1))

    def excerpt(self) -> str:
        """The place and the lines that lead to it, with carets, as in messages."""
        gutter = " " * len(str(self.line))
        return "\n".join([f"{gutter}--> {self}", *_excerpt(self, "", "error", lambda text, style: text)])


class Diagnostic(NamedTuple):
    """One mistake: a code that names it, a headline that stands alone, the smallest span, and what helps.

    `related` are the other places that the texts name: where the blocks around are used, the nodes that led to it.
    """

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    at: str = ""
    notes: tuple[str, ...] = ()
    help: tuple[str, ...] = ()
    level: Level = "error"
    related: tuple[Span, ...] = ()

    def render(self, color: bool = False) -> str:
        """The diagnostic as text: headline, place, excerpt with carets, then `at`, `note` and `help` lines."""
        return _render(self, color)

    def __str__(self) -> str:
        return self.render()

    def cut(self) -> Diagnostic:
        """The diagnostic with texts of a length that people read, however long the names of the spec are."""
        texts = (self.message, self.label, self.at, *self.notes, *self.help)
        if max(map(len, texts)) <= _LONGEST:
            return self
        message, label, at = (_cut(text) for text in texts[:3])
        notes, help = tuple(map(_cut, self.notes)), tuple(map(_cut, self.help))
        return self._replace(message=message, label=label, at=at, notes=notes, help=help)

    def as_dict(self) -> dict[str, Any]:
        """The diagnostic as plain data, for editors and other programs."""
        span = self.span
        return {
            "level": self.level,
            "code": self.code,
            "message": self.message,
            "file": span.file.name if span else None,
            "path": str(span.file.path.resolve()) if span and span.file.path else None,
            "line": span.line if span else None,
            "column": span.column if span else None,
            "end_line": span.end_line if span else None,
            "end_column": span.end_column if span else None,
            "label": self.label,
            "at": self.at,
            "notes": list(self.notes),
            "help": list(self.help),
        }


class SpecError(Exception):
    """A spec that cannot be compiled. `diagnostics` holds every mistake found, in the order of the file.

    `sketch` is the graph of what could be understood, for a picture of the mistakes; its failed nodes have no outputs.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic], sketch: Graph | None = None) -> None:
        self.diagnostics = tuple(diagnostics)
        self.sketch = sketch
        super().__init__("\n\n".join(d.render() for d in self.diagnostics))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.diagnostics,)


class Problem(Exception):
    """A fact that makes something invalid, raised where it is known and placed by whoever knows where it is.

    `argument` names the argument at fault; `extent` is a pair of columns inside the text of an expression.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        argument: str | None = None,
        extent: tuple[int, int] | None = None,
        label: str = "",
        notes: Iterable[str] = (),
        help: Iterable[str] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.argument = argument
        self.extent = extent
        self.label = label
        self.notes = tuple(notes)
        self.help = tuple(help)
        self.span: Span | None = None
        self.related: tuple[Span, ...] = ()

    def place(self, span: Span) -> Problem:
        """Say where the problem is, unless a smaller place is known already."""
        if self.span is None:
            self.span = span if self.extent is None else span.within(*self.extent)
        return self

    def at(self, span: Span | None, at: str = "", uses: tuple[Span, ...] = ()) -> Diagnostic:
        """The diagnostic of this problem, at its own place or else at `span`, in blocks that are used at `uses`."""
        if span is not None:
            self.place(span)
        related = (*self.related, *uses)
        return Diagnostic(
            self.code, self.message, self.span, self.label, at, self.notes, self.help, related=related
        ).cut()


class Reporter:
    """Collects the diagnostics of one compilation, each once."""

    def __init__(self, most: int = 100) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.most = most

    def report(self, diagnostic: Diagnostic) -> None:
        """Keep a diagnostic. Raises `SpecError` when there are as many as anybody reads."""
        diagnostic = diagnostic.cut()
        if diagnostic in self.diagnostics:
            return
        self.diagnostics.append(diagnostic)
        if len(self.diagnostics) >= self.most:
            notes = (*diagnostic.notes, f"netspec stops here, after {self.most} mistakes")
            self.diagnostics[-1] = diagnostic._replace(notes=notes)
            raise SpecError(sorted(self.diagnostics, key=_place))

    def error(self, code: str, message: str, span: Span | None, **details: Any) -> None:
        self.report(Diagnostic(code, message, span, **details))

    @contextmanager
    def catch(self, span: Span | None, at: str = "") -> Iterator[None]:
        """Place a `Problem` raised inside at `span`, report it and go on."""
        try:
            yield
        except Problem as problem:
            self.report(problem.at(span, at))

    @property
    def failed(self) -> bool:
        return any(d.level == "error" for d in self.diagnostics)

    def raise_if_failed(self, sketch: Graph | None = None) -> None:
        if self.failed:
            raise SpecError(sorted(self.diagnostics, key=_place), sketch)


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    span = diagnostic.span
    return (span.file.name, span.line, span.column) if span else ("", 0, 0)


def suggest(word: str, known: Iterable[str], what: str = "") -> tuple[str, ...]:
    """A `help` line that names the nearest known word, or nothing when none is near."""
    import difflib  # only for who makes a mistake

    if len(word) > _LONGEST_WORD:
        return ()
    similar = (other for other in known if 0.43 * len(word) <= len(other) <= 2.34 * len(word))  # else never near
    matches = difflib.get_close_matches(word, list(islice(similar, _MOST_WORDS)), n=1, cutoff=0.6)
    return (f"did you mean {what + ' ' if what else ''}`{matches[0]}`?",) if matches else ()


_LONGEST = 2000  # characters of a text in a message
_LONGEST_WORD = 60  # of those that are likened to others
_MOST_WORDS = 1000  # that one is likened to


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def listing(words: Iterable[str], last: str = "and") -> str:
    """`a`, `b` and `c`: words in backticks, joined as in a sentence."""
    quoted = [f"`{word}`" for word in words]
    if len(quoted) < 2:
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"


# Rendering -----------------------------------------------------------------------------------------------------------

_CONTEXT_LINES = 2
_EXCERPT_WIDTH = 120
_STYLES = {"error": "1;31", "warning": "1;33", "frame": "1;34", "help": "1;32", "bold": "1"}


def _render(diagnostic: Diagnostic, color: bool) -> str:
    def paint(text: str, style: str) -> str:
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if color and text else text

    head = f"{diagnostic.level}[{diagnostic.code}]"
    lines = [f"{paint(head, diagnostic.level)}: {paint(diagnostic.message, 'bold')}"]
    gutter = " "
    if diagnostic.span is not None:
        span = diagnostic.span
        gutter = " " * len(str(span.line))
        lines.append(f"{gutter}{paint('-->', 'frame')} {span}")
        lines.extend(_excerpt(span, diagnostic.label, diagnostic.level, paint))
    details = [("at", diagnostic.at)] if diagnostic.at else []
    details += [("note", note) for note in diagnostic.notes] + [("help", text) for text in diagnostic.help]
    if details and diagnostic.span is not None:
        lines.append(f"{gutter} {paint('|', 'frame')}")
    for kind, text in details:
        style = "help" if kind == "help" else "bold"
        lines.append(f"{gutter} {paint('=', 'frame')} {paint(kind, style)}: {text}")
    return "\n".join(lines)


def _excerpt(span: Span, label: str, level: str, paint: Any) -> Iterator[str]:
    source = span.file.lines
    width = len(str(span.line))
    bar = paint("|", "frame")
    if not 1 <= span.line <= len(source):
        return
    yield f"{' ' * width} {bar}"
    for number in range(max(1, span.line - _CONTEXT_LINES), span.line + 1):
        text = source[number - 1]
        shown = _printable(text if len(text) <= _EXCERPT_WIDTH else text[: _EXCERPT_WIDTH - 1] + "…")
        yield f"{paint(str(number).rjust(width), 'frame')} {bar} {shown}".rstrip()
    line = source[span.line - 1]
    end = span.end_column if span.end_line == span.line else len(line.rstrip()) + 1
    start = min(span.column, _EXCERPT_WIDTH)
    carets = "^" * max(1, min(end, _EXCERPT_WIDTH) - start)
    yield f"{' ' * width} {bar} {' ' * (start - 1)}{paint(f'{carets} {label}'.rstrip(), level)}"


def _printable(line: str) -> str:
    """Replace what would break the alignment of the carets or the terminal."""
    return "".join(c if c.isprintable() else " " if c == "\t" else "\ufffd" for c in line)


def first_line(error: BaseException) -> str:
    """The first line with words of an error of another library, or the error's name: 300 characters at most."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)[:300]
