"""docs/differences.md: what it says the law gives is what it gives, and onnxruntime differs."""

import pytest

from scripts.bench_differences import BEGIN, END, PAGE, Case, cases, law, native, row

ROWS = PAGE.read_text().split(BEGIN)[1].split(END)[0].splitlines()[2:]
KILLS = "the process dies"


def test_page_has_a_row_for_each_case_and_no_others():
    assert [line.split(" | ")[0].strip("| ") for line in ROWS] == [each.what for each in cases()]


@pytest.mark.parametrize(
    ("case", "line"),
    list(zip(cases(), ROWS, strict=True)),
    ids=lambda each: getattr(each, "what", ""),
)
def test_each_difference_is_there_as_the_page_says(case: Case, line: str):
    ours, theirs = law(case), line.strip("| ").split(" | ")[-1].removesuffix(" *")

    assert row(case, ours, theirs) == line
    if theirs != KILLS:
        answer = native(case)
        assert answer != ours
        assert case.by_cpu or answer == theirs
