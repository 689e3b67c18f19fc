"""The benchmark of latency, as far as a test has time for it. It asserts no time: a machine that
does something else meanwhile may miss the bar."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chains import require_anvil

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_bench_latency_measures_beside_a_real_load_when_it_is_quick() -> None:
    require_anvil()
    done = subprocess.run(
        [sys.executable, "scripts/bench_latency.py", "--quick", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=3600,
    )

    assert done.stdout, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == {"alone", "both"}
    assert 0 < found["alone"]["median"] <= found["alone"]["p99"]
    assert found["both"]["fetches"] >= 6
    missed = [found["both"][each] - found["alone"][each] > 5 for each in ("p99", "new_model")]
    assert done.returncode == int(any(missed)), done.stderr
