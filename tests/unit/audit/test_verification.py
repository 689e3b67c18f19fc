from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from eth_utils import keccak

from oracle.audit.bundle import Bundle
from oracle.audit.verification import Outcome, Report, verify
from oracle.errors import InferenceFailed
from oracle.types import ModelId, RequestId, Wei
from tests import chains
from tests.bundles import Here, bomb, bundle, preimage, with_request
from tests.chains import address
from tests.networks import network

HERE = Here()


def verified(evidence: Bundle, folder: Path, executor: object = HERE) -> Report:
    path = None
    if evidence.program is not None:
        path = folder / "model.safetensors"
        path.write_bytes(evidence.program)
    return verify(evidence, path, executor)  # type: ignore[arg-type]


def outcomes(report: Report) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in report.checks}


def flipped(data: bytes, at: int = 0) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_verify_holds_for_a_right_result(tmp_path: Path) -> None:
    report = verified(bundle(), tmp_path)

    assert set(outcomes(report).values()) == {Outcome.OK}, report.checks
    assert report.is_wrong is False


def test_verify_holds_for_a_wrong_result_and_says_what_is_wrong(tmp_path: Path) -> None:
    report = verified(bundle(is_lie=True), tmp_path)

    assert report.is_wrong, report.checks
    assert report.difference is not None
    first, count = report.difference
    assert (first.tensor, first.index, count) == ("scores", 0, 1)
    assert "DOT" in report.checks[-1].detail and first.claimed_bits in report.checks[-1].detail


def test_verify_refuses_a_model_whose_encoding_explodes(tmp_path: Path) -> None:
    """`poc_bundle_abi_bomb.py`: a MiB of it stood for 2^28 numbers."""
    model = bomb(16_000, 16_000)
    assert len(model) < 1 << 20 < 1 << 28

    report = verified(replace(bundle(), model=model), tmp_path)

    [terms] = [check for check in report.checks if check.name == "model terms"]
    assert terms.outcome is Outcome.FAILED and "claims to hold more" in terms.detail


def other_model(evidence: Bundle) -> Bundle:
    """The preimage of another model, whose id the request has."""
    model = preimage(chains.model(address("publisher"), **network(1).terms))
    changed = with_request(evidence, model=keccak(model))
    return replace(changed, model=model, model_id=ModelId(keccak(model)))


TAMPERED: dict[str, tuple[str, Callable[[Bundle], Bundle]]] = {
    "fee": (
        "request id",
        lambda b: replace(b, request=replace(b.request, fee=Wei(b.request.fee + 1))),
    ),
    "chain": ("request id", lambda b: replace(b, chain_id=b.chain_id + 1)),
    "queue": ("request id", lambda b: replace(b, queue=b.registry)),
    "id": ("request id", lambda b: replace(b, request_id=RequestId(flipped(b.request_id)))),
    "input": ("input", lambda b: replace(b, payload=flipped(b.payload))),
    "model": ("model id", lambda b: replace(b, model=flipped(b.model, 40))),
    "model id": ("model id", lambda b: replace(b, model_id=ModelId(flipped(b.model_id)))),
    "asked model": ("model id", lambda b: with_request(b, model=flipped(b.request.model))),
    "terms": (
        "model terms",
        lambda b: with_request(b, terms=replace(b.request.terms, output_length=1)),
    ),
    "operator": ("proposal", lambda b: with_request(b, operator=address("rival"))),
    "deadline": ("proposal", lambda b: with_request(b, deadline=b.proposal.proposed_at)),
    "window": ("proposal", lambda b: with_request(b, window=b.request.window + 1)),
    "short output": ("output length", lambda b: replace(b, output=b.output[:-1])),
    "long result": ("output length", lambda b: replace(b, recomputed=b.recomputed + b"\0")),
    "file": ("program", lambda b: replace(b, program=flipped(b.program or b"", -1))),
    "other file": ("program", lambda b: replace(b, program=network(1).file)),
    "source": ("program", lambda b: replace(b, program=network().onnx)),
    "other model": ("program", other_model),
    "recomputed": ("run", lambda b: replace(b, recomputed=flipped(b.recomputed, 9))),
    "both": (
        "run",
        lambda b: replace(b, recomputed=flipped(b.output, 9), output=flipped(b.output, 9)),
    ),
    "trace root": ("trace root", lambda b: replace(b, trace=flipped(b.trace))),
    "header": ("openings", lambda b: replace(b, trace=flipped(b.trace, 40))),
    "header's counts": ("openings", lambda b: replace(b, trace=flipped(b.trace, 32 + 32 + 9))),
    "header's path": ("openings", lambda b: replace(b, trace=flipped(b.trace, 230))),
    "path": ("openings", lambda b: replace(b, trace=flipped(b.trace, len(b.trace) - 1))),
    "cut trace": ("openings", lambda b: replace(b, trace=b.trace[:-32])),
    "odd trace": ("openings", lambda b: replace(b, trace=b.trace[:-1])),
    "long trace": ("openings", lambda b: replace(b, trace=b.trace + bytes(32))),
    "no trace": ("trace root", lambda b: replace(b, trace=b"")),
}


@pytest.mark.parametrize("is_lie", [False, True])
@pytest.mark.parametrize("name", TAMPERED)
def test_verify_fails_where_it_was_tampered_with(tmp_path: Path, name: str, is_lie: bool) -> None:
    """With checksums made anew, which anyone can."""
    check, tamper = TAMPERED[name]

    report = verified(tamper(bundle(is_lie)), tmp_path)

    assert report.outcome is Outcome.FAILED
    assert outcomes(report)[check] is Outcome.FAILED, report.checks


@pytest.mark.parametrize(
    "tamper",
    [
        lambda b: replace(b, proof=None),
        lambda b: replace(b, proof=b""),
        lambda b: replace(b, proof=b.proof[:-32]),
        lambda b: replace(b, proof=b.proof + bytes(32)),
        lambda b: replace(b, output=flipped(b.recomputed, 8)),  # a proof of another lie
    ],
)
def test_verify_fails_without_the_proof_of_this_lie(
    tmp_path: Path, tamper: Callable[[Bundle], Bundle]
) -> None:
    report = verified(tamper(bundle(is_lie=True)), tmp_path)

    assert outcomes(report)["verdict"] is Outcome.FAILED, report.checks


def test_verify_fails_where_a_word_of_the_proof_is_another(tmp_path: Path) -> None:
    """Some words: `test_prove_refuses_a_proof_with_any_other_byte` takes them all."""
    evidence = bundle(is_lie=True)
    assert evidence.proof is not None

    for at in range(5, len(evidence.proof), 32 * 21):
        report = verified(replace(evidence, proof=flipped(evidence.proof, at)), tmp_path)
        assert outcomes(report)["verdict"] is Outcome.FAILED, at


def test_verify_fails_where_a_right_result_is_called_wrong(tmp_path: Path) -> None:
    lie = bundle(is_lie=True)

    report = verified(replace(bundle(), proof=lie.proof), tmp_path)

    assert outcomes(report)["verdict"] is Outcome.FAILED


def test_verify_says_what_it_cannot_check_without_the_file(tmp_path: Path) -> None:
    report = verified(bundle(is_lie=True, with_file=False), tmp_path)

    assert report.outcome is Outcome.UNCHECKED
    unchecked = [name for name, found in outcomes(report).items() if found is Outcome.UNCHECKED]
    assert unchecked == ["program", "run", "trace root", "verdict"]
    assert report.is_wrong is None  # or whoever wrote the bundle could say so


def test_verify_is_open_where_the_run_does_not_end(tmp_path: Path) -> None:
    class Slow(Here):
        runs = 0

        def infer(self, _job: object) -> bytes:
            self.runs += 1
            raise InferenceFailed("The inference took more than 1 s, and was stopped.")

    slow = Slow()
    report = verified(bundle(), tmp_path, slow)

    assert report.outcome is Outcome.UNCHECKED and slow.runs == 1


@pytest.mark.parametrize("data", [b"", b"\0" * 32, b"\xff" * 640, b"\0" * 10_000])
def test_verify_fails_where_the_model_is_none(tmp_path: Path, data: bytes) -> None:
    changed = with_request(bundle(), model=keccak(data))

    report = verified(replace(changed, model=data, model_id=ModelId(keccak(data))), tmp_path)

    assert outcomes(report)["model terms"] is Outcome.FAILED
