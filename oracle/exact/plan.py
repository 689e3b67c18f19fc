"""A program as steps in order: kernels that nodes share, slots for values, and when one is free."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeAlias

from oracle.exact.fusion import Fusion, Given, fused, fusions
from oracle.exact.ops import PRIMITIVES
from oracle.exact.primitive import Kernel
from oracle.exact.program import Node, Operand, OperandKind, Program
from oracle.tensor import Array

Slots: TypeAlias = list[Array | None]
Shape: TypeAlias = tuple[int, ...]
Kernels: TypeAlias = dict[object, Kernel]


@dataclass(frozen=True, slots=True)
class Step:
    """One node, or a fusion, or a value read with another shape: how it finds its operands, the
    slot that it fills, and those that nobody reads after it."""

    kernel: Kernel
    operands: Callable[[Slots], Sequence[Any]]
    slot: int
    frees: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Slots are the inputs, then the nodes' values, then constants and views. `start` holds the
    constants in their places, `outputs` where the outputs are in the end."""

    steps: tuple[Step, ...]
    start: tuple[Array | None, ...]
    outputs: tuple[int, ...]


def planned(program: Program, kernels: Kernels, *, fusing: bool) -> Plan:
    """Makes a plan with a step for every node, or for every fusion where `fusing`. The kernels that
    it prepares are added to `kernels`, for other plans of the program."""
    return _Planner(program, kernels).plan(fusions(program) if fusing else {})


def planned_for(program: Program, kernels: Kernels | None, wanted: Collection[int]) -> Plan:
    """Makes a plan with a step for every node that is wanted or that one of those needs. It keeps
    no value beyond the step that reads it last. Without `kernels` it takes the plain kernels, which
    define the law."""
    return _Planner(program, kernels).plan_for(wanted)


def planned_plainly(program: Program) -> Plan:
    """Makes a plan with the plain kernels, which define the law."""
    return _Planner(program, None).plan({})


class _Planner:
    def __init__(self, program: Program, kernels: Kernels | None):
        self._program = program
        self._kernels = kernels
        self._first_value = len(program.signature.inputs)
        self._start: Slots = [None] * (self._first_value + len(program.nodes))
        self._constants: dict[tuple[int, Shape], int] = {}
        self._views: dict[tuple[int, Shape], int] = {}
        self._steps: list[tuple[Kernel, tuple[int, ...], int]] = []

    def plan(self, fusions: Mapping[int, Fusion]) -> Plan:
        within = {place for fusion in fusions.values() for place in fusion.nodes[:-1]}
        for index, node in enumerate(self._program.nodes):
            if index in within:
                continue
            if index in fusions:
                operands = tuple(map(self._given, fusions[index].given))
                kernel = fused(self._program, fusions[index])
            else:
                operands = tuple(map(self._slot, node.operands))
                kernel = self._kernel(node)
            self._steps.append((kernel, operands, self._first_value + index))
        outputs = tuple(map(self._slot, self._program.outputs))
        return Plan(self._freeing(outputs), tuple(self._start), outputs)

    def plan_for(self, wanted: Collection[int]) -> Plan:
        """Plans the steps that lead to the nodes in `wanted`. Each step brings its operands into
        their own shapes by itself. An operand that is not contiguous is copied for that, and a copy
        that were kept in a slot would live as long as any step reads the same shape."""
        nodes = self._program.nodes
        needed = needed_by(nodes, wanted)
        for index in sorted(needed):
            node = nodes[index]
            slots = tuple(self._given(Given(o.kind, o.index, 1, 1)) for o in node.operands)
            kernel = _reading([operand.type.shape for operand in node.operands], self._kernel(node))
            self._steps.append((kernel, slots, self._first_value + index))
        return Plan(self._freeing(()), tuple(self._start), ())

    def _freeing(self, outputs: Sequence[int]) -> tuple[Step, ...]:
        last = {slot: at for at, (_, _, slot) in enumerate(self._steps)}  # if nobody reads it
        last |= {slot: at for at, (_, operands, _) in enumerate(self._steps) for slot in operands}
        kept = {*outputs, *self._constants.values()}
        frees: list[list[int]] = [[] for _ in self._steps]
        for slot, at in last.items():
            if slot not in kept:
                frees[at].append(slot)
        return tuple(
            Step(kernel, _getter(operands), slot, tuple(frees[at]))
            for at, (kernel, operands, slot) in enumerate(self._steps)
        )

    def _kernel(self, node: Node) -> Kernel:
        """Gives the kernel of a node. Nodes of one op with the same constants and types share it,
        so that the weights of a recurrence are prepared once, not once a step."""
        primitive = PRIMITIVES[node.op]
        if self._kernels is None:
            return lambda *arrays: primitive.plain(node, arrays)
        places = [o.index if o.kind is OperandKind.CONSTANT else None for o in node.operands]
        types = [operand.type for operand in node.operands]
        key = (node.op, node.attributes, node.output, *places, *types)
        if key not in self._kernels:
            known = [
                self._start[self._slot(operand)] if operand.kind is OperandKind.CONSTANT else None
                for operand in node.operands
            ]
            self._kernels[key] = primitive.prepare(node, known)
        return self._kernels[key]

    def _slot(self, operand: Operand) -> int:
        """Gives the slot that has the operand in its own shape."""
        if operand.kind is OperandKind.CONSTANT:
            return self._constant(operand.index, operand.type.shape)
        if operand.kind is OperandKind.INPUT:
            slot, shape = operand.index, self._program.signature.inputs[operand.index].shape
        else:
            slot = self._first_value + operand.index
            shape = self._program.nodes[operand.index].output.shape
        return slot if shape == operand.type.shape else self._view(slot, operand.type.shape)

    def _given(self, given: Given) -> int:
        """Gives the slot that has the operand, in whatever shape."""
        match given.kind:
            case OperandKind.INPUT:
                return given.index
            case OperandKind.CONSTANT:
                shape = self._program.constants[given.index].type.shape
                return self._constant(given.index, shape)
            case OperandKind.VALUE:
                return self._first_value + given.index

    def _constant(self, index: int, shape: Shape) -> int:
        if (index, shape) not in self._constants:
            self._constants[index, shape] = len(self._start)
            self._start.append(self._program.constants[index].array.reshape(shape))
        return self._constants[index, shape]

    def _view(self, slot: int, shape: Shape) -> int:
        if (slot, shape) not in self._views:
            self._views[slot, shape] = len(self._start)
            self._start.append(None)
            self._steps.append((_reshape(shape), (slot,), self._views[slot, shape]))
        return self._views[slot, shape]


def needed_by(nodes: Sequence[Node], wanted: Collection[int]) -> set[int]:
    """Finds the nodes that are wanted, and all whose values they need."""
    needed: set[int] = set()
    left = [*wanted]
    while left:
        index = left.pop()
        if index not in needed:
            needed.add(index)
            operands = nodes[index].operands
            left += [each.index for each in operands if each.kind is OperandKind.VALUE]
    return needed


def _reading(shapes: Sequence[Shape], kernel: Kernel) -> Kernel:
    def reading(*arrays: Array) -> Array:
        pairs = zip(arrays, shapes, strict=True)
        return kernel(*(array.reshape(shape) for array, shape in pairs))

    return reading


def _reshape(shape: Shape) -> Kernel:
    return lambda array: array.reshape(shape)


def _getter(places: tuple[int, ...]) -> Callable[[Slots], Sequence[Any]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda slots: [slots[place] for place in places]
