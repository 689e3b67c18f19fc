"""Builds a program primitive by primitive: checks types, folds constants, keeps to the limits."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from oracle.exact.limits import Limits, OverLimit
from oracle.exact.lowering.scaled import Scaled
from oracle.exact.ops import PRIMITIVES
from oracle.exact.primitive import Outside, same_dtype
from oracle.exact.program import (
    MAX_RANK,
    Constant,
    Family,
    Node,
    Op,
    Operand,
    OperandKind,
    Program,
    ValueType,
)
from oracle.tensor import Array, canonical, dtype_of, numpy_dtype
from oracle.types import DType, Signature, TensorType

# Primitives that move elements and leave them as they are, whatever the file calls their dtype.
_MOVES = (Op.TRANSPOSE, Op.CONCAT, Op.GATHER)

# Families whose ops work element by element on broadcast operands.
_ELEMENTWISE = (Family.ELEMENTWISE, Family.TRANSCENDENTAL, Family.FUNCTIONS)


FLOATS = (DType.FLOAT16, DType.BFLOAT16, DType.DOUBLE)
"""Floats of a file that the law has as float32. An operand's type says the file's; its elements are
float32, but for those of a constant float64, which are rounded when the first op computes with
them."""

WIDENED = {
    DType.INT16: DType.INT32,
    DType.UINT16: DType.INT32,
    DType.UINT32: DType.INT64,
    DType.UINT64: DType.INT64,
}
"""Integers of a file that the law has as wider ones, in the same way. Of uint64 there are constants
below 2^63 alone."""


def with_dtype(operand: Operand, dtype: DType) -> Operand:
    """Gives the same elements under another dtype of the file."""
    return Operand(operand.kind, operand.index, ValueType(dtype, operand.type.shape))


def nearest_float32(wide: Array, vanishing: bool = False) -> Array:
    """Rounds float64. Raises Outside where that is more than rounding: to an infinity; to zero but
    where `vanishing` allows that; of a whole number that tells one thing from the next."""
    with np.errstate(all="ignore"):
        nearest: Array = wide.astype(np.float32)
        whole = (np.abs(wide) < 2**53) & (np.trunc(wide) == wide)
        losses = (
            (np.isinf(nearest) & np.isfinite(wide), "is beyond float32", "scale it"),
            ((nearest == 0) & (wide != 0) & (not vanishing), "is 0 as float32", "scale it"),
            ((nearest != wide) & whole, "is a whole number that float32 lacks", "make it int64"),
        )
    for lost, why, advice in losses:
        if lost.any():
            raise Outside(f"the float64 {wide[lost].flat[0]!s} {why}", advice)
    return nearest


class Builder:
    """Collects primitives as they are emitted. `program` gives those that the outputs need. All
    methods may raise Outside."""

    def __init__(self, inputs: Sequence[TensorType], limits: Limits):
        self.limits = limits
        self.node_name = ""  # of the ONNX node that is being lowered
        self._inputs = tuple(inputs)
        self._nodes: list[Node] = []
        self._constants: list[Constant] = []
        self._small: dict[tuple[ValueType, bytes], int] = {}
        self._transposed: dict[tuple[Operand, tuple[int, ...]], Operand] = {}
        self._work = 0
        self._folded_work = 0
        self._constant_bytes = 0
        self._texts: dict[tuple[OperandKind, int], tuple[str, ...]] = {}
        self._labels: dict[tuple[OperandKind, int], tuple[str | int, ...]] = {}
        self._rounded: set[tuple[OperandKind, int]] = set()
        self._float32: dict[int, int] = {}
        self._bits: dict[tuple[OperandKind, int], int] = {}
        self._wholes: dict[tuple[OperandKind, int], Operand] = {}
        self._scaled: dict[tuple[OperandKind, int], Scaled] = {}

    def input(self, index: int) -> Operand:
        type_ = self._inputs[index]
        return Operand(OperandKind.INPUT, index, self._checked(ValueType(type_.dtype, type_.shape)))

    def constant(self, array: Array, alone: bool = False) -> Operand:
        """Adds a constant, made canonical and read-only. Small equal constants are kept once, but
        for one that is to stand alone."""
        array = np.asarray(canonical(array), order="C")  # keeps a scalar one
        array.flags.writeable = False
        return self.adopt(Constant(array, ValueType(dtype_of(array), array.shape)), alone)

    def adopt(self, constant: Constant, alone: bool = False) -> Operand:
        """Adds a constant of another program's, or the small one that equals it."""
        array, type_ = constant.array, self._checked(constant.type)
        key = (type_, array.tobytes()) if array.nbytes <= 64 and not alone else None
        if key in self._small:
            return Operand(OperandKind.CONSTANT, self._small[key], type_)
        self._constant_bytes += array.nbytes
        self.limits.check_constants(self._constant_bytes)
        self._constants.append(constant)
        if key:
            self._small[key] = len(self._constants) - 1
        return Operand(OperandKind.CONSTANT, len(self._constants) - 1, type_)

    def scalar(self, value: float, dtype: DType = DType.FLOAT) -> Operand:
        return self.constant(np.array(value, numpy_dtype(dtype)))

    def text(self, texts: Sequence[str], shape: tuple[int, ...]) -> Operand:
        """Adds a constant of strings, each as its place in the list."""
        places = np.arange(len(texts), dtype=np.int64).reshape(shape)
        type_ = self._checked(ValueType(DType.INT64, shape))
        self._constants.append(Constant(places, type_))
        return self.mark_text(Operand(OperandKind.CONSTANT, len(self._constants) - 1, type_), texts)

    def mark_text(self, operand: Operand, texts: Sequence[str]) -> Operand:
        """Marks the operand's integers as places in a list of strings, so that no op computes with
        them."""
        self._texts[operand.kind, operand.index] = tuple(texts)
        return operand

    def texts(self, operand: Operand) -> tuple[str, ...] | None:
        """Gives the strings for which the operand's integers stand, or None if they are numbers."""
        return self._texts.get((operand.kind, operand.index))

    def mark_rounded(self, operand: Operand) -> Operand:
        """Marks a float64 of the file as more than what its float32 says: it was rounded."""
        self._rounded.add((operand.kind, operand.index))
        return operand

    def is_rounded(self, operand: Operand) -> bool:
        if (wide := self.float64(operand)) is not None:
            with np.errstate(all="ignore"):
                return not np.array_equal(wide.astype(np.float32), wide, equal_nan=True)
        return (operand.kind, operand.index) in self._rounded

    def mark_whole(self, operand: Operand, whole: Operand) -> Operand:
        """Marks a float64 of the file as what `whole`, of integers, was cast to. It is rounded,
        since float32 holds integers up to 2^24, and yet known for what it was."""
        self._wholes[operand.kind, operand.index] = whole
        return self.mark_rounded(operand)

    def whole(self, operand: Operand) -> Operand | None:
        """Gives the integers of which the operand is a Cast to float64, else None."""
        found = self._wholes.get((operand.kind, operand.index))
        return None if found is None else self.reshape(found, operand.type.shape)

    def mark_scaled(self, operand: Operand, scaled: Scaled) -> Operand:
        """Marks a float64 of the file as columns that were scaled: rounded, and yet known for what
        they were before."""
        self._scaled[operand.kind, operand.index] = scaled
        return self.mark_rounded(operand)

    def scaled(self, operand: Operand) -> Scaled | None:
        """Gives what the columns of a float64 were scaled from, and by what; itself, by nothing,
        where it was not rounded. None where neither is known, or no columns are left."""
        shape = operand.type.shape
        if not shape or operand.type.dtype is not DType.DOUBLE:
            return None
        if not self.is_rounded(operand):
            return Scaled(self.in_law(operand), ((),) * shape[-1])
        found = self._scaled.get((operand.kind, operand.index))
        if found is None or found.source.type.shape[-1] != shape[-1]:
            return None
        return replace(found, source=self.reshape(found.source, shape))

    def float64(self, operand: Operand) -> Array | None:
        """Gives the elements of a constant float64 of the file, as they are there."""
        array = self.known(operand) if operand.type.dtype is DType.DOUBLE else None
        return array if array is not None and array.dtype == np.float64 else None

    def in_law(self, operand: Operand, vanishing: bool = False) -> Operand:
        """Gives the operand in the law's dtype: floats as float32, integers as wider ones, anything
        else as it is. A constant float64 is rounded to the nearest, once. `vanishing` allows that
        to be zero."""
        if operand.type.dtype not in FLOATS:
            return with_dtype(operand, WIDENED.get(operand.type.dtype, operand.type.dtype))
        if (wide := self.float64(operand)) is None:
            return with_dtype(operand, DType.FLOAT)
        nearest = nearest_float32(wide, vanishing)
        if operand.index not in self._float32:
            self._float32[operand.index] = self.constant(nearest).index
        type_ = ValueType(DType.FLOAT, operand.type.shape)
        return Operand(OperandKind.CONSTANT, self._float32[operand.index], type_)

    def mark_bits(self, operand: Operand, bits: int) -> Operand:
        """Marks the operand as integers of fewer bits than its dtype has."""
        self._bits[operand.kind, operand.index] = bits
        return operand

    def bits(self, operand: Operand) -> int:
        """Gives the bits of the file's integers."""
        of_dtype = 8 * operand.type.dtype.itemsize
        return self._bits.get((operand.kind, operand.index), of_dtype)

    def note_labels(self, operand: Operand, labels: Sequence[str | int]) -> None:
        """Notes which classes the operand names or scores."""
        self._labels[operand.kind, operand.index] = tuple(labels)

    def _labels_of(self, outputs: Sequence[Operand]) -> tuple[str | int, ...]:
        """Gives the model's classes. Raises Outside where outputs have different lists."""
        texts = {texts for output in outputs if (texts := self.texts(output)) is not None}
        if len(texts) > 1:
            raise Outside("its outputs have different lists of labels", "keep one classifier")
        noted = (self._labels.get((output.kind, output.index)) for output in outputs)
        return next(iter([*texts, *filter(None, noted)]), ())

    def known(self, operand: Operand) -> Array | None:
        """Gives the operand's value where that does not depend on the inputs, else None."""
        if operand.kind is not OperandKind.CONSTANT:
            return None
        return self._constants[operand.index].array.reshape(operand.type.shape)

    def node_of(self, operand: Operand) -> Node | None:
        """Gives the node whose value the operand reads, or None for an input or a constant."""
        return self._nodes[operand.index] if operand.kind is OperandKind.VALUE else None

    def reshape(self, operand: Operand, shape: tuple[int, ...]) -> Operand:
        """Reads the same elements in another shape, which takes no node."""
        type_ = self._checked(ValueType(operand.type.dtype, shape))
        if type_.elements != operand.type.elements:
            raise Outside(
                f"a tensor of shape {operand.type.shape} cannot be read as {shape}",
                "fix the shape, or the dims given",
            )
        return Operand(operand.kind, operand.index, type_)

    def emit(self, op: Op, operands: Sequence[Operand], *attributes: int) -> Operand:
        """Emits a primitive and gives its output, which is a constant where all operands are."""
        if sunk := self._below_transposes(op, operands):
            perm, sources = sunk
            return self.transpose(self.emit(op, sources, *attributes), perm)
        if op in _MOVES and operands[0].type.dtype in (*FLOATS, *WIDENED):
            return self._moved(op, operands, attributes)
        primitive = PRIMITIVES[op]
        type_ = self._checked(primitive.infer([operand.type for operand in operands], attributes))
        node = Node(op, tuple(operands), type_, attributes, self.node_name)
        known = [self.known(operand) for operand in operands]
        arrays = [array for array in known if array is not None]
        if len(arrays) == len(known):
            self._folded_work += primitive.cost(node) + 1
            if self._folded_work > self.limits.folded_work:
                raise OverLimit(
                    f"its constants take more than {self.limits.folded_work} multiply-adds to fold",
                    "fold the constants before export",
                )
            # The law gives the same bits to everybody, so folding depends on no one's machine.
            bits = self._bits.get((operands[0].kind, operands[0].index)) if op in _MOVES else None
            with np.errstate(all="ignore"):
                array = primitive.prepare(node, known)(*arrays)
            out = self.constant(array, alone=bits is not None)
            return out if bits is None else self.mark_bits(out, bits)
        return self.add(node)

    def add(self, node: Node) -> Operand:
        """Adds a node as it is, and gives its output."""
        self._work += PRIMITIVES[node.op].cost(node) + 1
        self.limits.check_work(self._work)
        self._nodes.append(node)
        self.limits.check_nodes(len(self._nodes))
        return Operand(OperandKind.VALUE, len(self._nodes) - 1, node.output)

    def _moved(self, op: Op, operands: Sequence[Operand], attributes: Sequence[int]) -> Operand:
        """Moves elements of another dtype of the file. A GATHER's places are no such elements."""
        moved = operands[:1] if op is Op.GATHER else operands
        dtype = same_dtype([operand.type for operand in moved], (*FLOATS, *WIDENED))
        out = self.emit(op, [*map(self.in_law, operands)], *attributes)
        if any(map(self.is_rounded, moved)):
            self.mark_rounded(out)
        return with_dtype(out, dtype)

    def transpose(self, operand: Operand, perm: Sequence[int]) -> Operand:
        """Moves axes. Emits nothing where no element moves, and one node for two in a row."""
        shape = operand.type.shape
        if sorted(perm) != list(range(len(shape))):
            raise Outside(f"perm {tuple(perm)} does not permute {len(shape)} axes", "fix perm")
        moved = tuple(shape[axis] for axis in perm)
        moving = [axis for axis in perm if shape[axis] != 1]
        if moving == sorted(moving) or operand.type.elements == 0:
            return self.reshape(operand, moved)
        if operand.kind is OperandKind.VALUE:
            source = self._nodes[operand.index]
            if source.op is Op.TRANSPOSE and source.output == operand.type:
                both = [source.attributes[axis] for axis in perm]
                return self.transpose(source.operands[0], both)
        key = (operand, tuple(perm))
        if key not in self._transposed:
            self._transposed[key] = self.emit(Op.TRANSPOSE, (operand,), *perm)
        return self._transposed[key]

    def _below_transposes(
        self, op: Op, operands: Sequence[Operand]
    ) -> tuple[Sequence[int], list[Operand]] | None:
        """Gives the permutation of an elementwise op's transposed operand, and all operands with
        that permutation undone, or None where an operand would then still be a TRANSPOSE's output.

        So transposes sink through a graph until they meet: a network whose convolutions want their
        channels last is transposed once at its beginning and once at its end.
        """
        if op.family not in _ELEMENTWISE:
            return None
        rank = max(len(operand.type.shape) for operand in operands)
        perm = next((p for o in operands if len(p := self._perm(o)) == rank), ())
        if not perm:
            return None
        back = [perm.index(axis) for axis in range(rank)]
        sources = []
        for operand in operands:
            shape = operand.type.shape
            wide = self.reshape(operand, (1,) * (rank - len(shape)) + shape)
            sources.append(self.transpose(wide, back))
        if any(map(self._perm, sources)):
            return None
        return perm, sources

    def _perm(self, operand: Operand) -> tuple[int, ...]:
        """Gives the permutation of the TRANSPOSE whose output this is in its own shape, else ()."""
        if operand.kind is not OperandKind.VALUE:
            return ()
        node = self._nodes[operand.index]
        return node.attributes if node.op is Op.TRANSPOSE and node.output == operand.type else ()

    def copy(self, operand: Operand) -> Operand:
        """Gives the operand as a node's value, which a program's output must be."""
        if operand.kind is OperandKind.VALUE:
            return operand
        type_ = operand.type
        axes = tuple(range(len(type_.shape)))
        self._nodes.append(Node(Op.TRANSPOSE, (operand,), type_, axes, self.node_name))
        return Operand(OperandKind.VALUE, len(self._nodes) - 1, type_)

    def program(
        self,
        names: Sequence[str],
        outputs: Sequence[Operand],
        categories: Sequence[str] = (),
    ) -> Program:
        """Makes the program of the nodes and constants that the outputs need, in order."""
        labels = self._labels_of(outputs)
        outputs = [self.copy(output) for output in outputs]
        needed = {output.index for output in outputs}
        for index in range(len(self._nodes) - 1, -1, -1):
            if index in needed:
                operands = self._nodes[index].operands
                needed |= {o.index for o in operands if o.kind is OperandKind.VALUE}
        places = {old: new for new, old in enumerate(sorted(needed))}
        nodes = [self._nodes[old] for old in places]
        read = dict.fromkeys(
            operand.index
            for node in nodes
            for operand in node.operands
            if operand.kind is OperandKind.CONSTANT
        )
        constants = {old: new for new, old in enumerate(read)}

        def renumbered(operand: Operand) -> Operand:
            numbers = {OperandKind.VALUE: places, OperandKind.CONSTANT: constants}.get(operand.kind)
            index = numbers[operand.index] if numbers is not None else operand.index
            return Operand(operand.kind, index, operand.type)

        final = tuple(
            Node(
                node.op,
                tuple(map(renumbered, node.operands)),
                node.output,
                node.attributes,
                node.name,
            )
            for node in nodes
        )
        kept = tuple(self._constants[old] for old in constants)
        self.limits.check_live_bytes(self._inputs, final, kept)
        types = zip(names, outputs, strict=True)
        return Program(
            Signature(
                self._inputs,
                tuple(TensorType(name, o.type.dtype, o.type.shape) for name, o in types),
            ),
            final,
            kept,
            tuple(map(renumbered, outputs)),
            labels,
            categories=tuple(categories),
        )

    def _checked(self, type_: ValueType) -> ValueType:
        if len(type_.shape) > MAX_RANK:
            raise Outside(f"a tensor of rank {len(type_.shape)}", f"use {MAX_RANK} axes or fewer")
        if any(dim < 0 for dim in type_.shape):
            raise Outside(f"a negative dim in {type_.shape}", "fix the shape")
        self.limits.check_type(type_)
        return type_
