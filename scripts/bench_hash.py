"""MB/s of `merkle.tensor_root` on one core, by the size of the tensor. --json: one object, last."""

import argparse
import json
import statistics
import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from oracle import merkle

BAR = 100.0  # MB/s, from a mebibyte on
SIZES = (128, 4 << 10, 64 << 10, 1 << 20, 16 << 20, 128 << 20)


def speed(size: int, seconds: float = 1.0) -> float:
    tensor = np.random.default_rng(0).standard_normal(size // 4, np.float32)
    merkle.tensor_root(tensor)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        started = time.perf_counter()
        merkle.tensor_root(tensor)
        times.append(time.perf_counter() - started)
    return size / 1e6 / statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="./dev bench hash")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    arguments = parser.parse_args()

    speeds = {size: speed(size) for size in SIZES}
    table = Table("bytes", "MB/s", title="Roots of tensors, one core")
    for size, found in speeds.items():
        table.add_row(f"{size:,}", f"{found:.1f}")
    Console(stderr=arguments.json).print(table)
    if arguments.json:
        print(json.dumps({str(size): round(found, 1) for size, found in speeds.items()}))
    return int(any(found < BAR for size, found in speeds.items() if size >= 1 << 20))


if __name__ == "__main__":
    sys.exit(main())
