"""Whether this machine can run models: disk, memory, processes, kernels."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

from oracle import samples
from oracle.cli.check.findings import Check, Entry, Finding, examined, failure, ok, warning
from oracle.config import Settings
from oracle.errors import ConfigError
from oracle.exact.kernels.compiled import cache_folder
from oracle.exact.lowering.graph import lower
from oracle.exact.program_file import pack
from oracle.exact.run import Runner
from oracle.inference.cache import RESERVE
from oracle.inference.consultation import consult
from oracle.inference.engine import Job
from oracle.inference.executor import Executor
from oracle.tensor import decode
from oracle.types import Assurance, FileKind, FileName

SPARE = 4 * RESERVE  # bytes of the disk, below which state and logs may not have room for long
PATIENCE = 120.0  # seconds for the small inference
MIB = 1 << 20
_CGROUP = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class Host:
    """This machine, and what a worker is to take of it: so many processes of so many bytes, and as
    many again for onnxruntime."""

    settings: Settings
    processes: int
    memory_limit: int


def entries(host: Host) -> Iterator[Entry]:
    yield from examined("this machine", host, HOST_CHECKS)


def disk(host: Host) -> Finding:
    home = host.settings.home
    try:
        home.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=home):
            pass
    except OSError as error:
        raise ConfigError(f"{home} cannot be written to: {error.strerror}.") from error
    free = shutil.disk_usage(home).free
    found = f"{_size(free)} of the disk of {home} are free"
    if free < RESERVE:
        return failure(f"{found}.", "Free some, or move $EXACTUM_HOME: the state must not be cut.")
    if free < SPARE:
        return warning(f"{found}, of which {_size(RESERVE)} stay so.", "Free some soon.")
    return ok(f"{found}.")


def models(host: Host) -> Finding:
    root, most = host.settings.models, host.settings.cache_bytes
    places = [root, root / "fetched"]
    sizes = {
        path: path.stat().st_size
        for kind in FileKind
        for place in places
        for path in place.glob(f"*.{kind}")
    }
    programs = sum(path.suffix == f".{FileKind.PROGRAM}" for path in sizes)
    taken = sum(sizes.values())
    found = f"{programs} program files are in {root}, all files {_size(taken)} of {_size(most)}"
    room = shutil.disk_usage(_existing(root)).free - RESERVE
    if most - taken > room:
        return warning(
            f"{found}; the disk has room for {_size(max(0, room))} more.",
            f"Give --cache-bytes {max(1, (taken + max(0, room)) // MIB)}MiB, or free the disk.",
        )
    return ok(f"{found}.")


def processes(host: Host) -> Finding:
    cores, memory = len(os.sched_getaffinity(0)), _memory()
    wanted = 2 * host.processes * host.memory_limit
    if host.processes > cores:
        return warning(
            f"{host.processes} processes would share {cores} cores.",
            f"Give --processes {cores}, since what is defended is counted in whole processes.",
        )
    if wanted > memory:
        return warning(
            f"{host.processes} processes and as many for onnxruntime may take"
            f" {_size(wanted)}; the machine has {_size(memory)}.",
            f"Give --memory-limit {max(1, memory // (2 * host.processes) // MIB)}, or serve models"
            " that take less.",
        )
    return ok(f"{cores} cores and {_size(memory)} are enough for {host.processes} processes.")


def kernels(_: Host) -> Finding:
    folder = cache_folder()
    if folder is None:
        return warning(
            "Compiled kernels can be kept nowhere, so every process compiles them anew.",
            "Set $NUMBA_CACHE_DIR to a folder that the worker may write to.",
        )
    return ok(f"Compiled kernels are kept in {folder}.")


def inference(host: Host) -> Finding:
    sample = samples.breast_cancer()
    program, payload = lower(sample.onnx), sample.payload(0)
    name, data = FileName(FileKind.PROGRAM, program.root), pack(program)
    with TemporaryDirectory() as folder, Executor(1, PATIENCE, host.memory_limit) as executor:
        path = Path(folder) / str(name)
        path.write_bytes(data)
        exact, terms = Assurance.EXACT, program.signature
        output = executor.infer(Job(path, name, program.root, terms, exact, payload))
    if output != Runner(program).infer(payload):
        return failure(
            "A child process and this one give other bits for one inference.",
            "Do not work on this machine: its processor or its memory is broken.",
        )
    return ok("A child process runs a small model, and gives the bits that it should.")


def second_opinion(host: Host) -> Finding:
    sample = samples.breast_cancer()
    program = lower(sample.onnx)
    row = decode(sample.payload(0), program.signature.inputs)
    opinion = consult(program, sample.onnx, [row], host.memory_limit)
    if not opinion.agrees:
        return warning(
            f"onnxruntime gives no second opinion: {opinion.first[0]}",
            "Install the onnxruntime that this version of exactum is locked to.",
        )
    return ok("onnxruntime, in a process of its own, agrees with a small inference.")


def _memory() -> int:
    """Counts the bytes of memory that this process and its children may have."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # "max", or no such group
        return min(pages, int(_CGROUP.read_text()))
    return pages


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def _size(count: int) -> str:
    unit, name = (1 << 30, "GiB") if count >= 1 << 30 else (MIB, "MiB")
    return f"{count / unit:.1f} {name}"


_DISK = "Choose another folder by $EXACTUM_HOME, or give this one to the user who runs exactum."
HOST_CHECKS: tuple[Check[Host], ...] = (
    Check("disk", disk, _DISK),
    Check("models", models, _DISK),
    Check("processes", processes, "Give fewer --processes."),
    Check("kernels", kernels, "Set $NUMBA_CACHE_DIR to a folder that the worker may write to."),
    Check(
        "inference",
        inference,
        "Raise --memory-limit, or install exactum again: a worker would answer nothing.",
    ),
    Check("second opinion", second_opinion, "Install the onnxruntime that exactum is locked to."),
)
