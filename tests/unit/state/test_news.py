"""Whoever reads again only what it was told of knows all that there is."""

from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.state.agenda import Row
from oracle.state.duties import DutyKind, Key, State
from oracle.state.store import Store
from tests.unit.state.walks import Walker, stores


class Follower:
    """Has the rows of all duties, of which it reads again those that it was told of."""

    def __init__(self, store: Store):
        self._store = store
        self._news = store.follow()
        self._rows: dict[Key, Row] = {}

    def look(self) -> list[Row]:
        for kind in DutyKind:
            for subject in self._news:
                self._rows.pop((kind, subject), None)  # type: ignore[arg-type]
            found = self._store.duties_of(kind, self._news).values()
            self._rows.update({row.key: row for row in found})
        self._news.clear()
        return sorted(self._rows.values(), key=lambda row: row.key)


@settings(max_examples=12)
@given(st.integers(0, 10**6))
def test_a_follower_knows_how_all_duties_stand(seed: int) -> None:
    with stores(1) as [store]:
        walker, follower = Walker(store, seed), Follower(store)
        for act in walker.walk(30):
            assert follower.look() == sorted(store.duties(*State), key=lambda row: row.key), act
