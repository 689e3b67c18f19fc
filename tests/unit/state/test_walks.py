"""A state that followed a chain wherever it went holds what one does that read it once."""

from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.chain.events import Event
from oracle.state.duties import DutyKind, State
from oracle.state.store import Store
from tests.chains import proposed
from tests.unit.state.changes import ours, rows
from tests.unit.state.walks import ASKED, Block, Follower, Step, some_events, steps, stores

SAME = ("blocks", "events", "duties", "ended", "stuck")
MOST = 8  # blocks


def contents(store: Store) -> Mapping[str, list[object]]:
    return rows(store, *SAME)


@settings(max_examples=20)
@given(st.lists(steps, min_size=1, max_size=6))
def test_a_walk_ends_with_what_reading_the_chain_at_once_gives(walk: Sequence[Step]) -> None:
    with stores(2) as (walked, fresh):
        follower = Follower(walked)
        for step in walk:
            follower.go(step)
        if not follower.chain:
            return

        last = follower.chain[-1].number
        fresh.apply(follower.change(1, follower.chain, last), ours)

        assert contents(walked) == contents(fresh)
        found = {row.key: row.note for row in walked.duties(State.DECLINED)}
        assert found == follower.opinions
        assert len(rows(walked, "opinions")["opinions"]) == len(found)
        for asked in ASKED:
            assert walked.history(asked.request_id) == fresh.history(asked.request_id)


@settings(max_examples=15)
@given(st.lists(some_events(), min_size=1, max_size=MOST), st.data())
def test_blocks_read_in_any_ranges_give_the_same(
    blocks: Sequence[Sequence[Event]], data: st.DataObject
) -> None:
    with stores(2) as (parts, whole):
        chain = [Block(n, 0, events) for n, events in enumerate(blocks, 1)]
        follower, at = Follower(parts), 0
        while at < len(chain):
            size = data.draw(st.integers(1, len(chain) - at))
            some = chain[at : at + size]
            follower.take(follower.change(some[0].number, some, some[-1].number))
            at += size

        whole.apply(follower.change(1, chain, len(chain)), ours)

        assert contents(parts) == contents(whole)


def test_what_is_said_to_begin_twice_is_one_history() -> None:
    """A node may say so. What we had proposed is still ours to defend."""
    with stores(2) as (parts, whole):
        chain = [Block(1, 0, [ASKED[0], proposed(ASKED[0])]), Block(2, 0, [ASKED[0]])]
        follower = Follower(parts)
        for block in chain:
            follower.take(follower.change(block.number, [block], block.number))

        whole.apply(follower.change(1, chain, len(chain)), ours)

        assert contents(parts) == contents(whole)
        assert [row.duty.kind for row in parts.duties(*State)] == [DutyKind.SETTLE]
