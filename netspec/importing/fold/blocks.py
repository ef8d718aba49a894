"""Bodies of a graph in, what each of them is written as out: blocks with parameters, and groups that stand inline.

Bodies of one kind make a family, which becomes one block, or as few as possible where its bodies have no common form.
Families come from the inside out, so what a body holds is known when its turn comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from netspec.formulas import DifferentError
from netspec.graph import Body, node_state
from netspec.importing.fold.parameters import Definition, Explainer, Types
from netspec.importing.fold.rates import Rates, find_rates
from netspec.importing.fold.reading import is_straight, read_body
from netspec.importing.fold.repeats import as_repeat
from netspec.importing.fold.terms import Repeat, Use, form, parts
from netspec.names import NAME, numbered
from netspec.ops import OP_NAMES
from netspec.spec import NODE_WORDS

UNNAMED = frozenset({"graph", "branches", "repeat", "chain", "sequential", "module_list", "module_dict"})
"""Kinds of bodies that are no blocks."""

_MOST_FORMS = 24  # of the bodies of one kind that are tried to be laid over each other


class _CircularError(Exception):
    """Blocks of a kind that hold each other, so that none of them can be known first."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


@dataclass(eq=False)
class BlockFinder:
    """Finds the blocks of a network. With `plain` there are none, and every body stands inline."""

    root: Body
    library: Callable[[Body], Use | None]
    plain: bool = False
    definitions: list[Definition] = field(default_factory=list)
    written: dict[int, Any] = field(default_factory=dict)  # what a body is written as, by its identity
    families: dict[Any, list[Body]] = field(default_factory=dict)
    keys: dict[int, Any] = field(default_factory=dict)  # of the family of a body
    taken: set[str] = field(default_factory=set)
    from_library: set[str] = field(default_factory=set)  # blocks of it that are used
    open: list[Any] = field(default_factory=list)
    rates: Rates | None = field(init=False)

    def __post_init__(self) -> None:
        self.rates = None if self.plain else find_rates(self.root)

    def find(self) -> Any:
        """What the network itself is written as."""
        heights = _heights(self.root)
        nested: set[str] = set()  # kinds of blocks that hold each other in a circle
        while True:
            self.sort(heights, nested)
            try:
                self.define(self.keys[id(self.root)])
            except _CircularError as error:
                nested.add(error.kind)
            else:
                if not self.taken & self.from_library:  # else a block of its own would hide one of the library
                    return self.written[id(self.root)]

    def sort(self, heights: dict[int, tuple[Body, int]], nested: set[str]) -> None:
        """Sort the bodies into families: by kind, and by height too where blocks of that kind hold each other."""
        self.families, self.keys, self.written, self.open = {}, {}, {}, []
        self.definitions, self.taken = [], set()
        for body, height in heights.values():
            named = body.kind not in UNNAMED and body is not self.root and not self.plain
            key = ((body.kind, height) if body.kind in nested else body.kind) if named else id(body)
            self.keys[id(body)] = key
            self.families.setdefault(key, []).append(body)

    def define(self, key: Any) -> None:
        """Find out what the bodies of a family are written as, after all that they hold."""
        bodies = self.families[key]
        if id(bodies[0]) in self.written:
            return
        if key in self.open:
            raise _CircularError(bodies[0].kind)
        self.open.append(key)
        for inner in dict.fromkeys(
            self.keys[id(n.target)] for b in bodies for n in b.nodes if isinstance(n.target, Body)
        ):
            self.define(inner)
        self.open.pop()
        rows: dict[tuple[Any, Types], list[Body]] = {}
        for body in bodies:
            rows.setdefault((self.read(body), tuple(value.type for value in body.inputs)), []).append(body)
        left: dict[tuple[Any, Types], list[Body]] = {}
        for row, same in rows.items():
            use = row[0] if isinstance(row[0], Use) else None  # a single function
            if use is None and not self.plain and same[0] is not self.root:
                use = self.library(same[0])
            if use is None:
                left[row] = same
            else:
                self.from_library.add(use.head)
                self.note(same, self.shared(use))
        if isinstance(key, int) or sum(map(len, left.values())) == 1:
            for (term, _), same in left.items():
                self.note(same, term)
        elif left:
            self.define_blocks(left)

    def shared(self, term: Any) -> Any:
        """The term with probabilities as shares of one rate."""
        return self.rates.shared(term) if self.rates is not None else term

    def note(self, bodies: list[Body], term: Any) -> None:
        for body in bodies:
            self.written[id(body)] = term

    def read(self, body: Body) -> Any:
        """What a body is made of, as a repeat where that is copies of one node."""
        term = self.shared(read_body(body, lambda inner: self.written[id(inner)], own_names=body is self.root))
        if self.plain or body is self.root or not is_straight(body) or not body.nodes:
            return term
        if len(body.nodes) == 1 and not isinstance(body.nodes[0].target, Body) and not _has_state(body):
            return term.steps[0].node  # a block around a function, which no key tells from the function
        nodes = [step.node for step in term.steps]
        return as_repeat(nodes, tuple(node.name for node in body.nodes)) or term

    def define_blocks(self, rows: dict[tuple[Any, Types], list[Body]]) -> None:
        for part in _layable(list(rows)):
            if len(part) == 1 and len(rows[part[0]]) == 1:
                self.note(rows[part[0]], part[0][0])
                continue
            kind = rows[part[0]][0].kind
            made = Explainer([term for term, _ in part], [types for _, types in part]).definition()
            made.name = self.free_name(kind)
            self.definitions.append(made)
            for index, row in enumerate(part):
                arguments = tuple((name, column[index]) for name, column in made.parameters.items())
                self.note(rows[row], Use(made.name, arguments, tuple(made.parameters)))

    def free_name(self, kind: str) -> str:
        usable = NAME.match(kind) and kind not in OP_NAMES and kind not in NODE_WORDS
        free = numbered(kind if usable else f"{kind}_block", {*self.taken, *self.from_library})
        self.taken.add(free)
        return free


def _heights(root: Body) -> dict[int, tuple[Body, int]]:
    """Every body, in the order of the network, with its height above those that hold none."""
    found: list[Body] = []
    pending = [root]
    while pending:
        body = pending.pop()
        found.append(body)
        pending.extend(node.target for node in reversed(body.nodes) if isinstance(node.target, Body))
    heights: dict[int, int] = {}
    for body in reversed(found):
        inner = (heights[id(node.target)] for node in body.nodes if isinstance(node.target, Body))
        heights[id(body)] = 1 + max(inner, default=-1)
    return {id(body): (body, heights[id(body)]) for body in found}


def _has_state(body: Body) -> bool:
    return any(node_state(node) for node in body.nodes)


def _layable(rows: list[tuple[Any, Types]]) -> list[list[tuple[Any, Types]]]:
    """The rows in as few groups as possible, each with a common form."""
    forms: dict[Any, list[tuple[Any, Types]]] = {}
    for row in rows:
        forms.setdefault(_skeleton(row[0]), []).append(row)
    groups: list[list[tuple[Any, Types]]] = []
    for same in forms.values():
        for one in [same] if _fit(same) else [[row] for row in same]:
            few = groups if len(forms) <= _MOST_FORMS else ()
            wider = next((group for group in few if _fit([*group, *one])), None)
            if wider is None:
                groups.append(list(one))
            else:
                wider += one
    return groups


def _fit(rows: list[tuple[Any, Types]]) -> bool:
    try:
        Explainer([term for term, _ in rows], [types for _, types in rows]).definition()
    except DifferentError:
        return False
    return True


def _skeleton(term: Any) -> Any:
    """The form of a term and of all below it."""
    head = term.head if isinstance(term, Use) else term.name if isinstance(term, Repeat) else ""
    return form(term), head, tuple(_skeleton(part) for part in parts(term))
