"""From ONNX ops to primitives: one file a family, each with a table from op type to lowering.

To cover an op, write its lowering and add a line to its family's table; docs/contributing.md lists
what goes with it.
"""

from oracle.exact.lowering import (
    activation,
    attention,
    columns,
    convolution,
    deformable,
    einsum,
    elementwise,
    encoding,
    fused,
    indexing,
    linear,
    logic,
    movement,
    normalization,
    pooling,
    preprocessing,
    qlinear,
    quantized,
    recurrent,
    reduce,
    resize,
    sampling,
    scatter,
    shape,
    spectra,
    transcendental,
    trees,
    vectors,
)
from oracle.exact.lowering.source import Lowering

ONNX: dict[str, Lowering] = {
    **linear.ONNX,
    **elementwise.ONNX,
    **transcendental.ONNX,
    **reduce.ONNX,
    **movement.ONNX,
    **logic.ONNX,
    **shape.ONNX,
    **indexing.ONNX,
    **scatter.ONNX,
    **resize.ONNX,
    **sampling.ONNX,
    **spectra.ONNX,
    **einsum.ONNX,
    **recurrent.ONNX,
    **quantized.ONNX,
    **convolution.ONNX,
    **deformable.ONNX,
    **pooling.ONNX,
    **columns.ONNX,
    **normalization.ONNX,
    **activation.ONNX,
    **attention.ONNX,
}
"""The default domain."""

ONNX_ML: dict[str, Lowering] = {
    **linear.ONNX_ML,
    **movement.ONNX_ML,
    **preprocessing.ONNX_ML,
    **encoding.ONNX_ML,
    **trees.ONNX_ML,
    **vectors.ONNX_ML,
}
"""ai.onnx.ml. ZipMap is not here: it makes no tensor, so the graph walker drops it."""

MICROSOFT: dict[str, Lowering] = {
    **recurrent.MICROSOFT,
    **qlinear.MICROSOFT,
    **fused.MICROSOFT,
    **attention.MICROSOFT,
}
"""com.microsoft: the ops that onnxruntime's quantizer and optimizer write."""
