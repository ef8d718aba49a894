"""The schema for editors accepts what netspec accepts, and refuses what can be seen to be wrong without a shape.

The validator is the `jsonschema` package, which reads the schema as an editor does. YAML is read as editors read it,
with the types of YAML 1.2: `no` is a word.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from netspec.catalog import library_blocks, shipped_specs, specs_folder
from netspec.cli import main
from netspec.describe import library
from netspec.fields import Record
from netspec.initializers import INITIALIZERS
from netspec.ops import OP_NAMES, op_class
from netspec.parts import BLOCK_KEYS, DOCUMENT_KEYS
from netspec.schema import make_schema
from netspec.spec import NODE_WORDS
from tests.test_docs import RIGHT, Block, complete
from tests.test_ops import ACCEPTED, REJECTED, STRICTER, Case, Rejected
from tests.test_wrong_specs import SEVERAL, SPECS

FILE = specs_folder() / "netspec.schema.json"
SCHEMA = make_schema()
NODES = {
    name.removeprefix("node."): schema for name, schema in SCHEMA["definitions"].items() if name.startswith("node.")
}
VALIDATOR = Draft7Validator(SCHEMA)

ALWAYS_SEEN = {
    "empty-node",
    "empty-spec",
    "invalid-document",
    "invalid-key",
    "invalid-yaml",
    "merge-key",
    "several-documents",
    "tag",
    "too-many-arguments",
    "two-kinds",
    "unknown-anchor",
    "unknown-initializer",
    "unknown-key",
    "unknown-version",
}
"""Mistakes in what is written, whatever it means."""

SOMETIMES_SEEN = {
    "invalid-loop",  # unless it is the table that is wrong
    "misplaced-word",  # unless it depends on what is around the node
    "missing-key",  # not an input: a file of blocks has none
    "name-taken",  # where an op has the name
    "reserved-name",  # where it is a key
    "unknown-argument",  # in a node, but not in `init`
    "unknown-op",  # where it can be no name at all: a name may be a block
    "wrong-type",  # unless it is what an expression gives
    "wrong-value",  # how a layer is split, but not what depends on a type
}


class Loader(yaml.SafeLoader):
    """YAML with the types of YAML 1.2 alone."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  the base class has it


for tag, pattern, first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"(?:{pattern})\\Z"), first)


def mistakes(text: str) -> list[str]:
    try:
        document = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        return [str(error)]
    return [f"{list(error.path)}: {error.message[:200]}" for error in VALIDATOR.iter_errors(document)]


def accepts(*nodes: Any) -> bool:
    """Whether a list of these nodes can be a graph."""
    valid: bool = VALIDATOR.is_valid({"netspec": 1, "input": [3, 32, 32], "graph": list(nodes)})
    return valid


def written(case: Case) -> dict[str, Any]:
    return {case.op: None, **json.loads(json.dumps(case.arguments))}


# What is right -------------------------------------------------------------------------------------------------------


def test_the_schema_is_valid_itself() -> None:
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", [*shipped_specs().values(), *library_blocks().values()], ids=lambda path: path.stem)
def test_every_file_that_ships_is_accepted(path: Path) -> None:
    assert mistakes(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("block", RIGHT, ids=str)
def test_every_documented_spec_is_accepted(block: Block) -> None:
    assert mistakes(complete(block)) == []


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_what_an_op_accepts_is_accepted(case: Case) -> None:
    assert accepts(written(case))


@pytest.mark.parametrize("op", OP_NAMES)
def test_an_op_may_stand_in_every_form_of_a_node(op: str) -> None:
    assert accepts({op: None}, [{op: None}], {"graph": {"a": {op: None}}}, {"repeat": 2, "if": "width > 1", op: None})
    assert accepts({"conv_norm_act": 8, "act": {op: None}}), "an argument may be a node"
    assert accepts({op: ["width"] * len(op_class(op).fields())}), "an argument may be an expression"


def test_a_block_of_the_spec_is_a_name_that_the_schema_cannot_know() -> None:
    assert accepts("brick", {"brick": [1, "a", [2]], "width": {"any": "thing"}, "repeat": 2})


# What is wrong -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted({path.parent.name for path in SPECS} - {SEVERAL}))
def test_a_wrong_spec_is_refused_where_its_mistake_can_be_seen(code: str) -> None:
    seen = {path.stem: mistakes(path.read_text(encoding="utf-8")) for path in SPECS if path.parent.name == code}
    if code in ALWAYS_SEEN:
        assert all(seen.values()), seen
    elif code in SOMETIMES_SEEN:
        assert any(seen.values()), seen
    else:
        assert not any(seen.values()), f"say where `{code}` is seen: {seen}"


@pytest.mark.parametrize("op", [op for op in OP_NAMES if len(op_class(op).fields()) > 1])
def test_an_op_has_no_other_argument(op: str) -> None:
    names_argument = any(op in schema["properties"] for name, schema in NODES.items() if name != op)
    assert accepts({op: None, "strange": 1}) == names_argument, "it may be the argument of a strange block"


def numeric(rejected: Rejected) -> bool:
    """Whether the value that an op rejects can be no expression; a `constant` may nest lists as it likes."""
    value = rejected.case.arguments.get(rejected.argument or "")
    return rejected.code == "wrong-type" and not isinstance(value, str) and rejected.case.op != "constant"


@pytest.mark.parametrize("rejected", [case for case in (*REJECTED, *STRICTER) if numeric(case)], ids=str)
def test_a_value_of_the_wrong_type_is_refused(rejected: Rejected) -> None:
    assert not accepts(written(rejected.case))


@pytest.mark.parametrize(
    "wrong",
    [
        {"conv": {"out_channels": 3, "kernel_size": 3}},
        {"conv": [8, 3, 1, 1, 1, 1, True, "zeros", 9]},
        {"conv": [8, 3], "graph": ["relu"]},
        {"graph": ["relu"], "width": 3},
        {"branches": ["relu", "tanh"]},
        {"do": ["relu"]},
        {"for": "w", "relu": None},
        {"name": "copy", "relu": None},
        {"call": "a", "repeat": 2},
        {"brick": 1, "outputs": "a"},
        {"conv_norm_act": 8, "act": {"conv": [8, 3], "strid": 2}},
        {"repeat": 2, "connect": "loose", "relu": None},
        [{"relu": 3}],
        None,
        3,
        "two words",
    ],
    ids=str,
)
def test_a_wrong_node_is_refused(wrong: Any) -> None:
    assert not accepts(wrong)


def test_null_removes_a_node_of_another_spec_alone() -> None:
    document = {"netspec": 1, "input": [3, 32, 32], "graph": {"pool": None}}
    assert not VALIDATOR.is_valid(document)
    assert VALIDATOR.is_valid(document | {"extends": "resnet18"})


# What editors show ---------------------------------------------------------------------------------------------------


def check_arguments(cls: type[Record], properties: dict[str, Any], own_name: str) -> None:
    for name, field in cls.fields().items():
        if name != own_name:  # then its value stands behind the op
            shown = properties[name]
            assert field.expectation in shown["description"]
            assert ("default" in shown) != field.required
            assert json.dumps(shown.get("default")) == json.dumps(field.default)
            assert not field.choices or set(field.choices) <= set(shown["examples"])


@pytest.mark.parametrize("op", OP_NAMES)
def test_every_argument_of_an_op_is_described(op: str) -> None:
    check_arguments(op_class(op), NODES[op]["properties"], op)
    shown = NODES[op]["properties"][op]
    assert shown["description"] in str(op_class(op).__doc__).replace("\n    ", "\n")
    assert f"`{op}" in shown["markdownDescription"]


def test_every_argument_of_an_initializer_is_described() -> None:
    for name, cls in INITIALIZERS.items():
        check_arguments(cls, SCHEMA["definitions"]["initializer"]["properties"][name]["properties"], "")


def test_every_parameter_of_a_library_block_is_described() -> None:
    for block in library():
        properties = NODES[block.name]["properties"]
        assert properties[block.name]["description"] == block.about
        for parameter in block.parameters.values():
            assert parameter.about in properties[parameter.name]["description"]
            assert ("default" in properties[parameter.name]) == (parameter.default is not None)


def test_completion_offers_everything_that_a_key_can_be() -> None:
    mapping, *words = SCHEMA["definitions"]["node"]["anyOf"]
    offered = {name for name, schema in mapping["then"]["properties"].items() if schema is not False}
    assert offered == {*OP_NAMES, *library_blocks(), "graph", "branches", "do", "call"}
    assert {word["const"] for word in words} < offered, "these can stand alone"
    assert {*offered, *mapping["properties"]} >= {*NODE_WORDS} - {"merge", "inputs", "outputs"}
    assert {*NODES["branches"]["properties"]} >= {"merge", "inputs", "outputs"}
    assert set(SCHEMA["properties"]) == set(DOCUMENT_KEYS)
    assert set(SCHEMA["definitions"]["block"]["properties"]) == set(BLOCK_KEYS)


def test_every_reference_leads_to_a_definition() -> None:
    for reference in set(re.findall(r'"\$ref": "#/([^"]*)"', json.dumps(SCHEMA))):
        place: Any = SCHEMA
        for part in reference.split("/"):
            place = place[part]


@pytest.mark.parametrize("name", shipped_specs())
def test_every_spec_that_ships_names_the_schema_for_editors(name: str) -> None:
    line, _, _ = shipped_specs()[name].read_text(encoding="utf-8").partition("\n")
    assert line == f"# yaml-language-server: $schema={FILE.name}"


def test_the_schema_that_ships_is_that_of_the_code() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == SCHEMA, "run `python docs/make_schema.py`"


def test_the_command_prints_or_writes_the_schema(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["schema"])
    assert json.loads(capsys.readouterr().out) == SCHEMA
    with pytest.raises(SystemExit, match="0"):
        main(["schema", "-o", str(tmp_path / "schema.json")])
    assert json.loads((tmp_path / "schema.json").read_text(encoding="utf-8")) == SCHEMA


def test_the_schema_is_small_enough_for_an_editor() -> None:
    assert len(json.dumps(SCHEMA)) < 300_000
