"""Requests that wait for a run, by model: of each, those first whose deadlines are nearest."""

from bisect import bisect_left, insort
from collections.abc import Iterator

from oracle.state.agenda import Row
from oracle.state.duties import Key
from oracle.types import ModelId

Place = tuple[int, int, int, int]
"""Failures, the deadline, and the place of what was asked."""


class Waiting:
    """What failed before waits for the rest. To come and to go takes as long for the last of many
    as for the first."""

    def __init__(self) -> None:
        self._rows: dict[Key, Row] = {}
        self._places: dict[Key, tuple[ModelId, Place]] = {}
        self._queues: dict[ModelId, list[tuple[Place, Key]]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, row: Row, model: ModelId, failures: int) -> None:
        self.discard(row.key)
        place = (failures, row.duty.deadline or 0, *row.place)
        self._rows[row.key], self._places[row.key] = row, (model, place)
        insort(self._queues.setdefault(model, []), (place, row.key))

    def discard(self, key: Key) -> None:
        if key not in self._rows:
            return
        del self._rows[key]
        model, place = self._places.pop(key)
        queue = self._queues[model]
        del queue[bisect_left(queue, (place, key))]
        if not queue:
            del self._queues[model]

    def first(self, most: int) -> Iterator[Row]:
        """Yields the first of each model, `most` of all together but for one each: who has many
        waiting keeps nobody else from being seen."""
        each = most // max(1, len(self._queues)) + 1
        for queue in self._queues.values():
            for _, key in queue[:each]:
                yield self._rows[key]
