"""The options by which an operator says what it answers, whichever program it runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any

import click
import structlog

from oracle.cli.options import ACCOUNT, DURATION, MODEL, MONEY
from oracle.types import Address, ModelId, Wei
from oracle.worker.mandate import Mandate
from oracle.worker.policy import Policy

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """What an operator answers, as the options say."""

    models: Sequence[ModelId]
    vanilla: bool
    max_bond: Wei | None
    max_exposure: Wei | None
    max_window: int | None
    margin: int
    defence_rate: Wei

    def policy(self, operator: Address) -> Policy:
        return Policy(
            operator=operator,
            models=frozenset(self.models) or None,
            answers_vanilla=self.vanilla,
            max_bond=self.max_bond,
            max_exposure=self.max_exposure,
            max_window=self.max_window,
            margin=self.margin,
            defence_rate=self.defence_rate,
        )

    def require(self, mandate: Mandate) -> None:
        """Raises NotItsSigner, or a usage error, where our key may not answer what was chosen; and
        says so where nothing stands behind it."""
        if mandate.is_hot and self.vanilla:
            raise click.UsageError(
                "--vanilla needs the operator's own key: the queue takes no signed answer of a"
                " VANILLA model."
            )
        mandate.require()
        if mandate.standing().stake == 0:
            log.warning(
                "nothing is staked, so nothing is answered: exactum operator stake puts it up, or"
                " --operator names whose stake it is",
                operator=mandate.operator,
            )


def policy_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the `chosen` policy."""

    @wraps(command)
    def opened(**given: Any) -> None:
        chosen = PolicyOptions(
            **{each.name: given.pop(each.name) for each in fields(PolicyOptions)}
        )
        command(chosen=chosen, **given)

    for option in reversed(_POLICY_OPTIONS):
        opened = option(opened)
    return opened


def operator_option(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command --operator, for a key that is not the operator's own."""
    return click.option(
        "--operator",
        type=ACCOUNT,
        metavar="ADDRESS",
        help="Whose stake stands behind the answers, if not the key's own. That account has named"
        " the key by exactum operator signer.",
    )(command)


_POLICY_OPTIONS = [
    click.option(
        "--model",
        "models",
        type=MODEL,
        multiple=True,
        help="Answer for this model only. May be repeated. [default: every EXACT model]",
    ),
    click.option("--vanilla", is_flag=True, help="Answer for VANILLA models too."),
    click.option("--max-bond", type=MONEY, help="Decline requests that ask for a higher bond."),
    click.option(
        "--max-exposure",
        type=MONEY,
        help="Decline what would put more than this at risk: the sum of the bonds of all results"
        " that can be disputed now. [default: the whole stake]",
    ),
    click.option(
        "--max-window",
        type=DURATION,
        default="7d",
        show_default=True,
        help="Decline requests that would bind a bond for longer.",
    ),
    click.option(
        "--margin",
        type=click.IntRange(-100, 10_000),
        default=20,
        show_default=True,
        help="The least profit, in percent of the gas that an answer costs.",
    ),
    click.option(
        "--defence-rate",
        type=MONEY,
        default="10gwei",
        show_default=True,
        help="What a second of one process is worth to you, in the chain's coin. Besides gas and"
        " margin a fee must pay for all the seconds that you may have to spend on showing the trace"
        " of the result while its window is open.",
    ),
]
