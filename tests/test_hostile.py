"""Specs from strangers: each is refused with a diagnostic, soon, in little memory, and nothing else happens.

`hostile/CODE/` has small files, which get a diagnostic with that code; here are the large and the odd ones. All are
compiled by `hostile/child.py`, which watches what the process does.
"""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import netspec
from netspec import Limits, SpecError
from netspec.backends.weights import read_file
from netspec.ops import OP_NAMES, op_class

HOSTILE = Path(__file__).parent / "hostile"
SECONDS = 5

HEAD = "netspec: 1\nname: hostile\ninput: [3, 32, 32]\n"


# Large and odd specs -------------------------------------------------------------------------------------------------


def repeated(line: str, times: int) -> str:
    """`line` for each `i`, and `j` after it."""
    return "".join(line.format(i=i, j=i + 1) for i in range(times))


def let(line: str, times: int, first: str) -> str:
    return f"{HEAD}let:\n  a0: {first}\n{repeated(line, times)}graph: [relu]\n"


def billion_laughs() -> str:
    anchors = ["let: {a0: &a0 [1, 2]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    return f"{HEAD}{', '.join(anchors)}}}\ngraph: [relu]\n"


def loops(graph: str) -> str:
    return f"{HEAD}graph:\n  - for: i in range(9999)\n    do:\n      - for: j in range(9999)\n        do: {graph}\n"


def passed_around(levels: int) -> str:
    """Blocks that pass two nodes on to the next, each made of both."""
    blocks = repeated("  b{i}: {{params: {{p: relu, q: relu}}, graph: [{{b{j}: , p: [p, q], q: [q, p]}}]}}\n", levels)
    return f"{HEAD}blocks:\n{blocks}  b{levels}: {{params: {{p: relu, q: relu}}, graph: [p, q]}}\ngraph: [b0]\n"


TEXTS: dict[str, tuple[str, Callable[[], str | bytes]]] = {
    "billion laughs": ("too-many-values", billion_laughs),
    "laughs in expressions": ("value-too-large", lambda: let("  a{j}: '[a{i}, a{i}]'\n", 60, "[1, 2]")),
    "lists ever longer": ("value-too-large", lambda: let("  a{j}: a{i} + a{i}\n", 60, "range(9)")),
    "lists ever deeper": ("value-too-large", lambda: let("  a{j}: '[a{i}]'\n", 9000, "[1]")),
    "tables ever wider": ("value-too-large", lambda: let(f"  a{{j}}: zip({'a{i},' * 80}a{{i}})\n", 9, "range(9999)")),
    "file of 50 MB": ("file-too-large", lambda: HEAD + "#" * 50_000_000),
    "levels of brackets": ("too-deep", lambda: HEAD + "graph: " + "[" * 100_000 + "]" * 100_000),
    "levels of braces": ("too-deep", lambda: HEAD + "graph: " + "{a: " * 100_000 + "1" + "}" * 100_000),
    "levels of dashes": ("too-deep", lambda: HEAD + "graph:\n  " + "- " * 100_000 + "relu"),
    "levels of indentation": ("too-deep", lambda: "\n".join(f"{' ' * i}a:" for i in range(1300))),
    "levels of question marks": ("too-deep", lambda: "? " * 100_000),
    "levels of brackets in an expression": ("invalid-expression", lambda: conv("(" * 230 + "1" + ")" * 230)),
    "levels of signs": ("invalid-expression", lambda: conv("-" * 400 + "1")),
    "chain of operations": ("invalid-expression", lambda: conv("+".join("1" * 200))),
    "chain of comparisons": ("wrong-type", lambda: conv("<".join("1" * 200))),
    "chain of attributes": ("wrong-type", lambda: conv("x" + ".channels" * 40)),
    "expression of a megabyte": ("invalid-expression", lambda: conv("1+" * 400_000 + "1")),
    "integer of 10,000 digits": ("invalid-expression", lambda: conv("9" * 10_000)),
    "integer of 400 digits": ("value-too-large", lambda: conv("9" * 400)),
    "input of 10,000 digits": ("invalid-expression", lambda: f"netspec: 1\ninput: [{'9' * 10_000}]\ngraph: [relu]"),
    "version of 10,000 digits": ("unknown-version", lambda: f"netspec: {'9' * 10_000}\ninput: [3]\ngraph: [relu]"),
    "default of 10,000 digits": ("invalid-expression", lambda: HEAD + f"params: {{n: {'9' * 10_000}}}\ngraph: [relu]"),
    "not UTF-8": ("not-utf8", lambda: HEAD.encode() + b"about: \xff\xfe\ngraph: [relu]"),
    "UTF-16": ("not-utf8", lambda: (HEAD + "graph: [relu]").encode("utf-16")),
    "NUL in a word": ("invalid-yaml", lambda: HEAD + "graph: [re\0lu]"),
    "NUL bytes alone": ("invalid-yaml", lambda: "\0" * 10_000),
    "escaped NUL in a name": ("invalid-name", lambda: HEAD + 'graph: {"a\\0b": relu}'),
    "escaped NUL in a file": ("unknown-spec", lambda: HEAD + 'imports: ["a\\0b.yaml"]\ngraph: [relu]'),
    "surrogate in a file": ("invalid-yaml", lambda: HEAD + 'imports: ["\\ud800.yaml"]\ngraph: [relu]'),
    "file name of 5,000 letters": ("unknown-spec", lambda: HEAD + f"imports: [{'a' * 5000}.yaml]\ngraph: [relu]"),
    "control characters": ("invalid-yaml", lambda: HEAD + "graph: [\x1b[31mrelu]"),
    "nothing": ("empty-spec", lambda: ""),
    "documents": ("several-documents", lambda: "---\na\n" * 30_000),
    "many mistakes": ("unknown-op", lambda: HEAD + "graph: [" + "cov, " * 100_000 + "]"),
    "many different mistakes": ("unknown-op", lambda: f"{HEAD}graph:\n" + repeated("- {{cov{i}: }}\n", 50_000)),
    "mistakes among many names": (
        "unknown-op",
        lambda: f"{HEAD}blocks:\n" + repeated("  b{i}: {{graph: [c{i}]}}\n", 20_000) + "graph: [b0]\n",
    ),
    "duplicate keys": ("duplicate-key", lambda: f"{HEAD}graph:\n" + "  a: relu\n" * 60_000),
    "name of a megabyte": ("invalid-name", lambda: f"{HEAD}graph:\n  ? {'a' * 900_000}\n  : relu\n"),
    "long names in a loop": (
        "invalid-name",
        lambda: f'{HEAD}graph:\n  l:\n    for: i in range(9999)\n    do:\n      ? "{"a" * 90_000}{{i}}"\n      : relu\n',
    ),
    "lines of a megabyte": (
        "unknown-op",
        lambda: HEAD + "graph: [" + "a" * 400 + ", cov" * 150_000 + "]",
    ),
    "repeat of repeats": (
        "network-too-large",
        lambda: HEAD + "graph: [{repeat: 9999, graph: [{repeat: 9999, graph: [relu, relu]}]}]",
    ),
    "loops in loops": ("network-too-large", lambda: loops("[relu]")),
    "loops around nothing": ("network-too-large", lambda: loops("[]")),
    "loops around what is left out": ("network-too-large", lambda: loops("[{relu: , if: false}]")),
    "long expressions in loops": ("network-too-large", lambda: loops("[{conv: ['" + "1+" * 40 + "i', 1]}]")),
    "long lists in loops": ("network-too-large", lambda: loops("[{conv: ['sum(range(99999)) * 0 + i + 1', 1]}]")),
    "long lists compared": (
        "network-too-large",
        lambda: (
            loops("[{relu: , if: 'a == b'}]")
            .replace("graph:", "let: {a: range(9e4), b: range(9e4)}\ngraph:")
            .replace("9e4", "90000")
        ),
    ),
    "long lists captured": (
        "network-too-large",
        lambda: loops("[{conv: ['a[0] + 1 + i', 1]}]").replace("graph:", "let: {a: range(90000)}\ngraph:", 1),
    ),
    "many names in loops": (
        "network-too-large",
        lambda: loops("[relu]").replace("graph:", "let:\n" + repeated("  a{i}: 1\n", 30_000) + "graph:", 1),
    ),
    "exponential blocks": (
        "network-too-large",
        lambda: (
            f"{HEAD}blocks:\n  b0: {{graph: [relu, relu]}}\n"
            + repeated("  b{j}: {{graph: [b{i}, b{i}]}}\n", 40)
            + "graph: [b40]\n"
        ),
    ),
    "chain of blocks": (
        "too-deep",
        lambda: (
            f"{HEAD}blocks:\n"
            + repeated("  b{i}: {{graph: [b{j}]}}\n", 9000)
            + "  b9000: {graph: [relu]}\ngraph: [b0]\n"
        ),
    ),
    "nodes passed around": ("network-too-large", lambda: passed_around(24)),
    "many selectors": (
        "unmatched-freeze",
        lambda: f"{HEAD}freeze: [{'a*, ' * 20_000}]\ngraph: [{{repeat: 9999, conv: [8, 1]}}]\n",
    ),
    "many selectors that match": (
        "network-too-large",
        lambda: f"{HEAD}freeze: [{'0*, ' * 20_000}]\ngraph: [{{repeat: 9999, conv: [8, 1]}}]\n",
    ),
    "selector of many stars": (
        "network-too-large",
        lambda: f"{HEAD}freeze: ['{'**0' * 200_000}']\ngraph: [{{repeat: 99, graph: [[[[{{conv: [8, 1]}}]]]]}}]\n",
    ),
    "many rules": (
        "network-too-large",
        lambda: (
            f"{HEAD}init:\n"
            + repeated("  '0.{i}': {{weight: zeros}}\n", 9000)
            + "graph: [{repeat: 9000, conv: [8, 1]}]\n"
        ),
    ),
    "waiting for the last": (
        "unknown-node",
        lambda: f"{HEAD}graph:\n" + repeated("  a{i}: {{relu: , from: a{j}}}\n", 15_000),
    ),
}


def conv(channels: str) -> str:
    return f"{HEAD}graph:\n  - conv: ['{channels}', 3]\n"


def write_cases(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Name, code and path of every hostile spec."""
    for path in sorted(HOSTILE.glob("*/*.yaml")):
        yield f"{path.parent.name}/{path.stem}", path.parent.name, path
    for name, (code, text) in TEXTS.items():
        path = folder / name.replace(" ", "_").replace(",", "") / "net.yaml"
        path.parent.mkdir()
        content = text()
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        yield name, code, path


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of each spec, by its name."""
    folder = tmp_path_factory.mktemp("hostile")
    cases = list(write_cases(folder))
    child = [sys.executable, str(HOSTILE / "child.py")]
    environment = {**os.environ, "PYTHONPATH": str(HOSTILE.parent.parent)}
    paths = "".join(f"{path}\n" for _, _, path in cases)
    done = subprocess.run(child, input=paths, capture_output=True, text=True, env=environment, cwd=folder, check=True)
    by_path = {result["path"]: result for result in map(json.loads, done.stdout.splitlines())}
    return {name: {**by_path[str(path)], "expected": code} for name, code, path in cases}


NAMES = [f"{path.parent.name}/{path.stem}" for path in sorted(HOSTILE.glob("*/*.yaml"))] + list(TEXTS)


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_spec_is_refused_and_nothing_else_happens(name: str, outcomes: dict[str, dict[str, Any]]) -> None:
    outcome = outcomes[name]
    assert not outcome["failure"]
    assert outcome["expected"] in outcome["codes"]
    assert outcome["seconds"] < SECONDS
    assert outcome["forbidden"] == []
    assert outcome["longest"] < 20_000
    assert outcome["works_on"]
