"""The order of nodes: ONNX wants each behind those that it reads, and some writers do not care.

onnxruntime sorts for itself; its own float16 converter appends the Casts of inputs at the end.
"""

from collections.abc import Iterator, Sequence

from onnx import GraphProto, NodeProto


def ordered(nodes: Sequence[NodeProto]) -> Iterator[NodeProto]:
    """Yields the nodes in their order, but before each those that it reads. The nodes of a cycle
    come too, one of them too early."""
    makers = {name: at for at, node in enumerate(nodes) for name in node.output if name}
    begun = [False] * len(nodes)
    for first in range(len(nodes)):
        # Nodes that wait for what they read, with what is left of that.
        waiting = _begin(first, nodes, makers, begun)
        while waiting:
            at, reads = waiting[-1]
            needed = next((maker for maker in reads if not begun[maker]), None)
            if needed is not None:
                waiting += _begin(needed, nodes, makers, begun)
            else:
                yield nodes[at]
                waiting.pop()


def _begin(
    at: int, nodes: Sequence[NodeProto], makers: dict[str, int], begun: list[bool]
) -> list[tuple[int, Iterator[int]]]:
    """Begins a node that was not begun: gives it with the nodes that it reads."""
    if begun[at]:
        return []
    begun[at] = True
    return [(at, (makers[name] for name in _reads(nodes[at]) if name in makers))]


def _reads(node: NodeProto) -> Iterator[str]:
    """Yields the names that a node reads, also from within its branches."""
    yield from node.input
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from _reads_of(attribute.g)


def _reads_of(graph: GraphProto) -> Iterator[str]:
    """Yields what a branch reads of what is around it: names of its own may be used there too."""
    own = {name for node in graph.node for name in node.output}
    own |= {info.name for info in (*graph.input, *graph.initializer)}
    reads = (name for node in graph.node for name in _reads(node))
    outputs = (output.name for output in graph.output)
    yield from (name for name in (*reads, *outputs) if name not in own)
