"""What `exactum check` finds out about keys, coins, stake and state."""

from pathlib import Path

import pytest

from oracle.chain import devnet
from oracle.chain import keys as signers
from oracle.chain.node import Call
from oracle.chain.view import Change, Header
from oracle.cli import daemon
from oracle.cli.check import account
from oracle.cli.check.account import Keystore, Operator
from oracle.cli.check.findings import Finding, Level
from oracle.cli.session import Session
from oracle.config import Settings
from oracle.state.store import Store
from oracle.types import Address, Wei
from tests.chains import ETHER, PEOPLE, World, address

COLD, HOT, DEAD = address("operator"), address("second"), address("dead")


@pytest.fixture
def session(embedded: World, tmp_path: Path) -> Session:
    return Session(Settings(home=tmp_path), embedded.chain, embedded.deployment)


def operator(session: Session, sender: Address = COLD, state: str | None = None) -> Operator:
    return Operator(session, COLD, sender, state)


def told(found: Finding, level: str, said: str) -> None:
    assert found.level == level and said in found.found, found
    assert (found.level is Level.OK) == (not found.advice)


def keystore(folder: Path, password: str | None = "open") -> Keystore:
    path = folder / "operator.json"
    signers.create(path, "open", bytes(PEOPLE["operator"].account.key))
    return Keystore(path, password)


def test_a_worker_that_is_set_up_has_nothing_amiss(embedded: World, session: Session) -> None:
    embedded.stake()
    found = list(account.entries(operator(session)))

    assert {entry.finding.level for entry in found} == {Level.OK}, found


def test_a_keystore_opens_with_its_password(tmp_path: Path) -> None:
    told(account.keystore(keystore(tmp_path)), "ok", f"opens: {COLD}")


def test_a_keystore_stays_shut_without_a_password(tmp_path: Path) -> None:
    found = account.keystore(keystore(tmp_path, None))

    told(found, "ok", "without a password it stays shut")


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "There is no keystore"), ("[", "no keystore file"), ("", "no keystore file")],
)
def test_a_keystore_that_is_none_is_told(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "operator.json"
    if content is not None:
        path.write_text(content)
    [first, *_] = account.keystore_entries(Keystore(path, None))

    told(first.finding, "failure", said)


def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    [first, *_] = account.keystore_entries(keystore(tmp_path, "wrong"))

    told(first.finding, "failure", "the password is wrong")


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
def test_a_keystore_that_others_may_read_is_told(tmp_path: Path, mode: int) -> None:
    key = keystore(tmp_path)
    told(account.keystore_mode(key), "ok", "its owner's alone")

    key.path.chmod(mode)
    found = account.keystore_mode(key)
    told(found, "warning", f"mode {mode:o}")
    assert found.advice == f"chmod 600 {key.path}"


def test_an_account_without_coins_is_told(session: Session) -> None:
    told(account.coins(operator(session, DEAD)), "failure", f"{DEAD} has 0 wei")


def test_an_account_with_few_coins_is_told(embedded: World, session: Session) -> None:
    few = 2 * account.DUTY_GAS * embedded.chain.fees().maximum
    embedded.send("stranger", Call(DEAD, b"", Wei(few)))

    told(account.coins(operator(session, DEAD)), "warning", "20 of them more than it has")


def test_what_is_missing_would_do(embedded: World, session: Session) -> None:
    missing = account.coins(operator(session, DEAD)).advice.split()[2].rstrip(":")
    amount = int(float(missing.removesuffix("ether")) * ETHER * 1.0001)
    embedded.send("stranger", Call(DEAD, b"", Wei(amount)))

    assert account.coins(operator(session, DEAD)).level == "ok"


def test_an_operator_without_stake_is_told(session: Session) -> None:
    told(account.stake(operator(session)), "failure", "0 wei are staked")


def test_a_stake_that_is_all_locked_is_told(embedded: World, session: Session) -> None:
    embedded.stake(amount=ETHER // 100)
    embedded.propose(embedded.ask(embedded.publish()))

    told(account.stake(operator(session)), "warning", "0.01 ether locked")


def test_a_slash_is_told(embedded: World, session: Session) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    embedded.slash(asked, embedded.propose(asked))

    told(account.stake(operator(session)), "ok", "it was slashed 1 times")


def test_a_key_that_is_not_named_is_told(session: Session) -> None:
    [found] = [
        entry.finding
        for entry in account.entries(operator(session, HOT))
        if entry.check == "signer"
    ]

    told(found, "failure", f"{HOT} is not the signer of operator {COLD}")


def test_a_key_that_is_named_has_room_or_not(embedded: World, session: Session) -> None:
    embedded.send("operator", embedded.queue.set_signer(HOT, Wei(ETHER)))
    told(account.mandate(operator(session, HOT)), "ok", "up to 1 ether locked")
    told(account.mandate(operator(session)), "ok", f"so may {HOT}, up to 1 ether")

    embedded.send("operator", embedded.queue.set_signer(HOT, Wei(0)))
    told(account.mandate(operator(session, HOT)), "warning", "the least bond finds no room")


def test_what_is_on_its_way_out_is_told(embedded: World, session: Session) -> None:
    embedded.stake()
    told(account.withdrawals(operator(session)), "ok", "Nothing is on its way out")

    embedded.send("operator", embedded.queue.unstake(Wei(ETHER // 2)))
    told(account.withdrawals(operator(session)), "ok", "0.5 ether are on their way out")

    devnet.skip_time(embedded.chain, 7200)
    told(account.withdrawals(operator(session)), "warning", "0.5 ether were unstaked")


def stored(session: Session, sender: Address = COLD, of: Address = COLD) -> Store:
    """A state where a worker keeps it."""
    daemon.state_folder(session).mkdir()
    url = daemon.state_url(session, COLD, daemon.key_suffix(COLD, sender))
    there = session.deployment
    return Store(url, there.chain_id, there.queue, of, sender)


def read_to(store: Store, number: int) -> None:
    header = Header(number, b"\x01" * 32, 0)
    store.apply(Change(number, number, [header], [], final=0, settled=0), lambda _: ())


@pytest.mark.parametrize("sender", [COLD, HOT])
def test_a_state_says_how_far_it_has_read(session: Session, sender: Address) -> None:
    store = stored(session, sender)
    told(account.state(operator(session, sender)), "ok", "nothing was read into it yet")

    read_to(store, 3)
    store.close()
    behind = session.chain.block("latest").number - 3
    told(account.state(operator(session, sender)), "ok", f"block 3, {behind} behind the last")


def test_a_state_far_behind_is_told(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "LAG", 2)
    store = stored(session)
    read_to(store, 3)
    store.close()

    told(account.state(operator(session)), "warning", "behind the last")


def test_a_state_ahead_of_the_chain_is_told(session: Session) -> None:
    store = stored(session)
    read_to(store, 1 << 30)
    store.close()

    told(account.state(operator(session)), "warning", f"read to block {1 << 30}")


def state_of(session: Session, state: str | None = None) -> Finding:
    there = operator(session, state=state)
    [found] = [each.finding for each in account.entries(there) if each.check == "state"]
    return found


def test_another_accounts_state_is_told(session: Session) -> None:
    stored(session, of=HOT).close()

    told(state_of(session), "failure", f"This state belongs to the worker of account {HOT}")


def test_a_state_that_does_not_open_is_told(session: Session, tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    file.write_bytes(b"no database at all" * 100)

    told(state_of(session, f"sqlite:///{file}"), "failure", "cannot be opened")
    told(state_of(session, "no url"), "failure", "--state is no URL")


def test_a_look_makes_no_state(session: Session, tmp_path: Path) -> None:
    told(account.state(operator(session)), "ok", "the first worker makes it")
    told(account.state_mode(operator(session)), "ok", "yet")

    assert not list(tmp_path.rglob("*.db"))


def test_a_state_that_others_may_read_is_told(session: Session) -> None:
    store = stored(session)
    told(account.state_mode(operator(session)), "ok", "their owner's alone")

    [file] = daemon.state_folder(session).glob("*.db")
    file.chmod(0o640)
    found = {each.check: each.finding for each in account.entries(operator(session))}
    told(found["state's mode"], "warning", f"{file} (mode 640)")
    store.close()


def test_what_is_no_file_has_no_mode(session: Session) -> None:
    there = operator(session, state="postgresql+psycopg://nobody@localhost/none")

    told(account.state_mode(there), "ok", "The state is no file")
