"""What a program is made of, and what its elements would cost to prove on chain."""

from oracle.exact.program import Kind, Program


def weight_bytes(program: Program) -> int:
    """Of all constants."""
    return sum(constant.type.nbytes for constant in program.constants)


def live_bytes(program: Program) -> int:
    """The most bytes of inputs and values that a run in order holds at once."""
    last = {
        operand.index: at
        for at, node in enumerate(program.nodes)
        for operand in node.operands
        if operand.kind is Kind.VALUE
    }
    last |= {output.index: len(program.nodes) for output in program.outputs}
    live = most = sum(type_.nbytes for type_ in program.signature.inputs)
    for at, node in enumerate(program.nodes):
        live += node.output.nbytes
        most = max(most, live)
        read = {operand.index for operand in node.operands if operand.kind is Kind.VALUE}
        live -= sum(program.nodes[index].output.nbytes for index in read if last[index] == at)
    return most
