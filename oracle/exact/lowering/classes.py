"""A classifier's classes: integers stand for themselves, strings for their place in the list."""

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.movement import gather
from oracle.exact.lowering.source import Source
from oracle.exact.primitive import Outside
from oracle.exact.program import Operand

Labels = tuple[str, ...] | tuple[int, ...]


def classes(node: Source, integers: str) -> Labels:
    """Reads the labels from the attribute named `integers` or from `classlabels_strings`."""
    numbers, texts = node.integers(integers, ()), node.texts("classlabels_strings")
    if bool(numbers) == bool(texts):
        raise Outside("it must have labels of one kind", "give integers or strings")
    return numbers or texts


def labelled(b: Builder, winner: Operand, labels: Labels) -> Operand:
    """Emits the label of class `winner` (int64 [N]): an integer, or the place of a string."""
    if isinstance(labels[0], str):
        return b.mark_text(winner, [str(label) for label in labels])
    if labels != tuple(range(len(labels))):
        winner = gather(b, b.constant(np.array(labels, np.int64)), winner, 0)
    b.note_labels(winner, labels)
    return winner
