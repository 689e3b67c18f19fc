"""Local chains to try things on, anvil or the embedded one, where ether costs nothing."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oracle.chain.connection import connect
from oracle.chain.embedded import EmbeddedChain
from oracle.chain.node import Chain
from oracle.chain.transactions import wait
from oracle.errors import ChainError, ConfigError, RpcUnavailable
from oracle.types import Address, Wei

# Two blocks a slot: "finalized" is four blocks behind the head instead of 64.
_ARGUMENTS = ("--hardfork", "prague", "--slots-in-an-epoch", "2", "--silent")
_PACKAGE = "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"


def find_anvil() -> str | None:
    """Finds anvil: $ANVIL_BIN, else npm's in this folder or the repository, else that on PATH."""
    chosen = os.environ.get("ANVIL_BIN")
    places = [Path.cwd() / _PACKAGE, Path(__file__).parents[2] / _PACKAGE]
    packaged = next((str(place) for place in places if place.exists()), None)
    return chosen or packaged or shutil.which("anvil")


@contextmanager
def anvil(*arguments: str) -> Iterator[str]:
    """Starts an anvil that lives as long as the context, and yields its RPC URL."""
    binary = find_anvil()
    if binary is None:
        raise ConfigError("There is no anvil: run npm ci, or set ANVIL_BIN.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([binary, "--port", str(port), *_ARGUMENTS, *arguments])
    url = f"http://127.0.0.1:{port}"
    try:
        _await(url, process)
        yield url
    finally:
        process.terminate()
        process.wait()


def _await(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            connect(url)
            return
        except RpcUnavailable:
            if process.poll() is not None or time.monotonic() > deadline:
                raise ChainError(f"anvil did not start (exit code {process.poll()}).") from None
            time.sleep(0.05)


def fund(chain: Chain, account: Address, amount: Wei) -> None:
    """Sends `amount` from an account whose key the node itself holds, which only a devnet does."""
    with chain.guarded():
        holders = chain.web3.eth.accounts
        if not holders:
            raise ConfigError(
                f"{chain.name} holds no funded accounts: this works on a devnet only."
            )
        sent = chain.web3.eth.send_transaction(
            {"from": holders[0], "to": account, "value": amount}  # type: ignore[typeddict-item]
        )
    wait(chain, bytes(sent))


def skip_time(chain: Chain, seconds: int) -> None:
    """Moves a devnet's clock forward and mines a block there."""
    if isinstance(chain, EmbeddedChain):
        chain.skip_time(seconds)
        return
    for method, parameters in (("evm_increaseTime", [seconds]), ("evm_mine", [])):
        chain.rpc(method, parameters)
