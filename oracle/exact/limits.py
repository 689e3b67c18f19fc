"""The most that a program may ask of whoever runs it. That is nobody's law: each may set others."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from oracle.exact.primitive import Outside
from oracle.exact.program import Constant, Node, OperandKind, ValueType
from oracle.types import TensorType


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a model may ask of whoever lowers or runs it."""

    file_bytes: int = 1 << 31
    nodes: int = 1 << 17
    record_bytes: int = 1 << 27
    """The bytes of a program's records."""
    elements: int = 1 << 26
    """The elements of one tensor."""
    live_bytes: int = 1 << 32
    """The bytes of all constants, inputs, and values that are alive at once."""
    work: int = 1 << 41
    """The multiply-adds of one run, or what takes as long."""
    folded_work: int = 1 << 30
    """The multiply-adds of what is computed from constants alone, while lowering."""

    def check_nodes(self, nodes: int) -> None:
        if nodes > self.nodes:
            raise OverLimit(f"it takes more than {self.nodes} primitives", "use a smaller model")

    def check_records(self, nbytes: int) -> None:
        if nbytes > self.record_bytes:
            raise OverLimit(
                f"its records take more than {self.record_bytes} bytes", "use a smaller model"
            )

    def check_type(self, type_: ValueType) -> None:
        # Nor does numpy hold a tensor whose other dims are as large as that, where one is zero.
        elements = prod(dim or 1 for dim in type_.shape)
        if elements > self.elements or any(dim >= 1 << 31 for dim in type_.shape):
            raise OverLimit(
                f"a tensor of shape {type_.shape} has more than {self.elements} elements",
                "use smaller tensors",
            )

    def check_work(self, work: int) -> None:
        if work > self.work:
            raise OverLimit(
                f"a run would take more than {self.work} multiply-adds",
                "use a smaller model or a smaller batch",
            )

    def check_constants(self, nbytes: int) -> None:
        if nbytes > self.live_bytes:
            raise OverLimit(
                f"its constants take more than {self.live_bytes} bytes", "use a smaller model"
            )

    def check_live_bytes(
        self, inputs: Sequence[TensorType], nodes: Sequence[Node], constants: Sequence[Constant]
    ) -> None:
        """Checks what a run in order holds at once."""
        last = {
            operand.index: at
            for at, node in enumerate(nodes)
            for operand in node.operands
            if operand.kind is OperandKind.VALUE
        }
        fixed = sum(constant.array.nbytes for constant in constants)
        fixed += sum(type_.nbytes for type_ in inputs)
        live = 0
        for at, node in enumerate(nodes):
            live += node.output.nbytes
            if fixed + live > self.live_bytes:
                raise OverLimit(
                    f"a run would hold more than {self.live_bytes} bytes of tensors at once",
                    "use a smaller model or a smaller batch",
                )
            read = {operand.index for operand in node.operands if operand.kind is OperandKind.VALUE}
            live -= sum(nodes[index].output.nbytes for index in read if last[index] == at)


class OverLimit(Outside):
    """The model exceeds a limit."""
