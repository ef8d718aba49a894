"""Attention: every position of one sequence looks at all positions of another, or of its own."""

from __future__ import annotations

from typing import Annotated, ClassVar

from netspec.diagnostics import Problem
from netspec.fields import Expects
from netspec.initializers import Initializer, XavierNormal, XavierUniform, weighted_sum
from netspec.ops.base import FunctionCall, Memory, ModuleCall, Number, Op, Positive, Probability, State
from netspec.shapes import Shape, TensorType, broadcast, divides, mismatch
from netspec.windows import WHOLE, Reach, Reaches, same_place

OptionalScale = Annotated[
    float | None,
    Expects("a number, or `none` for one over the root of the features"),
]


class MultiheadAttention(Op):
    """Attention in `num_heads` parallel heads, with learned projections before and after.

    One input attends to itself. Two inputs are the query, and the key that is also the value; three are query, key
    and value. The weights of the heads are not returned. With `is_causal` a position sees no later one.

    Shape: length × features, and for key and value their length × any features → as the query.
    Cost: one multiply-accumulate per projection weight and position, and for each pair of a query and a key position
    two per feature. The positions that `add_bias_kv` and `add_zero_attn` add to the keys count; a causal mask saves
    nothing.
    Source: Vaswani et al., Attention is all you need, 2017.
    """

    category: ClassVar = "attention"
    arity: ClassVar[tuple[int, int | None]] = (1, 3)

    num_heads: Positive
    dropout: Probability = 0.0
    bias: bool = True
    add_bias_kv: bool = False
    add_zero_attn: bool = False
    is_causal: bool = False

    def infer(self, *inputs: TensorType) -> TensorType:
        query, key, value = _query_key_value(inputs)
        for x in inputs:
            if x.rank != 2:
                raise Problem("wrong-rank", f"{{op}} takes sequences, length × features, got {x}")
        divides(self.num_heads, query.shape[1], "the features of the query", "num_heads")
        if key.shape[0] != value.shape[0]:
            raise mismatch("needs a key and a value of equal length", (key, value))
        if self.is_causal and key.shape[0] != query.shape[0]:
            message = f"`is_causal` needs a query and a key of equal length, got {query} and {key}"
            raise Problem("shape-mismatch", message, argument="is_causal")
        return query

    def state(self, *inputs: TensorType) -> dict[str, State]:
        width, *others = (x.shape[1] for x in _query_key_value(inputs))
        if all(features == width for features in others):
            result = {"in_proj_weight": State((3 * width, width))}
        else:
            names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
            result = {name: State((width, features)) for name, features in zip(names, (width, *others), strict=True)}
        if self.bias:
            result["in_proj_bias"] = State((3 * width,))
        if self.add_bias_kv:
            result |= {name: State((1, 1, width)) for name in ("bias_k", "bias_v")}
        result["out_proj.weight"] = State((width, width))
        return result | ({"out_proj.bias": State((width,))} if self.bias else {})

    def initial(self, *inputs: TensorType) -> dict[str, Initializer]:
        width = _query_key_value(inputs)[0].shape[1]
        projections = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
        result: dict[str, Initializer] = dict.fromkeys(projections, XavierUniform())
        result |= dict.fromkeys(("bias_k", "bias_v"), XavierNormal())
        return result | {"out_proj.weight": weighted_sum(width)["weight"]}

    def products(self, *inputs: TensorType) -> tuple[Shape, ...]:
        query, key, value = _query_key_value(inputs)
        length, width = query.shape
        positions = key.shape[0] + self.add_bias_kv + self.add_zero_attn
        return (*((*x.shape, width) for x in (query, key, value, query)), (2, length, positions, width))

    def reach(self, *inputs: TensorType) -> tuple[Reaches, ...]:
        own = (WHOLE, WHOLE) if len(inputs) == 1 else (Reach(0), WHOLE)
        return (own, *((WHOLE, WHOLE) for _ in inputs[1:]))

    def memory(self, *inputs: TensorType) -> Memory:
        query, key, value = _query_key_value(inputs)
        (length, width), positions = query.shape, key.shape[0] + self.add_bias_kv + self.add_zero_attn
        packed = key.shape[1] == value.shape[1] == width  # then one product projects all that is the same input
        own = [*(inputs if packed else (query, key, value)), query, query]  # what the products read, and give
        keys = query.with_shape((positions, width))
        if positions > key.shape[0]:
            own += [keys, keys]
            own += [query.with_shape((length, 2 * width))] if len(inputs) == 1 else []
            own += [TensorType((length, positions), batched=False)] if self.is_causal else []
        else:
            own += [x.with_shape((x.shape[0], width)) for x in (key, value)]
        if self.dropout:
            own += [query, keys] + [query.with_shape((self.num_heads, length, positions))] * 3
        else:
            own.append(query.with_shape((self.num_heads, length)))
        return Memory(own=tuple(own))

    def torch(self, *inputs: TensorType) -> ModuleCall:
        query, key, value = _query_key_value(inputs)
        length, width = query.shape
        options = self.changed("dropout", "bias", "add_bias_kv", "add_zero_attn")
        options |= {"kdim": key.shape[1]} if key.shape[1] != width else {}
        options |= {"vdim": value.shape[1]} if value.shape[1] != width else {}
        takes = ("{0}, {0}, {0}", "{0}, {1}, {1}", "{0}, {1}, {2}")[len(inputs) - 1] + ", need_weights=False"
        if self.is_causal:
            later = f"{{0}}.new_ones(({length}, {length}), dtype=torch.bool).triu(1)"
            takes += f", attn_mask={later}"
            if not (self.add_bias_kv or self.add_zero_attn):
                takes += ", is_causal=True"  # a hint to mask by position, which would hide the added ones at the end
        options |= {"batch_first": True}
        return ModuleCall("nn.MultiheadAttention", (width, self.num_heads), options, takes, ("{}[0]",))


def _query_key_value(inputs: tuple[TensorType, ...]) -> tuple[TensorType, TensorType, TensorType]:
    """One input stands for all three, a second one for key and value."""
    return inputs[0], inputs[min(1, len(inputs) - 1)], inputs[-1]


class ScaledDotProductAttention(Op):
    """Values averaged by the softmax of query · key, without any learned weights.

    Inputs are query, key and value, with equal axes before the last two, such as the heads. `scale` is one over the
    root of the features unless given; `dropout_p` applies in training alone; with `is_causal` a position sees no
    later one.

    Shape: ... × length × features, ... × other × features, ... × other × out → ... × length × out.
    Cost: for each pair of positions one multiply-accumulate per feature and per output; a causal mask saves nothing.
    Source: Vaswani et al., Attention is all you need, 2017.
    """

    category: ClassVar = "attention"
    arity: ClassVar[tuple[int, int | None]] = (3, 3)

    dropout_p: Probability = 0.0
    is_causal: bool = False
    scale: OptionalScale = None

    def infer(self, query: TensorType, key: TensorType, value: TensorType) -> TensorType:
        inputs = (query, key, value)
        for x in inputs:
            if x.rank < 2:
                raise Problem("wrong-rank", f"{{op}} takes at least length and features, got {x}")
        if len({x.shape[:-2] for x in inputs}) > 1:
            raise mismatch("needs equal axes before the last two", inputs)
        if query.shape[-1] != key.shape[-1]:
            raise mismatch("needs a query and a key of equal features", (query, key))
        if key.shape[-2] != value.shape[-2]:
            raise mismatch("needs a key and a value of equal length", (key, value))
        return query.with_shape((*query.shape[:-1], value.shape[-1]))

    def products(self, query: TensorType, key: TensorType, value: TensorType) -> tuple[Shape, ...]:
        pairs = (*query.shape[:-1], key.shape[-2])
        return ((*pairs, query.shape[-1]), (*pairs, value.shape[-1]))

    def reach(self, query: TensorType, key: TensorType, value: TensorType) -> tuple[Reaches, ...]:
        positions, features = query.rank - 2, query.rank - 1
        return (
            same_place(query.rank, whole=[features]),
            same_place(key.rank, whole=[positions, features]),
            same_place(value.rank, whole=[positions]),
        )

    def memory(self, query: TensorType, key: TensorType, value: TensorType) -> Memory:
        """PyTorch has one kernel for all, which keeps no scores, and puts the others together from products."""
        if query.rank <= 3 and query.shape[-1] == value.shape[-1] and not self.dropout_p:
            return Memory(inputs=(0, 1, 2), output=True, own=(query.with_shape(query.shape[:-1]),))
        scores = query.with_shape((*query.shape[:-1], key.shape[-2]))
        return Memory(inputs=(2,), own=(query, key, *(scores,) * (3 if self.dropout_p else 1)))

    def torch(self, query: TensorType, key: TensorType, value: TensorType) -> FunctionCall:
        options = {name: repr(value) for name, value in self.changed("dropout_p", "is_causal", "scale").items()}
        if self.dropout_p:
            options["dropout_p"] = f"{self.dropout_p!r} if {{training}} else 0.0"
        arguments = ["{0}", "{1}", "{2}", *(f"{name}={value}" for name, value in options.items())]
        return FunctionCall(f"F.scaled_dot_product_attention({', '.join(arguments)})")


class MaskSegments(Op):
    """Scores of attention, lowered by `penalty` where query and key are in different segments.

    The first input are the scores, the second the number of the segment that each position is in. The last axis of
    the segments gives rows and columns of the mask; all axes then align from the right and those of length 1 stretch.

    Shape: ... × length × length, and int64 ... × length → as the scores.
    Cost: no multiply-accumulates.
    Source: Liu et al., Swin Transformer, 2021.
    """

    category: ClassVar = "attention"
    arity: ClassVar[tuple[int, int | None]] = (2, 2)
    merges: ClassVar = True
    dtypes: ClassVar = frozenset({"float32", "int64"})
    unbatched: ClassVar = True

    penalty: Number = 100.0

    def infer(self, scores: TensorType, segments: TensorType) -> TensorType:
        if scores.dtype != "float32" or segments.dtype != "int64":
            raise Problem("wrong-dtype", f"{{op}} takes float32 scores and int64 segments, got {scores} and {segments}")
        if segments.rank < 1:
            raise Problem("wrong-rank", f"{{op}} takes segments with one axis at least, got {segments}")
        mask = TensorType((*segments.shape, segments.shape[-1]), batched=segments.batched)
        if broadcast((scores, mask)) != scores:
            raise mismatch("needs one segment for each row and column of the scores", (scores, segments))
        return scores

    def memory(self, scores: TensorType, segments: TensorType) -> Memory:
        return Memory(passes=(0,))

    def torch(self, scores: TensorType, segments: TensorType) -> FunctionCall:
        differs = "({1}.unsqueeze(-1) != {1}.unsqueeze(-2))"
        return FunctionCall(f"{{0}} - {differs}.to({{0}}) * {self.penalty!r}")
