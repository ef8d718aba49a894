"""`netspec completion`: a script that makes a shell complete the commands and their options."""

from __future__ import annotations

import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def run(options: argparse.Namespace) -> int:
    from netspec.cli import make_parser
    from netspec.files import extra

    shtab = extra("shtab", "completion", "shell completion")
    print(shtab.complete(make_parser(), options.shell))
    return 0
