"""Program files that a stranger made: each holds the program of its root, or is refused by name."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from oracle import samples
from oracle.errors import ModelRefused
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from oracle.exact.program_file import certify, pack, read, source_hash
from oracle.serialization import dump
from tests.networks import network
from tests.spoiling import NUMBERS, VALUES, spoilt, with_odd_value

TRIES = 200


def cut(data: bytes) -> tuple[dict[str, object], bytes]:
    """Gives a file's head, and what follows it."""
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def headed(head: bytes, rest: bytes) -> bytes:
    return len(head).to_bytes(8, "little") + head + rest


def in_any_byte(data: bytes, rng: random.Random) -> bytes:
    return spoilt(data, rng)


def in_its_length(data: bytes, rng: random.Random) -> bytes:
    return rng.choice(NUMBERS).to_bytes(8, "little") + data[8:]


def in_the_bytes_of_its_head(data: bytes, rng: random.Random) -> bytes:
    end = 8 + int.from_bytes(data[:8], "little")
    return headed(spoilt(data[8:end], rng), data[end:])


def in_a_value_of_its_head(data: bytes, rng: random.Random) -> bytes:
    head, rest = cut(data)
    return headed(with_odd_value(head, rng).encode(), rest)


def in_its_names(data: bytes, rng: random.Random) -> bytes:
    """What people read, as odd as JSON may be."""
    head, rest = cut(data)
    names = json.loads(head["__metadata__"]["exactum"])  # type: ignore[index]
    text = rng.choice([with_odd_value(names, rng), rng.choice(VALUES)])
    head["__metadata__"] = {"exactum": text}
    return headed(json.dumps(head).encode(), rest)


def in_a_word_of_its_records(data: bytes, rng: random.Random) -> bytes:
    head, rest = cut(data)
    first, last = head["records"]["data_offsets"]  # type: ignore[index]
    at = first + 4 * rng.randrange((last - first) // 4)
    number = rng.choice([*NUMBERS, 2**31 + 1, 3 << 24]) & 0xFFFFFFFF
    return headed(json.dumps(head).encode(), rest[:at] + number.to_bytes(4, "big") + rest[at + 4 :])


SPOIL = [
    in_any_byte,
    in_its_length,
    in_the_bytes_of_its_head,
    in_a_value_of_its_head,
    in_its_names,
    in_a_word_of_its_records,
]


def programs() -> list[Program]:
    return [network().program, lower(samples.gradient_boosting().onnx)]


@pytest.mark.parametrize("spoil", SPOIL, ids=lambda f: f.__name__)
def test_read_gives_what_certify_saw_or_refuses_it(
    spoil: Callable[[bytes, random.Random], bytes], tmp_path: Path
) -> None:
    whole, path = [pack(each, bytes(32)) for each in programs()], tmp_path / "spoilt"
    for seed in range(TRIES):
        rng = random.Random(seed)
        path.write_bytes(spoil(rng.choice(whole), rng))
        try:
            root, source = certify(path), source_hash(path)
            program = read(path)
        except ModelRefused as refused:
            assert str(refused).encode(), seed
            continue
        assert program.root == root and source in (None, bytes(32)), seed
        # What people read goes with answers, as text that JSON holds.
        names = [each.name for each in program.nodes]
        assert dump((names, program.signature, program.labels, program.categories)), seed


def test_the_unchanged_files_of_the_fuzz_are_read(tmp_path: Path) -> None:
    """Else all that it finds would be the same."""
    for program in programs():
        path = tmp_path / "whole"
        path.write_bytes(headed(*_again(pack(program))))
        assert read(path).root == certify(path) == program.root


def _again(data: bytes) -> tuple[bytes, bytes]:
    head, rest = cut(data)
    return json.dumps(head).encode(), rest
