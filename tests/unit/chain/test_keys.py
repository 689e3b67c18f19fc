"""Keys: opened by their password alone, never overwritten, never shown."""

import json
import stat
import traceback
from pathlib import Path

import pytest
from eth_account import Account

from oracle.chain.keys import Signer, create, from_key, open_keystore
from oracle.errors import KeyfileError

KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
ADDRESS = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "operator.json"


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One encrypted file, as others write them: ours are slow on purpose."""
    path = tmp_path_factory.mktemp("keys") / "key.json"
    path.write_text(
        json.dumps(Account.encrypt(bytes.fromhex(KEY), "right", kdf="pbkdf2", iterations=2))
    )
    return path


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "key.json"
    create(path, "right", KEY)
    return path


@pytest.mark.parametrize("key", [KEY, "0x" + KEY, bytes.fromhex(KEY)])
def test_from_key_takes_hex_and_bytes(key: bytes | str) -> None:
    assert from_key(key).address == ADDRESS


@pytest.mark.parametrize(
    "key", ["", "0x", "secret-x", KEY[:-1], KEY + "00", b"\x01" * 31, "00" * 32]
)
def test_from_key_refuses_what_is_no_key_without_showing_it(key: bytes | str) -> None:
    with pytest.raises(KeyfileError) as refused:
        from_key(key)

    shown = "".join(traceback.format_exception(refused.value))
    assert "no private key" in str(refused.value)
    assert refused.value.__suppress_context__
    assert not key or str(key) not in shown


def test_open_keystore_gives_the_account(keystore: Path) -> None:
    assert open_keystore(keystore, "right").address == ADDRESS


def test_open_keystore_says_that_the_password_is_wrong(keystore: Path) -> None:
    with pytest.raises(KeyfileError, match="the password is wrong"):
        open_keystore(keystore, "wrong")


def test_open_keystore_says_where_there_is_none(path: Path) -> None:
    with pytest.raises(KeyfileError, match="There is no keystore at .*operator.json"):
        open_keystore(path, "right")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no json",
        b"{}",
        b"[]",
        b"3",
        b"null",
        b'"text"',
        b"\xff\xfe\x00",
        b'{"crypto": null, "version": 3}',
        b'{"crypto": {}, "version": 3}',
        b'{"version": 9, "crypto": {}}',
        b'{"version": 3, "crypto": {"kdf": "unheard"}}',
    ],
)
def test_open_keystore_refuses_what_is_no_keystore(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(KeyfileError, match="it is no keystore file"):
        open_keystore(path, "right")


@pytest.mark.parametrize("field", ["ciphertext", "mac", "cipherparams", "kdfparams"])
def test_open_keystore_refuses_a_damaged_one(keystore: Path, path: Path, field: str) -> None:
    content = json.loads(keystore.read_text())
    content["crypto"][field] = "zz"
    path.parent.mkdir()
    path.write_text(json.dumps(content))

    with pytest.raises(KeyfileError, match="cannot be opened"):
        open_keystore(path, "right")


def test_open_keystore_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyfileError, match="cannot be opened"):
        open_keystore(tmp_path, "right")


def test_create_writes_what_open_keystore_reads(created: Path) -> None:
    assert open_keystore(created, "right").address == ADDRESS


def test_create_makes_a_file_for_its_owner_alone(created: Path) -> None:
    assert stat.S_IMODE(created.stat().st_mode) == 0o600


def test_create_encrypts_the_key(created: Path) -> None:
    assert KEY not in created.read_text()


def test_create_never_overwrites(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious")

    with pytest.raises(KeyfileError, match="exists already"):
        create(path, "password")

    assert path.read_text() == "precious"


def test_create_refuses_an_empty_password(path: Path) -> None:
    with pytest.raises(KeyfileError, match="empty password"):
        create(path, "")

    assert not path.exists()


def test_create_leaves_no_file_when_the_key_is_none(path: Path) -> None:
    with pytest.raises(KeyfileError):
        create(path, "password", "nonsense")

    assert not path.exists()


def test_signer_shows_its_address_and_never_its_key() -> None:
    signer = from_key(KEY)

    for shown in (repr(signer), str(signer), f"{signer!r}", repr([signer])):
        assert ADDRESS in shown
        assert KEY not in shown and str(int(KEY, 16)) not in shown


def test_sign_gives_a_transaction_of_the_account_and_its_hash() -> None:
    transaction = {
        **{"chainId": 1, "nonce": 0, "gas": 21000, "value": 1, "to": ADDRESS},
        **{"maxFeePerGas": 1, "maxPriorityFeePerGas": 1},
    }
    raw, hash_ = Signer(Account.from_key(KEY)).sign(transaction)

    assert Account.recover_transaction(raw) == ADDRESS
    assert len(hash_) == 32
