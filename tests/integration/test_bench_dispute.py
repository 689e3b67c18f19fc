"""The benchmark of disputes, as far as a test has time for it."""

import json
import subprocess
import sys
from pathlib import Path

from tests.chains import require_anvil

ROOT = Path(__file__).parents[2]


def test_bench_dispute_meets_its_bars_when_it_is_quick() -> None:
    require_anvil()
    done = subprocess.run(
        [sys.executable, "scripts/bench_dispute.py", "--quick", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=3600,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert {"logistic DOT of 30", "logistic SIGMOID", "dot-64"} <= found["proof"].keys()
    assert 0 < found["silent"] < found["conviction"]["logistic"] < 1_000_000
