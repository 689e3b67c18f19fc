"""How many rational lies become final, by who looks at them; and which bond makes lying not pay.

A simulation, not a measurement. All money is in bonds. In each round there are RESULTS results, and
each operator is as honest as pays: it knows the chance that a lie is found, and lies where the
expected gain is positive. A lie is worth up to a bond (`Options.bond`: "at least what a lie is
worth"). Watchers do what pays too: there are more of them after a round in which re-running paid,
fewer after one in which it did not. A re-run costs RERUN, telling others of a lie costs GAS.

  naive    the liar does not convict itself: the first finder has the reward, 30 %
  today    the liar convicts itself as soon as it is found, and has the reward; it loses 70 %
  sealed   a rule that was tried: claims are sealed and opened together, so that the liar learns too
           late that it is found; the reward is shared by all claims, and the liar files one too
  check    as today, and whoever relies on a result re-runs a share of them by itself, whether that
           pays or not, and sizes the bond by the rule below from what it thinks a lie is worth

The rule: a lie worth V that is found with chance r does not pay where V (1 - r) <= 0.7 B r, so
B >= V (1 - r) / (0.7 r). Where the liar also chose `refundTo`, 0.4 stands for 0.7.

The same seed gives the same numbers. --json: one object, last.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

ROUNDS, SETTLING, RESULTS = 4_000, 2_000, 500
REWARD, REFUND = 0.3, 0.3
RERUN = 0.002  # of a bond, a re-run
GAS = 0.01  # of a bond, a demand or a sealed claim
SPEED = 0.02  # how fast watchers come and go
STUBBORN = 0.001  # watchers a result that look for nothing
CHECKED = 0.9  # of the results that an asker relies on, how many it re-runs
MARGIN = 3.0  # times the rule's bond
MISJUDGED = 0.3  # sigma of the logarithm of what an asker thinks a lie is worth
SHARES, MARGINS = (0.5, 0.9, 0.99), (1.0, 1.5, 2.0, 3.0)
CHANCES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Regime:
    """Who gets what of a lie that `finders` found, in bonds.

    kept: what the liar gets back. found: what each finder gets. check: the share of results that
    the asker re-runs. margin: how many times the rule's bond it asks for."""

    kept: Callable[[Numbers], Numbers]
    found: Callable[[Numbers], Numbers]
    check: float = 0.0
    margin: float = MARGIN


def first_takes_all(finders: Numbers) -> Numbers:
    return REWARD / finders - GAS


def shared_with_the_liar(finders: Numbers) -> Numbers:
    return REWARD / (finders + 1) - GAS


def all_is_the_liars(finders: Numbers) -> Numbers:
    return np.full_like(finders, REWARD)


def only_gas(finders: Numbers) -> Numbers:
    return np.full_like(finders, -GAS)


REGIMES = {
    "naive": Regime(kept=np.zeros_like, found=first_takes_all),
    "today": Regime(kept=all_is_the_liars, found=only_gas),
    "sealed": Regime(kept=shared_with_the_liar, found=shared_with_the_liar),
    "check": Regime(kept=all_is_the_liars, found=only_gas, check=CHECKED),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Shares, of the rounds after the first SETTLING."""

    told: float  # lies, of all results
    final: float  # lies that became final, of the lies told
    harm: float  # lies that became final, of all results
    watchers: float  # re-runs a result


def least_bond(value: float, chance: float, lost: float = 1 - REWARD) -> float:
    """Computes the least bond at which a lie worth `value`, found with `chance`, does not pay."""
    return value * (1 - chance) / (lost * chance)


def simulate(regime: Regime, seed: int) -> Outcome:
    random = np.random.default_rng(seed)
    watchers = 1.0
    told = final = 0
    seen = 0.0
    for turn in range(ROUNDS):
        value = random.uniform(0.5, 1.0, RESULTS)
        if regime.check:
            # In bonds: the asker chose the bond from what it took the value for.
            thought = value * random.lognormal(0, MISJUDGED, RESULTS)
            value = value / (regime.margin * thought * least_bond(1, regime.check))
        lies = value * (1 - chance_of(regime, watchers)) > expected_loss(regime, watchers)
        finders = random.poisson(watchers, RESULTS).astype(np.float64)
        is_checked = random.random(RESULTS) < regime.check
        is_found = (finders > 0) | is_checked
        if turn >= SETTLING:
            told += int(lies.sum())
            final += int((lies & ~is_found).sum())
            seen += watchers
        # What one more re-run would have brought: it would have been one of the finders.
        income = np.where(lies, regime.found(finders + 1), 0.0) - RERUN
        watchers *= float(np.exp(SPEED * np.clip(income.mean() / RERUN, -5, 5)))
        watchers = max(watchers, STUBBORN)
    rounds = ROUNDS - SETTLING
    return Outcome(
        told=told / (rounds * RESULTS),
        final=final / max(told, 1),
        harm=final / (rounds * RESULTS),
        watchers=seen / rounds,
    )


def chance_of(regime: Regime, watchers: float) -> float:
    """Computes the chance that a lie is found."""
    return 1 - (1 - regime.check) * float(np.exp(-watchers))


def expected_loss(regime: Regime, watchers: float) -> float:
    """Computes what a lie costs its teller on average: nothing where it is not found."""
    finders = np.arange(40, dtype=np.float64)
    weights = np.exp(-watchers) * np.cumprod(np.r_[1.0, watchers / finders[1:]])
    # Found by the asker alone: it is one finder.
    lost = np.where(finders > 0, 1.0, regime.check) * (1 - regime.kept(np.maximum(finders, 1)))
    return float(weights @ lost)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="./dev bench incentives",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    arguments = parser.parse_args()

    outcomes = {name: simulate(regime, arguments.seed) for name, regime in REGIMES.items()}
    console = Console(stderr=arguments.json)
    table = Table("who looks", "lies told", "of them final", "final of all", "re-runs a result")
    for name, found in outcomes.items():
        shares = (f"{share:.2%}" for share in (found.told, found.final, found.harm))
        table.add_row(name, *shares, f"{found.watchers:.3f}")
    console.print(table)
    checks = Table(
        "share re-run", *(f"bond {margin:g} ×" for margin in MARGINS), title="check: final of all"
    )
    for share in SHARES:
        row = (replace(REGIMES["check"], check=share, margin=margin) for margin in MARGINS)
        harms = (simulate(regime, arguments.seed).harm for regime in row)
        checks.add_row(f"{share:.2f}", *(f"{harm:.3%}" for harm in harms))
    console.print(checks)
    bonds = Table("r", "B / V", "liar chose refundTo", title="The least bond")
    for chance in CHANCES:
        own, league = least_bond(1, chance), least_bond(1, chance, 1 - REWARD - REFUND)
        bonds.add_row(f"{chance:.2f}", f"{own:.3f}", f"{league:.3f}")
    console.print(bonds)
    if arguments.json:
        print(json.dumps({name: round(found.final, 4) for name, found in outcomes.items()}))
    # What docs/protocol.md says.
    holds = (
        outcomes["today"].final > 0.99,
        0.4 < outcomes["sealed"].final < 0.5,
        outcomes["check"].harm < 0.0005,
    )
    return int(not all(holds))


if __name__ == "__main__":
    sys.exit(main())
