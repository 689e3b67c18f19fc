"""Evidence before a node: whether it has the logs that a bundle names."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oracle.audit.bundle import Bundle, pack, unpack
from oracle.audit.verification import Outcome, look_up, verify
from oracle.chain import preimage
from oracle.cli.evidence import gather
from oracle.cli.session import Session
from oracle.cli.sweep import Limits
from oracle.config import Settings
from oracle.errors import EvidenceError, RpcUnavailable
from oracle.types import Assurance
from tests import chains
from tests.bundles import Here
from tests.chains import World, address
from tests.networks import network

LIMITS = Limits(processes=1, seconds=900, memory=4 << 30)


def exported(world: World, folder: Path, lies: bool = True, **changes: Any) -> Bundle:
    """What an auditor writes about an answer."""
    world.stake()
    model_id = world.publish(**(network().terms | changes))
    payload = network().payload()
    asked = world.ask(model_id, payload=payload)
    output = network().lie(payload) if lies else network().output(payload)
    world.propose(asked, output=output)
    session = Session(Settings(), world.chain, world.deployment)
    found, model = world.history.request(asked.request_id), world.history.model(model_id)
    _, claim = found.claim()
    path = network().write(folder)
    return gather(session, found, claim, model, path, LIMITS, with_file=False)


def outcomes(bundle: Bundle, world: World) -> list[Outcome]:
    return [check.outcome for check in look_up(bundle, world.chain)]


def test_gather_writes_what_holds_here_and_before_the_node(world: World, tmp_path: Path) -> None:
    bundle = exported(world, tmp_path)

    assert unpack(pack(bundle)) == bundle
    report = verify(bundle, network().write(tmp_path), Here())
    assert report.is_wrong, report.checks
    assert outcomes(bundle, world) == [Outcome.OK] * 3


def test_gather_writes_about_a_proposal_that_was_slashed(embedded: World, tmp_path: Path) -> None:
    bundle = exported(embedded, tmp_path)
    asked = embedded.history.request(bundle.request_id).created
    _, claim = embedded.history.request(bundle.request_id).claim()
    embedded.slash(asked, claim)

    found = embedded.history.request(bundle.request_id)

    assert found.proposed is None and found.claim() == (1, claim)


def test_gather_refuses_a_vanilla_model(embedded: World, tmp_path: Path) -> None:
    vanilla: dict[str, Any] = {"assurance": Assurance.VANILLA, "program_root": bytes(32)}

    with pytest.raises(EvidenceError, match="VANILLA"):
        exported(embedded, tmp_path, **vanilla)


def test_look_up_tells_what_was_not_proposed(embedded: World, tmp_path: Path) -> None:
    bundle = exported(embedded, tmp_path)
    proposal = replace(bundle.proposal, operator=address("rival"))
    reference = replace(bundle.logs.result_proposed, index=7)
    moved = replace(bundle, logs=replace(bundle.logs, result_proposed=reference))

    for changed in (
        replace(bundle, output=network().output(bundle.payload)),
        replace(bundle, proposal=proposal),
        moved,
    ):
        assert outcomes(changed, embedded) == [Outcome.OK, Outcome.OK, Outcome.FAILED]


def test_look_up_tells_another_chain(embedded: World, tmp_path: Path) -> None:
    bundle = replace(exported(embedded, tmp_path), chain_id=1)

    assert outcomes(bundle, embedded) == [Outcome.FAILED] * 3


def test_look_up_is_open_where_the_node_is_down(embedded: World, tmp_path: Path) -> None:
    class Down:
        def logs(self, _addresses, _first, _last, _subject=None):
            raise RpcUnavailable("the node does not answer")

    bundle = exported(embedded, tmp_path)
    checks = look_up(bundle, chains.variant(embedded.chain, Down))

    assert [check.outcome for check in checks] == [Outcome.UNCHECKED] * 3


def test_of_log_keeps_names_that_are_no_text(embedded: World) -> None:
    """Whoever could not hash such a model again could show nothing of it."""
    published = embedded.publish_as(b"\xff\xfe\0")
    where = published.where
    [log] = embedded.chain.logs((embedded.deployment.registry,), where.block, where.block)

    assert preimage.model_id(preimage.of_log(log)) == published.model_id
    assert preimage.model_of(preimage.of_log(log)) == published.model
