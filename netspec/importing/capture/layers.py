"""Layers that are called as functions, with their weights as arguments, to ops."""

from __future__ import annotations

from netspec.diagnostics import Problem
from netspec.importing.capture.calls import Call, Term
from netspec.importing.capture.modules import compact
from netspec.ops import op_class


def convolution(call: Call, kind: str = "conv") -> Term:
    given = call.bind("input weight bias stride padding dilation groups")
    if kind == "conv_transpose":
        given = call.bind("input weight bias stride padding output_padding groups dilation")
    x, weight = call.term(given["input"]), given["weight"]
    fields = {name: compact(value) for name, value in given.items() if name not in ("input", "weight", "bias")}
    channels = weight.shape[0] if kind == "conv" else weight.shape[1] * given.get("groups", 1)
    fields |= {"out_channels": channels, "kernel_size": compact(tuple(weight.shape[2:]))}
    op = op_class(kind)(**fields, bias=given.get("bias") is not None)
    return call.recorder.layer(op, kind, x, {"weight": weight, "bias": given.get("bias")})


def linear(call: Call) -> Term:
    given = call.bind("input weight bias")
    x, weight, bias = call.term(given["input"]), given["weight"], given.get("bias")
    op = op_class("linear")(out_features=weight.shape[0], bias=bias is not None)
    if call.recorder.owner(op, x, {"weight": weight, "bias": bias}) is not None:
        return call.recorder.layer(op, "linear", x, {"weight": weight, "bias": bias})
    others = [call.term(tensor) for tensor in (weight, bias) if tensor is not None]
    return call.emit("affine", [x, *others])


def batch_norm(call: Call) -> Term:
    given = call.bind("input running_mean running_var weight bias training momentum eps")
    states = {name: given.get(name) for name in ("weight", "bias", "running_mean", "running_var")}
    fields = {"eps": given.get("eps", 1e-5), "momentum": given.get("momentum", 0.1)}
    fields |= {"affine": states["weight"] is not None, "track_running_stats": states["running_mean"] is not None}
    return call.recorder.layer(op_class("batch_norm")(**fields), "batch_norm", call.term(given["input"]), states)


def layer_norm(call: Call) -> Term:
    given = call.bind("input normalized_shape weight bias eps")
    states = {name: given.get(name) for name in ("weight", "bias")}
    axes = len(tuple(given["normalized_shape"]))
    op = op_class("layer_norm")(
        axes=axes,
        eps=given.get("eps", 1e-5),
        elementwise_affine=states["weight"] is not None,
        bias=states["bias"] is not None,
    )
    x = call.term(given["input"])
    if states["weight"] is None:
        return call.recorder.emit(op, "layer_norm", [x])[0]
    return call.recorder.layer(op, "layer_norm", x, states)


def group_norm(call: Call) -> Term:
    given = call.bind("input num_groups weight bias eps")
    states = {name: given.get(name) for name in ("weight", "bias")}
    fields = {"num_groups": given["num_groups"], "eps": given.get("eps", 1e-5), "affine": states["weight"] is not None}
    op, x = op_class("group_norm")(**fields), call.term(given["input"])
    if states["weight"] is None:
        return call.recorder.emit(op, "group_norm", [x])[0]
    return call.recorder.layer(op, "group_norm", x, states)


def embedding(call: Call) -> Term:
    given = call.bind("input weight padding_idx")
    count, width = given["weight"].shape
    op = op_class("embedding")(num_embeddings=count, embedding_dim=width, padding_idx=given.get("padding_idx"))
    return call.recorder.layer(op, "embedding", call.term(given["input"]), {"weight": given["weight"]})


def prelu(call: Call) -> Term:
    given = call.bind("input weight")
    op = op_class("prelu")(num_parameters=given["weight"].numel())
    return call.recorder.layer(op, "prelu", call.term(given["input"]), {"weight": given["weight"]})


def pad(call: Call) -> Term:
    given = call.bind("input pad mode value")
    if not any(given["pad"]):
        return call.term(given["input"])
    fields = {"mode": given.get("mode", "constant"), "value": float(given.get("value") or 0.0)}
    return call.emit("pad", [call.term(given["input"])], padding=tuple(given["pad"]), **fields)


def interpolate(call: Call) -> Term:
    given = call.bind("input size scale_factor mode align_corners recompute_scale_factor antialias")
    if given.get("antialias") or given.get("recompute_scale_factor"):
        raise Problem("cannot-import", "`interpolate` with these options has no op")
    names = ("size", "scale_factor", "mode", "align_corners")
    fields = {name: compact(given[name]) for name in names if given.get(name) is not None}
    return call.emit("upsample", [call.term(given["input"])], **fields)


def attention(call: Call) -> Term:
    given = call.bind("query key value attn_mask dropout_p is_causal scale")
    if given.get("attn_mask") is not None or given.get("enable_gqa"):
        raise Problem("cannot-import", "`scaled_dot_product_attention` with a mask has no op")
    fields = {name: given[name] for name in ("dropout_p", "is_causal", "scale") if given.get(name) is not None}
    terms = [call.term(given[name]) for name in ("query", "key", "value")]
    return call.emit("scaled_dot_product_attention", terms, **fields)
