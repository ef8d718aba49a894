"""The language in, a JSON Schema out: what an editor needs to complete, explain and check a spec while it is typed.

Every name, type, default and description is taken from the ops, the library and the initializers. The schema refuses
what is wrong wherever it stands: unknown keys and arguments, values of the wrong type. It evaluates no expression and
knows no shape, so a string is always let through, and so is a name that may be a block of the spec itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from netspec.describe import docstring, library, takes
from netspec.expressions import show
from netspec.fields import Field, Limits, usage
from netspec.inherit import PARAMETER_KEYS
from netspec.initializers import INITIALIZERS
from netspec.layout import write
from netspec.names import NAME
from netspec.ops import OP_NAMES, op_class
from netspec.ops.base import Op
from netspec.parts import VERSION
from netspec.shapes import BYTES
from netspec.source import Mapping, Sequence, Source
from netspec.spec import KINDS, NODE_WORDS, BlockSpec, Kind, ParameterSpec

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"
"""The latest draft that the YAML language server, which editors use, supports in full."""

_NAME = "^" + NAME.pattern.replace(r"\Z", "$")

_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string", type(None): "null", None: "null"}
_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "le": "maximum", "min_length": "minItems"}
_OF_SCALARS = ("exclusiveMinimum", "minimum", "maximum", "examples")


def _closed(properties: Schema) -> Schema:
    return {"properties": properties, "additionalProperties": False}


def _name_but(taken: Iterable[str], message: str) -> Schema:
    return {"type": "string", "pattern": f"^{_none_of(taken)}{_NAME[1:]}", "patternErrorMessage": message}


def _none_of(words: Iterable[str]) -> str:
    """The part of a pattern that keeps whole words out. (Editors take an `enum` for a choice, half a word for one.)"""
    return f"(?!({'|'.join(words)})$)"


def _group(description: str) -> Schema:
    return {"type": ["object", "array"], "allOf": [{"$ref": "#/definitions/group"}], "description": description}


def _one_node(description: str) -> Schema:
    """A node. (`anyOf` and not `allOf`: behind the latter editors insert a key without its colon.)"""
    return {"anyOf": [{"$ref": "#/definitions/node"}], "description": description}


def _some(item: Schema, *types: str) -> Schema:
    """A list of such items, or one of `types`. Editors begin a list where they see `items`, so these stand inside."""
    return {"type": [*types, "array"], "allOf": [{"items": item}]}


_KIND_TYPES: dict[Kind, Schema] = {
    "int": {"type": ["string", "integer"]},
    "number": {"type": ["string", "number"]},
    "bool": {"type": ["string", "boolean"]},
    "size": _some({"type": ["string", "integer"]}, "string", "integer"),
    "list": {"type": ["string", "array"]},
    "table": _some({"type": ["string", "array"]}, "string"),
    "name": {"type": ["string", "null"]},
    "node": {"anyOf": [{"$ref": "#/definitions/node"}, {"type": "null"}]},
}

_AXIS = {"type": ["string", "integer"]}
_TEXT = {"type": ["string", "number", "boolean"]}
_TEXTS = _some({"type": ["string", "number"]}, "string", "number")
_CONDITION = {"type": ["string", "boolean"]}

_MODIFIERS: dict[str, Schema] = {
    "from": {**_TEXTS, "description": "the input or inputs: names of nodes"},
    "if": {**_CONDITION, "description": "whether the node is there: an expression"},
    "repeat": {"type": ["string", "integer"], "minimum": 0, "description": "how many copies, one after the other"},
    "for": {
        "type": "string",
        "pattern": " in ",
        "description": "one node for each row, such as `channels, depth in stages`",
    },
    "name": {**_TEXT, "description": "what the copies of `repeat` are called, such as `block{i + 1}`"},
    "connect": {
        "enum": ["chain", "dense"],
        "default": "chain",
        "description": "how the copies of `repeat` are wired: `dense` joins the outputs of all copies before",
    },
    "training_only": {**_CONDITION, "description": "whether the node is skipped in eval mode"},
}
"""The words that stand beside any op or block."""

_BODY: dict[str, Schema] = {
    "graph": _group("the nodes: a list is a chain, a mapping has names"),
    "branches": _group("nodes that all read the same input"),
    "merge": _one_node("what brings the branches together, such as `concat`"),
    "outputs": {
        "type": ["string", "number", "array", "object"],
        "allOf": [
            {
                "items": _TEXT,
                "properties": {"dict": {"type": ["string", "number", "object"], "additionalProperties": _TEXT}},
                "additionalProperties": _TEXT,
            }
        ],
        "description": "the nodes that are returned: one, a list, a mapping of names, or such a mapping under `dict`",
    },
}
"""The parts of an inline group, a block and a spec alike."""

_BLOCK: dict[str, Schema] = {
    "about": {**_TEXT, "description": "what it is, in a sentence"},
    "reference": {**_TEXTS, "description": "the paper, or a list of them"},
    "params": {
        "type": ["object", "array", "null"],
        "propertyNames": {"$ref": "#/definitions/variable"},
        "additionalProperties": {"$ref": "#/definitions/parameter"},
        "allOf": [{"items": {"$ref": "#/definitions/variable"}}],
        "description": "values that a user may set, with their defaults; a list names required integers",
    },
    "let": {
        "type": ["object", "null"],
        "propertyNames": {"$ref": "#/definitions/variable"},
        "additionalProperties": {"type": ["string", "number", "boolean", "array", "null"]},
        "description": "values computed once, each from those above it",
    },
    **_BODY,
    "node": _one_node("the one node that this is, under another name"),
    "init": {
        "type": "object",
        "additionalProperties": {
            "type": ["object", "null"],
            "additionalProperties": {"$ref": "#/definitions/initializer"},
        },
        "description": "how weights are drawn: for an op or a path, an initializer for each parameter",
    },
}

_DOCUMENT: dict[str, Schema] = {
    "netspec": {"enum": [int(VERSION), VERSION], "default": int(VERSION), "description": "the version of the language"},
    "name": {**_TEXT, "description": "what the network is called"},
    "weights": {
        "type": ["string", "object", "null"],
        "allOf": [_closed({"published": {"type": "string"}, "needs": {"type": "object"}})],
        "description": "where trained weights are, such as `torchvision/resnet50`, and which parameters they need",
    },
    "freeze": {**_TEXTS, "description": "paths of what is not trained"},
    "checkpoint": {**_TEXTS, "description": "paths of what is computed again in the backward pass, to save memory"},
    "parallel": {
        "type": ["object", "null"],
        **_closed(
            {
                "shard": {**_TEXTS, "description": "what `Graph.shard` shards one by one: paths, or kinds of blocks"},
                "pipeline": {**_TEXTS, "description": "paths of the nodes at which stages begin, behind the first"},
                "tensor": {
                    "type": ["object", "null"],
                    "additionalProperties": {"enum": ["colwise", "rowwise"]},
                    "description": "how layers are split: paths with `colwise` or `rowwise`",
                },
            }
        ),
        "description": "how the network is spread over several devices",
    },
    "extends": {"type": "string", "description": "the spec that this one changes: a file, or one that ships"},
    "imports": {**_TEXTS, "description": "files whose blocks can be used"},
    "input": {"$ref": "#/definitions/input"},
    "inputs": {
        "type": ["object", "array"],
        "additionalProperties": {"$ref": "#/definitions/input"},
        "allOf": [{"items": {"type": "string"}}],
        "description": "the inputs by name, with their shapes; their names alone in a file of blocks",
    },
    "blocks": {
        "type": "object",
        "propertyNames": _name_but(OP_NAMES, "a block has a name of letters, digits and underscores that no op has"),
        "additionalProperties": {"$ref": "#/definitions/block"},
        "description": "parts of networks with names and parameters",
    },
    **_BLOCK,
}

_ONE_BODY: dict[str, Any] = {
    "graph": {"properties": {"branches": False, "merge": False, "node": False}},
    "branches": {"required": ["merge"], "properties": {"node": False}},
}


class _Callable(NamedTuple):
    """An op or block as a node writes it: behind its name all positional arguments, beside it the named ones."""

    name: str
    explanation: Schema
    positional: Schema
    arguments: dict[str, Schema]
    required: tuple[str, ...]

    @property
    def schema(self) -> Schema:
        return _closed(
            {**self.arguments, self.name: self.explanation | self.positional, **dict.fromkeys(_MODIFIERS, True)}
        )

    @property
    def in_brief(self) -> Schema:
        """For the list of what a node can be. Without a type, editors insert the bare name."""
        return {"description": self.explanation["description"]}

    def dispatch(self, names_argument: bool) -> Schema:
        """What holds for a mapping with this name as a key. `names_argument` says that an argument has this name, too.

        A strange key beside it is a mistake, unless the name is that of an argument here: `dropout` stands beside many
        a block. Nobody names the one argument there is, so that is likely, too, where there is one at most.
        """
        if len(self.arguments) > 1 and not names_argument:
            return _node_reference(self.name)
        own = sorted({self.name, *self.arguments, *_MODIFIERS})
        return {"if": {"propertyNames": {"enum": own}}, "then": _node_reference(self.name)}


def make_schema() -> Schema:
    """The JSON Schema of a spec."""
    callables = [*(_op(name, op_class(name)) for name in OP_NAMES), *map(_block, library())]
    inline = _inline()
    nodes = {**inline, **{callable.name: callable.schema for callable in callables}}
    arguments = {argument for callable in callables for argument in callable.arguments}
    dispatch = {
        **{word: _node_reference(word) for word in inline},
        **{callable.name: callable.dispatch(callable.name in arguments) for callable in callables},
    }
    bare = [callable for callable in callables if not callable.required]
    return {
        "$schema": DRAFT,
        "title": "netspec",
        "description": "A neural network. Made by `netspec schema`.",
        "type": "object",
        "properties": {**_DOCUMENT, "graph": True},
        "additionalProperties": False,
        "required": ["netspec"],
        "dependencies": {**_ONE_BODY, "input": {"properties": {"inputs": False}}},
        "if": {"required": ["extends"]},
        "then": {"properties": {"graph": {"$ref": "#/definitions/changes"}}},
        "else": {
            "properties": {"graph": {"$ref": "#/definitions/group"}},
            "anyOf": [{"required": [word]} for word in ("graph", "branches", "node", "blocks")],
        },
        "definitions": {**_shared(), "node": _node(dispatch, bare), **{f"node.{word}": nodes[word] for word in nodes}},
    }


def schema_text() -> str:
    """The JSON Schema of a spec as text."""
    return json.dumps(make_schema(), indent=1, ensure_ascii=False) + "\n"


# Structure -----------------------------------------------------------------------------------------------------------


def _shared() -> dict[str, Schema]:
    """The parts of a document that are not nodes."""
    return {
        "variable": _name_but((*NODE_WORDS, "x", "input"), "this cannot name a value, or has a meaning of its own"),
        "input": {
            "type": ["array", "object"],
            "allOf": [
                {
                    "items": _AXIS,
                    **_closed({"shape": {"type": "array", "items": _AXIS}, "dtype": {"enum": list(BYTES)}}),
                    "required": ["shape"],
                }
            ],
            "description": "a shape without the batch axis, such as `[3, 224, 224]`, or `{shape: [16], dtype: int64}`",
        },
        "parameter": {
            "examples": list(KINDS),
            "description": "a default, a type, or `{type: ..., default: ..., about: ..., choices: ...}`",
            "if": {"type": "object", "anyOf": [{"required": [key]} for key in PARAMETER_KEYS]},
            "then": {
                "properties": {
                    "type": {"enum": list(KINDS), "enumDescriptions": list(KINDS.values())},
                    "default": {},
                    "about": _TEXT,
                    "choices": _TEXTS,
                },
                "additionalProperties": False,
                "anyOf": [{"required": ["type"]}, {"required": ["default"]}],
            },
            "else": {"if": {"type": "object"}, "then": {"$ref": "#/definitions/node"}},
        },
        "block": {
            "type": "object",
            "properties": {**_BLOCK, "inputs": {**_TEXTS, "description": "names, where there are more than `x`"}},
            "additionalProperties": False,
            "dependencies": _ONE_BODY,
            "anyOf": [{"required": [word]} for word in ("graph", "branches", "node")],
        },
        "group": {
            "type": ["array", "object"],
            "items": {"$ref": "#/definitions/node"},
            "additionalProperties": {"$ref": "#/definitions/node"},
        },
        "changes": {
            "type": ["array", "object"],
            "items": {"$ref": "#/definitions/node"},
            "additionalProperties": {"anyOf": [{"$ref": "#/definitions/node"}, {"type": "null"}]},
            "description": "nodes by path, each in place of the one that is extended; null removes one",
        },
        "initializer": _initializer(),
    }


def _inline() -> dict[str, Schema]:
    """The nodes that are neither op nor block."""
    beside = dict.fromkeys(_MODIFIERS, True)
    inputs = {"inputs": {**_TEXTS, "description": "names of the inputs inside, which `from` fills in order"}}
    outputs = {"outputs": _BODY["outputs"]}
    branches = {"branches": _BODY["branches"], "merge": _BODY["merge"]}
    call = {"call": {**_TEXT, "description": "the node whose module runs again, with the same weights"}}
    return {
        "graph": _closed({"graph": _BODY["graph"], **inputs, **outputs, **beside}),
        "branches": {**_closed({**branches, **inputs, **outputs, **beside}), "required": ["merge"]},
        "do": {**_closed({"do": _group("several nodes for each row"), **beside}), "required": ["for"]},
        "call": _closed({**call, **dict.fromkeys(("from", "if", "training_only"), True)}),
    }


def _node(dispatch: dict[str, Schema], bare: list[_Callable]) -> Schema:
    """A node. The key that says what it is decides alone what else it may hold, so one slip is one message.

    `dispatch` has what each such key asks of the node, and `bare` are the ops and blocks that can stand alone.
    """
    words = [{"const": callable.name, **callable.explanation} for callable in bare]
    written = {
        "type": ["string", "object", "array"],
        "pattern": _NAME,
        "items": {"$ref": "#/definitions/node"},
        "properties": _MODIFIERS,
        "dependencies": {"name": ["repeat"], "connect": ["repeat"]},
        "errorMessage": "a node is an op or block with its arguments, such as `conv: [64, 3]`",
        "if": {"propertyNames": {"pattern": f"^{_none_of(dispatch)}"}},
        "then": {
            "properties": {
                **{word: _node_reference(word, f"/properties/{word}") for word in dispatch},
                **{callable.name: callable.in_brief for callable in bare},
                **dict.fromkeys(("merge", "inputs", "outputs"), False),
            }
        },
        "else": {"dependencies": dispatch},
    }
    return {"anyOf": [written, *words]}


def _node_reference(word: str, part: str = "") -> Schema:
    return {"$ref": f"#/definitions/node.{word}{part}"}


# Ops, blocks and initializers ----------------------------------------------------------------------------------------


def _op(name: str, cls: type[Op]) -> _Callable:
    about, facts = docstring(cls)
    arguments = {argument: _field(field) for argument, field in cls.fields().items()}
    required = tuple(argument for argument, field in cls.fields().items() if field.required)
    if cls.merges:
        positional = _TEXTS | {"type": [*_TEXTS["type"], "null"]}
    elif cls.variadic:
        positional = _variadic(arguments[cls.variadic])
    else:
        positional = _positional(name, arguments)
    return _Callable(name, _explained(about, usage(cls, name), facts), positional, arguments, required)


def _block(block: BlockSpec) -> _Callable:
    arguments = {name: _parameter(parameter) for name, parameter in block.parameters.items()}
    required = tuple(name for name, parameter in block.parameters.items() if parameter.default is None)
    written = f"{block.name}: [{', '.join(required)}]" if required else block.name
    facts = {"Source": "; ".join(block.reference)} if block.reference else {}
    explanation = _explained(block.about, written, facts)
    return _Callable(block.name, explanation, _positional(block.name, arguments), arguments, required)


def _initializer() -> Schema:
    """An initializer: its name, or a mapping with its name as the only key and its arguments behind."""
    properties: dict[str, Schema] = {}
    for name, cls in INITIALIZERS.items():
        arguments = {argument: _field(field) for argument, field in cls.fields().items()}
        types = ["number", "string", "array", "object", "null"]
        items = list(arguments.values())
        several = {"items": items, "additionalItems": False} if items else {"maxItems": 0}
        properties[name] = {"description": docstring(cls)[0], "type": types, **_closed(arguments), **several}
    return {
        "type": ["string", "object"],
        "pattern": f"^({'|'.join(INITIALIZERS)})$",
        "examples": [name for name, cls in INITIALIZERS.items() if not any(f.required for f in cls.fields().values())],
        **_closed(properties),
        "minProperties": 1,
        "maxProperties": 1,
    }


def _explained(about: str, written: str, facts: dict[str, str]) -> Schema:
    """What an editor shows of an op or block: plain, and as Markdown with how it is written."""
    lines = [f"`{written}`", about, *(f"{label}: {text}" for label, text in facts.items())]
    return {"description": about, "markdownDescription": "\n\n".join(lines)}


def _positional(name: str, arguments: dict[str, Schema]) -> Schema:
    """A list with the arguments in their order, the first one alone, or nothing."""
    if not arguments:
        return {"anyOf": [{"type": "null"}, {"type": "array", "maxItems": 0}]}
    first = next(iter(arguments.values()))
    alone = {key: value for key, value in first.items() if key in _OF_SCALARS}
    types = [type for type in first.get("type", ("string", "object")) if type not in ("array", "null")]
    items = [
        _node_reference(name, f"/properties/{argument}") if argument != name else schema
        for argument, schema in arguments.items()
    ]
    return alone | {"type": [*types, "array", "null"], "allOf": [{"items": items, "additionalItems": False}]}


def _variadic(argument: Schema) -> Schema:
    """All of one argument, as a list or as the only item of it."""
    (inside,) = argument["allOf"]
    types = dict.fromkeys([*argument["type"], *inside["items"].get("type", ()), "null"])
    kept = {key: value for key, value in argument.items() if key in ("allOf", "minItems")}
    return {**inside["items"], **kept, "type": list(types)}


def _field(field: Field) -> Schema:
    default = {} if field.required else {"default": field.default}
    return (
        {"description": _described(field.expectation, None if field.required else show(field.default))}
        | default
        | _typed(field.annotation)
    )


def _typed(annotation: Any) -> Schema:
    """The values that an annotation accepts, or an expression for them. All types stand in one schema: a union of
    schemas would answer one mistake with a message for each."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        bounds = [item for item in arguments[1:] if isinstance(item, Limits)]
        return _typed(arguments[0]) | {
            _BOUNDS[name]: bound for item in bounds for name, bound in item._asdict().items() if bound is not None
        }
    if origin in (Union, UnionType):
        merged: Schema = {}
        for part in map(_typed, arguments):
            merged |= part | {"type": list(dict.fromkeys([*merged.get("type", ()), *part["type"]]))}
        return merged
    if origin is Literal:
        return {"type": ["string"], "examples": list(arguments)}
    if origin is tuple:
        return _some(_typed(arguments[0]), "string")
    return {} if annotation is Any else {"type": list(dict.fromkeys(("string", _TYPES[annotation])))}


def _parameter(parameter: ParameterSpec) -> Schema:
    schema = dict(_KIND_TYPES[parameter.kind])
    if parameter.choices:
        schema["examples"] = list(parameter.choices)
    if parameter.default is None:
        return {"description": takes(parameter)} | schema
    written = write(parameter.default).strip()
    return {"description": _described(takes(parameter), written), "default": _plain(parameter.default)} | schema


def _described(takes: str, default: str | None) -> str:
    return takes if default is None else f"{takes} (default: {default})"


def _plain(source: Source) -> Any:
    """A default as JSON has it."""
    if isinstance(source, Sequence):
        return [_plain(item) for item in source.items]
    if isinstance(source, Mapping):
        return {key.text: _plain(value) for key, value in source.entries}
    try:
        return json.loads(source.text)
    except ValueError:
        return source.text
