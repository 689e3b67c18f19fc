"""Bytes and JSON as a stranger might write them to harm whoever reads them."""

import json
import random
from typing import Any

NUMBERS = [0, 1, 2, 31, 32, 33, 127, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
# As JSON has them, since no Python value is some of them.
VALUES = [
    *("null", "true", "-1", "-0", "0.0", "1e400", "NaN", "Infinity", str(2**64), "9" * 5000, '""'),
    *("[]", "{}", "[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900, '"\\ud800"', '"0x"'),
    *('"0x' + "zz" * 32 + '"', '"0x' + "00" * 31 + '"', '"\\u0000"', "[[]]", '{"": {}}'),
]


def spoilt(data: bytes, rng: random.Random) -> bytes:
    """With other bytes, lengths, or pieces."""
    at, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    match rng.randrange(6):
        case 0:
            return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:]
        case 1:
            return data[:at] + data[end:]
        case 2:
            return data[:end] + data[at:]
        case 3:
            return data[:at]
        case 4:
            width = rng.choice([1, 2, 4, 8])
            number = rng.choice(NUMBERS) & (1 << 8 * width) - 1
            return data[:at] + number.to_bytes(width, "little") + data[at + width :]
        case _:
            changed = bytearray(data)
            for _ in range(rng.randrange(1, 5)):
                if changed:
                    changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
            return bytes(changed)


def with_odd_value(value: Any, rng: random.Random, indent: int | None = None) -> str:
    """Gives the JSON of objects and lists with another value in one place, at any depth."""
    holders: list[Any] = [value]
    for holder in holders:  # which grows on the way
        inside = holder.values() if isinstance(holder, dict) else holder
        holders += [each for each in inside if isinstance(each, dict | list)]
    holder = rng.choice(holders)
    if isinstance(holder, dict):
        holder[rng.choice([*holder, "more"])] = "HERE"
    else:
        holder[rng.randrange(len(holder) + 1) :] = ["HERE"] * rng.randrange(1, 4)
    return json.dumps(value, indent=indent).replace('"HERE"', rng.choice(VALUES))
