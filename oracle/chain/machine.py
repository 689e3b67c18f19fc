"""What the virtual machine of a chain can do, asked of it before anything is sent.

Contracts that use an instruction which the chain does not know can be deployed: a call that comes
to it fails, and money stays where it was, for ever.
"""

from oracle.chain.node import Call, Chain
from oracle.errors import ChainError, WrongChain

_ANSWER = (42).to_bytes(32, "big")
# Each returns `_ANSWER` from a creation. The first has nothing that any chain could lack.
_PLAIN = bytes.fromhex("602a600052" + "60206000f3")  # mstore(0, 42), return(0, 32)
_PROBES = {
    "PUSH0 (Shanghai)": bytes.fromhex("602a5f52" + "60205ff3"),  # with zeros by PUSH0
    "MCOPY (Cancun)": bytes.fromhex("602a600052" + "602060006020" + "5e" + "60206020f3"),
}


def require_machine(chain: Chain) -> None:
    """Raises WrongChain where our contracts use what the chain does not know. A node that takes no
    call which creates tells nothing."""
    missing = lacking(chain)
    if missing:
        raise WrongChain(
            f"{chain.name} does not know {' and '.join(missing)}, which the contracts need: there"
            " they would take money and keep it for ever. Deploy to a chain with the rules of"
            " Cancun or later."
        )


def lacking(chain: Chain) -> list[str] | None:
    """Lists what our contracts use and the chain does not know; None where its node does not
    tell."""
    if not _runs(chain, _PLAIN):
        return None
    return [name for name, code in _PROBES.items() if not _runs(chain, code)]


def _runs(chain: Chain, code: bytes) -> bool:
    try:
        return chain.call(Call(None, code)) == _ANSWER
    except ChainError:
        return False
