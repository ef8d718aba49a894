"""A graph and its module in, a model of the Hugging Face hub out: a folder, or a repository, that holds both.

`config.json` is the graph file, which `netspec.load` reads, and `model.safetensors` has the keys of the network. A
graph file is data and is checked as a spec is, so nothing that a stranger wrote is executed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import ModelHubMixin, PyTorchModelHubMixin
from torch import nn

from netspec.compiler import loads
from netspec.diagnostics import Problem, SpecError
from netspec.graph import Graph

Model = TypeVar("Model", bound=ModelHubMixin)

CONFIG, WEIGHTS = "config.json", "model.safetensors"


class HubModel(nn.Module, PyTorchModelHubMixin, library_name="netspec", tags=["netspec"]):
    """A network with `save_pretrained`, `from_pretrained` and `push_to_hub`; it is called as the network is.

    `HubModel.of` makes one. `graph` is its graph, and `network` its module.
    """

    def __init__(self, config: dict[str, Any] | None = None, network: nn.Module | None = None) -> None:
        """`config` is what a graph file says. Without a `network`, the weights are initial ones. Raises `SpecError`."""
        super().__init__()
        help = ("`HubModel.of(graph, module).save_pretrained(folder)` writes one",)
        if config is None:
            raise SpecError([Problem("unknown-spec", f"there is no file `{CONFIG}`", help=help).at(None)])
        if "netspec_graph" not in config:
            message = f"`{CONFIG}` is no graph file: it has no `netspec_graph`"
            raise SpecError([Problem("missing-key", message, help=help).at(None)])
        self.graph = loads(json.dumps(config), name=CONFIG)
        self.network = self.graph.build() if network is None else network

    @classmethod
    def of(cls, graph: Graph, network: nn.Module | None = None) -> HubModel:
        """The model of a graph, with the module that was built of it, and perhaps trained."""
        from netspec.backends.graph_json import to_graph_json

        return cls(json.loads(to_graph_json(graph)), network)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.network(*inputs, **named)

    def _save_pretrained(self, save_directory: Path) -> None:
        from netspec.backends.export import export
        from netspec.backends.report import save_weights

        export(self.graph, str(save_directory / CONFIG))
        save_weights(self.network, save_directory / WEIGHTS)

    @classmethod
    def _load_as_safetensor(cls, model: Model, model_file: str, map_location: str, strict: bool) -> Model:
        """Build the network around the tensors of a file, which must be those that it holds."""
        assert isinstance(model, HubModel)
        exact = replace(model.graph, adapted=False)
        model.network = exact.build(weights=model_file, device=map_location)
        model.eval()
        return model

    _load_as_pickle = _load_as_safetensor  # which refuses a pickle by its suffix
