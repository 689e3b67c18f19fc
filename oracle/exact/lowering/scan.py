"""Scan: its body once for each place of what it scans, since the places are as many as they are."""

from collections.abc import Callable, Sequence

from oracle.exact.builder import Builder
from oracle.exact.lowering.indexing import joined, taken
from oracle.exact.primitive import Outside
from oracle.exact.program import Operand
from oracle.exact.source import Source, normalized

Body = Callable[[Sequence[Operand]], Sequence[Operand | None]]
"""The outputs of one turn for its inputs: states, then what is scanned."""


def scan(b: Builder, node: Source, values: Sequence[Operand], body: Body) -> list[Operand | None]:
    """The last states, then what each turn gave, side by side; Nones where a turn is refused."""
    if node.opset < 9:
        raise Outside("a Scan of opset 8 is outside the law", "export with 9 or more")
    count = node.integer("num_scan_inputs")
    states = len(values) - count
    if not 0 < count <= len(values) or node.outputs < states:
        raise Outside(f"it scans {count} of {len(values)} inputs", "fix the file")
    carried, scanned = list(values[:states]), values[states:]
    axes = _axes(node, "scan_input_axes", [len(value.type.shape) for value in scanned])
    turned = _directions(node, "scan_input_directions", count)
    lengths = {value.type.shape[axis] for value, axis in zip(scanned, axes, strict=True)}
    if len(lengths) != 1 or 0 in lengths:
        raise Outside(f"it scans {sorted(lengths)} places", "give it one length, and places")
    (length,) = lengths
    rows: list[list[Operand]] = []
    for at in range(length):
        places = [length - 1 - at if back else at for back in turned]
        given = [_part(b, *each) for each in zip(scanned, axes, places, strict=True)]
        results = [result for result in body([*carried, *given]) if result is not None]
        if len(results) < node.outputs:
            return [None] * node.outputs
        if any(new.type != old.type for new, old in zip(results, carried, strict=False)):
            raise Outside("a state changes its type", "fix the file")
        carried = results[:states]
        rows.append(results[states:])
    return [*carried, *_collected(b, node, rows)]


def _collected(b: Builder, node: Source, rows: Sequence[Sequence[Operand]]) -> list[Operand]:
    columns = list(zip(*rows, strict=True))
    axes = _axes(node, "scan_output_axes", [len(column[0].type.shape) + 1 for column in columns])
    turned = _directions(node, "scan_output_directions", len(columns))
    outputs = []
    for column, axis, back in zip(columns, axes, turned, strict=True):
        shape = column[0].type.shape
        if any(part.type != column[0].type for part in column):
            raise Outside("an output changes its type", "fix the file")
        wide = [b.reshape(part, (*shape[:axis], 1, *shape[axis:])) for part in column]
        outputs.append(joined(b, wide[::-1] if back else wide, axis))
    return outputs


def _axes(node: Source, name: str, ranks: Sequence[int]) -> list[int]:
    axes = node.integers(name, (0,) * len(ranks))
    if len(axes) != len(ranks):
        raise Outside(f"its {name} are {axes}", "give one for each")
    return [normalized(axis, rank) for axis, rank in zip(axes, ranks, strict=True)]


def _directions(node: Source, name: str, count: int) -> tuple[int, ...]:
    directions = node.integers(name, (0,) * count)
    if len(directions) != count or set(directions) - {0, 1}:
        raise Outside(f"its {name} are {directions}", "give 0 or 1 for each")
    return directions


def _part(b: Builder, x: Operand, axis: int, place: int) -> Operand:
    shape = x.type.shape
    return b.reshape(taken(b, x, (place,), axis), shape[:axis] + shape[axis + 1 :])
