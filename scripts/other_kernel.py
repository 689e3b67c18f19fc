"""Prints the name of kernels that OpenBLAS does not choose on this processor, but can run here.

For OPENBLAS_CORETYPE: results may not depend on the kernels, so `.ci/run` runs tests with others.
"""

import os
import subprocess
import sys

CANDIDATES = ("SkylakeX", "Haswell", "Nehalem", "NEOVERSEN1", "ARMV8")
# Multiplies first: a kernel of instructions that are not there kills the process.
PROBE = """
import numpy, threadpoolctl
square = numpy.ones((64, 64))
assert (square @ square == 64).all()
print(*{i["architecture"] for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"})
"""


def chosen(wanted: str = "") -> str:
    """Names the kernels that a process runs which is told to choose `wanted`."""
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    environment |= {"OPENBLAS_CORETYPE": wanted} if wanted else {}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True
    )
    return done.stdout.strip()


def main() -> int:
    ours = chosen()
    other = next((name for name in CANDIDATES if name != ours and chosen(name) == name), None)
    if other is None:
        sys.stderr.write(f"OpenBLAS runs no kernels here but its own, {ours or 'unnamed'}.\n")
        return 1
    print(other)
    return 0


if __name__ == "__main__":
    sys.exit(main())
