"""The presets pay for convictions, leave time for them, and are what docs and wheel hold."""

import subprocess
import sys
import tomllib
import zipfile
from dataclasses import fields
from pathlib import Path

import pytest

from oracle.chain.presets import Parameters, presets
from oracle.challenger.policy import Policy, least_bond, objection
from oracle.types import Wei
from tests import chains

ROOT = Path(__file__).parents[3]
PROTOCOL = ROOT / "docs/protocol.md"
ROWS = {
    "min_bond": "`MIN_BOND`: the least at stake",
    "min_window": "`MIN_WINDOW`: the shortest window W",
    "max_window": "`MAX_WINDOW`: the longest",
    "withdrawal_delay": "`WITHDRAWAL_DELAY`: from unstake to pay-out",
    "reveal_period": "`REVEAL_PERIOD` R: for an answer",
    "reaction_period": "`REACTION_PERIOD` E: for the next step",
    "extension_limit": "`EXTENSION_LIMIT` H: beyond the first window",
    "reveal_tip": "`REVEAL_TIP`: a gas, above twice the base fee",
}
EACH = pytest.mark.parametrize("name", sorted(presets()))


@EACH
def test_min_bond_pays_for_a_conviction_at_the_usual_gas_price(name: str) -> None:
    preset = presets()[name]

    assert preset.parameters.min_bond >= least_bond(preset.gas_price)


@pytest.mark.parametrize("gas_price", [1, 7, 50_000_000, 3 * 10**9])
def test_least_bond_is_where_the_challenger_begins_to_pursue(gas_price: int) -> None:
    policy = Policy(chains.address("challenger"))
    least = least_bond(Wei(gas_price))

    def objects(bond: int) -> bool:
        return objection(chains.request(bond=Wei(bond)), policy, Wei(gas_price)) is not None

    assert (objects(least), objects(least - 1)) == (False, True)


@EACH
def test_reveal_tip_pays_where_the_base_fee_is_nothing(name: str) -> None:
    assert presets()[name].parameters.reveal_tip > 0


@EACH
def test_times_are_possible(name: str) -> None:
    by = presets()[name].parameters

    assert by.reveal_period + by.reaction_period <= by.extension_limit
    assert 0 < by.min_window <= by.max_window


@EACH
def test_a_demand_in_the_last_second_of_each_round_leaves_time_for_five(name: str) -> None:
    """Five rounds narrow a program of 16,000 values down to one leaf of two million."""
    by = presets()[name].parameters

    assert by.min_window + by.extension_limit >= 5 * (by.reveal_period + 1)


def test_presets_are_three_kinds_of_chain() -> None:
    assert sorted(presets()) == ["devnet", "l1", "l2"]


def test_protocol_prints_the_presets() -> None:
    """In the files' own words."""
    files = [
        tomllib.loads((ROOT / f"deployments/presets/{name}.toml").read_text())
        for name in ("l2", "l1", "devnet")
    ]
    rows = [(text, [file["parameters"][field] for file in files]) for field, text in ROWS.items()]
    rows.append(("usual gas price", [file["gas_price"] for file in files]))
    table = "\n".join(f"| {text} | {' | '.join(values)} |" for text, values in rows)

    assert f"| | l2 | l1 | devnet |\n|---|--:|--:|--:|\n{table}\n\n" in PROTOCOL.read_text(), table


def test_every_parameter_is_printed() -> None:
    assert {field.name for field in fields(Parameters)} - ROWS.keys() == {"disputes"}


def test_wheel_holds_the_presets(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)

    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()

    assert {f"oracle/chain/presets/{name}.toml" for name in presets()} <= set(names)
