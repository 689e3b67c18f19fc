"""The numbers of ops and families stand in the law, in Solidity and in the audit: the same ones."""

import re
from pathlib import Path

import pytest

from oracle.audit.rules import elementwise, linear, movement, reduce, trees, window
from oracle.exact.ops import PRIMITIVES
from oracle.exact.program import Family, Op

CONTRACTS = Path(__file__).parents[3] / "contracts"
CODE = re.compile(r"\bconstant (\w+) = (0x[0-9A-Fa-f]{4});")
FAMILY = re.compile(r"if \(family == (0x[0-9A-Fa-f]{2})\) return (\w+);")


def codes(source: str) -> dict[str, int]:
    return {name: int(code, 16) for name, code in CODE.findall(source)}


@pytest.mark.parametrize("family", Family, ids=lambda family: family.name)
def test_contract_of_a_family_knows_its_ops_and_no_others(family):
    source = (CONTRACTS / "ops" / f"{family.name.title()}.sol").read_text()
    assert codes(source) == {op.name: op for op in Op if op.family is family}
    unused = [name for name in codes(source) if len(re.findall(rf"\b{name}\b", source)) < 2]
    assert unused == []


@pytest.mark.parametrize("path", sorted(CONTRACTS.rglob("*.sol")), ids=lambda path: path.stem)
def test_every_code_in_solidity_is_an_op_of_that_name(path):
    known = {op.name: int(op) for op in Op}
    assert codes(path.read_text()).items() <= known.items()


def test_referee_knows_every_family():
    branches = FAMILY.findall((CONTRACTS / "Referee.sol").read_text())
    assert {name: int(code, 16) for code, name in branches} == {f.name: f for f in Family}


def test_audit_knows_every_op_and_no_others():
    tables = [module.OPS for module in (elementwise, linear, movement, reduce, trees, window)]
    known = {code: name for table in tables for code, (name, _) in table.items()}
    assert known == {op: op.name for op in Op}


def test_every_op_has_a_rule():
    assert set(PRIMITIVES) == set(Op)
