"""The specs that ship as entry points of `torch.hub`: `torch.hub.load(REPOSITORY, "resnet50", pretrained=True)`."""

from typing import Any as _Any

from netspec.catalog import shipped_specs as _shipped_specs

dependencies = ["graphviz", "pydantic", "torch", "yaml"]


def _entry(name: str) -> _Any:
    def create(*arguments: _Any, **named: _Any) -> _Any:
        from netspec import create_model

        return create_model(name, *arguments, **named)

    create.__name__ = name
    create.__doc__ = f"The network `{name}`. Takes the arguments of `netspec.create_model`, and those of its spec."
    return create


globals().update({name: _entry(name) for name in _shipped_specs()})
