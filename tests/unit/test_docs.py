"""What docs name is there: tests where they say, files, and the places that links lead to."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md"])
FOLDERS = "unit|integration|e2e|parity|conformance|contracts"
FILE = re.compile(r"`([\w/*]+\.(?:py|t\.sol))`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
TABLE = re.compile(r"^\|.*\| test \|\n\|[-|]+\n((?:\|.*\n)+)", re.M)


@dataclass(frozen=True)
class Named:
    """A test that a page names, as a pattern, and the files in which it may be."""

    name: str
    files: tuple[str, ...]

    def is_there(self) -> bool:
        defined = re.compile(rf"(?:def|function) {self.name}\(")
        paths = [path for file in self.files for path in files_at(file)]
        return any(defined.search(path.read_text()) for path in paths)


def files_at(file: str) -> list[Path]:
    """The files of that path; one without a folder is among the contracts' tests."""
    return [*(ROOT.glob(file) if "/" in file else (ROOT / "tests/contracts").rglob(file))]


def named_in(page: str) -> Iterator[Named]:
    """The tests in the tables of a page. One is in the file that is named behind it, or in one of
    those that the text above the table names; that text also says what names are without."""
    for table in TABLE.finditer(page):
        above = page[page.rindex("\n#", 0, table.start()) : table.start()]
        files = FILE.findall(above)
        prefix = "|".join(["", *re.findall(r"without\s+`(\w+)`", above)])
        for row in table[1].splitlines():
            yield from in_cell(row.rstrip("| ").rpartition(" | ")[2], files, prefix)


def in_cell(cell: str, files: list[str], prefix: str) -> Iterator[Named]:
    words = re.findall(r"`([^`]+)`", cell)
    for at, word in enumerate(words):
        behind = [each for each in words[at:] if FILE.match(f"`{each}`")]
        if not FILE.match(f"`{word}`"):
            name = re.escape(word).replace("…", r"\w+")
            # What Solidity calls testFuzz_ is a test like others.
            pattern = f"(?:{prefix}){name}".replace("test_", "test(?:Fuzz)?_")
            yield Named(pattern, (*files, *behind[:1]))


def pages(what: str) -> list[Any]:
    return [pytest.param(page, id=f"{what}-{page.stem}") for page in PAGES]


@pytest.mark.parametrize("page", pages("files"))
def test_docs_name_files_of_tests_that_exist_by_their_whole_path(page: Path) -> None:
    text = page.read_text()

    files = re.findall(rf"((?:tests/)?(?:{FOLDERS})/[\w/*]+\.(?:py|t\.sol|json))", text)

    files += [file for file in FILE.findall(text) if file.endswith(".t.sol")]
    assert [file for file in files if not files_at(file)] == []


@pytest.mark.parametrize("page", pages("tests"))
def test_docs_name_tests_that_are_where_they_say(page: Path) -> None:
    named = list(named_in(page.read_text()))

    assert [each for each in named if not each.is_there()] == []
    assert named or page.stem != "protocol"


@pytest.mark.parametrize("page", pages("links"))
def test_links_lead_to_pages_and_headings_that_exist(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]

    assert [link for link in links if not leads_somewhere(page, link)] == []


def leads_somewhere(page: Path, link: str) -> bool:
    name, _, heading = link.partition("#")
    to = page.parent / name if name else page
    return to.exists() and (not heading or heading in anchors(to))


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
