"""What the environment says, and what is said of it where it means nothing."""

import pytest

from oracle.config import Settings, size, urls
from oracle.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1), ("1000000", 10**6), ("500MiB", 500 << 20), ("16 GiB", 16 << 30)]
)
def test_size_is_read_in_its_unit(text: str, number: int) -> None:
    assert size(text) == number


@pytest.mark.parametrize("text", ["", "0", "-1", "1GB", "1.5GiB", "GiB", "1" * 20])
def test_size_is_refused_when_it_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no size: write 500MiB or 16GiB"):
        size(text)


def test_settings_read_a_size_as_options_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXACTUM_CACHE_BYTES", "50GiB")
    assert Settings().cache_bytes == 50 << 30


def test_settings_say_which_variable_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXACTUM_CACHE_BYTES", "banana")
    with pytest.raises(ConfigError, match="EXACTUM_CACHE_BYTES: 'banana' is no size"):
        Settings()


@pytest.mark.parametrize(
    "text",
    [
        "http://a/,b,wss://c",
        "http://a/,b wss://c",
        " http://a/,b , wss://c,",
        "http://a/,b\nwss://c",
    ],
)
def test_urls_are_separated_by_commas_or_spaces(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXACTUM_RPC", text)
    assert Settings().rpc == urls(text) == ("http://a/,b", "wss://c")


def test_one_url_is_one() -> None:
    assert (Settings().rpc, urls(""), urls("x")) == (("http://127.0.0.1:8545",), ("",), ("x",))
