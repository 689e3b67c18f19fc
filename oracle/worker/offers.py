"""The models for whose results we sign."""

import structlog

from oracle.chain.contracts import Registry
from oracle.errors import NotFound
from oracle.state.store import Store
from oracle.types import Assurance, ModelId
from oracle.visible import hex_id
from oracle.worker.models import Models
from oracle.worker.orders import Offer
from oracle.worker.policy import Policy
from oracle.worker.records import Records

log = structlog.get_logger()

MOST_POSTED = 126_000  # bytes of both payloads: nodes take no transaction above 128 KiB
LOOK_AGAIN = 10.0  # seconds until it is looked again for what models are here


class Offers:
    """Finds what we may offer. One thread looks; any may read."""

    def __init__(
        self, registry: Registry, store: Store, records: Records, models: Models, policy: Policy
    ):
        self._registry = registry
        self._store = store
        self._records = records
        self._models = models
        self._named = policy.models
        self._offers: dict[ModelId, Offer] = {}
        self._unfit: dict[ModelId, str] = {}  # and why
        self._look_again = 0.0

    @property
    def named(self) -> set[ModelId]:
        """The models that we offer because our operator named them: their files must stay. Another
        stranger's may go, or what is asked for would fill the cache for ever."""
        return set() if self._named is None else set(self._offers)

    def all(self) -> list[Offer]:
        return list(self._offers.values())

    def of(self, model: ModelId) -> Offer:
        """Raises NotFound for a model for whose results we do not sign."""
        offer = self._offers.get(model)
        if offer is None:
            why = self._unfit.get(model)
            reason = f": {why}" if why else ""
            raise NotFound(f"We sign no results of model 0x{model.hex()}{reason}.")
        return offer

    def look(self, now: float) -> None:
        """Looks, every `LOOK_AGAIN` seconds, for models that have come to be offered."""
        if now < self._look_again:
            return
        self._look_again = now + LOOK_AGAIN
        if self._named is None:
            here = {each: its for each, its in self._offers.items() if self._models.is_here(each)}
            self._offers = here
        for id_ in self._store.models() if self._named is None else self._named:
            if id_ not in self._offers and id_ not in self._unfit:
                self._consider(id_)

    def withdraw(self, id_: ModelId, why: str) -> None:
        """Offers a model no longer, until the program starts again."""
        self._unfit[id_] = why.rstrip(".")
        # Another dictionary, because other threads read this one.
        self._offers = {each: its for each, its in self._offers.items() if each != id_}
        log.warning("not signing for a model", model=hex_id(id_), why=why)

    def _consider(self, id_: ModelId) -> None:
        model = self._records.model(id_)
        if model is None:
            return
        if model.assurance is not Assurance.EXACT:
            self._unfit[id_] = "it is VANILLA"
            return
        # A stranger who asks must not make us fetch what another stranger published.
        is_named = self._named is not None
        if not (self._models.is_here(id_) or (is_named and self._models.has_file(id_))):
            return
        terms = self._registry.terms_of(id_)
        size = terms.input_length + terms.output_length
        if size > MOST_POSTED:
            self.withdraw(id_, f"its input and output of {size} bytes fit no transaction")
        elif terms.is_sampled:
            self.withdraw(id_, "what is drawn is not signed beforehand")
        elif self._models.is_here(id_):
            self._offers = {**self._offers, id_: Offer(id_, model, terms)}
            log.info("signing for a model", model=hex_id(id_), name=model.name)
