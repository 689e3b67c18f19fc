"""How kernels are compiled."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

_OPTIONS: dict[str, Any] = {
    "cache": True,
    "fastmath": False,
    "error_model": "numpy",
    "nogil": True,
}
F = TypeVar("F", bound=Callable[..., Any])


def compiled_for(signature: object) -> Callable[[F], F]:
    """As `compiled`, but once for all arrays: read-only ones would each make another version."""

    def decorate(function: F) -> F:
        return cast(F, njit(signature, **_OPTIONS)(function))

    return decorate


def compiled(function: F) -> F:
    """By numba, once a machine (`__pycache__`), with IEEE's meaning of every operation, and without
    Python's lock."""
    return cast(F, njit(**_OPTIONS)(function))


def inlined(function: F) -> F:
    """As a part of whatever kernel of its file calls it."""
    return cast(F, njit(fastmath=False, error_model="numpy", inline="always")(function))


def reordered(function: F) -> F:
    """As `compiled`, for sums whose bound holds in any order, fused or not."""
    options = _OPTIONS | {"fastmath": {"reassoc", "contract"}}
    return cast(F, njit(**options)(function))
