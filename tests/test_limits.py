"""A spec cannot eat the machine: what is too much is refused with a message, soon."""

from __future__ import annotations

import pytest

import netspec
from netspec import SpecError

HEAD = "netspec: 1\nname: big\ninput: [3, 8, 8]\n"


def exponential_blocks(levels: int) -> str:
    blocks = ["  b0: {graph: [relu, relu]}"]
    blocks += [f"  b{i}: {{graph: [b{i - 1}, b{i - 1}]}}" for i in range(1, levels)]
    return HEAD + "blocks:\n" + "\n".join(blocks) + f"\ngraph: [b{levels - 1}]\n"


def chained_blocks(length: int) -> str:
    blocks = [f"  b{i}: {{graph: [b{i + 1}]}}" for i in range(length)]
    return HEAD + "blocks:\n" + "\n".join(blocks) + f"\n  b{length}: {{graph: [relu]}}\ngraph: [b0]\n"


def billion_laughs() -> str:
    anchors = ["a0: &a0 [relu]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    return HEAD + "\n".join(anchors) + "\ngraph: *a9\n"


TOO_MUCH = {
    "repeat of repeats": HEAD + "graph: [{repeat: 9999, graph: [{repeat: 9999, graph: [relu, relu]}]}]",
    "loop in loops": HEAD
    + "graph:\n"
    + "  - for: i in range(9999)\n    do:\n      - for: j in range(9999)\n        do: [relu]",
    "exponential blocks": exponential_blocks(40),
    "chained blocks": chained_blocks(2000),
    "billion laughs": billion_laughs(),
    "deep lists": HEAD + "graph: " + "[" * 5000 + "relu" + "]" * 5000,
    "deep mappings": HEAD + "graph: " + "{a: {graph: " * 3000 + "relu" + "}}" * 3000,
    "huge file": HEAD + "#" * 2_000_000,
    "long list": HEAD + "graph: [" + "relu, " * 300_000 + "relu]",
    "huge integer": HEAD + "graph: [{conv: [" + "9" * 10_000 + ", 3]}]",
    "endless expression": HEAD + "graph: [{conv: [" + "1 + " * 5000 + "1, 3]}]",
    "ever longer list": HEAD + "let: {a: range(99999)}\ngraph: [{for: i in a + a + a, do: [relu]}]",
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_too_much_is_refused(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        netspec.loads(TOO_MUCH[name])
    (diagnostic, *_) = caught.value.diagnostics
    assert len(str(diagnostic)) < 5000


def test_the_size_of_a_text_is_bounded() -> None:
    with pytest.raises(SpecError) as caught:
        netspec.loads(TOO_MUCH["huge file"])
    assert [d.code for d in caught.value.diagnostics] == ["file-too-large"]


def test_real_networks_pass_with_room_to_spare() -> None:
    graph = netspec.loads(HEAD + "graph: [{repeat: 9000, graph: [{conv: [8, 1]}, batch_norm, relu]}]")
    assert graph.root.size == 36_001


@pytest.mark.parametrize(
    "text", ["", "\x00", "\ufeff", "%", "- a\n- b", "!!python/none", "&a [*a]", "a: *b", "? [a]\n: b"]
)
def test_a_text_that_is_no_spec_gets_a_message(text: str) -> None:
    with pytest.raises(SpecError):
        netspec.loads(text)
