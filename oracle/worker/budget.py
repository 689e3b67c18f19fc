"""What an operator can defend: the time that its traces may take, and the bonds behind its results.

Whoever answers promises to show the trace of its run within REVEAL_PERIOD, for every result whose
window is open. All open demands of a result are answered by one pass over its trace, and the next
pass starts a third of the period later at the earliest: so what a result may take within the period
is three passes, however many demands there are. That is its price, in seconds of one process.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from oracle.types import ModelId, Wei

PASSES = 3  # over the trace of one result, within REVEAL_PERIOD
# Of all that the processes do within the period, one half; the other answers requests, and is there
# where an estimate was too low. Of this half:
MODEL_SHARE = 8  # one model holds an eighth: its publisher cannot fill the budget alone
NAMED_SHARE = 4  # a quarter is kept for requests that name this operator: strangers cannot fill it
PICO = 10**12
DOUBLINGS = (
    8  # of the rate until all is taken: to fill it costs 46 times what all of it costs first
)


@dataclass(frozen=True, slots=True)
class Liability:
    """What a result takes of its operator until its window is over."""

    model: ModelId
    bond: Wei
    price: float  # seconds of one process within REVEAL_PERIOD
    names_us: bool  # its request could be answered by nobody else


@dataclass(frozen=True, slots=True)
class Standing:
    """What may be put up for an operator's results, as the chain has it now. `signer_limit` is the
    most that may be locked once an answer is posted that its signer has signed; `obstacle` says why
    nothing may be put up at all."""

    stake: Wei  # of which bonds are locked
    signer_limit: Wei | None = None
    obstacle: str | None = None


class Load:
    """What several results take together. All their bonds have to keep within `standing`; without
    it nobody has looked."""

    def __init__(self, liabilities: Iterable[Liability] = (), standing: Standing | None = None):
        self.standing = standing
        self.bonds = 0
        # In picoseconds: whole numbers, so that what is added can be taken away again.
        self._all = 0
        self._of_anybody = 0
        self._of_model: Counter[ModelId] = Counter()
        for each in liabilities:
            self.add(each)

    @property
    def seconds(self) -> float:
        return self._all / PICO

    @property
    def of_anybody(self) -> float:
        """The seconds for requests that anybody could answer."""
        return self._of_anybody / PICO

    def of_model(self, model: ModelId) -> float:
        """Gives the seconds for results of a model."""
        return self._of_model[model] / PICO

    def copy(self, standing: Standing | None = None) -> "Load":
        """Gives one that others can be added to, which has to keep within `standing`; as this one
        has, if that is None."""
        other = Load((), standing or self.standing)
        other.bonds, other._all, other._of_anybody = self.bonds, self._all, self._of_anybody
        other._of_model = self._of_model.copy()
        return other

    def add(self, liability: Liability) -> None:
        self._count(liability, 1)

    def remove(self, liability: Liability) -> None:
        """Takes away what was added."""
        self._count(liability, -1)

    def _count(self, liability: Liability, sign: int) -> None:
        price = sign * round(liability.price * PICO)
        self._all += price
        self._of_model[liability.model] += price
        self._of_anybody += 0 if liability.names_us else price
        self.bonds += sign * liability.bond
        if not self._of_model[liability.model]:
            del self._of_model[liability.model]


@dataclass(frozen=True, slots=True)
class Budget:
    """`reveal_period` is in seconds; None where nobody may ask for a trace."""

    processes: int
    reveal_period: int | None
    rate: Wei = Wei(0)  # for a second of one process, while nothing is taken
    max_exposure: Wei | None = None

    @property
    def seconds(self) -> float:
        """The seconds that the processes may spend on defence within REVEAL_PERIOD."""
        return self.processes * (self.reveal_period or 0) / 2

    @property
    def pause(self) -> float:
        """The seconds from the start of one pass over a result's trace to the start of the next."""
        return (self.reveal_period or 0) / PASSES

    @property
    def of_anybody(self) -> float:
        """The seconds that are there for requests that anybody could answer."""
        return self.seconds - self.seconds / NAMED_SHARE

    def cost(self, result: Liability, window: int, load: Load) -> Wei:
        """Gives what the fee must pay for the defence of a result, over all periods of its window.
        The more is taken, the dearer is the next, or whoever wants an operator silent could have
        all of its budget at the price that is right for a busy hour."""
        if self.reveal_period is None:
            return Wei(0)
        # By all that is taken, or whoever also names us would have the rest of it for little.
        taken = load.seconds / self.seconds
        if not result.names_us:
            taken = max(taken, load.of_anybody / self.of_anybody)
        rate = self.rate * 2 ** (DOUBLINGS * min(1.0, taken))
        return Wei(ceil(result.price * rate * max(1.0, window / self.reveal_period)))

    def objection(self, result: Liability, load: Load) -> str | None:
        """Says why `result` cannot be defended beside those that make up `load`. Gives None if it
        can."""
        return self.shortage(result.bond, load) or self._of_time(result, load)

    def shortage(self, bond: Wei, load: Load) -> str | None:
        """Says why we cannot put up another `bond`. Gives None if we can."""
        needed = f"its bond of {bond} wei and the {load.bonds} wei behind our open results are"
        standing = load.standing or Standing(Wei(load.bonds + bond))
        if standing.obstacle is not None:
            return standing.obstacle
        if load.bonds + bond > standing.stake:
            return f"{needed} above our stake of {standing.stake} wei"
        limit = standing.signer_limit
        if limit is not None and load.bonds + bond > limit:
            return f"{needed} above the {limit} wei that may be locked where our key signs"
        if self.max_exposure is not None and load.bonds + bond > self.max_exposure:
            return f"{needed} above our exposure of {self.max_exposure} wei"
        return None

    def _of_time(self, result: Liability, load: Load) -> str | None:
        period, price, whole = self.reveal_period, result.price, self.seconds
        if period is None:
            return None
        asked = (
            f"we could not defend it: to show its trace {PASSES} times, as we could be made to"
            f" within {period} s, takes {price:.1f} s"
        )
        if price > period:  # several processes share no pass
            return f"{asked} of one process"
        if load.seconds + price > whole:
            return f"{asked}, and open results have {load.seconds:.1f} s of our {whole:.1f} s"
        if not result.names_us and load.of_anybody + price > self.of_anybody:
            held = f"{load.of_anybody:.1f} s of the {self.of_anybody:.1f} s"
            return f"{asked}, and open results have {held} for requests that do not name us"
        ours, share = load.of_model(result.model), whole / MODEL_SHARE
        if ours > 0 and ours + price > share:
            return f"{asked}, and its model has {ours:.1f} s of a model's {share:.1f} s"
        return None
