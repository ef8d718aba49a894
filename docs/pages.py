"""What the generators of this folder end in: their pages are written, or with `--check` compared with what is there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from netspec.files import whole

ROOT = Path(__file__).resolve().parent.parent

Pages = dict[Path, str | None]
"""What each file has to hold; one that has to go is `None`."""


def main(make: Callable[[], Pages], script: str) -> int:
    """Bring the pages up to date and return 0. With `--check`, name those that are stale and return 1 if there are any.

    `make` gives the pages, and `script` is the name of the generator, for messages.
    """
    arguments = sys.argv[1:]
    if arguments not in ([], ["--check"]):
        print(f"usage: python docs/{script} [--check]", file=sys.stderr)
        return 2
    stale = {path: text for path, text in make().items() if held(path) != text}
    if arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale: run `python docs/{script}`", file=sys.stderr)
        return 1 if stale else 0
    for path, text in stale.items():
        bring(path, text)
    return 0


def held(path: Path) -> str | None:
    """The text of a file, or `None` where there is none."""
    return path.read_text(encoding="utf-8") if path.is_file() else None


def bring(path: Path, text: str | None) -> None:
    """Write a file whole, or delete it."""
    if text is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as file:
        file.write_text(text, encoding="utf-8")
