"""Source tree in, typed document out: the spec and every file that it imports, with the names that each can use.

All mistakes that can be seen without knowing a value are reported here: unknown keys, ops and words, invalid names,
nodes that are two things at once.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, NamedTuple

from netspec.arguments import Signature, block_signature
from netspec.catalog import Lookups, Origin, library_blocks
from netspec.diagnostics import Problem, Reporter
from netspec.files import WEIGHT_FILES
from netspec.inherit import Document, inherit
from netspec.limits import Limits, charge, in_force, limits, spent
from netspec.names import check_name
from netspec.ops import OP_NAMES
from netspec.parts import BODY_WORDS, Parser
from netspec.source import Mapping, Scalar, Source, is_kept, is_null, read
from netspec.spec import BlockSpec, ParameterSpec, Spec, WeightsSpec

_PUBLISHED = re.compile(r"(torchvision|timm)/[a-z0-9_]+")
_WEIGHT_FILE = re.compile(rf"[\w .+@/-]+({'|'.join(map(re.escape, WEIGHT_FILES))})")


KEPT = 32  # documents that the process remembers


class _Kept(NamedTuple):
    """A document without mistakes, as it came out of a parse, and what the parse took."""

    spec: Spec
    lookups: Lookups
    work: int


_KEPT: dict[tuple[Source, Origin, str, Limits], _Kept] = {}


def parse(source: Source, origin: Origin, fallback_name: str, reporter: Reporter) -> Spec | None:
    """The typed document of `source`, or None when it is no document at all.

    The next parse of the same text gives the same document, which nobody changes, while all the files that it is made
    of are what they were. That is asked each time, and paid for as a parse.
    """
    key = (source, origin, fallback_name, limits())
    kept = _KEPT.get(key)
    if kept is not None and kept.lookups.unchanged:
        charge(kept.work)
        return kept.spec
    lookups, before = Lookups(), spent()
    document = inherit(source, origin, reporter, lookups)
    if document is None:
        return None
    spec = _Documents(reporter, lookups).network(document, fallback_name)
    if is_kept(source) and not reporter.diagnostics:
        _KEPT[key] = _Kept(spec, lookups, spent() - before)
        for oldest in list(_KEPT)[:-KEPT]:
            _KEPT.pop(oldest, None)
    return spec


class Namespace:
    """The block names that one document can use: its own, those it imports, and the standard library."""

    def __init__(self, documents: _Documents) -> None:
        self.documents = documents
        self.own: dict[str, tuple[Scalar, Source]] = {}
        self.imported: dict[str, BlockSpec | None] = {}
        self.imports: list[tuple[Scalar, tuple[str, ...]]] = []  # each file, and the blocks it gives
        self.incomplete = False  # a file to import could not be read
        self.parsed: dict[str, BlockSpec | None] = {}
        self.declared: dict[str, dict[str, ParameterSpec]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.own or name in self.imported or name in library_blocks()

    @cached_property
    def known(self) -> frozenset[str]:
        """Every op and block; nothing asks before all imports are there."""
        return frozenset({*OP_NAMES, *self.own, *self.imported, *library_blocks()})

    def signature(self, name: str) -> Signature | None:
        """What the block called `name` takes; None when there is none or it is broken. Its body is left alone."""
        if name in self.own and name not in self.imported:
            return block_signature(name, self.parameters(name), self.own[name][0].span)
        block = self.block(name)
        return None if block is None else block_signature(name, block.parameters, block.span)

    def parameters(self, name: str) -> dict[str, ParameterSpec]:
        """The parameters of one of the document's own blocks."""
        if name not in self.declared:
            source = self.own[name][1]
            params = source.get("params") if isinstance(source, Mapping) else None
            self.declared[name] = Parser(self, self.documents.reporter).parameters(params)
        return self.declared[name]

    def block(self, name: str) -> BlockSpec | None:
        """The block called `name`, parsed on first use; None when there is none or it is broken."""
        if name in self.imported:
            return self.imported[name]
        if name not in self.own:
            return library_block(name) if name in library_blocks() else None
        if name not in self.parsed:
            key, source = self.own[name]
            self.parsed[name] = None
            parser = Parser(self, self.documents.reporter)
            self.parsed[name] = parser.block(name, key.span, source, self.parameters(name))
        return self.parsed[name]


class _Documents:
    """Every document that one compilation reads: the spec, and its imports."""

    def __init__(self, reporter: Reporter, lookups: Lookups) -> None:
        self.reporter = reporter
        self.lookups = lookups
        self.files = 0

    def network(self, document: Document, fallback_name: str) -> Spec:
        parser = Parser(self.namespace(document, ()), self.reporter)
        parser.version(document.mapping)
        inputs = tuple(parser.inputs(document.mapping))
        name = parser.text(document.mapping, "name") or fallback_name
        network = parser.document(name, document.mapping, tuple(Scalar(i.name, i.span) for i in inputs))
        for block in parser.namespace.own:
            parser.namespace.block(block)
        freeze, checkpoint = (parser.paths(document.mapping, key) for key in ("freeze", "checkpoint"))
        parallel = parser.parallel(document.mapping.get("parallel"))
        return Spec(network, inputs, self.weights(parser, document), freeze, checkpoint, parallel)

    def weights(self, parser: Parser, document: Document) -> WeightsSpec | None:
        """Where trained weights are, and the parameters that they need."""
        source: Source | None = document.mapping.get("weights")
        needs: tuple[tuple[Scalar, Source], ...] = ()
        if source is None or is_null(source):
            return None
        with self.reporter.catch(source.span):
            if isinstance(source, Mapping):
                parser.check_keys(source, ("published", "needs"), "`weights`")
                needed, source = source.get("needs"), source.get("published")
                if isinstance(needed, Mapping):
                    needs = tuple(needed.entries)
                elif needed is not None:
                    message = "`needs` maps parameters to the values that the weights were trained with"
                    raise Problem("wrong-type", message).place(needed.span)
            place = self.lookups.ask(_weights_place, source, document.weights_origin)
            return WeightsSpec(place, needs, document.inherits_weights)
        return None

    def namespace(self, document: Document, chain: tuple[Any, ...]) -> Namespace:
        namespace = Namespace(self)
        blocks = document.mapping.get("blocks")
        if blocks is not None and not isinstance(blocks, Mapping):
            self.reporter.error("wrong-type", "`blocks` is a mapping of names to blocks", blocks.span)
        elif blocks is not None:
            for key, source in blocks.entries:
                with self.reporter.catch(key.span):
                    check_name(key.text, "block")
                    if key.text in OP_NAMES:
                        raise Problem("name-taken", f"`{key.text}` is the name of an op", help=("choose another",))
                    namespace.own[key.text] = (key, source)
        for item, origin in document.imports:
            before = len(self.reporter.diagnostics)
            with self.reporter.catch(item.span):
                self._import(item, origin, namespace, chain)
            namespace.incomplete |= len(self.reporter.diagnostics) > before
        return namespace

    def _import(self, item: Scalar, origin: Origin, namespace: Namespace, chain: tuple[Any, ...]) -> None:
        path = self.lookups.ask(origin.locate, item.text)
        self.files += 1
        if path in chain:
            raise Problem("circular-import", f"`{item.text}` imports itself, in the end")
        if self.files > (most := limits().imports):
            raise Problem("too-many-files", f"more imported files than the limit of {most:,}")
        tree = self.lookups.ask(read, path, path.name)
        document = inherit(tree, origin.beneath(path), self.reporter, self.lookups)
        if document is None:
            return
        inner = self.namespace(document, (*chain, path))
        Parser(inner, self.reporter).version(document.mapping)
        before = len(namespace.imported)
        for name in inner.own:
            self._add(namespace, name, inner.block(name), item.text)
        if any(document.mapping.get(word) is not None for word in BODY_WORDS):
            self._add(namespace, path.stem, self.document_block(path.stem, document, inner), item.text)
        namespace.imports.append((item, tuple(namespace.imported)[before:]))

    def _add(self, namespace: Namespace, name: str, block: BlockSpec | None, file: str) -> None:
        if name in namespace.own or name in namespace.imported:
            raise Problem("name-taken", f"`{file}` has a block `{name}`, but there is one of that name already")
        namespace.imported[name] = block

    def document_block(self, name: str, document: Document, namespace: Namespace) -> BlockSpec:
        """A document used as a block: its inputs take whatever shape they are given."""
        parser = Parser(namespace, self.reporter)
        inputs = document.mapping.get("inputs")
        if isinstance(inputs, Mapping):
            names = tuple(key for key, _ in inputs.entries)
        else:
            names = parser.names_list(inputs, "inputs") or (Scalar("x", document.mapping.span),)
        return parser.document(name, document.mapping, names)


_LIBRARY: dict[str, BlockSpec] = {}


def library_block(name: str) -> BlockSpec:
    """A block of the standard library, which is part of the package: parsed once, without mistakes, and at no cost."""
    if name not in _LIBRARY:
        documents = _Documents(Reporter(), Lookups())
        with in_force(None):
            source = read(library_blocks()[name], f"library/{name}.yaml")
            assert isinstance(source, Mapping)
            document = Document(source, (), Origin(None, None))
            block = documents.document_block(name, document, Namespace(documents))
        documents.reporter.raise_if_failed()
        _LIBRARY.setdefault(name, block)
    return _LIBRARY[name]


def _weights_place(source: Source | None, origin: Origin) -> str:
    """`torchvision/resnet50` and its like as it is, and a file as its path. Raises `Problem`."""
    text = source.text if isinstance(source, Scalar) else ""
    if _WEIGHT_FILE.fullmatch(text):
        return str(origin.inside(text))
    if not _PUBLISHED.fullmatch(text):
        help = ("such as `torchvision/resnet50`, `timm/dla34` or `trained.safetensors`, a file beside the spec",)
        what = f"`{text[:60]}` is" if text else "`weights` says"
        problem = Problem("wrong-value", f"{what} neither published weights nor a file of them", help=help)
        raise problem if source is None else problem.place(source.span)
    return text
