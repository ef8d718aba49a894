"""Files are written whole or not at all, and packages that are optional are asked for by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from netspec.diagnostics import Problem, SpecError

WEIGHT_FILES = (".safetensors", ".pth", ".pt")
"""Suffixes of the files that weights are read from."""

GRAPH_FORMAT = 1
"""The version of graph files. It counts the changes that a reader of the version before would not understand."""


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well, and vanishes when it does not.

    Raises `SpecError` where the file cannot be written.
    """
    import tempfile  # only for who writes a file

    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise unwritable(target, error) from None
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except OSError as error:
        raise unwritable(target, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> SpecError:
    """The error of a file that cannot be written."""
    reason = (error.strerror or str(error)).lower()
    return SpecError([Problem("unwritable-file", f"cannot write `{path}`: {reason}").at(None)])


def unknown_format(path: str | Path, known: list[str]) -> SpecError:
    """The error of a file name whose suffix names no format."""
    suffix = Path(path).suffix
    message = f"unknown format `{suffix}` of `{path}`" if suffix else f"`{path}` has no suffix to tell its format"
    return SpecError([Problem("unknown-format", message, help=(f"the formats are {', '.join(known)}",)).at(None)])


def extra(module: str, name: str, purpose: str) -> Any:
    """Import an optional package, or raise a `SpecError` that says how to install it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name != module.partition(".")[0]:
            raise
        message = f"{purpose} needs the package `{module.partition('.')[0]}`, which is not installed"
        problem = Problem("missing-extra", message, help=(f"pip install 'netspec[{name}]'",))
        raise SpecError([problem.at(None)]) from None
