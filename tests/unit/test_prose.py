"""What scripts write into pages, and where."""

import pytest

from scripts.prose import renewed

PAGE = "# Page\n\n## One\n\nold\n\n### Part\n\nold\n\n## Two\n\nkept\n"


def test_renewed_replaces_what_stands_below_a_heading_with_all_its_parts() -> None:
    assert renewed(PAGE, "## One", "new") == "# Page\n\n## One\n\nnew\n\n## Two\n\nkept\n"


def test_renewed_replaces_the_last_of_a_page() -> None:
    assert renewed(PAGE, "## Two", "new").endswith("old\n\n## Two\n\nnew\n")


def test_renewed_changes_nothing_where_the_same_is_written_again() -> None:
    once = renewed(PAGE, "## Two", "new")

    assert renewed(once, "## Two", "new") == once


def test_renewed_refuses_a_page_without_the_heading() -> None:
    with pytest.raises(ValueError, match="no heading ## Three"):
        renewed(PAGE, "## Three", "new")
