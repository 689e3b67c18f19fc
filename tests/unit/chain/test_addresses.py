import pytest

from oracle.chain.addresses import checksummed


@pytest.mark.parametrize(
    "written",  # examples of EIP-55
    [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0x52908400098527886E0F7030069857D2E4169EE7",
    ],
)
def test_checksummed_writes_as_eip_55_does(written: str) -> None:
    assert checksummed(bytes.fromhex(written[2:])) == written
