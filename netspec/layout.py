"""A source tree in, its text in the one canonical layout out, with or without the comments of its file.

Block style stays block style, flow style stays on its line where it fits, and every scalar keeps its spelling. The tree
becomes nodes to print, the comments of the file are hung on them, and lines are printed. Then the text is read again: a
layout that says anything else than the file did is refused.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from netspec.diagnostics import Problem, SpecError
from netspec.source import Mapping, Scalar, Sequence, Source, read_text

WIDTH = 120
INDENT = 2
_LONGEST = 2 * WIDTH  # characters of what may fit on a line when the spaces between numbers are left out

_LINE_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
_ANCHOR = re.compile(r"\A(?:[&!][^\s,\[\]{}]*\s*)+")
_TRIVIA = re.compile(r"^%[^#\n]*|#[^\n\r\x85\u2028\u2029]*|\*[\w-]+", re.MULTILINE)  # directive, comment, alias
_NUMBER = re.compile(r"[-+.\deE]+")


def write(source: Source, order: tuple[str, ...] = ()) -> str:
    """The tree as YAML text, without comments; aliases are written out. Top-level keys come in `order` if all do."""
    root = _Entry(_node(source))
    _arrange(root.value, order)
    return _joined(_lines(root, "", 0))


def tidy(source: Source, order: tuple[str, ...] = ()) -> str:
    """The text of the file whose tree `source` is, in canonical layout and with its comments.

    Top-level keys come in `order` if it has all of them and no alias has to stay behind its anchor. Raises `SpecError`
    rather than change what the file says.
    """
    root = _Entry(_node(source))
    comments = _Comments(source)
    comments.hang_all(root)
    if not comments.aliased:
        _arrange(root.value, order)
    text = _joined([*_remarks(root.above, 0), *_lines(root, "", 0), *_remarks(comments.rest, 0)])
    if not _same(source, text):
        message = f"`{source.span.file.name}` cannot be formatted without changing what it says"
        help = ("leave the file as it is, and report it as a mistake of netspec",)
        raise SpecError([Problem("unsafe-format", message, help=help).at(None)])
    return text


def _arrange(node: _Node, order: tuple[str, ...]) -> None:
    if {entry.name for entry in node.entries} <= set(order):
        node.entries.sort(key=lambda entry: order.index(entry.name))
        _trim(node.entries)


def _trim(entries: list[_Entry]) -> None:
    """Drop blank lines before the first entry."""
    while entries and entries[0].above[:1] == [""]:
        del entries[0].above[0]


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _same(source: Source, text: str) -> bool:
    """True if `text` has the tree and the comments of `source`, whatever the order of keys at the top."""
    try:
        again = read_text(text)
    except SpecError:
        return False
    return _facts(source) == _facts(again) and _Comments(source).texts == _Comments(again).texts


def _facts(source: Source) -> list[list[object]]:
    """What the tree says, as plain data; the keys at the top in alphabetical order."""
    if not isinstance(source, Mapping):
        return [list(_flat(source))]
    return [[*_flat(key), *_flat(value)] for key, value in sorted(source.entries, key=lambda entry: entry[0].text)]


def _flat(source: Source) -> Iterator[object]:
    pending = [source]
    while pending:
        source = pending.pop()
        if isinstance(source, Scalar):
            yield source.text, source.plain
        elif isinstance(source, Sequence):
            yield "list", len(source.items)
            pending += reversed(source.items)
        else:
            yield "mapping", len(source.entries)
            pending += reversed([part for entry in source.entries for part in entry])


# Nodes ---------------------------------------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class _Node:
    """A value to print: the spelling of a scalar or alias, or entries and the comments behind the last one."""

    source: Source
    text: str = ""
    anchor: str = ""
    entries: list[_Entry] = field(default_factory=list)
    below: list[str] = field(default_factory=list)

    def become_alias(self, text: str) -> None:
        self.source = Scalar(text, self.source.span)
        self.text, self.entries = text, []


@dataclass(eq=False, repr=False)
class _Entry:
    """An item of a list, or a key and its value. Among the comments `above`, an empty text is a blank line."""

    value: _Node
    key: _Node | None = None
    above: list[str] = field(default_factory=list)
    beside: str = ""

    @property
    def name(self) -> str:
        return self.key.source.text if self.key and isinstance(self.key.source, Scalar) else ""


def _node(source: Source) -> _Node:
    if isinstance(source, Scalar):
        return _Node(source, _spelled(source))
    if isinstance(source, Sequence):
        return _Node(source, entries=[_Entry(_node(item)) for item in source.items])
    return _Node(source, entries=[_Entry(_node(value), _node(key)) for key, value in source.entries])


def _spelled(scalar: Scalar) -> str:
    """The scalar on one line: as it is written, but in double quotes where single ones are not needed."""
    if scalar.plain:
        return scalar.text
    raw = _raw(scalar)
    if "\n" not in raw and (raw[0] == '"' or (raw[0] == "'" and re.search(r'["\\]', raw))):
        return raw
    return json.dumps(scalar.text, ensure_ascii=False)


def _raw(scalar: Scalar) -> str:
    """A quoted or block scalar as it stands in its file, without its anchor."""
    span, lines = scalar.span, scalar.span.file.lines
    raw = lines[span.line - 1 : span.end_line]
    if span.end_line <= len(lines):
        raw[-1] = raw[-1][: span.end_column - 1]
    raw[0] = raw[0][span.column - 1 :]
    return _ANCHOR.sub("", "\n".join(raw), count=1)


def _is_block(scalar: Scalar) -> bool:
    """True for a literal (`|`) or folded (`>`) text."""
    return not scalar.plain and _raw(scalar)[0] in "|>"


def _keeps(scalar: Scalar) -> bool:
    """True for a block scalar to which the blank lines behind it belong."""
    return "+" in _raw(scalar).partition("\n")[0].partition("#")[0]


# Lines ---------------------------------------------------------------------------------------------------------------


def _lines(entry: _Entry, head: str, indent: int) -> Iterator[str]:
    """`head` and the value behind it; what of the value needs lines of its own stands at `indent`."""
    value = entry.value
    inline = _fitting(value, WIDTH - len(head) - 1)
    if inline is not None:
        yield _spaced(head, inline, entry.beside)
    elif isinstance(value.source, Scalar):
        yield from _paragraphs(value.source, _spaced(head, value.anchor), entry.beside, max(indent, INDENT))
    elif head.endswith(":"):
        yield _spaced(head, value.anchor, entry.beside)
        yield from _block(value, indent)
    else:
        lines = deque([*_remarks(filter(None, [entry.beside]), 0), *_block(value, indent)])
        while lines[0].lstrip()[:1] in ("", "#"):  # what a dash cannot have behind it goes above
            yield from _remarks([lines.popleft().lstrip()], indent - INDENT)
        yield _spaced(head, value.anchor or lines.popleft().lstrip())
        yield from lines


def _block(node: _Node, indent: int) -> Iterator[str]:
    """The entries of a list or mapping, each on lines of its own."""
    for entry in node.entries:
        yield from _remarks(entry.above, indent)
        head = f"{_spaced(entry.key.anchor, entry.key.text)}:" if entry.key else "-"
        yield from _lines(entry, " " * indent + head, indent + INDENT)
    yield from _remarks(node.below, indent)


def _remarks(texts: Iterable[str], indent: int) -> Iterator[str]:
    for text in texts:
        yield " " * indent + text if text else ""


def _spaced(*texts: str) -> str:
    return " ".join(text for text in texts if text)


def _paragraphs(scalar: Scalar, head: str, beside: str, indent: int) -> Iterator[str]:
    """A scalar of several lines, which begins behind `head` and goes on at `indent`."""
    room = WIDTH - indent
    if _is_block(scalar):
        header, lines = _block_scalar(scalar, room)
        yield _spaced(head, header, beside)
        yield from _remarks(lines, indent)
    else:
        first, *others = scalar.text.split("\n")
        lines = _fill(first, WIDTH - len(head) - 1, room)
        for other in others:
            lines += ["", *filter(None, _fill(other, room, room))]
        lines[-1] = _spaced(lines[-1], beside)
        yield _spaced(head, lines[0])
        yield from _remarks(lines[1:], indent)


def _block_scalar(scalar: Scalar, room: int) -> tuple[str, list[str]]:
    """The header of a literal or folded text and its lines, without indentation. A single paragraph is filled anew."""
    header, *lines = _raw(scalar).split("\n")
    text = scalar.text
    content = text.strip("\n")
    lead = len(content) - len(content.lstrip(" "))
    keep = _keeps(scalar)
    if header[0] == ">" and content and "\n" not in content and not text[0].isspace():
        lines = _fill(content, room, room)
    else:
        first = next((line for line in lines if line.strip(" ")), "")
        indent = len(first) - len(first.lstrip(" ")) - lead
        lines = [line[indent:] for line in lines] if content else []
        while lines and not lines[-1]:
            lines.pop()
    if keep:
        lines += [""] * (len(text) - len(text.rstrip("\n")) - bool(content))
    chomping = "-" if text and not text.endswith("\n") else "+" if keep else ""
    return f"{header[0]}{INDENT if lead else ''}{chomping}", lines


def _fill(text: str, first: int, room: int) -> list[str]:
    """`text`, broken at single spaces into a line of `first` and further ones of `room` characters."""
    lines: list[str] = []
    for word in re.split(r"(?<=\S) (?=\S)", text):
        if lines and len(lines[-1]) + 1 + len(word) <= (first if len(lines) == 1 else room):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _fitting(node: _Node, room: int) -> str | None:
    """The node on one line, or None if it takes several. Rows of numbers do without spaces before they are broken."""
    inline = _inline(node, _LONGEST)
    if inline is None or len(inline) <= room:
        return inline
    if isinstance(node.source, Scalar):
        return None if node.source.plain and " " in node.text else inline
    if all(map(_is_row, node.entries)):
        tight = inline.replace(", ", ",").replace("],", "], ")
        return tight if len(tight) <= room else None
    return None


def _is_row(entry: _Entry) -> bool:
    numbers = entry.value.entries
    return bool(numbers) and all(not number.key and _NUMBER.fullmatch(number.value.text) for number in numbers)


def _inline(node: _Node, room: int, nested: bool = False) -> str | None:
    """The node on one line; None if it was written as a block, has comments, or is `nested` and needs to be alone.

    None as well if it is a list or mapping with more than `room` characters, of which not all are looked at then.
    """
    source = node.source
    if isinstance(source, Scalar):
        alone = _is_block(source) or (source.plain and re.search(r"[,\[\]{}\n]" if nested else r"\n", node.text))
        text = None if alone else node.text
    elif node.entries and (not source.flow or node.below):
        text = None
    else:
        parts: list[str] = []
        for entry in node.entries:
            part = _inline_entry(entry, room)
            if part is None or len(part) > room:
                return None
            room -= len(part)
            parts.append(part)
        text = f"[{', '.join(parts)}]" if isinstance(source, Sequence) else f"{{{', '.join(parts)}}}"
    return text if text is None else _spaced(node.anchor, text)


def _inline_entry(entry: _Entry, room: int) -> str | None:
    if any(entry.above) or entry.beside:
        return None
    key = _inline(entry.key, room, nested=True) if entry.key else ""
    value = _inline(entry.value, room - 1, nested=True)
    return None if key is None or value is None else f"{key}: {value}" if entry.key else value


# Comments ------------------------------------------------------------------------------------------------------------


class _Comments:
    """The comments and aliases of a file, and how far the text has been passed in hanging them on nodes."""

    def __init__(self, source: Source) -> None:
        self.text = source.span.file.text
        self.line_starts = [0, *(found.end() for found in _LINE_BREAK.finditer(self.text))]
        self.waiting = deque(found for found in self._find(source) if found[0][0] != "%")
        self.texts = sorted(_remark(found) for found in self.waiting if found[0][0] == "#")
        self.aliased = any(found[0][0] == "*" for found in self.waiting)
        self.passed: set[int] = set()
        self.at = 0
        self.rest: list[str] = []

    def _find(self, source: Source) -> Iterator[re.Match[str]]:
        """Directives, comments and aliases: they stand between scalars, or behind the header of a block scalar."""
        position = 0
        for scalar in _scalars(source):
            start, end = self._start(scalar), self._end(scalar)
            yield from _TRIVIA.finditer(self.text, position, start)
            if _is_block(scalar):
                header = _LINE_BREAK.search(self.text, start, end)
                yield from _TRIVIA.finditer(self.text, start, header.start() if header else end)
            position = end
        yield from _TRIVIA.finditer(self.text, position)

    def hang_all(self, root: _Entry) -> None:
        """Give every comment of the file to an entry at or below `root`, or keep it for the end of the text."""
        self._hang(root, -1)
        _trim([root])
        self.rest = self._take(len(self.text))

    def _hang(self, entry: _Entry, column: int) -> None:
        """Give comments to an entry of the collection at `column`, which is -1 around the root."""
        key, value, source = entry.key, entry.value, entry.value.source
        start = self._first(key.source if key else source)
        entry.above = self._take(start)
        if _BLANK_LINE.search(self.text, self.at, start):
            entry.above.append("")
        if key:
            self._pass(key)
            key.text += " " if key.text.startswith("*") else ""  # an alias would take in the colon
        if isinstance(source, Scalar) or source.flow or id(source) in self.passed:
            entry.above += filter(None, self._take(self._first(source)))
            if isinstance(source, Scalar) and id(source) not in self.passed:
                entry.beside = self._beside(".*", self._end(source))  # behind the header of a block scalar
            self._pass(value)
            self._enter(value, column)
            entry.beside = entry.beside or self._beside(r"[ \t,:]*", len(self.text))
        else:
            entry.beside = self._beside(".*", self._first(source))
            self._pass(value)
            self._enter(value, column)

    def _enter(self, node: _Node, column: int) -> None:
        """Give comments to the entries of a collection, and those behind the last that stand deeper than `column`."""
        source = node.source
        if isinstance(source, Scalar):
            return
        own = column if node.anchor else source.span.column - 1
        for entry in node.entries:
            self._hang(entry, own)
        _trim(node.entries)
        if source.flow:
            node.below = self._take(self._end(source))
            self.at = self._end(source)
            return
        while self.waiting and self._column(self.waiting[0].start()) > column:
            if self.text[self.at : self.waiting[0].start()].strip():
                break
            node.below += self._take(self.waiting[0].end())

    def _pass(self, node: _Node) -> None:
        """Move on to the end of a scalar or alias, or into a collection, and note the anchor."""
        source = node.source
        if id(source) in self.passed:
            alias = self.waiting.popleft()
            node.become_alias(alias[0])
            self.at = alias.end()
            return
        start, inside = self._start(source), self._first(source)
        self.passed.add(id(source))
        if isinstance(source, Scalar) or not node.entries or inside > start:  # else it is the first key's
            anchor = _ANCHOR.match(self.text[start : self._end(source)])
            node.anchor = " ".join(anchor[0].split()) if anchor else ""
            self.at = self._end(source) if isinstance(source, Scalar) else start + (len(anchor[0]) if anchor else 0)

    def _take(self, limit: int) -> list[str]:
        """The comments before `limit`, and a blank line where there is one before them."""
        taken = []
        while self.waiting and self.waiting[0].start() < limit and self.waiting[0][0][0] == "#":
            comment = self.waiting.popleft()
            if _BLANK_LINE.search(self.text, self.at, comment.start()):
                taken.append("")
            taken.append(_remark(comment))
            self.at = comment.end()
        return taken

    def _beside(self, between: str, limit: int) -> str:
        """The next comment if it begins before `limit`, with nothing but `between` before it; else an empty text."""
        if not self.waiting or self.waiting[0].start() >= limit:
            return ""
        comment = self.waiting[0]
        near = re.compile(between).fullmatch(self.text, self.at, comment.start())
        return "".join(self._take(comment.end())) if near else ""

    def _first(self, source: Source) -> int:
        """Where the first word at or below `source` begins."""
        while id(source) not in self.passed and not isinstance(source, Scalar):
            children = source.items if isinstance(source, Sequence) else [key for key, _ in source.entries]
            if not children:
                break
            source = children[0]
        if id(source) in self.passed:
            return next(found.start() for found in self.waiting if found[0][0] == "*")
        return self._start(source)

    def _start(self, source: Source) -> int:
        return self._offset(source.span.line, source.span.column)

    def _end(self, source: Source) -> int:
        """The end of a scalar or flow collection; blank lines behind a block scalar are its own if it keeps them."""
        end = self._offset(source.span.end_line, source.span.end_column)
        if isinstance(source, Scalar) and _is_block(source):
            start = self._start(source)
            inked = start + len(self.text[start:end].rstrip())
            return max(inked, end - 1) if _keeps(source) else inked
        return end

    def _offset(self, line: int, column: int) -> int:
        return self.line_starts[line - 1] + column - 1

    def _column(self, offset: int) -> int:
        return offset - max(self.text.rfind("\n", 0, offset), self.text.rfind("\r", 0, offset)) - 1


def _remark(found: re.Match[str]) -> str:
    """A comment, with at least one space behind its sign."""
    return re.sub(r"^(#+)(?=[^\s#])", r"\1 ", found[0]).rstrip()


def _scalars(source: Source) -> Iterator[Scalar]:
    """Keys and scalars in the order of the file, each once, however often aliases name it."""
    passed: set[int] = set()
    pending = [source]
    while pending:
        source = pending.pop()
        if id(source) in passed:
            continue
        passed.add(id(source))
        if isinstance(source, Scalar):
            yield source
        elif isinstance(source, Sequence):
            pending += reversed(source.items)
        else:
            pending += reversed([part for entry in source.entries for part in entry])
