"""The text of a graph file in, a graph out: what `netspec build SPEC -o model.json` wrote, or another program.

The file may come from a stranger, so nothing in it is believed. Names are held to the rules of specs, every op is made
and every shape inferred again, and what the file says of shapes must agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeVar, cast

from netspec.diagnostics import Problem, SourceFile, Span, SpecError, suggest
from netspec.entries import Entry, Mistake, decode, place
from netspec.fields import create
from netspec.files import GRAPH_FORMAT
from netspec.graph import Body, Graph, Node, Output, Parallel, Value, node_state
from netspec.initialize import Assignment
from netspec.initializers import INITIALIZERS, Initializer
from netspec.instances import MAX_AXIS, op_instance
from netspec.limits import TooLarge, charge, limits
from netspec.names import check_copy_name, check_name, check_node_name
from netspec.ops import OP_NAMES, op_class
from netspec.ops.base import Op
from netspec.paths import prefixes
from netspec.quantities import byte_size
from netspec.scope import count_of
from netspec.shapes import BYTES, TensorType
from netspec.sharing import calls
from netspec.transfer import checkpointed_nodes, frozen_parameters
from netspec.verify import verify

_PUBLISHED = re.compile(r"(torchvision|timm)/[a-z0-9_]+")
_DOTTED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9][A-Za-z0-9_-]*)*\Z")  # of an output: a path, perhaps

_TOP = ("netspec_graph", "name", "network")
_TOP_TOO = (
    *("about", "reference", "weights", "freeze", "checkpoint", "parallel", "left_out", "files", "bodies"),
    *("initializers", "initialize"),
)
_BODY = ("kind", "form", "inputs", "nodes", "outputs", "returns")
_BODY_TOO = ("name", "schedule", "repeated", "absent", "arguments", "place")
_NODE = ("name", "inputs", "outputs")
_NODE_TOO = ("op", "arguments", "body", "training_only", "shares", "place")


def read_graph(file: SourceFile, overridden: bool = False) -> Graph:
    """The graph of a graph file. Raises `SpecError` with the first mistake: it was a program that wrote the file.

    Nobody can override what is in it, for nothing is left to work out.
    """
    if overridden:
        help = ("override them in its spec, and write the graph again",)
        raise SpecError([Problem("invalid-override", "a graph file has no parameters", help=help).at(file.start)])
    try:
        return verify(_Reader(file).graph())
    except Mistake as mistake:
        raise SpecError([mistake.problem.at(place(file, mistake.way))]) from None
    except TooLarge as error:
        raise SpecError([Problem("network-too-large", str(error)).at(file.start)]) from None
    except RecursionError:
        raise SpecError([Problem("too-deep", "nested deeper than Python can go").at(file.start)]) from None


class _Reader:
    """Makes each body of a file once, those inside before those around them."""

    def __init__(self, file: SourceFile) -> None:
        self.own = file
        self.files: list[SourceFile] = []
        self.bodies: dict[str, Body] = {}
        self.levels: dict[int, int] = {}  # of a body and what is in it, by identity

    def graph(self) -> Graph:
        top = decode(self.own).record(_TOP, _TOP_TOO)
        version = top["netspec_graph"]
        if version.value != GRAPH_FORMAT or isinstance(version.value, bool):
            help = (f"this netspec reads version {GRAPH_FORMAT}",)
            raise version.at(Problem("unknown-version", "unknown version of a graph file", help=help))
        self.files = [SourceFile(item.line(), "") for item in _items(top, "files")]
        for item in _items(top, "bodies"):
            name = item.record(("name", *_BODY), _BODY_TOO)["name"]
            if name.text() in self.bodies:
                raise name.at(Problem("name-taken", f"two bodies have the name `{name.text()}`"))
            self.bodies[name.text()] = self.body(item, False)
        root = self.body(top["network"], True)
        if (needed := root.parameters * BYTES["float32"]) > limits().memory:
            raise TooLarge(f"the parameters would need {byte_size(needed)}, more than {byte_size(limits().memory)}")
        about = top["about"].text() if "about" in top else ""
        graph = Graph(top["name"].line(), root, about, _texts(top, "reference"))
        graph.left_out = frozenset(_texts(top, "left_out"))
        if "weights" in top:
            _weights(top["weights"], graph)
        if "initialize" in top:
            graph.initializers = tuple(_assignments(top, graph))
        graph.freeze, graph.checkpoint = _texts(top, "freeze"), _texts(top, "checkpoint")
        frozen_parameters(graph)  # these refuse paths that lead nowhere
        checkpointed_nodes(graph)
        if "parallel" in top:
            from netspec.parallel import check_parallel  # only for a file that says how

            graph.parallel = _parallel(top["parallel"])
            check_parallel(graph)
        return graph

    # Bodies ----------------------------------------------------------------------------------------------------------

    def body(self, entry: Entry, network: bool) -> Body:
        own = entry.record(_BODY, _BODY_TOO)
        inputs = tuple(_input(item, network) for item in own["inputs"].items())
        values = {value.name: value for value in inputs}
        if len(values) < len(inputs):
            raise own["inputs"].at(Problem("name-taken", "two inputs have one name"))
        chain = own["form"].word(("chain", "graph")) == "chain"
        written = _by_name(own["nodes"], check_copy_name if chain else check_node_name)
        nodes: dict[str, Node] = {}
        aside: set[Value] = set()  # what exists in training alone
        for name in _order(own, written):
            nodes[name] = node = self.node(written[name], values, nodes)
            if node.training_only and (chain or not network):
                raise written[name].at(
                    Problem("misplaced-training-only", f"`{name}` cannot exist in training alone here")
                )
            if not node.training_only and not aside.isdisjoint(node.inputs):
                message = f"`{name}` is always there, but uses a node that exists in training alone"
                raise written[name].at(Problem("misplaced-training-only", message))
            for value in node.outputs:
                if values.setdefault(value.name, value) is not value:
                    raise written[name].at(Problem("name-taken", f"`{value.name}` is the name of another value"))
            aside.update(node.outputs if node.training_only else ())
        outputs = tuple(_output(item, values, aside) for item in own["outputs"].items())
        body = Body(
            kind=own["kind"].line(),
            form="chain" if chain else "graph",
            inputs=inputs,
            nodes=tuple(nodes[name] for name in written),
            schedule=tuple(nodes.values()),
            outputs=outputs,
            span=self.span(own),
            returns=cast(Literal["bare", "tuple", "dict"], own["returns"].word(("bare", "tuple", "dict"))),
            repeated=_flag(own, "repeated"),
            absent=_texts(own, "absent"),
            arguments=_arguments(own),
        )
        _check_returned(own["outputs"], body)
        if chain:
            _check_chain(entry, body)
        self.check_size(body)
        return body

    def check_size(self, body: Body) -> None:
        """Raise `TooLarge` before anything can go through more nodes or levels than there may be."""
        inner = (self.levels[id(node.target)] for node in body.nodes if isinstance(node.target, Body))
        self.levels[id(body)] = level = 1 + max(inner, default=0)
        if level > limits().levels:
            raise TooLarge(f"blocks inside blocks, more than {limits().levels} levels deep")
        if body.size > limits().nodes:
            raise TooLarge(f"the network unrolls into {body.size:,} nodes, more than {limits().nodes:,}")

    # Nodes -----------------------------------------------------------------------------------------------------------

    def node(self, entry: Entry, values: Mapping[str, Value], nodes: Mapping[str, Node]) -> Node:
        own = entry.record(_NODE, _NODE_TOO)
        name = own["name"].text()
        inputs = tuple(_named(item, values, "value") for item in own["inputs"].items())
        kind, target, types = self.target(entry, own, tuple(value.type for value in inputs))
        outputs = tuple(_value(item) for item in own["outputs"].items())
        shares = own["shares"].text() if "shares" in own else None
        node = Node(name, kind, target, inputs, outputs, self.span(own), _flag(own, "training_only"), shares)
        if node.output_types != types:
            raise own["outputs"].at(
                Problem("shape-mismatch", f"`{name}` gives {_shown(types)}, not what is written here")
            )
        for value in outputs:
            if value.name != name and not (value.name.startswith(f"{name}.") and _DOTTED.match(value.name)):
                raise own["outputs"].at(
                    Problem("invalid-name", f"`{value.name[:60]}` cannot name an output of `{name}`")
                )
        if shares is not None:
            _check_shared(own["shares"], node, _named(own["shares"], nodes, "node"))
        return node

    def target(
        self, entry: Entry, own: Mapping[str, Entry], types: tuple[TensorType, ...]
    ) -> tuple[str, Op | Body, tuple[TensorType, ...]]:
        """What kind of node it is, what stands there, and the types of what that gives for inputs of `types`."""
        if ("op" in own) == ("body" in own):
            raise entry.at(Problem("missing-key", "a node has either `op` or `body`"))
        if "body" in own:
            body = _named(own["body"], self.bodies, "body")
            takes = tuple(value.type for value in body.inputs)
            if takes != types:
                message = f"`{own['body'].value}` takes {_shown(takes)}, got {_shown(types)}"
                raise own["inputs"].at(Problem("shape-mismatch", message))
            return body.kind, body, tuple(output.value.type for output in body.outputs)
        name = own["op"].text()
        if name not in OP_NAMES:
            raise own["op"].at(Problem("unknown-op", f"unknown op `{name}`", help=suggest(name, OP_NAMES)))
        least, most = op_class(name).arity
        if not least <= len(types) <= (len(types) if most is None else most):
            raise own["inputs"].at(Problem("wrong-inputs", f"`{name}` does not take {count_of(len(types), 'input')}"))
        with entry.catch(name, "arguments"):
            made = op_instance(name, _arguments(own), types)
        if made.demand > limits().memory:
            raise own["op"].at(Problem("network-too-large", f"`{name}` needs more than {byte_size(limits().memory)}"))
        return name, made.instance.target, made.instance.outputs

    def span(self, own: Mapping[str, Entry]) -> Span:
        """Where something stands in the file of its spec."""
        if "place" not in own:
            return self.own.start
        numbers = own["place"].items()
        if len(numbers) != 5 or not self.files:
            message = "a place is the number of one of the `files`, and where in it something starts and ends"
            raise own["place"].at(Problem("wrong-value", message))
        file = self.files[numbers[0].integer(0, len(self.files) - 1)]
        line, column, end_line, end_column = (number.integer(1, MAX_AXIS) for number in numbers[1:])
        return Span(file, line, column, end_line, end_column)


# Parts of a body -----------------------------------------------------------------------------------------------------


def _by_name(nodes: Entry, check: Callable[[str], None]) -> dict[str, Entry]:
    """The nodes of a body by name, in the order written."""
    found: dict[str, Entry] = {}
    holders: set[str] = set()
    for item in nodes.items():
        entry = item.record(_NODE, _NODE_TOO)["name"]
        name = entry.text()
        with entry.catch():
            check(name)
        above = set(prefixes(name)) - {name}
        if name in found or name in holders or not above.isdisjoint(found):
            raise entry.at(Problem("name-taken", f"`{name}` is the name of another node, or of what holds it"))
        found[name] = item
        holders |= above
    return found


def _order(own: Mapping[str, Entry], nodes: Mapping[str, Entry]) -> list[str]:
    """The names of the nodes in the order in which they run."""
    order = list(_texts(own, "schedule")) if "schedule" in own else list(nodes)
    if sorted(order) != sorted(nodes):
        raise own["schedule"].at(Problem("wrong-value", "`schedule` must have each node once"))
    return order


def _input(entry: Entry, network: bool) -> Value:
    value = _value(entry)
    with entry.catch():
        check_name(value.name, "input")
    if network and not value.type.batched:
        raise entry.at(Problem("wrong-value", "an input of the network has a batch axis"))
    return value


def _value(entry: Entry) -> Value:
    own = entry.record(("name", "shape"), ("dtype", "batched"))
    shape = tuple(item.integer(1, MAX_AXIS) for item in own["shape"].items())
    dtype = own["dtype"].word(tuple(BYTES)) if "dtype" in own else "float32"
    return Value(own["name"].text(), TensorType(shape, dtype, "batched" not in own or own["batched"].flag()))


def _output(entry: Entry, values: Mapping[str, Value], aside: set[Value]) -> Output:
    own = entry.record(("name", "value"), ("training_only",))
    output = Output(own["name"].text(), _named(own["value"], values, "value"), _flag(own, "training_only"))
    if output.training_only != (output.value in aside):
        raise entry.at(Problem("misplaced-training-only", "an output exists in training alone where its node does"))
    if not _DOTTED.match(output.name):
        raise own["name"].at(Problem("invalid-name", f"`{output.name[:60]}` cannot name an output"))
    return output


def _check_returned(entry: Entry, body: Body) -> None:
    """Refuse outputs that no `forward` can return."""
    names = [output.name for output in body.outputs]
    if not body.eval_outputs:
        raise entry.at(Problem("missing-output", "there is no output outside of training"))
    if len(set(names)) < len(names):
        raise entry.at(Problem("name-taken", "two outputs have one name"))
    if body.returns == "bare" and len(names) > 1:
        raise entry.at(Problem("wrong-value", f"`returns` is `bare`, but there are {count_of(len(names), 'output')}"))
    for name in names if body.returns == "tuple" else ():
        with entry.catch():
            check_name(name, "output")


def _check_chain(entry: Entry, body: Body) -> None:
    """Refuse a chain whose nodes would not run as they are wired, one behind the other."""
    nodes = body.nodes
    results = [*body.inputs, *(node.outputs[0] for node in nodes)]
    wired = [*(node.inputs for node in nodes), tuple(output.value for output in body.outputs)]
    single = all(node.passes_one for node in nodes)
    in_order = body.schedule == nodes and len(body.inputs) == 1 and wired == [(value,) for value in results]
    if not (single and in_order) or body.returns != "bare" or any(node.shares for node in nodes):
        raise entry.at(
            Problem("wrong-inputs", "in a chain, each node reads the one before it, and the last is returned")
        )


def _check_shared(entry: Entry, node: Node, owner: Node) -> None:
    """Refuse a node that would need another module than the one that it shares."""
    size = owner.target.size if isinstance(owner.target, Body) else 1
    charge(size)
    if owner.shares or list(calls(node.target, node.input_types)) != list(calls(owner.target, owner.input_types)):
        raise entry.at(Problem("shape-mismatch", f"`{owner.name}` has no module that `{node.name}` could share"))


# Parts of the graph --------------------------------------------------------------------------------------------------


def _weights(entry: Entry, graph: Graph) -> None:
    own = entry.record(("place",), ("needs", "adapted"))
    graph.weights = own["place"].text()
    if not _PUBLISHED.fullmatch(graph.weights):
        raise own["place"].at(Problem("wrong-value", f"`{graph.weights[:60]}` is no name of published weights"))
    graph.weights_need = _arguments(own, "needs")
    graph.adapted = _flag(own, "adapted")


def _assignments(top: Mapping[str, Entry], graph: Graph) -> Iterator[Assignment]:
    """What fills which parameter, from rows of a path, a parameter, the number of an initializer, and an owner."""
    initializers = [_initializer(item) for item in _items(top, "initializers")]
    for row in top["initialize"].items():
        cells = row.items()
        if not 3 <= len(cells) <= 4:
            message = "a row is a path, a parameter, the number of an initializer, and perhaps the path of a block"
            raise row.at(Problem("wrong-value", message))
        path, parameter = cells[0].text(), cells[1].text()
        owner = cells[3].text() if len(cells) > 3 else ""
        route = graph.route(path)
        states = node_state(route[-1]) if route else {}
        state = states.get("" if route and route[-1].kind == "parameter" else parameter)
        if state is None or not state.trainable or any(node.shares for node in route):
            raise row.at(Problem("unmatched-init", f"no `{path}` has a parameter `{parameter}`"))
        around = {"", *(".".join(node.name for node in route[:depth]) for depth in range(1, len(route)))}
        if owner not in around and not (owner == path and route[-1].kind == "parameter"):
            raise row.at(Problem("unmatched-init", f"`{owner}` is no block around `{path}`"))
        initializer = initializers[cells[2].integer(0, len(initializers) - 1)]
        with row.catch():
            initializer.check(state.shape)
        yield Assignment(path, parameter, initializer, owner)


def _initializer(entry: Entry) -> Initializer:
    own = entry.record(("name",), ("arguments",))
    name = own["name"].text()
    if name not in INITIALIZERS:
        raise own["name"].at(
            Problem("unknown-initializer", f"unknown initializer `{name}`", help=suggest(name, INITIALIZERS))
        )
    with entry.catch(name, "arguments"):
        return create(INITIALIZERS[name], name, _arguments(own))


# Entries that may be missing ------------------------------------------------------------------------------------------


def _items(own: Mapping[str, Entry], key: str) -> list[Entry]:
    return own[key].items() if key in own else []


def _parallel(entry: Entry) -> Parallel:
    own = entry.record((), Parallel._fields)
    tensor = own["tensor"].entries() if "tensor" in own else {}
    styles = tuple((path, style.text()) for path, style in tensor.items())
    return Parallel(_texts(own, "shard"), _texts(own, "pipeline"), styles)


def _texts(own: Mapping[str, Entry], key: str) -> tuple[str, ...]:
    return own[key].texts() if key in own else ()


def _flag(own: Mapping[str, Entry], key: str) -> bool:
    return key in own and own[key].flag()


def _arguments(own: Mapping[str, Entry], key: str = "arguments") -> dict[str, Any]:
    return {name: entry.argument() for name, entry in own[key].entries().items()} if key in own else {}


Named = TypeVar("Named")


def _named(entry: Entry, known: Mapping[str, Named], what: str) -> Named:
    """What an entry names. It stands before it in the file, or runs before it."""
    name = entry.text()
    if name not in known:
        raise entry.at(Problem("unknown-node", f"there is no {what} `{name}` before this", help=suggest(name, known)))
    return known[name]


def _shown(types: tuple[TensorType, ...]) -> str:
    return ", ".join(map(str, types)) or "nothing"
