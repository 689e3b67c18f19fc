"""Refuses pages on which a line of prose is too long to be read.

Tables and code are as wide as what they hold.
"""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH, LIMIT = 100, 120


def wrapped(text: str) -> str:
    """Wraps a paragraph that a script writes."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def renewed(page: str, heading: str, text: str) -> str:
    """Puts `text` in place of what stands on the page below `heading`, until the next one of its
    kind. Raises ValueError where the page has no such heading."""
    before, found, after = page.partition(f"\n{heading}\n")
    if not found:
        raise ValueError(f"no heading {heading}")
    _, next_, rest = after.partition("\n## ")
    return f"{before}{found}\n{text}\n{next_}{rest}"


def too_long(page: str) -> Iterator[int]:
    """Yields the numbers of the lines of prose that are too long to be read."""
    is_code = False
    for number, line in enumerate(page.splitlines(), start=1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif len(line) > LIMIT and not is_code and not line.startswith("|"):
            yield number


def main() -> int:
    pages = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("oracle/**/*.md")])
    found = [(page, number) for page in pages for number in too_long(page.read_text())]
    for page, number in found:
        print(f"{page.relative_to(ROOT)}:{number}: more than {LIMIT} characters")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
