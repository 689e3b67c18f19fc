"""`exactum check` as an operator runs it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from oracle.chain import keys as signers
from oracle.chain.deployment import save
from oracle.cli import check as command
from oracle.cli.check import host, node
from oracle.cli.check.findings import Check, Finding, Level, examined, ok
from oracle.cli.worker import worker
from tests import nodes
from tests.chains import PEOPLE, World, address
from tests.e2e.desk import PASSWORD, Desk
from tests.nodes import Proxy


@pytest.fixture
def proxy(anvil: World) -> Iterator[Proxy]:
    with nodes.proxy(anvil.chain.url) as found:
        yield found


@pytest.fixture
def desk(anvil: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Of an operator who has staked. Inferences are run in test_check_host.py."""
    quick = [each for each in host.HOST_CHECKS if each.name not in ("inference", "second opinion")]
    monkeypatch.setattr(host, "HOST_CHECKS", quick)
    anvil.stake()
    key = bytes(PEOPLE["operator"].account.key)
    signers.create(tmp_path / "keys/operator.json", PASSWORD, key)
    desk = Desk(tmp_path, anvil.chain.url)
    (tmp_path / "deployments").mkdir()
    save(anvil.deployment, tmp_path / f"deployments/{anvil.chain.id}.json")
    return desk


def levels(said: dict, about: str) -> dict[str, str]:
    found = said["findings"]
    return {each["check"]: each["level"] for each in found if each["about"].startswith(about)}


def test_a_worker_that_is_set_up_is_in_order(desk: Desk) -> None:
    said = desk.json("check", "--key", "operator")

    assert said["failures"] == 0
    assert set(levels(said, "").values()) <= {"ok", "warning"}
    assert levels(said, f"operator {address('operator')}")["stake"] == "ok"
    assert levels(said, "key") == {"keystore": "ok", "keystore's mode": "ok"}


def test_a_person_reads_a_sentence_and_what_to_do(desk: Desk) -> None:
    said = desk.run("check", "--operator", address("dead"), code=1)

    assert "failure  stake: 0 wei are staked" in said.stdout
    assert "→ Stake more: exactum operator stake." in said.stdout
    assert "keystore" not in said.stdout and "Traceback" not in said.stdout + said.stderr


def test_a_key_that_is_not_there_is_a_failure(desk: Desk) -> None:
    said = desk.json("check", "--key", "nobody", code=1)

    assert levels(said, "key")["keystore"] == "failure"
    assert not levels(said, "operator")


def test_a_hot_key_is_looked_at_with_its_operator(desk: Desk) -> None:
    said = desk.json("check", "--key", "operator", "--operator", address("rival"), code=1)

    found = levels(said, f"operator {address('rival')}")
    assert found["signer"] == "failure" and found["coins"] == "ok"


def test_each_node_is_looked_at(anvil: World, desk: Desk, proxy: Proxy) -> None:
    urls = ("--rpc", "http://127.0.0.1:1", "--rpc", anvil.chain.url, "--rpc", proxy.url)
    proxy.change = lambda method, result: [] if method == "eth_getLogs" else result
    said = desk.json("check", "--key", "operator", *urls, code=1)

    assert levels(said, "node 1") == {"answer": "failure"}
    assert levels(said, "node 2")["first logs"] == "ok"
    assert levels(said, "node 3")["first logs"] == "failure"
    assert levels(said, "nodes") == {"agreement": "ok"}
    assert said["failures"] == 2


def test_a_chain_without_a_record_is_told(desk: Desk, proxy: Proxy) -> None:
    proxy.change = lambda method, result: "0x1" if method == "eth_chainId" else result
    said = desk.json("check", "--key", "operator", "--rpc", proxy.url, code=1)

    [record] = [each for each in said["findings"] if each["check"] == "record"]
    assert "The node is of chain 1." in record["found"] and "31337" in record["advice"]
    assert levels(said, "operator") == {"stake": "failure"}


def test_a_record_of_another_chains_contracts_is_told(anvil: World, desk: Desk) -> None:
    other = replace(anvil.deployment, chain_id=5)
    save(other, desk.home / f"deployments/{anvil.chain.id}.json")
    said = desk.json("check", "--key", "operator", code=1)

    [found] = [each for each in said["findings"] if each["check"] == "contracts"]
    assert "is chain 31337, the deployment of chain 5" in found["found"]


def test_no_check_ends_the_others(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> Finding:
        raise ZeroDivisionError("division by zero")

    fine: Check[object] = Check("next", lambda _: ok("It is fine."), "")
    checks = Check("broken", broken, ""), fine
    monkeypatch.setattr(node, "NODE_CHECKS", checks)
    said = desk.json("check", "--key", "operator", code=1)

    [first, second, *_] = said["findings"]
    assert first["level"] == "failure" and "ZeroDivisionError: division by zero" in first["found"]
    assert second["level"] == "ok"


def test_what_a_node_wrote_is_made_visible() -> None:
    def broken(_: object) -> Finding:
        raise ValueError("\x1b[31mred")

    [entry] = examined("node", None, [Check("broken", broken, "")])
    assert entry.finding.level is Level.FAILURE and "\x1b" not in entry.finding.found


def test_the_machine_is_held_against_a_workers_defaults() -> None:
    theirs = {option.name: option.default for option in worker.params}
    ours = {option.name: option.default for option in command.check.params}

    for name in ("processes", "memory_limit"):
        assert ours[name] == theirs[name]
