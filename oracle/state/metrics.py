"""What Prometheus is told of a program, each named for the question that it answers."""

from collections.abc import Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from oracle.state.duties import DutyKind, State
from oracle.state.vitals import Blocks, Purse, Stake, Vitals
from oracle.state.watch import Watch

_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # seconds


class Metrics:
    """One program's, in a registry of its own."""

    def __init__(self, watch: Watch):
        self._registry = CollectorRegistry()
        self._rounds = Counter(
            "exactum_rounds",
            "How many rounds were worked, and how many of them failed?",
            ["outcome"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "exactum_round_seconds",
            "How long does a round take?",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        for outcome in ("ok", "failed"):
            self._rounds.labels(outcome)
        watch.on_round = self._observe
        self._registry.register(_Vital(watch))

    def page(self) -> bytes:
        """Gives all values, as Prometheus reads them."""
        return generate_latest(self._registry)

    def _observe(self, seconds: float, has_succeeded: bool) -> None:
        self._rounds.labels("ok" if has_succeeded else "failed").inc()
        self._seconds.observe(seconds)


class _Vital(Collector):
    """Tells what was seen after the last round. Seconds go on meanwhile."""

    def __init__(self, watch: Watch):
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        watch, now = self._watch, self._watch.clock()
        build = GaugeMetricFamily(
            "exactum_build_info",
            "Which program of which version is it?",
            labels=["program", "version"],
        )
        build.add_metric([watch.program, version("exactum")], 1)
        yield build
        yield _gauge("exactum_healthy", "Does /healthz say ok?", watch.is_well)
        vitals = watch.vitals
        if vitals is None:
            return
        yield _gauge("exactum_look_age_seconds", "How old are these values?", now - vitals.at)
        yield from _duties(vitals, now)
        yield from _blocks(vitals.blocks)
        yield from _transactions(vitals, now)
        yield from _nodes(vitals)
        if vitals.purse is not None:
            yield from _purse(vitals.purse)
        if vitals.stake is not None:
            yield from _stake(vitals.stake)
        if vitals.findings is not None:
            wrong, unwatched = vitals.findings.wrong, vitals.findings.unwatched
            yield _gauge("exactum_results_wrong", "How many results were found wrong?", wrong)
            yield _gauge(
                "exactum_results_unwatched",
                "About how many results could nobody be convicted?",
                unwatched,
            )


def _gauge(name: str, question: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, question, value=value)


def _duties(vitals: Vitals, now: float) -> Iterator[Metric]:
    time = vitals.chain_time(now)
    duties = GaugeMetricFamily(
        "exactum_duties", "How many duties of each kind stand where?", labels=["kind", "state"]
    )
    for each in vitals.tallies:
        duties.add_metric([each.kind, each.state], each.count)
    yield duties
    nearest: dict[DutyKind, int] = {}
    for each in vitals.tallies:
        if each.state in (State.OPEN, State.SENT) and each.nearest is not None:
            nearest[each.kind] = min(each.nearest, nearest.get(each.kind, each.nearest))
    left = GaugeMetricFamily(
        "exactum_nearest_deadline_seconds",
        "How long is it, by the chain's clock, until the nearest deadline of what is not done?",
        labels=["kind"],
    )
    for kind, deadline in nearest.items():
        left.add_metric([kind], deadline - time)
    yield left
    missed = CounterMetricFamily(
        "exactum_duties_missed", "How many duties were missed since the start?", labels=["kind"]
    )
    for kind in DutyKind:
        missed.add_metric([kind], vitals.missed.get(kind, 0))
    yield missed
    age = 0.0 if vitals.oldest is None else max(0.0, time - vitals.oldest)
    yield _gauge("exactum_queue_age_seconds", "For how long does the oldest open duty wait?", age)
    yield _gauge("exactum_histories_stuck", "How many histories are stuck?", vitals.stuck)


def _blocks(blocks: Blocks) -> Iterator[Metric]:
    yield _gauge("exactum_head_block", "At which block is the chain?", blocks.head)
    yield _gauge("exactum_read_block", "Up to which block was it read?", blocks.read)
    yield _gauge("exactum_final_block", "Up to which block is it final?", blocks.final)
    lag = blocks.head - blocks.read
    yield _gauge("exactum_lag_blocks", "How many blocks are there that were not read?", lag)
    yield CounterMetricFamily(
        "exactum_reorganisations",
        "How often were blocks replaced that were read?",
        value=blocks.replacements,
    )
    yield _gauge(
        "exactum_deepest_reorganisation_blocks",
        "How many blocks were replaced at once, at most?",
        blocks.deepest,
    )
    if blocks.skew is not None:
        yield _gauge(
            "exactum_clock_skew_seconds",
            "By how much is our clock ahead of the chain's?",
            blocks.skew,
        )


def _transactions(vitals: Vitals, now: float) -> Iterator[Metric]:
    waiting = vitals.waiting
    yield _gauge(
        "exactum_transactions_waiting", "How many transactions are not mined yet?", waiting.count
    )
    age = 0.0 if waiting.since is None else max(0.0, now - waiting.since)
    yield _gauge(
        "exactum_oldest_transaction_seconds", "For how long does the oldest of them wait?", age
    )


def _nodes(vitals: Vitals) -> Iterator[Metric]:
    said = {
        "exactum_node_up": "Is a node well, so that it is asked?",
        "exactum_node_lag_blocks": "How far is its head behind the best?",
        "exactum_node_still_seconds": "How long was its head not seen to move?",
        "exactum_node_errors": "How often did it fail in a row?",
    }
    families = [GaugeMetricFamily(*each, labels=["node"]) for each in said.items()]
    for node in vitals.nodes:
        values = (node.is_up, node.lag, node.still, node.errors)
        for family, value in zip(families, values, strict=True):
            family.add_metric([node.name], value)
    yield from families


def _purse(purse: Purse) -> Iterator[Metric]:
    yield _gauge(
        "exactum_account_balance_wei",
        "What has the account that sends, for gas?",
        purse.balance,
    )
    yield _gauge("exactum_gas_price_wei", "What does a unit of gas cost?", purse.gas_price)
    yield CounterMetricFamily(
        "exactum_gas_spent_wei", "What may gas have cost, at most?", value=purse.spent
    )


def _stake(stake: Stake) -> Iterator[Metric]:
    yield _gauge("exactum_stake_free_wei", "How much stake is free?", stake.staked - stake.locked)
    yield _gauge("exactum_stake_locked_wei", "How much stake is locked?", stake.locked)
    if stake.exposure is not None:
        yield _gauge(
            "exactum_exposure_wei",
            "What bonds stand behind open results and signed answers?",
            stake.exposure,
        )
    if stake.trace_used is not None:
        yield _gauge(
            "exactum_trace_budget_used_seconds",
            "How much of the budget for showing traces do open results hold?",
            stake.trace_used,
        )
    yield _gauge(
        "exactum_trace_budget_seconds",
        "How many seconds of a process may showing traces take within the reveal period?",
        stake.trace_budget,
    )
    yield _gauge(
        "exactum_signed_unposted",
        "How many answers were signed and may still be posted?",
        stake.unposted,
    )
    yield _gauge(
        "exactum_models_undefended",
        "Of how many models could open results not be defended now?",
        len(stake.undefended),
    )
