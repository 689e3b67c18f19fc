"""What passed of ONNX's node cases goes on passing."""

from pathlib import Path

from tests.conformance.cases import PASSED, cases, outcome

PASSING = Path(__file__).parent / "passing.txt"


def test_cases_that_passed_still_pass():
    outcomes = [outcome(cases()[name]) for name in PASSING.read_text().split()]
    assert [each for each in outcomes if each.result != PASSED] == []
