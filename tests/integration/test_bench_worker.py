"""The benchmark of a worker, as far as a test has time for it. It asserts no time: a machine that
does something else meanwhile may miss any bar."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chains import require_anvil

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_bench_worker_measures_a_real_worker_when_it_is_quick() -> None:
    require_anvil()
    done = subprocess.run(
        [sys.executable, "scripts/bench_worker.py", "--quick", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=3600,
    )

    assert done.stdout, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert list(found) == [
        *("ceiling_per_s", "batched_per_s", "single_per_s", "backlog_per_s"),
        *("latency_ms_p50", "latency_ms_p99", "rss_mb", "cpu_ms_per_request"),
    ]
    assert all(value > 0 for value in found.values()), found
    assert found["latency_ms_p50"] <= found["latency_ms_p99"]
    for part in ("500 proposals", "60 requests", "20 requests", "30 requests", "10 requests"):
        assert part in done.stderr
    assert done.returncode == int("bars missed: none" not in done.stderr), done.stderr
