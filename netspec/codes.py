"""The codes of diagnostics. Each has a page in `explanations/`: why it is a mistake, an example, and its repair.

`netspec explain` prints a page, `docs/diagnostics.md` holds them all, and SARIF brings them to editors.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from netspec.diagnostics import Problem, suggest

_FOLDER = Path(__file__).resolve().parent / "explanations"


@cache
def codes() -> tuple[str, ...]:
    """Every code, in alphabetical order."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.md")))


def explanation(code: str) -> str:
    """The page of a code, as Markdown. Raises `Problem` where there is no such code."""
    if code not in codes():
        help = suggest(code, codes()) or ("`netspec explain` lists the codes",)
        raise Problem("unknown-code", f"no mistake has the code `{code}`", help=help)
    return (_FOLDER / f"{code}.md").read_text(encoding="utf-8")


def reason(code: str) -> str:
    """The first paragraph of a page, on one line: why this is a mistake."""
    return explanation(code).split("\n\n")[1].replace("\n", " ")


def headline(code: str) -> str:
    """The first sentence of a page."""
    return re.split(r"(?<=[.!?]) ", reason(code), maxsplit=1)[0]
