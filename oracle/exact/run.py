"""Runs a program. What depends on the weights alone is computed once, when the Runner is made."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from oracle.errors import InferenceFailed, WrongTensorCount, WrongTensorShape, WrongTensorType
from oracle.exact.ops import PRIMITIVES
from oracle.exact.primitive import Kernel
from oracle.exact.program import Kind, Node, Operand, Program
from oracle.tensor import CANONICAL_NAN, Array, canonical, decode, encode, numpy_dtype

_SMALLEST_DOUBLE = 5e-324
_ONE = 1.0
_FLOAT32 = np.dtype(np.float32).num
_ZERO = np.float32(0)


@dataclass(frozen=True, slots=True)
class _Step:
    """One node: the slots it reads (reshaped where a shape is given), its own, and those that
    nobody reads after it."""

    kernel: Kernel
    slots: tuple[int, ...]
    shapes: tuple[tuple[int, ...] | None, ...] | None
    frees: tuple[int, ...]


class Runner:
    """A program ready to run, any number of times; one thread at a time is not demanded.

    `plain` runs the kernels that are the law, in Python's integers: slow, and the same bits.
    """

    def __init__(self, program: Program, *, plain: bool = False):
        self.program = program
        self._signature = program.signature
        self._inputs = len(program.signature.inputs)
        self._constants = [constant.array for constant in program.constants]
        self._first_value = self._inputs + len(self._constants)
        last_reader = {
            self._slot(operand): index
            for index, node in enumerate(program.nodes)
            for operand in node.operands
        }
        kept = {self._slot(output) for output in program.outputs}
        self._steps = tuple(
            self._step(index, node, plain, last_reader, kept)
            for index, node in enumerate(program.nodes)
        )
        self._outputs = tuple((self._slot(output), output.type.shape) for output in program.outputs)

    def infer(self, payload: bytes) -> bytes:
        """The outputs' payload for the inputs' payload. Raises PayloadError."""
        arrays = self._run(decode(payload, self._signature.inputs))
        return encode(arrays, self._signature.outputs)

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The canonical outputs for arrays of the signature's shapes and dtypes, which are read in
        their canonical form. Raises PayloadError where they do not fit.
        """
        self._check(inputs)
        with np.errstate(all="ignore"):  # a signalling NaN is no error
            read = [np.ascontiguousarray(_canonical(array)) for array in inputs]
        return self._run(read)

    def values(self, inputs: Sequence[Array]) -> Iterator[Array]:
        """Every node's value in order, canonical: what a trace commits to. As `run` otherwise."""
        self._refuse_flushing()
        self._check(inputs)
        read = [np.ascontiguousarray(canonical(array)) for array in inputs]
        slots: list[Array | None] = [*read, *self._constants]
        for step in self._steps:
            with np.errstate(all="ignore"):
                slots.append(step.kernel(*_operands(slots, step)))
            value = slots[-1]
            for slot in step.frees:
                slots[slot] = None
            assert value is not None
            yield canonical(value)

    def _check(self, inputs: Sequence[Array]) -> None:
        types = self._signature.inputs
        if len(inputs) != len(types):
            raise WrongTensorCount(len(inputs), len(types))
        for array, type_ in zip(inputs, types, strict=True):
            if array.dtype != numpy_dtype(type_.dtype):
                raise WrongTensorType(type_.name, str(array.dtype), type_.dtype.name.lower())
            if array.shape != type_.shape:
                raise WrongTensorShape(type_.name, array.shape, type_.shape)

    def _refuse_flushing(self) -> None:
        if _SMALLEST_DOUBLE * _ONE == 0:
            raise InferenceFailed("This thread flushes subnormals to zero; run in another one.")

    def _run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        self._refuse_flushing()
        slots: list[Array | None] = [*inputs, *self._constants]
        # Infinities, NaNs and wrapped integers are results like others.
        with np.errstate(all="ignore"):
            for step in self._steps:
                slots.append(step.kernel(*_operands(slots, step)))
                for slot in step.frees:
                    slots[slot] = None
            return tuple(_owned(_shaped(slots[slot], shape)) for slot, shape in self._outputs)

    def _step(
        self, index: int, node: Node, plain: bool, last_reader: dict[int, int], kept: set[int]
    ) -> _Step:
        slots = tuple(self._slot(operand) for operand in node.operands)
        shapes: tuple[tuple[int, ...] | None, ...] = tuple(
            self._reshaped(operand) for operand in node.operands
        )
        frees = {
            slot
            for slot in slots
            if last_reader[slot] == index and slot not in kept and not self._is_constant(slot)
        }
        reshaped = shapes if any(shape is not None for shape in shapes) else None
        return _Step(self._kernel(node, plain), slots, reshaped, tuple(sorted(frees)))

    def _kernel(self, node: Node, plain: bool) -> Kernel:
        primitive = PRIMITIVES[node.op]
        if plain:
            return lambda *arrays: primitive.plain(node, arrays)
        known = [
            _shaped(self._constants[operand.index], operand.type.shape)
            if operand.kind is Kind.CONSTANT
            else None
            for operand in node.operands
        ]
        return primitive.prepare(node, known)

    def _slot(self, operand: Operand) -> int:
        match operand.kind:
            case Kind.INPUT:
                return operand.index
            case Kind.CONSTANT:
                return self._inputs + operand.index
            case Kind.VALUE:
                return self._first_value + operand.index

    def _is_constant(self, slot: int) -> bool:
        return self._inputs <= slot < self._first_value

    def _reshaped(self, operand: Operand) -> tuple[int, ...] | None:
        """The operand's shape where it is not its producer's."""
        match operand.kind:
            case Kind.INPUT:
                shape = self._signature.inputs[operand.index].shape
            case Kind.CONSTANT:
                shape = self.program.constants[operand.index].type.shape
            case Kind.VALUE:
                shape = self.program.nodes[operand.index].output.shape
        return None if shape == operand.type.shape else operand.type.shape


def run(program: Program, inputs: Sequence[Array], *, plain: bool = False) -> tuple[Array, ...]:
    """One run; make a Runner for more than one."""
    return Runner(program, plain=plain).run(inputs)


def infer(program: Program, payload: bytes) -> bytes:
    """One run on a payload; make a Runner for more than one."""
    return Runner(program).infer(payload)


def _owned(array: Array) -> Array:
    """The canonical array, which is neither an input's memory nor a constant's."""
    clean = _canonical(array)
    return clean.copy() if clean is array else clean


def _canonical(array: Array) -> Array:
    """As `tensor.canonical`, where numpy's warnings are off already: what a small model would feel.
    A float32 array is copied."""
    if array.dtype.num != _FLOAT32:
        return array
    clean: Array = np.asarray(np.add(array, _ZERO))
    nan = np.isnan(clean)
    if np.count_nonzero(nan):
        np.copyto(clean.view(np.uint32), CANONICAL_NAN, where=nan)
    return clean


def _operands(slots: Sequence[Array | None], step: _Step) -> list[Array]:
    if step.shapes is None:
        return [_shaped(slots[slot], None) for slot in step.slots]
    return [
        _shaped(slots[slot], shape) for slot, shape in zip(step.slots, step.shapes, strict=True)
    ]


def _shaped(array: Array | None, shape: tuple[int, ...] | None) -> Array:
    assert array is not None, "a value was freed before its last reader"
    return array if shape is None else array.reshape(shape)
