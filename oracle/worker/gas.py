"""What the transactions cost by which a request is answered, as a node says it."""

from oracle.chain.node import Chain
from oracle.chain.rollups import RollupFees
from oracle.chain.sizes import answer_sizes
from oracle.types import Request, Wei
from oracle.worker.policy import answer_gas


class Gas:
    """Asks for the price once a round, and seldom for what a rollup charges besides."""

    def __init__(self, chain: Chain):
        self._chain = chain
        self._fees = RollupFees(chain)
        self._price: Wei | None = None

    def start_round(self) -> None:
        """Forgets what was said in the round before."""
        self._price = None

    def price(self) -> Wei:
        """Gives what a transaction pays for a unit of gas in this round."""
        if self._price is None:
            self._price = self._chain.gas_price()
        return self._price

    def charges(self, request: Request) -> Wei:
        """Gives what the chain takes besides gas for the transactions that answer a request."""
        sizes = answer_sizes(
            request.terms.output_length,
            has_callback=request.callback_gas > 0,
            is_callers=request.is_callers,
        )
        return self._fees.of(sizes, answer_gas(request))
