"""What the documentation shows is true: specs compile, wrong ones fail as written, Python runs, links lead somewhere.

The info string of a code block says what to do with it.

- `yaml`: a complete spec, which must compile without warnings
- `yaml graph`: the value of `graph:` in a network with `input: [3, 32, 32]`
- `yaml spec`: the keys of a spec, without `netspec: 1`, and with that input unless it has its own
- `yaml file=NAME`: a file beside all other examples of the page, compiled where it has an input
- `yaml wrong=CODE`: must fail or warn with this code alone, and the `text` block behind it is the message, word by word
- `console fails`: commands of which the last must fail, with the `text` block behind it as its message
- `console prints`: commands of which the last prints the `text` block behind it
- `python`: one program with all other Python of the page; `python torch` needs PyTorch
- `text output`: what the Python block before it prints

`pytest --update` writes the messages of mistakes anew.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import NamedTuple

import pytest

import netspec
from netspec.cli import main, make_parser
from netspec.parts import BLOCK_KEYS, DOCUMENT_KEYS
from netspec.source import Mapping, read_text
from netspec.spec import KINDS, NODE_WORDS
from tests.conftest import Golden
from tests.test_wrong_specs import diagnosed

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
FOLDERS = (ROOT, DOCS, ROOT / "netspec" / "explanations")
PAGES = [path for folder in FOLDERS for path in sorted(folder.glob("*.md")) if path.stat().st_size]
GENERATED = {DOCS / "diagnostics.md"}  # from pages whose examples are tested themselves
INPUT = "input: [3, 32, 32]\n"


class Block(NamedTuple):
    """A fenced code block: where it starts, the words of its info string, and its text."""

    page: Path
    line: int
    language: str
    options: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.page.stem}:{self.line}"

    def option(self, name: str) -> str:
        """The value of `name=value` in the info string."""
        return next((word.partition("=")[2] for word in self.options if word.startswith(f"{name}=")), "")


def blocks(page: Path) -> Iterator[Block]:
    fence, start, info, lines = "", 0, "", list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        opening = re.match(r"\s*(`{3,})(.*)$", line)
        if not fence and opening:
            fence, info, start, lines = opening[1], opening[2], number, []
        elif fence and line.strip() == fence:
            language, *options = info.split() or [""]
            yield Block(page, start, language, tuple(options), "".join(f"{text}\n" for text in lines))
            fence = ""
        elif fence:
            lines.append(line)
    assert not fence, f"{page.name}:{start}: a code block that does not end"


BLOCKS = {page: tuple(blocks(page)) for page in PAGES}
ALL = [block for page in PAGES if page not in GENERATED for block in BLOCKS[page]]
YAML = [block for block in ALL if block.language == "yaml"]
RIGHT = [block for block in YAML if not block.option("wrong")]
WRONG = [block for block in YAML if block.option("wrong")]
PROGRAMS = [page for page in PAGES if any(block.language == "python" and block in ALL for block in BLOCKS[page])]


def following(block: Block) -> Block | None:
    found = BLOCKS[block.page]
    position = found.index(block) + 1
    return found[position] if position < len(found) else None


def check_message(block: Block, shown: str, golden: Golden) -> None:
    """Compare what an example shows with the `text` block behind it."""
    message = following(block)
    assert message is not None
    assert message.language == "text", "a `text` block with the message belongs behind a mistake"
    page = block.page.read_text(encoding="utf-8")
    golden(block.page, page.replace(f"```text\n{message.text}", f"```text\n{shown.rstrip()}\n"))


def complete(block: Block) -> str:
    """The spec that an example stands for."""
    form = next((word for word in block.options if "=" not in word), "")
    if form == "graph":
        return f"netspec: 1\n{INPUT}graph:\n{indent(block.text, '  ')}"
    if form == "spec":
        own = re.search(r"^inputs?:", block.text, re.MULTILINE)
        return f"netspec: 1\n{'' if own else INPUT}{block.text}"
    assert not form, f"{block}: unknown word `{form}` in the info string"
    return block.text


def write_files(page: Path, folder: Path) -> None:
    for block in BLOCKS[page]:
        if name := block.option("file"):
            (folder / name).write_text(block.text, encoding="utf-8")


# Specs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", RIGHT, ids=str)
def test_a_documented_spec_compiles(block: Block, tmp_path: Path) -> None:
    write_files(block.page, tmp_path)
    text = complete(block)
    source = read_text(text, str(block))
    assert isinstance(source, Mapping)
    assert source.get("netspec") is not None, "mark a fragment as `yaml graph` or `yaml spec`"
    importable = block.option("file") and not any(source.get(key) for key in ("input", "inputs", "extends"))
    if not importable:
        assert netspec.loads(text, name=str(block), folder=tmp_path).warnings == ()


@pytest.mark.parametrize("block", WRONG, ids=str)
def test_a_documented_mistake_gets_the_documented_message(block: Block, tmp_path: Path, golden: Golden) -> None:
    write_files(block.page, tmp_path)
    name = block.option("file") or "net.yaml"
    diagnostics = diagnosed(lambda: netspec.loads(block.text, name=name, folder=tmp_path))
    assert [diagnostic.code for diagnostic in diagnostics] == [block.option("wrong")]
    check_message(block, str(diagnostics[0]), golden)


# Python --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda page: page.stem)
@pytest.mark.filterwarnings("ignore::UserWarning:torch")
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    program = ModuleType(f"documented_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, program.__name__, program)
    for block in BLOCKS[page]:
        if block.language != "python":
            continue
        printed = io.StringIO()
        code = compile("\n" * block.line + block.text, str(page), "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, program.__dict__)  # noqa: S102 - from this repository
        expected = following(block)
        if expected is not None and expected.options == ("output",):
            assert printed.getvalue().rstrip() == expected.text.rstrip(), str(expected)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_documented_commands_exist(page: Path) -> None:
    for block in BLOCKS[page]:
        for line in block.text.splitlines():
            if block.language in ("console", "sh", "bash") or line.startswith("$ "):
                for command in re.split(r"&&|[|;>]", line.removeprefix("$ ")):
                    words = shlex.split(command, comments=True) if "netspec " in command else []
                    if words[:1] == ["netspec"] and words[1:] != ["--version"]:
                        make_parser().parse_args(words[1:])


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "console" and block.options], ids=str)
def test_a_documented_command_writes_what_is_documented(
    block: Block,
    tmp_path: Path,
    golden: Golden,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert block.options in (("fails",), ("prints",))
    fails = block.options == ("fails",)
    monkeypatch.chdir(tmp_path)
    write_files(block.page, tmp_path)
    *before, last = (shlex.split(line.removeprefix("$ "))[1:] for line in block.text.splitlines())
    for command in before:
        with pytest.raises(SystemExit, match="0"):
            main(command)
    with pytest.raises(SystemExit, match="1" if fails else "0"):
        main(last)
    written = capsys.readouterr()
    check_message(block, written.err if fails else written.out, golden)


# Links ---------------------------------------------------------------------------------------------------------------


def prose(page: Path) -> str:
    """The page without code."""
    text = re.sub(r"^\s*(`{3,}).*?^\s*\1\s*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+)[^`].*?\1", "", text, flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    found: set[str] = set()
    text = re.sub(r"^\s*(`{3,}).*?^\s*\1\s*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*$", text, re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        number, numbered = 0, slug
        while numbered in found:
            number += 1
            numbered = f"{slug}-{number}"
        found.add(numbered)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)[^)]*\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_page_names_a_place_on_one_machine(page: Path) -> None:
    assert not re.findall(r"/(?:work|tmp|home|Users)/\w+", page.read_text(encoding="utf-8"))


# Completeness --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["make_reference.py", "make_diagnostics.py"])
def test_a_generated_page_is_up_to_date(script: str) -> None:
    command = [sys.executable, str(DOCS / script), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("word", sorted({*NODE_WORDS, *DOCUMENT_KEYS, *BLOCK_KEYS, *KINDS}))
def test_the_guide_explains_every_word_of_the_language(word: str) -> None:
    text = (DOCS / "guide.md").read_text(encoding="utf-8")
    assert re.search(rf"`{word}`|`{word}:", text), f"the guide does not mention `{word}`"


def test_the_documentation_has_examples_of_every_form() -> None:
    forms = {word.partition("=")[0] for block in YAML for word in block.options}
    assert forms >= {"file", "graph", "spec", "wrong"}, "a form that nobody uses is a form that nobody tests"
    written = sum(page.read_text(encoding="utf-8").count("```yaml") for page in PAGES if page not in GENERATED)
    assert len(YAML) == written, "blocks that are not found are not tested"
