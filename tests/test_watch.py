"""`netspec watch` as a browser and an editor see it: what is served, and what changes when a file is saved."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import pytest
from playwright.sync_api import Browser, Frame, Page

import netspec
from netspec.backends.pictures.page import to_page
from netspec.cli import make_parser
from netspec.commands.watch import watcher
from netspec.diagnostics import SpecError
from netspec.watch import PORT, Board, Watcher, open_server, serve, stamps_of_spec
from tests.commands import BAD, GOOD, Run
from tests.test_page import browser

__all__ = ["browser"]  # a fixture, which pytest finds by its name

DEADLINE = 30.0  # seconds; a test that passes takes a fraction of it


class Watched:
    """A spec that is watched, and served to this test."""

    def __init__(self, watcher: Watcher, board: Board) -> None:
        self.server = open_server(None, board)
        self.url = self.server.url
        self._stop = Event()
        self._thread = Thread(target=serve, args=(self.server, watcher, self._stop))
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=DEADLINE) as answer:
            return str(answer.read().decode())

    def until(self, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first event of which this is true."""
        end = monotonic() + DEADLINE
        event: dict[str, Any] = {}
        with urllib.request.urlopen(self.url + "events", timeout=DEADLINE) as stream:
            assert stream.headers["Content-Type"] == "text/event-stream"
            for line in stream:
                assert monotonic() < end, event
                if line.startswith(b"data: "):
                    event = json.loads(line[6:])
                    if true(event):
                        return event
        raise AssertionError(f"the server ended after {event}")

    def good(self) -> dict[str, Any]:
        return self.until(lambda event: event["state"] == "good")

    def wrong(self) -> str:
        """What there is to say as soon as something is wrong."""
        event = self.until(lambda event: event["state"] == "wrong")
        return "\n\n".join("".join(piece for _, piece in message) for message in event["messages"])


Watch = Callable[..., Watched]


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Watch a spec in a folder of its own, under the options of the command line or by another command."""
    monkeypatch.chdir(tmp_path)
    started: list[Watched] = []

    def begin(*arguments: str, command: list[str] | None = None) -> Watched:
        board = Board()
        if command is None:
            started.append(Watched(watcher(make_parser().parse_args(["watch", *arguments]), board), board))
        else:
            started.append(Watched(Watcher(Path(*arguments), command, "", board), board))
        return started[-1]

    yield begin
    for watched in started:
        watched.end()


def write(name: str, text: str) -> None:
    """Save as editors do: the file that is there is replaced by a complete one."""
    Path(f"{name}~").write_text(text, encoding="utf-8")
    Path(f"{name}~").replace(name)


# What is served ------------------------------------------------------------------------------------------------------


def test_the_page_of_the_network_is_served(watch: Watch) -> None:
    write("good.yaml", GOOD)
    watched = watch("good.yaml", "--set", "n=7")
    event = watched.good()
    assert (event["note"], event["messages"]) == ("", [])
    assert watched.get("page") == to_page(netspec.load("good.yaml", n=7))
    assert "<iframe" not in watched.get("")
    assert 'new EventSource("/events")' in watched.get("")


def test_specs_that_ship_are_watched_by_name(watch: Watch) -> None:
    assert watch("lenet5").good()["page"]


def test_warnings_stand_beside_the_picture(watch: Watch) -> None:
    write("good.yaml", GOOD.replace("{n: 4}", "{n: 4, m: 5}"))
    ((_, message), *_) = [("", "".join(text for _, text in pieces)) for pieces in watch("good.yaml").good()["messages"]]
    assert message == str(netspec.load("good.yaml").warnings[0])


def status_of(watched: Watched, path: str, method: str = "GET", **headers: str) -> int:
    connection = HTTPConnection("127.0.0.1", watched.server.port, timeout=DEADLINE)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


def test_only_this_machine_under_its_own_name_gets_an_answer(watch: Watch) -> None:
    write("good.yaml", GOOD)
    watched = watch("good.yaml")
    port = watched.server.port
    assert watched.server.server_address[0] == "127.0.0.1"
    assert [status_of(watched, "/", Host=f"{name}:{port}") for name in ("127.0.0.1", "localhost")] == [200, 200]
    others = [
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1",
        f"127.0.0.1:{port + 1}",
        f"localhost:{port}.evil",
        "",
    ]
    assert [status_of(watched, "/events", Host=host) for host in others] == [403] * len(others)


@pytest.mark.parametrize("path", ["/good.yaml", "/page/", "//page", "/../good.yaml", "/page?x", "/favicon.ico"])
def test_no_other_path_is_answered(watch: Watch, path: str) -> None:
    write("good.yaml", GOOD)
    assert status_of(watch("good.yaml"), path) == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "DELETE"])
def test_nothing_but_get_is_answered(watch: Watch, method: str) -> None:
    write("good.yaml", GOOD)
    assert status_of(watch("good.yaml"), "/", method) == 501


def test_there_is_no_page_before_the_first_picture(watch: Watch) -> None:
    write("slow.yaml", GOOD)
    watched = watch("slow.yaml", command=[sys.executable, "-c", "input()"])
    with pytest.raises(urllib.error.HTTPError, match="404"):
        watched.get("page")


# What a save does ----------------------------------------------------------------------------------------------------


def test_a_save_draws_anew_and_every_browser_is_told(watch: Watch) -> None:
    write("good.yaml", GOOD)
    watched = watch("good.yaml")
    before = watched.good()["page"]
    told: list[str] = []

    def listen() -> None:
        told.append(watched.until(lambda event: event["page"] != before)["page"])

    browsers = [Thread(target=listen) for _ in range(2)]
    for thread in browsers:
        thread.start()
    write("good.yaml", GOOD.replace("3]", "5]"))
    for thread in browsers:
        thread.join(DEADLINE)
    assert len(told) == 2
    assert len({before, *told}) == 2
    assert watched.get("page") == to_page(netspec.load("good.yaml"))


def test_a_wrong_spec_is_told_beside_the_last_good_picture_until_it_is_right(watch: Watch) -> None:
    write("net.yaml", GOOD)
    watched = watch("net.yaml")
    before, picture = watched.good()["page"], watched.get("page")
    write("net.yaml", BAD)
    with pytest.raises(SpecError) as caught:
        netspec.load("net.yaml")
    assert watched.wrong() == str(caught.value)
    assert watched.get("page") == picture
    write("net.yaml", GOOD)
    assert watched.good()["page"] == before


def test_a_spec_that_is_wrong_from_the_start_is_drawn_as_far_as_it_is_understood(watch: Watch) -> None:
    write("net.yaml", GOOD.replace("3]}]", "3]}, {conv: [4, 99]}]"))
    watched = watch("net.yaml")
    assert "error[kernel-too-large]" in watched.wrong()
    assert '"failed":true' in watched.get("page")
    assert watched.until(bool)["note"] == "the picture is a sketch of what is understood"


def test_a_spec_that_is_no_yaml_has_messages_and_no_picture(watch: Watch) -> None:
    write("net.yaml", "graph: [")
    watched = watch("net.yaml")
    assert watched.wrong().startswith("error[invalid-yaml]")
    event = watched.until(bool)
    assert (event["page"], event["note"]) == ("", "no picture yet")
    write("net.yaml", GOOD)
    assert watched.good()["page"]


def test_a_file_that_is_deleted_is_waited_for(watch: Watch) -> None:
    write("net.yaml", GOOD)
    watched = watch("net.yaml")
    picture = watched.good()["page"]
    Path("net.yaml").unlink()
    event = watched.until(lambda event: event["state"] == "gone")
    assert event["note"] == "net.yaml is gone; waiting for it to come back"
    assert event["page"] == picture
    write("net.yaml", GOOD)
    assert watched.good()["page"] == picture


def test_a_save_of_a_file_that_is_extended_or_imported_draws_anew(watch: Watch) -> None:
    write("net.yaml", "netspec: 1\nextends: middle.yaml\n")
    write("middle.yaml", "netspec: 1\nextends: base\nparams: {n: 6}\n")
    write("base.yaml", GOOD.replace("graph: [", "imports: [parts.yaml]\ngraph: [brick, "))
    write("parts.yaml", "netspec: 1\nblocks: {brick: {graph: [relu]}}\n")
    watched = watch("net.yaml")
    pages = [watched.good()["page"]]
    for name, old, new in (("middle", "6", "7"), ("base", "3]}", "1]}"), ("parts", "relu", "tanh")):
        write(f"{name}.yaml", Path(f"{name}.yaml").read_text().replace(old, new))
        pages.append(watched.until(lambda event: event["page"] != pages[-1])["page"])
    assert len(set(pages)) == 4
    Path("parts.yaml").unlink()
    assert "there is no file `parts.yaml`" in watched.wrong()
    write("parts.yaml", "netspec: 1\nblocks: {brick: {graph: [relu]}}\n")
    assert watched.good()


def test_every_file_that_a_spec_names_is_watched_whether_it_is_there_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write("net.yaml", "extends: resnet18\nimports: [a.yaml, missing.yaml, ../outside.yaml, [x], net.yaml]\n")
    write("a.yaml", "imports: b.yaml")
    write("b.yaml", "extends: [")
    stamps = stamps_of_spec(Path("net.yaml"))
    own = {Path(name) for name, stamp in stamps.items() if Path(name).parent in (Path(), tmp_path)}
    assert {path.name for path in own} == {"net.yaml", "a.yaml", "b.yaml", "missing.yaml", "resnet18.yaml"}
    assert {Path(name).name for name, stamp in stamps.items() if not stamp} == {"missing.yaml", "resnet18.yaml"}
    assert {"resnet18.yaml", "resnet.yaml"} & {Path(name).name for name, stamp in stamps.items() if stamp}


# Slow and failing compilations ---------------------------------------------------------------------------------------

SLEEPER = """
import os, pathlib, sys, time
pathlib.Path("started").open("a").write(f"{os.getpid()}\\n")
time.sleep(600)
"""


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_slow_compilation_is_told_and_ended_by_the_next_save(watch: Watch) -> None:
    write("slow.yaml", GOOD)
    watched = watch("slow.yaml", command=[sys.executable, "-c", SLEEPER])
    event = watched.until(lambda event: event["note"] != "")
    assert event["state"] == "compiling"
    assert event["note"].startswith("still compiling, for ")
    assert watched.get("").startswith("<!DOCTYPE html>")
    write("slow.yaml", BAD)
    end = monotonic() + DEADLINE
    while len(started := Path("started").read_text().split()) < 2:
        assert monotonic() < end
        sleep(0.02)
    assert [alive(int(process)) for process in started] == [False, True]
    watched.end()
    assert not any(alive(int(process)) for process in started)


def test_a_compiler_that_dies_is_told(watch: Watch) -> None:
    write("net.yaml", GOOD)
    watched = watch("net.yaml", command=[sys.executable, "-c", "raise MemoryError('all of it')"])
    assert watched.wrong() == "netspec failed to compile this: MemoryError: all of it"


# The command ---------------------------------------------------------------------------------------------------------


def test_a_spec_that_is_not_there_is_an_error_before_anything_is_served(run: Run) -> None:
    status, out, err = run("watch", "nowhere.yaml")
    assert (status, out) == (1, "")
    assert err.startswith("error[unknown-spec]: there is no file `nowhere.yaml`")


def test_a_port_in_use_is_an_error_where_it_was_asked_for(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SpecError) as caught:
            open_server(port, Board())
        status, out, err = run("watch", "good.yaml", "--port", str(port))
    assert (status, out) == (1, "")
    assert err.startswith(f"error[unusable-port]: cannot listen on port {port}: address already in use\n")
    assert "help: choose another" in err
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["unusable-port"]


def test_without_a_port_one_that_is_free_is_taken(run: Run) -> None:
    with open_server(None, Board()) as first, open_server(None, Board()) as second:
        assert PORT <= first.port != second.port
    assert str(PORT) in run("watch", "--help")[1]


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_a_port_is_a_number_that_ports_have(run: Run, port: str) -> None:
    status, _, err = run("watch", "good.yaml", f"--port={port}")
    assert status == 2
    assert "is a number from 1 to 65535" in err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_the_command_prints_its_address_ends_with_an_interrupt_and_leaves_nothing(run: Run) -> None:
    before = {path: path.read_bytes() for path in Path().iterdir()}
    command = [sys.executable, "-m", "netspec", "watch", "good.yaml"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, err) == (130, "watching good.yaml; Ctrl-C ends it\n")
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


# In a browser --------------------------------------------------------------------------------------------------------

NETWORK = """netspec: 1
name: network
input: [3, 32, 32]
graph:
  stem: {conv: [8, 3], padding: same}
  body:
    - [{conv: [8, 3], padding: same}, relu, {conv: [8, 3], padding: same}, sigmoid]
    - [{conv: [8, 1]}, relu, {max_pool: 2}, {conv: [16, 3], padding: same}]
  tail: {linear: 10}
"""


@pytest.fixture
def tab(browser: Browser) -> Iterator[Callable[[str], Page]]:
    """Open an address in a tab; afterwards, look whether anything complained."""
    heard: list[str] = []
    context = browser.new_context(viewport={"width": 1000, "height": 700}, reduced_motion="reduce")  # at once

    def opened(url: str) -> Page:
        page = context.new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.goto(url)
        return page

    yield opened
    context.close()
    assert heard == []


def picture(page: Page) -> Frame:
    """The frame that is seen, once it is there and this test has not had it before."""
    page.wait_for_function(
        "() => { const frame = document.querySelector('iframe.seen'); return frame && !frame.contentWindow.had; }"
    )
    frame = page.locator("iframe.seen").element_handle().content_frame()
    assert frame is not None
    frame.evaluate("window.had = true")
    return frame


PLACE = """() => {
    const {entries} = page.scene;
    const entry = entries.find(({item}) => item.path === "body.1.3");
    return [page.view.x + (entry.x + entry.width / 2) * page.view.scale, page.view.y + entry.y * page.view.scale];
}"""


def test_the_view_is_kept_when_the_network_is_drawn_anew(watch: Watch, tab: Callable[[str], Page]) -> None:
    write("net.yaml", NETWORK)
    page = tab(watch("net.yaml").url)
    first = picture(page)
    first.evaluate("page.closeAll(), page.select('body.1.3'), page.paint('dark'), page.view.zoom(1.5)")
    first.locator("#picture").focus()
    opened = first.evaluate("[...page.open].sort()")
    assert opened != sorted(first.evaluate("page.network.open"))
    place, shift = first.evaluate(PLACE), first.evaluate("page.view.y")
    write("net.yaml", NETWORK.replace("  body:", "  new: {conv: [8, 5], padding: same}\n  body:"))
    second = picture(page)
    assert "new" in second.evaluate("[...page.network.walk()].map(([path]) => path)")
    assert second.evaluate("[...page.open].sort()") == opened
    assert second.evaluate("[page.selected, page.theme]") == ["body.1.3", "dark"]
    assert second.evaluate(PLACE) == pytest.approx(place, abs=0.6)
    assert second.evaluate("page.view.y") < shift - 20, "the new node stands above"
    assert second.evaluate("document.activeElement.id") == "picture"
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    third = picture(page)
    assert third.evaluate("[page.selected, page.theme]") == ["body.1.3", "dark"]
    assert third.evaluate(PLACE) == pytest.approx(place, abs=0.6)


def test_messages_come_and_go_beside_the_picture_in_every_tab(watch: Watch, tab: Callable[[str], Page]) -> None:
    write("net.yaml", NETWORK)
    watched = watch("net.yaml")
    pages = [tab(watched.url), tab(f"{watched.url}#body.1")]
    frames = [picture(page) for page in pages]
    assert frames[1].evaluate("page.selected") == "body.1"
    assert not pages[0].locator("section").is_visible()
    write("net.yaml", NETWORK.replace("linear", '"<img src=x onerror=window.hacked=1>"'))
    for page in pages:
        page.locator("section pre").wait_for()
        shown = page.locator("section pre").inner_text()
        assert shown.startswith("error[unknown-op]: `<img src=x onerror=window.hacked=1>` is not the name")
        assert page.locator("section img").count() == 0
        assert "last valid version" in page.locator("section b").inner_text()
        assert page.locator("iframe").count() == 1
        assert page.evaluate("document.querySelector('iframe.seen').contentWindow.had")
    pages[1].locator("section button").click()
    assert not pages[1].locator("section").is_visible()
    write("net.yaml", NETWORK)
    pages[0].locator("section").wait_for(state="hidden")
    assert pages[0].evaluate("document.querySelector('iframe.seen').contentWindow.had")


def test_the_page_says_when_the_server_has_ended_and_goes_on_with_the_next(
    watch: Watch, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("net.yaml", NETWORK)
    watched = watch("net.yaml")
    page = browser.new_page()
    page.goto(watched.url)
    picture(page)
    port = watched.server.port
    watched.end()
    page.locator("section").get_by_text("netspec watch has ended").wait_for()
    monkeypatch.setattr("netspec.watch._PORTS", (port,))
    watch("net.yaml")
    page.locator("section").wait_for(state="hidden")
    page.close()
