"""How kernels are compiled."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """By numba, once a machine (`__pycache__`), with IEEE's meaning of every operation, and without
    Python's lock."""
    compile = njit(cache=True, fastmath=False, error_model="numpy", nogil=True)
    return cast(F, compile(function))
