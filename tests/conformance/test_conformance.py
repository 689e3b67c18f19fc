"""What passed of ONNX's node cases goes on passing."""

import re
from pathlib import Path

from oracle.exact.lowering.graph import TABLES
from scripts.bench_conformance import SUMMARY
from tests.conformance.cases import PASSED, cases, outcome

PASSING = Path(__file__).parent / "passing.txt"


def test_cases_that_passed_still_pass():
    outcomes = [outcome(cases()[name]) for name in PASSING.read_text().split()]
    assert [each for each in outcomes if each.result != PASSED] == []


def test_page_calls_no_op_outside_the_law_that_is_lowered():
    """Who adds an op renews the page and the list: ./dev bench conformance --write."""
    outside = set(re.findall(r"the op ([\w.]+) is outside the law", SUMMARY.read_text()))
    assert outside & {op for table in TABLES.values() for op in table} == set()
