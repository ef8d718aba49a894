"""`netspec fmt`: one layout, whatever the text looked like, that says the same and keeps every comment."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from netspec import SpecError
from netspec.catalog import library_blocks, shipped_specs
from netspec.cli import main
from netspec.layout import WIDTH, tidy
from netspec.parts import DOCUMENT_KEYS
from netspec.source import read, read_text
from tests.commands import Run
from tests.effort import examples

WRONG = sorted((Path(__file__).parent / "wrong").glob("**/*.yaml"))


def plain(text: str) -> Any:
    """What a text says, all scalars as words, by PyYAML's own constructor."""
    return yaml.load(text, Loader=yaml.BaseLoader)


def formatted(text: str) -> str:
    return tidy(read_text(text), DOCUMENT_KEYS)


# The layout ----------------------------------------------------------------------------------------------------------

CASES = {
    "indentation is two columns": ("a:\n      b:\n         c: 1\n", "a:\n  b:\n    c: 1\n"),
    "a list stands below its key": ("a:\n- 1\n-   - 2\n    - 3\n", "a:\n  - 1\n  - - 2\n    - 3\n"),
    "a list of mappings is compact": ("-\n   a: 1\n   b: 2\n", "- a: 1\n  b: 2\n"),
    "flow style has a space behind commas and colons": ("a: [ 1,2 , {b : 3,c: } ]\n", "a: [1, 2, {b: 3, c: }]\n"),
    "an empty value keeps its space inside braces": ("a: {norm: ,if: b}\n", "a: {norm: , if: b}\n"),
    "a flow collection that fits is one line": ("a: [1,\n  2,\n]\n", "a: [1, 2]\n"),
    "one that does not fit is one item a line": (
        f"a: [{'b' * 60}, {'c' * 60}]\n",
        f"a:\n  - {'b' * 60}\n  - {'c' * 60}\n",
    ),
    "rows of numbers do without spaces before they are broken": (
        f"- [{', '.join(['[0, 1, 0, 1, 0, 1, 0]'] * 5)},[0, 1]]\n",
        f"- [{', '.join(['[0,1,0,1,0,1,0]'] * 5)}, [0,1]]\n",
    ),
    "a flow collection with comments is one item a line": (
        "a: {b: 1, # one\n  c: 2} # two\n",
        "a: # two\n  b: 1 # one\n  c: 2\n",
    ),
    "one blank line at most, none at either end": ("\n\na: 1\n\n\n\nb: 2\n\n", "a: 1\n\nb: 2\n"),
    "no blank line behind a key": ("a:\n\n  b: 1\n", "a:\n  b: 1\n"),
    "comments have a space behind their sign": ("#!a\n##b\n#\na: 1 #c\n", "# !a\n## b\n#\na: 1 # c\n"),
    "commented-out lines keep their indentation": ("a:\n  #  - b\n  - c\n", "a:\n  #  - b\n  - c\n"),
    "a comment moves with what it is about": (
        "a:\n      # about b\n      b: 1 # beside b\n      # below b\n# about c\nc: 1\n",
        "a:\n  # about b\n  b: 1 # beside b\n  # below b\n# about c\nc: 1\n",
    ),
    "a comment inside a line moves above it": ("a: # why\n  1\n", "# why\na: 1\n"),
    "words keep their quotation marks, which are double": (
        """a: ['b', "c", d, 'e "f" \\ g', 'it''s']\n""",
        """a: ["b", "c", d, 'e "f" \\ g', "it's"]\n""",
    ),
    "numbers keep their spelling": ("a: [1e-3, 0.10, +1, 0x1F, 1_000]\n", "a: [1e-3, 0.10, +1, 0x1F, 1_000]\n"),
    "a folded text is filled": (
        f"a: >\n      {' '.join(['word'] * 20)}\n      {' '.join(['word'] * 10)}\n",
        f"a: >\n  {' '.join(['word'] * 23)}\n  {' '.join(['word'] * 7)}\n",
    ),
    "a folded text with paragraphs keeps its lines": ("a: >-\n    b\n    c\n\n    d\n", "a: >-\n  b\n  c\n\n  d\n"),
    "a literal text keeps its lines": ("a: |\n     b\n       c\n\n     d\n", "a: |\n  b\n    c\n\n  d\n"),
    "a text that begins with spaces says how many": ("- |3\n     b\n    c\n", "- |2\n    b\n   c\n"),
    "blank lines that belong to a text stay": ("a: |+\n   b\n\n\n# c\nd: 1\n", "a: |+\n  b\n\n\n# c\nd: 1\n"),
    "a plain text of several lines becomes one": ("a: b\n   c\n", "a: b c\n"),
    "paragraphs of a plain text stay": ("a: [b\n\n   c]\n", "a:\n  - b\n\n    c\n"),
    "a plain text that is too long is filled": (
        f"a: {' '.join(['word'] * 30)}\n",
        f"a: {' '.join(['word'] * 23)}\n  {' '.join(['word'] * 7)}\n",
    ),
    "anchors and aliases stay": (
        "a: &x [1,2]\nb: &y\n   c: *x\nd: [*x,*y , &z e]\n",
        "a: &x [1, 2]\nb: &y\n  c: *x\nd: [*x, *y, &z e]\n",
    ),
    "an alias as a key keeps its distance from the colon": ("- &x a\n- {*x : 1}\n", "- &x a\n- {*x : 1}\n"),
    "line ends are those of Unix": ("a:\r\n    b: 1\r\n\r\n\r\n# c\r\n", "a:\n  b: 1\n\n# c\n"),
    "marks of documents go": ("%YAML 1.1\n--- # a\nb: 1\n... # c\n", "# a\nb: 1\n# c\n"),
    "keys at the top come in their order, with their comments": (
        "# file\n\nnetspec: 1\n# graph\ngraph: [relu]\nname: a # name\ninput: [1]\n# end\n",
        "# file\n\nnetspec: 1\nname: a # name\ninput: [1]\n# graph\ngraph: [relu]\n# end\n",
    ),
    "keys stay where they are if one is unknown": ("graph: []\nnaem: a\nname: b\n", "graph: []\nnaem: a\nname: b\n"),
    "keys stay where they are if an alias needs it": (
        "graph: [&a relu]\nname: *a\n",
        "graph: [&a relu]\nname: *a\n",
    ),
}


@pytest.mark.parametrize(("before", "after"), CASES.values(), ids=CASES)
def test_the_layout(before: str, after: str) -> None:
    assert plain(before) == plain(after)
    assert formatted(before) == after
    assert formatted(after) == after


@pytest.mark.parametrize("path", [*shipped_specs().values(), *library_blocks().values()], ids=lambda path: path.stem)
def test_everything_that_ships_is_formatted(path: Path) -> None:
    assert tidy(read(path), DOCUMENT_KEYS) == path.read_text(encoding="utf-8")


def test_what_show_prints_is_formatted(capsys: pytest.CaptureFixture[str]) -> None:
    for name in shipped_specs():
        with pytest.raises(SystemExit):
            main(["show", name])
        shown = capsys.readouterr().out
        assert formatted(shown) == shown


@pytest.mark.parametrize("path", WRONG, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_wrong_spec_says_the_same_in_another_layout(path: Path) -> None:
    try:
        source = read(path)
    except SpecError:
        return  # no YAML
    text = tidy(source, DOCUMENT_KEYS)
    assert plain(text) == plain(path.read_text(encoding="utf-8"))
    assert formatted(text) == text


# Random texts --------------------------------------------------------------------------------------------------------

WORDS = ["relu", "1e-3", "x.channels // 2", "-1", "é ×", "long word " * 14 + "end", "it's", "for", "..5"]
SCALARS = st.sampled_from([*WORDS, "", '"a, b"', "'it''s'", '"{i}"', "'say \"x\"'", "~"])
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcdefg"), inner, max_size=4),
    max_leaves=12,
)


class Writer:
    """Writes a tree as YAML in a layout that nobody would choose, and remembers the comments it put in."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.comments: list[str] = []

    def chance(self) -> bool:
        return self.random.random() > 0.7

    def comment(self) -> str:
        self.comments.append(f"# note {len(self.comments)}")
        return self.comments[-1]

    def spaces(self, least: int = 0) -> str:
        return " " * self.random.randint(least, 3)

    def line_end(self) -> str:
        beside = f"{self.spaces(1)}{self.comment()}" if self.chance() else self.spaces()
        lines = [beside]
        while self.chance():
            lines.append(f"{self.spaces()}{self.comment()}" if self.chance() else self.spaces())
        return "\n".join(lines) + "\n"

    def gap(self, indent: int) -> str:
        """What may stand between two parts of a flow collection."""
        return self.line_end() + " " * indent if self.chance() else self.spaces()

    def flow(self, tree: Any, indent: int) -> str:
        if isinstance(tree, str):
            return tree
        parts = []
        for item in tree:
            text = item + ":" + (self.gap(indent) if self.chance() else "") + " " if isinstance(tree, dict) else ""
            value = self.flow(tree[item] if isinstance(tree, dict) else "~" if item == "" else item, indent)
            parts.append(f"{self.gap(indent)}{text}{value}{self.gap(indent)}")
        inside = ",".join(parts) or self.spaces()
        return f"[{inside}]" if isinstance(tree, list) else f"{{{inside}}}"

    def value(self, tree: Any, column: int) -> str:
        """A value behind `-` or a colon, whose own entries stand deeper than `column`, to the end of its line."""
        if isinstance(tree, str) or not tree or self.chance():
            return f"{self.spaces(1)}{self.flow(tree, column + 1)}{self.line_end()}"
        return self.line_end() + self.block(tree, column + self.random.randint(1, 4))

    def block(self, tree: Any, column: int) -> str:
        lines = []
        for item in tree:
            head, value = (f"{item}:", tree[item]) if isinstance(tree, dict) else ("-", item)
            lines.append(f"{' ' * column}{head}{self.value(value, column)}")
        return "".join(lines)


@examples(60)
@given(st.dictionaries(st.sampled_from("abcdefg"), TREES, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_any_layout_becomes_the_one_layout(tree: Any, random: Random) -> None:
    writer = Writer(random)
    text = writer.block(tree, 0)
    result = formatted(text)
    assert plain(result) == plain(text)
    assert sorted(re.findall("# note [0-9]+", result)) == sorted(writer.comments)
    assert formatted(result) == result
    assert not re.search(r"[ \t]\n|\n\n\n|\n\n\Z", result)
    assert all(len(line.partition(" #")[0]) <= WIDTH for line in result.splitlines())


# The command ---------------------------------------------------------------------------------------------------------

UGLY = "netspec: 1\nname:   ugly\ninput: [3,8,8]\ngraph:\n- relu   #last\n"
TIDY = "netspec: 1\nname: ugly\ninput: [3, 8, 8]\ngraph:\n  - relu # last\n"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    Path("ugly.yaml").write_text(UGLY)
    Path("tidy.yaml").write_text(TIDY)
    return Run(capsys, "fmt")


def test_files_are_rewritten_and_the_changed_ones_named(run: Run) -> None:
    assert run("ugly.yaml", "tidy.yaml") == (0, "ugly.yaml\n", "")
    assert Path("ugly.yaml").read_text() == TIDY
    assert run("ugly.yaml", "tidy.yaml") == (0, "", "")


def test_a_folder_stands_for_the_specs_below_it(run: Run) -> None:
    Path("deep/er").mkdir(parents=True)
    Path("deep/er/net.yml").write_text(UGLY)
    Path("deep/other.yaml").write_text("services:   [web]\n")
    assert run(".") == (0, "deep/er/net.yml\nugly.yaml\n", "")
    assert Path("deep/other.yaml").read_text() == "services:   [web]\n"


def test_check_names_what_would_change_and_changes_nothing(run: Run) -> None:
    assert run("--check", ".") == (1, "ugly.yaml\n", "")
    assert Path("ugly.yaml").read_text() == UGLY
    assert run("--check", "tidy.yaml") == (0, "", "")


def test_diff_prints_what_would_change_and_changes_nothing(run: Run) -> None:
    Path("ugly.yaml").write_text(UGLY.rstrip("\n"))
    status, out, err = run("--diff", ".")
    assert (status, err) == (1, "")
    assert out.startswith("--- ugly.yaml\n+++ ugly.yaml\n@@ -1,5 +1,5 @@\n netspec: 1\n-name:   ugly\n")
    assert out.endswith("\n+  - relu # last\n")
    assert "-- relu   #last\n\\ No newline at end of file\n" in out
    assert Path("ugly.yaml").read_text() == UGLY.rstrip("\n")
    assert run("--diff", "tidy.yaml") == (0, "", "")


def test_a_dash_reads_stdin_and_writes_stdout(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def typed(text: str) -> SimpleNamespace:
        return SimpleNamespace(buffer=io.BytesIO(text.encode()))

    monkeypatch.setattr(sys, "stdin", typed(UGLY))
    assert run("-") == (0, TIDY, "")
    monkeypatch.setattr(sys, "stdin", typed(UGLY))
    assert run("--check", "-") == (1, "<stdin>\n", "")
    monkeypatch.setattr(sys, "stdin", typed("a: ["))
    status, out, err = run("-")
    assert (status, out) == (1, "")
    assert err.startswith("error[invalid-yaml]")
    assert "--> <stdin>:2:1" in err


def test_links_and_permissions_stay(run: Run) -> None:
    Path("ugly.yaml").chmod(0o640)
    Path("link.yaml").symlink_to("ugly.yaml")
    assert run("link.yaml") == (0, "link.yaml\n", "")
    assert Path("link.yaml").is_symlink()
    assert Path("ugly.yaml").read_text() == TIDY
    assert Path("ugly.yaml").stat().st_mode & 0o777 == 0o640


BROKEN = {
    "invalid-yaml": b"a: [1\nb: 2\n",
    "tag": b"a:   !!python/name:os.system x\n",
    "merge-key": b"a: &a {b: 1}\nc: {<<: *a}\n",
    "several-documents": b"a:   1\n---\nb: 2\n",
    "unknown-anchor": b"a: *b\n",
    "too-deep": b"[" * 2000,
    "too-many-values": b"a: &a [1, 1, 1, 1, 1, 1, 1, 1]\n"
    + b"".join(b"%c: &%c [%s]\n" % (n, n, b", ".join([b"*%c" % (n - 1)] * 8)) for n in range(98, 106)),
    "not-utf8": b"a: \xff\n",
    "file-too-large": b"a: [" + b"1," * 600_000 + b"]\n",
    "empty-spec": b"# nothing\n",
    "unsafe-format": b"? " + b"k" * 1100 + b"\n: 1\n",
}


@pytest.mark.parametrize(("code", "data"), BROKEN.items(), ids=BROKEN)
def test_what_cannot_be_read_or_kept_is_left_alone(run: Run, code: str, data: bytes) -> None:
    Path("broken.yaml").write_bytes(data)
    status, out, err = run("broken.yaml", "ugly.yaml")
    assert (status, out) == (1, "ugly.yaml\n"), "the others are formatted"
    assert err.startswith(f"error[{code}]")
    assert Path("broken.yaml").read_bytes() == data


def test_a_spec_that_ships_is_no_file_to_rewrite(run: Run) -> None:
    status, _, err = run("resnet50")
    assert status == 1
    assert err.startswith("error[unreadable-file]: cannot read `resnet50`: no such file or directory")
