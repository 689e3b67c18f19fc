"""Whose turn it is among operators that answer the same requests.

Whoever comes second pays for gas and gets nothing. So each waits for its turn, which all of them
work out alike from what the chain shows: the request's id, and who has answered of late. Nobody can
hold another to it.
"""

from collections import OrderedDict

from eth_utils.crypto import keccak

from oracle.chain.histories import RequestHistory
from oracle.types import Address, RequestId

RECENT = 600  # seconds, by the chain's time, for which an operator that answered is a rival
MOST = 3  # that we let go first: whoever has many names keeps us waiting no longer than that


class Rivals:
    """Those who answered what anybody could have answered."""

    def __init__(self, me: Address):
        self._me = me
        self._seen: OrderedDict[Address, int] = OrderedDict()  # when, by the chain's time

    def note(self, history: RequestHistory) -> None:
        """Takes note of who answered a request, if anybody could have."""
        request, proposed = history.request, history.proposed
        if request.operator is not None or proposed is None:
            return
        operator = proposed.proposal.operator
        if operator != self._me:
            self._seen[operator] = max(self._seen.get(operator, 0), proposed.where.time)
            self._seen.move_to_end(operator)
            while len(self._seen) > 2 * MOST:
                self._seen.popitem(last=False)

    def turn(self, request_id: RequestId, chain_time: float) -> int:
        """Gives how many go before us, at most `MOST`."""
        mine = _rank(request_id, self._me)
        return min(MOST, sum(_rank(request_id, each) < mine for each in self._recent(chain_time)))

    def are_there(self, chain_time: float) -> bool:
        """Says whether anybody else has answered of late."""
        return bool(self._recent(chain_time))

    def _recent(self, chain_time: float) -> list[Address]:
        return [each for each, at in self._seen.items() if at >= chain_time - RECENT]


def _rank(request_id: RequestId, operator: Address) -> bytes:
    return keccak(request_id + bytes.fromhex(operator[2:]))
