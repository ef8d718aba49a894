"""YAML text in, a tree of nodes with line and column out. The first stage.

The tree is built from parser events with an explicit stack, so nothing is constructed from tags, nesting is bounded
before it can exhaust anything, and every scalar keeps its text: what `no` or `1e3` mean is decided by the field that
holds it, not by YAML's typing rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from netspec.diagnostics import Reporter, SourceFile, Span, SpecError
from netspec.limits import Limits, limits

KEPT = 64  # trees that the process remembers, so that a text that has not changed is read once
KEPT_LENGTH = 20_000  # characters of the longest text whose tree is one of them; published networks have 7,000 at most


class Scalar:
    """A word, a number or an expression, as text. `plain` is false for quoted scalars."""

    __slots__ = ("plain", "span", "text")

    def __init__(self, text: str, span: Span, plain: bool = True) -> None:
        self.text = text
        self.span = span
        self.plain = plain

    @property
    def inner(self) -> Span:
        """The place of the text itself, without quotation marks."""
        span = self.span
        if self.plain or span.line != span.end_line:
            return span
        return Span(span.file, span.line, span.column + 1, span.end_line, span.end_column - 1)


@dataclass(eq=False, repr=False)
class Sequence:
    """A YAML list."""

    items: list[Source]
    span: Span
    flow: bool = False


@dataclass(eq=False, repr=False)
class Mapping:
    """A YAML mapping; keys are scalars, in the order written, each once."""

    entries: list[tuple[Scalar, Source]]
    span: Span
    flow: bool = False

    def get(self, key: str) -> Source | None:
        return next((value for k, value in self.entries if k.text == key), None)


Source = Scalar | Sequence | Mapping


def is_null(source: Source) -> bool:
    """True for an empty value, `null` and `~`."""
    return isinstance(source, Scalar) and source.plain and source.text in ("", "~", "null")


def read(path: Path, name: str | None = None) -> Source:
    """Read the YAML file at `path`; `name` is what messages call it. Raises `SpecError`."""
    return tree(read_file(path, name))


def read_file(path: Path, name: str | None = None) -> SourceFile:
    """The text of the file at `path`; `name` is what messages call it. Raises `SpecError`."""
    shown = name or str(path)
    reporter = Reporter()
    unread = SourceFile(shown, "", path)
    try:
        if path.stat().st_size <= limits().file_bytes:
            return _decoded(path.read_bytes(), shown, path)
        _report_size(reporter, unread, path.stat().st_size)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        reporter.error("unreadable-file", f"cannot read `{shown}`: {reason}", unread.start)
    raise SpecError(reporter.diagnostics)


def read_bytes(data: bytes, name: str) -> Source:
    """Parse the bytes of a YAML file. Raises `SpecError`."""
    return tree(_decoded(data, name))


def _decoded(data: bytes, name: str, path: Path | None = None) -> SourceFile:
    reporter = Reporter()
    unread = SourceFile(name, "", path)
    try:
        if len(data) <= limits().file_bytes:
            return SourceFile(name, data.decode("utf-8-sig"), path)
        _report_size(reporter, unread, len(data))
    except UnicodeDecodeError as error:
        message = f"`{name}` is not UTF-8 text: invalid byte at offset {error.start}"
        reporter.error("not-utf8", message, unread.start)
    raise SpecError(reporter.diagnostics)


def read_text(text: str, name: str = "<text>") -> Source:
    """Parse YAML text into a tree whose every node knows its place. Raises `SpecError`."""
    return tree(text_file(text, name))


def text_file(text: str, name: str) -> SourceFile:
    """A text that is in no file, as one. Raises `SpecError` where it is too long."""
    if len(text) > limits().file_bytes:
        reporter = Reporter()
        _report_size(reporter, SourceFile(name, ""), len(text))
        raise SpecError(reporter.diagnostics)
    return SourceFile(name, text)


def tree(file: SourceFile) -> Source:
    """The tree of a text, the same one for the same text where it is short; nobody changes a tree."""
    read = _kept_tree if len(file.text) <= KEPT_LENGTH else _Reader.tree
    return read(file.text, file.name, file.path, limits())


def is_kept(source: Source) -> bool:
    """Whether the tree is of a text so short that it is kept."""
    return len(source.span.file.text) <= KEPT_LENGTH


def _report_size(reporter: Reporter, file: SourceFile, size: int) -> None:
    message = f"`{file.name}` has {size:,} bytes, more than the {limits().file_bytes:,} a spec may have"
    reporter.error("file-too-large", message, file.start)


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Keys:
    """The keys of a mapping that is being read; the one whose value comes next is pending."""

    def __init__(self) -> None:
        self.seen: dict[str, Scalar] = {}
        self.pending: Scalar | None = None


class _Reader:
    def __init__(self, file: SourceFile, limits: Limits) -> None:
        self.file = file
        self.limits = limits
        self.reporter = Reporter()
        self.anchors: dict[str, Source] = {}
        self.count = 0

    @classmethod
    def tree(cls, text: str, name: str, path: Path | None, limits: Limits) -> Source:
        """The tree of a text within the limits. Raises `SpecError`."""
        return cls(SourceFile(name, text, path), limits).read()

    def read(self) -> Source:
        roots: list[Source] = []
        try:
            for event in self._nodes():
                roots.append(event)
        except yaml.YAMLError as error:
            self._yaml_error(error)
        if not roots and not self.reporter.failed:
            self.reporter.error("empty-spec", f"`{self.file.name}` is empty", self.file.start)
        if len(roots) > 1:
            help = ("put each spec in a file of its own",)
            self.reporter.error("several-documents", "a spec is one YAML document", roots[1].span, help=help)
        self.reporter.raise_if_failed()
        return roots[0]

    def _nodes(self) -> Iterator[Source]:
        """Yield the root of each document; open collections live on `stack` with their keys."""
        stack: list[tuple[Sequence | Mapping, Any, _Keys]] = []
        for event in yaml.parse(self.file.text, Loader=_LOADER):
            done: Source
            if isinstance(event, yaml.ScalarEvent):
                plain = event.style in (None, "")
                done = Scalar(event.value, self._span(event), plain)
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in self.anchors:
                    message = f"unknown anchor `{event.anchor}`"
                    self.reporter.error("unknown-anchor", message, self._span(event))
                    self._stop()
                done = self.anchors[str(event.anchor)]
            elif isinstance(event, yaml.CollectionStartEvent):
                if len(stack) >= self.limits.nesting:
                    message = f"nested more than {self.limits.nesting:,} levels deep"
                    self.reporter.error("too-deep", message, self._span(event))
                    self._stop()
                span = self._span(event)
                sequence = isinstance(event, yaml.SequenceStartEvent)
                flow = bool(event.flow_style)
                opened = Sequence([], span, flow) if sequence else Mapping([], span, flow)
                stack.append((opened, event, _Keys()))
                continue
            elif isinstance(event, yaml.CollectionEndEvent):
                opened, start, _ = stack.pop()
                span = self._span(start, event)
                entries: Any = opened.items if isinstance(opened, Sequence) else opened.entries
                done = type(opened)(entries, span, opened.flow)
                self._admit(start, done)
            else:
                continue
            if not isinstance(event, yaml.CollectionEndEvent):
                self._admit(event, done)
            if not stack:
                yield done
                continue
            parent, _, keys = stack[-1]
            if isinstance(parent, Sequence):
                parent.items.append(done)
            elif keys.pending is None:
                keys.pending = self._key(keys, done)
            else:
                parent.entries.append((keys.pending, done))
                keys.pending = None

    def _admit(self, event: Any, node: Source) -> None:
        self.count += _size(node) if isinstance(event, yaml.AliasEvent) else 1
        if self.count > self.limits.values:
            message = f"more than {self.limits.values:,} values after aliases are expanded"
            self.reporter.error("too-many-values", message, node.span)
            self._stop()
        if isinstance(event, yaml.AliasEvent):
            return
        if event.tag not in (None, "!"):
            help = ("remove the tag: a value is read by the field that holds it",)
            self.reporter.error("tag", f"tags are not allowed, got `{event.tag}`", node.span, help=help)
        if event.anchor is not None:
            self.anchors[event.anchor] = node

    def _key(self, keys: _Keys, key: Source) -> Scalar:
        if not isinstance(key, Scalar):
            self.reporter.error("invalid-key", "a key must be a word", key.span)
            return Scalar("", key.span)
        if key.text == "<<" and key.plain:
            help = ("write the keys out, or make a block with parameters",)
            self.reporter.error("merge-key", "merge keys (`<<`) are not allowed", key.span, help=help)
        first = keys.seen.setdefault(key.text, key)
        if first is not key:
            notes = (f"first written at line {first.span.line}",)
            self.reporter.error("duplicate-key", f"duplicate key `{key.text}`", key.span, notes=notes)
        return key

    def _span(self, event: Any, end: Any = None) -> Span:
        start_mark, end_mark = event.start_mark, (end or event).end_mark
        end_line, end_column = end_mark.line, end_mark.column
        if end is not None and not event.flow_style:
            end_line, end_column = self._trim(start_mark.line, end_line)
        return Span(self.file, start_mark.line + 1, start_mark.column + 1, end_line + 1, end_column + 1)

    def _trim(self, start: int, end: int) -> tuple[int, int]:
        """A block collection ends, for YAML, where the next token starts; move back to its last line with text."""
        lines = self.file.lines
        end = min(end, len(lines) - 1)
        while end > start and not lines[end].strip():
            end -= 1
        return end, len(lines[end].rstrip()) if end < len(lines) else 0

    def _yaml_error(self, error: yaml.YAMLError) -> None:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not valid YAML"
        context = getattr(error, "context", None)
        span = Span(self.file, mark.line + 1, mark.column + 1, mark.line + 1, mark.column + 2) if mark else None
        notes = (re.sub(r"\s+", " ", str(context)),) if context else ()
        help = ("close the bracket, or quote an expression that has brackets of its own",) if "','" in problem else ()
        self.reporter.error("invalid-yaml", f"invalid YAML: {problem}", span, notes=notes, help=help)

    def _stop(self) -> None:
        raise SpecError(self.reporter.diagnostics)


_kept_tree = lru_cache(maxsize=KEPT)(_Reader.tree)


def _size(node: Source) -> int:
    """How many nodes an alias adds. Anchored trees are bounded, so this is too."""
    count, pending = 0, [node]
    while pending:
        current = pending.pop()
        count += 1
        if isinstance(current, Sequence):
            pending.extend(current.items)
        elif isinstance(current, Mapping):
            pending.extend(value for _, value in current.entries)
    return count
