"""What open results take of us, and whether one more can be defended beside them.

It is worked out from duties, requests and models as the store has them, so a restart forgets
nothing: after one, the models of open results are priced again before anything new is taken on.
"""

from collections.abc import Callable, Sequence
from math import inf

import structlog

from oracle.state.store import Store
from oracle.types import ModelId, Request, RequestId, Wei
from oracle.visible import hex_id
from oracle.worker.budget import PASSES, Budget, Liability, Load, Standing
from oracle.worker.open_results import OpenResult, OpenResults
from oracle.worker.policy import NOTHING, Policy, least_fee, objection, shortfall
from oracle.worker.prices import PassTime, Prices

log = structlog.get_logger()

LONGER = 2  # as much a fee that we name pays for, as the last run's defence would cost

Weighed = Liability | str | BaseException | None
"""What an answer would take of us; why we do not want to give it; what keeps us from knowing; or
None until we know."""


class Ledger:
    """`run_limit` is how many seconds a run may take. The chain `charges` for the transactions that
    answer a request so much besides gas."""

    def __init__(
        self,
        store: Store,
        policy: Policy,
        budget: Budget,
        prices: Prices,
        run_limit: float,
        charges: Callable[[Request], Wei] = lambda _: NOTHING,
    ):
        self._store = store
        self._policy = policy
        self._budget = budget
        self._prices = prices
        self._run_limit = run_limit
        self._charges = charges
        self._took: dict[ModelId, float] = {}  # seconds of the last run
        self._held: dict[ModelId, float] = {}  # seconds that it held a slot, with all that confirms
        self._open = OpenResults(store)
        self._undefended: set[ModelId] = set()  # of open results, and not to be had

    def note_run(self, model: ModelId, seconds: float, held: float = 0.0) -> None:
        """Notes what a run took, and with all that went with it; `inf` where it was stopped because
        others waited. In the first run of a model much is loaded that is kept then."""
        self._held[model] = held if model in self._took else 0.0
        self._took[model] = seconds

    def is_short(self, model: ModelId, most: float) -> bool:
        """Says whether a run takes `most` seconds at most, a second opinion included. It goes by
        the last run, or else by a pass over a trace, which takes longer than a run. What is new is
        tried for so long."""
        took, known = self._took.get(model), self._prices.known(model)
        if took is not None:
            return max(took, self._held[model]) <= most
        if known is not None:
            return known.after(self._run_limit) <= most
        return not self._prices.is_slow(model)

    def is_new(self, model: ModelId) -> bool:
        """Says whether nothing is known of how long a model takes."""
        prices = self._prices
        is_priced = prices.known(model) is not None
        return model not in self._took and not is_priced and not prices.is_slow(model)

    def has_short_trace(self, request_id: RequestId, model: ModelId, most: float) -> bool:
        """Says whether a pass over the trace of a result takes `most` seconds at most."""
        known = self._prices.known(model)
        took = self._store.took(request_id)
        return known is not None and known.after(self._run_of(took)) <= most

    def pass_time(self, request_id: RequestId, model: ModelId) -> float:
        """Gives the seconds that a pass over the trace of a result takes, as far as is known."""
        known = self._prices.known(model)
        return 0.0 if known is None else known.after(self._run_of(self._store.took(request_id)))

    def run_time(self, model: ModelId) -> float:
        """Gives the seconds that the last run of a model took; none where there was none."""
        took = self._took.get(model, 0.0)
        return took if took < inf else self._run_limit

    def slot_time(self, model: ModelId) -> float:
        """Gives the seconds for which the last run of a model held a slot; `inf` where there was
        none."""
        return max(self._took.get(model, inf), self._held.get(model, inf))

    def open_models(self, read_until: int) -> set[ModelId]:
        """Gives the models of results that were open at the time `read_until`."""
        self._open.look(read_until)
        return self._open.models

    @property
    def undefended(self) -> list[ModelId]:
        """The models of open results whose traces could not be shown now."""
        return sorted(self._undefended)

    def refusal(self, request: Request, gas_price: Wei) -> tuple[str | None, bool]:
        """Says why `request` is not answered, whatever its defence takes, and whether that is for
        good."""
        found = objection(request, self._policy)
        return found or self._shortfall(request, gas_price), bool(found)

    def weigh(
        self,
        request: Request,
        load: Load,
        gas_price: Wei,
        now: float,
        asks: bool = True,
        run: float | None = None,
    ) -> Weighed:
        """Weighs whether a result of `request` can be defended, and pays, beside those of `load`.
        Its `run` took so many seconds; as many as the last one, if that is None. Unless it `asks`,
        it gives None for a model that was not priced yet, and has none priced."""
        reason, _ = self.refusal(request, gas_price)
        reason = reason or self._budget.shortage(request.bond, load)
        if reason is not None:
            return reason  # and nothing of a stranger's was fetched to find it out
        if run is None:  # what it will really have taken is looked at before it is posted
            run = self._took.get(request.model, 0.0)
        found = self._liability(request, run, now, asks)
        if not isinstance(found, Liability):
            return found
        defence = self._budget.cost(found, request.window, load)
        reason = self._shortfall(request, gas_price, defence)
        return reason or self._budget.objection(found, load) or found

    def quote(
        self, request: Request, load: Load, gas_price: Wei, now: float
    ) -> Wei | BaseException | None:
        """Gives a fee for which `weigh` finds that `request` pays, and still does where its run
        takes longer than the last one; what keeps us from knowing; or None until we know."""
        found = self._liability(request, self._took.get(request.model, 0.0), now)
        if not isinstance(found, Liability):
            return found
        defence = self._budget.cost(found, request.window, load)
        charges = self._charges(request)
        return least_fee(request, self._policy, gas_price, Wei(LONGER * defence), charges)

    def _shortfall(self, request: Request, gas_price: Wei, defence: Wei = NOTHING) -> str | None:
        return shortfall(request, self._policy, gas_price, defence, self._charges(request))

    def load(
        self,
        read_until: int,
        undecided: Sequence[Request],
        now: float,
        standing: Standing | None = None,
    ) -> Load | None:
        """Adds up all results that were still open at the time `read_until`, those that were sent
        and are not yet on the chain, answers that were signed and may still be posted, and those
        of requests that are `undecided`, beside the `standing` that they have to keep within. Gives
        None until all of them are priced."""
        open_ = self._open
        open_.look(read_until)
        # What could not be priced is asked for again: it may have been a child's bad day.
        unpriced = [self._of_open(*each, now) for each in open_.unpriced()]
        if None in unpriced:
            return None
        load = open_.load.copy(standing)
        load.bonds += sum(each for each in unpriced if each is not None)
        for request in undecided:
            each = self._liability(request, self._took.get(request.model, 0.0), now)
            if isinstance(each, Liability):
                load.add(each)
        return load

    def _of_open(self, request_id: RequestId, result: OpenResult, now: float) -> Wei | None:
        """Prices an open result. Gives None while that is being done, else the bond behind it that
        is not in what is added up."""
        request = result.request
        found = self._liability(request, self._run_of(result.run), now)
        if isinstance(found, Liability):
            self._undefended.discard(request.model)
            self._open.price(request_id, found)
            return Wei(0)
        if found is None and request.model not in self._undefended:
            return None
        # Without the model there is no pass that could take time; nor does who waits for it again.
        if found is not None and request.model not in self._undefended:
            self._undefended.add(request.model)
            model = hex_id(request.model)
            log.error("an open result could not be defended now", model=model, why=str(found))
        return request.bond

    def _run_of(self, took: float | None) -> float:
        """Gives the seconds that the run of an open result took, or the limit on a run where the
        state was lost, because it may have taken that long."""
        return self._run_limit if took is None else took

    def _liability(
        self, request: Request, run: float, now: float, asks: bool = True
    ) -> Liability | BaseException | None:
        """Gives what we are liable for by a result whose run takes `run` seconds. Gives an error
        where its pass cannot be priced, and None while that is being done."""
        # Whoever asks for a signature names us, and pays nothing for it until it is used.
        names_us = request.operator == self._policy.operator and not request.is_callers
        price = 0.0
        if request.terms.is_exact and self._budget.reveal_period is not None:
            prices, model = self._prices, request.model
            found = prices.of(model, now) if asks else prices.known(model)
            if not isinstance(found, PassTime):
                return found
            price = PASSES * found.after(run)
        return Liability(request.model, request.bond, price, names_us)
