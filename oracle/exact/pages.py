"""Lets a process keep freed memory: for a small network fresh pages cost more than its sums."""

import ctypes
from contextlib import suppress

# Their numbers in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_pages() -> None:
    """Makes this process keep up to 64 MiB of freed memory, as one that infers should. Does nothing
    where the C library is not glibc."""
    with suppress(AttributeError, OSError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_MMAP_THRESHOLD, 1 << 25)
        set_option(_TRIM_THRESHOLD, 1 << 26)
