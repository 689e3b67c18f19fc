"""Who answers in an operator's name: its own key, or a hot one that its cold stake has named."""

from collections.abc import Sequence

import structlog

from oracle.chain.answers import AnswerSignature
from oracle.chain.contracts import Queue
from oracle.chain.keys import Signer
from oracle.chain.node import Call
from oracle.errors import NotItsSigner
from oracle.types import Account, Address, Request, Wei
from oracle.worker.budget import Standing

log = structlog.get_logger()


class Mandate:
    """Says whether our key may answer for `operator` now, and puts answers into its name. `key` is
    None in a dry run, which goes by the operator's own."""

    def __init__(self, queue: Queue, operator: Address, key: Signer | None):
        self.operator = operator
        self._queue = queue
        self._key = key
        self._hot = None if key is None or key.address == operator else key
        self._said: str | None = None  # why we may not answer
        self._account: Account | None = None  # as read in this round
        self._standing: Standing | None = None

    @property
    def is_hot(self) -> bool:
        """Whether our key is not the operator's own, whose stake it is."""
        return self._hot is not None

    def start_round(self) -> None:
        """Forgets what was read in the round before."""
        self._account = self._standing = None

    def account(self) -> Account:
        """Reads the operator's account, once a round."""
        if self._account is None:
            self._account = self._queue.account_of(self.operator)
        return self._account

    def standing(self) -> Standing:
        """Reads, once a round, what may be put up for our answers. It is logged when that comes to
        be nothing, and when it no longer is."""
        if self._standing is None:
            self._standing = self._read_standing()
        return self._standing

    def _read_standing(self) -> Standing:
        account = self.account()
        if self._hot is None:
            return Standing(account.staked)
        named = self._queue.signer_of(self.operator)
        if named is None or named.signer != self._hot.address:
            why = str(self._lack(self._hot, account.epoch))
            self._say(why)
            return Standing(account.staked, Wei(0), why)
        self._say(None)
        return Standing(account.staked, named.max_locked)

    def require(self) -> None:
        """Raises NotItsSigner where our key may not answer. While bonds are locked it does not,
        because what they stand behind has to be defended, also by a key that a slash has ended."""
        if self._hot is None or self.standing().obstacle is None:
            return
        if self.account().locked == 0:
            raise self._lack(self._hot, self.account().epoch)

    def propose(self, answers: Sequence[tuple[Request, bytes]]) -> Call:
        """Makes one transaction that proposes all answers, or one that a hot key has signed."""
        if self._hot is None:
            return self._queue.propose(answers)
        [(request, output)] = answers
        signature = self.sign(request, output, self.account().epoch)
        return self._queue.propose_signed(request, self.operator, output, signature)

    @property
    def signer(self) -> Address:
        assert self._key is not None, "a dry run signs nothing"
        return self._key.address

    def sign(self, request: Request, output: bytes, epoch: int) -> AnswerSignature:
        """Signs an answer in the operator's name, for its `epoch`."""
        assert self._key is not None, "a dry run signs nothing"
        return self._queue.answer(request, output, epoch).sign(self._key)

    def _lack(self, hot: Signer, epoch: int) -> NotItsSigner:
        return NotItsSigner(hot.address, self.operator, epoch)

    def _say(self, why: str | None) -> None:
        if why is not None and why != self._said:
            log.error("we may not answer", operator=self.operator, why=why)
        if why is None and self._said is not None:
            log.info("we may answer again", operator=self.operator)
        self._said = why
