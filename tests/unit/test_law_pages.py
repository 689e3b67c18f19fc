"""The pages of the law: each primitive is on its family's page, and the encoding is the code's."""

import re
from pathlib import Path

import pytest

from oracle import merkle
from oracle.exact import program
from oracle.exact.program import Family, Op
from scripts import bench_proofs

DOCS = Path(__file__).parents[2] / "docs"
HEADING = re.compile(r"^## (\w+) \(([0-9A-F]{4})\)$", re.M)
FIELDS = ("Operands", "Attributes", "Type", "Element", "Opens", "Dearest")


def page(family: Family) -> str:
    return (DOCS / "law" / f"{family.name.lower()}.md").read_text()


def field(text: str, name: str) -> bool:
    return f"- **{name}.** " in text


def test_each_family_has_a_page_and_there_are_no_others():
    assert {path.stem for path in DOCS.glob("law/*.md")} == {f.name.lower() for f in Family}


@pytest.mark.parametrize("family", Family, ids=lambda family: family.name)
def test_page_of_a_family_has_its_primitives_by_number_and_no_others(family):
    found = {name: int(code, 16) for name, code in HEADING.findall(page(family))}

    assert found == {op.name: op for op in Op if op.family is family}


@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_page_says_of_each_primitive_all_that_there_is_to_say(op):
    first, *_ = HEADING.split(page(op.family), maxsplit=1)
    _, _, behind = page(op.family).partition(f"## {op.name} (")
    own = behind.split("\n## ")[0]

    assert field(own, "Element")
    # What all of a family have in common is said once, above the first of them.
    in_common = first.replace("\n**", "\n- **")
    assert [name for name in FIELDS if not (field(own, name) or field(in_common, name))] == []


@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_overview_names_each_primitive(op):
    table = (DOCS / "exact.md").read_text().split("## Numbers")[0]
    [row] = [line for line in table.splitlines() if f"law/{op.family.name.lower()}.md" in line]

    assert re.search(rf"\b{op.name}\b", row)


@pytest.mark.parametrize("module", [program, merkle], ids=lambda module: module.__name__)
def test_layout_in_the_docs_is_that_of_the_code(module):
    blocks = re.findall(r"^```\n(.+?)^```$", (DOCS / "exact.md").read_text(), re.M | re.S)
    plain = "\n".join(line.strip() for line in module.__doc__.splitlines())

    assert any("\n".join(line.strip() for line in block.splitlines()) in plain for block in blocks)


@pytest.mark.parametrize("family", Family, ids=lambda family: family.name)
def test_page_says_what_proofs_take_today(family):
    written = page(family).split(bench_proofs.BEGIN)[1].split(bench_proofs.END)[0]

    assert written == bench_proofs.table(family), "./dev bench proofs --write renews it"
