"""The same bits on any machine: other BLAS kernels, threads, vector units, numpy and Python.

Each in a process of its own, since all of it is decided when numpy is loaded.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = json.loads((ROOT / "tests/vectors/bits.json").read_text())
SAMPLES = ("perceptron", "attention", "functions", "ordinary", "sums", "convolution", "trees")

# What a core needs, in numpy's names of before and after 2.4.
KERNELS = {
    "Nehalem": (),
    "Haswell": ("AVX2", "X86_V3"),
    "Zen": ("AVX2", "X86_V3"),
    "SkylakeX": ("AVX512_SKX", "X86_V4"),
}
NUMPYS = ("1.26.4", "2.1.3", "2.4.6")
PYTHONS = ("3.11", "3.12", "3.13")
PACKAGES = ("numba>=0.61", "onnx==1.23.2", "safe-pysha3==1.0.7")


def features() -> tuple[list[str], list[str]]:
    """What this numpy may use beyond its baseline, and what this machine has."""
    core = (getattr(np, "_core", None) or np.core)._multiarray_umath
    return list(core.__cpu_dispatch__), [name for name, has in core.__cpu_features__.items() if has]


def found(*command: str, real: bool = False, **variables: str) -> dict[str, dict[str, str]]:
    """What scripts/bits.py prints there."""
    flags = ["--real"] if real else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", **variables}
    done = subprocess.run(
        [*command, str(ROOT / "scripts/bits.py"), *flags],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(bits: dict[str, dict[str, str]]) -> None:
    """As committed; to be renewed by scripts/bits.py --write where the law itself changed."""
    assert set(SAMPLES) <= set(bits)
    assert bits == {name: EXPECTED.get(name) for name in bits}


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_bits_are_the_same_with_every_blas_kernel(kernel, threads):
    needs = KERNELS[kernel]
    if needs and not set(needs) & set(features()[1]):
        pytest.skip(f"this machine has no {needs[0]}")
    check(found(sys.executable, OPENBLAS_CORETYPE=kernel, OPENBLAS_NUM_THREADS=threads))


@pytest.mark.parametrize("what", ["all", "the widest"])
def test_bits_are_the_same_without_vector_units(what):
    dispatched, here = features()
    disabled = [name for name in dispatched if name in here]
    if what == "the widest":
        disabled = [name for name in disabled if name.startswith(("AVX512", "X86_V4"))]
    if not disabled:
        pytest.skip("this machine has none to disable")
    check(found(sys.executable, NPY_DISABLE_CPU_FEATURES=" ".join(disabled)))


@pytest.mark.long
@pytest.mark.parametrize("kernel", KERNELS)
def test_bits_of_real_models_are_the_same_with_every_blas_kernel(kernel):
    needs = KERNELS[kernel]
    if needs and not set(needs) & set(features()[1]):
        pytest.skip(f"this machine has no {needs[0]}")
    for threads in ("1", "2"):
        variables = {"OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": threads}
        check(found(sys.executable, real=True, **variables))


def interpreter(version: str) -> str | None:
    """Of that Python, from the PATH or from pyenv."""
    pyenv = sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python"))
    for candidate in [shutil.which(f"python{version}"), *map(str, pyenv)]:
        if not candidate:
            continue
        probe = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if subprocess.run(probe, capture_output=True, text=True).stdout.strip() == version:
            return candidate
    return None


@pytest.mark.long
@pytest.mark.enable_socket
@pytest.mark.parametrize("numpy", NUMPYS)
@pytest.mark.parametrize("python", PYTHONS)
def test_bits_are_the_same_with_every_numpy_and_python(python, numpy):
    if (python, numpy) == ("3.13", "1.26.4"):
        pytest.skip("numpy 1.26 has no wheels for Python 3.13")
    uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
    where = interpreter(python)
    if where is None or not Path(uv).exists():
        pytest.skip(f"needs uv and Python {python}")
    wanted = [part for name in (f"numpy=={numpy}", *PACKAGES) for part in ("--with", name)]
    command = [uv, "run", "--quiet", "--isolated", "--no-project", "--python", where, *wanted]
    check(found(*command, "python", real=True))
