"""A graph file says all of a graph: what is read back is equal, and what a stranger changed is refused or harmless."""

from __future__ import annotations

import ast
import copy
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

import netspec
from netspec import Graph, Limits, SpecError
from netspec.backends.diff import Difference
from netspec.backends.graph_json import to_graph_json
from netspec.catalog import shipped_specs
from tests.commands import Run
from tests.effort import EFFORT

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "graph.schema.json").read_text(encoding="utf-8"))
HEAD = "netspec: 1\nname: net\ninput: [3, 16, 16]\n"

EVERYTHING = """
netspec: 1
name: everything
about: One node of each kind that the format must hold, “quoted” and in two lines.
inputs: {left: [3, 16, 16], words: {shape: [7], dtype: int64}}
params: {n: 4, act: relu, rates: [0.1, 0.2]}
blocks:
  two: {inputs: [a, b], graph: {sum: {add: [a, b]}, cut: {chunk: 2, dim: 1}, out: {concat: [cut.0, cut.1]}}}
  named: {graph: {p: {conv: [4, 1]}, q: {from: x, conv: [4, 1]}}, outputs: {dict: {first: p, second: q}}}
  scaled: {graph: {scale: {parameter: [4, 1, 1]}, out: {mul: [x, scale]}}, init: {scale: {value: ones}}}
graph:
  stem.conv: {from: left, conv: [n, 3], padding: same}
  stem.norm: batch_norm
  left_out: {dropout: 0.5, if: n > 4}
  chain: {repeat: 2, graph: [{conv: [4, 1]}, act]}
  dense: {from: stem.norm, repeat: 2, connect: dense, conv: [2, 1]}
  again: {from: chain, call: stem.norm}
  both: {from: [chain, again], two: }
  named: named
  merged: {add: [named.first, named.second]}
  scaled: scaled
  offset: {constant: , value: [[[1.0]], [[-1e+38]], [[3.0]], [[0.25]]]}
  shifted: {add: [scaled, offset]}
  aux: {from: shifted, flatten: , training_only: true}
  rnn: {from: words, embedding: [10, 8]}
  lstm: {lstm: 8}
  last: {from: lstm.h, flatten: }
outputs: {image: shifted, text: last, aux: aux, dense: dense}
init: {conv: {weight: {kaiming_normal: {mode: fan_out}}}, stem.norm: {weight: {constant: 0.5}}}
freeze: [stem]
"""


def read_back(graph: Graph) -> Graph:
    return netspec.loads(to_graph_json(graph))


def assert_equal(ours: Graph, theirs: Graph) -> None:
    assert to_graph_json(ours) == to_graph_json(theirs), "everything that is written is read"
    assert str(ours) == str(theirs)
    assert ours.summary() == theirs.summary()
    assert list(ours.state().items()) == list(theirs.state().items())
    assert ours.initializers == theirs.initializers
    assert Difference(ours, theirs).equal
    assert [path for path, _ in ours.walk()] == [path for path, _ in theirs.walk()]
    assert len({id(node.target) for _, node in ours.walk()}) <= len({id(node.target) for _, node in theirs.walk()})


# Round trips ---------------------------------------------------------------------------------------------------------


FAMILIES = {re.match("[a-z]+", name)[0]: name for name in reversed(shipped_specs())}  # type: ignore[index]


@pytest.mark.parametrize("name", FAMILIES.values())
def test_a_network_of_every_family_is_read_back(name: str) -> None:
    graph = netspec.load(name)
    back = read_back(graph)
    assert to_graph_json(back) == to_graph_json(graph)
    assert repr(back) == repr(graph)
    assert list(back.state().items()) == list(graph.state().items())


@pytest.mark.parametrize("name", ["lenet5", "resnet50", "googlenet", "swin_v2_t", "hybrid", "mixnet_s"])
def test_what_is_read_back_is_equal_in_every_respect(name: str) -> None:
    graph = netspec.load(name)
    assert_equal(read_back(graph), graph)


def test_a_network_with_everything_is_read_back_equal() -> None:
    graph = netspec.loads(EVERYTHING)
    back = read_back(graph)
    assert_equal(back, graph)
    assert (
        back.frozen() == graph.frozen() == {"stem.conv.weight", "stem.conv.bias", "stem.norm.weight", "stem.norm.bias"}
    )
    assert back.root.absent == ("left_out",)
    assert back.root.arguments == {"n": 4, "act": "relu", "rates": (0.1, 0.2)}


def test_what_is_built_of_it_has_equal_weights_and_outputs() -> None:
    graph = netspec.loads(EVERYTHING)
    ours, theirs = read_back(graph).build(seed=0), graph.build(seed=0)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))
    inputs = (torch.randn(2, 3, 16, 16), torch.zeros(2, 7, dtype=torch.int64))
    for a, b in zip(ours(*inputs), theirs(*inputs), strict=True):
        assert torch.equal(a, b)
    frozen = [name for name, parameter in ours.named_parameters() if not parameter.requires_grad]
    assert frozen == [name for name, parameter in theirs.named_parameters() if not parameter.requires_grad]


@pytest.mark.parametrize("chosen", ["layer2.0.conv1", ["layer1", "layer3.1"], {"low": "layer1.0", "high": "layer4"}])
def test_chosen_outputs_are_read_back_equal(chosen: Any) -> None:
    graph = netspec.load("resnet18", input=[3, 32, 32]).select(chosen)
    assert_equal(read_back(graph), graph)


def test_a_body_is_written_once() -> None:
    few, many = (netspec.load("resnet152", layers=layers) for layers in ([3, 4, 6, 3], [3, 8, 36, 3]))
    bodies = [len(json.loads(to_graph_json(graph))["bodies"]) for graph in (few, many)]
    assert bodies[0] == bodies[1]
    assert len(to_graph_json(netspec.load("resnet152"))) < 60_000


def test_overridden_parameters_are_in_it() -> None:
    graph = netspec.load("resnet18", num_classes=7, input=[3, 64, 64])
    back = read_back(graph)
    assert back.outputs["fc"].shape == (7,)
    assert (back.weights, back.adapted) == ("torchvision/resnet18", True)


def test_a_file_of_weights_is_not_named_since_its_path_means_nothing_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(HEAD + "weights: trained.pth\ngraph: [relu]\n")
    assert "trained" not in to_graph_json(netspec.load(tmp_path / "net.yaml"))


def test_layout_and_order_of_keys_are_free() -> None:
    graph = netspec.loads(EVERYTHING)
    back = netspec.loads(json.dumps(json.loads(to_graph_json(graph)), sort_keys=True, indent="\t"))
    assert (back.state(), back.summary(), back.about) == (graph.state(), graph.summary(), graph.about)


# The command line ----------------------------------------------------------------------------------------------------


def test_build_writes_it_without_pytorch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom netspec.cli import main\n"
        "try: main(['build', 'lenet5', '-o', 'a.json', '--output', 'b.json'])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert_equal(netspec.load(tmp_path / "a.json"), netspec.load("lenet5"))


def test_one_that_is_not_there_is_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.json").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError) as error:
        netspec.load("modle.json")
    message = "error[unknown-spec]: there is no file `modle.json`\n  = help: did you mean `model.json`?"
    assert str(error.value).strip() == message


def test_commands_take_it_in_place_of_a_spec(run: Run) -> None:
    status, out, _ = run("build", "good.yaml", "--freeze", "0", "-o", "good.json")
    assert (status, out.split()[:2]) == (0, ["saved", "good.json,"])
    assert run("check", "good.json") == (0, "good.json: ok, 112 parameters, 3.89 kMACs, 3×8×8 → 4×6×6\n", "")
    assert run("diff", "good.yaml", "good.json", "--exit-code")[0] == 0
    assert netspec.load("good.json").frozen() == {"0.weight", "0.bias"}
    status, _, err = run("check", "good.json", "--set", "n=8")
    assert (status, err.partition("\n")[0]) == (1, "error[invalid-override]: a graph file has no parameters")


# Strangers -----------------------------------------------------------------------------------------------------------


def file_of(text: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(to_graph_json(netspec.loads(text)))
    return decoded


SMALL = HEAD + "blocks: {b: {graph: {a: {conv: [3, 1]}, s: {add: [a, x]}}}}\ngraph: {one: b, two: [b, relu]}\n"


def node(path: str) -> Callable[[dict[str, Any]], Any]:
    """What stands at a path of keys and positions, joined by slashes."""

    def find(file: dict[str, Any]) -> Any:
        found: Any = file
        for step in path.split("/"):
            found = found[int(step)] if step.isdigit() else found[step]
        return found

    return find


WRONG: dict[str, tuple[str, str, Any, str]] = {
    "another version": ("", "netspec_graph", 2, "unknown-version"),
    "true for a version": ("", "netspec_graph", True, "unknown-version"),
    "an unknown key": ("", "nodes", [], "unknown-key"),
    "a name that is no text": ("", "name", 7, "wrong-type"),
    "a name on two lines": ("", "name", "a\nimport os", "wrong-value"),
    "a file on two lines": ("files", "0", "x.yaml\n    import os", "wrong-value"),
    "an unknown op": ("bodies/0/nodes/0", "op", "cnov", "unknown-op"),
    "an op and a body": ("bodies/0/nodes/0", "body", "b", "missing-key"),
    "an unknown body": ("network/nodes/0", "body", "c", "unknown-node"),
    "an unknown argument": ("bodies/0/nodes/0/arguments", "channels", 3, "unknown-argument"),
    "a mapping for an argument": ("bodies/0/nodes/0/arguments", "stride", {}, "wrong-type"),
    "a text for a number": ("bodies/0/nodes/0/arguments", "stride", "__import__", "wrong-type"),
    "an integer beyond all": ("bodies/0/nodes/0/arguments", "out_channels", 10**400, "value-too-large"),
    "more memory than there is": ("bodies/0/nodes/0/arguments", "out_channels", 2**60, "network-too-large"),
    "another shape": ("bodies/0/nodes/0/outputs/0", "shape", [3, 16, 17], "shape-mismatch"),
    "a shape without length": ("bodies/0/nodes/0/outputs/0", "shape", [3, 0, 16], "wrong-value"),
    "another dtype": ("bodies/0/nodes/0/outputs/0", "dtype", "int64", "shape-mismatch"),
    "a dtype that there is not": ("bodies/0/nodes/0/outputs/0", "dtype", "float8", "wrong-value"),
    "an input that runs later": ("bodies/0/nodes/0", "inputs", ["s"], "unknown-node"),
    "too many inputs": ("bodies/0/nodes/0", "inputs", ["x", "x"], "wrong-inputs"),
    "another input of a body": ("bodies/0/inputs/0", "shape", [3, 16, 8], "shape-mismatch"),
    "code for a name": ("bodies/0/nodes/0", "name", 'a"); import os; ("', "invalid-name"),
    "an attribute of modules": ("bodies/0/nodes/0", "name", "forward", "invalid-name"),
    "code for an input": ("bodies/0/inputs/0", "name", "x=print()", "invalid-name"),
    "code for an output": ("network/outputs/0", "name", '"+exit()+"', "invalid-name"),
    "code for an output of a node": ("bodies/0/nodes/0/outputs/0", "name", "a.b()", "invalid-name"),
    "two nodes of one name": ("bodies/0/nodes/1", "name", "a", "name-taken"),
    "a name inside a name": ("bodies/0/nodes/1", "name", "a.b", "name-taken"),
    "a schedule that leaves one out": ("bodies/0", "schedule", ["a"], "wrong-value"),
    "a schedule that goes backwards": ("bodies/0", "schedule", ["s", "a"], "unknown-node"),
    "an unknown way to return": ("bodies/0", "returns", "list", "wrong-value"),
    "no outputs": ("bodies/0", "outputs", [], "missing-output"),
    "a chain that is none": ("bodies/0", "form", "chain", "wrong-inputs"),
    "a block in training alone": ("bodies/0/nodes/1", "training_only", True, "misplaced-training-only"),
    "an output in training alone": ("network/outputs/0", "training_only", True, "misplaced-training-only"),
    "a share of another module": ("network/nodes/1", "shares", "one", "shape-mismatch"),
    "a place that is none": ("bodies/0/nodes/0", "place", [0, 1], "wrong-value"),
    "a place in no file": ("bodies/0/nodes/0", "place", [9, 1, 1, 1, 1], "wrong-value"),
    "what is frozen is not there": ("", "freeze", ["three"], "unmatched-freeze"),
    "weights of this machine": ("", "weights", {"place": "/etc/passwd"}, "wrong-value"),
    "rows of nothing": ("", "initialize", [["one.a", "weight", 0]], "wrong-value"),
    "an initializer of nothing": ("", "initialize", [["one.s", "weight", 0]], "unmatched-init"),
    "an initializer that there is not": ("", "initializers", [{"name": "eval"}], "unknown-initializer"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_gets_a_diagnostic_at_its_place(name: str) -> None:
    path, key, value, code = WRONG[name]
    file = file_of(SMALL)
    owner: Any = node(path)(file) if path else file
    owner[int(key) if key.isdigit() else key] = value
    if key == "initializers":
        file["initialize"] = []
    with pytest.raises(SpecError) as caught:
        netspec.loads(json.dumps(file, indent=1), name="stranger.json")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    if code not in ("unmatched-freeze", "value-too-large"):
        assert diagnostic.span is not None
        assert diagnostic.span.line > 1, "it is not said of the whole file"


def test_a_message_shows_the_place() -> None:
    text = to_graph_json(netspec.loads(SMALL)).replace('"kernel_size": 1', '"kernel_size": 0')
    with pytest.raises(SpecError) as caught:
        netspec.loads(text, name="net.json")
    message = str(caught.value)
    assert message.startswith("error[wrong-type]: `kernel_size` of `conv` must be a positive integer")
    assert '"kernel_size": 0,\n' in message
    assert message.rstrip().endswith("^")


def test_two_values_of_one_key_are_refused() -> None:
    text = to_graph_json(netspec.loads(SMALL)).replace('"form": "graph",', '"form": "graph", "form": "chain",', 1)
    with pytest.raises(SpecError, match="duplicate-key"):
        netspec.loads(text)


def nested_bodies(levels: int, copies: int) -> str:
    """A graph of bodies in bodies, each with copies of the one before it."""
    x = {"name": "x", "shape": [1]}

    def body(name: str, what: dict[str, Any]) -> dict[str, Any]:
        names = [str(copy) for copy in range(copies)]
        nodes = [
            {"name": own, **what, "inputs": [before], "outputs": [{"name": own, "shape": [1]}]}
            for own, before in zip(names, ["x", *names], strict=False)
        ]
        outputs = [{"name": "x", "value": names[-1]}]
        return {"name": name, "kind": "b", "form": "chain", "inputs": [x], "nodes": nodes, "outputs": outputs} | {
            "returns": "bare"
        }

    bodies = [body("b0", {"op": "relu"}), *(body(f"b{i}", {"body": f"b{i - 1}"}) for i in range(1, levels))]
    return json.dumps({"netspec_graph": 1, "name": "net", "bodies": bodies[:-1], "network": bodies[-1]})


def test_limits_hold() -> None:
    assert netspec.loads(nested_bodies(3, 4)).root.size == 4 + 16 + 64
    most = Limits()
    for text, code in {
        nested_bodies(most.levels + 1, 1): "network-too-large",
        nested_bodies(40, 9): "network-too-large",
        '{"netspec_graph": ' + "[" * 100_000 + "]" * 100_000 + "}": "too-deep",
        '{"netspec_graph": 1, "name": "' + "x" * most.file_bytes + '"}': "file-too-large",
        '{"netspec_graph": ' + "9" * 10_000 + "}": "value-too-large",
        '{"netspec_graph": "\\"\\"' + '\\"' * 400_000: "invalid-json",
    }.items():
        with pytest.raises(SpecError) as caught:
            netspec.loads(text)
        assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]
    with pytest.raises(SpecError, match="more than 10"):
        netspec.loads(nested_bodies(3, 4), limits=Limits(nodes=10))


def damaged(text: str, chance: random.Random) -> str:
    """A text with pieces cut out, doubled or overwritten, or an entry of its data put in the place of another."""
    if chance.random() < 0.5:
        start = chance.randrange(len(text))
        end = start + chance.randrange(40)
        return text[:start] + chance.choice(["", text[start:end] * 2, "-", "0", '"', "null", "1e999"]) + text[end:]
    file = json.loads(text)
    owners = list(containers(file))
    for _ in range(chance.randrange(1, 4)):
        owner, other = chance.choice(owners), chance.choice(owners)
        keys = list(owner) if isinstance(owner, dict) else list(range(len(owner)))
        if keys and other:
            values = list(other.values()) if isinstance(other, dict) else other
            owner[chance.choice(keys)] = copy.deepcopy(chance.choice([*values, None, -1, 2**70, "x", [], {}]))
    return json.dumps(file)


def containers(value: Any) -> Iterator[Any]:
    if isinstance(value, (dict, list)):
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from containers(item)


def test_a_damaged_file_gives_a_graph_or_diagnostics() -> None:
    texts = [to_graph_json(netspec.loads(text)) for text in (SMALL, EVERYTHING)]
    chance = random.Random(7)
    built = refused = longest = 0
    for number in range(150 * EFFORT):
        text = damaged(chance.choice(texts), chance)
        try:
            graph = netspec.loads(text)
        except SpecError as error:
            refused += 1
            longest = max(longest, *(len(str(diagnostic)) for diagnostic in error.diagnostics))
            continue
        built += 1
        assert str(graph)
        assert graph.summary()
        if number % 20 == 0:
            graph.build(device="meta")
    assert min(built, refused) >= 4
    assert longest < 20_000


# The schema ----------------------------------------------------------------------------------------------------------


def test_what_is_written_follows_the_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for graph in (netspec.loads(EVERYTHING), netspec.load("googlenet"), netspec.load("swin_t")):
        jsonschema.validate(json.loads(to_graph_json(graph)), SCHEMA)


def test_the_schema_knows_the_keys_that_are_read() -> None:
    reader = ast.parse((Path(netspec.__file__).parent / "graph_file.py").read_text(encoding="utf-8"))
    names = {"_TOP": SCHEMA, "_BODY": SCHEMA["$defs"]["body"], "_NODE": SCHEMA["$defs"]["node"]}
    tables = {
        statement.targets[0].id: eval(compile(ast.Expression(statement.value), "keys", "eval"))  # noqa: S307
        for statement in reader.body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        if statement.targets[0].id.removesuffix("_TOO") in names
    }
    for name, schema in names.items():
        assert set(schema["required"]) == set(tables[name])
        assert set(schema["properties"]) == {*tables[name], *tables[f"{name}_TOO"]}


@pytest.mark.parametrize("name", [name for name, wrong in WRONG.items() if wrong[3] in ("wrong-type", "unknown-key")])
def test_the_schema_refuses_what_has_the_wrong_type(name: str) -> None:
    path, key, value, _ = WRONG[name]
    file = file_of(SMALL)
    (node(path)(file) if path else file)[key] = value
    if "arguments" not in path:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(file, SCHEMA)
