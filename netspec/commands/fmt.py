"""`netspec fmt`: specs in the one canonical layout."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from netspec.commands.common import complain, spec_files
from netspec.diagnostics import SourceFile, SpecError
from netspec.files import whole


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="a YAML file, a folder, or - for stdin to stdout")
    look = parser.add_mutually_exclusive_group()
    look.add_argument("--check", action="store_true", help="change nothing, and fail if a file would change")
    look.add_argument("--diff", action="store_true", help="like --check, and print the differences")


def run(options: argparse.Namespace) -> int:
    status = 0
    for name in spec_files(options.files):
        try:
            file, text = _formatted(name)
            if options.check or options.diff:
                status |= _report(file, text, options.diff)
            elif name == "-":
                print(text, end="")
            elif text != file.text:
                _replace(Path(name), text)
                print(name)
        except SpecError as error:
            status = complain(error.diagnostics)
    return status


def _formatted(name: str) -> tuple[SourceFile, str]:
    """The file as it is, and its text as it should be."""
    from netspec.layout import tidy
    from netspec.parts import DOCUMENT_KEYS
    from netspec.source import read, read_bytes

    source = read_bytes(sys.stdin.buffer.read(), "<stdin>") if name == "-" else read(Path(name))
    return source.span.file, tidy(source, DOCUMENT_KEYS)


def _report(file: SourceFile, text: str, diff: bool) -> bool:
    """Print what would change in a file; returns whether anything would."""
    from difflib import unified_diff

    if diff:
        before, after = file.text.splitlines(keepends=True), text.splitlines(keepends=True)
        for line in unified_diff(before, after, file.name, file.name):
            print(line, end="" if line.endswith("\n") else "\n\\ No newline at end of file\n")
    elif text != file.text:
        print(file.name)
    return text != file.text


def _replace(path: Path, text: str) -> None:
    """Write a file anew, where a link to it leads and with the permissions it has."""
    target = path.resolve()
    mode = target.stat().st_mode
    with whole(target) as temporary:
        temporary.write_bytes(text.encode())
    target.chmod(mode)
