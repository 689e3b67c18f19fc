"""Tells which subjects may stand otherwise than before, so that whoever sums them up need not read
all of them again."""

from collections.abc import Iterable
from typing import Any

from oracle.state.database import Database


class News(Database):
    """Has a set for each follower, to which is added whatever a duty or a deed is about that comes,
    goes, or comes to another state."""

    def __init__(self, *where: Any, **whose: Any):
        super().__init__(*where, **whose)
        self._followers: list[set[bytes]] = []

    def follow(self) -> set[bytes]:
        """Gives a set of one's own, to read and to empty. What was before is not in it."""
        self._followers.append(set())
        return self._followers[-1]

    def _tell(self, subjects: Iterable[bytes]) -> None:
        """Is called before what it tells of is kept, because whether it was kept may not be known:
        what is rolled back is news of nothing, which does no harm; what is kept and not told of is
        never looked at."""
        given = list(subjects)
        for each in self._followers:
            each.update(given)
