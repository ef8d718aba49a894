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
from netspec.cli import main

HOSTILE = Path(__file__).parent / "hostile"
SECONDS = 5
LONGEST = 20_000  # characters of a message, excerpt included

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
        lambda: (
            f'{HEAD}graph:\n  l:\n    for: i in range(9999)\n    do:\n      ? "{"a" * 90_000}{{i}}"\n      : relu\n'
        ),
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
    "many units to shard": (
        "network-too-large",
        lambda: f"{HEAD}parallel: {{shard: [{'0*, ' * 20_000}]}}\ngraph: [{{repeat: 9999, conv: [8, 1]}}]\n",
    ),
    "many cuts": (
        "invalid-cut",
        lambda: f"{HEAD}parallel: {{pipeline: ['**']}}\ngraph: [{{repeat: 9999, conv: [8, 1]}}]\n",
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


def complaints(name: str, code: str, outcome: dict[str, Any]) -> Iterator[str]:
    """What is wrong with how a hostile spec ended."""
    if outcome["failure"]:
        yield f"{name}: {outcome['failure']}"
        return
    if code not in outcome["codes"]:
        yield f"{name}: {sorted(set(outcome['codes']))} instead of {code}"
    if outcome["seconds"] > SECONDS:
        yield f"{name}: took {outcome['seconds']:.1f} seconds"
    if outcome["forbidden"]:
        yield f"{name}: {outcome['forbidden']}"
    if outcome.get("longest", 0) > LONGEST:
        yield f"{name}: a message of {outcome['longest']} characters"
    if not outcome["works_on"]:
        yield f"{name}: the next spec was not compiled"


def test_every_hostile_spec_is_refused_and_nothing_else_happens(tmp_path: Path) -> None:
    cases = list(write_cases(tmp_path))
    child = [sys.executable, str(HOSTILE / "child.py")]
    environment = {**os.environ, "PYTHONPATH": str(HOSTILE.parent.parent)}
    paths = "".join(f"{path}\n" for _, _, path in cases)
    done = subprocess.run(child, input=paths, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True)
    outcomes = {outcome["path"]: outcome for outcome in map(json.loads, done.stdout.splitlines())}
    assert [text for name, code, path in cases for text in complaints(name, code, outcomes[str(path)])] == []
    assert len(cases) > 100


def test_a_child_notices_what_a_spec_may_not_do(tmp_path: Path) -> None:
    """The watch is not blind: a process that writes, imports and runs something is reported."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import child; from pathlib import Path\n"
        "seen = []; child.watch(Path(sys.argv[2]), seen)\n"
        "open(sys.argv[2] + '/pwned', 'w').close(); open('/etc/hostname').close()\n"
        "import colorsys, os; os.system('true'); print(seen)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(HOSTILE), str(tmp_path)], capture_output=True, text=True, check=True
    )
    for event in ("pwned w", "/etc/hostname r", "import colorsys", "os.system"):
        assert event in done.stdout


def test_a_spec_reads_no_file_through_a_link_that_leads_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("netspec: 1\nblocks: {secret: {graph: [relu]}}\n")
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (tmp_path / "specs" / "loop.yaml").symlink_to(tmp_path / "specs" / "loop.yaml")
    (tmp_path / "specs" / "up").symlink_to(tmp_path)
    for name in ("link.yaml", "loop.yaml", "up/secret.yaml"):
        with pytest.raises(SpecError) as caught:
            netspec.loads(f"{HEAD}imports: [{name}]\ngraph: [secret]", folder=tmp_path / "specs")
        assert codes(caught)[0] == "outside-folder"


@pytest.mark.parametrize("op", ["lstm", "gru", "rnn"])
def test_an_op_with_a_billion_layers_is_refused(op: str) -> None:
    with pytest.raises(SpecError) as caught:
        netspec.loads(f"netspec: 1\ninput: [8, 8]\ngraph: [{{{op}: [8, 1000000000]}}]")
    assert codes(caught) == ["wrong-type"]


def codes(caught: pytest.ExceptionInfo[SpecError]) -> list[str]:
    return [diagnostic.code for diagnostic in caught.value.diagnostics]


@pytest.mark.parametrize(
    "text", ["", "\x00", "\ufeff", "%", "- a\n- b", "!!python/none", "&a [*a]", "a: *b", "? [a]\n: b"]
)
def test_a_text_that_is_no_spec_gets_a_message(text: str) -> None:
    with pytest.raises(SpecError):
        netspec.loads(text)


# Checkpoints ---------------------------------------------------------------------------------------------------------


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def safetensors(header: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def tensor(shape: object, start: int, end: int, dtype: str = "F32") -> bytes:
    return json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}}).encode()


LYING = {
    "header that is not there": safetensors(b"", 2**63),
    "header of a terabyte": safetensors(b"{}", 2**40),
    "header that is no JSON": safetensors(b"{{{{{{{{"),
    "header of many levels": safetensors(b"[" * 100_000),
    "offsets beyond the end": safetensors(tensor([2**40], 0, 2**42)),
    "offsets backwards": safetensors(tensor([1], 4, 0), data=b"\0" * 4),
    "negative shape": safetensors(tensor([-1], 0, 4), data=b"\0" * 4),
    "shape of another size": safetensors(tensor([100], 0, 4), data=b"\0" * 4),
    "shape that overflows": safetensors(tensor([2**62, 2**62], 0, 4), data=b"\0" * 4),
    "unknown dtype": safetensors(tensor([1], 0, 4, "X99"), data=b"\0" * 4),
    "nothing": b"",
}


@pytest.mark.parametrize("name", LYING)
def test_a_safetensors_file_with_a_lying_header_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "lying.safetensors"
    path.write_bytes(LYING[name])
    with pytest.raises(SpecError) as caught:
        read_file(path)
    assert codes(caught) == ["unreadable-weights"]


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_pickle_runs_nothing(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "pickle.pth"
    path.write_bytes(pickle.dumps({"fc.weight": Payload(tmp_path / "pwned")}, protocol))
    with pytest.raises(SpecError) as caught:
        read_file(path)
    assert codes(caught) == ["unreadable-weights"]
    torch.save({"fc.weight": Payload(tmp_path / "pwned")}, path)
    with pytest.raises(SpecError) as caught:
        read_file(path)
    assert codes(caught) == ["unreadable-weights"]
    assert not (tmp_path / "pwned").exists()


# Limits --------------------------------------------------------------------------------------------------------------

LOW: dict[str, tuple[int, str]] = {
    "file_bytes": (20, "file-too-large"),
    "nesting": (2, "too-deep"),
    "values": (10, "too-many-values"),
    "extends": (0, "too-many-files"),
    "imports": (0, "too-many-files"),
    "items": (3, "value-too-large"),
    "work": (10, "network-too-large"),
    "copies": (2, "value-too-large"),
    "levels": (1, "too-deep"),
    "nodes": (3, "network-too-large"),
    "steps": (3, "network-too-large"),
    "memory": (100, "network-too-large"),
    "mistakes": (1, "unknown-op"),
}
ORDINARY = """netspec: 1
extends: base.yaml
imports: [blocks.yaml]
let: {widths: "range(1, 5)"}
graph:
  - {repeat: 3, conv: ["widths[i]", 3]}
  - held
"""
WRONG = ORDINARY + "  - rellu\n  - gellu\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text("netspec: 1\ninput: [3, 32, 32]\ngraph: [relu]\n")
    (tmp_path / "blocks.yaml").write_text("netspec: 1\nblocks: {held: {graph: [relu, [relu]]}}\n")
    return tmp_path


@pytest.mark.parametrize("name", Limits._fields)
def test_every_limit_can_be_lowered(name: str, folder: Path) -> None:
    most, code = LOW[name]
    assert netspec.loads(ORDINARY, folder=folder).root.size > 3
    with pytest.raises(SpecError) as caught:
        netspec.loads(WRONG if name == "mistakes" else ORDINARY, folder=folder, limits=Limits(**{name: most}))
    assert code in codes(caught)
    if name == "mistakes":
        assert len(codes(caught)) == 1


def test_limits_can_be_raised() -> None:
    text = f"{HEAD}graph: [{{repeat: 20000, relu: }}]"
    with pytest.raises(SpecError):
        netspec.loads(text)
    assert netspec.loads(text, limits=Limits(copies=20_000)).root.size == 20_001


def test_the_command_line_changes_limits(capsys: pytest.CaptureFixture[str]) -> None:
    for options, status, text in (
        (("--limit", "nodes=11"), 1, "12 nodes, more than 11"),
        (("--limit", "nodes=12", "--limit", "steps=9"), 1, "more than 9 steps"),
        (("--limit", "nodes=12"), 0, ""),
        (("--limit", "knots=12"), 2, "argument --limit"),
        (("--limit", "nodes=many"), 2, "argument --limit"),
        (("--set", "limits=3"), 1, "see `--input` and `--limit`"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["check", "lenet5", *options])
        assert (ended.value.code, text in capsys.readouterr().err) == (status, True)


def test_levels_beyond_those_of_python_are_refused_too() -> None:
    blocks = repeated("  b{i}: {{graph: [b{j}]}}\n", 9000)
    text = f"{HEAD}blocks:\n{blocks}  b9000: {{graph: [relu]}}\ngraph: [b0]\n"
    with pytest.raises(SpecError) as caught:
        netspec.loads(text, limits=Limits(levels=10_000))
    assert codes(caught) == ["too-deep"]


def test_fifty_thousand_nodes_pass() -> None:
    assert (
        netspec.loads(f"{HEAD}graph: [{{repeat: 8500, graph: [[{{conv: [8, 1]}}, batch_norm], relu]}}]").root.size
        > 42_500
    )
    flat = f"{HEAD}graph:\n" + "- relu\n" * 50_000
    assert netspec.loads(flat).root.size == 50_000
