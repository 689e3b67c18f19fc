"""ONNX's own node cases under the law: how many pass, and why the others do not.

--write renews docs/conformance.md, and tests/conformance/passing.txt, the list of those that a
test holds on to.
"""

import argparse
import json
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts.prose import wrapped
from tests.conformance.cases import FAILED, PASSED, REFUSED, Outcome, cases, outcome

ROOT = Path(__file__).resolve().parent.parent
PASSING = ROOT / "tests/conformance/passing.txt"
SUMMARY = ROOT / "docs/conformance.md"


def by_op(outcomes: Iterable[Outcome]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for each in outcomes:
        counts.setdefault(each.op, Counter())[each.result] += 1
    return dict(sorted(counts.items()))


def reasons(outcomes: Iterable[Outcome], op: str) -> str:
    """Says why the refused cases of one op do not pass, the two most frequent reasons first."""
    whys = Counter(each.why for each in outcomes if each.op == op and each.result == REFUSED)
    return "; ".join(f"{why} ({count})" for why, count in whys.most_common(2))


ALIGN_CORNERS = (
    "With align_corners and a scale that leaves a fraction of an element, ONNX's reference counts"
    " with scale · size, onnxruntime (and with it the law) with the length of the output."
)

INVERSE = (
    "The inverse DFT's case has 1.9e-7 where the exact result is 0: noise of the transform that"
    " made it, above the case's own tolerance."
)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Writes the text of the page in docs."""
    counts = by_op(outcomes)
    total = Counter(each.result for each in outcomes)
    covered = [op for op, count in counts.items() if count[PASSED]]
    of_covered = Counter(each.result for each in outcomes if each.op in covered)
    frozen = sum(each.constants for each in outcomes if each.result == PASSED)
    lines = [
        "# Conformance",
        "",
        wrapped(
            "Written by `./dev bench conformance --write`: ONNX's own node cases"
            " (`onnx.backend.test`), each within its own tolerance, integers equal. Cases of"
            " float16, bfloat16 and float64 are given float32 (and integers that the law lacks are"
            " given wider ones), and what they expect is compared in their own dtype (float64"
            " rounded to float32); bfloat16 may differ by two places, since the reference rounds"
            " after each step; ONNX states 1e-3, which is less than one."
        ),
        "",
        wrapped(
            f"Of {len(outcomes)} cases {total[PASSED]} pass, {total[FAILED]} fail and"
            f" {total[REFUSED]} are refused. Of the {sum(of_covered.values())} cases of the"
            f" {len(covered)} ops that the law covers, {of_covered[PASSED]} pass,"
            f" {of_covered[FAILED]} fail and {of_covered[REFUSED]} are refused. In {frozen} that"
            " pass, inputs but the first (shapes, axes, indices, scales) were made constants, as"
            " exporters make them; without that the law refuses shapes that depend on inputs."
        ),
        "",
        "| op | passed | failed | refused | why refused |",
        "|---|--:|--:|--:|---|",
    ]
    for op, count in counts.items():
        why = reasons(outcomes, op).replace("|", "\\|")
        lines.append(f"| {op} | {count[PASSED]} | {count[FAILED]} | {count[REFUSED]} | {why} |")
    lines += ["", "## Failed", ""]
    failed = [each for each in outcomes if each.result == FAILED]
    lines += [f"- {each.case}: {each.why}" for each in failed]
    if any("align_corners" in each.case for each in failed):
        lines += ["", wrapped(ALIGN_CORNERS)]
    if any("dft_inverse" in each.case for each in failed):
        lines += ["", wrapped(INVERSE)]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="./dev bench conformance")
    parser.add_argument("--write", action="store_true", help="renew the files in this repository")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    outcomes = sorted(map(outcome, cases().values()), key=lambda each: each.case)

    table = Table("op", PASSED, FAILED, REFUSED, "why refused", title="ONNX's node cases")
    for op, count in by_op(outcomes).items():
        row = [str(count[result]) for result in (PASSED, FAILED, REFUSED)]
        style = "red" if count[FAILED] else None
        table.add_row(op, *row, reasons(outcomes, op)[:90], style=style)
    console = Console(stderr=arguments.json)
    console.print(table)
    for each in outcomes:
        if each.result == FAILED:
            console.print(f"{each.case}: {each.why}", style="red", markup=False)
    total = {result: 0 for result in (PASSED, FAILED, REFUSED)}
    total |= Counter(each.result for each in outcomes)
    console.print(total)
    if arguments.write:
        SUMMARY.write_text(summary(outcomes))
        passing = [each.case for each in outcomes if each.result == PASSED]
        PASSING.write_text("\n".join(passing) + "\n")
    if arguments.json:
        print(json.dumps(total))
    return 0


if __name__ == "__main__":
    sys.exit(main())
