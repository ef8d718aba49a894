"""The tasks of a contributor and of CI: `python tasks.py format lint types test docs wheel`, or `all`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def run(*command: str) -> None:
    """Run a module of this Python's environment, or a script, in the project's folder; stop when it fails."""
    print(f"\n$ {' '.join(command)}", flush=True)
    program = command if command[0].endswith(".py") else ("-m", *command)
    status = subprocess.run([sys.executable, *program], cwd=ROOT, check=False).returncode
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
    run("docs/make_reference.py", "--check")
    run("docs/make_gallery.py", "--check")
    run("docs/make_zoo.py", "--check")
    run("docs/make_schema.py", "--check")
    run("docs/make_diagnostics.py", "--check")
    run("docs/make_benchmarks.py", "--check")


def wheel() -> None:
    """Build the wheel and check that the specs, the library and all other data are inside."""
    with tempfile.TemporaryDirectory() as folder:
        run("build", "--wheel", "--outdir", folder)
        (built,) = Path(folder).glob("*.whl")
        names = set(zipfile.ZipFile(built).namelist())
    expected = {f"netspec/{path.relative_to(ROOT)}" for path in ROOT.glob("specs/*.yaml")}
    expected |= {str(path.relative_to(ROOT)) for path in ROOT.glob("netspec/library/*.yaml")}
    expected |= {"netspec/py.typed", "netspec/specs/netspec.schema.json"}
    expected |= {str(path.relative_to(ROOT)) for path in ROOT.glob("netspec/explanations/*.md")}
    expected |= {str(path.relative_to(ROOT)) for path in ROOT.glob("netspec/backends/pictures/page_assets/**/*.*")}
    if missing := sorted(expected - names):
        sys.exit(f"the wheel lacks {', '.join(missing)}")
    print(f"{built.name} holds all {len(expected)} data files")


def test() -> None:
    """Run the tests, on all cores."""
    run("pytest", "-q", "-n", "auto")


def equivalence() -> None:
    """Compare every network in full, the largest too, one after the other, and write docs/equivalence.md."""
    comparisons = ("tests/test_torchvision.py", "tests/test_timm.py")
    run("pytest", "-q", "-m", "proves", "--equivalence", "docs/equivalence.md", *comparisons)


def capabilities() -> None:
    """Try all that PyTorch can do with a network on six of them, and write docs/capabilities.md."""
    run("pytest", "-q", "-m", "proves", "--capabilities", "docs/capabilities.md", "tests/test_engines.py")


def heavy() -> None:
    """Run the tests that are too large for every run, one after the other: this takes hours."""
    run("pytest", "-q", "-m", "heavy")


def fuzz() -> None:
    """Search for specs that end in neither a graph nor diagnostics, for some minutes, with atheris if it is there."""
    os.environ["NETSPEC_FUZZ"] = "longer"
    run("pytest", "-q", "tests/test_fuzz.py", "tests/test_mutations.py")
    if importlib.util.find_spec("atheris"):
        run("tests.guided_fuzz", "-max_total_time=300", "-artifact_prefix=.hypothesis/", "-timeout=10")


TASKS: dict[str, Callable[[], None]] = {
    "format": format,
    "lint": lint,
    "types": types,
    "docs": docs,
    "wheel": wheel,
    "test": test,
    "equivalence": equivalence,
    "capabilities": capabilities,
    "heavy": heavy,
    "fuzz": fuzz,
}


EXTRA = ("format", "equivalence", "capabilities", "heavy", "fuzz")
"""What is not run in CI."""


def main(names: list[str]) -> None:
    if names == ["all"]:
        names = [name for name in TASKS if name not in EXTRA]
    if not names or not set(names) <= set(TASKS):
        listing = "\n".join(f"  {name:<13}{task.__doc__}" for name, task in TASKS.items())
        everything = f"  {'all':<13}What CI runs: all of them but {', '.join(EXTRA)}."
        sys.exit(f"usage: python tasks.py TASK...\n\n{listing}\n{everything}")
    for name in names:
        TASKS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
