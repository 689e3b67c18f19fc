"""The committed ABI and code are what the contracts compile to, byte for byte."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.artifacts import (
    ARTIFACTS,
    MAX_CODE,
    NPM_SOLC,
    ROOT,
    closure,
    compiler,
    differences,
    names_by_id,
    oversized,
    without_ids,
)


def test_check_accepts_the_committed_artifacts() -> None:
    if not (ROOT / "node_modules/solc").exists() and not os.environ.get("REQUIRE_ANVIL"):
        pytest.skip("the compiler is not installed: run npm ci")

    command = [sys.executable, "scripts/artifacts.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert (done.stderr, done.returncode) == ("", 0)


def test_differences_names_changed_missing_and_superfluous_files(tmp_path: Path) -> None:
    (tmp_path / "Same.json").write_text("{}\n")
    (tmp_path / "Changed.json").write_text("{}")
    (tmp_path / "Superfluous.json").write_text("{}\n")
    fresh = {"Same.json": "{}\n", "Changed.json": "{}\n", "Missing.json": "{}\n"}

    assert differences(fresh, tmp_path) == ["Changed.json", "Missing.json", "Superfluous.json"]


def test_compiler_is_py_solc_x_s_own_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOLC", raising=False)
    own = tmp_path / "solc-v0.8.30"
    own.symlink_to(NPM_SOLC)

    assert compiler(tmp_path) == own


def test_compiler_is_the_one_that_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLC", "/usr/bin/solc")

    assert compiler() == Path("/usr/bin/solc")


@pytest.mark.parametrize(("length", "expected"), [(MAX_CODE, 0), (MAX_CODE + 1, 1)])
def test_oversized_names_a_contract_beyond_the_limit(length: int, expected: int) -> None:
    text = json.dumps({"deployedBytecode": "0x" + "00" * length})

    assert (
        len(oversized({"Large.json": text, "Small.json": '{"deployedBytecode": "0x"}'})) == expected
    )


def test_no_contract_is_oversized() -> None:
    assert oversized({path.name: path.read_text() for path in ARTIFACTS.glob("*.json")}) == []


def test_closure_names_sources_from_the_root_of_the_repository() -> None:
    names = closure("contracts/InferenceQueue.sol")

    assert "contracts/interfaces/IInferenceQueue.sol" in names
    assert all(name.startswith("contracts/") for name in names)


def test_without_ids_keeps_the_length_of_an_array() -> None:
    layout = {"astId": 7, "type": "t_array(t_struct(Account)12_storage)50_storage"}

    assert without_ids(layout) == {"type": "t_array(t_struct(Account)_storage)50_storage"}


def test_names_by_id_finds_immutables_alone() -> None:
    variable = {"id": 3, "name": "REGISTRY", "mutability": "immutable"}
    other = {"id": 4, "name": "_states", "mutability": "mutable"}

    assert list(names_by_id([{"nodes": [variable, other]}])) == [(3, "REGISTRY")]
