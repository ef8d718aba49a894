"""Merging of a spec with the one it extends, on the source tree, so that every part keeps its own file and line.

The result is one plain document: what `netspec show` prints.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from netspec.catalog import Lookups, Origin
from netspec.diagnostics import Problem, Reporter, suggest
from netspec.limits import charge, limits
from netspec.source import Mapping, Scalar, Sequence, Source, is_null, read

PARAMETER_KEYS = ("type", "default", "about", "choices")

_FIRST = ("netspec", "name", "about", "reference", "weights", "freeze", "checkpoint", "parallel")
_MERGED = ("params", "let", "blocks", "init", "parallel")


class Document(NamedTuple):
    """A spec with all it extends merged in. Each import keeps the origin that its file name starts from.

    So do the `weights`, which are inherited if another spec than the one that was opened names them.
    """

    mapping: Mapping
    imports: tuple[tuple[Scalar, Origin], ...]
    origin: Origin
    weights_origin: Origin = Origin(None, None)
    inherits_weights: bool = False

    @property
    def merged(self) -> Mapping:
        """The document as one mapping, imports included: what it would look like written without `extends`."""
        if not self.imports:
            return self.mapping
        span = self.imports[0][0].span
        imports = (Scalar("imports", span), Sequence([item for item, _ in self.imports], span, flow=True))
        return replace(self.mapping, entries=[self.mapping.entries[0], imports, *self.mapping.entries[1:]])


def inherit(source: Source, origin: Origin, reporter: Reporter, lookups: Lookups) -> Document | None:
    """Merge `source` over the spec it extends, and that over its own, and so on; None when that is not possible.

    What files are found on the way, `lookups` keeps.
    """
    layers: list[tuple[Mapping, Origin]] = []
    seen: list[Path] = []
    while True:
        if not isinstance(source, Mapping):
            help = ("start with `netspec: 1`, `name: ...`, `input: [...]` and `graph:`",)
            reporter.error("invalid-document", "a spec is a mapping of keys to values", source.span, help=help)
            return None
        layers.append((source, origin))
        extends = source.get("extends")
        if extends is None:
            break
        try:
            if not isinstance(extends, Scalar):
                raise Problem("wrong-type", "`extends` takes the name of one spec")
            path = lookups.ask(origin.locate, extends.text)
            if path in seen:
                raise Problem("circular-extends", f"`{extends.text}` extends itself, in the end")
            if len(seen) >= (most := limits().extends):
                raise Problem("too-many-files", f"a chain of `extends` longer than {most:,}")
        except Problem as problem:
            reporter.report(problem.at(extends.span))
            return None
        seen.append(path)
        origin = origin.beneath(path)
        source = lookups.ask(read, path, path.name)
    imports: list[tuple[Scalar, Origin]] = []
    merged: Mapping | None = None
    for mapping, origin in reversed(layers):
        imports.extend((item, origin) for item in _imports(mapping, reporter))
        merged = mapping if merged is None else _merge_documents(merged, mapping, reporter)
    assert merged is not None
    entries = [(key, value) for key, value in merged.entries if key.text not in ("extends", "imports")]
    level = next((level for level, (mapping, _) in enumerate(layers) if mapping.get("weights") is not None), 0)
    return Document(replace(merged, entries=entries), tuple(imports), layers[0][1], layers[level][1], level > 0)


def _imports(mapping: Mapping, reporter: Reporter) -> list[Scalar]:
    imports = mapping.get("imports")
    if imports is None:
        return []
    items = imports.items if isinstance(imports, Sequence) else [imports]
    for item in items:
        if not isinstance(item, Scalar):
            reporter.error("wrong-type", "`imports` takes a list of files or names of specs", item.span)
    return [item for item in items if isinstance(item, Scalar)]


def _merge_documents(base: Mapping, child: Mapping, reporter: Reporter) -> Mapping:
    replaced = {key.text for key, _ in child.entries}
    if replaced & {"input", "inputs"}:
        replaced |= {"input", "inputs"}
    if replaced & {"graph", "branches", "node"}:
        replaced |= {"graph", "branches", "merge", "node"}
    own = {key.text: (key, value) for key, value in child.entries}
    entries: list[tuple[Scalar, Source]] = []
    for key, value in base.entries:
        new = own.pop(key.text, None)
        if new is None:
            if key.text not in replaced and key.text != "name":
                entries.append((key, value))
        elif key.text in _MERGED and isinstance(value, Mapping) and isinstance(new[1], Mapping):
            entries.append((new[0], _merge_mappings(key.text, value, new[1])))
        elif key.text == "graph" and isinstance(new[1], Mapping):
            entries.append((new[0], _override(value, new[1], reporter)))
        else:
            entries.append(new)
    entries.extend(own.values())
    entries.sort(key=lambda entry: entry[0].text not in _FIRST)
    return replace(child, entries=entries)


def _merge_mappings(section: str, base: Mapping, child: Mapping) -> Mapping:
    own = {key.text: (key, value) for key, value in child.entries}
    entries: list[tuple[Scalar, Source]] = []
    for key, value in base.entries:
        new = own.pop(key.text, None)
        if new is not None and section == "init" and is_null(new[1]):
            continue
        if new is not None and section == "params" and isinstance(value, Mapping) and not _is_declaration(new[1]):
            kept = [entry for entry in value.entries if entry[0].text != "default"]
            new = (new[0], replace(value, entries=[*kept, (Scalar("default", new[0].span), new[1])]))
        entries.append(new or (key, value))
    return replace(child, entries=[*entries, *own.values()])


def _is_declaration(source: Source) -> bool:
    """True for the long form of a parameter, which replaces the one it overrides; all else is a new default."""
    return isinstance(source, Mapping) and any(key.text in PARAMETER_KEYS for key, _ in source.entries)


def _override(graph: Source, changes: Mapping, reporter: Reporter) -> Source:
    """The graph with the nodes that `changes` names replaced (null removes one) and new ones appended."""
    for key, value in changes.entries:
        try:
            graph = _replace_node(graph, key.text, value, key)
        except Problem as problem:
            reporter.report(problem.at(key.span))
    return graph


def _replace_node(container: Source, path: str, node: Source, key: Scalar) -> Source:
    if isinstance(container, Sequence):
        names = [str(index) for index in range(len(container.items))]
        values = list(container.items)
    elif isinstance(container, Mapping):
        names = [k.text for k, _ in container.entries]
        values = [v for _, v in container.entries]
    else:
        raise Problem("unknown-node", f"`{key.text}` leads into a node that has no parts")
    charge(len(names))
    name = next((name for name in names if path == name or path.startswith(f"{name}.")), None)  # it may have dots
    if name is None:
        if isinstance(container, Sequence) or is_null(node) or not _is_new_name(path, names):
            what = "list item" if isinstance(container, Sequence) else "node"
            help = suggest(path, names) or suggest(path.partition(".")[0], names)
            raise Problem("unknown-node", f"there is no {what} `{path}` to override", help=help)
        return replace(container, entries=[*container.entries, (Scalar(path, key.span), node)])
    position = names.index(name)
    if name != path:
        rest = path.removeprefix(f"{name}.")
        values[position] = _replace_inside(values[position], rest, node, key)
    elif is_null(node):
        del values[position], names[position]
        if isinstance(container, Mapping):
            return replace(container, entries=[e for i, e in enumerate(container.entries) if i != position])
    else:
        values[position] = node
    if isinstance(container, Sequence):
        return replace(container, items=values)
    return replace(container, entries=[(k, v) for (k, _), v in zip(container.entries, values, strict=True)])


def _is_new_name(path: str, names: list[str]) -> bool:
    """Whether a path that leads to no node names a new one; with dots, only in a module that is there already.

    A slip in the path of a change would be a new node at the end of the network otherwise.
    """
    holder, dot, _ = path.rpartition(".")
    return not dot or any(name.startswith(f"{holder}.") for name in names)


def _replace_inside(owner: Source, path: str, node: Source, key: Scalar) -> Source:
    if isinstance(owner, Sequence):
        return _replace_node(owner, path, node, key)
    body = next((k for k in ("graph", "branches") if isinstance(owner, Mapping) and owner.get(k) is not None), None)
    if body is None or not isinstance(owner, Mapping):
        raise Problem("unknown-node", f"`{key.text}` leads into a node that has no parts")
    entries = [(k, _replace_node(v, path, node, key) if k.text == body else v) for k, v in owner.entries]
    return replace(owner, entries=entries)
