"""Serves the page of a spec to browsers on this machine, and brings it up to date whenever a file of the spec is saved.

In goes a command that compiles the spec once; it runs as a process of its own, so that a slow spec holds nothing up and
a newer save can end it. Out come a page with the last good picture and the messages beside it. Nothing is written.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from secrets import token_urlsafe
from socketserver import ThreadingTCPServer
from subprocess import PIPE, Popen
from threading import Condition, Event, Thread
from time import monotonic
from typing import Any, Literal, NamedTuple

from netspec import source
from netspec.catalog import Origin, shipped_specs
from netspec.diagnostics import Diagnostic, Problem, SpecError
from netspec.limits import limits

HOST = "127.0.0.1"
PORT = 8421
_PORTS = (*range(PORT, PORT + 10), 0)  # 0 is any that is free
_INTERVAL = 0.1  # seconds between two looks at the files
_SLOW = 2  # seconds after which a compilation is said to take long
_HEARTBEAT = 15.0  # seconds after which a browser is asked whether it is still there
_READING_TIME = 30.0  # seconds that a browser may take to ask or to listen
_SHELL = Path(__file__).parent / "watch.html"
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Painted = list[tuple[str, str]]
"""A text in pieces: the number of its look, as terminals count them, and the piece."""


class Reply(NamedTuple):
    """What one compilation says: the stamps of all files it read, its picture, and what is wrong or likely wrong.

    The picture of a spec that is not `good` is a sketch, or empty.
    """

    good: bool
    page: str
    messages: list[Painted]
    stamps: dict[str, str]


class Shown(NamedTuple):
    """What browsers show: the last good picture as HTML, and what there is to say of the files as they are now."""

    state: Literal["compiling", "good", "wrong", "gone"] = "compiling"
    note: str = ""
    messages: Sequence[Painted] = ()
    page: str = ""

    def event(self) -> bytes:
        """What a browser is told. The page is named by its content, so an equal one is not loaded again."""
        name = sha256(self.page.encode()).hexdigest() if self.page else ""
        return f"data: {json.dumps(self._replace(page=name)._asdict())}\n\n".encode()


class Board:
    """What is shown now, for one thread to change and any number to wait for."""

    def __init__(self) -> None:
        self.shown = Shown()
        self.closed = False
        self._changed = Condition()

    def show(self, **changes: Any) -> None:
        with self._changed:
            self.shown = self.shown._replace(**changes)
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def other_than(self, seen: Shown | None, timeout: float) -> Shown:
        """What is shown as soon as that is something else, or after some seconds anyway."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self.shown is not seen, timeout)
            return self.shown


# Files ---------------------------------------------------------------------------------------------------------------


def stamp(path: str | Path) -> str:
    """What changes when a file is saved; empty where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"


def stamps_of_spec(path: Path) -> dict[str, str]:
    """The stamps of a spec and of every file that it names, and that those name, whether it is there or not."""
    stamps: dict[str, str] = {}
    waiting = [(path, Origin.of(path))]
    while waiting and len(stamps) <= limits().extends + limits().imports:
        path, origin = waiting.pop()
        if str(path) not in stamps:
            stamps[str(path)] = stamp(path)
            named = (file for reference in _references(path) for file in _files(reference, origin))
            waiting.extend((file, origin.beneath(file)) for file in named)
    return stamps


def _references(path: Path) -> Iterator[str]:
    """What a file extends and imports, as written; nothing where it cannot be read."""
    try:
        document = source.read(path) if path.is_file() else None
    except SpecError:
        return
    if not isinstance(document, source.Mapping):
        return
    for value in (document.get("extends"), document.get("imports")):
        items = value.items if isinstance(value, source.Sequence) else [value]
        yield from (item.text for item in items if isinstance(item, source.Scalar))


def _files(reference: str, origin: Origin) -> Iterator[Path]:
    """Where the file of a reference is looked for: a bare name beside the spec, and among those that ship."""
    bare = not reference.endswith((".yaml", ".yml"))
    with suppress(Problem):
        yield origin.inside(f"{reference}.yaml" if bare else reference)
    if bare and reference in shipped_specs():
        yield shipped_specs()[reference]


# Compiling -----------------------------------------------------------------------------------------------------------


def painted(diagnostics: Iterable[Diagnostic]) -> list[Painted]:
    """Diagnostics as they look in a terminal, in pieces."""
    texts = (re.split(r"\x1b\[([\d;]*)m", diagnostic.render(color=True)) for diagnostic in diagnostics)
    return [[("", text[0]), *zip(text[1::2], text[2::2], strict=True)] for text in texts]


class _Compilation:
    """One run of the command, which reads a request from stdin and writes a `Reply` to stdout."""

    def __init__(self, command: Sequence[str], request: str) -> None:
        self.started = monotonic()
        self.reply: Reply | None = None
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True, encoding="utf-8")
        self._thread = Thread(target=self._communicate, args=(request,), daemon=True)
        self._thread.start()

    def _communicate(self, request: str) -> None:
        out, err = self._process.communicate(request)
        try:
            self.reply = Reply(*json.loads(out))
        except ValueError:
            last = err.strip().rpartition("\n")[2] or f"it ended with status {self._process.returncode}"
            self.reply = Reply(False, "", [[("", f"netspec failed to compile this: {last}")]], {})

    def end(self) -> None:
        self._process.kill()
        self._thread.join()


class Watcher:
    """Compiles a spec whenever one of its files has changed, and puts the outcome on a board."""

    def __init__(self, path: Path, command: Sequence[str], request: str, board: Board) -> None:
        self.path = path
        self.command = command
        self.request = request
        self.board = board
        self._stamps = {str(path): "not yet compiled"}
        self._before: Mapping[str, str] = {}
        self._compilation: _Compilation | None = None
        self._seconds = 0
        self._good = False

    def run(self, stop: Event) -> None:
        """Watch until `stop` is set."""
        try:
            while not stop.wait(_INTERVAL):
                self._look()
                self._collect()
        finally:
            self._end()

    def _look(self) -> None:
        """Start anew when files have changed, and stayed so for one look: an editor may be in the middle of a file."""
        now = {file: stamp(file) for file in self._stamps}
        if now != self._stamps and now == self._before:
            self._stamps = now
            self._end()
            if self.path.is_file():
                self._compilation = _Compilation(self.command, self.request)
                self._seconds = 0
            else:
                self.board.show(state="gone", note=f"{self.path} is gone; waiting for it to come back", messages=())
        self._before = now

    def _collect(self) -> None:
        compilation = self._compilation
        if compilation is None:
            return
        if compilation.reply is None:
            seconds = int(monotonic() - compilation.started)
            if seconds >= _SLOW and seconds != self._seconds:
                self._seconds = seconds
                self.board.show(note=f"still compiling, for {seconds} s; a save starts anew")
            return
        self._end()
        self._publish(compilation.reply)

    def _publish(self, reply: Reply) -> None:
        """Put a reply on the board. A sketch is shown until there is a good picture, and never in its place."""
        self._stamps = reply.stamps or self._stamps
        page = self.board.shown.page
        if reply.page and (reply.good or not self._good):
            page = reply.page
        self._good = self._good or reply.good
        if reply.good:
            note = ""
        elif self._good:
            note = "the picture is that of the last valid version"
        else:
            note = "the picture is a sketch of what is understood" if page else "no picture yet"
        self.board.show(state="good" if reply.good else "wrong", note=note, messages=reply.messages, page=page)

    def _end(self) -> None:
        if self._compilation is not None:
            self._compilation.end()
            self._compilation = None


# Serving -------------------------------------------------------------------------------------------------------------


class Server(ThreadingTCPServer):
    """Serves a board to browsers on this machine. Raises `OSError` where the port cannot be had."""

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # on Windows this would share a port that is in use

    def __init__(self, port: int, board: Board) -> None:
        super().__init__((HOST, port), _Handler)
        self.board = board
        self.port: int = self.server_address[1]
        self.url = f"http://{HOST}:{self.port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is no error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def open_server(port: int | None, board: Board) -> Server:
    """A server at a port, by default the first of some that is free. Raises `SpecError` where it cannot be had."""
    for candidate in _PORTS if port is None else (port,):
        try:
            return Server(candidate, board)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
    help = ("choose another, or leave `--port` out: netspec then takes one that is free",)
    raise SpecError([Problem("unusable-port", f"cannot listen on port {candidate}: {reason}", help=help).at(None)])


def serve(server: Server, watcher: Watcher, stop: Event) -> None:
    """Serve and watch until `stop` is set, or an exception such as `KeyboardInterrupt` ends it."""
    Thread(target=server.serve_forever, kwargs={"poll_interval": _INTERVAL}, daemon=True).start()
    try:
        watcher.run(stop)
    finally:
        server.board.close()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers `GET` for three paths. A request under another name is refused: a site whose name leads here sent it."""

    server: Server
    timeout = _READING_TIME

    def do_GET(self) -> None:
        answers: dict[str, Callable[[], None]] = {"/": self._shell, "/page": self._page, "/events": self._events}
        if self.headers.get_all("Host") not in [[f"{name}:{self.server.port}"] for name in (HOST, "localhost")]:
            self.send_error(403, "netspec answers under the name of this machine alone")
        elif self.path not in answers:
            self.send_error(404)
        else:
            answers[self.path]()

    def _shell(self) -> None:
        nonce = token_urlsafe()
        policy = f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        policy += "frame-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        self._send(_SHELL.read_text(encoding="utf-8").replace("{{nonce}}", nonce), policy)

    def _page(self) -> None:
        page = self.server.board.shown.page
        if page:
            self._send(page, "frame-ancestors 'self'")
        else:
            self.send_error(404, "no picture yet")

    def _send(self, page: str, policy: str) -> None:
        body = page.encode()
        self._begin({"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body))}, policy)
        self.wfile.write(body)

    def _events(self) -> None:
        self._begin({"Content-Type": "text/event-stream"}, "default-src 'none'")
        board, seen = self.server.board, None
        self.wfile.write(b"retry: 1000\n\n")
        while not board.closed:
            shown = board.other_than(seen, _HEARTBEAT)
            self.wfile.write(b":\n\n" if shown is seen else shown.event())
            seen = shown

    def _begin(self, headers: Mapping[str, str], policy: str) -> None:
        self.send_response(200)
        for name, value in {**headers, **_HEADERS, "Content-Security-Policy": policy}.items():
            self.send_header(name, value)
        self.end_headers()

    def version_string(self) -> str:
        return "netspec"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are nobody's concern."""
