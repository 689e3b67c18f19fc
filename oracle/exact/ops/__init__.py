"""The primitives, one file a family, and the table of all."""

from oracle.exact.ops import (
    elementwise,
    functions,
    linear,
    movement,
    quantized,
    reduce,
    transcendental,
    trees,
    window,
)
from oracle.exact.primitive import Primitive
from oracle.exact.program import Op

PRIMITIVES: dict[Op, Primitive] = {
    primitive.op: primitive
    for family in (
        linear,
        elementwise,
        transcendental,
        functions,
        reduce,
        movement,
        window,
        trees,
        quantized,
    )
    for primitive in family.PRIMITIVES
}
