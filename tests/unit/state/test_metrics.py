"""What Prometheus reads of a program; and that each alert goes by what there is to read."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from oracle.state.agenda import Tally
from oracle.state.duties import DutyKind, State
from oracle.state.metrics import Metrics
from oracle.state.vitals import Findings, NodeVitals, Purse, Stake, Vitals, Waiting
from oracle.state.watch import Watch
from tests.unit.state.test_health import NOW, blocks, vitals

ALERTS = Path(__file__).parents[3] / "deployments/alerts.yml"
OPERATORS = Path(__file__).parents[3] / "docs/operators.md"

ALL = vitals(
    blocks=blocks(head=12, skew=-3.5, replacements=2, deepest=7),
    tallies=[
        Tally(DutyKind.REVEAL, State.OPEN, 2, 1_300, 4, None),
        Tally(DutyKind.REVEAL, State.SENT, 1, 1_200, 3, None),
        Tally(DutyKind.PROPOSE, State.MISSED, 1, 900, 3, None),
    ],
    oldest=940,
    stuck=1,
    missed={DutyKind.PROPOSE: 3},
    waiting=Waiting(4, NOW - 20),
    nodes=[
        NodeVitals("the node at a", True, "up", 0, 1.0, 0),
        NodeVitals("the node at b", False, "lagging", 9, 80.0, 2),
    ],
    purse=Purse("0xme", 10**18, 7, 5e15),
    stake=Stake(10**19, 4 * 10**18, 3 * 10**18, 12.5, 600.0, 2, [b"\1" * 32]),
    findings=Findings(1, 2),
)


def watch(seen: Vitals | None, now: float = NOW) -> Watch:
    found = Watch("worker", lambda: now)
    found.vitals = seen
    return found


def samples(metrics: Metrics) -> dict[str, float]:
    """By name and labels, as a person writes them."""
    return {
        _name(each.name, each.labels.values()): each.value
        for family in text_string_to_metric_families(metrics.page().decode())
        for each in family.samples
    }


def _name(name: str, labels: Iterable[str]) -> str:
    return " ".join([name.removeprefix("exactum_"), *labels])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("duties reveal open", 2),
        ("duties propose missed", 1),
        ("nearest_deadline_seconds reveal", 200),
        ("duties_missed_total propose", 3),
        ("duties_missed_total reveal", 0),
        ("queue_age_seconds", 60),
        ("histories_stuck", 1),
        ("head_block", 12),
        ("read_block", 10),
        ("final_block", 5),
        ("lag_blocks", 2),
        ("reorganisations_total", 2),
        ("deepest_reorganisation_blocks", 7),
        ("clock_skew_seconds", -3.5),
        ("transactions_waiting", 4),
        ("oldest_transaction_seconds", 20),
        ("node_up the node at a", 1),
        ("node_up the node at b", 0),
        ("node_lag_blocks the node at b", 9),
        ("node_still_seconds the node at b", 80),
        ("node_errors the node at b", 2),
        ("account_balance_wei", 10**18),
        ("gas_price_wei", 7),
        ("gas_spent_wei_total", 5e15),
        ("stake_free_wei", 6 * 10**18),
        ("stake_locked_wei", 4 * 10**18),
        ("exposure_wei", 3 * 10**18),
        ("trace_budget_used_seconds", 12.5),
        ("trace_budget_seconds", 600),
        ("signed_unposted", 2),
        ("models_undefended", 1),
        ("results_wrong", 1),
        ("results_unwatched", 2),
        ("healthy", 0),
        ("look_age_seconds", 0),
    ],
)
def test_page_answers(name: str, value: float) -> None:
    assert samples(Metrics(watch(ALL)))[name] == value


def test_page_lets_time_go_on_when_no_round_ends() -> None:
    found = samples(Metrics(watch(ALL, NOW + 50)))

    names = ("nearest_deadline_seconds reveal", "queue_age_seconds", "oldest_transaction_seconds")
    assert [found[each] for each in (*names, "look_age_seconds")] == [150, 110, 70, 50]


def test_page_of_a_program_that_has_not_worked_yet() -> None:
    found = samples(Metrics(watch(None)))

    assert (found["healthy"], found["rounds_total ok"], found["rounds_total failed"]) == (0, 0, 0)
    assert "head_block" not in found


def test_page_leaves_out_what_is_not_known() -> None:
    assert ALL.stake is not None
    seen = replace(ALL, purse=None, stake=replace(ALL.stake, exposure=None), findings=None)

    names = " ".join(samples(Metrics(watch(seen))))

    assert not re.search("balance|exposure|results_wrong", names)


def test_page_counts_rounds_and_how_long_they_take() -> None:
    seen = watch(ALL)
    metrics = Metrics(seen)
    with seen.round():
        pass
    with pytest.raises(ValueError, match="no"), seen.round():
        raise ValueError("no")

    found = samples(metrics)

    names = ("rounds_total ok", "rounds_total failed", "round_seconds_count")
    assert [found[each] for each in names] == [1, 1, 2]


def test_two_programs_in_one_process_have_metrics_of_their_own() -> None:
    one, other = watch(ALL), watch(ALL)
    first, second = Metrics(one), Metrics(other)
    with one.round():
        pass

    assert samples(first)["rounds_total ok"] == 1
    assert samples(second)["rounds_total ok"] == 0


# Alerts.


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def known() -> dict[str, set[str]]:
    """All metrics, and the labels of each."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(Metrics(watch(ALL)).page().decode()):
        for each in family.samples:
            found.setdefault(each.name, set()).update(each.labels)
    return found


# What PromQL knows besides metrics, of what our rules use.
WORDS = {"absent", "abs", "increase", "sum", "by", "instance"}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_goes_by_metrics_that_there_are(rule: dict[str, Any]) -> None:
    expression = re.sub(r'"[^"]*"', "", rule["expr"])
    metrics = known()
    selectors = dict(re.findall(r"(\w+)\{([^}]*)\}", expression))
    named = set(re.findall(r"\b[a-z_]+\b", re.sub(r"\{[^}]*\}|\[[^]]*\]|\d\w*", "", expression)))

    labels = {label for name in named & metrics.keys() for label in metrics[name]}
    assert named & metrics.keys() and named <= metrics.keys() | WORDS | labels
    for metric, selector in selectors.items():
        assert set(re.findall(r"(\w+)\s*!?=", selector)) <= metrics[metric]
    for kind in re.findall(r'kind!?="(\w+)"', rule["expr"]):
        assert DutyKind(kind)
    for state in re.findall(r'state="(\w+)"', rule["expr"]):
        assert State(state)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))
    assert all(rule["annotations"][each].endswith(".") for each in ("summary", "action"))
    balance = [rule["expr"].count(each) for each in "(){}[]"]
    assert balance[::2] == balance[1::2]


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", [name for name in known() if not name.endswith("_created")])
def test_docs_name_every_metric(name: str) -> None:
    plain = re.sub("_(bucket|count|sum)$", "", name)
    assert f"`{plain}`" in OPERATORS.read_text()
