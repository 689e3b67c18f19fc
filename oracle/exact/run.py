"""Runs a program. What depends on the weights alone is computed once, when the Runner is made."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from oracle.errors import InferenceFailed, WrongTensorCount, WrongTensorShape, WrongTensorType
from oracle.exact.plan import Kernels, planned, planned_for, planned_plainly
from oracle.exact.program import Program
from oracle.tensor import CANONICAL_NAN, Array, canonical, decode, encode, numpy_dtype

_SMALLEST_DOUBLE = 5e-324
_ONE = 1.0
_FLOAT32 = np.dtype(np.float32).num
_ZERO = np.float32(0)


class Runner:
    """A program ready to run, any number of times; one thread at a time is not demanded.

    `plain` runs the kernels that are the law, in Python's integers: slow, and the same bits.
    """

    def __init__(self, program: Program, *, plain: bool = False):
        self.program = program
        self._signature = program.signature
        self._plain = plain
        self._kernels: Kernels = {}
        self._plan = (
            planned_plainly(program) if plain else planned(program, self._kernels, fusing=True)
        )
        self._after_inputs = self._plan.start[len(self._signature.inputs) :]

    def infer(self, payload: bytes) -> bytes:
        """Computes the outputs' payload for the inputs' payload. Raises PayloadError."""
        self._refuse_flushing()
        read = decode(payload, self._signature.inputs)
        with np.errstate(all="ignore"):
            arrays = self._run(read)
        return encode(arrays, self._signature.outputs)

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Computes the canonical outputs for arrays of the signature's shapes and dtypes, which are
        read in their canonical form. Raises PayloadError where they do not fit."""
        self._refuse_flushing()
        self._check(inputs)
        # Infinities, NaNs and wrapped integers are results like others.
        with np.errstate(all="ignore"):
            return self._run([np.asarray(_canonical(array), order="C") for array in inputs])

    def values(self, inputs: Sequence[Array]) -> Iterator[Array]:
        """Yields every node's value in order and in canonical form, which is what a trace commits
        to. It reads its inputs as `run` does, and raises PayloadError as `run` does."""
        return (canonical(value) for _, value in self.each(inputs))

    def each(
        self, inputs: Sequence[Array], wanted: Collection[int] | None = None
    ) -> Iterator[tuple[int, Array]]:
        """Yields nodes and their values, in order: of all nodes, or of those in `wanted`, for which
        no more is computed than they need. It holds no value that nobody reads again, and makes no
        copy. NaNs may have any payload."""
        self._refuse_flushing()
        self._check(inputs)
        read = [np.asarray(canonical(array), order="C") for array in inputs]
        kernels = None if self._plain else self._kernels
        nodes = range(len(self.program.nodes)) if wanted is None else frozenset(wanted)
        plan = planned_for(self.program, kernels, nodes)
        slots = [*read, *plan.start[len(read) :]]
        for step in plan.steps:
            with np.errstate(all="ignore"):
                value = slots[step.slot] = step.kernel(*step.operands(slots))
            for slot in step.frees:
                slots[slot] = None
            node = step.slot - len(read)
            if node in nodes:
                yield node, value
            del value  # or the next step would run beside it

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
        slots = [*inputs, *self._after_inputs]
        for step in self._plan.steps:
            slots[step.slot] = step.kernel(*step.operands(slots))
            for slot in step.frees:
                slots[slot] = None
        return tuple(_owned(slots[slot]) for slot in self._plan.outputs)


def run(program: Program, inputs: Sequence[Array], *, plain: bool = False) -> tuple[Array, ...]:
    """Runs a program once. For more than one run, make a Runner."""
    return Runner(program, plain=plain).run(inputs)


def infer(program: Program, payload: bytes) -> bytes:
    """Runs a program once on a payload. For more than one run, make a Runner."""
    return Runner(program).infer(payload)


def _owned(array: Array | None) -> Array:
    """Gives the canonical array in memory of its own, which is neither an input's nor a
    constant's."""
    assert array is not None, "an output was freed"
    clean = _canonical(array)
    return clean.copy() if clean is array else clean


def _canonical(array: Array) -> Array:
    """Makes an array canonical as `tensor.canonical` does, but expects numpy's warnings to be off
    already, because turning them off takes a noticeable time in a small model. A float32 array is
    copied."""
    if array.dtype.num != _FLOAT32:
        return array
    clean: Array = np.asarray(np.add(array, _ZERO))
    nan = np.isnan(clean)
    if np.count_nonzero(nan):
        np.copyto(clean.view(np.uint32), CANONICAL_NAN, where=nan)
    return clean
