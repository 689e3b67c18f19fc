"""Verifies a bundle without a node: checks each hash and opening, and runs the model again."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from oracle import merkle
from oracle.audit import proof
from oracle.audit.bundle import Bundle, Reference
from oracle.audit.proof import Claim, Words
from oracle.chain import preimage
from oracle.chain.codec import request_id
from oracle.chain.decoder import Decoder
from oracle.chain.events import RequestCreated, ResultProposed
from oracle.chain.node import Chain
from oracle.chain.replies import Log
from oracle.errors import ChainError, InferenceFailed, NotCertified, OracleError, WrongEvidence
from oracle.inference import testimony
from oracle.inference.certificates import name_of
from oracle.inference.comparison import Element, first_difference
from oracle.inference.engine import Testify
from oracle.inference.executor import Infers, Job
from oracle.inference.testimony import Testimony
from oracle.types import Address, Assurance, Model


class Outcome(StrEnum):
    OK = "ok"
    FAILED = "FAILED"
    UNCHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Check:
    """The check of one thing that a bundle says. `detail` tells what was seen."""

    name: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """The result of all checks. `difference` is the first element in which the proposed output
    differs from the bundle's recomputed one, and how many do. It is proven only where all checks
    are ok."""

    checks: tuple[Check, ...]
    difference: tuple[Element, int] | None

    @property
    def is_wrong(self) -> bool | None:
        """Says whether the result is wrong; None where a check failed or could not be made."""
        return self.difference is not None if self.outcome is Outcome.OK else None

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of all checks."""
        found = {check.outcome for check in self.checks}
        order = (Outcome.FAILED, Outcome.UNCHECKED)
        return next((each for each in order if each in found), Outcome.OK)


def verify(bundle: Bundle, program: Path | None, executor: Infers) -> Report:
    """Verifies a bundle. `program` is the model's file, which need not come from the bundle."""
    checks: list[Check] = []
    subject = _Subject(bundle, program, executor)
    difference = None
    for about in (subject.ids, subject.payloads, subject.run):
        for name, check in about:
            checks.append(_checked(name, check))
        if any(check.outcome is Outcome.FAILED for check in checks):
            break  # what follows would say nothing
        if about is subject.payloads:
            difference = subject.difference
    return Report(tuple(checks), difference)


def look_up(bundle: Bundle, chain: Chain) -> tuple[Check, ...]:
    """Looks up the logs that the bundle names, which no hash in the bundle can show to exist."""
    logs = _Logs(bundle, chain)
    checks = ("model log", logs.model), ("request log", logs.request), ("proposal log", logs.result)
    return tuple(_checked(name, check) for name, check in checks)


class _Open(OracleError):
    """A check cannot be made."""


def _checked(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, Outcome.OK, check())
    except (_Open, InferenceFailed, NotCertified, ChainError) as error:
        return Check(name, Outcome.UNCHECKED, str(error))
    except OracleError as error:
        return Check(name, Outcome.FAILED, str(error))


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise WrongEvidence(otherwise)


class _Logs:
    """Checks the logs that a bundle names against a chain."""

    def __init__(self, bundle: Bundle, chain: Chain):
        self._bundle = bundle
        self._chain = chain

    def model(self) -> str:
        bundle = self._bundle
        reference = bundle.logs.model_published
        log = self._log(bundle.registry, reference, bundle.model_id)
        _require(preimage.of_log(log) == bundle.model, "The log is of another model.")
        return f"in block {reference.block} of registry {bundle.registry}"

    def request(self) -> str:
        bundle = self._bundle
        reference = bundle.logs.request_created
        event = Decoder().decode(self._log(bundle.queue, reference, bundle.request_id), 0)
        holds = isinstance(event, RequestCreated) and (event.request, event.payload) == (
            bundle.request,
            bundle.payload,
        )
        _require(holds, "The log is of another request.")
        return f"in block {reference.block} of queue {bundle.queue}"

    def result(self) -> str:
        bundle = self._bundle
        reference = bundle.logs.result_proposed
        event = Decoder().decode(self._log(bundle.queue, reference, bundle.request_id), 0)
        holds = isinstance(event, ResultProposed) and (event.proposal, event.output) == (
            bundle.proposal,
            bundle.output,
        )
        _require(holds, "The log is of another proposal.")
        return f"in block {reference.block}: {bundle.proposal.operator} proposed this output"

    def _log(self, address: Address, reference: Reference, subject: bytes) -> Log:
        chain, block = self._chain, reference.block
        _require(chain.id == self._bundle.chain_id, f"{chain.name} is chain {chain.id}.")
        for log in chain.logs((address,), block, block, subject):
            place = log.index, log.transaction
            if place == (reference.index, reference.transaction):
                return log
        raise WrongEvidence(f"{chain.name} has no such log in block {block}.")


class _Subject:
    """Checks one bundle. Each check gives a detail of what it saw, or raises."""

    def __init__(self, bundle: Bundle, program: Path | None, executor: Infers):
        self.bundle = bundle
        self.program = program
        self.executor = executor
        self.ids = (
            ("request id", self._request_id),
            ("input", self._input),
            ("model id", self._model_id),
            ("model terms", self._model_terms),
        )
        self.payloads = (("proposal", self._proposal), ("output length", self._lengths))
        self.run = (
            ("program", self._file),
            ("run", self._run),
            ("trace root", self._trace_root),
            ("openings", self._openings),
            ("verdict", self._verdict),
        )

    @cached_property
    def model(self) -> Model:
        return preimage.model_of(self.bundle.model)

    @cached_property
    def difference(self) -> tuple[Element, int] | None:
        tensors = self.model.signature.outputs
        return first_difference(self.bundle.output, self.bundle.recomputed, tensors)

    @property
    def ours(self) -> Testimony:
        """The testimony of our own run, or its error. The model runs once, even where it fails."""
        if isinstance(self._ran, OracleError):
            raise self._ran
        return self._ran

    @cached_property
    def _ran(self) -> Testimony | OracleError:
        if self.program is None:
            return _Open("The model's file is not in the bundle: give it by --model.")
        job = Job.of(self.program, self.model, self.bundle.payload, Testify(self.bundle.output))
        try:
            return testimony.read_testimony(self.executor.infer(job))
        except OracleError as error:
            return error

    @property
    def claim(self) -> Claim:
        bundle = self.bundle
        root = bundle.trace[: proof.WORD]
        return Claim(self.model.program_root, root, bundle.payload, bundle.output)

    # Ids.

    def _request_id(self) -> str:
        bundle = self.bundle
        actual = request_id(bundle.request, bundle.chain_id, bundle.queue)
        _require(actual == bundle.request_id, f"The request's fields hash to 0x{actual.hex()}.")
        return f"0x{actual.hex()} on chain {bundle.chain_id}, queue {bundle.queue}"

    def _input(self) -> str:
        payload, request = self.bundle.payload, self.bundle.request
        actual = merkle.payload_root(payload)
        _require(actual == request.input_root, f"The input's root is 0x{actual.hex()}.")
        fits = len(payload) == request.input_length
        _require(fits, f"It has {len(payload)} bytes, and {request.input_length} were asked about.")
        return f"{len(payload):,} bytes, as the request binds them"

    def _model_id(self) -> str:
        actual = preimage.model_id(self.bundle.model)
        _require(
            actual == self.bundle.model_id == self.bundle.request.model,
            f"The model hashes to 0x{actual.hex()}; the request is for"
            f" 0x{self.bundle.request.model.hex()}.",
        )
        return f"0x{actual.hex()}, which the request is for"

    def _model_terms(self) -> str:
        model, terms = self.model, self.bundle.request.terms
        _require(model.assurance is Assurance.EXACT, "The model is VANILLA: nothing can be shown.")
        tensors = *model.signature.inputs, *model.signature.outputs
        _require(all(t.dtype.itemsize for t in tensors), "A tensor's elements have no size.")
        needed = (
            model.publisher,
            model.royalty,
            model.signature.input_length,
            model.signature.output_length,
            True,
        )
        actual = (
            terms.publisher,
            terms.royalty,
            terms.input_length,
            terms.output_length,
            terms.is_exact,
        )
        _require(actual == needed, "The request's terms are not the model's.")
        return f"{model.name} {model.version} by {model.publisher}"

    # Payloads.

    def _proposal(self) -> str:
        proposal, request = self.bundle.proposal, self.bundle.request
        chosen = request.operator in (None, proposal.operator)
        _require(chosen, "The request was for another operator.")
        in_time = proposal.proposed_at < request.deadline
        _require(in_time, "It was proposed after the deadline.")
        earliest = proposal.proposed_at + request.window
        _require(proposal.settle_at >= earliest, "Its window ends before it is over.")
        return f"by {proposal.operator}; look up the log to see that it was"

    def _lengths(self) -> str:
        signature = self.model.signature
        fits = len(self.bundle.payload) == signature.input_length
        _require(fits, "The input is not as long as the model takes it.")
        needed = self.bundle.proposal.output_length
        _require(len(self.bundle.output) == needed, f"The proposal's output has {needed} bytes.")
        for output in (self.bundle.output, self.bundle.recomputed):
            fits = len(output) == signature.output_length
            _require(fits, "An output is not as long as the model gives it.")
        return f"{signature.output_length:,} bytes, as the model gives them"

    # The run.

    def _file(self) -> str:
        if self.program is None:
            raise _Open("The model's file is not in the bundle: give it by --model.")
        actual = name_of(self.program)
        _require(actual == self.model.file, f"It is {actual}.")
        return f"root 0x{actual.digest.hex()}, as the model's id has it"

    def _run(self) -> str:
        _require(
            self.ours.output == self.bundle.recomputed,
            f"The model gives 0x{self.ours.output.hex()} here.",
        )
        return "the program gives the recomputed output"

    def _trace_root(self) -> str:
        found = self.ours.trace_root
        _require(found == self.claim.trace_root, f"The run's trace has root 0x{found.hex()}.")
        return f"0x{found.hex()}"

    def _openings(self) -> str:
        """Checks by hashes alone that the trace holds all recomputed outputs."""
        words = Words(self.bundle.trace)
        words.take(1)
        header = proof.read_header(words, self.model.program_root)
        signature = self.model.signature
        given = [(type_.dtype, type_.shape) for _, type_ in header.outputs]
        needed = [(type_.dtype, type_.shape) for type_ in signature.outputs]
        _require(given == needed, "The program's outputs are not the model's.")
        at = 0
        for value, type_ in header.outputs:
            data = self.bundle.recomputed[at : at + type_.nbytes]
            root = merkle.subtree_root(data, merkle.depth_of(merkle.leaf_count(len(data))))
            proof.check_value(header, self.claim, value, root, proof.read_path(words, header))
            at += type_.nbytes
        words.end()
        return f"{len(header.outputs)} outputs lead to the trace's root"

    def _verdict(self) -> str:
        if self.difference is None:
            _require(self.bundle.proof is None, "There is a proof, but the output is right.")
            return "the output is right, every bit"
        if self.bundle.proof is None:
            raise WrongEvidence("The output is wrong, but there is no proof.")
        _ = self.ours  # raises where no run of ours vouches for the records, which `prove` believes
        try:
            found = proof.prove(self.bundle.proof, self.claim, self.model.signature.inputs)
        except WrongEvidence as error:
            raise WrongEvidence(f"The proof proves nothing: {error}.") from None
        _require(found.claimed != found.expected, "The proof is of an element that is right.")
        wrong = self.ours.wrong
        is_ours = wrong is not None and wrong.proof == self.bundle.proof
        _require(is_ours, "The proof is not of the first element that is wrong.")
        return (
            f"the proof opens element {found.element} of node {found.node} ({found.op}):"
            f" claimed {found.claimed.hex()}, and what it reads gives {found.expected.hex()}"
        )
