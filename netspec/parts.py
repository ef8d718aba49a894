"""The parts of one document: inputs, parameters, blocks, nodes and rules, as typed documents.

Every key is looked up and nothing is evaluated. A node that cannot be understood becomes a broken `NodeSpec`, so the
rest is still checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from netspec.arguments import bind, op_signature
from netspec.diagnostics import Problem, Reporter, Span, listing, suggest
from netspec.expressions import TYPING_TRAPS, loop_names
from netspec.inherit import PARAMETER_KEYS
from netspec.names import NAME, check_free, check_name, check_node_name
from netspec.ops import OP_NAMES
from netspec.shapes import BYTES
from netspec.source import Mapping, Scalar, Sequence, Source, is_null
from netspec.spec import (
    KINDS,
    NODE_WORDS,
    BlockSpec,
    BodySpec,
    Entry,
    InitRule,
    InputSpec,
    Kind,
    Loop,
    NodeSpec,
    OutputsSpec,
    ParallelSpec,
    ParameterSpec,
    node_holders,
)

if TYPE_CHECKING:
    from netspec.parse import Namespace

VERSION = "1"

BODY_WORDS = ("graph", "branches", "node")

DOCUMENT_KEYS = (
    "netspec", "extends", "name", "about", "reference", "weights", "freeze", "checkpoint", "parallel", "imports",
    "input", "inputs", "params", "let", "blocks", "graph", "branches", "merge", "node", "outputs", "init",
)  # fmt: skip
BLOCK_KEYS = (
    "about", "reference", "params", "inputs", "let", "graph", "branches", "merge", "node", "outputs", "init",
)  # fmt: skip


def parse_node(source: Source, namespace: Namespace, reporter: Reporter, holders: frozenset[str]) -> NodeSpec:
    """A node that stands where a value is expected: the argument of a block."""
    return Parser(namespace, reporter, holders).node(source)


class Parser:
    """Parses the parts of one document. `holders` are the parameters of the block at hand that may hold a node."""

    def __init__(self, namespace: Namespace, reporter: Reporter, holders: frozenset[str] = frozenset()) -> None:
        self.namespace = namespace
        self.reporter = reporter
        self.holders = holders

    # Documents and blocks --------------------------------------------------------------------------------------------

    def document(self, name: str, mapping: Mapping, inputs: tuple[Scalar, ...]) -> BlockSpec:
        """The block that a whole document describes."""
        self.check_keys(mapping, DOCUMENT_KEYS, "a spec")
        return self.block_body(name, mapping.span, mapping, inputs, self.parameters(mapping.get("params")))

    def version(self, mapping: Mapping) -> None:
        version = mapping.get("netspec")
        if version is None:
            help = ("begin the file with `netspec: 1`",)
            self.reporter.error("missing-key", "the version of the language is missing", mapping.span, help=help)
        elif not isinstance(version, Scalar) or version.text != VERSION:
            help = (f"this netspec reads `netspec: {VERSION}`",)
            self.reporter.error("unknown-version", "unknown version of the language", version.span, help=help)

    def inputs(self, mapping: Mapping) -> Iterator[InputSpec]:
        single, several = mapping.get("input"), mapping.get("inputs")
        if single is not None and several is not None:
            self.reporter.error("two-kinds", "write either `input` or `inputs`", several.span)
        elif single is not None:
            yield from self._input("x", single)
        elif isinstance(several, Mapping):
            for key, value in several.entries:
                with self.reporter.catch(key.span):
                    check_name(key.text, "input")
                    yield from self._input(key.text, value)
        elif several is not None:
            self.reporter.error("wrong-type", "`inputs` is a mapping of names to shapes", several.span)
        else:
            help = ("add a line such as `input: [3, 224, 224]`: channels, height, width",)
            self.reporter.error("missing-key", "the shape of the input is missing", mapping.span, help=help)

    def _input(self, name: str, source: Source) -> Iterator[InputSpec]:
        shape: Source | None = source
        dtype = "float32"
        if isinstance(source, Mapping):
            self.check_keys(source, ("shape", "dtype"), "an input")
            shape = source.get("shape")
            dtype = self.text(source, "dtype") or dtype
            if dtype not in BYTES:
                message = f"unknown dtype `{dtype}`"
                help = suggest(dtype, BYTES) or (f"the dtypes are {listing(BYTES)}",)
                self.reporter.error("wrong-value", message, source.span, help=help)
                dtype = "float32"
        if isinstance(shape, Sequence):
            yield InputSpec(name, shape, dtype, source.span)
        else:
            help = ("write the axes behind the batch, such as `[3, 224, 224]`",)
            self.reporter.error("wrong-type", "the shape of an input is a list of integers", source.span, help=help)

    def block(self, name: str, span: Span, source: Source, parameters: dict[str, ParameterSpec]) -> BlockSpec | None:
        if not isinstance(source, Mapping):
            help = ("write `params:` and `graph:` below its name",)
            self.reporter.error("wrong-type", "a block is a mapping", source.span, help=help)
            return None
        self.check_keys(source, BLOCK_KEYS, "a block")
        inputs = self.names_list(source.get("inputs"), "inputs") or (Scalar("x", span),)
        return self.block_body(name, span, source, inputs, parameters)

    def block_body(
        self,
        name: str,
        span: Span,
        source: Mapping,
        inputs: tuple[Scalar, ...],
        parameters: dict[str, ParameterSpec],
    ) -> BlockSpec:
        parser = Parser(self.namespace, self.reporter, node_holders(parameters))
        body = parser.body(source, inputs) or BodySpec("chain", (), span, inputs=inputs)
        return BlockSpec(
            name,
            span,
            self.namespace,
            body,
            about=self.text(source, "about"),
            reference=tuple(s.text for s in self.scalars(source.get("reference"), "reference")),
            parameters=parameters,
            let=tuple(self.let(source.get("let"))),
            init=tuple(self.init(source.get("init"))),
        )

    def parameters(self, source: Source | None) -> dict[str, ParameterSpec]:
        found: dict[str, ParameterSpec] = {}
        for key, value in self._parameter_entries(source):
            with self.reporter.catch(key.span):
                check_name(key.text, "parameter")
                check_free(key.text)
                if key.text in found:
                    raise Problem("name-taken", f"duplicate parameter `{key.text}`")
                found[key.text] = ParameterSpec(key.text, "int", Scalar("1", key.span), key.span)  # if it is wrong
                found[key.text] = self._parameter(key, value)
        return found

    def _parameter_entries(self, source: Source | None) -> list[tuple[Scalar, Source]]:
        if isinstance(source, Sequence):
            return [(name, Scalar("int", name.span)) for name in self.scalars(source, "params")]
        if isinstance(source, Mapping):
            return source.entries
        if source is not None and not is_null(source):
            message = "`params` is a mapping of names to defaults, or a list of names of integers"
            self.reporter.error("wrong-type", message, source.span)
        return []

    def _parameter(self, key: Scalar, value: Source) -> ParameterSpec:
        if isinstance(value, Mapping):
            if not any(entry.text in PARAMETER_KEYS for entry, _ in value.entries):
                return ParameterSpec(key.text, "node", value, key.span)
            self.check_keys(value, PARAMETER_KEYS, "a parameter")
            default = value.get("default")
            choices = tuple(s.text for s in self.scalars(value.get("choices"), "choices"))
            type = value.get("type")
            if not isinstance(type, Scalar) or type.text not in KINDS:
                if type is None and default is not None and (kind := self._kind_of(default)):
                    return ParameterSpec(key.text, kind, default, key.span, self.text(value, "about"), choices)
                word = type.text if isinstance(type, Scalar) else ""
                near = suggest(word, KINDS) or (f"the types are {listing(KINDS)}",)
                problem = Problem("wrong-value", f"`type` of parameter `{key.text}` is not a type", help=near)
                self.reporter.report(problem.at((type or key).span))
                kind = "int"
            else:
                kind = cast("Kind", type.text)
            return ParameterSpec(key.text, kind, default, key.span, self.text(value, "about"), choices)
        if isinstance(value, Scalar) and value.text in KINDS:
            return ParameterSpec(key.text, cast("Kind", value.text), None, key.span)
        kind_or_none = self._kind_of(value)
        if kind_or_none is None:
            help = (f"write `{key.text}: {{type: int, default: {getattr(value, 'text', '')}}}`",)
            raise Problem(
                "wrong-type", f"the type of parameter `{key.text}` cannot be told from its default", help=help
            )
        return ParameterSpec(key.text, kind_or_none, value, key.span)

    def _kind_of(self, default: Source) -> Kind | None:
        """The kind that a default implies."""
        if isinstance(default, Sequence):
            rows = default.items
            return "table" if rows and all(isinstance(row, Sequence) for row in rows) else "list"
        if isinstance(default, Mapping):
            return "node"
        text = default.text
        if text in ("true", "false"):
            return "bool"
        if is_null(default) or text == "none" or text in OP_NAMES or text in self.namespace:
            return "node"
        if text in TYPING_TRAPS:
            raise Problem("unknown-name", f"unknown name `{text}`", help=(f"write `{TYPING_TRAPS[text]}`",))
        if NAME.match(text):
            return "name"
        try:
            float(text)
        except ValueError:
            return None
        return "int" if text.lstrip("+-").isdigit() else "number"

    def let(self, source: Source | None) -> Iterator[tuple[Scalar, Source]]:
        if source is None:
            return
        if not isinstance(source, Mapping):
            self.reporter.error("wrong-type", "`let` is a mapping of names to expressions", source.span)
            return
        for key, value in source.entries:
            with self.reporter.catch(key.span):
                check_name(key.text, "name")
                check_free(key.text)
                if isinstance(value, Mapping):
                    raise Problem("wrong-type", f"`{key.text}` must be an expression or a list")
                yield key, value

    def paths(self, mapping: Mapping, key: str) -> tuple[Scalar, ...]:
        """The patterns of paths that a key lists."""
        source = mapping.get(key)
        return () if source is None or is_null(source) else tuple(self.scalars(source, key))

    def parallel(self, source: Source | None) -> ParallelSpec | None:
        """How the network is spread over devices."""
        if source is None or is_null(source):
            return None
        if not isinstance(source, Mapping):
            message = f"`parallel` is a mapping with {listing(ParallelSpec._fields, 'or')}"
            self.reporter.error("wrong-type", message, source.span, help=("such as `parallel: {shard: [layer*]}`",))
            return None
        self.check_keys(source, ParallelSpec._fields, "`parallel`")
        tensor = source.get("tensor")
        if tensor is not None and not is_null(tensor) and not isinstance(tensor, Mapping):
            help = ("such as `{mlp.0: colwise, mlp.2: rowwise}`",)
            self.reporter.error("wrong-type", "`tensor` is a mapping of layers to styles", tensor.span, help=help)
        split = tensor.entries if isinstance(tensor, Mapping) else []
        for _, style in split:
            if not isinstance(style, Scalar):
                self.reporter.error("wrong-type", "a style is `colwise` or `rowwise`", style.span)
        styles = tuple((path, style) for path, style in split if isinstance(style, Scalar))
        return ParallelSpec(self.paths(source, "shard"), self.paths(source, "pipeline"), styles)

    def init(self, source: Source | None) -> Iterator[InitRule]:
        if source is None:
            return
        if not isinstance(source, Mapping):
            message = "`init` is a mapping of ops or paths to initializers"
            help = ("such as `conv: {weight: kaiming_normal}`",)
            self.reporter.error("wrong-type", message, source.span, help=help)
            return
        for key, value in source.entries:
            if isinstance(value, Mapping):
                yield InitRule(key, tuple(value.entries))
            else:
                message = f"say which parameter of `{key.text}` is meant"
                help = (f"such as `{key.text}: {{weight: ...}}`",)
                self.reporter.error("wrong-type", message, value.span, help=help)

    # Bodies ----------------------------------------------------------------------------------------------------------

    def body(self, source: Mapping, inputs: tuple[Scalar, ...]) -> BodySpec | None:
        """The body of a document, block or inline group: its `graph`, its `branches` and `merge`, or its `node`."""
        graph, branches, merge, node = (source.get(word) for word in ("graph", "branches", "merge", "node"))
        outputs = self.outputs(source.get("outputs"))
        given = [body for body in (graph, branches, node) if body is not None]
        if len(given) > 1:
            self.reporter.error("two-kinds", "write one of `graph`, `branches` and `node`", given[1].span)
            return None
        if node is not None:
            return BodySpec("node", (Entry(self.node(node)),), node.span, None, inputs, None)
        if graph is not None:
            if merge is not None:
                self.reporter.error("misplaced-word", "`merge` goes with `branches`, not with `graph`", merge.span)
            return self.group(graph, inputs, outputs)
        if branches is None:
            help = ("add a `graph:` with a list or mapping of nodes",)
            self.reporter.error("missing-key", "there is no `graph`", source.span, help=help)
            return None
        entries = self.entries(branches)
        if merge is None:
            help = ("add `merge: concat`, or `add`, or another op that takes several inputs",)
            self.reporter.error("missing-key", "`branches` needs a `merge`", branches.span, help=help)
        join = self.node(merge) if merge is not None else NodeSpec(branches)
        return BodySpec("branches", entries, branches.span, join, inputs, outputs)

    def group(self, source: Source, inputs: tuple[Scalar, ...], outputs: OutputsSpec | None = None) -> BodySpec:
        """A list is a chain; a mapping has names."""
        if isinstance(source, Sequence):
            if outputs is not None:
                help = ("remove `outputs`, or use a mapping, whose nodes have names",)
                self.reporter.error("misplaced-word", "a list gives what its last node gives", outputs.span, help=help)
            return BodySpec("chain", self.entries(source), source.span, None, inputs, None)
        return BodySpec("graph", self.entries(source), source.span, None, inputs, outputs)

    def entries(self, source: Source) -> tuple[Entry, ...]:
        if isinstance(source, Sequence):
            return tuple([Entry(self.node(item)) for item in source.items])  # a generator would take C stack
        if isinstance(source, Mapping):
            return tuple([self._entry(key, value) for key, value in source.entries])
        self.reporter.error("wrong-type", "a graph is a list of nodes, or a mapping of names to nodes", source.span)
        return ()

    def _entry(self, key: Scalar, value: Source) -> Entry:
        node = self.node(value)
        if "{" not in key.text and node.splice is None:
            try:
                check_node_name(key.text)
            except Problem as problem:
                self.reporter.report(problem.at(key.span))
                node = NodeSpec(value)
        return Entry(node, key)

    def outputs(self, source: Source | None) -> OutputsSpec | None:
        if source is None:
            return None
        if isinstance(source, Scalar):
            return OutputsSpec("bare", ((source.text, source),), source.span)
        if isinstance(source, Sequence):
            listed = tuple((name.text.replace(".", "_"), name) for name in self.scalars(source, "outputs"))
            return OutputsSpec("tuple", self._distinct(listed), source.span)
        inner = source.get("dict")
        if isinstance(inner, Mapping) and len(source.entries) == 1:
            return OutputsSpec("dict", self._output_entries(inner), source.span)
        return OutputsSpec("tuple", self._output_entries(source), source.span)

    def _output_entries(self, source: Mapping) -> tuple[tuple[str, Scalar], ...]:
        for _, value in source.entries:
            if not isinstance(value, Scalar):
                self.reporter.error("wrong-type", "an output is the name of a node", value.span)
        return self._distinct(tuple((key.text, value) for key, value in source.entries if isinstance(value, Scalar)))

    def _distinct(self, entries: tuple[tuple[str, Scalar], ...]) -> tuple[tuple[str, Scalar], ...]:
        """The outputs whose names can be fields of a named tuple."""
        kept: dict[str, Scalar] = {}
        for name, value in entries:
            help = ("name the outputs: `outputs: {first: ..., second: ...}`",)
            with self.reporter.catch(value.span):
                if name in kept:
                    raise Problem("name-taken", f"there are two outputs `{name}`", help=help)
                check_name(name, "output")
                kept[name] = value
        return tuple(kept.items())

    # Nodes -----------------------------------------------------------------------------------------------------------

    def node(self, source: Source) -> NodeSpec:
        if isinstance(source, Scalar):
            return self._bare(source)
        if isinstance(source, Sequence):
            return NodeSpec(source, body=self.group(source, ()))
        try:
            return self._full(source)
        except Problem as problem:
            self.reporter.report(problem.at(source.span))
            return NodeSpec(source)

    def _bare(self, source: Scalar) -> NodeSpec:
        if is_null(source):
            help = ("write an op, such as `identity`",)
            self.reporter.error("empty-node", "a node is missing here", source.span, help=help)
            return NodeSpec(source)
        if not self._is_target(source.text):
            self._reject(source)
            return NodeSpec(source)
        return self._checked(NodeSpec(source, op=source, parameter=source.text in self.holders))

    def _checked(self, spec: NodeSpec) -> NodeSpec:
        """The node, or a broken one where its arguments do not fit the op or block that it names."""
        if spec.op is None or spec.parameter:
            return spec
        name = spec.op.text
        try:
            if name in OP_NAMES:
                bind(op_signature(name), spec, self.namespace.known)
            elif (signature := self.namespace.signature(name)) is not None:
                bind(signature, spec, self.namespace.known)
        except Problem as problem:
            self.reporter.report(problem.at(spec.span))
            return NodeSpec(spec.source, loop=spec.loop)
        return spec

    def _full(self, source: Mapping) -> NodeSpec:
        words: dict[str, Source] = {}
        rest: list[tuple[Scalar, Source]] = []
        for key, value in source.entries:
            if key.text in NODE_WORDS:
                words[key.text] = value
            else:
                rest.append((key, value))
        cut = next((key for key, _ in rest if " in " in key.text), None)
        if cut is not None and "for" in words:
            help = ("between braces, put the loop in quotation marks",)
            raise Problem("invalid-loop", "the loop is cut at its comma", help=help).place(cut.span)
        kinds = [word for word in ("graph", "branches", "do", "call") if word in words]
        target = next((entry for entry in rest if self._is_target(entry[0].text)), None)
        details: dict[str, Any] = {}
        if target is None and rest and not kinds:
            key = rest[0][0]
            self._reject(key)
            self._repetition(words, details)
            return NodeSpec(source, loop=details.get("loop"))  # whose rows name nodes that others refer to
        if len(kinds) + (target is not None) > 1:
            both = [target[0].text] if target else []
            raise Problem("two-kinds", f"a node is one thing, but here are {listing([*both, *kinds])}")
        if not kinds and target is None:
            raise Problem("empty-node", "this node says neither op nor graph", help=("such as `conv: [64, 3]`",))
        if target is not None:
            key, value = target
            details = {"op": key, "parameter": key.text in self.holders}
            details["positional"] = None if is_null(value) else value
            details["named"] = tuple(entry for entry in rest if entry is not target)
        elif rest:
            names = listing(key.text for key, _ in rest)
            raise Problem("misplaced-word", f"{names} cannot stand next to `{kinds[0]}`")
        self._structure(source, words, details)
        if "from" in words:
            details["inputs"] = self.names_list(words["from"], "from")
        for word, name in (("if", "condition"), ("repeat", "repeat"), ("training_only", "training_only")):
            if word in words:
                details[name] = self._scalar(words[word], word)
        self._repetition(words, details)
        return self._checked(NodeSpec(source, **details))

    def _structure(self, source: Mapping, words: dict[str, Source], details: dict[str, Any]) -> None:
        """Inline bodies, shared modules and splices."""
        if "graph" in words or "branches" in words:
            inputs = self.names_list(words.get("inputs"), "inputs") or ()
            details["body"] = self.body(source, inputs)
        elif "inputs" in words or "outputs" in words or "merge" in words:
            word = next(w for w in ("inputs", "outputs", "merge") if w in words)
            raise Problem("misplaced-word", f"`{word}` goes with `graph` or `branches`")
        if "call" in words:
            details["call"] = self._scalar(words["call"], "call")
            for unfit in ("repeat", "for", "name", "connect"):
                if unfit in words:
                    raise Problem("misplaced-word", f"`{unfit}` cannot stand next to `call`").place(words[unfit].span)
        if "do" in words:
            details["splice"] = self.group(words["do"], ())
            if "for" not in words:
                raise Problem("misplaced-word", "`do` goes with `for`")

    def _repetition(self, words: dict[str, Source], details: dict[str, Any]) -> None:
        if "for" in words:
            text = self._scalar(words["for"], "for")
            left, separator, right = text.text.partition(" in ")
            if not separator:
                help = ("such as `for: channels, depth in stages`; between braces, put it in quotation marks",)
                self.reporter.error("invalid-loop", "a loop is `variables in list`", text.span, help=help)
            else:
                with self.reporter.catch(text.span):
                    for name in loop_names(left):
                        check_free(name)
                    table = Scalar(right.strip(), text.inner.within(text.text.index(right.strip()), len(text.text)))
                    details["loop"] = Loop(left.strip(), table, text.inner)
        if "name" in words:
            details["copy_name"] = self._scalar(words["name"], "name")
        if "connect" in words:
            connect = self._scalar(words["connect"], "connect")
            if connect.text not in ("chain", "dense"):
                near = suggest(connect.text, ("chain", "dense"))
                self.reporter.error("wrong-value", "`connect` is `chain` or `dense`", connect.span, help=near)
            details["dense"] = connect.text == "dense"
        for word in ("name", "connect"):
            if word in words and "repeat" not in words:
                help = ("such as `repeat: 3`",)
                self.reporter.error("misplaced-word", f"`{word}` goes with `repeat`", words[word].span, help=help)

    def _is_target(self, name: str) -> bool:
        return name in OP_NAMES or name in self.namespace or name in self.holders

    def _reject(self, name: Scalar) -> None:
        """Report a word that names no op or block, unless it may be in a file that could not be read."""
        if not self.namespace.incomplete:
            self.reporter.report(self._unknown_op(name.text).at(name.span))

    def _unknown_op(self, name: str) -> Problem:
        known = {*self.namespace.known, *self.holders}
        if not NAME.match(name):
            help: tuple[str, ...] = ("a node is the name of an op or block, with its arguments behind a colon",)
            return Problem("unknown-op", f"`{name[:60]}` is not the name of an op or block", help=help)
        help = suggest(name, known)
        if name in NODE_WORDS:
            help = (f"`{name}` belongs to a node: write it in braces next to an op",)
        return Problem("unknown-op", f"unknown op or block `{name}`", label="not known here", help=help)

    # Pieces ----------------------------------------------------------------------------------------------------------

    def check_keys(self, mapping: Mapping, known: Iterable[str], what: str) -> None:
        known = tuple(known)
        for key, _ in mapping.entries:
            if key.text not in known:
                help = suggest(key.text, known) or (f"the keys of {what} are {listing(known)}",)
                self.reporter.error("unknown-key", f"{what} has no key `{key.text}`", key.span, help=help)

    def text(self, mapping: Mapping, key: str) -> str:
        value = mapping.get(key)
        if value is None or isinstance(value, Scalar):
            return " ".join(value.text.split()) if value is not None else ""
        self.reporter.error("wrong-type", f"`{key}` is a text", value.span)
        return ""

    def scalars(self, source: Source | None, what: str) -> list[Scalar]:
        if source is None:
            return []
        items = source.items if isinstance(source, Sequence) else [source]
        for item in items:
            if not isinstance(item, Scalar):
                self.reporter.error("wrong-type", f"`{what}` takes words", item.span)
        return [item for item in items if isinstance(item, Scalar)]

    def names_list(self, source: Source | None, what: str) -> tuple[Scalar, ...] | None:
        return None if source is None else tuple(self.scalars(source, what))

    def _scalar(self, source: Source, word: str) -> Scalar:
        if isinstance(source, Scalar):
            return source
        raise Problem("wrong-type", f"`{word}` takes a single value")
