"""The tasks of a contributor and of CI: `python tasks.py format lint types test docs wheel`, or `all`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def run(*command: str) -> None:
    """Run a command of this Python's environment in the project's folder; stop when it fails."""
    print(f"\n$ {' '.join(command)}", flush=True)
    status = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode
    if status:
        sys.exit(status)


def format() -> None:
    """Format the code and sort its imports."""
    run("ruff", "check", "--fix", "--select", "I", ".")
    run("ruff", "format", ".")


def lint() -> None:
    """Look for mistakes and for code that is not formatted."""
    run("ruff", "check", ".")
    run("ruff", "format", "--check", ".")


def types() -> None:
    """Check the types, strictly."""
    run("mypy")


def docs() -> None:
    """Check that the generated pages are up to date."""
    run("docs.make_reference", "--check")
    run("docs.make_zoo", "--check")


def wheel() -> None:
    """Build the wheel and check that the specs and the library are inside."""
    with tempfile.TemporaryDirectory() as folder:
        run("build", "--wheel", "--outdir", folder)
        (built,) = Path(folder).glob("*.whl")
        names = set(zipfile.ZipFile(built).namelist())
    expected = {f"netspec/{path.relative_to(ROOT)}" for path in ROOT.glob("specs/*.yaml")}
    expected |= {str(path.relative_to(ROOT)) for path in ROOT.glob("netspec/library/*.yaml")} | {"netspec/py.typed"}
    if missing := sorted(expected - names):
        sys.exit(f"the wheel lacks {', '.join(missing)}")
    print(f"{built.name} holds all {len(expected)} data files")


def test() -> None:
    """Run the tests, on all cores."""
    run("pytest", "-q", "-n", "auto")


def heavy() -> None:
    """Run the tests that are too large for every run, one after the other."""
    run("pytest", "-q", "-m", "heavy")


TASKS: dict[str, Callable[[], None]] = {
    "format": format,
    "lint": lint,
    "types": types,
    "docs": docs,
    "wheel": wheel,
    "test": test,
    "heavy": heavy,
}


def main(names: list[str]) -> None:
    if names == ["all"]:
        names = [name for name in TASKS if name not in ("format", "heavy")]
    if not names or not set(names) <= set(TASKS):
        listing = "\n".join(f"  {name:<8}{task.__doc__}" for name, task in TASKS.items())
        everything = "  all     All of them but `format` and `heavy`: what CI runs."
        sys.exit(f"usage: python tasks.py TASK...\n\n{listing}\n{everything}")
    for name in names:
        TASKS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
