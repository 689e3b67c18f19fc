"""What the values of options mean, and what is said of those that mean nothing."""

import click
import pytest

from oracle.cli.options import ACCOUNT, DIM, DURATION, MODEL, MONEY, PERIOD, URI, Place, Seconds


@pytest.mark.parametrize(
    ("text", "wei"),
    [
        ("1ether", 10**18),
        ("0.05 ether", 5 * 10**16),
        ("1eth", 10**18),
        ("20gwei", 20 * 10**9),
        ("0wei", 0),
        ("0.000000000000000001ether", 1),
    ],
)
def test_money_is_read_in_its_unit(text: str, wei: int) -> None:
    assert MONEY.convert(text, None, None) == wei


@pytest.mark.parametrize(
    "text", ["1", "ether", "-1ether", "0.5wei", "1.2.3ether", "1e3wei", "0.1gweis", "nanether", ""]
)
def test_money_is_refused_when_it_is_no_whole_number_of_wei(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no amount"):
        MONEY.convert(text, None, None)


def test_money_is_refused_when_no_contract_takes_so_much() -> None:
    assert MONEY.convert(f"{2**96 - 1}wei", None, None) == 2**96 - 1
    with pytest.raises(click.BadParameter, match="more than the contracts take"):
        MONEY.convert(f"{2**96}wei", None, None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("24h", 86400), ("7d", 604800)]
)
def test_duration_is_read_in_its_unit(text: str, seconds: int) -> None:
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "1w", "-5s", "1.5h", "s"])
def test_duration_is_refused_when_it_is_none(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no duration"):
        DURATION.convert(text, None, None)


def test_duration_is_refused_when_no_contract_takes_so_long() -> None:
    assert DURATION.convert(f"{2**32 - 1}", None, None) == 2**32 - 1
    with pytest.raises(click.BadParameter, match="longer than the contracts take"):
        DURATION.convert("99999d", None, None)


def test_period_is_refused_when_it_is_nothing() -> None:
    assert PERIOD.convert("1s", None, None) == 1
    with pytest.raises(click.BadParameter, match="longer than nothing"):
        PERIOD.convert("0s", None, None)


@pytest.mark.parametrize("text", ["nan", "inf", "0.01", "-1", "x"])
def test_seconds_are_refused_when_nobody_could_wait_for_them(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Seconds(0.05, 3600).convert(text, None, None)


@pytest.mark.parametrize("text", ["https://x/m.onnx", "ipfs://Qm", "IPFS:Qm", "data:,x", ""])
def test_uri_is_taken_when_workers_know_its_protocol(text: str) -> None:
    assert URI.convert(text, None, None) == text


@pytest.mark.parametrize("text", ["not a uri", "gopher://x", "https", "https:"])
def test_uri_is_refused_when_nobody_could_read_it(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no URI"):
        URI.convert(text, None, None)


def test_account_is_checksummed() -> None:
    address = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"

    assert ACCOUNT.convert(address, None, None) == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@pytest.mark.parametrize("text", ["", "0x12", "f39fd6e51aad88f6f4ce6ab8827279cfffb9226g"])
def test_account_is_refused_when_it_is_no_address(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no address"):
        ACCOUNT.convert(text, None, None)


@pytest.mark.parametrize("text", ["", "0x12", "12" * 32, "0x" + "g" * 64])
def test_id_is_refused_when_it_is_not_32_bytes(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no model id"):
        MODEL.convert(text, None, None)


def test_dim_is_a_name_and_a_size() -> None:
    assert DIM.convert("batch=4", None, None) == ("batch", 4)


@pytest.mark.parametrize("text", ["batch", "batch=0", "=4", "batch=-1", "batch=x"])
def test_dim_is_refused_when_it_is_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no dimension"):
        DIM.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:9464", ("::1", 9464)),
    ],
)
def test_a_place_is_our_own_machine_unless_told(text: str, place: tuple[str, int]) -> None:
    assert Place().convert(text, None, None) == place


@pytest.mark.parametrize("text", ["", "host", "host:", "host:65536", "host:-1", "host:٣"])
def test_a_place_is_refused_without_a_port(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no place"):
        Place().convert(text, None, None)
