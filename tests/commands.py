"""Runs the command line inside the process of the tests."""

from __future__ import annotations

import pytest

from netspec.cli import main

GOOD = "netspec: 1\nname: good\ninput: [3, 8, 8]\nparams: {n: 4}\ngraph: [{conv: [n, 3]}]\n"
BAD = "netspec: 1\nname: bad\ninput: [3, 8, 8]\ngraph: [{cnov: [4, 3]}]\n"


class Run:
    """Runs `netspec FIRST... ARGUMENTS...`, and returns its status, stdout and stderr."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *first: str) -> None:
        self.capsys = capsys
        self.first = first

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main([*self.first, *arguments])
        printed = self.capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err
