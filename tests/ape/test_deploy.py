"""Run by `./dev ape`, under Ape's own pytest."""

import json
from pathlib import Path
from typing import Any

from ape import project

from scripts.ape_deploy import deploy

ARTIFACTS = Path(__file__).resolve().parents[2] / "oracle/chain/artifacts"


def test_ape_compiles_the_code_that_is_committed() -> None:
    for name in ("ModelRegistry", "InferenceQueue"):
        committed = json.loads((ARTIFACTS / f"{name}.json").read_text())

        assert project.contracts[name].deployment_bytecode.bytecode == committed["bytecode"]


def test_deploy_gives_a_queue_that_knows_its_registry(accounts: Any) -> None:
    registry, queue = deploy(accounts[0])

    assert queue.REGISTRY() == registry.address
