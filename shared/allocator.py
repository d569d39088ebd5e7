"""How the C library's allocator treats large blocks."""

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_large_blocks() -> None:
    """Have freed memory used again instead of giving it back to the system.

    By default glibc maps each block above 128 KB anew, and the page faults of a fresh
    mapping cost many times what copying a message of 600 KB does. The price is that
    the process keeps its high-water mark. Does nothing where there is no glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    mallopt(_M_TOP_PAD, 64 << 20)
