"""How much a node is asked for at once, learnt from what it gives and what it refuses."""

PATIENCE = 16  # answers after which what was refused is tried again; twice as many each time …
MOST_PATIENCE = 256  # … but no more than these


class Span:
    """Finds the most that a node gives at a time, be it blocks or answers, by halving between what
    it gave and what it refused. What was refused is tried again one day, since most nodes limit how
    much they say, not how much they are asked."""

    def __init__(self, most: int):
        self.size = most  # to ask for next
        self._most = most
        self._good = 0  # given at once, and not refused since
        self._bad = most + 1  # refused
        self._answers = 0  # since the last refusal
        self._patience = PATIENCE

    def given(self, size: int) -> None:
        if size < self.size:
            return  # the rest of a range says nothing about the limit
        self._good = size
        self._answers += 1
        if self._answers >= self._patience and self._bad <= self._most:
            self._bad = min(4 * size, self._most) + 1
            self._patience = min(2 * self._patience, MOST_PATIENCE)
        between = (size + self._bad) // 2
        if between - size >= size / 8:  # less is not worth being refused
            self.size = between

    def refused(self, size: int) -> None:
        self._bad = size
        self._answers = 0
        if self._good >= size:
            self._good = 0
        self.size = self._good or max(1, size // 4)
