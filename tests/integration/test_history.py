"""What was read of a chain once is not asked for again, and is read anew where it is in doubt."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oracle.chain.connection import connect
from oracle.chain.history import History
from oracle.chain.kept import Kept, load, save
from oracle.chain.watcher import NEAR
from oracle.errors import NotFound, RpcUnavailable
from oracle.types import ModelId
from tests import nodes
from tests.chains import World
from tests.nodes import Proxy, Refusal

LOGS = "eth_getLogs"
AGE = 400  # blocks since the models were published


@pytest.fixture
def models(anvil: World) -> list[ModelId]:
    """Some that are old, and one that is new."""
    old = [anvil.publish(version=str(number)) for number in range(2)]
    anvil.chain.rpc("anvil_mine", [hex(AGE)])
    return [*old, anvil.publish(version="3")]


@pytest.fixture
def proxy(anvil: World) -> Iterator[Proxy]:
    with nodes.proxy(anvil.chain.url) as found:
        found.limit = ten_blocks
        yield found


def ten_blocks(method: str, parameters: list[Any]) -> None:
    if method == LOGS:
        query = parameters[0]
        if int(query["toBlock"], 16) - int(query["fromBlock"], 16) >= 10:
            raise Refusal("ten blocks at most")


def history(world: World, proxy: Proxy, folder: Path | None) -> History:
    proxy.asked.clear()
    return History(connect(proxy.url), world.deployment, folder)


def ids(history: History) -> list[ModelId]:
    return [each.model_id for each in history.models()]


def test_models_are_read_once_from_old_blocks(
    anvil: World, models: list[ModelId], proxy: Proxy, tmp_path: Path
) -> None:
    expected = anvil.history.models()
    assert history(anvil, proxy, tmp_path).models() == expected
    first = proxy.asked.count(LOGS)

    assert history(anvil, proxy, tmp_path).models() == expected

    assert [each.model_id for each in expected] == models
    assert first > AGE // 10
    assert proxy.asked.count(LOGS) <= NEAR // 10 + 10
    assert len(proxy.asked) <= 40


def test_models_are_read_on_where_the_last_reading_was_broken_off(
    anvil: World, models: list[ModelId], proxy: Proxy, tmp_path: Path
) -> None:
    def breaks_down(method: str, parameters: list[Any]) -> None:
        ten_blocks(method, parameters)
        if proxy.asked.count(LOGS) > 40:
            raise Refusal("too many requests")

    proxy.limit = breaks_down
    with pytest.raises(RpcUnavailable):
        history(anvil, proxy, tmp_path).models()
    proxy.limit = ten_blocks

    assert ids(history(anvil, proxy, tmp_path)) == models
    assert proxy.asked.count(LOGS) < AGE // 10


@pytest.mark.parametrize("spoilt", ["garbled", "of another chain", "of a longer chain"])
def test_models_are_read_anew_where_the_file_is_in_doubt(
    anvil: World, models: list[ModelId], tmp_path: Path, proxy: Proxy, spoilt: str
) -> None:
    history(anvil, proxy, tmp_path).models()
    [file] = tmp_path.iterdir()
    kept = load(file)
    assert kept is not None
    if spoilt == "garbled":
        file.write_text(file.read_text()[:-1])
    elif spoilt == "of another chain":
        save(file, Kept(kept.last, b"\0" * 32, kept.logs[:1]))
    else:
        save(file, Kept(10**9, kept.hash, kept.logs[:1]))

    assert ids(history(anvil, proxy, tmp_path)) == models
    assert load(file) == kept


def test_a_model_is_looked_for_again_where_the_file_lacks_it(
    anvil: World, models: list[ModelId], proxy: Proxy, tmp_path: Path
) -> None:
    """The node had none of its logs when the file was written."""
    proxy.change = lambda method, result: [] if method == LOGS else result
    assert ids(history(anvil, proxy, tmp_path)) == []
    proxy.change = nodes.unchanged

    assert history(anvil, proxy, tmp_path).model(models[0]).model_id == models[0]
    assert ids(history(anvil, proxy, tmp_path)) == models
    with pytest.raises(NotFound):
        history(anvil, proxy, tmp_path).model(ModelId(b"\1" * 32))


def test_a_request_is_looked_for_from_the_newest_block_on(
    anvil: World, models: list[ModelId], proxy: Proxy
) -> None:
    asked = anvil.ask(models[0])
    anvil.chain.rpc("anvil_mine", [hex(20)])

    assert history(anvil, proxy, None).request(asked.request_id).created == asked
    assert proxy.asked.count(LOGS) <= NEAR // 10 + 10
