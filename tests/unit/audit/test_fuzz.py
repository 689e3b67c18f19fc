"""Bundles that a stranger made: whatever is in one, it comes to a report or to a named error."""

import hashlib
import io
import json
import random
import warnings
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_utils import keccak

from oracle.audit.bundle import MANIFEST, SUMS, Bundle, pack, unpack
from oracle.audit.proof import Claim, prove
from oracle.audit.verification import Outcome, verify
from oracle.cli import show
from oracle.errors import NotABundle, WrongEvidence
from oracle.merkle import payload_root
from oracle.types import Assurance, DType, ModelId, Signature, TensorType, Wei
from tests import chains
from tests.bundles import Here, bundle, preimage, with_request
from tests.chains import address
from tests.networks import network
from tests.spoiling import NUMBERS, spoilt, with_odd_value

TRIES = 200
NAMES = [
    "../x",
    "/etc/passwd",
    "a/../model.abi",
    "model.abi\0",
    "\u202e",
    "x" * 300,
    "",
    ".",
    "C:\\x",
]


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(entries: Iterable[tuple[str, bytes]]) -> bytes:
    """In the form of a bundle, with sums that are right."""
    file, sums = io.BytesIO(), b""
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")  # a name twice
        for name, data in entries:
            data = sums if name == SUMS else data
            sums += f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode(errors="replace")
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, data)
    return file.getvalue()


def in_its_zip(data: bytes, rng: random.Random) -> bytes:
    """Where ZIP says what lies where: most other bytes are a member's."""
    heads = [at for at in range(len(data)) if data[at : at + 2] == b"PK"]
    at = rng.choice(heads)
    return data[:at] + spoilt(data[at : at + 46], rng) + data[at + 46 :]


def in_a_member(data: bytes, rng: random.Random) -> bytes:
    found = members(data)
    name = rng.choice(list(found))
    return zipped((found | {name: spoilt(found[name], rng)}).items())


def in_its_list(data: bytes, rng: random.Random) -> bytes:
    entries = list(members(data).items())
    at = rng.randrange(len(entries))
    match rng.randrange(4):
        case 0:
            del entries[at]
        case 1:
            entries.insert(rng.randrange(len(entries)), entries[at])
        case 2:
            entries[at] = rng.choice(NAMES), entries[at][1]
        case _:
            rng.shuffle(entries)
    return zipped(entries)


def in_its_manifest(data: bytes, rng: random.Random) -> bytes:
    """With another value for one of its fields, at any depth."""
    found = members(data)
    text = with_odd_value(json.loads(found[MANIFEST]), rng, indent=2) + "\n"
    return zipped((found | {MANIFEST: text.encode()}).items())


@pytest.mark.parametrize(
    "spoil",
    [spoilt, in_its_zip, in_a_member, in_its_list, in_its_manifest],
    ids=lambda f: f.__name__,
)
def test_unpack_gives_what_was_packed_or_says_what_is_wrong(
    spoil: Callable[[bytes, random.Random], bytes],
) -> None:
    whole = [
        pack(bundle(is_lie, with_file)) for is_lie in (True, False) for with_file in (True, False)
    ]
    for seed in range(TRIES):
        rng = random.Random(seed)
        data = spoil(rng.choice(whole), rng)
        try:
            assert pack(unpack(data)) == data, seed
        except NotABundle as error:
            assert str(error).encode(), seed


# What its parts say, with all hashes that a stranger can make right


def odd_tensor(rng: random.Random) -> TensorType:
    rank = rng.choice([0, 1, 1, 2, 3, 7, 8, 40])
    shape = tuple(rng.choice([0, 1, 2, 3, 8, 2**31, 2**32 - 1]) for _ in range(rank))
    return TensorType(rng.choice(["x", "", "\u202e", "n" * 2000]), rng.choice(list(DType)), shape)


def other_model(evidence: Bundle, rng: random.Random) -> Bundle:
    """A model of any signature, with requests that have its terms and payloads that fit it."""
    terms = dict(network().terms)
    if rng.random() < 0.8:
        given, made = ([odd_tensor(rng) for _ in range(rng.randrange(3))] for _ in range(2))
        terms["signature"] = Signature(tuple(given), tuple(made))
    changes = {"assurance": rng.choice(list(Assurance)), "royalty": Wei(rng.choice(NUMBERS))}
    made_ = chains.model(address("publisher"), **terms | rng.choice([{}, changes]))
    signature = made_.signature
    lengths = signature.input_length, signature.output_length
    fits = all(length < 1 << 16 for length in lengths)
    asked = replace(
        evidence.request.terms,
        input_length=lengths[0] if fits else 8,
        output_length=lengths[1] if fits else 8,
    )
    ours, theirs = (rng.randbytes(lengths[1]) if fits else b"" for _ in range(2))
    return of_model(
        replace(evidence, payload=bytes(lengths[0] if fits else 8), output=theirs, recomputed=ours),
        preimage(made_),
        terms=asked,
    )


def of_model(evidence: Bundle, model: bytes, **request: Any) -> Bundle:
    changed = replace(evidence, model=model, model_id=ModelId(keccak(model)))
    return with_payload(changed, model=keccak(model), **request)


def with_payload(evidence: Bundle, **request: Any) -> Bundle:
    """With a request that has the payload's root and length."""
    root, length = payload_root(evidence.payload), len(evidence.payload)
    return with_request(evidence, input_root=root, input_length=length, **request)


def other_preimage(evidence: Bundle, rng: random.Random) -> Bundle:
    return of_model(evidence, other_word(evidence.model, rng))


def other_word(data: bytes, rng: random.Random) -> bytes:
    """With another number in one of its words, or more or fewer of them."""
    at = 32 * rng.randrange(len(data) // 32 + 1)
    numbers = [*NUMBERS, 2**255, 2**256 - 1, len(data), at]
    word = rng.choice(numbers).to_bytes(32, "big")
    if rng.random() < 0.5:  # one of the smaller numbers that a word is made of
        place = rng.randrange(8) * 4
        word = data[at : at + place] + word[-4:] + data[at + place + 4 : at + 32]
    return rng.choice(
        [data[:at] + word + data[at + 32 :], data[:at], data[:at] + data[at + 32 :], data + word]
    )


def other_part(evidence: Bundle, rng: random.Random) -> Bundle:
    name = rng.choice(["trace", "proof", "output", "recomputed", "payload"])
    data = getattr(evidence, name) or bytes(32)
    change = rng.choice([other_word, spoilt])(data, rng)
    part: dict[str, Any] = {name: change}
    changed = replace(evidence, **part)
    return with_payload(changed)


def other_numbers(evidence: Bundle, rng: random.Random) -> Bundle:
    number = rng.choice(NUMBERS)
    times: dict[str, Any] = {rng.choice(["epoch", "proposed_at", "settle_at"]): number}
    changed = replace(evidence, proposal=replace(evidence.proposal, **times))
    if rng.random() < 0.5:
        changed = replace(changed, chain_id=number)
    name, most = rng.choice(
        [("fee", 2**96), ("bond", 2**96), ("deadline", 2**40), ("window", 2**32)]
    )
    return with_request(changed, **{name: number % most})


CHANGES = [other_model, other_preimage, other_part, other_numbers]


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_verify_comes_to_a_report_whatever_a_bundle_says(
    change: Callable[[Bundle, random.Random], Bundle], tmp_path: Path
) -> None:
    here, path = Here(), tmp_path / "model.safetensors"
    path.write_bytes(network().file)
    honest = bundle(False), bundle(True)
    for seed in range(TRIES):
        rng = random.Random(seed)
        changed = change(rng.choice(honest), rng)
        # Each file that is looked at takes a child, and what runs it must be reached by some.
        report = verify(changed, path if seed % 25 == 0 else None, here)
        assert report.outcome in Outcome and report.checks
        text = json.dumps(show.plain(report), default=show.plain)
        assert text.encode(), seed


def test_prove_takes_what_is_a_proof_or_says_why_it_is_none() -> None:
    """What `verify` leaves to it once a run of ours vouches for the program."""
    lie = bundle(is_lie=True)
    assert lie.proof is not None
    claim = Claim(network().program.root, lie.trace[:32], lie.payload, lie.output)
    inputs = network().program.signature.inputs
    assert prove(lie.proof, claim, inputs)
    for seed in range(TRIES):
        rng = random.Random(seed)
        changed = rng.choice([other_word, spoilt])(lie.proof, rng)
        try:
            prove(changed, claim, inputs)
        except WrongEvidence as error:
            assert str(error).encode(), seed


def test_the_unchanged_bundles_of_the_fuzz_hold(tmp_path: Path) -> None:
    """Else all that it finds would be the same."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(network().file)
    for is_lie in (False, True):
        assert verify(bundle(is_lie), path, Here()).outcome is Outcome.OK
