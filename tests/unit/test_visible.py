import pytest

from oracle.visible import MOST, hex_id, visible, visible_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("iris 1", "iris 1"),
        ("café 模型 🌸", "café 模型 🌸"),
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),  # the other way to begin a control sequence
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202eexe.txt\u2066\u200b", "\\u202eexe.txt\\u2066\\u200b"),
        ("\u2028\u2029\ufeff\U000e0041", "\\u2028\\u2029\\ufeff\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("", ""),
    ],
)
def test_visible_shows_what_cannot_be_seen(text, shown):
    assert visible(text) == shown


def test_visible_leaves_no_letter_of_any_plane_that_is_not_printable():
    shown = "".join(visible(chr(code)) for code in range(0x110000))
    assert all(letter.isprintable() or letter.isspace() for letter in shown)
    assert not set(shown) & set("\n\r\t\v\f\x1b\x85\u2028\u2029")


def test_visible_bounds_what_is_shown():
    assert visible("a" * 10 * MOST) == "a" * MOST + "…"
    assert len(visible("\x1b" * 10 * MOST)) == 4 * MOST + 1


def test_visible_lines_keeps_lines_alone():
    assert visible_lines("one\n\x1b[2Jtwo\r\n") == "one\n\\x1b[2Jtwo\\r\n"


def test_hex_id_is_what_commands_take() -> None:
    assert hex_id(b"\x0f\xf0") == "0x0ff0"
