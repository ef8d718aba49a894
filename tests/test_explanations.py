"""Every code has one page, which explains it, and a test that provokes it: codes, pages and wrong specs stay equal."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import netspec
from netspec.backends.pictures.engines import to_svg
from netspec.codes import codes, explanation, headline
from netspec.diagnostics import SpecError
from tests.commands import Run
from tests.test_docs import Block, blocks
from tests.test_wrong_specs import SEVERAL, WRONG

PACKAGE = Path(netspec.__file__).parent
TESTS = Path(__file__).parent


def raised(path: Path) -> set[str]:
    """The codes that a file of the package gives to its diagnostics: texts, or those of other diagnostics."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in ("Problem", "Diagnostic", "error", "warning") and path.stem != "diagnostics":
            code = node.args[0]
            if not (isinstance(code, ast.Attribute) and code.attr == "code"):
                assert isinstance(code, ast.Constant), f"{path.name}:{node.lineno}: write the code where it is raised"
                found.add(str(code.value))
    return found


def texts(path: Path) -> set[object]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.value for node in nodes if isinstance(node, ast.Constant)}


def examples(code: str) -> list[Block]:
    return list(blocks(PACKAGE / "explanations" / f"{code}.md"))


def wrong_by_a_spec(code: str) -> bool:
    return any(block.option("wrong") == code for block in examples(code))


def runs_as_documented(code: str) -> bool:
    """Whether the tests of the documentation run what causes the message on the page of a code."""
    return any(block.options in (("fails",), ("output",)) for block in examples(code))


# Codes, pages and wrong specs ----------------------------------------------------------------------------------------


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    used = set().union(*(raised(path) for path in PACKAGE.rglob("*.py")))
    assert used == set(codes())


def test_every_code_that_a_spec_can_cause_has_a_folder_of_wrong_specs() -> None:
    folders = {path.name for path in WRONG.iterdir()} - {SEVERAL}
    assert folders == {code for code in codes() if wrong_by_a_spec(code)}
    assert all(list((WRONG / folder).glob("*.yaml")) for folder in folders)


def test_every_other_code_is_provoked_by_a_test() -> None:
    asserted = set().union(*(texts(path) for path in TESTS.glob("test_*.py")))
    others = {code for code in codes() if not wrong_by_a_spec(code) and not runs_as_documented(code)}
    assert others <= asserted


def test_a_code_is_a_few_words() -> None:
    assert [code for code in codes() if not re.fullmatch(r"[a-z]+(-[a-z0-9]+){0,2}", code)] == []


# Pages ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", codes())
def test_a_page_has_reason_example_message_and_repair(code: str) -> None:
    title, why, *_ = explanation(code).split("\n\n")
    assert title == f"# {code}"
    assert not why.startswith("`" * 3), "why it is a mistake comes first"
    found = examples(code)
    message = next(block for block in found if block.text.startswith((f"error[{code}]: ", f"warning[{code}]: ")))
    assert message.language == "text"
    position = found.index(message)
    assert found[position - 1].language in ("yaml", "console", "python"), "what causes the message comes before it"
    assert found[position + 1].language in ("yaml", "console", "python"), "what repairs it comes behind"


def test_the_first_sentence_says_what_is_wrong() -> None:
    sentences = [headline(code) for code in codes()]
    assert len(set(sentences)) == len(sentences)
    for sentence in sentences:
        assert sentence.endswith("."), sentence
        assert len(sentence) <= 120, sentence


# explain -------------------------------------------------------------------------------------------------------------


def test_explain_prints_a_page_with_its_examples_indented(run: Run) -> None:
    status, out, err = run("explain", "unknown-op")
    assert (status, err) == (0, "")
    assert out.startswith("unknown-op\n\nThere is no op or block of this name")
    assert "\n    error[unknown-op]: unknown op or block `cnov`\n" in out
    assert "```" not in out


def test_explain_lists_every_code(run: Run) -> None:
    status, out, _ = run("explain")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == list(codes())


def test_explain_suggests_a_code_that_is_near(run: Run) -> None:
    status, out, err = run("explain", "unused-nodes")
    assert (status, out) == (1, "")
    assert err.startswith("error[unknown-code]: no mistake has the code `unused-nodes`\n")
    assert "did you mean `unused-node`?" in err


# Mistakes that no spec file can make ---------------------------------------------------------------------------------


def code_of(error: pytest.ExceptionInfo[SpecError]) -> str:
    (diagnostic,) = error.value.diagnostics
    return diagnostic.code


def test_a_file_must_be_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin1.yaml"
    path.write_bytes("netspec: 1\nabout: für alle\n".encode("latin1"))
    with pytest.raises(SpecError, match="invalid byte at offset 19") as error:
        netspec.load(path)
    assert code_of(error) == "not-utf8"
    assert path.read_bytes()[19] == ord("ü")


def test_a_file_must_be_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "private.yaml").write_text("netspec: 1")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(SpecError, match="permission denied") as error:
        netspec.load(tmp_path / "private.yaml")
    assert code_of(error) == "unreadable-file"


def test_a_layout_engine_must_be_known_and_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError) as unknown:
        to_svg("digraph {}", "neato")
    assert code_of(unknown) == "unknown-engine"
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SpecError) as missing:
        to_svg("digraph {}", "native")
    assert code_of(missing) == "missing-engine"
