"""What `exactum check` finds out about the machine that it runs on."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from numba.core import caching

from oracle.cli.check import host
from oracle.cli.check.findings import Finding, Level, examined
from oracle.cli.check.host import MIB, Host
from oracle.config import Settings
from oracle.inference.cache import RESERVE
from oracle.inference.consultation import Opinion
from oracle.inference.executor import Executor

GIB = 1 << 30


def this(folder: Path, processes: int = 1, memory_limit: int = 1024 * MIB, **settings: Any) -> Host:
    return Host(Settings(home=folder, **settings), processes, memory_limit)


def told(found: Finding, level: str, said: str) -> None:
    assert found.level == level and said in found.found, found
    assert (found.level is Level.OK) == (not found.advice)


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Leaves so much of the disk."""
    usage = shutil.disk_usage("/")._replace(free=size)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


def seen(machine: Host, name: str) -> Finding:
    """What the check of that name finds, also where it fails itself."""
    checks = [check for check in host.HOST_CHECKS if check.name == name]
    [entry] = examined("this machine", machine, checks)
    return entry.finding


@pytest.mark.parametrize(
    ("size", "level"), [(RESERVE - 1, "failure"), (3 * GIB, "warning"), (9 * GIB, "ok")]
)
def test_a_full_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, level: str
) -> None:
    free(monkeypatch, size)

    told(host.disk(this(tmp_path)), level, "are free")


def test_a_home_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")

    found = seen(this(tmp_path / "home"), "disk")
    told(found, "failure", "cannot be written to: File exists")


def test_models_in_the_cache_are_counted(tmp_path: Path) -> None:
    for name in ("models/a.safetensors", "models/fetched/b.safetensors", "models/c.onnx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(MIB))
    found = host.models(this(tmp_path, cache_bytes=GIB))

    told(found, "ok", "2 program files")
    assert "3.0 MiB of 1.0 GiB" in found.found


def test_a_cache_that_the_disk_cannot_hold_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 2 * GIB)
    found = host.models(this(tmp_path / "not made yet", cache_bytes=4 * GIB))

    told(found, "warning", "room for 1.0 GiB more")
    assert "--cache-bytes 1024MiB" in found.advice


def test_more_processes_than_cores_are_told(tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))

    told(host.processes(this(tmp_path, cores + 1)), "warning", f"{cores + 1} processes would share")


def test_more_memory_than_there_is_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_memory", lambda: 4 * GIB)

    told(host.processes(this(tmp_path, 1, 2 * GIB)), "ok", "are enough for 1 processes")
    found = host.processes(this(tmp_path, 1, 3 * GIB))
    told(found, "warning", "may take 6.0 GiB; the machine has 4.0 GiB")
    assert "--memory-limit 2048" in found.advice


@pytest.mark.parametrize(("limit", "is_less"), [("1073741824", True), ("max", False)])
def test_a_groups_memory_is_what_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, is_less: bool
) -> None:
    group = tmp_path / "memory.max"
    group.write_text(limit)
    monkeypatch.setattr(host, "_CGROUP", group)

    assert (host._memory() == GIB) == is_less


def test_kernels_that_can_be_kept_nowhere_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(host.kernels(this(tmp_path)), "ok", "Compiled kernels are kept in")

    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    told(host.kernels(this(tmp_path)), "warning", "can be kept nowhere")


def test_an_inference_is_run(tmp_path: Path) -> None:
    told(host.inference(this(tmp_path)), "ok", "gives the bits that it should")


def test_onnxruntime_is_asked(tmp_path: Path) -> None:
    told(host.second_opinion(this(tmp_path)), "ok", "agrees with a small inference")


def test_processes_without_memory_are_told(tmp_path: Path) -> None:
    found = seen(this(tmp_path, memory_limit=16 * MIB), "inference")

    told(found, "failure", "The inference's process")


def test_other_bits_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Executor, "infer", lambda *_: b"other")

    told(host.inference(this(tmp_path)), "failure", "give other bits")


def test_an_onnxruntime_without_opinion_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "consult", lambda *_: Opinion(1, 0, 1, ("it does not load",)))

    told(host.second_opinion(this(tmp_path)), "warning", "second opinion: it does not load")
