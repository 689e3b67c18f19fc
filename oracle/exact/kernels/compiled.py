"""Decorators that compile kernels."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.caching import FunctionCache

from oracle.exact import sums

_OPTIONS: dict[str, Any] = {"fastmath": False, "error_model": "numpy", "nogil": True}
_SOURCES = (Path(sums.__file__), *sorted(Path(__file__).parent.glob("*.py")))
_VERSION = hashlib.sha256(b"".join(path.read_bytes() for path in _SOURCES)).hexdigest()
F = TypeVar("F", bound=Callable[..., Any])


class _Cache(FunctionCache):  # type: ignore[misc, unused-ignore]
    """Forgets a kernel when any file of kernels has changed. numba's own cache looks at the
    kernel's file only, so that a worker would run old code after an upgrade of a file that it
    inlines."""

    def _index_key(self, *key: Any) -> Any:
        known: Any = super()
        return (*known._index_key(*key), _VERSION)


def compiled(function: F) -> F:
    """Compiles by numba with IEEE's meaning of every operation, to run without Python's lock. The
    code is kept in `__pycache__`, so that a machine compiles once."""
    return cast(F, _cached(function))


def compiled_for(signature: object) -> Callable[[F], F]:
    """Compiles for one signature, because numba would else make another version for each mix of
    read-only and writable arrays."""

    def decorate(function: F) -> F:
        made = _cached(function)
        made.compile(signature)
        made.disable_compile()
        return cast(F, made)

    return decorate


def inlined(function: F) -> F:
    """Makes the function a part of each kernel of its file that calls it."""
    return cast(F, njit(fastmath=False, error_model="numpy", inline="always")(function))


def reordered(function: F) -> F:
    """Compiles sums that may be reordered and fused, because their bounds hold either way."""
    return cast(F, _cached(function, fastmath={"reassoc", "contract"}))


def cache_folder() -> Path | None:
    """Says where compiled kernels are kept; None where no folder for them is writable."""
    keep: Any = _Cache
    with suppress(RuntimeError):
        return Path(keep(cache_folder).cache_path)
    return None


def _cached(function: Callable[..., Any], **options: Any) -> Any:
    made = njit(**_OPTIONS | options)(function)
    keep: Any = _Cache
    with suppress(RuntimeError):  # no folder to keep it in is writable
        made._cache = keep(function)
    return made
