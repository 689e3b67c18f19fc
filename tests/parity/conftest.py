"""One anvil for all of parity, with room for whole arrays in one call."""

import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from oracle.chain import devnet
from tests.chains import require_anvil
from tests.parity.evaluator import Evaluator
from tests.parity.evm import GAS_LIMIT, Contract, load
from tests.parity.referee import Referee

Load = Callable[[str], Contract]


@pytest.fixture(scope="session")
def evm() -> Iterator[Load]:
    """Gives a contract of tests/contracts/parity by its name."""
    require_anvil()
    with devnet.anvil("--gas-limit", str(GAS_LIMIT), "--memory-limit", str(1 << 30)) as url:
        yield lambda name: load(url, name)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Of its own for each test, and the same in each run."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.fixture(scope="session")
def referee() -> Iterator[Referee]:
    require_anvil()
    with devnet.anvil("--gas-limit", str(GAS_LIMIT), "--no-request-size-limit") as url:
        yield Referee(url)


@pytest.fixture(scope="session")
def evaluator() -> Iterator[Evaluator]:
    require_anvil()
    limits = "--no-request-size-limit", "--memory-limit", str(1 << 32)
    with devnet.anvil("--gas-limit", str(GAS_LIMIT), *limits) as url:
        yield Evaluator(url)
