"""Everything that may go wrong and is expected to; any other exception is a bug.

OracleError
├── ModelError
│   ├── ModelRefused          outside the law, or malformed: every reason at once
│   ├── ModelUnavailable      no URI gave the file
│   │   ├── CacheFull         there is no room for it
│   │   └── NotCertified      whoever looked at the file died of it, or took too long
│   ├── ModelMismatch         the bytes are not those of the id
│   ├── NotAppraised          whether a lie about it could be proven is not known now
│   ├── Unwatched             a lie about it could not be proven, or not in time
│   └── InferenceFailed       the run died, took too long, or ran out of memory
│       └── InferenceTooSlow  it was stopped at its time limit
├── PayloadError              bytes or arrays that do not fit a signature
│   ├── WrongPayloadLength    not as many bytes as the tensors take
│   ├── WrongTensorCount      not as many arrays as the signature has tensors
│   ├── WrongTensorShape
│   └── WrongTensorType       an array's dtype is not the tensor's, or no payload may hold it
├── SecondOpinionDiffers      exact and onnxruntime disagree by more than float noise
├── RunsDiffer                two runs of ours, or one and the plain rules: nothing is to be signed
├── ChainError
│   ├── WrongChain            chain id, code hash or ABI is not what was expected
│   ├── Reverted              a contract refused, with its error's name and values
│   ├── RpcUnavailable
│   ├── MalformedReply        what a node says is not what it should be
│   ├── FeeAboveCap           gas costs more than we allowed ourselves to pay
│   ├── TooDear               a transaction would cost more than it is worth
│   ├── NoRoom                as many transactions wait as nodes keep for one account
│   ├── Reorganised           a block that we had acted on is no longer in the chain
│   ├── LogsUnknown           a node does not say for certain which logs a block has: ask again
│   ├── NotFound              a model, request or proposal that the chain does not know
│   └── MalformedData         bytes that are not the values that they should be
├── EvidenceError
│   ├── NotABundle            a file that is no bundle of evidence, or not as one was written
│   └── WrongEvidence         a proof or an opening that proves nothing
├── Declined                  we, or an operator, do not want to on these terms
├── Busy                      not now: later
├── ServiceError              an operator's server refuses, or gives what is no answer
├── StateUnavailable          the state's database does not answer, or has no room: nothing was kept
├── KeyfileError
└── ConfigError
    └── NotItsSigner          a key that an operator has not named is to answer in its name
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


class CacheFull(ModelUnavailable):
    pass


class NotCertified(ModelUnavailable):
    def __init__(self, why: str):
        self.why = why
        super().__init__(f"The model's file could not be checked: {why}.")


class ModelMismatch(ModelError):
    pass


class NotAppraised(ModelError):
    """It could not be found out whether a lie about a model's results could be proven. It is tried
    again later."""


class Unwatched(ModelError):
    pass


class InferenceFailed(ModelError):
    pass


class InferenceTooSlow(InferenceFailed):
    pass


class PayloadError(OracleError):
    pass


class WrongPayloadLength(PayloadError):
    def __init__(self, actual: int, needed: int):
        self.actual, self.needed = actual, needed
        super().__init__(f"The payload has {actual} bytes; the tensors take {needed}.")


class WrongTensorCount(PayloadError):
    def __init__(self, actual: int, needed: int):
        self.actual, self.needed = actual, needed
        super().__init__(f"{actual} arrays were given; the signature has {needed} tensors.")


class WrongTensorShape(PayloadError):
    def __init__(self, tensor: str, actual: tuple[int, ...], needed: tuple[int, ...]):
        self.tensor, self.actual, self.needed = tensor, actual, needed
        super().__init__(f"Tensor {tensor!r} has shape {actual}; it must have {needed}.")


class WrongTensorType(PayloadError):
    def __init__(self, tensor: str, actual: str, needed: str):
        self.tensor, self.actual, self.needed = tensor, actual, needed
        super().__init__(f"Tensor {tensor!r} has dtype {actual}; it must have {needed}.")


class SecondOpinionDiffers(OracleError):
    pass


class RunsDiffer(OracleError):
    pass


class ChainError(OracleError):
    pass


class WrongChain(ChainError):
    pass


class Reverted(ChainError):
    def __init__(self, name: str, values: dict[str, object] | None = None):
        self.name = name
        self.values = values or {}
        super().__init__(f"The contract refused: {self.error}.")

    @property
    def error(self) -> str:
        fields = ", ".join(f"{key}={value}" for key, value in self.values.items())
        return f"{self.name}({fields})"


class RpcUnavailable(ChainError):
    pass


class MalformedReply(ChainError):
    pass


class FeeAboveCap(ChainError):
    pass


class TooDear(ChainError):
    def __init__(self, cost: int, most: int):
        self.cost, self.most = cost, most
        super().__init__(f"Its transaction costs {cost} wei of gas now, above {most} wei.")


class NoRoom(ChainError):
    def __init__(self, waiting: int, most: int):
        self.waiting, self.most = waiting, most
        super().__init__(f"{waiting} transactions wait to be mined; no more than {most} may.")


class Reorganised(ChainError):
    pass


class LogsUnknown(ChainError):
    def __init__(self, node: str, block: int, why: str):
        self.node, self.block, self.why = node, block, why
        super().__init__(f"Which of our logs block {block} has is not known yet: {node} {why}.")


class NotFound(ChainError):
    pass


class MalformedData(ChainError):
    pass


class EvidenceError(OracleError):
    pass


class NotABundle(EvidenceError):
    pass


class WrongEvidence(EvidenceError):
    pass


class Declined(OracleError):
    pass


class Busy(OracleError):
    def __init__(self, why: str, again_in: int = 1):
        self.again_in = again_in  # seconds
        super().__init__(why)


class ServiceError(OracleError):
    pass


class StateUnavailable(OracleError):
    def __init__(self, why: str):
        self.why = why
        super().__init__(f"The state can be neither read nor written now: {why}.")


class KeyfileError(OracleError):
    pass


class ConfigError(OracleError):
    pass


class NotItsSigner(ConfigError):
    def __init__(self, key: str, operator: str, epoch: int):
        self.key, self.operator, self.epoch = key, operator, epoch
        since = "" if epoch == 0 else f" since its slash number {epoch}"
        super().__init__(
            f"{key} is not the signer of operator {operator}{since}: send `exactum operator signer"
            f" {key} --max-locked AMOUNT` with the operator's own key."
        )
