"""Freed memory that a process keeps: for a small network fresh pages cost more than the sums."""

import ctypes
from contextlib import suppress

# glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_pages() -> None:
    """For a process that infers. Up to 64 MiB stay with it. Where
    the C library is another one, nothing happens."""
    with suppress(AttributeError, OSError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_MMAP_THRESHOLD, 1 << 25)
        set_option(_TRIM_THRESHOLD, 1 << 26)
