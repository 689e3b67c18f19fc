"""How kernels are compiled."""

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
    """numba's own forgets a kernel when its file has changed, but not when one has that it is made
    of: a worker that was upgraded would go on with the old."""

    def _index_key(self, *key: Any) -> Any:
        known: Any = super()
        return (*known._index_key(*key), _VERSION)


def compiled(function: F) -> F:
    """By numba, once a machine (`__pycache__`), with IEEE's meaning of every operation, and without
    Python's lock."""
    return cast(F, _cached(function))


def compiled_for(signature: object) -> Callable[[F], F]:
    """As `compiled`, but once for all arrays: read-only ones would each make another version."""

    def decorate(function: F) -> F:
        made = _cached(function)
        made.compile(signature)
        made.disable_compile()
        return cast(F, made)

    return decorate


def inlined(function: F) -> F:
    """As a part of whatever kernel of its file calls it."""
    return cast(F, njit(fastmath=False, error_model="numpy", inline="always")(function))


def reordered(function: F) -> F:
    """As `compiled`, for sums whose bounds hold in any order, fused or not."""
    return cast(F, _cached(function, fastmath={"reassoc", "contract"}))


def _cached(function: Callable[..., Any], **options: Any) -> Any:
    made = njit(**_OPTIONS | options)(function)
    keep: Any = _Cache
    with suppress(RuntimeError):  # nowhere to keep it, neither beside the source nor at home
        made._cache = keep(function)
    return made
