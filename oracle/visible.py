"""Makes what a stranger wrote fit to be shown: nothing in it moves a cursor, hides or turns it."""

import unicodedata

MOST = 2000  # letters that are shown of one text

# Control and format characters (bidirectional overrides among them), surrogates, what has no
# meaning yet, and the separators that begin a line.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str, most: int = MOST) -> str:
    """`text` on one line: each character that cannot be seen as its escape, and no more than `most`
    letters."""
    shown = text if len(text) <= most else text[:most] + "…"
    return shown if shown.isprintable() else "".join(map(_letter, shown))


def visible_lines(text: str, most: int = 100 * MOST) -> str:
    """`text` with its lines, each made visible: for what is ours but for some words in it."""
    return "\n".join(visible(line) for line in text[:most].split("\n"))


def _letter(letter: str) -> str:
    if letter == " " or unicodedata.category(letter) not in _HIDDEN:
        return letter
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")


def hex_id(data: bytes) -> str:
    """Writes an id as commands take it."""
    return "0x" + data.hex()
