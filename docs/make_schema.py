"""Writes `specs/netspec.schema.json`, which the first line of every spec that ships names for editors.

Run `python docs/make_schema.py`; with `--check` nothing is written, and the exit status is 1 when the file is stale.
"""

from __future__ import annotations

from pages import ROOT, main

from netspec.schema import schema_text

FILE = ROOT / "specs" / "netspec.schema.json"

if __name__ == "__main__":
    raise SystemExit(main(lambda: {FILE: schema_text()}, "make_schema.py"))
