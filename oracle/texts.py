"""Strings at a model's inputs: each is read as its place in the list of those that it knows."""

from collections.abc import Iterable, Sequence

from oracle.errors import PayloadError
from oracle.visible import visible

SHOWN = 5  # strings of a list in a sentence
LONGEST = 60  # letters of one there


def places(texts: Iterable[str], known: Sequence[str], tensor: str) -> list[int]:
    """Gives the place of each string. Raises PayloadError for one that the list lacks. The law has
    a meaning for such a one too, but a person may have misspelt it, so who means it writes it as
    a number: the place behind the list's end."""
    if not known:
        raise PayloadError(f"{tensor!r} takes numbers, and no strings.")
    place_of = {text: place for place, text in enumerate(known)}
    found = [(text, place_of.get(text)) for text in texts]
    for text, place in found:
        if place is None:
            raise PayloadError(
                f"{_short(text)} of {tensor!r} is none of the {len(known)} strings that the model"
                f" knows at its inputs ({listed(known)}); the number {len(known)} in its place"
                " stands for one that it does not know."
            )
    return [place for _, place in found if place is not None]


def listed(known: Sequence[str | int]) -> str:
    """Lists a few of a list."""
    more = ", …" if len(known) > SHOWN else ""
    return ", ".join(map(_short, known[:SHOWN])) + more


def _short(text: str | int) -> str:
    """Writes a string as Python does, the beginning of it where a stranger wrote many letters."""
    return visible(repr(text), LONGEST)
