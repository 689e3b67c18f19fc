"""What all processes have in common that look at a stranger's file: what they get, and may take."""

import os
import resource
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO

from oracle.visible import visible

_LINE = 4000  # bytes of what a child says that are shown on a line

# All of the environment that a child gets: a model must find no password there. Nor is there an
# OPENBLAS_CORETYPE: the bits do not depend on its kernels, so the processor chooses the fastest.
_PASSED_ON = (
    *("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME"),
    "NUMBA_CACHE_DIR",  # where compiled kernels are kept
)
# Processes run beside each other; threads in each would only get in each other's way.
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def start(
    module: str,
    arguments: Sequence[object],
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Starts a module of ours as a child. What it says on standard error is shown."""
    # Not multiprocessing.Process: that imports the parent's __main__ again, and passes on its
    # whole environment.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module, *map(str, arguments)],
        env=_environment(),
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        pass_fds=pass_fds,
        process_group=0,  # Ctrl-C is the parent's to handle
    )
    # The thread alone closes it: whoever waits for the process must not cut off its last words.
    words, process.stderr = process.stderr, None
    threading.Thread(target=_relay, args=(words,), daemon=True).start()
    return process


def confine(memory_limit: int, lifeline: int) -> None:
    """Bounds the process that calls it, a child: in bytes of memory, and in time by its parent's
    life. The parent alone holds the other end of the pipe `lifeline`."""
    # RLIMIT_AS would count what libraries reserve and never touch.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_limit, memory_limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()


def ending(code: int) -> str:
    """Says how a process ended that has this exit code."""
    if code >= 0:
        return f"ended with exit code {code}"
    names = {signal_.value: signal_.name for signal_ in signal.Signals}  # real-time ones have none
    name = names.get(-code, f"signal {-code}")
    hint = ", as the kernel does when memory runs out" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"


def _end_with_parent(lifeline: int) -> None:
    """Ends this process when the parent is gone, which may be killed while this one computes."""
    poll = select.poll()
    poll.register(lifeline, 0)  # hang-up is always told
    poll.poll()
    os._exit(0)


def _relay(words: IO[bytes]) -> None:
    """Shows what a child has to say: onnxruntime quotes names that a stranger chose."""
    with words:
        while line := words.readline(_LINE):
            sys.stderr.write(visible(line.decode(errors="replace").rstrip("\n"), _LINE) + "\n")


def _environment() -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return passed | dict.fromkeys(_ONE_THREAD, "1") | {"PYTHONPATH": path}
