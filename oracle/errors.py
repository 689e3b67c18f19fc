"""Everything that may go wrong and is expected to; any other exception is a bug.

OracleError
├── ModelError
│   ├── ModelRefused          outside the law, or malformed: every reason at once
│   ├── ModelUnavailable      no URI gave the file
│   ├── ModelMismatch         the bytes are not those of the id
│   └── InferenceFailed       the run died, took too long, or ran out of memory
├── PayloadError              bytes or arrays that do not fit a signature
├── SecondOpinionDiffers      exact and onnxruntime disagree by more than float noise
├── ChainError
│   ├── WrongChain            chain id, code hash or ABI is not what was expected
│   ├── Reverted              a contract refused, with its error's name and values
│   ├── RpcUnavailable
│   └── NotFound              a model, request or proposal that the chain does not know
├── KeyfileError
└── ConfigError
"""

from collections.abc import Sequence
from dataclasses import dataclass


class OracleError(Exception):
    """Expected: the message is one sentence for a person, the attributes are for programs."""


class ModelError(OracleError):
    pass


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one node keeps a model outside the law. `node` and `op` may be empty for the file."""

    node: str
    op: str
    why: str
    advice: str

    def __str__(self) -> str:
        where = f"node {self.node!r} ({self.op}): " if self.op else ""
        return f"{where}{self.why}; {self.advice}"


class ModelRefused(ModelError):
    def __init__(self, reasons: Sequence[Reason]):
        self.reasons = tuple(reasons)
        super().__init__("Model refused: " + " | ".join(map(str, self.reasons)))


class ModelUnavailable(ModelError):
    pass


class ModelMismatch(ModelError):
    pass


class InferenceFailed(ModelError):
    pass


class PayloadError(OracleError):
    pass


class SecondOpinionDiffers(OracleError):
    pass


class ChainError(OracleError):
    pass


class WrongChain(ChainError):
    pass


class Reverted(ChainError):
    def __init__(self, name: str, values: dict[str, object] | None = None):
        self.name = name
        self.values = values or {}
        fields = ", ".join(f"{key}={value}" for key, value in self.values.items())
        super().__init__(f"The contract refused: {name}({fields}).")


class RpcUnavailable(ChainError):
    pass


class NotFound(ChainError):
    pass


class KeyfileError(OracleError):
    pass


class ConfigError(OracleError):
    pass
