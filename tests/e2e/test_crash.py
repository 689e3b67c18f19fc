"""Kill -9 at any point loses nothing and sends nothing twice.

A worker process is killed at its n-th call, statement or commit and started again, for n after n;
what is on chain in the end must be what a worker that was never killed leaves there.
"""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from oracle.chain.deployment import save
from oracle.chain.events import RequestCreated
from oracle.state.duties import State
from oracle.state.store import Store
from oracle.types import Wei
from tests.chains import PEOPLE, WINDOW, World, address, undone

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("crashing_worker.py")
EVER = 30_000_000  # seconds: clocks are moved often
STRIDE = 29  # every how many points are tried; all of them with -m long

Run = Callable[[str, int], tuple[int, int]]


@dataclass(frozen=True)
class Ending:
    """What is left: on chain, and of duties."""

    statuses: list[tuple[object, bool]]
    account: object
    unstaking: int
    events: Counter[str]
    transactions: int
    duties: Counter[State]
    is_waiting: bool


@pytest.fixture(scope="module")
def run(anvil_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs the worker on a state until it ends: its exit status, and how many points it passed."""
    deployment = tmp_path_factory.mktemp("crash") / "deployment.json"
    save(anvil_world.deployment, deployment)
    key = PEOPLE["operator"].account.key.hex()
    command = [sys.executable, str(SCRIPT), anvil_world.chain.url, str(deployment), key]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None and stdout is not None

    def running(state: str, deadly: int) -> tuple[int, int]:
        stdin.write(f"{state} {deadly}\n")
        stdin.flush()
        status, done = stdout.readline().split()
        return int(status), int(done)

    yield running
    stdin.close()
    stdout.close()
    process.wait()


def scene(world: World, requests: int) -> None:
    """Requests whose consumer's callback fails, and a stake on its way out."""
    world.stake()
    world.send("operator", world.queue.unstake(Wei(5)))
    model_id, contract = world.publish(), world.consumer()
    for _ in range(requests):
        world.ask_by(contract, model_id, timeout=EVER, callback_gas=50_000, window=WINDOW)


def ending(world: World, state: str) -> Ending:
    me = address("operator")
    store = Store(state, world.chain.id, world.deployment.queue, me)
    asked = [event.request_id for event in world.all(RequestCreated)]
    found = Ending(
        statuses=[world.queue.status_of(id_) for id_ in asked],
        account=world.queue.account_of(me),
        unstaking=world.queue.unstaking_of(me).amount,
        events=Counter(type(event).__name__ for event in world.events()),
        transactions=world.chain.nonce(me),
        duties=Counter(row.state for row in store.duties(*State)),
        is_waiting=bool(store.waiting()),
    )
    store.close()
    return found


def crashed(world: World, run: Run, folder: Path, name: str, points: list[int]) -> Ending:
    """How it ends when the worker is killed at each of `points` in turn, and then left alone."""
    state = f"sqlite:///{folder}/{name}.db"
    for point in points:
        assert run(state, point)[0] in (0, -signal.SIGKILL)
    assert run(state, 0)[0] == 0
    return ending(world, state)


def uncrashed(world: World, run: Run, folder: Path) -> tuple[Ending, int]:
    with undone(world.chain):
        state = f"sqlite:///{folder}/whole.db"
        status, points = run(state, 0)
        assert status == 0
        return ending(world, state), points


def sweep(world: World, run: Run, folder: Path, first: int, stride: int) -> int:
    """Tries every `stride`-th point from `first` on; returns how many."""
    expected, points = uncrashed(world, run, folder)
    tried = range(first, points + 1, stride)
    for point in tried:
        with undone(world.chain):
            found = crashed(world, run, folder, f"killed-{point}", [point])
            assert found == expected, f"killed at point {point} of {points}"
    return len(tried)


def test_worker_without_crashes_does_all_once(anvil: World, run: Run, tmp_path: Path) -> None:
    """What the others are compared with."""
    scene(anvil, 1)
    before = anvil.chain.nonce(address("operator"))

    whole, points = uncrashed(anvil, run, tmp_path)

    assert points > 100
    assert whole.transactions == before + 3  # propose, settle, withdraw
    assert (whole.events["ResultProposed"], whole.events["RequestSettled"]) == (1, 1)
    assert whole.events["CallbackFailed"] == whole.events["Withdrawn"] == 1
    assert (whole.duties, whole.is_waiting) == (Counter(), False)


def test_worker_killed_anywhere_leaves_the_chain_as_if_it_had_not_been(
    anvil: World, run: Run, tmp_path: Path
) -> None:
    scene(anvil, 1)

    assert sweep(anvil, run, tmp_path, 1, STRIDE) > 5


@pytest.mark.long
def test_worker_killed_everywhere_leaves_the_chain_as_if_it_had_not_been(
    anvil: World, run: Run, tmp_path: Path
) -> None:
    scene(anvil, 1)

    assert sweep(anvil, run, tmp_path, 1, 1) > 100


@pytest.mark.parametrize("seed", range(4))
def test_worker_killed_again_and_again_answers_each_request_once(
    anvil: World, run: Run, tmp_path: Path, seed: int
) -> None:
    """Batches may be cut otherwise than without crashes; what they hold may not."""
    scene(anvil, 3)
    expected, _ = uncrashed(anvil, run, tmp_path)
    chance = random.Random(seed)

    points = [chance.randrange(20, 90) for _ in range(6)]
    found = crashed(anvil, run, tmp_path, "killed", points)

    assert found.events == expected.events
    assert (found.statuses, found.account) == (expected.statuses, expected.account)
    assert (found.duties, found.is_waiting) == (expected.duties, False)
    assert found.events["ResultProposed"] == 3
