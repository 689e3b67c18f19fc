"""Float64, float16 and bfloat16 of a file, which the law has as float32.

A node's lowering sees float32; what it gives is of the dtype that the file says. That is rounding
in another place and no more, but for float64 where a result jumps: a number just below a threshold
may be on it once it is rounded. So no op that jumps may read a float64 that was rounded. One that
was not is a float32 of an input, moved or chosen; thresholds for it are rounded to the side on
which every comparison with a float32 stays what it is.

Float16 and bfloat16 hold less than float32, so a file with them asked for less than it gets.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from oracle.exact.lowering import schemas
from oracle.exact.lowering.builder import FLOATS, WIDENED, Builder, with_dtype
from oracle.exact.lowering.forest import at_least, at_most
from oracle.exact.lowering.scaled import STEPS, Scaled, after
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.primitive import Outside
from oracle.exact.program import Operand
from oracle.tensor import Array
from oracle.types import DType

# Ops whose lowerings look at the file's dtypes themselves.
_OWN = (
    "BitCast",
    "Cast",
    "CastLike",
    "Constant",
    "ConstantOfShape",
    "DequantizeLinear",
    "EyeLike",
    "Range",
)
_RENAMES = ("Flatten", "Identity", "Reshape", "Shape", "Size", "Squeeze", "Unsqueeze")

# Ops that give elements of their inputs or the negatives of these. They round nothing.
_CHOICES = (
    "Abs",
    "ArrayFeatureExtractor",
    "CenterCropPad",
    "Clip",
    "Compress",
    "Concat",
    "DepthToSpace",
    "Dropout",
    "Expand",
    "FeatureVectorizer",
    "Gather",
    "GatherElements",
    "GatherND",
    "GlobalMaxPool",
    "Imputer",
    "Max",
    "MaxPool",
    "Min",
    "Neg",
    "Pad",
    "ReduceMax",
    "ReduceMin",
    "Relu",
    "ReverseSequence",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Tile",
    "TopK",
    "Transpose",
    "Trilu",
    "Where",
)

# Ops that give of integers what they give of wider ones: none of them wraps.
_WIDE = ("And", "ArgMax", "ArgMin", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Mod")

_TREES = ("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor")

# Ops whose results jump as their inputs move. The choice of the best among scores (ArgMax, TopK) is
# none of them: where it jumps, either is as good.
_JUMPS = (
    "Binarizer",
    "Ceil",
    "Equal",
    "Floor",
    "Greater",
    "GreaterOrEqual",
    "Imputer",
    "LabelEncoder",
    "Less",
    "LessOrEqual",
    "Mod",
    "NonZero",
    "OneHot",
    "OneHotEncoder",
    "Round",
    "Shrink",
    "Sign",
    "ThresholdedRelu",
    "Unique",
    *_TREES,
)

# Sums of products, to which an element that is 0 as float32 adds nothing that float32 would show.
_SUMS = ("Conv", "ConvTranspose", "Einsum", "GRU", "Gemm", "LSTM", "MatMul", "RNN")

_NEGATES = ("Abs", "Neg", "Relu")
_OF_16_BITS = ("MatMulInteger16", "QuantizeLinear")
_IN_LAW = dict.fromkeys(FLOATS, DType.FLOAT) | WIDENED

# What is computed of float64 constants alone, as IEEE-754 has it: the same on every machine.
_FOLDED: dict[str, Callable[..., Array]] = {
    "Abs": np.abs,
    "Add": np.add,
    "Ceil": np.ceil,
    "Div": np.divide,
    "Equal": np.equal,
    "Floor": np.floor,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Reciprocal": np.reciprocal,
    "Round": np.rint,
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
}

# Comparisons by the ways in which constants beside a float32 are rounded, on the left and right.
_THRESHOLDS = {
    "Less": (at_most, at_least),
    "Greater": (at_least, at_most),
    "LessOrEqual": (at_least, at_most),
    "GreaterOrEqual": (at_most, at_least),
}


def lowered(b: Builder, lowering: Lowering, node: Source, domain: str) -> Sequence[Operand]:
    """Lowers a node by `lowering`, which is given float32 for all floats of the file."""
    dtypes = {x.type.dtype for x in node.inputs if x is not None}
    if node.op in (*_OWN, *_RENAMES):
        return lowering(b, node)
    foreign = dtypes.intersection(FLOATS)
    if (integers := dtypes.intersection(WIDENED)) and node.op not in _OF_16_BITS:
        if node.op in _NEGATES or node.op not in (*_WIDE, *_CHOICES, *_THRESHOLDS, "Equal"):
            name = min(integers).name.lower()
            raise Outside(f"dtype {name} is not covered", "Cast it to int32 or int64 before")
        foreign |= integers
    if not foreign:
        return lowering(b, node)
    types = schemas.types(node.op, node.opset, domain)
    if types is not None:
        _check_types(node, types)
    if (folded := _folded(b, node)) is not None:
        return [folded]
    if node.op in _THRESHOLDS or node.op == "Equal":
        node = _with_thresholds(b, node)
    if node.op in _TREES and (known := b.scaled(node.input(0))) is not None and any(known.columns):
        node = replace(
            node, inputs=(with_dtype(known.source, DType.DOUBLE),), scaling=known.columns
        )
    rounds = _rounds(b, node)
    if rounds and _jumps(node):
        raise Outside(
            "it jumps where a float64 that was computed is a little another as float32",
            "Cast what it reads to float32 before, or export the model with float32",
        )
    vanishing = node.op in _SUMS
    inputs = [
        b.in_law(x, vanishing) if x is not None and x.type.dtype in foreign else x
        for x in node.inputs
    ]
    results = lowering(b, replace(node, inputs=tuple(inputs)))
    scaled = _scaled(b, node, lowering) if rounds or node.op in STEPS else None
    read = {(x.kind, x.index) for x in inputs if x is not None}
    exact = node.op in _CHOICES and not rounds
    out = []
    for place, result in enumerate(results):
        dtype = _dtype(node, types, place)
        if dtype is None or result.type.dtype != _IN_LAW[dtype]:
            out.append(result)
            continue
        if dtype is DType.DOUBLE and not exact and (result.kind, result.index) not in read:
            if scaled is None:
                b.mark_rounded(result)
            else:
                b.mark_scaled(result, scaled)
        out.append(with_dtype(result, dtype))
    return out


def _scaled(b: Builder, node: Source, lowering: Lowering) -> Scaled | None:
    """Gives what the columns of the node's float64 are scaled from, and how, or None if that is not
    known."""
    given = [x for x in node.inputs if x is not None]
    if node.op == "Concat":
        known = [part for x in given if (part := b.scaled(x)) is not None]
        rank = len(given[0].type.shape)
        if len(known) < len(given) or node.axis(rank) < rank - 1:
            return None
        (source,) = lowering(b, replace(node, inputs=tuple(part.source for part in known)))
        return Scaled(source, tuple(column for part in known for column in part.columns))
    if node.op not in STEPS or len(given) != 2:
        return None
    constants = [b.float64(x) for x in given]
    at = 0 if constants[1] is not None else 1
    constant, scaled = constants[1 - at], b.scaled(given[at])
    if constant is None or scaled is None or (at and node.op not in ("Add", "Mul")):
        return None
    return after(scaled, node.op, constant)


def _check_types(node: Source, types: schemas.Types) -> None:
    """Raises Outside where inputs that must be of one dtype are of two."""
    kinds: dict[str, set[DType]] = {}
    for place, x in enumerate(node.inputs):
        if x is not None and not types.of_input(place).startswith("tensor("):
            kinds.setdefault(types.of_input(place), set()).add(x.type.dtype)
    for found in kinds.values():
        if len(found) > 1:
            names = ", ".join(sorted(dtype.name.lower() for dtype in found))
            raise Outside(f"its inputs have different dtypes: {names}", "insert a Cast")


def _dtype(node: Source, types: schemas.Types | None, place: int) -> DType | None:
    """Gives the file's dtype of an output, or None where the law has it: that of an input of the
    same type. An op that ONNX does not know gives floats of one dtype."""
    kind = None if types is None else types.of_output(place)
    for at, x in enumerate(node.inputs):
        of_same = types is None or types.of_input(at) == kind
        if x is not None and of_same and x.type.dtype in _IN_LAW:
            return x.type.dtype
    return None


def _rounds(b: Builder, node: Source) -> bool:
    """Tells whether a float64 that the node reads is not what its float32 says."""
    wide = [x for x in node.inputs if x is not None and x.type.dtype is DType.DOUBLE]
    return any(map(b.is_rounded, wide))


def _jumps(node: Source) -> bool:
    if node.op == "GridSample":
        return node.text("mode", "linear") == "nearest"
    return node.op in _JUMPS


def _folded(b: Builder, node: Source) -> Operand | None:
    """Computes in float64 what is of constants alone, where that is the same on every machine."""
    function = _FOLDED.get(node.op)
    wide = [None if x is None else b.float64(x) for x in node.inputs]
    arrays = [array for array in wide if array is not None]
    if function is None or not arrays or len(arrays) < len(wide) or node.attributes:
        return None
    with np.errstate(all="ignore"):
        return b.constant(np.asarray(function(*arrays)))


def _with_thresholds(b: Builder, node: Source) -> Source:
    """Rounds a constant so that it compares with every float32 as it did. A number that is no
    float32 equals none, as NaN does not."""
    if len(node.inputs) != 2:
        return node
    inputs = list(node.inputs)
    for at, x in enumerate(node.inputs):
        wide = None if x is None else b.float64(x)
        if wide is None:
            continue
        if node.op == "Equal":
            held = [t if at_most(t) == t else np.nan for t in wide.flat]
        else:
            held = list(map(_THRESHOLDS[node.op][at], wide.flat))
        rounded = b.constant(np.array(held, np.float64).reshape(wide.shape))
        inputs[at] = rounded
    return replace(node, inputs=tuple(inputs))
