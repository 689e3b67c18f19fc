"""Scan and Loop: the body is lowered once for each turn that there may be."""

from collections.abc import Callable, Sequence

import numpy as np

from oracle.exact.limits import OverLimit
from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.choice import chosen, flag
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.indexing import joined, taken
from oracle.exact.lowering.source import Source, normalized
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.types import DType

Body = Callable[[Sequence[Operand]], Sequence[Operand | None]]
"""Lowers one turn: takes the states and then what is scanned, and gives the body's outputs."""


def scan(b: Builder, node: Source, values: Sequence[Operand], body: Body) -> list[Operand | None]:
    """Gives the last states, then the outputs of all turns side by side, or Nones where a turn is
    refused."""
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


def loop(
    b: Builder, node: Source, values: Sequence[Operand | None], body: Body, fixed: bool = False
) -> list[Operand | None]:
    """Gives the last states, then the outputs of all turns side by side, or Nones where a turn is
    refused. The loop ends after the given number of turns, or once its condition is false.
    A loop of which the turns must be `fixed` is refused where a run alone knows their number.

    Where a run alone knows the end, all turns that there may be are taken, and the states stay as
    they are from the end on.
    """
    carried = [value for value in values[2:] if value is not None]
    if len(carried) + 2 != len(values) or len(carried) > node.outputs:
        raise Outside("a state of it is missing", "fix the file")
    count, going = (value and b.reshape(value, ()) for value in values[:2])
    most, is_open = _most_turns(b, count), False
    rows: list[list[Operand]] = []
    while len(rows) < most:
        at = b.scalar(len(rows), DType.INT64)
        if count is not None and b.known(count) is None:
            going = _both(b, going, b.emit(Op.LESS, (at, cast(b, count, DType.INT64))))
        known = None if going is None else b.known(flag(b, going))
        if known is not None and not known:
            break
        is_certain = going is None or known is not None
        is_open |= not is_certain
        if is_open and fixed:
            raise Outside(
                "it carries a list of tensors, and how many turns it takes depends on the model's "
                "inputs",
                "fix its turns, or carry one tensor (ScatterND)",
            )
        _end_if_endless(b, most, len(rows), is_open)
        results = [result for result in body([at, b.constant(np.array(True)), *carried]) if result]
        if len(results) < node.outputs + 1:
            return [None] * node.outputs
        states = results[1 : 1 + len(carried)]
        if any(new.type.dtype != old.type.dtype for new, old in zip(states, carried, strict=True)):
            raise Outside("a state changes its dtype", "fix the file")
        if going is None or is_certain:
            carried, going = states, results[0]
        else:
            carried, going = chosen(b, going, states, carried), _both(b, going, results[0])
        rows.append(results[1 + len(carried) :])
    return [*carried, *_of_all_turns(b, rows, node.outputs - len(carried), is_open)]


def _most_turns(b: Builder, count: Operand | None) -> int:
    """Gives the greatest number of turns that is possible, beyond the limit where none is given."""
    if count is None:
        return b.limits.nodes + 1
    bounds = [count]
    if (node := b.node_of(count)) is not None and node.op is Op.MIN:
        bounds += node.operands
    known = [int(array.reshape(())) for each in bounds if (array := b.known(each)) is not None]
    if not known:
        raise Outside(
            "its number of turns depends on the model's inputs, without a limit",
            "take the Min of that number and a constant, fix it, or publish as VANILLA",
        )
    return min(known)


def _end_if_endless(b: Builder, most: int, taken: int, is_open: bool) -> None:
    if is_open and most > b.limits.nodes:
        raise Outside(
            "its end depends on the model's inputs, and it may take any number of turns",
            "give it a constant greatest number of turns, or publish as VANILLA",
        )
    if taken == b.limits.nodes:
        raise OverLimit(f"it takes more than {b.limits.nodes} turns", "loop less")


def _both(b: Builder, going: Operand | None, more: Operand) -> Operand:
    """Emits going AND more. What is constant takes no node."""
    more = flag(b, more)
    if going is None:
        return more
    going = flag(b, going)
    for one, other in ((going, more), (more, going)):
        if (known := b.known(one)) is not None:
            return other if known else one
    return b.emit(Op.AND, (going, more))


def _of_all_turns(
    b: Builder, rows: Sequence[Sequence[Operand]], count: int, is_open: bool
) -> list[Operand]:
    """Joins what each turn gives besides the states."""
    if count and is_open:
        raise Outside(
            "it gives something of each turn, and how many it takes depends on the model's inputs",
            "write each turn's into a tensor that it carries (ScatterND), or fix its turns",
        )
    if count and not rows:
        raise Outside("it takes no turn, so that nothing says what it gives", "leave it out")
    return [_side_by_side(b, column, 0) for column in zip(*rows, strict=True)]


def _collected(b: Builder, node: Source, rows: Sequence[Sequence[Operand]]) -> list[Operand]:
    columns = list(zip(*rows, strict=True))
    axes = _axes(node, "scan_output_axes", [len(column[0].type.shape) + 1 for column in columns])
    turned = _directions(node, "scan_output_directions", len(columns))
    return [
        _side_by_side(b, column[::-1] if back else column, axis)
        for column, axis, back in zip(columns, axes, turned, strict=True)
    ]


def _side_by_side(b: Builder, parts: Sequence[Operand], axis: int) -> Operand:
    """Joins parts along a new axis."""
    shape = parts[0].type.shape
    if any(part.type != parts[0].type for part in parts):
        raise Outside("an output changes its type", "fix the file")
    return joined(b, [b.reshape(part, (*shape[:axis], 1, *shape[axis:])) for part in parts], axis)


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
