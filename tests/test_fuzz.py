"""Whatever the input, the outcome is a graph or diagnostics: random bytes, trees, expressions and damaged specs.

A run takes seconds; `python tasks.py fuzz` sets `NETSPEC_FUZZ` to have each test look a hundred times as long.
"""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

import netspec
from netspec import Diagnostic, Graph, SpecError
from netspec.catalog import library_blocks, shipped_specs
from netspec.expressions import CONSTANTS, FUNCTIONS
from netspec.inherit import PARAMETER_KEYS
from netspec.initializers import INITIALIZERS
from netspec.ops import OP_NAMES
from netspec.parts import DOCUMENT_KEYS
from netspec.spec import KINDS, NODE_WORDS
from tests.effort import examples

FUZZ = examples(100)

SPECS = [path.read_bytes() for path in shipped_specs().values()]


def outcome_is_a_graph_or_diagnostics(text: str) -> None:
    graph: Graph | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    try:
        graph = netspec.loads(text)
    except SpecError as error:
        diagnostics = error.diagnostics
    assert (str(graph) and graph.summary()) if graph else diagnostics
    assert all(diagnostic.message and len(str(diagnostic)) < 20_000 for diagnostic in diagnostics)


# Text ----------------------------------------------------------------------------------------------------------------


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """The bytes of a spec that ships, with pieces cut out, doubled, swapped with those of another, or overwritten."""
    data = bytearray(draw(st.sampled_from(SPECS)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        other = draw(st.sampled_from(SPECS))
        place = draw(st.integers(0, len(other)))
        pieces = (b"", bytes(data[start:end]) * 2, other[place : place + 40], draw(st.binary(max_size=6)))
        data[start:end] = draw(st.sampled_from(pieces))
    return data.decode("utf-8", errors="replace")


@FUZZ
@given(damaged())
def test_a_damaged_spec_ends_well(text: str) -> None:
    outcome_is_a_graph_or_diagnostics(text)


@FUZZ
@given(st.text(alphabet=st.sampled_from("ab1:-[]{},?&*!|>'\"%@`#~<\n\t \0\ufeff\u2028\x85é"), max_size=60))
def test_punctuation_ends_well(text: str) -> None:
    outcome_is_a_graph_or_diagnostics(text)
    outcome_is_a_graph_or_diagnostics(f"netspec: 1\ninput: [3, 8, 8]\ngraph: {text}")


# Structure -----------------------------------------------------------------------------------------------------------

NAMES = ("a", "b", "a.b", "0", "x", "n", "input", "forward", "class", "a{i}", "layer*", "**")
NUMBERS = ("0", "1", "2", "-1", "3", "64", "1.5", "true", "none", "[1, 2]", "i", "n", "x.channels", "i in range(3)")
OPS = st.sampled_from([*OP_NAMES, *library_blocks()])
WORDS = st.sampled_from([*NODE_WORDS, *DOCUMENT_KEYS, *PARAMETER_KEYS, *KINDS, *INITIALIZERS])
LEAVES = st.one_of(OPS, WORDS, st.sampled_from(NAMES), st.sampled_from(NUMBERS), st.integers(-2, 99), st.none())
KEYS = st.one_of(OPS, WORDS, st.sampled_from(NAMES))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=25,
)
DOCUMENTS = st.fixed_dictionaries(
    {"netspec": st.just(1), "input": st.sampled_from([[3, 8, 8], [8], [8, 8], "n", {"shape": [3, "n", 8]}])},
    optional={key: TREES for key in DOCUMENT_KEYS if key not in ("netspec", "input", "extends", "imports")},
)


@FUZZ
@given(DOCUMENTS)
def test_a_tree_of_the_words_of_the_language_ends_well(document: dict[str, Any]) -> None:
    outcome_is_a_graph_or_diagnostics(yaml.safe_dump(document, sort_keys=False))


# Expressions ---------------------------------------------------------------------------------------------------------

ATOMS = st.sampled_from(["0", "1", "2", "7", "-1", "0.5", "1e300", "9" * 18, "x", "x.channels", "n", "words", "relu"])
ATOMS |= st.sampled_from([*CONSTANTS, "table", "x.shape", "range(3)", "range(99999)", "'a'"])
OPERATORS = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "==", "<", "in", "and", "or", "if n else", "not in"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, OPERATORS, inner).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(st.sampled_from(sorted(FUNCTIONS)), st.lists(inner, max_size=3)).map(
            lambda call: f"{call[0]}({', '.join(call[1])})"
        ),
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]}[{pair[1]}:]"),
        inner.map(lambda operand: f"(not {operand})"),
        st.tuples(inner, st.sampled_from(["channels", "shape", "__class__", "a"])).map(".".join),
    ),
    max_leaves=12,
)


@FUZZ
@given(EXPRESSIONS, st.sampled_from(["repeat", "if", "conv", "let", "for", "name"]))
def test_an_expression_ends_well(expression: str, place: str) -> None:
    document: dict[str, Any] = {"netspec": 1, "input": [3, 8, 8], "params": {"n": 2, "words": ["a", "b"]}}
    document["let"] = {"table": [[1, 2], [3, 4]], "more": expression if place == "let" else 1}
    node: dict[str, Any] = {"conv": [expression if place == "conv" else 4, 1]}
    node |= {"repeat": expression if place == "repeat" else 2, "if": expression if place == "if" else True}
    node |= {"name": f"a{{{expression}}}{{i}}"} if place == "name" else {}
    loop = {"for": f"i in {expression}", "do": ["relu"]} if place == "for" else "relu"
    outcome_is_a_graph_or_diagnostics(yaml.safe_dump({**document, "graph": [node, loop]}, sort_keys=False))
