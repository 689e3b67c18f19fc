"""The contracts as Python calls: reads return values, the rest return a `Call` for a sender."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_abi import encode
from eth_utils import keccak, to_checksum_address

from oracle.chain import replies
from oracle.chain.abi import decoded
from oracle.chain.answers import Answer, AnswerSignature
from oracle.chain.artifacts import abi_type, artifact
from oracle.chain.blueprints import DISPUTES, QUEUE, REFEREE, REGISTRY
from oracle.chain.codec import (
    ZERO_ADDRESS,
    demand_words,
    model_words,
    part_words,
    proposal_words,
    request_id,
    request_words,
    subject_words,
    terms_from_word,
)
from oracle.chain.deployment import Deployment
from oracle.chain.node import Call, Chain
from oracle.errors import ChainError, MalformedData, NotFound, Reverted, RpcUnavailable
from oracle.merkle import payload_root
from oracle.types import (
    CALLERS,
    Account,
    Address,
    Demand,
    Model,
    ModelId,
    ModelTerms,
    Part,
    Proposal,
    Request,
    RequestId,
    Status,
    Verdict,
    Wei,
)

_NO_MODEL = ModelId(bytes(32))


@dataclass(frozen=True, slots=True)
class Options:
    """`Options` of contracts/interfaces/IInferenceQueue.sol; times in seconds."""

    bond: Wei
    window: int
    timeout: int
    operator: Address | None = None
    callback_gas: int = 0
    refund_to: Address | None = None
    max_output_length: int = 0
    entropy: int = 0

    @property
    def words(self) -> tuple[Any, ...]:
        return (
            self.operator or ZERO_ADDRESS,
            self.bond,
            self.window,
            self.timeout,
            self.callback_gas,
            self.refund_to or ZERO_ADDRESS,
            self.max_output_length,
            self.entropy,
        )


@dataclass(frozen=True, slots=True)
class SignedOptions:
    """`SignedOptions` of contracts/interfaces/IInferenceQueue.sol; times in seconds."""

    operator: Address
    bond: Wei
    window: int
    deadline: int
    nonce: int
    callback_gas: int = 0
    refund_to: Address | None = None
    max_output_length: int = 0

    @staticmethod
    def of(request: Request) -> "SignedOptions":
        """Gives options of which `infer` makes `request`, which is a caller's."""
        assert request.operator is not None and request.is_callers
        most = request.max_output_length
        return SignedOptions(
            operator=request.operator,
            bond=request.bond,
            window=request.window,
            deadline=request.deadline,
            nonce=request.nonce ^ CALLERS,
            callback_gas=request.callback_gas,
            refund_to=None if request.refund_to == request.consumer else request.refund_to,
            max_output_length=0 if most == request.terms.output_length else most,
        )

    def request(
        self, model: ModelId, terms: ModelTerms, payload: bytes, consumer: Address, fee: Wei
    ) -> Request:
        """Gives the request that `infer` makes of these options, for `consumer` alone."""
        return Request(
            model=model,
            terms=terms,
            input_root=payload_root(payload),
            consumer=consumer,
            fee=fee,
            operator=self.operator,
            bond=self.bond,
            refund_to=self.refund_to or consumer,
            input_length=len(payload),
            max_output_length=self.max_output_length or terms.output_length,
            deadline=self.deadline,
            window=self.window,
            callback_gas=self.callback_gas,
            nonce=self.nonce | CALLERS,
            entropy=0,
        )

    @property
    def words(self) -> tuple[Any, ...]:
        return (
            self.operator,
            self.bond,
            self.window,
            self.deadline,
            self.callback_gas,
            self.refund_to or ZERO_ADDRESS,
            self.max_output_length,
            self.nonce,
        )


@dataclass(frozen=True, slots=True)
class HotSigner:
    """Who may sign answers in an operator's name, and the most that may be locked then."""

    signer: Address
    max_locked: Wei


@dataclass(frozen=True, slots=True)
class Unstaking:
    amount: Wei
    available_at: int


@dataclass(frozen=True, slots=True)
class Limits:
    """The queue's immutables; times in seconds."""

    min_bond: Wei
    min_window: int
    max_window: int
    withdrawal_delay: int
    disputes: Address | None


class Registry:
    def __init__(self, chain: Chain, deployment: Deployment):
        self.chain = chain
        self.address = deployment.registry

    def publish(self, model: Model, uri: str) -> Call:
        return self._call("publish", model_words(model), uri)

    def add_uri(self, model: ModelId, uri: str) -> Call:
        return self._call("addUri", model, uri)

    def deprecate(self, model: ModelId, successor: ModelId | None) -> Call:
        return self._call("deprecate", model, successor or _NO_MODEL)

    def id_of(self, model: Model) -> ModelId:
        call = self._call("idOf", model.publisher, model_words(model))
        return ModelId(self.chain.call(call))

    def terms_of(self, model: ModelId) -> ModelTerms:
        """Gives what the queue needs of a model. Raises NotFound where there is no such model."""
        word = _word(self.chain.call(self._call("termsOf", model)))
        if word == 0:
            raise NotFound(f"The registry knows no model 0x{model.hex()}.")
        return terms_from_word(word)

    def is_deprecated(self, model: ModelId) -> bool:
        return bool(_word(self.chain.call(self._call("isDeprecated", model))))

    def _call(self, function: str, *arguments: Any) -> Call:
        return _encode(REGISTRY, self.address, function, arguments)


class Queue:
    def __init__(self, chain: Chain, deployment: Deployment):
        self.chain = chain
        self.address = deployment.queue
        self.chain_id = deployment.chain_id
        """That of the deployment, which ids and signatures are bound to for ever."""

    def id_of(self, request: Request) -> RequestId:
        return request_id(request, self.chain_id, self.address)

    def answer(self, request: Request, output: bytes, epoch: int) -> Answer:
        """Gives what an operator signs to answer `request`, in its present epoch."""
        return Answer(self.id_of(request), output, epoch, self.chain_id, self.address)

    # What operators do.

    def stake(self, amount: Wei) -> Call:
        return self._call("stake", value=amount)

    def unstake(self, amount: Wei) -> Call:
        return self._call("unstake", amount)

    def withdraw(self, account: Address) -> Call:
        return self._call("withdraw", account)

    def propose(self, answers: Sequence[tuple[Request, bytes]]) -> Call:
        """Makes one transaction that proposes all answers. One whose request is no longer open does
        not stop the others."""
        if len(answers) == 1:
            [(request, output)] = answers
            return self._call("propose", request_words(request), output)
        requests = [request_words(request) for request, _ in answers]
        return self._call("proposeBatch", requests, [output for _, output in answers])

    def settle(self, results: Sequence[tuple[Request, Proposal, bytes]]) -> Call:
        if len(results) == 1:
            [(request, proposal, output)] = results
            words = request_words(request), proposal_words(proposal)
            return self._call("settle", *words, output)
        items = [
            (request_words(request), proposal_words(proposal), output)
            for request, proposal, output in results
        ]
        return self._call("settleBatch", items)

    def propose_signed(
        self, request: Request, operator: Address, output: bytes, signature: AnswerSignature
    ) -> Call:
        words = signature.r, signature.vs
        return self._call("proposeSigned", request_words(request), operator, output, words)

    def settle_by_root(self, results: Sequence[tuple[Request, Proposal, bytes]]) -> Call:
        """Makes one transaction that settles results for which no callback was asked, by the root
        of each output alone."""
        items = [
            (request_words(request), proposal_words(proposal), payload_root(output))
            for request, proposal, output in results
        ]
        if len(items) == 1:
            return self._call("settleByRoot", *items[0])
        return self._call("settleBatchByRoot", items)

    def set_signer(self, signer: Address | None, max_locked: Wei) -> Call:
        return self._call("setSigner", signer or ZERO_ADDRESS, max_locked)

    # What requesters do.

    def request(self, model: ModelId, payload: bytes, fee: Wei, options: Options) -> Call:
        return self._call("request", model, payload, options.words, value=fee)

    def infer(
        self,
        model: ModelId,
        payload: bytes,
        fee: Wei,
        options: SignedOptions,
        output: bytes,
        signature: AnswerSignature,
    ) -> Call:
        words = signature.r, signature.vs
        return self._call("infer", model, payload, options.words, output, words, value=fee)

    def expire(self, request: Request) -> Call:
        return self._call("expire", request_words(request))

    def retry_callback(self, request: Request, proposal: Proposal, output: bytes) -> Call:
        words = request_words(request), proposal_words(proposal)
        return self._call("retryCallback", *words, output)

    def reopen(self, request: Request, proposal: Proposal, output_root: bytes) -> Call:
        words = request_words(request), proposal_words(proposal)
        return self._call("reopen", *words, output_root)

    # What anyone may see.

    def quote(self, model: ModelId, callback_gas: int, gas_price: Wei) -> Wei:
        return Wei(self._number("quote", model, callback_gas, gas_price))

    def are_open(self, requests: Sequence[RequestId]) -> list[bool]:
        """Says of each whether it may be answered in the block that is to come, as far as the node
        knows what is in it; in the last block, where it knows of no other."""
        try:
            return self._are_open(requests, self.chain.estimation_block or "latest")
        except RpcUnavailable:
            raise
        except ChainError:
            return self._are_open(requests, "latest")

    def _are_open(self, requests: Sequence[RequestId], block: str) -> list[bool]:
        calls = [self._call("statusOf", each) for each in requests]
        asked = [
            ("eth_call", [{"to": self.address, "data": "0x" + call.data.hex()}, block])
            for call in calls
        ]
        found = self.chain.ask_many(asked, lambda said: _status(replies.data(said)))
        return [status is Status.REQUESTED for status, _ in found]

    def status_of(self, request: RequestId) -> tuple[Status, bool]:
        """Gives the status, and whether a callback is still owed."""
        return _status(self.chain.call(self._call("statusOf", request)))

    def is_final(self, request: Request, proposal: Proposal, output: bytes) -> bool:
        """Says whether a result is final as `requireFinal` does: it is settled, or the window is
        over and no slash voided it."""
        words = request_words(request), proposal_words(proposal)
        try:
            self.chain.call(self._call("requireFinal", *words, output))
        except Reverted:
            return False
        return True

    def account_of(self, operator: Address) -> Account:
        data = self.chain.call(self._call("accountOf", operator))
        staked, locked, epoch = decoded(["uint96", "uint96", "uint32"], data)
        return Account(Wei(staked), Wei(locked), epoch)

    def signer_of(self, operator: Address) -> HotSigner | None:
        """Gives the operator's signer in its present epoch."""
        return self._signer(self._call("signerOf", operator))

    def signer_in(self, operator: Address, epoch: int) -> HotSigner | None:
        """Gives the last signer that the operator had in `epoch`."""
        return self._signer(self._call("signerIn", operator, epoch))

    def _signer(self, call: Call) -> HotSigner | None:
        signer, max_locked = decoded(["address", "uint96"], self.chain.call(call))
        if signer.lower() == ZERO_ADDRESS:
            return None
        return HotSigner(Address(to_checksum_address(signer)), Wei(max_locked))

    def unstaking_of(self, operator: Address) -> Unstaking:
        data = self.chain.call(self._call("unstakingOf", operator))
        amount, available_at = decoded(["uint96", "uint64"], data)
        return Unstaking(Wei(amount), available_at)

    def credit_of(self, account: Address) -> Wei:
        return Wei(self._number("creditOf", account))

    def limits(self) -> Limits:
        [disputes] = decoded(["address"], self.chain.call(self._call("DISPUTES")))
        return Limits(
            min_bond=Wei(self._number("MIN_BOND")),
            min_window=self._number("MIN_WINDOW"),
            max_window=self._number("MAX_WINDOW"),
            withdrawal_delay=self._number("WITHDRAWAL_DELAY"),
            disputes=None if disputes == ZERO_ADDRESS else Address(to_checksum_address(disputes)),
        )

    def _number(self, function: str, *arguments: Any) -> int:
        return _word(self.chain.call(self._call(function, *arguments)))

    def _call(self, function: str, *arguments: Any, value: int = 0) -> Call:
        return _encode(QUEUE, self.address, function, arguments, value)


@dataclass(frozen=True, slots=True)
class Periods:
    """The immutables of Disputes; times in seconds."""

    reveal: int
    reaction: int
    extension: int
    tip: Wei

    @property
    def rounds(self) -> int:
        """Counts the demands that fit one after another where the first comes in the last second of
        the window, and each is answered in its last."""
        return max(0, (self.extension - self.reaction) // self.reveal)


@dataclass(frozen=True, slots=True)
class Subject:
    """The proposal that is disputed, as it stands now."""

    request: Request
    proposal: Proposal
    output: bytes

    @property
    def words(self) -> tuple[Any, ...]:
        return subject_words(self.request, self.proposal, self.output)


class Disputes:
    def __init__(self, chain: Chain, deployment: Deployment):
        self.chain = chain
        self.address = deployment.disputes

    def demand(
        self, subject: Subject, part: Part, model: bytes, descriptors: bytes, prepaid: Wei
    ) -> Call:
        """Makes the call that demands a part. `model` is the preimage of the model's id."""
        arguments = subject.words, part_words(part), model, descriptors
        return self._call("demand", *arguments, value=prepaid)

    def reveal(
        self, subject: Subject, demand: Demand, data: bytes, siblings: Sequence[bytes]
    ) -> Call:
        return self._call("reveal", subject.words, demand_words(demand), data, list(siblings))

    def timeout(self, subject: Subject, demand: Demand) -> Call:
        return self._call("timeout", subject.words, demand_words(demand))

    def commit(self, commitment: bytes) -> Call:
        return self._call("commitFraud", commitment)

    def prove(self, subject: Subject, model: bytes, proof: bytes, salt: bytes) -> Call:
        """Makes the call that proves fraud. `model` is the preimage of the model's id."""
        return self._call("proveFraud", subject.words, model, proof, salt)

    def collect(self, demand: Demand) -> Call:
        return self._call("collect", demand_words(demand))

    def price_of(self, part: Part, values: int, leaves: int) -> Wei:
        """Gives what a demand costs at the current base fee, if it turns out to have been wrong."""
        call = self._call("priceOf", part_words(part), values, leaves)
        return Wei(_word(self.chain.call(call)))

    def periods(self) -> Periods:
        names = "REVEAL_PERIOD", "REACTION_PERIOD", "EXTENSION_LIMIT", "REVEAL_TIP"
        reveal, reaction, extension, tip = (
            _word(self.chain.call(self._call(name))) for name in names
        )
        return Periods(reveal, reaction, extension, Wei(tip))

    def _call(self, function: str, *arguments: Any, value: int = 0) -> Call:
        return _encode(DISPUTES, self.address, function, arguments, value)


class Referee:
    def __init__(self, chain: Chain, deployment: Deployment):
        self.chain = chain
        self.address = deployment.referee

    def must_convict(
        self,
        program_root: bytes,
        trace_root: bytes | None,
        subject: Subject,
        proof: bytes,
    ) -> Verdict:
        """Asks the referee for the verdict that Disputes would get. Raises ChainError where the
        referee would not convict."""
        claim = (
            program_root,
            trace_root or bytes(32),
            subject.request.input_root,
            subject.request.input_length,
            payload_root(subject.output),
            len(subject.output),
        )
        call = _encode(REFEREE, self.address, "judge", (claim, proof))
        verdict = Verdict(*decoded(["uint256"] * 4, self.chain.call(call)))
        if verdict.claimed == verdict.expected:
            raise ChainError(f"The referee finds node {verdict.node} right: nobody is accused.")
        return verdict


class Consumer:
    """A consumer of ours on chain, one of contracts/examples."""

    def __init__(self, chain: Chain, name: str, address: Address):
        self.chain = chain
        self.address = address
        self._name = name

    def ask(self, payload: bytes, fee: Wei) -> Call:
        return _encode(self._name, self.address, "ask", (payload,), fee)

    def act(
        self,
        payload: bytes,
        fee: Wei,
        options: SignedOptions,
        output: bytes,
        signature: AnswerSignature,
    ) -> Call:
        """Uses a signed answer: a call of SignedConsumer."""
        words = signature.r, signature.vs
        arguments = payload, options.words, output, words
        return _encode(self._name, self.address, "act", arguments, fee)

    def last_word(self) -> bytes:
        """Gives what SignedConsumer keeps: the output's first 32 bytes, with zeros behind it."""
        return self.chain.call(_encode(self._name, self.address, "lastWord", ()))

    def benign_probability(self, request: RequestId) -> int:
        """Gives the probability that DiagnosisConsumer keeps, in units of 1e-18."""
        call = _encode(self._name, self.address, "benignProbability", (request,))
        return int.from_bytes(self.chain.call(call), "big", signed=True)


def _status(data: bytes) -> tuple[Status, bool]:
    status, is_callback_owed = decoded(["uint8", "bool"], data)
    if status not in list(Status):
        raise MalformedData(f"{status} is no status of a request.")
    return Status(status), is_callback_owed


def _word(data: bytes) -> int:
    [found] = decoded(["uint256"], data)
    return int(found)


def _encode(
    contract: str, address: Address, function: str, arguments: Sequence[Any], value: int = 0
) -> Call:
    selector, types = _function(contract, function)
    return Call(address, selector + encode(types, arguments), Wei(value))


@cache
def _function(contract: str, name: str) -> tuple[bytes, Sequence[str]]:
    """Gives a function's selector and the types of its arguments."""
    [found] = [
        each
        for each in artifact(contract).abi
        if each["type"] == "function" and each["name"] == name
    ]
    types = [abi_type(each) for each in found["inputs"]]
    return keccak(text=f"{name}({','.join(types)})")[:4], types
