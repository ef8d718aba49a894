"""A search for specs that end in neither a graph nor diagnostics, guided by coverage. Needs atheris.

`python -m tests.guided_fuzz FOLDER -max_total_time=300` keeps what it finds in FOLDER; the options are libFuzzer's.
The first byte says whether the rest is a whole spec, a graph or an expression.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["netspec"]):
    import netspec
    from netspec import SpecError

WAYS = ("%s", "netspec: 1\ninput: [3, 8, 8]\ngraph: %s\n", "netspec: 1\ninput: [3, 8, 8]\ngraph: [{conv: [%s, 1]}]\n")


def one_input(data: bytes) -> None:
    """Raises what `netspec.loads` may not raise."""
    text = data[1:].decode("utf-8", errors="replace")
    try:
        graph = netspec.loads(WAYS[data[0] % len(WAYS)].replace("%s", text) if data else text)
    except SpecError as error:
        if not str(error):
            raise AssertionError("a failure without a message") from error
    else:
        str(graph)


def main() -> None:
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
