"""Remembers what never changes once it was read."""

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import TypeVar

A = TypeVar("A", bound=Hashable)
T = TypeVar("T")


class _Unread(LookupError):
    pass


def remembered(look_up: Callable[[A], T | None], most: int) -> Callable[[A], T | None]:
    """Remembers what was found, and not that nothing was: it may yet be read."""

    @lru_cache(maxsize=most)
    def known(key: A) -> T:
        found = look_up(key)
        if found is None:
            raise _Unread
        return found

    def recall(key: A) -> T | None:
        try:
            return known(key)
        except _Unread:
            return None

    return recall
