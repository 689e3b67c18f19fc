"""What is remembered of a duty while it lasts: how it was tried, and when it is tried again."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, TypeVar

RETRY = 10.0  # seconds until what may get better by itself is tried again
SOON = 1.0  # seconds until the chain may have caught up with us, or we with it

K = TypeVar("K")


@dataclass(slots=True)
class Tries:
    """How a duty was tried since the program started."""

    not_before: float = 0.0  # our clock's
    failures: int = 0
    too_slow: int = 0  # runs that were stopped
    deaths: int = 0  # inferences that died
    said: set[str] = field(default_factory=set)

    def is_due(self, now: float) -> bool:
        return self.not_before <= now

    def fail(self, now: float) -> None:
        """Notes a failure, after which others have their turn first."""
        self.failures += 1
        self.not_before = now + RETRY

    def is_news(self, sentence: str) -> bool:
        """Says whether `sentence` was not logged about the duty yet, and from now on it was."""
        is_news = sentence not in self.said
        self.said.add(sentence)
        return is_news


def is_due(tries: Mapping[K, Tries], key: K, now: float) -> bool:
    """Says whether a duty may be tried now."""
    tried = tries.get(key)
    return tried is None or tried.is_due(now)


def forget_all_but(kept: dict[K, Any], keys: Set[K]) -> None:
    """Drops what is kept about anything but `keys`. What ended would be kept for ever otherwise."""
    for key in kept.keys() - keys:
        del kept[key]
