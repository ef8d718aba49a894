"""Where spec files are: those that ship, the block library, and files named by other files.

A file named inside a spec (`extends`, `imports`) is looked up from that spec's folder and may not leave the folder
tree of the spec that was opened; a bare name may also be one of the specs that ship.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from os.path import isfile
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from netspec.diagnostics import Problem, SpecError, suggest

Found = TypeVar("Found")

_PACKAGE = Path(__file__).resolve().parent
LIBRARY = _PACKAGE / "library"


@cache
def specs_folder() -> Path:
    """The specs that ship: inside an installed package, beside it in a checkout."""
    installed = _PACKAGE / "specs"
    return installed if installed.is_dir() else _PACKAGE.parent / "specs"


@cache
def shipped_specs() -> dict[str, Path]:
    """The specs that ship, by name, in alphabetical order."""
    return {path.stem: path for path in sorted(specs_folder().glob("*.yaml"))}


@cache
def library_blocks() -> dict[str, Path]:
    """The files of the standard library, by the name of the block they define."""
    return {path.stem: path for path in sorted(LIBRARY.glob("*.yaml"))}


class Origin(NamedTuple):
    """The folder that a document's file names start from, and the tree they may not leave."""

    folder: Path | None
    root: Path | None

    @classmethod
    def of(cls, path: Path) -> Origin:
        folder = path.resolve().parent
        return cls(folder, folder)

    def locate(self, reference: str) -> Path:
        """The file that `reference` names. Raises `Problem`."""
        if reference.endswith((".yaml", ".yml")):
            return self._relative(reference)
        if "/" in reference or "\\" in reference or reference.startswith("."):
            message = f"`{reference}` is neither a file name nor the name of a spec"
            raise Problem("unknown-spec", message, help=("add `.yaml`",))
        if self.folder is not None and isfile(beside := self.folder / f"{reference}.yaml"):
            return self._relative(beside.name)
        if reference in shipped_specs():
            return shipped_specs()[reference]
        help = suggest(reference, shipped_specs()) or ("`netspec list` shows the specs that ship",)
        raise Problem("unknown-spec", f"unknown spec `{reference}`", help=help)

    def inside(self, reference: str) -> Path:
        """The path that `reference` names, which need not exist. Raises `Problem` where it leaves the tree."""
        if self.folder is None or self.root is None:
            message = f"`{reference}` cannot be found: this spec is a text without a folder"
            raise Problem("outside-folder", message)
        try:
            path = (self.folder / reference).resolve()
        except (OSError, RuntimeError):
            raise Problem("outside-folder", f"`{reference}` is a link that leads nowhere") from None
        except ValueError:
            raise Problem("unknown-spec", f"`{reference}` is no name of a file") from None
        if not path.is_relative_to(self.root):
            help = ("move the file into the folder of the spec, or below it",)
            raise Problem("outside-folder", f"`{reference}` is outside the folder of the spec", help=help)
        return path

    def _relative(self, reference: str) -> Path:
        path = self.inside(reference)
        if not isfile(path):
            assert self.folder is not None
            near = suggest(reference, (p.name for p in self.folder.glob("*.yaml")))
            raise Problem("unknown-spec", f"there is no file `{reference}`", help=near)
        return path

    def beneath(self, path: Path) -> Origin:
        """The origin of a document at `path` that this one names."""
        folder = path.parent
        inside = self.root is not None and folder.is_relative_to(self.root)
        return Origin(folder, self.root if inside else folder)


class Lookups:
    """What was looked up outside of a text to understand it: files by name, and what is in them, with what was found.

    As long as all of that is found again, the text means what it meant.
    """

    def __init__(self) -> None:
        self._found: list[tuple[Callable[..., Any], tuple[Any, ...], Any]] = []

    def ask(self, question: Callable[..., Found], *arguments: Any) -> Found:
        """The answer to a question about files, which is kept."""
        answer = question(*arguments)
        self._found.append((question, arguments, answer))
        return answer

    @property
    def unchanged(self) -> bool:
        """Whether every question has the answer that it had."""
        try:
            return all(question(*arguments) == answer for question, arguments, answer in self._found)
        except (Problem, SpecError):
            return False


def find(reference: str) -> tuple[Path, str]:
    """The spec that a user names on the command line or in `load`: a file, or a spec that ships.

    Returns its path and what messages call it. Raises `Problem`.
    """
    path = Path(reference)
    if isfile(path):
        return path, reference
    shipped = shipped_specs()
    if reference in shipped:
        return shipped[reference], f"{reference}.yaml"
    if path.is_dir():
        help = ("`netspec check` takes folders that have specs in them",)
        raise Problem("unknown-spec", f"`{reference}` is a folder, not a spec", help=help)
    if path.suffix in (".yaml", ".yml", ".json") or len(path.parts) > 1:
        folder = path.parent
        pattern = "*.json" if path.suffix == ".json" else "*.y*ml"
        near = suggest(path.name, (p.name for p in folder.glob(pattern))) if folder.is_dir() else ()
        if not near and path.stem in shipped:
            near = (f"`{path.stem}` without folder and suffix names the spec that ships",)
        raise Problem("unknown-spec", f"there is no file `{reference}`", help=near)
    near = suggest(reference, shipped) or ("`netspec list` shows the specs that ship",)
    raise Problem("unknown-spec", f"unknown spec `{reference}`", help=near)
