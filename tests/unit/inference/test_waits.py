"""Which files a round waits for, and which are kept."""

from dataclasses import dataclass, field
from typing import Any

from oracle.inference.waits import Waits
from oracle.types import FileName
from tests import chains

HERE, MISSING = (
    chains.model(chains.address("publisher"), program_root=bytes([number]) * 32)
    for number in (1, 2)
)


@dataclass
class Files:
    """One file is here, and no other ever comes."""

    asked: list[tuple[object, bool]] = field(default_factory=list)
    kept: set[FileName] | None = None

    def is_here(self, *_: object) -> bool:
        raise AssertionError

    def ready(self, model: Any, uris: Any, is_urgent: bool = False) -> bool:
        self.asked.append((uris(), is_urgent))
        return bool(model == HERE)

    def keep(self, files: Any) -> None:
        self.kept = files


def test_has_file_remembers_what_a_round_waits_for() -> None:
    waits = Waits(Files())  # type: ignore[arg-type]
    assert waits.has_file(HERE, list) and waits.is_empty
    assert not waits.has_file(MISSING, list) and not waits.is_empty

    waits.start_round()

    assert waits.is_empty


def test_has_file_says_what_is_urgent_and_where_the_file_may_be() -> None:
    files = Files()
    Waits(files).has_file(MISSING, lambda: ["ipfs://x"], is_urgent=True)  # type: ignore[arg-type]
    assert files.asked == [(["ipfs://x"], True)]


def test_keep_names_the_files_of_the_models_that_are_known() -> None:
    files = Files()
    Waits(files).keep([HERE, None, HERE])  # type: ignore[arg-type]
    assert files.kept == {HERE.file}
