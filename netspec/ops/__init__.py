"""The ops by name. A family's file is imported when one of its ops is first used."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from netspec.ops.base import Op

_FAMILIES: dict[str, dict[str, str]] = {
    "activation": {
        "celu": "CELU",
        "clamp": "Clamp",
        "elu": "ELU",
        "exp": "Exp",
        "gelu": "GELU",
        "glu": "GLU",
        "hardshrink": "Hardshrink",
        "hardsigmoid": "Hardsigmoid",
        "hardswish": "Hardswish",
        "hardtanh": "Hardtanh",
        "leaky_relu": "LeakyReLU",
        "log_sigmoid": "LogSigmoid",
        "log_softmax": "LogSoftmax",
        "mish": "Mish",
        "prelu": "PReLU",
        "relu": "ReLU",
        "relu6": "ReLU6",
        "rrelu": "RReLU",
        "selu": "SELU",
        "sigmoid": "Sigmoid",
        "silu": "SiLU",
        "softmax": "Softmax",
        "softmin": "Softmin",
        "softplus": "Softplus",
        "softshrink": "Softshrink",
        "softsign": "Softsign",
        "tanh": "Tanh",
        "tanhshrink": "Tanhshrink",
        "threshold": "Threshold",
    },
    "attention": {
        "mask_segments": "MaskSegments",
        "multihead_attention": "MultiheadAttention",
        "scaled_dot_product_attention": "ScaledDotProductAttention",
    },
    "convolution": {"conv": "Conv", "conv_transpose": "ConvTranspose"},
    "cut": {
        "chunk": "Chunk",
        "crop": "Crop",
        "pad": "Pad",
        "select": "Select",
        "slice": "Slice",
        "split": "Split",
        "unbind": "Unbind",
    },
    "linear": {"affine": "Affine", "linear": "Linear"},
    "merge": {
        "add": "Add",
        "concat": "Concat",
        "lookup": "Lookup",
        "matmul": "Matmul",
        "mul": "Mul",
        "sub": "Sub",
        "times": "Times",
    },
    "normalization": {
        "batch_norm": "BatchNorm",
        "group_norm": "GroupNorm",
        "instance_norm": "InstanceNorm",
        "layer_norm": "LayerNorm",
        "local_response_norm": "LocalResponseNorm",
        "normalize": "Normalize",
    },
    "pooling": {
        "adaptive_avg_pool": "AdaptiveAvgPool",
        "adaptive_max_pool": "AdaptiveMaxPool",
        "avg_pool": "AvgPool",
        "global_avg_pool": "GlobalAvgPool",
        "global_max_pool": "GlobalMaxPool",
        "lp_pool": "LPPool",
        "max_pool": "MaxPool",
    },
    "rearrange": {
        "channel_shuffle": "ChannelShuffle",
        "pixel_shuffle": "PixelShuffle",
        "pixel_unshuffle": "PixelUnshuffle",
        "roll": "Roll",
        "roll_segments": "RollSegments",
        "window_partition": "WindowPartition",
        "window_reverse": "WindowReverse",
    },
    "recurrent": {"gru": "GRU", "lstm": "LSTM", "rnn": "RNN"},
    "reduction": {
        "max": "Max",
        "mean": "Mean",
        "sum": "Sum",
    },
    "regularization": {
        "alpha_dropout": "AlphaDropout",
        "dropout": "Dropout",
        "feature_alpha_dropout": "FeatureAlphaDropout",
        "spatial_dropout": "SpatialDropout",
        "stochastic_depth": "StochasticDepth",
    },
    "resample": {"upsample": "Upsample"},
    "reshape": {
        "flatten": "Flatten",
        "identity": "Identity",
        "permute": "Permute",
        "reshape": "Reshape",
        "squeeze": "Squeeze",
        "transpose": "Transpose",
        "unsqueeze": "Unsqueeze",
    },
    "state": {
        "constant": "Constant",
        "embedding": "Embedding",
        "parameter": "Parameter",
        "relative_position_index": "RelativePositionIndex",
        "relative_position_offsets": "RelativePositionOffsets",
    },
}

OP_NAMES: dict[str, tuple[str, str]] = {
    name: (family, cls) for family, ops in _FAMILIES.items() for name, cls in ops.items()
}


@cache
def op_class(name: str) -> type[Op]:
    """The class of the op called `name`, which must be one of `OP_NAMES`."""
    family, cls = OP_NAMES[name]
    op: type[Op] = getattr(import_module(f"netspec.ops.{family}"), cls)
    return op
